"""Chambolle–Pock anchored by Halpern's iteration and restarted: for polyhedral problems and small gaps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import Array, double
from varinv.fused.steps import dual_step, primal_step
from varinv.linalg import add_scaled, dot
from varinv.problem import Problem
from varinv.solvers.adaptive_chambolle_pock import distances
from varinv.solvers.base import Solver, refuse, zero_duals
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.optimality import natural_residual
from varinv.solvers.step_sizes import scalar_steps

EVERY = 8  # steps between two evaluations of the residual, which cost a K each


class RestartedState(NamedTuple):
    """Image x, duals y; the point (u, v) of the next step; the anchor; steps; r at the anchor and last; counts.

    `j` steps since the last of `restarts` restarts.
    """

    x: Array
    u: Array
    u_0: Array
    y: tuple[Array, ...]
    v: tuple[Array, ...]
    v_0: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    r_0: float = math.inf
    r: float = math.inf
    j: int = 0
    restarts: int = 0
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """The relative distance of x and y from their own proximal steps; see natural_residual."""
        return natural_residual(problem, self.x, self.y, self.tau, self.sigma)


@dataclass(frozen=True)
class RestartedChambollePock(Solver):
    r"""Primal–dual steps with restarts, for solutions of high accuracy.

    min_x g(x) + Σ f_i(K_i x): reflected Halpern iteration of ChambollePock's map T with restarts.

    .. math::
        (x, y) = T(u, v),\quad (u, v) ← \tfrac{j+1}{j+2}\,(2(x, y) − (u, v)) + \tfrac{1}{j+2}\,(u_0, v_0)

    T: x = prox_{τg}(u − τ Σ K_i^T v_i), y_i = prox_{σ_i f_i^*}(v_i + σ_i K_i (2x − u)); j counts from the last restart
    at the anchor (u_0, v_0).  Lu & Yang (2024), "Restarted Halpern PDHG for linear programming", Algorithm 2.

    A restart takes (x, y) as anchor.  It comes where r = ‖(u, v) − T(u, v)‖_M (M the metric of the steps; evaluated
    every 8 steps) fell to a fifth of its value at the anchor, or to 4/5 and rises again, or after 0.36 k steps.
    At the n-th restart the balance of τ and σ follows the distances of x and y from the anchor as in
    AdaptiveChambollePock, with the exponent 0.5·0.95^n.

    It converges for τ Σ σ_i‖K_i‖² < 1: T is firmly non-expansive in M, so that anchors never move away from a solution
    (up to the summable changes of M) and r falls like 1/j between restarts.  Linear rates at polyhedral problems
    (ℓ1, anisotropic TV, boxes), where relaxation alone is slow below 1e-4; elsewhere AdaptiveChambollePock needs
    fewer steps (docs/decisions/0007).

    Raises
    ------
    TypeError, ValueError
        In `init`: a term without a prox, or that is not convex.
    """

    def init(self, problem: Problem, x: Array) -> RestartedState:
        refuse("RestartedChambollePock", [problem.simple, *(t.f for t in problem.coupled)])
        y = zero_duals(problem, x)
        return RestartedState(x, x, x, y, y, y, *scalar_steps(problem))

    def step(self, problem: Problem, s: RestartedState) -> RestartedState:
        x, x_bar = primal_step(problem.simple, [t.K for t in problem.coupled], s.v, s.u, s.tau, 1.0)
        y = tuple(
            dual_step(t.f, t.K, v, x_bar, sigma) for t, v, sigma in zip(problem.coupled, s.v, s.sigma, strict=True)
        )
        r_0, r = s.r_0, s.r
        if s.j % EVERY == 0:
            r = _distance(problem, s, x, y)
            r_0 = r if s.j == 0 else s.r_0
            if s.j > 0 and (r <= 0.2 * r_0 or (r <= 0.8 * r_0 and r > s.r) or s.j >= 0.36 * s.k):
                change = distances(x, y, s.u_0, s.v_0, s.tau, s.sigma) ** (0.5 * 0.95**s.restarts)
                sigma = tuple(a / change for a in s.sigma)
                return RestartedState(x, x, x, y, y, y, s.tau * change, sigma, restarts=s.restarts + 1, k=s.k + 1)
        a = (s.j + 1) / (s.j + 2)
        u = _mix(a, x_bar, s.u_0)
        v = tuple(
            _mix(a, add_scaled(new, 1.0, add_scaled(new, -1.0, old)), anchor)
            for new, old, anchor in zip(y, s.v, s.v_0, strict=True)
        )
        return RestartedState(x, u, s.u_0, y, v, s.v_0, s.tau, s.sigma, r_0, r, s.j + 1, s.restarts, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for _, problem in ChambollePock.examples():
            yield cls(), problem


def _mix(a: float, new: Array, anchor: Array) -> Array:
    """a·new + (1 − a)·anchor."""
    return add_scaled(anchor, a, add_scaled(new, -1.0, anchor))


def _distance(problem: Problem, s: RestartedState, x: Array, y: tuple[Array, ...]) -> float:
    """√(‖Δu‖²/τ − 2⟨KΔu, Δv⟩ + Σ‖Δv_i‖²/σ_i) for Δ = T(u, v) − (u, v)."""
    du = double(x) - double(s.u)
    total = dot(du, du) / s.tau
    for t, new, old, sigma in zip(problem.coupled, y, s.v, s.sigma, strict=True):
        dv = double(new) - double(old)
        total += dot(dv, dv) / sigma - 2 * dot(t.K.forward(du), dv)
    return math.sqrt(max(total, 0.0))
