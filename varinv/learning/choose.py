"""Choose the parameters of a family from one data set, without its truth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from varinv import check
from varinv.backend import Array, is_array, to_numpy
from varinv.first_use import clock
from varinv.learning.chosen import Chosen
from varinv.learning.family import parameters
from varinv.learning.path import Sweep
from varinv.learning.rules_base import UNSOLVED, ChoiceRule, Found, meaning
from varinv.learning.rules_residual import Whiteness
from varinv.learning.several import several
from varinv.solvers.base import Solver


def choose(
    family: Any,
    y: Array,
    rule: ChoiceRule | None = None,
    bounds: Any = None,
    *,
    points: int | Sequence[float] = 25,
    refine: bool = True,
    theta0: Any = None,
    mu: float | None = None,
    solver: Solver | None = None,
    stop: Callable[..., str | None] | None = None,
    tol: float = 1e-4,
    seed: int = 0,
) -> Chosen:
    """Choose the weight of a regulariser, or other parameters, from the data alone, without ground truth.

    The parameters theta of ``family(theta, y)`` that a rule picks for these data alone.

    Parameters
    ----------
    family : ``family(theta, y) -> Problem``, theta 1-D; `vi.families` has some, any callable will do, e.g.
        ``lambda theta, y: vi.L2Squared(y) @ A + math.exp(theta[0]) * vi.TV(A.domain) + vi.NonNegative()``.
    y : the data.
    rule : SURE, Discrepancy, GCV, Whiteness, LCurve, HoldOut or Evidence; None: Whiteness(), which needs no noise
        level.  Where the noise level is known and A = I, SURE is the best of them.
    bounds : (low, high) of theta (natural logarithms for the families here); a list of pairs for several parameters,
        which SURE alone chooses, by its gradient.
    points : how many values between the bounds are tried, or these values themselves, increasing; rules that look for
        a root take the ends alone.
    refine : search between the neighbours of the best of them.
    theta0 : where the search for several parameters starts; None: the middle of the bounds.
    mu : strong convexity to assume where none is known.
    solver, stop : as in `solve`, for every solve; None: solves of smooth, strongly convex problems to a proved
        accuracy, others as `solve` does them.  A solve that uses up its iterations or time counts where its residual
        is at most 1e-3 then; else the status says how many did not.
    tol : accuracy of the proved solves, relative to the start.
    seed : of the random probe of SURE, GCV and Evidence.

    Returns
    -------
    Chosen : theta, the image, the curve, and a status that is "ok" only where the rule did what it is meant to do.

    Raises
    ------
    TypeError, ValueError
        A family that is not callable or returns no problem, NaN in y, bounds that do not increase, a rule that is a
        class, a noise level that is not positive or cannot be estimated, several parameters with another rule,
        another number of pairs than the family has parameters.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> y = np.array([3.0, 4.0, 1.0, 0.0])
    >>> ridge = lambda theta, y: vi.L2Squared(y) + np.exp(theta[0]) * vi.L2Squared()
    >>> chosen = vi.choose(ridge, y, vi.Discrepancy(noise=0.5), bounds=(-8, 2))  # √26 λ/(1 + λ) = 0.5 √4
    >>> chosen.status, round(float(np.exp(chosen.theta[0])), 3)
    ('ok', 0.244)
    """
    began = clock()
    if not callable(family) or isinstance(family, type):
        raise TypeError(
            f"choose: family must be a callable family(theta, y) -> Problem, such as families.TV(shape), "
            f"got {check.describe(family)}"
        )
    rule = Whiteness() if rule is None else rule
    if isinstance(rule, type) and issubclass(rule, ChoiceRule):
        raise TypeError(f"choose: rule must be an instance, got the class {rule.__name__}; write {rule.__name__}(…)")
    if not isinstance(rule, ChoiceRule):
        raise TypeError(f"choose: rule must be a rule such as SURE(noise=0.1), got {check.describe(rule)}")
    y = check.real_array("choose", "y", y)
    tol = check.number("choose", "tol", tol, low=0.0, strict=True)
    mu = None if mu is None else check.number("choose", "mu", mu, low=0.0, strict=True)
    pairs, many = _bounds(bounds)
    _enough(family, len(pairs))
    if many:
        return several(family, y, rule, pairs, theta0, mu, tol, seed, began)
    sweep = Sweep(family, y, mu, solver, stop, tol, seed)
    return choose_from(sweep, rule, _thetas(points, pairs[0]), refine, began)


def choose_from(
    sweep: Sweep, rule: ChoiceRule, thetas: Sequence[float], refine: bool = True, began: float | None = None
) -> Chosen:
    """What the rule picks on a sweep, reusing what has been solved there already."""
    began = clock() if began is None else began
    found = rule.search(sweep, thetas, refine)
    fit = sweep.at(found.theta)
    theta = parameters([found.theta])
    status, why = _trust(found, fit.reached, fit.why)
    return Chosen(
        theta,
        found.value,
        status,
        why,
        fit.x,
        fit.problem,
        found.curve,
        meaning(sweep.family, theta),
        repr(rule),
        rule.criterion,
        found.noise,
        sweep.solves,
        sweep.iterations,
        clock() - began,
    )


def _trust(found: Found, reached: bool, why: str) -> tuple[str, str]:
    """The status: that of the search, unless the solves it rests on, at theta and beside it, have failed."""
    failed = sum(not p.reached for p in found.curve)
    count = f"{failed} of {len(found.curve)} solves ended without their accuracy"
    here = any(p.theta == found.theta and not p.reached for p in found.curve)
    if here or not reached:
        return (
            UNSOLVED,
            f"the solve at the chosen theta ended without its accuracy ({why}); {count}: nothing is located",
        )
    beside = sorted(found.curve, key=lambda p: abs(p.theta - found.theta))[:3]
    if not all(p.reached for p in beside):
        return UNSOLVED, f"{count}, also beside the chosen theta: nothing is located"
    note = f"; {count}, none of them beside it" if failed else ""
    return found.status, found.why + note


def _bounds(bounds: Any) -> tuple[list[tuple[float, float]], bool]:
    """Pairs (low, high), increasing; whether they were given as a list of pairs."""
    given = to_numpy(bounds).tolist() if is_array(bounds) else bounds
    try:
        many = isinstance(given[0], (tuple, list)) or (is_array(given[0]) and given[0].ndim > 0)
        given = list(given) if many else [given]
        pairs = [(low, high) for low, high in given]
    except (TypeError, ValueError, IndexError, KeyError):
        raise TypeError(
            f"choose: bounds must be (low, high) in theta, or a list of such pairs, got {check.describe(bounds)}"
        ) from None
    result = []
    for low, high in pairs:
        low, high = check.number("choose", "bounds", low), check.number("choose", "bounds", high)
        if low >= high:
            raise ValueError(f"choose: bounds must increase, got ({low:g}, {high:g}); natural logarithms are expected")
        result.append((low, high))
    return result, many


def _enough(family: Any, given: int) -> None:
    """One pair for each parameter of a family that names them, or a ValueError."""
    names = getattr(family, "names", ())
    if not names or len(names) == given:
        return
    who = type(family).__name__
    free = next((n for n in reversed(names) if hasattr(family, n)), None)
    fixed = f", or fix one in the family, such as families.{who}(…, {free}=0.01)" if free and len(names) > given else ""
    raise ValueError(
        f"choose: {who} has {len(names)} parameter{'s' * (len(names) > 1)} ({', '.join(names)}), so bounds must be "
        f"{'a list of ' if len(names) > 1 else ''}{len(names)} pair{'s' * (len(names) > 1)} (low, high), "
        f"got {given}{fixed}"
    )


def _thetas(points: Any, bounds: tuple[float, float]) -> list[float]:
    """Increasing values between the bounds."""
    low, high = bounds
    if hasattr(points, "__index__"):
        n = check.integer("choose", "points", points, low=3)
        return [low + (high - low) * k / (n - 1) for k in range(n)]
    thetas = [check.number("choose", "points", float(t)) for t in points]
    slack = 1e-12 * max(abs(low), abs(high))
    if len(thetas) < 3 or any(a >= b for a, b in itertools.pairwise(thetas)):
        raise ValueError(f"choose: points must be at least 3 increasing values of theta, got {len(thetas)} values")
    if thetas[0] < low - slack or thetas[-1] > high + slack:
        raise ValueError(f"choose: points must lie within the bounds ({low:g}, {high:g})")
    return thetas
