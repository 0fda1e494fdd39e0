"""A quadratic lower level that is linear in theta: everything known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, same_place, to_numpy
from varinv.functionals.data import L2Squared
from varinv.learning.families.base import Family, entries
from varinv.linalg import add_scaled
from varinv.operators.matrix import Matrix
from varinv.problem import Problem, as_problem


@dataclass(frozen=True, eq=False, repr=False)
class Quadratic(Family):
    """Least squares that depend linearly on the parameters, for tests of learning.

    ½‖B x + C θ − y‖² with a matrix B of full column rank; θ itself, no logarithms.

    μ and L are the extreme eigenvalues of BᵀB, J = BᵀC is constant.

    Parameters
    ----------
    B, C : arrays of shapes (m, n) and (m, p).
    A : array of shape (k, n): the loss is ½‖A x̂ − x_true‖²; None: ½‖x̂ − x_true‖².

    Raises
    ------
    ValueError
        Matrices with different numbers of rows, a B without full column rank.
    """

    B: Any
    C: Any
    A: Any = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "B", self.B if isinstance(self.B, Matrix) else Matrix(self.B))
        set_(self, "C", self.C if isinstance(self.C, Matrix) else Matrix(self.C))
        if self.B.codomain != self.C.codomain:
            raise ValueError(f"Quadratic: B has {self.B.codomain[0]} rows, C has {self.C.codomain[0]}")
        if self.A is not None:
            set_(self, "A", self.A if isinstance(self.A, Matrix) else Matrix(self.A))
        b = host.asarray(to_numpy(self.B.values), dtype=host.float64)
        s = host.linalg.svdvals(b)
        if b.shape[0] < b.shape[1] or float(s[-1]) <= 1e-12 * float(s[0]):
            raise ValueError(f"Quadratic: B of shape {tuple(b.shape)} must have full column rank")
        set_(self, "_mu", (float(s[-1]) * (1 - 1e-10)) ** 2)
        set_(self, "_jacobian", Matrix(b.T @ host.asarray(to_numpy(self.C.values), dtype=host.float64)).norm())

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"theta[{i}]" for i in range(self.C.domain[0]))

    def values(self, theta: Array) -> dict[str, float]:
        entries(self, theta, self.C.domain[0])
        return {name: float(theta[i]) for i, name in enumerate(self.names)}

    def theta(self, **values: float) -> Array:
        raise TypeError("Quadratic: theta is the vector itself, no logarithms")

    def __call__(self, theta: Array, y: Array) -> Problem:
        entries(self, theta, self.C.domain[0])
        y = check.real_array("Quadratic", "y", y)
        check.same_shape("Quadratic", "y", y, self.B.codomain)
        shift = self.C.forward(same_place("Quadratic", "theta", theta, y))
        return as_problem(L2Squared(add_scaled(y, -1.0, shift)) @ self.B)  # type: ignore[no-any-return]

    def loss(self, truth: Array) -> Any:
        return L2Squared(truth) if self.A is None else L2Squared(truth) @ self.A

    def mu(self, theta: Array) -> float:
        return self._mu  # type: ignore[attr-defined, no-any-return]

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> Array:
        return self.C.adjoint(self.B.forward(q))

    def bounds(self, theta: Array, y: Array, x: Array) -> tuple[float, float, float]:
        """(‖J‖, L_J, L_H) = (‖BᵀC‖, 0, 0)."""
        return self._jacobian, 0.0, 0.0  # type: ignore[attr-defined]
