"""Several parameters by the gradient of Stein's estimate (SUGAR: Deledalle, Vaiter, Fadili & Peyré 2014)."""

from __future__ import annotations

import math
import random
from typing import Any

from varinv import check
from varinv.backend import Array, is_array, like, to_numpy
from varinv.first_use import clock
from varinv.learning.chosen import Chosen
from varinv.learning.family import data_term, lower_problem, parameters
from varinv.learning.losses import stein
from varinv.learning.noise import noise_level
from varinv.learning.oracle import Bilevel, Evaluation
from varinv.learning.path import SHARE
from varinv.learning.rules_base import END, OK, UNSETTLED, UNSOLVED, Point, meaning
from varinv.learning.rules_risk import SURE
from varinv.linalg import norm

MOST = 60  # evaluations of the risk and its gradient
GRADIENT = 1e-3  # of the risk per measurement and σ², where the search may end


def several(
    family: Any,
    y: Array,
    rule: Any,
    bounds: list[tuple[float, float]],
    theta0: Any,
    mu: float | None,
    tol: float,
    seed: int,
    began: float,
) -> Chosen:
    """The theta of least SURE within a box, by a quasi-Newton method on inexact hypergradients; best iterate kept.

    Raises TypeError for a rule other than SURE, ValueError for a start outside the bounds.
    """
    from scipy.optimize import minimize

    if not isinstance(rule, SURE):
        raise TypeError(
            f"choose: several parameters are chosen by SURE(noise=…) alone, got {rule!r}; fix all but one for others"
        )
    start = [(a + b) / 2 for a, b in bounds] if theta0 is None else parameters(theta0)
    start = parameters(start)
    if tuple(start.shape) != (len(bounds),):
        raise ValueError(
            f"choose: theta0 must have {len(bounds)} entries, one per pair of bounds, got {start.shape[0]}"
        )
    if not all(a <= float(t) <= b for t, (a, b) in zip(start, bounds, strict=True)):
        raise ValueError("choose: theta0 must lie within the bounds")
    term = data_term(lower_problem(family, start, y), y)
    noise = noise_level("SURE", rule.noise, y, term)
    weight = term.weight
    data, loss = stein(y, term.K, noise, random.Random(seed), weight)
    problem = Bilevel(family=family, cases=[(data, loss)], theta0=start, mu=mu)
    A, scale = loss.A, loss.m * noise**2
    size = 1.0 if A is None else float(A.norm())
    first = problem.evaluate(start, math.inf, None)
    epsilon = min(tol * first.error, SHARE * loss.step * math.sqrt(loss.m) / size)
    curve: list[Point] = []
    best: list[Evaluation] = []
    last: list[Evaluation] = []
    work: list[int] = []

    def risk(theta: Any) -> tuple[float, Any]:
        at = like(theta, start)
        if is_array(weight):
            data_term(lower_problem(family, at, y), y, term)
        steep = max(s.steep for e in last for s in e.samples[0].solutions) if last else scale / noise
        found = problem.evaluate(at, epsilon, 1e-4 * steep, last[-1] if last else None)
        last[:] = [found]
        work.append(found.work.total)
        x = found.samples[0].solutions[0].x
        r = (x if A is None else A(x)) - loss.y
        df = (found.value - norm(r) ** 2 + scale) / (2 * noise**2)
        curve.append(Point(tuple(float(t) for t in at), found.value, norm(r), df, found.reached))
        if not best or found.value < best[0].value or not math.isfinite(best[0].value):
            best[:] = [found]
        return found.value / scale, to_numpy(found.slope) / scale

    result = minimize(
        risk,
        to_numpy(start),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxfun": MOST, "ftol": 1e-7, "gtol": GRADIENT},
    )
    chosen = best[0]
    theta = [float(t) for t in chosen.theta]
    slope = [float(g) / scale for g in chosen.slope]
    ends = [
        i
        for i, (t, g, (a, b)) in enumerate(zip(theta, slope, bounds, strict=True))
        if (t - a <= 1e-6 * (b - a) and g > GRADIENT) or (b - t <= 1e-6 * (b - a) and g < -GRADIENT)
    ]
    inside = max((abs(g) for i, g in enumerate(slope) if i not in ends), default=0.0)
    status, why = OK, f"the gradient of SURE is {inside:.1e} of mσ² after {len(curve)} evaluations"
    if not chosen.reached:
        status, why = UNSOLVED, f"a solve or adjoint solve at the chosen theta did not reach its accuracy; {why}"
    elif ends:
        status, why = END, f"SURE falls beyond the bounds of theta[{', '.join(map(str, ends))}]; {why}"
    elif not inside <= 10 * GRADIENT:
        status, why = UNSETTLED, f"{why}: {check.describe(str(result.message))}"
    first_x = chosen.samples[0].solutions[0].x
    at = parameters(theta)
    return Chosen(
        at,
        chosen.value,
        status,
        why,
        first_x,
        lower_problem(family, at, y),
        tuple(curve),
        meaning(family, at),
        repr(rule),
        rule.criterion,
        noise,
        2 * len(curve),
        sum(work),
        clock() - began,
    )
