"""A certified upper bound of the norm of an operator without negative entries."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import array_api_compat.numpy as xnp

from varinv.backend import Array, device, is_array, library, namespace
from varinv.linalg import dot

if TYPE_CHECKING:
    from varinv.operators.base import LinearOperator


def collatz_wielandt(A: LinearOperator, ratio: float = 1.01, most: int = 30, floor: float = 1e-200) -> float:
    """A certified upper bound of ‖A‖ for an operator without negative entries.

    For M = AᵀA ≥ 0 and any x > 0 on the pixels that A reads, max_j (Mx)_j / x_j bounds the largest eigenvalue from
    above (Collatz 1942, Wielandt 1950) and ⟨x, Mx⟩/⟨x, x⟩ from below.  x ← Mx / max from ones, in float64, until
    upper/lower ≤ `ratio` or `most` applications; returns √upper·(1 + 1e-6).  Pixels no entry of A touches drop out;
    an all-zero operator gives 0.  x stays above `floor` (any x > 0 certifies): 1e-8 where A goes through FFTs, whose
    rounding is absolute.
    """
    place = _place(A)
    xp = namespace(place)
    ones = xp.ones(A.codomain, dtype=xp.float64, device=device(place))
    seen = A.adjoint(ones) > 0
    if not bool(xp.any(seen)):
        return 0.0
    x = xp.astype(seen, xp.float64)
    upper = math.inf
    for _ in range(most):
        Mx = A.adjoint(A.forward(x))
        upper = min(upper, float(xp.max(xp.where(seen, Mx, 0.0) / xp.where(seen, x, 1.0))))
        if upper <= ratio * dot(x, Mx) / dot(x, x):
            break
        x = Mx / float(xp.max(Mx))
        # a positive vector stays positive on the pixels it is read through; guard against underflow of far ones
        x = xp.where(seen, xp.clip(x, floor, None), 0.0)
    return math.sqrt(upper) * (1 + 1e-6)


def _place(A: Any) -> Array:
    """An array where A works: one that A holds itself, of another library than NumPy if there is one."""
    found: Array = xnp.zeros(1)
    for field in dataclasses.fields(A) if dataclasses.is_dataclass(A) else ():
        value = getattr(A, field.name)
        value = _place(value) if dataclasses.is_dataclass(value) else value
        if is_array(value) and library(value) != "numpy":
            found = value
    return found
