"""Upper bounds of norms: certified where no entry is negative, at a stated chance for any symmetric map."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import array_api_compat.numpy as xnp

from varinv.backend import Array, device, is_array, library, like, namespace
from varinv.linalg import add_scaled, dot, norm, slabs
from varinv.memory import own


def collatz_wielandt(A: Any, ratio: float = 1.01, most: int = 30, floor: float = 1e-200, single: bool = False) -> float:
    """A certified upper bound of ‖A‖ for an operator without negative entries.

    For M = AᵀA ≥ 0 and any x > 0 on the pixels that A reads, max_j (Mx)_j / x_j bounds the largest eigenvalue from
    above (Collatz 1942, Wielandt 1950) and ⟨x, Mx⟩/⟨x, x⟩ from below.  x ← Mx / max from ones, in float64, until
    upper/lower ≤ `ratio` or `most` applications; returns √upper·(1 + 1e-6).  Pixels no entry of A touches drop out;
    an all-zero operator gives 0.  x stays above `floor` (any x > 0 certifies): 1e-8 where A goes through FFTs, whose
    rounding is absolute.  `single`: in float32, where the caller allows for its rounding.
    """
    place = _place(A)
    xp = namespace(place)
    dtype = xp.float32 if single else xp.float64
    floor = max(floor, 1e-30) if single else floor
    seen = A.adjoint(xp.ones(A.codomain, dtype=dtype, device=device(place))) > 0
    if not bool(xp.any(seen)):
        return 0.0
    x = xp.astype(seen, dtype)
    upper = math.inf
    for _ in range(most):
        Mx = A.adjoint(A.forward(x))
        rows = [(seen[k], Mx[k], x[k], k) for k in slabs(x.shape[0])]
        upper = min(upper, max(float(xp.max(xp.where(s, m, 0.0) / xp.where(s, b, 1.0))) for s, m, b, _ in rows))
        if upper <= ratio * dot(x, Mx) / dot(x, x):
            break
        largest = float(xp.max(Mx))
        for s, m, _, k in rows:
            # a positive vector stays positive on the pixels it is read through; guard against underflow of far ones
            x[k] = xp.where(s, xp.clip(m / largest, floor, None), 0.0)
        del rows, Mx, m
    return math.sqrt(upper) * (1 + 1e-6)


def norm_bound(A: Any) -> float:
    """An upper bound of ‖A‖ for an operator that writes none: what needs nothing but `forward` and `adjoint`.

    Certified where no entry is negative (``A.absolute() is A``); else √ of `krylov_bound` of AᵀA in float64, at most
    5 % too large on most spectra, and wrong with a chance of 1e-6.  Both are raised by 1e-6, above the rounding of
    float64.  A computes where the arrays are that it holds itself; in NumPy, where it holds none.
    """
    if A.absolute() is A:
        return collatz_wielandt(A, floor=1e-8)
    place = _place(A)
    zero = namespace(place).zeros(A.domain, dtype=namespace(place).float64, device=device(place))
    return math.sqrt(krylov_bound(lambda x: A.adjoint(A.forward(x)), zero, ratio=1.1)) * (1 + 1e-6)


def _place(A: Any) -> Array:
    """An array where A works: one that A holds itself, of another library than NumPy if there is one."""
    found: Array = xnp.zeros(1)
    if dataclasses.is_dataclass(A):
        held = [getattr(A, field.name) for field in dataclasses.fields(A)]
    else:
        held = list(own(A).values())
    for value in held:
        value = _place(value) if dataclasses.is_dataclass(value) else value
        if is_array(value) and library(value) != "numpy":
            found = value
    return found


def krylov_bound(
    M: Callable[[Array], Array],
    zero: Array,
    known: float = math.inf,
    ratio: float = 1.2,
    most: int = 40,
    chance: float = 1e-6,
) -> float:
    r"""An upper bound of the largest eigenvalue λ of a symmetric M ≥ 0, wrong with probability ≤ `chance`.

    Lanczos from a random direction v of R^n makes orthonormal vectors p_j(M) v, the p_j polynomials of degree j.  With
    z the unit eigenvector of λ, ⟨z, p_j(M) v⟩ = p_j(λ)⟨z, v⟩, so by Bessel's inequality

    .. math:: Σ_j p_j(λ)² ≤ 1/⟨z, v⟩² ≤ 2n/(π·chance²),

    the last but for the chance, as |⟨z, v⟩| ≤ t has at most the probability t√(2n/π).  Beyond the largest Ritz value θ
    every p_j² grows, so the point where the sum reaches the right side is a bound.  (Kuczyński & Woźniakowski 1992,
    SIAM J. Matrix Anal. Appl. 13, bound the same by Chebyshev polynomials, for the worst spectrum; the p_j know this.)
    Rounding in the dtype of `zero` is not accounted for; it turns p_j(M) v by eps, far less than `ratio` leaves open.

    Parameters
    ----------
    M : the map, of arrays like `zero`.
    zero : an array of zeros; v is drawn once and for all, so that results repeat.
    known : another bound; the smaller of both is returned.
    ratio, most : ends where the bound is at most ratio·θ ≤ ratio·λ, or after so many applications; it holds anyway.
    """
    n = math.prod(zero.shape)
    limit = 2 * n / (math.pi * chance**2)
    v = like(xnp.reshape(xnp.random.default_rng(0).standard_normal(n), zero.shape), zero)
    v, before, b = v / norm(v), None, 0.0
    del zero
    diagonal: list[float] = []
    beside: list[float] = []
    bound = known
    for _ in range(min(most, n)):
        w = M(v)
        w = w if before is None else add_scaled(w, -b, before)
        before = None  # room for the next
        diagonal.append(dot(w, v))
        w = add_scaled(w, -diagonal[-1], v)
        before, b = v, norm(w)
        if not math.isfinite(b + diagonal[-1]):
            raise ValueError(
                "no bound of a norm: an operator of the problem returns NaN or infinite values for a finite image, or "
                "its values overflow; find which with vi.testing.check_operator"
            )
        theta = _largest_ritz(diagonal, beside)
        if b <= 4 * float(namespace(w).finfo(w.dtype).eps) * theta:
            return min(theta * (1 + 1e-6), known)  # v lies in the span of these few eigenvectors: all that there are
        beside.append(b)
        v = w / b
        del w
        bound = min(known, _where_sum_reaches(limit, diagonal, beside, theta))
        if bound <= ratio * theta:
            break
    return bound


def _largest_ritz(diagonal: list[float], beside: list[float]) -> float:
    T = xnp.diag(xnp.asarray(diagonal)) + xnp.diag(xnp.asarray(beside), 1) + xnp.diag(xnp.asarray(beside), -1)
    return float(xnp.linalg.eigvalsh(T)[-1])


def _where_sum_reaches(limit: float, diagonal: list[float], beside: list[float], theta: float) -> float:
    """The λ > θ with Σ p_j(λ)² = limit, by bisection from above; p_j from the three terms of Lanczos."""

    def reaches(value: float) -> bool:
        old, p, total, back = 0.0, 1.0, 1.0, 0.0
        for a, b in zip(diagonal, beside, strict=True):
            old, p, back = p, ((value - a) * p - back * old) / b, b
            total += p * p
            if total >= limit:
                return True
        return False

    low, high = theta, 2 * theta
    while high < math.inf and not reaches(high):
        low, high = high, 2 * high
    while (1 + 1e-4) * low < high < math.inf:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
