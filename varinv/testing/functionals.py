"""Does a functional of your own compute what it says?  `check_functional` measures it."""

from __future__ import annotations

import inspect
import itertools
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from varinv import check
from varinv.capabilities import lost
from varinv.forms import form_of
from varinv.functionals.base import Functional
from varinv.returned import as_written
from varinv.testing.claims import form_lines, fused_lines, lifted_lines, within_lines
from varinv.testing.figures import (
    beaten,
    bend_error,
    expansion,
    feasible,
    fenchel_young_error,
    fenchel_young_excess,
    gradient_ratios,
    points,
    rand,
    relative_difference,
    slope_error,
    worst,
)  # fmt: skip
from varinv.testing.report import ABSENT, FAILED, NOTE, OK, Line, Report, at_most, collect, holds, refused

STEPS = (0.05, 1.0, 7.0)
GIVES = {  # what each method that is missing would give
    "prox": "the solvers of non-smooth problems (ChambollePock, FISTA with f as the term of the image, ADMM)",
    "conj": "a certified gap: without it no lower bound is known, and vi.gap(tol) has no proof",
    "grad": "gradient solvers (FISTA, LBFGS, CondatVu), Problem.grad, learning",
    "hvp": "curvature: line searches, learned parameters",
    "form": "one of varinv.forms, if f is one: fused steps, the certificate with x ≥ 0, and for squares CG, CGLS, LSQR "
    "and SIRT",
}


@as_written()
def check_functional(f: Functional, shape: Any, operator: Any = None) -> Report:
    """Test a functional of your own: what it computes and what it declares, each against its definition.

    Value, prox, conjugate, derivatives, constants and every claim of f.

    Parameters
    ----------
    f : an instance of your class.
    shape : the shape of its argument; a few entries are enough (each prox is compared with 200 other points).
    operator : with an operator K between images and this shape, the steps registered for the forms of f and K
        (varinv.fused) are compared with the general formulas on K as well.

    Returns
    -------
    Report : true where nothing failed; a method that is not there is named, with what it would give.

    Examples
    --------
    >>> import varinv as vi
    >>> vi.testing.check_functional(vi.L2Squared([1.0, -2.0, 0.5]), (3,)).ok
    True
    """
    refused("check_functional", Functional, f, "L1(0.5)")
    shape = check.shape("check_functional", shape)
    f.fits(shape)
    return collect(
        repr(f),
        [
            ("the value", _value),
            ("arrays that come in are left alone", _input),
            ("prox(x, step)", _prox),
            ("prox_conj(y, step)", _prox_conj),
            ("conj(y)", _conj),
            ("feasible(y)", _feasible),
            ("grad(x)", _grad),
            ("hvp(x, p)", _hvp),
            ("smoothness and convexity", _constants),
            ("λ · f", _scaled),
            ("separable", _separable),
            ("grows", _grows),
            ("form()", form_lines),
            ("total(value) and lifted(q, price, need)", lifted_lines),
            ("conj_within, violation, quadratic_weight", within_lines),
            ("fused steps", lambda f, shape: fused_lines(f, shape, operator)),
            ("pickles", _pickles),
            ("what is not there", _absent),
        ],
        f,
        shape,
    )


def inside(f: Any, shape: Any, count: int = 4) -> list[Any]:
    """Points at which f is finite, also a little beside them: of several sizes, signed and positive."""
    tried = [*points(f, shape, count), *(2 + 0.3 * rand(np, shape, i) for i in range(count))]
    if hasattr(f, "prox"):
        tried += [f.prox(z, 0.3) for z in points(f, shape, count)]
    return [z for z in tried if math.isfinite(f(z))]


def _value(f: Any, shape: Any) -> Iterator[Line]:
    values = [f(z) for z in [*points(f, shape), 2 + 0.3 * rand(np, shape, 1)]]
    numbers = all(isinstance(v, (float, int, np.floating)) and not math.isnan(v) and v > -math.inf for v in values)
    words = "return one float (∞ outside of the domain), never an array, NaN or −∞"
    yield holds("the value is a number", numbers, words, "" if numbers else repr(values[0]))
    found = inside(f, shape)
    yield holds("the value is finite somewhere", bool(found), "∞ at every point tried, prox points included")

    def away(z: Any) -> float:
        narrow = z.astype("f4")
        single, exact = f(narrow), f(narrow.astype("f8"))
        return float(abs(single - exact) / max(abs(exact), 1.0)) if math.isfinite(exact) else 0.0

    yield at_most(
        "float32 gives the value of float64", worst(away, ((z,) for z in found)), 1e-5, "rounding of the entries",
        "sum in float64: float(xp.sum(…, dtype=xp.float64)) or varinv.linalg.dot",
    )  # fmt: skip


