"""Smoothed sparsity of a graph Laplacian: weight, smoothing and the scale of the graph."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array
from varinv.functionals.charbonnier import Charbonnier
from varinv.learning.families.base import Family, data_term, operator
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.operators.graph import GraphLaplacian
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Family):
    r"""Least squares with a regulariser on a graph that a guide image gives.

    ½‖A x − y‖² + λ Σ √((Lx)² + ν²) + ½ ξ‖x‖², L the Laplacian of a graph; θ = (ln λ, ln ν, ln scale).

    The derivative in the scale of the graph, which moves every edge and the normalisation, is a central difference of
    ⟨∇h, q⟩; the others are closed forms.

    Parameters
    ----------
    laplacian : a `GraphLaplacian` of the images' shape; its own scale is where ``theta(scale=…)`` may start.
    A : forward operator; None: denoising.
    ridge : ξ ≥ 0; positive for other A.

    Raises
    ------
    TypeError, ValueError
        Another operator in place of the Laplacian, an operator of other images.
    """

    laplacian: GraphLaplacian
    A: LinearOperator | None = None
    ridge: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.laplacian, GraphLaplacian):
            raise TypeError(f"Graph: laplacian must be a GraphLaplacian, got {check.describe(self.laplacian)}")
        operator("Graph", self.A)
        if self.A is not None and tuple(self.A.domain) != tuple(self.laplacian.domain):
            raise ValueError(f"Graph: A takes images {tuple(self.A.domain)}, the graph {tuple(self.laplacian.domain)}")
        check.number("Graph", "ridge", self.ridge, low=0.0)

    @property
    def names(self) -> tuple[str, ...]:
        return ("weight", "smoothing", "scale")

    def _parts(self, theta: Array) -> tuple[float, float, LinearOperator]:
        v = self.values(theta)
        return v["weight"], v["smoothing"], dataclasses.replace(self.laplacian, scale=v["scale"])

    def __call__(self, theta: Array, y: Array) -> Problem:
        weight, smoothing, L = self._parts(theta)
        problem: Problem = data_term(y, self.A, self.ridge) + Charbonnier(smoothing, weight) @ L
        return problem

    def mu(self, theta: Array) -> float:
        return (1.0 if self.A is None else 0.0) + self.ridge

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> list[float]:
        weight, nu, L = self._parts(theta)
        z, Lq = L.forward(x), L.forward(q)
        phi = (z * z + nu**2) ** 0.5
        h, scale = 1e-4, math.exp(float(theta[2]))
        moved = []
        for sign in (1.0, -1.0):
            at = dataclasses.replace(self.laplacian, scale=scale * math.exp(sign * h))
            moved.append(dot(Charbonnier(nu, weight).grad(at.forward(x)), at.forward(q)))
        edges = (moved[0] - moved[1]) / (2 * h)
        return [weight * dot(z / phi, Lq), -weight * nu**2 * dot(z / phi**3, Lq), edges]

    def __repr__(self) -> str:
        return f"Graph({self.laplacian}{'' if self.A is None else f', A={self.A}'})"
