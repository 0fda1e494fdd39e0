"""Rules from the residual: as large as the noise, or as white."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, double, namespace
from varinv.learning.discrepancy import SolveFailed, find_level
from varinv.learning.noise import noise_level
from varinv.learning.path import Sweep
from varinv.learning.rules_base import NO_ROOT, OK, UNSETTLED, UNSOLVED, ChoiceRule, Found, Point, measured, positive
from varinv.linalg import dot


@dataclass(frozen=True, eq=False, repr=False)
class Discrepancy(ChoiceRule):
    r"""Choose the parameter for which the image fits the data as closely as the noise level allows.

    The θ at which ‖A x_θ − y‖ = τ √m σ (Morozov 1966), by `find_level` between the bounds.

    Over-smooths: the best image has a smaller residual.  `corrected` counts the degrees of freedom that the image has
    used up, ‖A x_θ − y‖ = τ √(m − df) σ, the equivalent degrees of freedom of Wahba (1983).

    Parameters
    ----------
    noise : σ, the standard deviation of one measurement (not the norm that `vi.discrepancy` takes); None: estimated,
        from images only (A = I).
    tau : τ ≥ 1.
    corrected : subtract the degrees of freedom.
    tol : accepted relative distance of the residual from its target.
    """

    noise: float | None = None
    tau: float = 1.0
    corrected: bool = False
    tol: float = 1e-3

    criterion = "residual / target"

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive("Discrepancy", "noise", self.noise))
        object.__setattr__(self, "tau", check.number("Discrepancy", "tau", self.tau, low=1.0))
        object.__setattr__(self, "tol", check.number("Discrepancy", "tol", self.tol, low=0.0, strict=True))

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        sweep.at(theta)
        return noise_level("Discrepancy", self.noise, sweep.y, sweep.term)

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        df, reached = math.nan, True
        if self.corrected:
            change, reached = sweep.response(theta, prepared)
            df = dot(sweep.probe, change)
        fit, size = measured(sweep, theta)
        left = sweep.m - df if self.corrected else float(sweep.m)
        target = self.tau * prepared * math.sqrt(max(left, 0.0))
        ratio = size / target if target > 0 else 0.0  # the image has used up all degrees of freedom
        return Point(theta, ratio, size, df, reached and fit.reached)

    def search(self, sweep: Sweep, thetas: Sequence[float], refine: bool) -> Found:
        low, high = thetas[0], thetas[-1]
        prepared = self.prepare(sweep, high)
        points: dict[float, Point] = {}

        def ratio(theta: float) -> float:
            points[theta] = self.point(sweep, theta, prepared)
            return points[theta].criterion

        try:
            level = find_level(ratio, 1.0, start=(low + high) / 2, bounds=(low, high), tol=self.tol)
        except SolveFailed as failure:
            curve = tuple(points[theta] for theta in sorted(points))
            at = min(curve, key=lambda p: abs(p.criterion - 1) if math.isfinite(p.criterion) else math.inf)
            return Found(at.theta, at.criterion, UNSOLVED, str(failure).replace("log λ", "theta"), curve, prepared)
        curve = tuple(points[theta] for theta in sorted(points))
        ended = not level.found and level.why.startswith("no root")
        why = level.why.replace("log λ", "theta")
        return Found(
            level.theta, level.value, OK if level.found else NO_ROOT if ended else UNSETTLED, why, curve, prepared
        )


@dataclass(frozen=True, eq=False, repr=False)
class Whiteness(ChoiceRule):
    r"""Choose parameters so that what the image leaves of the data looks like white noise.

    Minimise Σ|r̂|⁴/(Σ|r̂|²)² of the residual's spectrum r̂ (Lanza, Pragliola & Sgallari 2020); needs no σ.

    It is least, 1/m, where the spectrum is flat: what is left is white noise.

    Parameters
    ----------
    axes : of the spectrum, the score being the mean over the others; None: all.  Sinograms: (-1,), view by view.
    """

    axes: tuple[int, ...] | None = None

    criterion = "whiteness Σ|r̂|⁴/(Σ|r̂|²)²"

    def __post_init__(self) -> None:
        if self.axes is not None:
            given = self.axes if isinstance(self.axes, (tuple, list)) else (self.axes,)
            object.__setattr__(self, "axes", tuple(check.integer("Whiteness", "axes", k) for k in given))

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        return check.axes("Whiteness", self.axes, tuple(sweep.y.shape))

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        fit, size = measured(sweep, theta)
        return Point(theta, whiteness(fit.r, prepared), size, math.nan, fit.reached)


def whiteness(r: Array, axes: tuple[int, ...]) -> float:
    """Σ|r̂|⁴/(Σ|r̂|²)² over `axes`, mean over the others; 1, the worst there is, where r = 0."""
    xp = namespace(r)
    power = abs(xp.fft.fftn(xp.astype(double(r), xp.complex128), axes=axes)) ** 2
    total = xp.sum(power, axis=axes)
    scores = xp.where(
        total > 0, xp.sum(power**2, axis=axes) / xp.where(total > 0, total**2, 1 + 0 * total), 1 + 0 * total
    )
    return float(xp.mean(scores))