def _input(f: Any, shape: Any) -> Iterator[Line]:
    calls: dict[str, Any] = {"the value": lambda z: f(z)}
    for name in ("prox", "prox_conj"):
        if hasattr(f, name):
            calls[name] = lambda z, name=name: getattr(f, name)(z, 0.7)
    for name in ("conj", "feasible", "grad"):
        if hasattr(f, name):
            calls[name] = lambda z, name=name: getattr(f, name)(z)
    for name, call in calls.items():
        z = 2 + 0.3 * rand(np, shape, 5)
        before = z.tobytes()
        call(z)
        yield holds(f"{name} leaves its input alone", z.tobytes() == before, "copy before writing to an array")
    for name in ("prox", "prox_conj", "grad", "feasible"):
        for dtype in ("f8", "f4"):
            if name in calls:
                z = (2 + 0.3 * rand(np, shape, 5)).astype(dtype)
                z.flags.writeable = False
                r = calls[name](z)
                good = isinstance(r, np.ndarray) and (r.dtype, tuple(r.shape)) == (z.dtype, tuple(shape))
                came = f"shape {tuple(r.shape)}, {r.dtype}" if isinstance(r, np.ndarray) else type(r).__name__
                yield holds(
                    f"{name} keeps shape and dtype, {z.dtype}", good, "cast data and weights to the dtype of x", came
                )


def _prox(f: Any, shape: Any) -> Iterator[Line]:
    if not hasattr(f, "prox"):
        return
    cases = [(i, x, step) for i, x in enumerate(points(f, shape)) for step in STEPS]
    yield at_most(
        "prox(x, step) minimises f(z) + ‖z − x‖²/(2 step): nothing tried costs less",
        worst(lambda i, x, step: beaten(f, x, f.prox(x, step), step, i), cases), 1e-12,
        "rounding of a cost that is evaluated twice",
        "the step divides the square, ‖z − x‖²/(2 step), not f; look at its factor 2" + _other_step(f, cases),
    )  # fmt: skip
    same = all(np.array_equal(f.prox(x, step), f.prox(x, step)) for _, x, step in cases)
    yield holds("prox gives the same twice", same, "prox must depend on its arguments alone")
    yield at_most(
        "prox in float32 agrees with float64",
        worst(lambda i, x, step: _single(f.prox, x, step), cases), 1e-5, "rounding of float32",
        "look for differences of nearly equal numbers",
    )  # fmt: skip
    step = 0.7 if f.convexity >= -1 else 0.7 / -f.convexity
    if step > 0:
        pairs = ((f, 3 * rand(np, shape, i), 3 * rand(np, shape, 100 + i), step) for i in range(20))
        yield at_most(
            "two prox points are as near as `convexity` says", worst(expansion, pairs), 1e-12, "rounding",
            f"convexity = {f.convexity:g} is too large, or prox is not that of a convex f (then convex = False)",
        )  # fmt: skip


def _other_step(f: Any, cases: Any) -> str:
    """Whether prox is right for twice or half the step."""
    for factor in (2.0, 0.5):
        if worst(lambda i, x, step, c=factor: beaten(f, x, f.prox(x, c * step), step, i), cases) <= 1e-12:
            return f"; prox(x, {factor:g}·step) would be right"
    return ""


def _single(method: Any, x: Any, step: Any) -> float:
    narrow = x.astype("f4")
    return relative_difference(method(narrow, step), method(narrow.astype("f8"), step))


class _Conjugate:
    def __init__(self, f: Any) -> None:
        self.f = f

    def __call__(self, q: Any) -> float:
        return float(self.f.conj(q))


