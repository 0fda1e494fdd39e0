"""The corner of the L-curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from varinv.learning.path import Sweep
from varinv.learning.rules_base import END, NO_CORNER, OK, ChoiceRule, Found, Point
from varinv.linalg import dot

SHARP = 1e-3  # least curvature of a corner: a radius of 1000 e-folds is a line, and rounding bends lines


class Corner(NamedTuple):
    """ρ = ln ‖r‖ and η = ln R at one theta; NaN where there is no logarithm."""

    theta: float
    rho: float
    eta: float
    reached: bool


@dataclass(frozen=True, eq=False, repr=False)
class LCurve(ChoiceRule):
    r"""Choose parameters at the corner of the curve of data misfit against regulariser.

    Maximise the curvature of ρ = ln ‖A x_θ − y‖ against η = ln R(x_θ) over θ (Hansen & O'Leary 1993); no σ needed.

    .. math::
        κ = (ρ'η'' − ρ''η')/(ρ'^2 + η'^2)^{3/2}

    R is what remains of the objective without the data term, divided by e^θ; derivatives are those of parabolas
    through three neighbours, so that end points have none.  Depends on the range and on the parametrisation of R: the
    least reliable of the rules for total variation.  Raises ValueError for fewer than five points.
    """

    criterion = "curvature of the L-curve"

    def search(self, sweep: Sweep, thetas: Sequence[float], refine: bool) -> Found:
        if len(thetas) < 5:
            raise ValueError(f"LCurve: the curvature needs at least 5 points, got {len(thetas)}; pass points=25")
        corners = [self.corner(sweep, theta) for theta in reversed(thetas)][::-1]
        bent = [math.nan, *(curvature(*corners[k - 1 : k + 2]) for k in range(1, len(corners) - 1)), math.nan]
        curve = tuple(
            Point(c.theta, kappa, math.exp(c.rho), math.nan, c.reached) for c, kappa in zip(corners, bent, strict=True)
        )
        known = [k for k, kappa in enumerate(bent) if math.isfinite(kappa)]
        if not known or bent[best := max(known, key=lambda k: bent[k])] <= SHARP:
            middle = thetas[len(thetas) // 2]
            why = f"the L-curve has no corner: its curvature is at most {SHARP:g}; widen the bounds or change the rule"
            return Found(middle, math.nan, NO_CORNER, why, curve)
        status, why = OK, f"the largest of {len(known)} curvatures"
        if best in (known[0], known[-1]):
            status, why = END, f"the curvature is largest at theta = {thetas[best]:.4g}, the last point that has one"
        return Found(thetas[best], bent[best], status, why, curve)

    def corner(self, sweep: Sweep, theta: float) -> Corner:
        """ρ and η at theta."""
        fit = sweep.at(theta)
        square = dot(fit.r, fit.r)
        R = (fit.problem(fit.x) - sweep.term(fit.x)) / math.exp(theta)
        rho, eta = (math.log(v) if v > 0 and math.isfinite(v) else math.nan for v in (square**0.5, R))
        return Corner(theta, rho, eta, fit.reached)


def curvature(a: Corner, b: Corner, c: Corner) -> float:
    """κ at b, derivatives with respect to theta by parabolas; NaN where the curve stands still."""
    left, right = b.theta - a.theta, c.theta - b.theta

    def derivatives(u: float, v: float, w: float) -> tuple[float, float]:
        before, after = (v - u) / left, (w - v) / right
        return (right * before + left * after) / (left + right), 2 * (after - before) / (left + right)

    (r1, r2), (e1, e2) = derivatives(a.rho, b.rho, c.rho), derivatives(a.eta, b.eta, c.eta)
    speed = math.hypot(r1, e1)
    return (r1 * e2 - r2 * e1) / speed**3 if speed > 0 else math.nan
