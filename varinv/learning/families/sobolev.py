"""Sobolev smoothness: how much, and of which order."""

from __future__ import annotations

from dataclasses import dataclass

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape
from varinv.functionals.data import L2Squared
from varinv.learning.families.base import Family, data_term, entries, exponential, operator
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.operators.frequencies import filtered, frequencies
from varinv.operators.sobolev import Sobolev as Filter
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class Sobolev(Family):
    r"""Least squares with a Sobolev filter as the regulariser, whose weight and order are learned.

    ½‖A x − y‖² + ½ λ‖S x‖² + ½ ξ‖x‖² with the filter S of `vi.Sobolev`; θ = (ln λ, s), the order s itself.

    S² multiplies by v = b^s/mean(b^s), b = 1 + scale²|ξ|², so that ∂S²/∂s = v (ln b − mean(v ln b)).

    Parameters
    ----------
    shape, scale, axes, boundary : as in `vi.Sobolev`.
    A : forward operator; None: denoising.
    ridge : ξ ≥ 0.

    Raises
    ------
    TypeError, ValueError
        What `vi.Sobolev` refuses, an operator of other images.
    """

    shape: Shape
    A: LinearOperator | None = None
    ridge: float = 0.0
    scale: float = 1.0
    axes: tuple[int, ...] | None = None
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        operator("Sobolev", self.A)
        filter_ = self._filter(0.0)
        if self.A is not None and tuple(self.A.domain) != tuple(filter_.domain):
            raise ValueError(f"Sobolev: A takes images {tuple(self.A.domain)}, the filter {tuple(filter_.domain)}")
        check.number("Sobolev", "ridge", self.ridge, low=0.0)

    @property
    def names(self) -> tuple[str, ...]:
        return ("weight", "order")

    def _filter(self, s: float) -> Filter:
        return Filter(self.shape, s, self.scale, self.axes, self.boundary)

    def theta(self, **values: float) -> Array:
        order = check.number("Sobolev", "order", values.get("order", 0.0))
        whole = super().theta(**{**values, **({"order": 1.0} if "order" in values else {})})
        return host.asarray([float(whole[0]), order])

    def values(self, theta: Array) -> dict[str, float]:
        entries(self, theta, 2)
        return {"weight": exponential(self, "weight", theta[0]), "order": float(theta[1])}

    def __call__(self, theta: Array, y: Array) -> Problem:
        v = self.values(theta)
        problem: Problem = data_term(y, self.A, self.ridge) + L2Squared(0.0, v["weight"]) @ self._filter(v["order"])
        return problem

    def mu(self, theta: Array) -> float:
        v = self.values(theta)
        least = float(host.min(self._filter(v["order"]).weights)) ** 2 * (1 - 1e-10)
        return (1.0 if self.A is None else 0.0) + self.ridge + v["weight"] * least

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> list[float]:
        v = self.values(theta)
        S = self._filter(v["order"])
        squares, counts = host.zeros((1,) * len(S.shape)), host.ones((1,) * len(S.shape))
        for k, xi, count in frequencies(S.shape, S.axes or (), S.boundary):
            along = tuple(-1 if j == k else 1 for j in range(len(S.shape)))
            squares = squares + host.reshape(xi * xi, along)
            counts = counts * host.reshape(count, along)
        logs, square = host.log1p(S.scale**2 * squares), S.weights**2
        mean = float(host.sum(square * logs * counts)) / float(host.sum(counts * host.ones_like(square)))
        slope = filtered(x, square * (logs - mean), S.axes or (), S.boundary)
        return [v["weight"] * dot(S.forward(x), S.forward(q)), v["weight"] * dot(slope, q)]

    def __repr__(self) -> str:
        return f"Sobolev({self._filter(0.0).shape}, scale={self.scale:g}{'' if self.A is None else f', A={self.A}'})"