def _prox_conj(f: Any, shape: Any) -> Iterator[Line]:
    if not f.convex or not hasattr(f, "prox_conj") or getattr(f.prox_conj, "follows", False):
        return  # Moreau's identity makes it of prox, which is judged by the value
    cases = [(i, y, step) for i, y in enumerate(points(f, shape)) for step in STEPS]
    if hasattr(f, "conj"):

        def figure(i: int, y: Any, step: float) -> float:
            p = f.prox_conj(y, step)
            return beaten(_Conjugate(f), y, feasible(f, p), step, i)  # rounding may leave the domain of f*

        yield at_most(
            "prox_conj(y, step) minimises conj: nothing tried costs less", worst(figure, cases), 1e-9,
            "rounding at the border of the domain of f*", "prox_conj is the prox of f*, with the step on f*",
        )  # fmt: skip
    if not getattr(f.prox, "follows", False):
        yield at_most(
            "prox_conj(y, s) = y − s·prox(y/s, 1/s)",
            worst(lambda i, y, s: relative_difference(f.prox_conj(y, s), y - s * f.prox(y / s, 1 / s)), cases), 1e-9,
            "rounding; both are written by hand, and prox is judged by the value",
            "one of the two is wrong; leave prox_conj away and it follows from prox",
        )  # fmt: skip
    yield at_most(
        "prox_conj in float32 agrees with float64", worst(lambda i, y, s: _single(f.prox_conj, y, s), cases), 1e-5,
        "rounding of float32", "look for differences of nearly equal numbers",
    )  # fmt: skip


def _conj(f: Any, shape: Any) -> Iterator[Line]:
    if not f.convex or not hasattr(f, "conj"):
        return
    pairs: list[tuple[Any, Any]] = []
    if hasattr(f, "prox"):
        for x, step in itertools.product(points(f, shape), STEPS):
            p = f.prox(x, step)
            pairs.append((p, feasible(f, (x - p) / step)))  # in the subdifferential at p, but for rounding
    elif hasattr(f, "grad"):
        pairs = [(z, f.grad(z)) for z in inside(f, shape)]
    advice = "conj(q) = sup over z of ⟨q, z⟩ − f(z): look for a term that is missing (data, weight, a constant)"
    if pairs:
        yield at_most(
            "f(p) + conj(q) = ⟨p, q⟩ for q in the subdifferential at p",
            worst(lambda p, q: fenchel_young_error(f, p, q), pairs), 1e-9, "rounding of three sums", advice,
        )  # fmt: skip
    others = [*inside(f, shape), *(p for p, _ in pairs[:4])]
    duals = [q for _, q in pairs] + [feasible(f, 0.3 * y) for y in points(f, shape)]
    cases = ((f, z, q) for z in others for q in duals)
    yield at_most(
        "f(z) + conj(q) ≥ ⟨z, q⟩ for any two",
        worst(fenchel_young_excess, cases),
        1e-9,
        "rounding of three sums",
        advice,
    )


def _feasible(f: Any, shape: Any) -> Iterator[Line]:
    if not hasattr(f, "feasible") or not hasattr(f, "conj"):
        return
    drawn = [(10.0 ** (i % 9 - 4) * rand(np, shape, i),) for i in range(40)]
    good = all(f.conj(f.feasible(y)) < math.inf for (y,) in drawn)
    yield holds("conj is finite at feasible(y)", good, "feasible must land in the domain of f*, exactly")
    again = worst(lambda y: relative_difference(f.feasible(f.feasible(y)), f.feasible(y)), drawn)
    yield at_most("feasible leaves feasible points alone", again, 1e-15, "the last bit", "project, do not shrink")


def _smooth_points(f: Any, shape: Any) -> list[Any]:
    """Points inside of the domain, away from 0 (data of counts), and signed ones where f is finite there."""
    near = [2 + 0.3 * rand(np, shape, i) for i in range(4)]
    signed = [z for z in points(f, shape) if math.isfinite(f(z))]
    return [z for z in [*near, *signed] if math.isfinite(f(z - 0.01)) and math.isfinite(f(z + 0.01))]


