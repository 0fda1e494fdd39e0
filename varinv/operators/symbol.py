"""Operators that commute with periodic shifts: KᵀK is diagonal in Fourier space."""

from __future__ import annotations

import math
from typing import Any

from varinv.backend import Array, device, namespace, place
from varinv.operators.algebra import Composition, Scaled, Sum
from varinv.operators.base import LinearOperator
from varinv.operators.blur import Blur
from varinv.operators.elementary import Identity
from varinv.operators.gradient import Gradient


def shift_invariant(K: LinearOperator) -> bool:
    """Whether K is known to commute with periodic shifts of the image."""
    if isinstance(K, Scaled):
        return shift_invariant(K.K)
    if isinstance(K, (Composition, Sum)):
        return shift_invariant(K.A) and shift_invariant(K.B)
    return isinstance(K, Identity) or (isinstance(K, (Blur, Gradient)) and K.boundary == "periodic")


def gram_symbol(K: LinearOperator, x: Array) -> Array:
    """The eigenvalues of KᵀK on the frequencies of ``rfftn(x)``, real and ≥ 0, in the place and dtype of x; remembered.

    The transform of KᵀK δ, for a shift-invariant K; in float64, exact to 1e-16 ‖K‖².
    """
    known: dict[Any, Array] = K.__dict__.setdefault("_gram_symbols", {})
    if (key := place(x)) not in known:
        xp, n = namespace(x), math.prod(K.domain)
        count = xp.arange(n, dtype=xp.float64, device=device(x))
        delta = xp.reshape(xp.where(count == 0, xp.ones_like(count), xp.zeros_like(count)), K.domain)
        symbol = xp.real(xp.fft.rfftn(K.adjoint(K.forward(delta))))
        known[key] = xp.astype(xp.where(symbol > 0, symbol, xp.zeros_like(symbol)), x.dtype)
    return known[key]


def multiply(x: Array, factor: Array) -> Array:
    """The image whose transform is that of x times a real even factor, given on the frequencies of ``rfftn(x)``."""
    xp = namespace(x)
    axes = tuple(range(x.ndim))
    y = xp.fft.irfftn(xp.fft.rfftn(x, axes=axes) * factor, s=x.shape, axes=axes)
    return y if y.dtype == x.dtype else xp.astype(y, x.dtype)
