"""The primal–dual method of Chambolle and Pock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, double
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import L2Squared
from varinv.functionals.tv import TV
from varinv.fused.steps import dual_step, primal_step
from varinv.operators.elementary import Diagonal
from varinv.problem import Problem
from varinv.solvers.base import Solver, refuse, zero_duals
from varinv.solvers.optimality import relative_residual
from varinv.solvers.step_sizes import balanced


class ChambollePockState(NamedTuple):
    """Image x, extrapolated image x̄, one dual array per coupled term, the steps, the iteration number."""

    x: Array
    x_bar: Array
    y: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: ChambollePockState) -> float:
        """The relative distance of 0 from ∂g(x) + Kᵀy and from ∂f*(y) − Kx: p and d, exact for this iteration order."""
        x = double(self.x)
        ahead, p = double(previous.x_bar) - x, (double(previous.x) - x) / previous.tau
        d = (
            (double(old) - double(new)) / sigma + t.K.forward(ahead)
            for t, new, old, sigma in zip(problem.coupled, self.y, previous.y, previous.sigma, strict=True)
        )
        alone = self.sigma == previous.sigma  # Algorithm 1
        return relative_residual(problem, x, self.y, p, previous.tau, d, previous.sigma, alone)


@dataclass(frozen=True)
class ChambollePock(Solver):
    r"""Solve total variation and other convex problems that need not be smooth, by primal–dual steps.

    min_x g(x) + Σ f_i(K_i x); Chambolle & Pock (2011), Algorithm 1, and Algorithm 2 where g is strongly convex.

    .. math::
        y_i ← prox_{σ_i f_i^*}(y_i + σ_i K_i x̄),\quad
        x' ← prox_{τ g}(x − τ Σ K_i^T y_i),\quad  x̄ ← x' + θ (x' − x)

    Algorithm 1: θ = 1.  Algorithm 2: θ = 1/√(1 + 2γτ), τ ← θτ, σ_i ← σ_i/θ.  Converges for τ Σ σ_i ‖K_i‖² ≤ 1.

    Default steps are free of scale.  With a smooth data term f_1 (constant L) on A: σ_1 = L·max(0.03, 3/r), where
    r = n‖A‖²/‖A‖_F² is the spread of its singular values (docs/decisions/0006; 0.03·L for CT); a block K_i is balanced
    by ν_i = ‖A‖/‖K_i‖, that is σ_i = σ_1 ν_i², then τ = 0.99/Σ σ_i ‖K_i‖².  Where only g is strongly convex, τ = 10/γ
    (the best of seven on denoising at three weights; 0.2/γ for Algorithm 1) and σ_i = 0.99/(n τ ‖K_i‖²) over the n
    blocks.  Where nothing is smooth or strongly convex, σ_1 is the size of the duals (the weights) over that of the
    data.  The norms are certified upper bounds.

    Parameters
    ----------
    tau, sigma : steps; None: the defaults above.  `sigma` is one number, or one for each coupled term.
    gamma : strong convexity of g to use; None: what the terms declare, 0: Algorithm 1.

    Raises
    ------
    TypeError, ValueError
        Steps that are not positive or do not satisfy the condition (the message gives the value), a term without a
        prox or that is not convex, gamma above what the problem has.
    """

    tau: float | None = None
    sigma: Any = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        who = "ChambollePock"
        if self.tau is not None:
            object.__setattr__(self, "tau", check.number(who, "tau", self.tau, low=0.0, strict=True))
        if self.sigma is not None:
            many = isinstance(self.sigma, (tuple, list))
            values = tuple(
                check.number(who, "sigma", s, low=0.0, strict=True) for s in (self.sigma if many else [self.sigma])
            )
            object.__setattr__(self, "sigma", values if many else values[0])
        if self.gamma is not None:
            object.__setattr__(self, "gamma", check.number(who, "gamma", self.gamma, low=0.0))

    def init(self, problem: Problem, x: Array) -> ChambollePockState:
        refuse("ChambollePock", [problem.simple, *(t.f for t in problem.coupled)])
        return ChambollePockState(x, x, zero_duals(problem, x), *self.steps(problem))

    def step(self, problem: Problem, s: ChambollePockState) -> ChambollePockState:
        return self._next(problem, s, False)

    def advance(
        self, problem: Problem, state: ChambollePockState, most: int, spare: bool = False
    ) -> ChambollePockState:
        return self._next(problem, state, spare)

    def _next(self, problem: Problem, s: ChambollePockState, spare: bool) -> ChambollePockState:
        gamma = self.strength(problem) if problem.coupled else 0.0
        theta = 1 / math.sqrt(1 + 2 * gamma * s.tau)
        y = tuple(
            dual_step(t.f, t.K, y, s.x_bar, sigma, spare=spare)
            for t, y, sigma in zip(problem.coupled, s.y, s.sigma, strict=True)
        )
        x, x_bar = primal_step(problem.simple, [t.K for t in problem.coupled], y, s.x, s.tau, theta)
        return ChambollePockState(x, x_bar, y, theta * s.tau, tuple(sigma / theta for sigma in s.sigma), s.k + 1)

    def strength(self, problem: Problem) -> float:
        """γ: the strong convexity of g that Algorithm 2 uses; 0: Algorithm 1."""
        declared = max(problem.simple.convexity, 0.0) if problem.simple is not None else 0.0
        if self.gamma is None:
            return declared
        if self.gamma > declared * (1 + 1e-12):
            raise ValueError(
                f"ChambollePock: gamma={self.gamma:g} exceeds the strong convexity {declared:g} of the problem"
            )
        return self.gamma

    def steps(self, problem: Problem) -> tuple[float, tuple[float, ...]]:
        """τ and one σ per coupled term, checked against τ Σ σ_i ‖K_i‖² ≤ 1."""
        norms = [t.K.norm() for t in problem.coupled]
        n = len(norms)
        gamma = self.strength(problem)
        if self.sigma is None:
            # without acceleration τ stays what it is: 50 times shorter
            sigma = balanced(problem, norms, gamma or 50 * ChambollePock().strength(problem))
            if self.tau is not None:  # in the same proportions
                total = sum(s * K**2 for s, K in zip(sigma, norms, strict=True))
                sigma = tuple(0.99 * s / (self.tau * total) for s in sigma) if total > 0 else sigma
        elif isinstance(self.sigma, tuple):
            if len(self.sigma) != n:
                raise ValueError(
                    f"ChambollePock: sigma needs {n} numbers, one for each coupled term, got {len(self.sigma)}"
                )
            sigma = self.sigma
        else:
            sigma = (self.sigma,) * n
        total = sum(s * K**2 for s, K in zip(sigma, norms, strict=True))
        alone = 10 / gamma if gamma > 0 else 1.0  # without coupling any step will do
        tau = self.tau if self.tau is not None else (0.99 / total if total > 0 else alone)
        if tau * total > 1 + 1e-9:
            raise ValueError(
                f"ChambollePock: tau={tau:g}, sigma={self.sigma} give τ Σσ‖K‖² = {tau * total:.4g} > 1 "
                f"with ‖K‖ = {', '.join(f'{K:.4g}' for K in norms)}; the iteration may diverge, make a step smaller"
            )
        return tau, tuple(float(s) for s in sigma)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        y = xp.reshape(xp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
        yield cls(), L2Squared(y) + 0.1 * TV((2, 3))
        yield cls(), L2Squared(y) @ Diagonal(1 + abs(y)) + 0.1 * TV((2, 3)) + NonNegative()