def _grad(f: Any, shape: Any) -> Iterator[Line]:
    if not hasattr(f, "grad"):
        return
    cases = [(f, z, rand(np, shape, 50 + i)) for i, z in enumerate(_smooth_points(f, shape))]
    yield at_most(
        "⟨grad(x), d⟩ is the slope of f along d", worst(slope_error, cases), 1e-6,
        "central differences with h = 1e-5: h², kinks within h, rounding/h", "look at its factor, weight and data",
    )  # fmt: skip

    def single(f: Any, z: Any, _: Any) -> float:
        z = z.astype("f4")
        narrow, exact = f.grad(z), f.grad(z.astype("f8"))
        bend = np.max(np.abs(f.hvp(z, np.ones_like(z)))) * np.max(np.abs(z)) if hasattr(f, "hvp") else 0.0
        return float(np.max(np.abs(narrow - exact)) / max(float(np.max(np.abs(exact))), float(bend), 1.0))

    yield at_most(
        "grad in float32 agrees with float64", worst(single, cases), 1e-5, "rounding of float32 in x and grad",
        "look for differences of nearly equal numbers",
    )  # fmt: skip


def _hvp(f: Any, shape: Any) -> Iterator[Line]:
    if not hasattr(f, "hvp") or not hasattr(f, "grad"):
        return
    cases = [(f, 2 + 0.3 * rand(np, shape, i), rand(np, shape, 50 + i)) for i in range(4)]
    yield at_most(
        "hvp(x, p) is the slope of grad along p", worst(bend_error, cases), 2e-6,
        "central differences with h = 1e-5: h² and rounding/h", "the second derivative of f times p, linear in p",
    )  # fmt: skip


def _constants(f: Any, shape: Any) -> Iterator[Line]:
    found = inside(f, shape)
    pairs = list(itertools.combinations(found, 2))
    mu = f.convexity
    if mu > -math.inf and pairs:

        def bulge(x: Any, z: Any) -> float:
            middle, ends = f((x + z) / 2), (f(x) + f(z)) / 2
            short = mu / 8 * float(np.sum((x - z) ** 2)) + middle - ends
            return float(short / max(abs(ends), 1.0))

        yield at_most(
            f"f is as convex as it says (convexity = {mu:g})", worst(bulge, pairs), 1e-10,
            "f((x + z)/2) ≤ (f(x) + f(z))/2 − μ/8 ‖x − z‖², but for rounding",
            "take the constant smaller: min of the second derivative; below 0 for a weakly convex f",
        )  # fmt: skip
    if not hasattr(f, "grad"):
        return
    L = f.smoothness
    shift = 5.0 if math.inf == L else 0.0
    drawn = [tuple(shift + 10.0 ** (i % 4 - 3) * rand(np, shape, seed + i) for seed in (0, 200)) for i in range(100)]
    drawn = [(x, z) for x, z in drawn if math.isfinite(f(x)) and math.isfinite(f(z))]
    ratios = [gradient_ratios(f, x, z) for x, z in drawn]
    most, least = max((r for r, _ in ratios), default=0.0), min((m for _, m in ratios), default=math.inf)
    if math.inf == L:
        yield Line(
            "smoothness", ABSENT, advice="it would give: certified steps of gradient methods; a search replaces it"
        )
    else:
        good = most <= L * (1 + 1e-10) + 1e-10
        yield Line(
            "grad is as smooth as it says", OK if good else FAILED,
            f"‖∇f(x) − ∇f(z)‖/‖x − z‖ up to {most:.6g} {'≤' if good else '>'} {L:.6g}",
            "(smoothness; steps that rest on it would diverge)", "max of the second derivative, over all weights",
        )  # fmt: skip
        if good and most < 0.3 * L:
            yield Line("smoothness is not far above", NOTE, f"{L / max(most, 1e-300):.1f} times what was met")
    yield holds(
        "grad is as monotone as `convexity` says", least >= mu - 1e-10 * max(abs(mu), 1.0) - 1e-12,
        "take `convexity` smaller", f"{least:.6g} against {mu:.6g}",
    )  # fmt: skip


