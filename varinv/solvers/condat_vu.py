"""The primal–dual methods for sums with smooth terms: Condat–Vũ, which takes gradients of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
from varinv.solvers.base import Solver, Unsuited, refuse, zero_duals
from varinv.solvers.optimality import relative_residual
from varinv.solvers.step_sizes import scalar_steps


class CondatVuState(NamedTuple):
    """Image x, x̄, one array per coupled term (∇f(Kx) at the image before where smooth), the steps, the number k."""

    x: Array
    x_bar: Array
    y: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: CondatVuState) -> float:
        """The relative distance of 0 from ∂g(x) + Kᵀy and from ∂f*(y) − Kx; see relative_residual."""
        return residual(problem, previous, self, double(previous.x_bar))


@dataclass(frozen=True)
class CondatVu(Solver):
    r"""Solve convex problems with a smooth data term, a regulariser behind an operator, and constraints.

    min_x h(x) + g(x) + Σ f_i(K_i x), h smooth; Condat (2013), Algorithm 3.1, and Vũ (2013).

    .. math::
        x' ← prox_{τ g}(x − τ(∇h(x) + Σ K_i^T y_i)),\quad
        y_i ← prox_{σ_i f_i^*}(y_i + σ_i K_i (2x' − x))

    Which term goes where: terms of the image itself with a prox are g; coupled terms with a gradient and a finite
    `smoothness` are h, with L = Σ L_j ‖K_j‖²; the other coupled terms are the f_i and need a prox.  So
    ``L2Squared(y) @ A`` is taken by its gradient and ``TV`` by its dual.

    Converges for 1/τ − Σ σ_i ‖K_i‖² ≥ L/2 (Condat, Theorem 3.1).  Defaults, free of scale: Σ σ_i ‖K_i‖² = L/2 in
    equal parts and 1/τ the sum of both; without h those of ChambollePock.  The norms are certified upper bounds.

    The dual of a smooth term is ∇f(Kx) (Fenchel–Young), so that the certified gap works as for every other solver.

    Parameters
    ----------
    tau, sigma : steps; None: the defaults above.  `sigma` is one number, or one for each f_i, in the order of
        ``problem.coupled``.

    Raises
    ------
    TypeError, ValueError
        Steps that are not positive or do not satisfy the condition; a term that is neither smooth nor has a prox, or
        that is not convex.
    """

    tau: float | None = None
    sigma: Any = None

    def __post_init__(self) -> None:
        check_steps(self)

    def init(self, problem: Problem, x: Array) -> CondatVuState:
        tau, sigma = self.steps(problem)
        return CondatVuState(x, x, zero_duals(problem, x), tau, sigma)

    def step(self, problem: Problem, s: CondatVuState) -> CondatVuState:
        y = tuple(
            t.f.grad(t.K.forward(s.x)) if smooth(t) else dual_step(t.f, t.K, y, s.x_bar, sigma)
            for t, y, sigma in zip(problem.coupled, s.y, s.sigma, strict=True)
        )
        x, x_bar = primal_step(problem.simple, [t.K for t in problem.coupled], y, s.x, s.tau, 1.0)
        return CondatVuState(x, x_bar, y, s.tau, s.sigma, s.k + 1)

    def steps(self, problem: Problem) -> tuple[float, tuple[float, ...]]:
        """τ, and for each coupled term σ_i or, where it is smooth, L_j; checked against 1/τ − Σσ‖K‖² ≥ L/2."""
        L, norms = constants("CondatVu", problem)
        if self.tau is None:
            sigma = sigmas("CondatVu", self.sigma, problem, norms, L / 2)
            total = coupling(problem, sigma, norms)
            tau = 0.99 / (total + L / 2) if total + L > 0 else scalar_steps(problem)[0]
        else:
            tau = self.tau
            sigma = sigmas("CondatVu", self.sigma, problem, norms, max(0.99 * (1 / tau - L / 2), 0.0))
            total = coupling(problem, sigma, norms)
        if 1 / tau - total < L / 2 * (1 - 1e-9) - 1e-9 * total:
            raise ValueError(
                f"CondatVu: tau={tau:g}, sigma={self.sigma} give 1/τ − Σσ‖K‖² = {1 / tau - total:.4g}, below "
                f"L/2 = {L / 2:.4g}; the iteration may diverge, make a step smaller"
            )
        return tau, sigma

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for problem in example_problems():
            yield cls(), problem


def smooth(term: Any) -> bool:
    """Whether a coupled term is taken by its gradient."""
    return hasattr(term.f, "grad") and math.isfinite(term.f.smoothness)


def constants(who: str, problem: Problem) -> tuple[float, list[float]]:
    """L of the smooth terms together and the norms ‖K_i‖ of all; refuses terms that fit in no place."""
    refuse(who, [problem.simple, *(t.f for t in problem.coupled if not smooth(t))], ", nor a Lipschitz gradient")
    for t in problem.coupled:
        if t.f.convexity < 0:
            raise Unsuited(f"{who} needs convex terms; {t.f} is not convex")
    norms = [t.K.norm() for t in problem.coupled]
    return sum(t.f.smoothness * K**2 for t, K in zip(problem.coupled, norms, strict=True) if smooth(t)), norms


def sigmas(who: str, given: Any, problem: Problem, norms: Sequence[float], total: float) -> tuple[float, ...]:
    """σ_i of the dual terms with Σ σ_i ‖K_i‖² = total in equal parts unless given; L_j in the places of smooth ones."""
    dual = [K if K > 0 else 1.0 for t, K in zip(problem.coupled, norms, strict=True) if not smooth(t)]
    if given is not None:
        values = list(given) if isinstance(given, tuple) else [given] * len(dual)
        if len(values) != len(dual):
            raise ValueError(f"{who}: sigma needs {len(dual)} numbers, one a term in the dual, got {len(values)}")
    elif total > 0:
        values = [total / (len(dual) * K**2) for K in dual]
    else:  # nothing smooth: the balance of ChambollePock
        _, balanced = scalar_steps(problem)
        values = [s for t, s in zip(problem.coupled, balanced, strict=True) if not smooth(t)]
    rest = iter(values)
    return tuple(float(t.f.smoothness if smooth(t) else next(rest)) for t in problem.coupled)


def coupling(problem: Problem, sigma: Sequence[float], norms: Sequence[float]) -> float:
    """Σ σ_i ‖K_i‖² over the terms in the dual."""
    return sum(s * K**2 for t, s, K in zip(problem.coupled, sigma, norms, strict=True) if not smooth(t))


def residual(problem: Problem, previous: Any, state: Any, x_bar: Array) -> float:
    """p = (x⁻ − x)/τ is in ∂g(x) + Kᵀy, and d = (y⁻ − y)/σ + K(x̄⁻ − x) (smooth: K(x⁻ − x)) in ∂f*(y) − Kx, exactly."""
    x, back = double(state.x), double(previous.x)
    d = (
        t.K.forward(back - x) if smooth(t) else (double(old) - double(new)) / s + t.K.forward(x_bar - x)
        for t, new, old, s in zip(problem.coupled, state.y, previous.y, state.sigma, strict=True)
    )
    return relative_residual(problem, x, state.y, (back - x) / state.tau, state.tau, d, state.sigma, alone=True)


def check_steps(solver: Any) -> None:
    """tau and sigma as positive floats, or None."""
    who = type(solver).__name__
    if solver.tau is not None:
        object.__setattr__(solver, "tau", check.number(who, "tau", solver.tau, low=0.0, strict=True))
    if solver.sigma is not None:
        many = isinstance(solver.sigma, (tuple, list))
        given = solver.sigma if many else [solver.sigma]
        values = tuple(check.number(who, "sigma", s, low=0.0, strict=True) for s in given)
        object.__setattr__(solver, "sigma", values if many else values[0])


def example_problems() -> Iterator[Problem]:
    import array_api_compat.numpy as xp

    y = xp.reshape(xp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
    yield L2Squared(y) + 0.1 * TV((2, 3))
    yield L2Squared(y) @ Diagonal(1 + abs(y)) + 0.1 * TV((2, 3)) + NonNegative()
    yield L2Squared(y) @ Diagonal(1 + abs(y)) + 0.1 * TV((2, 3), smoothing=0.2)
