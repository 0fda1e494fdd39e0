"""The primal–dual three-operator method of Yan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import Array, double
from varinv.fused.steps import dual_step, primal_step
from varinv.linalg import add_scaled
from varinv.operators.elementary import Identity
from varinv.problem import Problem
from varinv.solvers.base import Solver, zero_duals
from varinv.solvers.condat_vu import (
    check_steps,
    constants,
    coupling,
    example_problems,
    residual,
    sigmas,
    smooth,
)
from varinv.solvers.step_sizes import scalar_steps


class PD3OState(NamedTuple):
    """Image x, 2x − x⁻ + τ∇h(x⁻) (x⁻ the image before), one array per coupled term (∇f(Kx⁻) where smooth), steps, k."""

    x: Array
    ahead: Array
    y: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: PD3OState) -> float:
        """The relative distance of 0 from ∂g(x) + Kᵀy and from ∂f*(y) − Kx; see relative_residual."""
        x_bar = double(previous.ahead) - self.tau * double(slope(problem, self.y, self.x))
        return residual(problem, previous, self, x_bar)


@dataclass(frozen=True)
class PD3O(Solver):
    r"""Solve convex problems with a smooth data term, by primal–dual steps that may be longer than Condat's.

    min_x h(x) + g(x) + Σ f_i(K_i x), h smooth; Yan (2018), J. Sci. Comput. 76, equation (4).

    .. math::
        x' ← prox_{τ g}(x − τ(∇h(x) + Σ K_i^T y_i)),\quad
        x̄ ← 2x' − x + τ(∇h(x) − ∇h(x')),\quad y_i ← prox_{σ_i f_i^*}(y_i + σ_i K_i x̄)

    CondatVu with a corrected extrapolation, which allows longer steps: converges for τ < 2/L and τ Σ σ_i ‖K_i‖² ≤ 1,
    one condition without the other's share.  The terms go where CondatVu takes them.

    Defaults, free of scale: τ = 1.99/L, Σ σ_i ‖K_i‖² = 0.99/τ in equal parts; without h those of ChambollePock.

    Parameters
    ----------
    tau, sigma : steps; None: the defaults above.  `sigma` is one number, or one for each f_i, in the order of
        ``problem.coupled``.

    Raises
    ------
    TypeError, ValueError
        As CondatVu.
    """

    tau: float | None = None
    sigma: Any = None

    def __post_init__(self) -> None:
        check_steps(self)

    def init(self, problem: Problem, x: Array) -> PD3OState:
        tau, sigma = self.steps(problem)
        return PD3OState(x, x, zero_duals(problem, x), tau, sigma)

    def step(self, problem: Problem, s: PD3OState) -> PD3OState:
        terms = problem.coupled
        y = tuple(t.f.grad(t.K.forward(s.x)) if smooth(t) else y for t, y in zip(terms, s.y, strict=True))
        descent = slope(problem, y, s.x)
        x_bar = add_scaled(s.ahead, -s.tau, descent)
        y = tuple(
            y if smooth(t) else dual_step(t.f, t.K, y, x_bar, sigma)
            for t, y, sigma in zip(terms, y, s.sigma, strict=True)
        )
        dual = [(t.K, y) for t, y in zip(terms, y, strict=True) if not smooth(t)]
        operators, arrays = [Identity(problem.domain), *(K for K, _ in dual)], [descent, *(a for _, a in dual)]
        x, twice = primal_step(problem.simple, operators, arrays, s.x, s.tau, 1.0)
        return PD3OState(x, add_scaled(twice, s.tau, descent), y, s.tau, s.sigma, s.k + 1)

    def steps(self, problem: Problem) -> tuple[float, tuple[float, ...]]:
        """τ, and for each coupled term σ_i or, where it is smooth, L_j; checked against τ < 2/L and τ Σσ‖K‖² ≤ 1."""
        L, norms = constants("PD3O", problem)
        tau = self.tau if self.tau is not None else (1.99 / L if L > 0 else None)
        sigma = sigmas("PD3O", self.sigma, problem, norms, 0.99 / tau if tau is not None else 0.0)
        total = coupling(problem, sigma, norms)
        if tau is None:
            tau = 0.99 / total if total > 0 else scalar_steps(problem)[0]
        elif self.tau is None and tau * total > 1:  # sigma was given
            tau = 0.99 / total
        if tau * L >= 2 or tau * total > 1 + 1e-9:
            raise ValueError(
                f"PD3O: tau={tau:g}, sigma={self.sigma} give τL = {tau * L:.4g} (below 2 is needed) and "
                f"τ Σσ‖K‖² = {tau * total:.4g} (at most 1); the iteration may diverge, make a step smaller"
            )
        return tau, sigma

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for problem in example_problems():
            yield cls(), problem


def slope(problem: Problem, y: tuple[Array, ...], x: Array) -> Array:
    """∇h = Σ K_jᵀ y_j over the smooth terms, y_j = ∇f_j(K_j x); of the shape of x."""
    total: Array = 0.0 * x
    for t, a in zip(problem.coupled, y, strict=True):
        if smooth(t):
            total = add_scaled(total, 1.0, t.K.adjoint(a))
    return total
