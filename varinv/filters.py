"""Spectral filters: x = φ(AᵀA) Aᵀy, where A is diagonalised."""

from __future__ import annotations

import math
from collections.abc import Callable

from varinv import check
from varinv.backend import Array, device, is_array, namespace, place, same_place
from varinv.memory import remembered
from varinv.operators.base import LinearOperator, check_input
from varinv.operators.symbol import gram_symbol, multiply
from varinv.solvers.landweber import coefficients

LARGEST = 4_000_000  # entries of a matrix that is decomposed: seconds, and 100 MB

Filter = Callable[[Array], Array]


def spectral(A: LinearOperator, y: Array, phi: Filter) -> Array:
    r"""Reconstruct an image by filtering the singular values of an operator (Tikhonov, Landweber and others).

    x = φ(AᵀA) Aᵀy = Σ_j φ(s_j²) s_j ⟨u_j, y⟩ v_j, with A = Σ_j s_j u_j v_jᵀ; shape of y → `A.domain`.

    Exact where A is diagonal in Fourier space (periodic Blur and Gradient, and what is composed of them) or in pixels
    (Diagonal); otherwise by a singular value decomposition, remembered on A, of at most 4·10⁶ entries.

    φ is a function of an array of squared singular values λ = s², entry by entry: `filters.tikhonov(alpha)` and its
    siblings, or your own.  λφ(λ) is the part of the component that is kept.

    Raises
    ------
    ValueError
        y of another shape; an operator that is neither diagonal nor small: use Landweber, NuMethod or CGLS there.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> vi.spectral(vi.Diagonal(np.array([2.0, 1.0])), np.array([2.0, 1.0]), vi.filters.tikhonov(1.0))
    array([0.8, 0.5])
    """
    y = check_input(A, y, A.codomain)
    d = A.diagonal()
    if is_array(d):
        d = same_place("spectral", "values", d, y)
        return phi(d * d) * d * y
    if A.shift_invariant():
        return multiply(A.adjoint(y), phi(gram_symbol(A, y)))
    xp = namespace(y)
    U, s, Vt = _decomposed(A, y)
    coefficients = phi(s * s) * s * (xp.matrix_transpose(U) @ xp.reshape(y, (-1,)))
    return xp.reshape(xp.matrix_transpose(Vt) @ coefficients, A.domain)


def tikhonov(alpha: float, times: int = 1) -> Filter:
    r"""The filter of Tikhonov regularisation (ridge), once or iterated.

    λφ = 1 − (α/(λ + α))^m: argmin ½‖Ax − y‖² + ½α‖x‖² for m = 1, and m times iterated, each with the last as prior.

    The qualification is m: from exact data of x ∈ range((AᵀA)^μ) the error is O(α^min(μ, m)), however smooth x
    (saturation; Engl, Hanke & Neubauer 1996, sections 4.2 and 5.1).
    """
    alpha = check.number("filters.tikhonov", "alpha", alpha, low=0.0, strict=True)
    times = check.integer("filters.tikhonov", "times", times, low=1)

    def phi(lam: Array) -> Array:
        xp = namespace(lam)
        return _over(-xp.expm1(-times * xp.log1p(lam / alpha)), lam, times / alpha)

    return phi


def landweber(k: int, step_size: float) -> Filter:
    r"""The filter of a number of plain gradient steps on least squares.

    λφ = 1 − (1 − ηλ)^k: k steps of `Landweber` from zero; no saturation, α ≈ 1/(ηk).
    """
    k = check.integer("filters.landweber", "k", k, low=0)
    eta = check.number("filters.landweber", "step_size", step_size, low=0.0, strict=True)

    def phi(lam: Array) -> Array:
        xp = namespace(lam)
        t = eta * lam
        below = t < 0.5  # there 1 − (1 − t)^k would cancel
        kept = xp.where(below, -xp.expm1(k * xp.log1p(-xp.where(below, t, xp.zeros_like(t)))), 1 - (1 - t) ** k)
        return _over(kept, lam, eta * k)

    return phi


def nu_method(k: int, step_size: float, nu: float = 1.0) -> Filter:
    """The filter of a number of accelerated gradient steps on least squares.

    k steps of `NuMethod` from zero, η = `step_size` ≤ 1/λ_max: its recursion, λ by λ; the qualification is ν.
    """
    k = check.integer("filters.nu_method", "k", k, low=0)
    eta = check.number("filters.nu_method", "step_size", step_size, low=0.0, strict=True)
    nu = check.number("filters.nu_method", "nu", nu, low=0.0, strict=True)

    def phi(lam: Array) -> Array:
        g = before = namespace(lam).zeros_like(lam)
        for j in range(1, k + 1):
            mu, omega = coefficients(j, nu)
            g, before = g + mu * (g - before) + omega * eta * (1 - lam * g), g
        return g

    return phi


def flow(time: float) -> Filter:
    """The filter of gradient descent in continuous time, stopped after a given time.

    λφ = 1 − exp(−tλ): gradient flow x' = Aᵀ(y − Ax) from zero up to time t.
    """
    time = check.number("filters.flow", "time", time, low=0.0)
    return lambda lam: _over(-namespace(lam).expm1(-time * lam), lam, time)


def cutoff(alpha: float) -> Filter:
    """The filter that drops small singular values: truncated singular value decomposition (TSVD).

    λφ = 1 where λ ≥ α, else 0; α in units of λ = s².
    """
    alpha = check.number("filters.cutoff", "alpha", alpha, low=0.0, strict=True)

    def phi(lam: Array) -> Array:
        xp = namespace(lam)
        return xp.where(lam >= alpha, 1 / xp.where(lam >= alpha, lam, xp.ones_like(lam)), xp.zeros_like(lam))

    return phi


def _over(kept: Array, lam: Array, limit: float) -> Array:
    """kept / λ, and its limit where λ = 0."""
    xp = namespace(lam)
    return xp.where(lam > 0, kept / xp.where(lam > 0, lam, xp.ones_like(lam)), xp.full_like(lam, limit))


def _decomposed(A: LinearOperator, y: Array) -> tuple[Array, Array, Array]:
    """U, s, Vᵀ in the place and dtype of y; decomposed in float64 and remembered on A."""
    rows, columns = math.prod(A.codomain), math.prod(A.domain)
    if rows * columns > LARGEST:
        raise ValueError(
            f"spectral: {A} is not diagonal and has {rows} × {columns} entries, more than {LARGEST}; "
            "use Landweber(), NuMethod() or CGLS() with a stop"
        )

    def found() -> tuple[Array, Array, Array]:
        xp = namespace(y)
        eye = xp.eye(columns, dtype=xp.float64, device=device(y))
        images = [xp.reshape(A.forward(xp.reshape(eye[j, :], A.domain)), (-1,)) for j in range(columns)]
        U, s, Vt = xp.linalg.svd(xp.stack(images, axis=1), full_matrices=False)
        return xp.astype(U, y.dtype), xp.astype(s, y.dtype), xp.astype(Vt, y.dtype)

    return remembered(A, ("decomposed", place(y)), found)
