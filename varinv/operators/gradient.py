"""Finite differences in any dimension, with three boundaries and their exact adjoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, kernel, namespace
from varinv.forms import Differences
from varinv.operators.base import LinearOperator

BOUNDARIES = ("neumann", "periodic", "dirichlet")


@dataclass(frozen=True, eq=False, repr=False)
class Gradient(LinearOperator):
    r"""The gradient of an image: differences of neighbouring pixels along every axis.

    Forward differences, one leading axis per direction; shape (*n) → (d, *n).

    (∇u)_k[i] = (u[i + e_k] − u[i]) / h_k, and where i + e_k leaves the image

    ========== ===================================================================
    neumann    0 (the image continues with its border value)
    periodic   u wraps around
    dirichlet  −u[i] / h_k (the image continues with 0 beyond its last entry)
    ========== ===================================================================

    Units: grey value per unit of `spacing`; the default 1 counts pixels.  The adjoint is minus the divergence
    (Chambolle 2004, section 2, for neumann).

    Norm, in closed form: the operator is a sum over axes that commute, ‖∇‖² = Σ_k λ_k / h_k² with λ = the largest
    eigenvalue of the one-dimensional second difference: 4 cos²(π/2n) (neumann), 4 sin²(π⌊n/2⌋/n) (periodic),
    4 cos²(π/(2n+1)) (dirichlet); never above √(Σ 4/h²).

    Parameters
    ----------
    shape : image shape.
    spacing : pixel distance, one number or one per axis in `axes`.
    axes : the axes to differentiate along; None: all.
    boundary : "neumann", "periodic" or "dirichlet".

    Raises
    ------
    TypeError, ValueError
        An axis out of range or named twice, a spacing that is not positive, an unknown boundary.

    Examples
    --------
    >>> import numpy as np
    >>> Gradient((4,))(np.array([0.0, 1.0, 3.0, 6.0]))
    array([[1., 2., 3., 0.]])
    """

    shape: Shape
    spacing: Any = 1.0
    axes: tuple[int, ...] | None = None
    boundary: str = "neumann"

    def __post_init__(self) -> None:
        who = "Gradient"
        shape = check.shape(who, self.domain)
        axes = check.axes(who, self.axes, shape)
        given: Any = self.spacing if isinstance(self.spacing, (tuple, list)) else (self.spacing,) * len(axes)
        if len(given) != len(axes):
            raise ValueError(f"{who}: spacing must be one number or {len(axes)} of them, got {len(given)}")
        if self.boundary not in BOUNDARIES:
            raise ValueError(f"{who}: boundary must be one of {', '.join(BOUNDARIES)}, got {self.boundary!r}")
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "axes", axes)
        set_(self, "spacing", tuple(check.number(who, "spacing", h, low=0, strict=True) for h in given))

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return (len(self.axes or ()), *self.domain)

    def forward(self, x: Array) -> Array:
        return differences(x, self.spacing, self.axes or (), self.boundary)

    def adjoint(self, y: Array) -> Array:
        return minus_divergence(y, self.spacing, self.axes or (), self.boundary)

    def form(self) -> Differences | None:
        return Differences(self.spacing, self.axes or ()) if self.boundary == "neumann" else None

    def shift_invariant(self) -> bool:
        return self.boundary == "periodic"

    def norm(self) -> float:
        largest: dict[str, Callable[[int], float]] = {
            "neumann": lambda n: 4 * math.cos(math.pi / (2 * n)) ** 2 if n > 1 else 0.0,
            "periodic": lambda n: 4 * math.sin(math.pi * (n // 2) / n) ** 2,
            "dirichlet": lambda n: 4 * math.cos(math.pi / (2 * n + 1)) ** 2,
        }
        squared = largest[self.boundary]
        total = sum(squared(self.domain[k]) / h**2 for k, h in zip(self.axes or (), self.spacing, strict=True))
        return math.sqrt(total) * (1 + 1e-12)  # above the rounding of the formula itself

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        for boundary in BOUNDARIES:
            yield cls((7,), boundary=boundary)
            yield cls((5, 8), spacing=(0.5, 2.0), boundary=boundary)
            yield cls((4, 3, 5), boundary=boundary)
            yield cls((1, 3), boundary=boundary)
        yield cls((4, 3, 5), axes=(2, 0))
        yield cls((512, 300))
        yield cls((5, 8)).T
        yield -0.5 * cls((3, 4))
        yield cls((3, 4)).T @ cls((3, 4))

    def __repr__(self) -> str:
        extra = "" if self.boundary == "neumann" else f", boundary={self.boundary!r}"
        return f"Gradient({self.domain}{extra})"


@kernel
def differences(u: Array, spacing: tuple[float, ...], axes: tuple[int, ...], boundary: str) -> Array:
    """Forward differences of u along `axes`, stacked in front."""
    xp = namespace(u)
    return xp.stack([_difference(xp, u, k, boundary) / h for k, h in zip(axes, spacing, strict=True)])


@kernel
def minus_divergence(p: Array, spacing: tuple[float, ...], axes: tuple[int, ...], boundary: str) -> Array:
    """The adjoint of `differences`."""
    xp = namespace(p)
    total = 0.0
    for j, (k, h) in enumerate(zip(axes, spacing, strict=True)):
        total = total + _transposed(xp, p[j, ...], k, boundary) / h
    return total


def _difference(xp: Any, u: Array, k: int, boundary: str) -> Array:
    first, last = _part(u, k, slice(0, 1)), _part(u, k, slice(-1, None))
    after = {"neumann": last, "periodic": first, "dirichlet": xp.zeros_like(last)}[boundary]
    return xp.concat([_part(u, k, slice(1, None)), after], axis=k) - u


def _transposed(xp: Any, p: Array, k: int, boundary: str) -> Array:
    """One-dimensional adjoint: (Dᵀp)[i] = p[i−1] − p[i], with the boundary's first and last entries."""
    inner, last = _part(p, k, slice(0, -1)), _part(p, k, slice(-1, None))
    zero = xp.zeros_like(last)
    if boundary == "neumann":  # the last difference is 0, so p[-1] is not read
        return xp.concat([zero, inner], axis=k) - xp.concat([inner, zero], axis=k)
    before = last if boundary == "periodic" else zero
    return xp.concat([before, inner], axis=k) - p


def _part(u: Array, k: int, part: slice) -> Array:
    return u[(slice(None),) * k + (part, Ellipsis)]
