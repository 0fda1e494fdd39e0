"""HOAG: hypergradient descent with accuracies that follow a schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.learning.maid import first
from varinv.learning.oracle import Evaluation, Work
from varinv.linalg import norm
from varinv.solvers.base import Solver

SCHEDULES = ("quadratic", "cubic", "geometric", "fixed")


class HOAGState(NamedTuple):
    """θ, the constant L of the step 1/L, the evaluation and ε of the last accepted θ, the best one, work so far."""

    x: Array
    L: float | None
    now: Evaluation
    epsilon: float
    halved: float
    best: Evaluation
    delta_per_epsilon: float
    first_epsilon: float
    work: Work = Work()
    rejected: int = 0
    slope: float = math.nan
    why: str | None = None
    k: int = 0

    def row(self) -> dict[str, float]:
        """The figures of this iteration, for the history."""
        return {
            "loss": self.now.value,
            "best": self.best.value,
            "slope": self.slope,
            "alpha": math.nan if not self.L else 1 / self.L,
            "epsilon": self.epsilon,
            "error": self.now.error,
            "lower_iterations": self.work.lower,
            "adjoint_iterations": self.work.adjoint,
            "work": self.work.total,
            "rejected": self.rejected,
        }


@dataclass(frozen=True)
class HOAG(Solver):
    r"""A rule for `learn` that solves each problem approximately, more exactly as it goes on.

    Hyperparameter optimisation with approximate gradients; Pedregosa (2016).

    At iteration k the lower level is solved to ε_k, the adjoint to δ_k = L_g ε_k, and θ ← θ − z/L.  The step adapts:
    with Δ = ‖z‖/L of the last step and C = ¼,

    ======= ================================================ =================================
    grow    g_k ≤ g_{k−1} + C ε_k + ε_{k−1}(C + 1)Δ − LΔ²     L ← 0.95 L
    reject  g_k ≥ 1.2 g_{k−1}                                 L ← 2 L, ε ← ε/2, θ goes back
    else                                                      L stays
    ======= ================================================ =================================

    Cheap where the first step is right, and neither monotone nor safe: the best θ seen is kept as `best`.

    Parameters
    ----------
    epsilon : ε₁; None: 0.02 of the proved distance of the start images from the solutions.
    schedule : "quadratic" ε₁/k², "cubic" ε₁/k³, "geometric" ε₁ factor^(k−1), "fixed".
    factor : of the geometric schedule.
    alpha : first step; None: one of length √p (or ‖z‖ where that is below 1e-3).
    tol : stationary where ‖z‖ ≤ tol·|f|.
    floor : smallest ε, relative to the distance above.
    budget : most lower-level and CG iterations; None: no limit.

    Raises
    ------
    TypeError, ValueError
        Parameters out of range; a first loss that is NaN or infinite.
    """

    epsilon: float | None = None
    schedule: str = "quadratic"
    factor: float = 0.9
    alpha: float | None = None
    tol: float = 1e-6
    floor: float = 1e-12
    budget: int | None = None

    def __post_init__(self) -> None:
        who = "HOAG"
        if self.schedule not in SCHEDULES:
            raise ValueError(f"{who}: schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        for name in ("epsilon", "alpha"):
            if getattr(self, name) is not None:
                check.number(who, name, getattr(self, name), low=0.0, strict=True)
        check.number(who, "factor", self.factor, low=0.0, high=1.0, strict=True)
        check.number(who, "tol", self.tol, low=0.0)
        check.number(who, "floor", self.floor, low=0.0)
        if self.budget is not None:
            check.integer(who, "budget", self.budget, low=1)

    def init(self, problem: Any, x: Array) -> HOAGState:
        now = first(problem, x)
        epsilon = self.epsilon if self.epsilon is not None else 0.02 * now.error or 1e-3
        ratio = max(loss.smoothness for _, loss in problem.cases)
        L = None if self.alpha is None else 1 / self.alpha
        return HOAGState(x, L, now, now.error, 1.0, now, ratio, epsilon, now.work)

    def _accuracy(self, s: HOAGState, k: int) -> float:
        powers = {"quadratic": k**-2.0, "cubic": k**-3.0, "geometric": self.factor ** (k - 1), "fixed": 1.0}
        return float(max(s.first_epsilon * powers[self.schedule] * s.halved, self.floor))

    def step(self, problem: Any, s: HOAGState) -> HOAGState:
        if s.why is not None:
            return s._replace(k=s.k + 1)
        s = s._replace(k=s.k + 1)
        epsilon = self._accuracy(s, s.k)
        old = s.now
        x = s.x if old.slope is None else s.x - old.slope / s.L
        now = problem.evaluate(x, epsilon, epsilon * s.delta_per_epsilon, old)
        s = s._replace(work=s.work.plus(now.work))
        L, size = s.L, norm(now.slope)
        if old.slope is not None:
            assert L is not None
            if not now.value < 1.2 * old.value:  # a NaN as well
                s = s._replace(L=2 * L, halved=s.halved / 2, rejected=s.rejected + 1)
                return s._replace(why=self._ended(s, old.value))
            length = s.slope / L
            bound = old.value + 0.25 * epsilon + s.epsilon * 1.25 * length - L * length**2
            L = 0.95 * L if now.value <= bound else L
        elif L is None:
            L = size / math.sqrt(x.shape[0]) if size > 1e-3 else 1.0
        best = now if old.slope is None or now.value < s.best.value else s.best
        s = s._replace(x=x, L=L, now=now, epsilon=epsilon, best=best, slope=size)
        return s._replace(why=self._ended(s, now.value))

    def _ended(self, s: HOAGState, value: float) -> str | None:
        known = s.now.upper - s.now.value <= self.tol * abs(value) and s.now.unsolved <= max(self.tol, 1e-9)
        if s.slope <= self.tol * abs(value) and known:
            return f"stationary: hypergradient {s.slope:.1e} ≤ {self.tol:g} of the loss"
        if self.budget is not None and s.work.total >= self.budget:
            return f"budget: {s.work.total} iterations spent"
        if s.rejected > 100 and s.slope / (s.L or 1.0) <= 1e-15 * norm(s.x):
            return "no step: every one raised the loss by 20 %"
        return None

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Any]]:
        from varinv.learning.reference import small_quadratic

        yield cls(schedule="geometric", factor=0.5), small_quadratic()
