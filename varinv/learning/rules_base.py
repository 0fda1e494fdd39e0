"""Rules that choose a parameter from one data set, without its truth: what they share, and the search for a minimum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.learning.path import Sweep
from varinv.linalg import norm

OK, END, NO_ROOT, UNSOLVED = "ok", "at the end of the bounds", "no root", "lower solve did not converge"
FLAT, NO_CORNER, UNSETTLED = "the criterion does not depend on theta", "no corner", "search did not converge"
ACCURACY = 0.01  # of theta: one per cent of the parameter itself


class Point(NamedTuple):
    """One theta that was tried: the criterion, ‖A x − y‖, degrees of freedom (NaN: not formed), solves converged."""

    theta: Any
    criterion: float
    residual: float
    df: float = math.nan
    reached: bool = True


class Found(NamedTuple):
    """What a search ended with."""

    theta: Any
    value: float
    status: str
    why: str
    curve: tuple[Point, ...]
    noise: float | None = None


def meaning(family: Any, theta: Array) -> dict[str, float]:
    """What theta means: the family's own words, or exp(theta)."""
    if hasattr(family, "values"):
        values: dict[str, float] = family.values(theta)
        return values
    n = int(theta.shape[0])
    return {"exp(theta)" if n == 1 else f"exp(theta[{i}])": math.exp(min(float(theta[i]), 709.0)) for i in range(n)}


class ChoiceRule:
    """A criterion of theta that needs no truth.  Rules of one minimum define `point`; others replace `search`."""

    criterion = "criterion"  # what the vertical axis of the picture says

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        """What holds for all theta (a noise level, masks), formed once at the first theta."""
        return None

    def level(self, prepared: Any) -> float | None:
        """The noise level used, for the report."""
        return None

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        """The criterion at theta."""
        raise NotImplementedError

    def search(self, sweep: Sweep, thetas: Sequence[float], refine: bool) -> Found:
        """The least criterion among increasing thetas and, with `refine`, between its neighbours."""
        prepared = self.prepare(sweep, thetas[-1])
        found = minimum(lambda theta: self.point(sweep, theta, prepared), thetas, refine)
        return found._replace(noise=self.level(prepared))

    def __repr__(self) -> str:
        fields = getattr(self, "__dataclass_fields__", {})
        changed = [f"{n}={getattr(self, n)!r}" for n, f in fields.items() if getattr(self, n) != f.default]
        return f"{type(self).__name__}({', '.join(changed)})"


def minimum(f: Callable[[float], Point], thetas: Sequence[float], refine: bool) -> Found:
    """The least of f over thetas, from the largest down; then by golden sections and parabolas between neighbours."""
    from scipy.optimize import minimize_scalar

    points = {theta: f(theta) for theta in reversed(thetas)}
    finite = [theta for theta in thetas if math.isfinite(points[theta].criterion)]
    if not finite:
        return Found(thetas[0], math.nan, UNSOLVED, "the criterion is finite nowhere", tuple(points.values()))
    best = min(finite, key=lambda theta: points[theta].criterion)
    values = [points[theta].criterion for theta in finite]
    spread = max(values) - min(values)
    if len(thetas) > 1 and spread <= 1e-9 * max(map(abs, values)):
        why = f"the criterion changes by less than 1e-9 of itself between {thetas[0]:g} and {thetas[-1]:g}"
        return Found(best, points[best].criterion, FLAT, why, _sorted(points))
    at = thetas.index(best)
    if at in (0, len(thetas) - 1):
        why = f"the criterion is least at theta = {best:.4g}, an end of the bounds; the minimum may lie beyond"
        return Found(best, points[best].criterion, END, why, _sorted(points))
    why = f"the least of {len(thetas)} values of the criterion"
    if refine:

        def tried(theta: float) -> float:
            points[theta] = f(theta)
            return points[theta].criterion if math.isfinite(points[theta].criterion) else math.inf

        between = (thetas[at - 1], thetas[at + 1])
        minimize_scalar(lambda t: tried(float(t)), bounds=between, method="bounded", options={"xatol": ACCURACY})
        best = min((p for p in points.values() if math.isfinite(p.criterion)), key=lambda p: p.criterion).theta
        why = f"the least criterion, located within {ACCURACY:g} of theta"
    return Found(best, points[best].criterion, OK, why, _sorted(points))


def _sorted(points: dict[float, Point]) -> tuple[Point, ...]:
    return tuple(points[theta] for theta in sorted(points))


def measured(sweep: Sweep, theta: float) -> tuple[Any, float]:
    """(the fit at theta, ‖r‖)."""
    fit = sweep.at(theta)
    return fit, norm(fit.r)


def positive(who: str, name: str, value: Any) -> float | None:
    """A positive number, or None."""
    return None if value is None else check.number(who, name, value, low=0.0, strict=True)
