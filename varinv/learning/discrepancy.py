"""The discrepancy principle: the weight at which the residual is as large as the noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.problem import as_problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import data_misfit
from varinv.solvers.rules import spent

STEP = math.log(10.0)  # first step of the search for a bracket, in log λ


class Level(NamedTuple):
    """Where a function reached its target: argument and value, whether and why it ended, every (argument, value)."""

    theta: float
    value: float
    found: bool
    why: str
    path: tuple[tuple[float, float], ...]


class SolveFailed(ValueError):
    """A residual that is NaN or infinite."""


def find_level(
    f: Callable[[float], float],
    target: float,
    *,
    start: float,
    bounds: tuple[float, float],
    tol: float = 1e-3,
    most: int = 40,
) -> Level:
    """θ with |f(θ)/target − 1| ≤ tol for a non-decreasing f ≥ 0, in few evaluations.

    Steps of log 10, growing, from `start` until two values enclose the target; then false position (Illinois) on
    log f, with a bisection where three evaluations have not halved the bracket.  Never raises for want of a root:
    `why` says what was met and θ is the closest argument seen.  Raises SolveFailed where a value is NaN or infinite.

    Parameters
    ----------
    f : called at most `most` times; its arguments stay within `bounds`.
    """
    low, high = bounds
    path: list[tuple[float, float]] = []

    def g(theta: float) -> float:
        value = f(theta)
        if not value >= 0 or math.isinf(value):
            raise SolveFailed(f"discrepancy: the residual at log λ = {theta:.4g} is {value}; the solve has failed")
        path.append((theta, value))
        return math.log(max(value, 1e-300) / target)

    def end(found: bool, why: str) -> Level:
        theta, value = min(path, key=lambda p: abs(math.log(max(p[1], 1e-300) / target)))
        return Level(theta, value, found, why, tuple(path))

    def near(value: float) -> bool:
        return abs(math.expm1(min(value, 700.0))) <= tol

    a = min(max(start, low), high)
    ga = g(a)
    step = STEP
    while True:  # a bracket
        if near(ga):
            return end(True, f"the residual is the target within {tol:g}")
        edge = low if ga > 0 else high
        if a == edge:
            words = "stays above" if ga > 0 else "stays below"
            hint = (
                "the noise is larger than stated, the model does not fit the data, or the solves are too coarse"
                if ga > 0
                else "the noise is smaller than stated: the data ask for no finite weight"
            )
            return end(False, f"no root: the residual {words} the target up to log λ = {edge:.4g}; {hint}")
        if len(path) >= most:
            return end(False, f"no bracket after {most} solves")
        b = max(a - step, low) if ga > 0 else min(a + step, high)
        gb = g(b)
        if near(gb) or ga * gb < 0:
            break
        if (gb - ga) * (b - a) < -tol * step:  # moving away from the target
            return end(False, f"the residual falls with λ near log λ = {b:.4g}: solve more accurately")
        a, ga, step = b, gb, 1.5 * step
    (a, ga), (b, gb) = sorted([(a, ga), (b, gb)])
    wide, since, side = b - a, 0, 0
    wa, wb = ga, gb  # the values false position uses; the retained end's is halved
    while not near(gb if abs(gb) < abs(ga) else ga):
        if len(path) >= most:
            return end(False, f"the target was not reached within {tol:g} in {most} solves")
        if b - a <= 1e-9 * max(1.0, abs(a), abs(b)):
            return end(False, f"the residual jumps across the target at log λ = {a:.6g}: solve more accurately")
        c = a - wa * (b - a) / (wb - wa)
        if since >= 3:
            c, wide, since = (a + b) / 2, b - a, 0
        c = min(max(c, a + 0.01 * (b - a)), b - 0.01 * (b - a))
        gc = g(c)
        if gc > 0:
            b, gb, wb = c, gc, gc
            wa, side = (wa / 2 if side > 0 else wa), 1
        else:
            a, ga, wa = c, gc, gc
            wb, side = (wb / 2 if side < 0 else wb), -1
        since = since + 1 if b - a > wide / 2 else 0
        wide = wide if since else b - a
    return end(True, f"the residual is the target within {tol:g}")


@dataclass(frozen=True, eq=False, repr=False)
class DiscrepancyResult:
    """What `discrepancy` found.

    lam, x, residual : weight, image and data residual (of the closest weight tried where `found` is False).
    target : τ δ.
    found, why : whether |residual/target − 1| ≤ tol, and how it ended.
    solves : how many problems were solved.
    path : every (λ, residual), in order.
    result : the `Result` of the solve at `lam`.
    """

    lam: float
    x: Array
    residual: float
    target: float
    found: bool
    why: str
    solves: int
    path: tuple[tuple[float, float], ...]
    result: Any

    def __repr__(self) -> str:
        reached = f"λ = {self.lam:.4g}, residual {self.residual:.4g} for {self.target:.4g}"
        return f"{reached}, {self.solves} solves: {self.why}"


def discrepancy(
    problem_at: Callable[[float], Any],
    noise: float,
    *,
    tau: float = 1.01,
    start: float = 1.0,
    bounds: tuple[float, float] = (1e-12, 1e12),
    tol: float = 1e-3,
    most: int = 40,
    solver: Solver | None = None,
    stop: Callable[..., str | None] | None = None,
    x0: Array | None = None,
    residual: Callable[[Array], float] | None = None,
) -> DiscrepancyResult:
    r"""Find the weight of a regulariser for which the image fits the data as closely as the noise level allows.

    The weight λ of ‖A x_λ − y‖ = τ δ (Morozov 1966), x_λ the minimiser of ``problem_at(lam)``.

    The residual never falls as λ grows, so the equation has at most one root up to flat parts; it is sought in log λ
    by false position in a bracket, each solve starting from the image of the nearest λ.

    Parameters
    ----------
    problem_at : λ ↦ Problem, λ multiplying the regulariser, e.g. ``lambda lam: L2Squared(y) @ A + lam * TV(shape)``.
    noise : δ, the norm ‖noise‖ of the whole data (standard deviation · √m), in the norm of the data term.
    tau : τ ≥ 1; 1.01 by default.
    start, bounds : first λ and the range of λ searched.
    tol : accepted relative distance of the residual from τ δ.  The solves should be ten times as accurate.
    most : at most so many solves.
    solver, stop, x0 : as in `solve`.
    residual : x ↦ float; None: √Σ weight |A x − y|² over the least-squares terms that have data.

    Returns
    -------
    DiscrepancyResult : with `found` False, and `why`, where no λ within the bounds has that residual.

    Raises
    ------
    TypeError, ValueError
        A noise level, τ or bounds that are not positive; a problem without a least-squares data term and no `residual`;
        a solve that fails (NaN).

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> y = np.array([3.0, 4.0])
    >>> vi.discrepancy(lambda lam: vi.L2Squared(y) + lam * vi.L2Squared(), noise=1.0, tau=1.0).lam  # 5λ/(1+λ) = 1
    0.25...
    """
    from varinv.solvers.solve import solve

    who = "discrepancy"
    noise = check.number(who, "noise", noise, low=0.0, strict=True)
    target = noise * check.number(who, "tau", tau, low=1.0)
    low, high = (check.number(who, "bounds", b, low=0.0, strict=True) for b in bounds)
    if low >= high:
        raise ValueError(f"{who}: bounds must be increasing, got {bounds}")
    start = check.number(who, "start", start, low=0.0, strict=True)
    tol = check.number(who, "tol", tol, low=0.0, strict=True)
    check.integer(who, "most", most, low=1)
    done: dict[float, Any] = {}

    def solved(theta: float) -> float:
        problem = as_problem(problem_at(math.exp(theta)))
        if problem is None:
            raise TypeError(f"{who}: problem_at(lam) must return a Problem such as L2Squared(y) @ A + lam * TV(shape)")
        begin = done[min(done, key=lambda t: abs(t - theta))].x if done else x0
        done[theta] = found = solve(problem, solver, x0=begin, stop=stop)
        return float(residual(found.x)) if residual is not None else data_misfit("discrepancy", problem, found.x)

    root = find_level(solved, target, start=math.log(start), bounds=(math.log(low), math.log(high)), tol=tol, most=most)
    result = done[root.theta]
    path = tuple((math.exp(theta), value) for theta, value in root.path)
    unsolved = 0 if stop is None else sum(spent(stop, r.why) for r in done.values())
    why = root.why + (f"; {unsolved} of {len(done)} solves ended without their accuracy" if unsolved else "")
    return DiscrepancyResult(
        math.exp(root.theta), result.x, root.value, target, root.found, why, len(path), path, result
    )
