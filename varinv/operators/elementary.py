"""The identity and multiplication by an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, indices_like, namespace, same_place
from varinv.memory import once
from varinv.operators.base import LinearOperator


@dataclass(frozen=True, eq=False, repr=False)
class Identity(LinearOperator):
    """The operator that changes nothing: the data are the image itself.

    x ↦ x, shape (*n) → (*n); norm 1.
    """

    shape: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check.shape("Identity", self.domain))

    @property
    def domain(self) -> Shape:
        return self.shape

    codomain = domain

    def forward(self, x: Array) -> Array:
        return x

    def adjoint(self, y: Array) -> Array:
        return y

    def norm(self) -> float:
        return 1.0

    def absolute(self) -> LinearOperator:
        return self

    def diagonal(self) -> float:
        return 1.0

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        shape = list(self.shape)
        shape[axis] = len(indices)
        return Identity(tuple(shape))

    def shift_invariant(self) -> bool:
        return True

    def isometry(self) -> float:
        return 1.0

    coisometry = isometry

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((3, 4))


@dataclass(frozen=True, eq=False, repr=False)
class Diagonal(LinearOperator):
    """Multiply every pixel by a factor of its own.

    x ↦ d x entrywise, shape (*n) → (*n); norm max |d|.

    Parameters
    ----------
    values : real array d of shape (*n); it stays on its device, the image must be there too.
    """

    values: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", check.real_array("Diagonal", "values", self.values))

    @property
    def domain(self) -> Shape:
        return tuple(self.values.shape)

    codomain = domain

    def forward(self, x: Array) -> Array:
        return same_place("Diagonal", "values", self.values, x) * x

    adjoint = forward

    def diagonal(self) -> Array:
        return self.values

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        d = self.values
        return Diagonal(namespace(d).take(d, indices_like(indices, d), axis=axis))

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
        line, minus = Identity((3,)), cls([1.0, 2.0, 3.0])
        yield from (line + minus, line + 2 * line, line - minus)  # two isometries that meet, and what may cancel
        yield -2.0 * minus @ line + (minus @ minus).T
