"""MAID: inexact gradient descent for bilevel problems whose accuracy adapts itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.learning.oracle import Bilevel, Evaluation, Work
from varinv.linalg import norm
from varinv.solvers.base import Solver

FEW = 16  # up to as many parameters the first step is a length, above it a fraction of θ


class MAIDState(NamedTuple):
    """θ, step α, accuracies ε and δ, the last evaluation at θ, the scale of errors, work and events, why it ended.

    `slope` is ‖z‖ of the last hypergradient, `omega` the bound of its error (NaN: not formed).
    """

    x: Array
    alpha: float | None
    epsilon: float
    delta: float
    now: Evaluation
    scale: float
    work: Work = Work()
    rejected: int = 0
    refined: int = 0
    slope: float = math.nan
    omega: float = math.nan
    why: str | None = None
    k: int = 0

    @property
    def best(self) -> Evaluation:
        """The last evaluation: accepted steps decrease the loss."""
        return self.now

    def row(self) -> dict[str, float]:
        """The figures of this iteration, for the history."""
        return {
            "loss": self.now.value,
            "upper": self.now.upper,
            "lower": self.now.lower,
            "slope": self.slope,
            "omega": self.omega,
            "alpha": math.nan if self.alpha is None else self.alpha,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "error": self.now.error,
            "lower_iterations": self.work.lower,
            "adjoint_iterations": self.work.adjoint,
            "work": self.work.total,
            "rejected": self.rejected,
            "refined": self.refined,
        }


@dataclass(frozen=True)
class MAID(Solver):
    r"""The default rule for `learn`: gradient descent that chooses its accuracy and its steps by itself.

    The method of adaptive inexact descent; Salehi, Mukherjee, Roberts & Ehrhardt (2024), Algorithms 3.1 and 3.2.

    With ‖x̃ − x̂‖ ≤ e proved, g(x̃) ± (‖∇g(x̃)‖e + ½L_g e²) encloses the loss (without the last term below, for a convex
    g).  A step θ − αz is accepted where the upper bound there is below the lower bound here by λα‖z‖², which proves
    that the true loss fell.  Where no α of the backtracking is, the lower level and the adjoint are solved more
    accurately: ε, δ ← ν(ε, δ); after a success both are relaxed and α grows.

    line_search="corrected" replaces g(x̃) by g(x̃) − qᵀ∇h(x̃), whose error is of second order,
    ½(L_g + L_H‖q‖)e² + ‖r‖e with the CG residual r: every trial costs a CG solve (reused where it is accepted), and far
    coarser lower levels suffice.  The term with L_H is left out unless `certified`.

    Parameters
    ----------
    epsilon : first accuracy ‖x − x̂‖; None: 0.02 of the proved distance of the start images from the solutions.
    delta : first residual of the adjoint system; None: L_g ε.
    alpha : first step; None: one that changes θ by 0.5 in the largest entry (up to 16 parameters), or by 1 % in norm.
    line_search : "corrected", or "maid" as published.
    adaptive : False: ε and δ stay, and a failed line search ends the run.
    certified : require ω ≤ (1 − η)‖z‖, so that −z is a descent direction for sure; the family must give `bounds`.
    shrink, growth : factors of α after a rejected trial and after an accepted one.
    refine, relax : factors of ε and δ likewise; refine None: 0.5, and 0.25 for "corrected".
    trials : backtracking steps before ε is refined, one more after each refinement; None: 10, and 5 for "corrected".
    armijo : λ.  eta : η.
    cap : no step changes an entry of θ by more than this (a factor of e in log-parameters); None: no cap.
    prune : end the backtracking where α‖z‖², the decrease to first order, is below half of what the bounds leave open:
        shorter steps promise less still.  False: as published; the same steps, up to five times the work at the end.
    share : after a success ε and δ grow at least until the bounds leave open this share of α‖z‖², so that accuracy
        that was not needed is not paid for again; None: by `relax` alone, as published.
    tol : stationary where ‖z‖ ≤ tol·|f|, and the loss is known as well as that.
    floor : accuracy floor: nothing was accepted although the loss is known to floor·|f|.
    budget : most lower-level and CG iterations; None: no limit.

    Raises
    ------
    TypeError, ValueError
        Parameters out of range; a first loss that is NaN or infinite; `certified` without constants.
    """

    epsilon: float | None = None
    delta: float | None = None
    alpha: float | None = None
    line_search: str = "corrected"
    adaptive: bool = True
    certified: bool = False
    shrink: float = 0.5
    growth: float = 1.5
    refine: float | None = None
    relax: float = 1.05
    trials: int | None = None
    armijo: float = 1e-4
    eta: float = 0.5
    cap: float | None = 1.0
    prune: bool = True
    share: float | None = 0.05
    tol: float = 1e-6
    floor: float = 1e-10
    budget: int | None = None

    def __post_init__(self) -> None:
        who = "MAID"
        for name in ("epsilon", "delta", "alpha", "cap"):
            if getattr(self, name) is not None:
                check.number(who, name, getattr(self, name), low=0.0, strict=True)
        for name in ("armijo", "eta"):
            check.number(who, name, getattr(self, name), low=0.0, high=1.0)
        for name in ("tol", "floor"):
            check.number(who, name, getattr(self, name), low=0.0)
        for name, value in (("shrink", self.shrink), ("refine", self.refine), ("share", self.share)):
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{who}: {name} must lie between 0 and 1, got {value:g}")
        for name in ("growth", "relax"):
            check.number(who, name, getattr(self, name), low=1.0)
        for name, low in (("trials", 1), ("budget", 1)):
            if getattr(self, name) is not None:
                check.integer(who, name, getattr(self, name), low=low)
        if self.line_search not in ("maid", "corrected"):
            raise ValueError(f'{who}: line_search must be "maid" or "corrected", got {self.line_search!r}')

    @property
    def _corrected(self) -> bool:
        return self.line_search == "corrected"

    def init(self, problem: Any, x: Array) -> MAIDState:
        now = first(problem, x)
        epsilon = self.epsilon if self.epsilon is not None else 0.02 * now.error or 1e-3
        delta = self.delta if self.delta is not None else epsilon * max(loss.smoothness for _, loss in problem.cases)
        return MAIDState(x, self.alpha, epsilon, delta, now, now.error, now.work)

    def step(self, problem: Any, s: MAIDState) -> MAIDState:
        if s.why is not None:
            return s._replace(k=s.k + 1)
        refine = self.refine or (0.25 if self._corrected else 0.5)
        trials = self.trials or (5 if self._corrected else 10)
        s = s._replace(k=s.k + 1)
        while True:
            before = s.now
            s = self._differentiate(problem, s, s.epsilon, s.delta)
            while self.certified and s.omega > (1 - self.eta) * s.slope and not self._settled(s):
                s = s._replace(epsilon=refine * s.epsilon, delta=refine * s.delta, refined=s.refined + 1)
                s = self._differentiate(problem, s, s.epsilon, s.delta)
            if (why := self._ended(s, before)) is not None:
                return s._replace(why=why)
            if s.slope > self.tol * abs(s.now.value):
                s, accepted = self._search(problem, s, trials)
                if accepted:
                    return s
                if self.budget is not None and s.work.total >= self.budget:
                    return s._replace(why=f"budget: {s.work.total} iterations spent")
            if not self.adaptive:
                return s._replace(why=f"fixed accuracy: no step is certified with epsilon={s.epsilon:g}")
            if self._settled(s):
                return s._replace(why=f"accuracy_floor: no step is certified with errors of {s.now.error:.1e}")
            if not s.now.reached and s.now.error >= 0.5 * before.error:
                return s._replace(
                    why=f"accuracy_floor: the lower level or its adjoint stays at errors of {s.now.error:.1e}, "
                    f"{s.epsilon:.1e} was asked for"
                )
            s = s._replace(epsilon=refine * s.epsilon, delta=refine * s.delta, refined=s.refined + 1)
            trials += 1

    def _differentiate(self, problem: Bilevel, s: MAIDState, epsilon: float, delta: float) -> MAIDState:
        """The state with the inexact hypergradient at its θ."""
        now = problem.evaluate(s.x, epsilon, delta, s.now)
        if self.certified and math.isnan(now.omega):
            raise ValueError(f"MAID: certified=True needs {problem.family}.bounds(theta, y, x), which is not there")
        return s._replace(now=now, work=s.work.plus(now.work), slope=norm(now.slope), omega=now.omega)

    def _search(self, problem: Bilevel, s: MAIDState, trials: int) -> tuple[MAIDState, bool]:
        """Backtracking along −z: (the accepted state, True), or (s with what was spent, False)."""
        z = s.now.slope
        largest = float(namespace(z).max(abs(z)))
        a = first_step(s.x, z) if s.alpha is None else s.alpha
        a = a if self.cap is None else min(a, self.cap / largest)
        here = s.now.corrected - self._slack(s.now) if self._corrected else s.now.lower
        for _ in range(trials):
            if self.budget is not None and s.work.total >= self.budget:
                break
            if self.prune and a * s.slope**2 < self._open(s.now):
                break
            trial = problem.evaluate(s.x - a * z, s.epsilon, s.delta if self._corrected else None, s.now)
            s = s._replace(work=s.work.plus(trial.work))
            there = trial.corrected + self._slack(trial) if self._corrected else trial.upper
            if there - here + self.armijo * a * s.slope**2 <= 0:
                up = self._relaxation(s, trial, a * s.slope**2)
                ahead = s._replace(epsilon=up * s.epsilon, delta=up * s.delta, alpha=self.growth * a)
                return ahead._replace(x=trial.theta, now=trial), True
            s = s._replace(rejected=s.rejected + 1)
            a *= self.shrink
        return s, False

    def _relaxation(self, s: MAIDState, e: Evaluation, decrease: float) -> float:
        """The factor of ε and δ after a step: `relax`, or more where the bounds were needlessly tight for it."""
        if not self.adaptive:
            return 1.0
        left, allowed = 2 * self._open(e), 0.0 if self.share is None else self.share * decrease
        if not 0 < left < allowed:
            return self.relax
        factor = math.sqrt(allowed / left) if self._corrected else allowed / left  # of the error: ε², ε
        return max(self.relax, factor * e.error / s.epsilon)

    def _slack(self, e: Evaluation) -> float:
        return e.slack + e.bend if self.certified else e.slack

    def _settled(self, s: MAIDState) -> bool:
        """Whether the loss is known so well, or errors are so small, that refining is pointless."""
        known = self._open(s.now) <= self.floor * abs(s.now.value) and s.now.unsolved <= 1e-3
        return known or s.now.error <= 1e-13 * s.scale

    def _open(self, e: Evaluation) -> float:
        """How much the loss may differ from what it is taken for."""
        return self._slack(e) if self._corrected else e.upper - e.value

    def _ended(self, s: MAIDState, before: Evaluation) -> str | None:
        if not math.isfinite(s.slope) and not math.isfinite(s.now.value):
            return f"not finite: the loss at theta is {s.now.value}"
        known = self._open(s.now) <= max(self.tol, self.floor) * abs(s.now.value) and s.now.unsolved <= max(
            self.tol, 1e-9
        )
        bound = s.slope if math.isnan(s.omega) or not self.certified else max(s.slope, s.omega)
        if bound <= self.tol * abs(s.now.value) and known:
            return f"stationary: hypergradient {s.slope:.1e} ≤ {self.tol:g} of the loss"
        if self.budget is not None and s.work.total >= self.budget:
            return f"budget: {s.work.total} iterations spent"
        return None

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Any]]:
        from varinv.learning.reference import small_quadratic

        yield cls(), small_quadratic()


def first(problem: Any, theta: Array) -> Evaluation:
    """The start images at θ and what they prove; an error where the loss is not finite."""
    if not isinstance(problem, Bilevel):
        raise TypeError(
            f"learning rules minimise a Bilevel problem; call vi.learn(family, pairs, theta0), got {problem}"
        )
    now = problem.evaluate(theta, math.inf)
    if not (math.isfinite(now.value) and math.isfinite(now.error)):
        raise ValueError(
            f"learn: the loss at theta0 is {now.value} and the lower level's gradient gives an error of {now.error}; "
            "start from other parameters (logarithms are expected where the family applies exp)"
        )
    return now


def first_step(theta: Array, z: Array) -> float:
    """α of the first trial: 0.5 in the largest entry for few parameters, 1 % of ‖θ‖ for many."""
    if theta.shape[0] <= FEW:
        return 0.5 / float(namespace(z).max(abs(z)))
    return 0.01 * (norm(theta) or math.sqrt(theta.shape[0])) / norm(z)
