"""Operators that commute with periodic shifts (`shift_invariant`): KᵀK is diagonal in Fourier space."""

from __future__ import annotations

import math

from varinv.backend import Array, device, namespace, place
from varinv.memory import remembered
from varinv.operators.base import LinearOperator


def gram_symbol(K: LinearOperator, x: Array) -> Array:
    """The eigenvalues of KᵀK on the frequencies of ``rfftn(x)``, real and ≥ 0, in the place and dtype of x; remembered.

    The transform of KᵀK δ, for a shift-invariant K; in float64, exact to 1e-16 ‖K‖².
    """

    def found() -> Array:
        xp, n = namespace(x), math.prod(K.domain)
        count = xp.arange(n, dtype=xp.float64, device=device(x))
        delta = xp.reshape(xp.where(count == 0, xp.ones_like(count), xp.zeros_like(count)), K.domain)
        symbol = xp.real(xp.fft.rfftn(K.adjoint(K.forward(delta))))
        return xp.astype(xp.where(symbol > 0, symbol, xp.zeros_like(symbol)), x.dtype)

    return remembered(K, ("gram symbol", place(x)), found)


def multiply(x: Array, factor: Array) -> Array:
    """The image whose transform is that of x times a real even factor, given on the frequencies of ``rfftn(x)``."""
    xp = namespace(x)
    axes = tuple(range(x.ndim))
    y = xp.fft.irfftn(xp.fft.rfftn(x, axes=axes) * factor, s=x.shape, axes=axes)
    return y if y.dtype == x.dtype else xp.astype(y, x.dtype)
