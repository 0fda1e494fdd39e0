"""Chambolle–Pock with diagonal preconditioning: a step of its own for every pixel and every measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import Array, double, is_array, namespace
from varinv.fused.steps import dual_step
from varinv.linalg import add_scaled
from varinv.problem import Problem
from varinv.solvers.base import Solver, Unsuited, refuse, zero_duals
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.optimality import relative_residual
from varinv.solvers.step_sizes import scalar_steps


class PreconditionedState(NamedTuple):
    """Image x, x̄, one dual array per coupled term, the steps (images of the shapes of x and y, or numbers), k."""

    x: Array
    x_bar: Array
    y: tuple[Array, ...]
    tau: Array
    sigma: tuple[Any, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: PreconditionedState) -> float:
        """The relative distance of 0 from ∂g(x) + Kᵀy and from ∂f*(y) − Kx, exact for this iteration order."""
        x, tau = double(self.x), double(self.tau)
        ahead = double(previous.x_bar) - x
        d = (
            (double(old) - double(new)) / s + t.K.forward(ahead)
            for t, new, old, s in zip(problem.coupled, self.y, previous.y, self.sigma, strict=True)
        )
        p = (double(previous.x) - x) / tau
        return relative_residual(problem, x, self.y, p, tau, d, self.sigma, alone=True)


@dataclass(frozen=True)
class PreconditionedChambollePock(Solver):
    r"""Primal–dual steps with a size for every pixel and every measurement, for operators of uneven scale.

    min_x g(x) + Σ f_i(K_i x); Pock & Chambolle (2011, ICCV), "Diagonal preconditioning", Lemma 2 with α = 1.

    .. math::
        y_i ← prox_{Σ_i f_i^*}(y_i + Σ_i K_i x̄),\quad
        x' ← prox_{T g}(x − T Σ K_i^T y_i),\quad  x̄ ← 2x' − x

    with diagonal steps Σ_i = s_i/(|K_i| 1) and T = 0.99/Σ_i s_i |K_i|ᵀ1: by Cauchy–Schwarz, row by row,
    ‖Σ^{1/2} K T^{1/2}‖² ≤ 0.99 for any numbers s_i > 0.  They are chosen such that all terms weigh on average what the
    scalar steps of ChambollePock let them weigh, s_i·mean(|K_i|ᵀ1) = σ_i ‖K_i‖²; so they are free of scale too.

    Where |K_i| is not known or f_i is not a sum over entries (isotropic TV), its step stays the number σ_i, and T has
    σ_i ‖K_i‖² in the place of s_i |K_i|ᵀ1.  It pays where rows or columns of K differ much: short rays, fans, views
    that see a part of the object.

    Raises
    ------
    TypeError, ValueError
        In `init`: terms without a prox, or that are not convex; terms of the image itself that are not sums over
        pixels, as every pixel has a step of its own (use ChambollePock).
    """

    def init(self, problem: Problem, x: Array) -> PreconditionedState:
        refuse("PreconditionedChambollePock", [problem.simple, *(t.f for t in problem.coupled)])
        if problem.simple is not None and not problem.simple.separable:
            raise Unsuited(
                f"PreconditionedChambollePock gives every pixel a step of its own, but {problem.simple} is not a sum "
                "over pixels; use ChambollePock, or compose it with Identity"
            )
        return PreconditionedState(x, x, zero_duals(problem, x), *self.steps(problem, x))

    def step(self, problem: Problem, s: PreconditionedState) -> PreconditionedState:
        y = tuple(
            t.f.prox_conj(y + sigma * t.K.forward(s.x_bar), sigma)
            if is_array(sigma)
            else dual_step(t.f, t.K, y, s.x_bar, sigma)
            for t, y, sigma in zip(problem.coupled, s.y, s.sigma, strict=True)
        )
        x = s.x
        for t, a in zip(problem.coupled, y, strict=True):
            x = x - s.tau * t.K.adjoint(a)
        x = x if problem.simple is None else problem.simple.prox(x, s.tau)
        return PreconditionedState(x, add_scaled(x, 1.0, x - s.x), y, s.tau, s.sigma, s.k + 1)

    def steps(self, problem: Problem, x: Array) -> tuple[Array, tuple[Any, ...]]:
        """T, an image like x, and for each coupled term Σ_i, an array like y_i or a number."""
        xp, one = namespace(x), namespace(x).ones_like(x)
        weight, sigma = 0.0 * one, []
        _, scalars = scalar_steps(problem)
        for t, s in zip(problem.coupled, scalars, strict=True):
            target, K = s * t.K.norm() ** 2, t.K.absolute() if t.f.separable else None
            if K is None or target == 0:
                weight, step = weight + target, s
            else:
                rows = K.forward(one)
                columns = K.adjoint(xp.ones_like(rows))
                share = target / float(xp.mean(double(columns)))
                weight = weight + share * columns
                hit = rows > 1e-6 * float(xp.max(rows))  # shorter rows may keep the step of one that long
                step = share / xp.where(hit, rows, xp.full_like(rows, 1e-6 * float(xp.max(rows))))
            sigma.append(step)
        least = 1e-6 * float(xp.max(weight))
        return 0.99 / xp.where(weight > least, weight, xp.full_like(weight, least or 1.0)), tuple(sigma)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for _, problem in ChambollePock.examples():
            yield cls(), problem
