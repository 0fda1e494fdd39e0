"""The evidence of a Gaussian model, by MacKay's fixed point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.learning.path import Sweep
from varinv.learning.rules_base import END, OK, UNSETTLED, UNSOLVED, ChoiceRule, Found, Point, positive
from varinv.linalg import dot

PRECISION = 1e-3  # of ln λ
MOST = 60  # fixed-point steps


class Step(NamedTuple):
    """One step of the fixed point: the point it was made at, the next ln λ, the noise level."""

    point: Point
    theta: float
    sigma: float


@dataclass(frozen=True, eq=False, repr=False)
class Evidence(ChoiceRule):
    r"""Choose the weight of a quadratic regulariser under which the data are most probable.

    The λ = e^θ of largest evidence for the prior e^θ ½‖L x‖² with Gaussian noise (MacKay 1992); no σ needed.

    .. math::
        γ = df(θ),\qquad σ^2 ← ‖r‖^2/(m − γ),\qquad λ ← (γ − ν)\,σ^2/‖L x‖^2

    iterated from the middle of the bounds until ln λ moves by less than 1e-3.  ν = `nullity` is the dimension of the
    images that L does not see (the noise level then is the unbiased one).

    Parameters
    ----------
    noise : σ, held fixed; None: re-estimated in each step.
    nullity : ν: 0 for ridge, 1 for Gradient with Neumann or periodic edges.

    Raises
    ------
    ValueError
        A regulariser that is not e^θ times a quadratic.
    """

    noise: float | None = None
    nullity: int = 0

    criterion = "ln(next λ/λ)"

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive("Evidence", "noise", self.noise))
        check.integer("Evidence", "nullity", self.nullity, low=0)

    def search(self, sweep: Sweep, thetas: Sequence[float], refine: bool) -> Found:
        low, high = thetas[0], thetas[-1]
        theta, points = (low + high) / 2, []
        self._gaussian(sweep, theta)
        for _ in range(MOST):
            step = self.step(sweep, theta)
            points.append(step.point)
            if not math.isfinite(step.point.residual):
                why = f"the residual at theta = {theta:.4g} is {step.point.residual}"
                return Found(theta, math.nan, UNSOLVED, why, tuple(sorted(points)))
            nearer = min(max(step.theta, low), high)
            move = abs(nearer - theta)
            if move <= PRECISION:
                end = nearer in (low, high) and abs(step.theta - nearer) > PRECISION
                why = f"ln λ moved by {move:.1e} in step {len(points)}, σ = {step.sigma:.4g}"
                why = f"the evidence grows beyond theta = {nearer:.4g}" if end else why
                return Found(theta, step.point.criterion, END if end else OK, why, tuple(sorted(points)), step.sigma)
            theta = nearer
        why = f"ln λ still moved by {move:.1e} in step {MOST}"
        return Found(points[-1].theta, points[-1].criterion, UNSETTLED, why, tuple(sorted(points)), step.sigma)

    def step(self, sweep: Sweep, theta: float) -> Step:
        """MacKay's update from theta."""
        change, reached = sweep.response(theta, sweep.size())
        fit = sweep.at(theta)
        df, square = dot(sweep.probe, change), dot(fit.r, fit.r)
        sigma = self.noise or math.sqrt(square / max(sweep.m - df, 1e-6 * sweep.m))
        R = 2 * (fit.problem(fit.x) - sweep.term(fit.x)) / math.exp(theta)
        gain = max(df - self.nullity, 1e-12)
        moved = math.log(gain * sigma**2 / R) if R > 0 and sigma > 0 else math.inf
        return Step(Point(theta, moved - theta, square**0.5, df, reached), moved, sigma)

    def _gaussian(self, sweep: Sweep, theta: float) -> None:
        """An error where the regulariser R is not e^θ times a quadratic: R(2x) = 4 R(x), R_{θ+1}(x) = e R_θ(x)."""
        fit = sweep.at(theta)
        x = fit.x

        def R(problem: Any, x: Any) -> float:
            return float(problem(x) - sweep.term(x))

        one, two, next_ = R(fit.problem, x), R(fit.problem, 2 * x), R(sweep.problem(theta + 1, sweep.y)[0], x)
        scale = 1e-3 * abs(one) + 1e-12
        if abs(two - 4 * one) > 4 * scale or abs(next_ - math.e * one) > math.e * scale:
            raise ValueError(
                f"Evidence: the prior must be e^theta ½‖L x‖², a quadratic that theta scales, got {fit.problem}; "
                "for total variation use SURE or Whiteness"
            )
