"""The identity and multiplication by an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, namespace, same_place
from varinv.operators.base import LinearOperator, once


@dataclass(frozen=True, eq=False, repr=False)
class Identity(LinearOperator):
    """x ↦ x, shape (*n) → (*n); norm 1."""

    shape: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check.shape("Identity", self.domain))

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return self.shape

    @property
    def codomain(self) -> Shape:  # type: ignore[override]
        return self.domain

    def forward(self, x: Array) -> Array:
        return x

    def adjoint(self, y: Array) -> Array:
        return y

    def norm(self) -> float:
        return 1.0

    def absolute(self) -> LinearOperator:
        return self

    def isometry(self) -> float:
        return 1.0

    coisometry = isometry

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((3, 4))


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(LinearOperator):
    """x ↦ d x entrywise, shape (*n) → (*n); norm max |d|.

    Parameters
    ----------
    values : real array d of shape (*n); it stays on its device, the image must be there too.
    """

    values: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", check.real_array("Diagonal", "values", self.values))

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return tuple(self.values.shape)

    codomain = domain

    def forward(self, x: Array) -> Array:
        return same_place("Diagonal", "values", self.values, x) * x

    def adjoint(self, y: Array) -> Array:
        return self.forward(y)

    def pseudoinverse(self, y: Array, tol: float) -> Array:
        """y / d, and 0 where d = 0 exactly, whatever `tol`."""
        xp = namespace(y)
        d = same_place("Diagonal", "values", self.values, y)
        return xp.where(d == 0, xp.zeros_like(y), y / xp.where(d == 0, xp.ones_like(d), d))

    @once
    def norm(self) -> float:
        return float(namespace(self.values).max(abs(self.values)))

    def absolute(self) -> LinearOperator:
        negative = float(namespace(self.values).min(self.values)) < 0
        return Diagonal(abs(self.values)) if negative else self

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
        yield cls([2.0])
