"""Linearised ADMM: no inner solve, one application of every operator and its adjoint a step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import Array, double
from varinv.fused.steps import dual_step, primal_step
from varinv.linalg import add_scaled, dot
from varinv.problem import Problem
from varinv.solvers.admm import defaults
from varinv.solvers.base import Solver
from varinv.solvers.chambolle_pock import ChambollePock


class LinearisedADMMState(NamedTuple):
    """Image x, one dual array per coupled term, ȳ = 2y − y⁻, the steps, the iteration number."""

    x: Array
    y: tuple[Array, ...]
    y_bar: tuple[Array, ...]
    tau: float
    rho: tuple[float, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: LinearisedADMMState) -> float:
        """The relative distance of 0 from ∂g(x) + Σ Kᵀy and from ∂f*(y) − Kx, exact for this iteration.

        p = (x⁻ − x)/τ + Σ K_iᵀ(y_i − ȳ_i⁻) and d_i = (y_i⁻ − y_i)/ρ_i: max(‖p‖/√(Σ‖K_iᵀy_i‖² + ‖x‖²/τ²·[one term]),
        √Σρ_i‖d_i‖²/√Σ(ρ_i‖K_i x‖² + ‖y_i‖²/ρ_i)).
        """
        x = double(self.x)
        p, size, apart, there = (double(previous.x) - x) / self.tau, 0.0, 0.0, 0.0
        for t, y, old, bar, rho in zip(problem.coupled, self.y, previous.y, previous.y_bar, self.rho, strict=True):
            y, Kx = double(y), t.K.forward(x)
            pulled, d = t.K.adjoint(y), (double(old) - y) / rho
            p = add_scaled(p, 1.0, add_scaled(pulled, -1.0, t.K.adjoint(double(bar))))
            size += dot(pulled, pulled)
            apart, there = apart + rho * dot(d, d), there + rho * dot(Kx, Kx) + dot(y, y) / rho
        if len(problem.coupled) <= 1:  # then Kᵀy = 0 at a solution where g is flat
            size += dot(x, x) / self.tau**2
        return max(_ratio(dot(p, p), size), _ratio(apart, there))


@dataclass(frozen=True)
class LinearisedADMM(Solver):
    r"""Solve convex problems by splitting, without solving linear systems inside.

    min_x g(x) + Σ f_i(K_i x); Parikh & Boyd (2014), section 4.4.2; Zhang, Burger & Osher (2011).

    .. math::
        x ← prox_{τ g}(x − τ \sum ρ_i K_i^T (K_i x − z_i + y_i/ρ_i)),\quad
        z_i ← prox_{f_i/ρ_i}(K_i x + y_i/ρ_i),\quad y_i ← y_i + ρ_i (K_i x − z_i)

    By Moreau's identity y_i ← prox of ρ_i f_i* at y_i + ρ_i K_i x, and y_i + ρ_i(K_i x − z_i) = 2y_i − y_i⁻: z needs no
    memory, and this is ChambollePock with the extrapolation on the dual.  Converges for τ Σ ρ_i ‖K_i‖² ≤ 1; the default
    steps are those of ChambollePock (Algorithm 1), from certified norms.

    Parameters
    ----------
    tau, rho : steps; None: the defaults.  `rho` is one number, or one for each coupled term.

    Raises
    ------
    TypeError, ValueError
        Steps that are not positive or do not satisfy the condition, in `init` a term without a prox.
    """

    tau: float | None = None
    rho: Any = None

    def __post_init__(self) -> None:
        checked = ChambollePock(self.tau, self.rho)
        object.__setattr__(self, "tau", checked.tau)
        object.__setattr__(self, "rho", checked.sigma)

    def init(self, problem: Problem, x: Array) -> LinearisedADMMState:
        rho = self.rho
        if rho is None:
            rho = defaults(problem)
            size = sum(r * t.K.norm() ** 2 for r, t in zip(rho, problem.coupled, strict=True))
            if self.tau is not None and size > 0:  # in the same proportions
                rho = tuple(0.99 * r / (self.tau * size) for r in rho)
        s = ChambollePock(self.tau, rho, gamma=0.0).init(problem, x)
        return LinearisedADMMState(x, s.y, s.y, s.tau, s.sigma)

    def step(self, problem: Problem, s: LinearisedADMMState) -> LinearisedADMMState:
        x, _ = primal_step(problem.simple, [t.K for t in problem.coupled], s.y_bar, s.x, s.tau, 0.0)
        y = tuple(dual_step(t.f, t.K, a, x, rho) for t, a, rho in zip(problem.coupled, s.y, s.rho, strict=True))
        y_bar = tuple(add_scaled(2 * a, -1.0, old) for a, old in zip(y, s.y, strict=True))
        return LinearisedADMMState(x, y, y_bar, s.tau, s.rho, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield from ((cls(), problem) for _, problem in ChambollePock.examples())


def _ratio(a: float, b: float) -> float:
    return math.sqrt(a / b) if b > 0 else (0.0 if a == 0 else math.inf)
