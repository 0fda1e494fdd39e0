"""A restoration network as an implicit prior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.linalg import add_scaled, dot
from varinv.operators.base import LinearOperator
from varinv.priors.common import data_term
from varinv.priors.denoiser import an_image
from varinv.problem import Problem
from varinv.solvers.base import Solver


class DRPState(NamedTuple):
    """The restored image x = R(Hu), the iterate u, the iteration number."""

    x: Array
    u: Array
    k: int = 0


@dataclass(frozen=True, eq=False)
class DRP(Solver):
    r"""Restore images with a network trained for another restoration task, such as super-resolution.

    Deep restoration prior: Hu, Hou, … & Kamilov (2024), with a network R trained to restore H x.

    .. math::
        z = (1 − γτ) u + γτ R(H u),\qquad
        u ← \arg\min_u ½‖A u − y‖² + \frac{λ}{2}‖H(u − z)‖²,\qquad x = R(H u)

    The second step is the scaled proximal map with metric HᵀH; its normal equations are
    (AᵀA + λHᵀH) u = Aᵀy + λHᵀH z.  If R is the mean-square-optimal restorer of H x + noise, fixed points make the
    gradient of ½‖Ax − y‖² plus that of −τ s² log p(Hx) vanish (theorem 1 of the paper).  Returned is the output of the
    network.

    Parameters
    ----------
    restorer : R, from the codomain of H to its domain.
    H : the operator R was trained to undo (blur, downsampling …), on the images of the problem.
    relax : γτ in (0, 1], how far each step follows the network.
    weight : λ > 0.
    inner : conjugate gradient steps of the second step, from the last u.  H is often blind to fine detail, and A too:
        there AᵀA + λHᵀH is nearly singular, and few steps are what regularises.

    The problem is ``L2Squared(y) @ A`` and nothing else.

    Raises
    ------
    TypeError, ValueError
        In `init`, another problem, or H on images of another shape; on a step, a restorer that returns another shape.
    """

    restorer: Any
    H: LinearOperator
    relax: float = 0.1
    weight: float = 0.05
    inner: int = 1

    def __post_init__(self) -> None:
        if not callable(self.restorer):
            raise TypeError(f"DRP: restorer must be callable, got {check.describe(self.restorer)}")
        if not isinstance(self.H, LinearOperator):
            raise TypeError(f"DRP: H must be a LinearOperator, got {check.describe(self.H)}")
        object.__setattr__(self, "relax", check.number("DRP", "relax", self.relax, low=0.0, high=1.0))
        check.integer("DRP", "inner", self.inner, low=1)
        object.__setattr__(self, "weight", check.number("DRP", "weight", self.weight, low=0.0, strict=True))

    def init(self, problem: Problem, x: Array) -> DRPState:
        _, A = data_term("DRP", problem, alone=True)
        if tuple(self.H.domain) != tuple(A.domain):
            raise ValueError(f"DRP: H must act on images of shape {tuple(A.domain)}, got {self.H}")
        return DRPState(self._restored(x), x)

    def _restored(self, u: Array) -> Array:
        return an_image("DRP: the restorer", self.restorer(self.H.forward(u)), u)

    def step(self, problem: Problem, s: DRPState) -> DRPState:
        f, A = data_term("DRP", problem)
        H = self.H
        z = add_scaled(s.u, self.relax, s.x - s.u)

        def metric(p: Array) -> Array:
            return self.weight * H.adjoint(H.forward(p))

        def normal(p: Array) -> Array:
            return A.adjoint(A.forward(p)) + metric(p)

        u, r = s.u, A.adjoint(f.y) + metric(z) - normal(s.u)
        p, gamma = r, dot(r, r)
        for _ in range(self.inner):
            if gamma <= 0:
                break
            q = normal(p)
            alpha = gamma / dot(p, q)
            u, r = add_scaled(u, alpha, p), add_scaled(r, -alpha, q)
            before, gamma = gamma, dot(r, r)
            p = add_scaled(r, gamma / before, p)
        return DRPState(self._restored(u), u, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.functionals.data import L2Squared
        from varinv.operators.elementary import Diagonal

        H = Diagonal([[1.0, 0.5, 0.8]])
        data = L2Squared([[0.1, 1.2, 0.9]]) @ Diagonal([[1.0, 2.0, 0.5]])
        yield cls(lambda s: 0.9 * s, H), Problem((data,))
