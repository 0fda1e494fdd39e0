"""A matrix as an operator: regressions, small dense problems, oracles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, namespace, same_place, to_numpy
from varinv.memory import once
from varinv.operators.base import LinearOperator


@dataclass(frozen=True, eq=False, repr=False)
class Matrix(LinearOperator):
    """Use a matrix as an operator.

    x ↦ M x along the first axis, shape (n,) → (m,), or with `columns` c: (n, c) → (m, c).

    Norm: the largest singular value (LAPACK, float64), times 1 + 1e-10 above its rounding.

    Parameters
    ----------
    values : real array M of shape (m, n); it stays on its device, the vector must be there too.
    columns : how many columns x has, or None: x has one axis.

    Raises
    ------
    TypeError, ValueError
        Values that are complex, empty, NaN or infinite, or not of two axes.

    Examples
    --------
    >>> import numpy as np
    >>> Matrix([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])(np.array([1.0, 1.0]))
    array([3., 1., 3.])
    """

    values: Array
    columns: int | None = None

    def __post_init__(self) -> None:
        values = check.real_array("Matrix", "values", self.values)
        if values.ndim != 2:
            raise ValueError(f"Matrix: values must have two axes, got shape {tuple(values.shape)}")
        object.__setattr__(self, "values", values)
        if self.columns is not None:
            object.__setattr__(self, "columns", check.integer("Matrix", "columns", self.columns, low=1))

    @property
    def _rest(self) -> Shape:
        return () if self.columns is None else (self.columns,)

    @property
    def domain(self) -> Shape:
        return (int(self.values.shape[1]), *self._rest)

    @property
    def codomain(self) -> Shape:
        return (int(self.values.shape[0]), *self._rest)

    def forward(self, x: Array) -> Array:
        return namespace(x).matmul(same_place("Matrix", "values", self.values, x), x)

    def adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        return xp.matmul(xp.permute_dims(same_place("Matrix", "values", self.values, y), (1, 0)), y)

    @once
    def norm(self) -> float:
        values = host.astype(host.asarray(to_numpy(self.values)), host.float64)
        return float(host.linalg.svdvals(values)[0]) * (1 + 1e-10)

    def absolute(self) -> LinearOperator:
        negative = float(namespace(self.values).min(self.values)) < 0
        return Matrix(abs(self.values), self.columns) if negative else self

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
        yield cls([[1.0, 2.0], [0.5, 3.0], [0.0, 0.25]], columns=3)
        yield cls([[math.sqrt(2.0)]])

    def __repr__(self) -> str:
        return f"Matrix({tuple(self.values.shape)}{'' if self.columns is None else f', columns={self.columns}'})"
