"""Chambolle–Pock with over-relaxation and steps whose balance is found on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from varinv.backend import Array, namespace
from varinv.fused.sweep import primal_dual_steps
from varinv.linalg import distance
from varinv.problem import Problem
from varinv.solvers.base import Solver, refuse, zero_duals
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.optimality import natural_residual
from varinv.solvers.step_sizes import joint_steps

RELAXATION = 1.9
SAMPLE = 1 << 12


class AdaptiveState(NamedTuple):
    """Image x; the relaxed point (u, y) of the next step; x and y at the last balance (samples of them); steps, k.

    y converges to the dual as the unrelaxed one does, which is not kept: it would be another field of the size of all
    duals (docs/decisions/0012).
    """

    x: Array
    u: Array
    y: tuple[Array, ...]
    x_mark: Array
    y_mark: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    k: int = 0

    @property
    def reads_previous(self) -> bool:
        """Whether the residual reads the state before."""
        return False

    def residual(self, problem: Problem, previous: Any) -> float:
        """The relative distance of x and y from their own proximal steps; see natural_residual."""
        return natural_residual(problem, self.x, self.y, self.tau, self.sigma)


@dataclass(frozen=True)
class AdaptiveChambollePock(Solver):
    r"""The usual solver for total variation: primal–dual steps that adapt themselves to the problem.

    min_x g(x) + Σ f_i(K_i x): ChambollePock over-relaxed, with the balance of its steps found on the way.

    .. math::
        x ← prox_{τ g}(u − τ Σ K_i^T y_i),\quad  z_i ← prox_{σ_i f_i^*}(y_i + σ_i K_i(2x − u)),\quad
        (u, y) ← (u, y) + ρ((x, z) − (u, y))

    ρ = 1.9: Condat (2013), Theorem 3.3 and He & Yuan (2012): this is a firmly non-expansive map of (u, y) in the metric
    M of the steps, relaxed, which converges for τ Σ σ_i ‖K_i‖² < 1 and 0 < ρ < 2.

    At iterations ⌈10·1.25^m⌉ τ is multiplied and every σ_i divided by r^(0.5·0.95^m), r the distance that x has come
    since the last time over that of y, ‖Δx‖/√τ over (Σ‖Δy_i‖²/σ_i)^½, within [1/100, 100] (of large arrays, measured
    on a fixed sample of entries, so that no copies of all of them are kept): the side that goes
    farther gets the longer step (Applegate et al. 2021, NeurIPS, "Practical large-scale linear programming using
    primal-dual hybrid gradient", section 3.3).  The products τσ_i stay what they are and the changes of the metric are
    summable, so that the iteration converges as with fixed steps (Combettes & Vũ 2013, Theorem 3.3).  It costs no K.

    The first steps are free of scale (`joint_steps`).  Where A is a Radon transform with a square behind it, σ_1 above
    is σ_1 S, S the ramp filter along the detector with mean 1, and τ‖Σ σ_i K_i^T S_i K_i‖ < 1 is all that is asked (but
    for a chance of 1e-6, docs/decisions/0013): CT takes 1.6 to 3.9 times fewer iterations to 1e-3.

    It needs 1.3 to 10 times fewer iterations than ChambollePock to a relative gap of 1e-3 or 1e-4 on tomography, blur,
    super-resolution, counts and outliers, the more the worse the
    first balance; on denoising, where ChambollePock has its Algorithm 2, up to 3 times (docs/decisions/0007).

    Raises
    ------
    TypeError, ValueError
        In `init`: a term without a prox, or that is not convex.
    """

    unread: ClassVar[tuple[str, ...]] = ("x",)

    def init(self, problem: Problem, x: Array) -> AdaptiveState:
        refuse("AdaptiveChambollePock", [problem.simple, *(t.f for t in problem.coupled)])
        tau, sigma, _ = joint_steps(problem)
        y = zero_duals(problem, x)
        return AdaptiveState(x, x, y, _sample(x), tuple(map(_sample, y)), tau, sigma)

    def step(self, problem: Problem, s: AdaptiveState) -> AdaptiveState:
        return _ahead(problem, s, 1)

    def advance(self, problem: Problem, state: AdaptiveState, most: int, spare: bool = False) -> AdaptiveState:
        return _ahead(problem, state, most, spare)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for _, problem in ChambollePock.examples():
            yield cls(), problem


def _ahead(problem: Problem, s: AdaptiveState, most: int, spare: bool = False) -> AdaptiveState:
    """As many steps as can be made at once, up to `most` and to the next balance."""
    turn, m = _turn(s.k)
    sigma = joint_steps(problem).filtered(s.sigma)
    x, u, y, made = primal_dual_steps(
        problem.simple, problem.coupled, s.y, s.u, s.tau, sigma, RELAXATION, min(most, turn - s.k), spare, s.x is None
    )
    if s.k + made < turn:
        return s._replace(x=x, u=u, y=y, k=s.k + made)
    x_mark, y_mark = _sample(x), tuple(map(_sample, y))
    # a share of the entries has that share of the squared distance
    tau, *steps = (
        step * math.prod(mark.shape) / math.prod(whole.shape)
        for step, mark, whole in zip((s.tau, *s.sigma), (x_mark, *y_mark), (x, *y), strict=True)
    )
    change = distances(x_mark, y_mark, s.x_mark, s.y_mark, tau, steps) ** (0.5 * 0.95**m)
    return AdaptiveState(x, u, y, x_mark, y_mark, s.tau * change, tuple(a / change for a in s.sigma), turn)


def _sample(a: Array) -> Array:
    """A copy of about 4096 entries at equal distances, all of them where there are fewer than 8192."""
    xp = namespace(a)
    flat = xp.reshape(a, (-1,))
    return xp.asarray(flat[:: max(1, flat.shape[0] // SAMPLE) | 1], copy=True)


def _turn(k: int) -> tuple[int, int]:
    """The first ⌈10·1.25^m⌉ above k, and m."""
    m = math.floor(math.log(k / 10, 1.25)) if k >= 10 else 0
    while math.ceil(10 * 1.25**m) <= k:
        m += 1
    return math.ceil(10 * 1.25**m), m


def distances(
    x: Array, y: tuple[Array, ...], x_0: Array, y_0: tuple[Array, ...], tau: float, sigma: Sequence[float]
) -> float:
    """‖x − x_0‖/√τ over √Σ‖y_i − y_0i‖²/σ_i, within [1/100, 100]; 1 where one of them vanishes."""
    primal = distance(x, x_0) ** 2 / tau
    moved = (distance(a, b) ** 2 for a, b in zip(y, y_0, strict=True))
    dual = sum((q / s for q, s in zip(moved, sigma, strict=True)), start=0.0)
    if not (0 < primal < math.inf and 0 < dual < math.inf):
        return 1.0
    return min(max(math.sqrt(primal / dual), 0.01), 100.0)