def _scaled(f: Any, shape: Any) -> Iterator[Line]:
    y = rand(np, shape, 4)
    constraint = f.scale(2.0) is f
    found = inside(f, shape)

    def away(lam: float) -> float:
        g, weight = lam * f, 1.0 if constraint else lam
        figures = [abs(g(z) - weight * f(z)) / max(abs(weight * f(z)), 1.0) for z in found]
        if hasattr(f, "prox"):
            figures.append(relative_difference(g.prox(y, 0.3), f.prox(y, 0.3 * weight)))
        if hasattr(f, "grad") and found:
            figures.append(relative_difference(g.grad(found[-1]), weight * f.grad(found[-1])))
        if f.convex and hasattr(f, "conj"):
            q = 0.9 * feasible(f, y)
            a, b = g.conj(feasible(g, weight * q)), weight * f.conj(q)
            figures.append(0.0 if a == b else abs(a - b) / max(abs(b), 1.0))
        return max(figures, default=0.0)

    advice = "scale(lam) returns lam · f: value and grad times lam, prox with lam · step, conj(q) = lam · conj(q/lam)"
    yield at_most("λf is λ times f", worst(away, [(2.0,), (0.25,)]), 1e-6, "feasible may give way by 1e-6", advice)


def _separable(f: Any, shape: Any) -> Iterator[Line]:
    if not f.separable or not hasattr(f, "prox"):
        return
    steps, x = np.random.default_rng(5).uniform(0.1, 4, shape), 2 * rand(np, shape, 6)
    for name in ("prox", "prox_conj") if f.convex else ("prox",):
        method = getattr(f, name)
        together = method(x, steps)
        away = max(
            abs(float(together[i]) - float(method(x, float(steps[i]))[i])) / max(1.0, abs(float(together[i])))
            for i in np.ndindex(*shape)
        )
        yield at_most(
            f"separable: {name} takes an array of steps", away, 1e-11, "rounding", "each entry has its own step; if it "
            "cannot, say separable = False",
        )  # fmt: skip
    try:
        parts = [f.part(shape, 0, [i]) for i in range(shape[0])]
    except TypeError as error:
        yield Line("part()", ABSENT, str(error), "", "it would give: subsets of the data (SPDHG, OSEM)")
        return
    z = inside(f, shape)[-1]
    total = sum(part(z[i : i + 1]) for i, part in enumerate(parts))
    yield at_most(
        "separable: f is the sum of its parts", abs(total - f(z)) / max(abs(f(z)), 1.0), 1e-12, "rounding of sums",
        "part(shape, axis, indices) keeps some of the entries; if f is no sum over entries, say separable = False",
    )  # fmt: skip


def _grows(f: Any, shape: Any) -> Iterator[Line]:
    if not f.grows:
        return

    def fall(z: Any, seed: int) -> float:
        rng = np.random.default_rng(seed)
        larger = z * (1 + rng.uniform(0, 2, z.shape) * (rng.uniform(size=z.shape) < 0.5))
        return float((f(z) - f(larger)) / max(abs(f(z)), 1.0))

    drawn = ((z, seed) for seed, z in enumerate(inside(f, shape) * 4))
    yield at_most("grows: f never falls as any |z_i| grows", worst(fall, drawn), 1e-12, "rounding", "say grows = False")


def _pickles(f: Any, shape: Any) -> Iterator[Line]:
    advice = "checkpoints and worker processes need it: keep the class at module level, and no lambdas in it"
    try:
        again = pickle.loads(pickle.dumps(f))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        yield Line("pickles", NOTE, str(error), "", advice)
        return
    yield holds("pickles: the copy does the same", all(again(z) == f(z) for z in points(f, shape)), advice)


def _absent(f: Any, shape: Any) -> Iterator[Line]:
    for name, gives in GIVES.items():
        there = form_of(f) is not None if name == "form" else hasattr(f, name)
        if there or (name in ("hvp", "form") and not f.convex) or (name == "hvp" and not hasattr(f, "grad")):
            continue
        yield Line(name + "()", ABSENT, advice=f"it would give: {gives}{lost(f, name)}")
    if not hasattr(f, "lifted") and form_of(f) is None and hasattr(f, "conj") and f.data() is not None:
        yield Line("total() and lifted()", ABSENT, advice="they would give: of a data term, the certificate with x ≥ 0")
    if inspect.getattr_static(type(f), "data") is vars(Functional)["data"] and hasattr(f, "y"):
        yield Line(
            "data()", ABSENT,
            advice="it would give: the library, device and dtype of the solution (return the array of data)",
        )  # fmt: skip
    try:
        next(iter(type(f).examples()))
    except (NotImplementedError, StopIteration):
        yield Line("examples()", ABSENT, advice="it would give: the contract tests run on your class by themselves")
