"""What a functional says of itself as data, or through optional methods, against its own value, prox and conjugate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from varinv.forms import INF, Differences, Magnitudes, Quadratic, form_of
from varinv.fused.table import TABLE
from varinv.linalg import dot
from varinv.operators.elementary import Identity
from varinv.operators.gradient import Gradient
from varinv.testing.figures import feasible, points, rand, relative_difference, worst
from varinv.testing.report import FAILED, NOTE, Line, at_most

# ------------------------------------------------------------------------------------------------------------ form()


def form_lines(f: Any, shape: Any) -> Iterator[Line]:
    """Value, prox, prox_conj and conj of the form's formulas equal those of f."""
    form = form_of(f)
    if form is None:
        return
    if isinstance(form, Differences):
        yield Line("form()", FAILED, "Differences", "", "that is the form of an operator")
        return
    if not isinstance(form, (Quadratic, Magnitudes)):
        yield Line(f"form() is {type(form).__name__}", NOTE, advice="of your own: tested through the steps registered")
        return
    z = points(f, shape)
    if hasattr(f, "prox"):
        z += [f.prox(x, 0.4) for x in points(f, shape)]
    form = form.beside(repr(f), z[0]) if isinstance(form, Quadratic) else form.beside(repr(f), z[0], shape)
    square = isinstance(form, Quadratic)
    value: Callable[..., float] = _square_value if square else Magnitudes.value
    away = [_minus(f(x), value(form, x)) for x in z]
    constant = next((a for a in away if math.isfinite(a) and a == a), 0.0) if square else 0.0
    wrong = [0.0 if a != a else abs(a - constant) / max(abs(f(x)), 1.0) for a, x in zip(away, z, strict=True)]
    what = type(form).__name__
    advice = f"{what} says something else than f: its weight, data, bounds, groups or smoothing; " + (
        "they may differ by a constant" if square else "they must be equal, constants included"
    )
    yield at_most("form(): its value is that of f", max(wrong), 1e-10, "rounding of sums", advice)
    steps = [(x, s) for x in points(f, shape) for s in (0.05, 1.0, 7.0)]
    prox = form.prox if isinstance(form, Quadratic) else form.shrink
    if hasattr(f, "prox"):
        figure = worst(lambda x, s: relative_difference(prox(x, s), f.prox(x, s)), steps)
        yield at_most("form(): its prox is that of f", figure, 1e-9, "rounding", advice)
    if hasattr(f, "prox_conj"):
        figure = worst(lambda x, s: relative_difference(x - s * prox(x / s, 1 / s), f.prox_conj(x, s)), steps)
        yield at_most("form(): its prox_conj is that of f", figure, 1e-9, "rounding", advice)
    if hasattr(f, "conj"):
        conj = _square_conj if isinstance(form, Quadratic) else Magnitudes.conjugate
        inside = [feasible(f, 0.4 * y) for y in points(f, shape)]
        pairs = [(conj(form, q), f.conj(q)) for q in inside]  # type: ignore[arg-type]
        figure = max(0.0 if a == b else abs(a + -constant - b) / max(abs(b), 1.0) for a, b in pairs)
        yield at_most("form(): its conj is that of f", figure, 1e-9, "rounding", advice)


def _minus(a: float, b: float) -> float:
    """a − b; NaN where both are ∞, which says nothing."""
    return math.nan if math.isinf(a) and math.isinf(b) else a - b


def _square_value(form: Quadratic, z: Any) -> float:
    lo, hi = form.bounds(z)
    rounding = 1e-12 * (1 + np.max(np.abs(z)))
    if np.any((z < lo - rounding) | (z > hi + rounding)):
        return INF
    return 0.5 * float(np.sum(form.weight * (z - form.y) ** 2))


def _square_conj(form: Quadratic, q: Any) -> float:
    if form.flat:
        return form.conj_box(q)
    z = form.highest(q)
    if z is None:
        return INF
    z = form.clip(z)
    return dot(q, z) - 0.5 * float(np.sum(form.weight * (z - form.y) ** 2))


# ------------------------------------------------------------------------------------------------ total() and lifted()


def lifted_lines(f: Any, shape: Any) -> Iterator[Line]:
    """T ≥ Σ z on the level sets, and raised duals that prove no more than there is."""
    there = [name for name in ("total", "lifted") if callable(getattr(f, name, None))]
    if not there:
        return
    if len(there) == 1:
        have, lack = ("total", "lifted") if there == ["total"] else ("lifted", "total")
        yield Line(
            f"{have}()", FAILED, f"without {lack}()", "", "the certificate with x ≥ 0 asks for both, or for form()"
        )
        return
    tried = [z for z in _heavy(f, shape) if math.isfinite(f(z))]
    short = worst(lambda z: (float(np.sum(z)) - f.total(f(z))) / max(abs(float(np.sum(z))), 1.0), ((z,) for z in tried))
    yield at_most(
        "total(value) ≥ Σ z wherever f(z) ≤ value", short, 1e-9, "rounding of sums; a lower bound rests on it",
        "a bound of ⟨1, z⟩ over the level set {f ≤ value}, from above",
    )  # fmt: skip
    over, under = -math.inf, 0.0
    for seed in range(6):  # the first dual of a run is 0, and then nothing needs to be raised
        q = feasible(f, (0.5 if seed < 4 else 0.0) * rand(np, shape, 300 + seed))
        T, others, need = 3.0 + seed, 0.4 * seed, 0.5 + seed / 2 if seed < 5 else 0.0

        def price(a: float, b: float, T: float = T, others: float = others, need: float = need) -> float:
            return a * others + T * max(a * need - b, 0.0)

        found, best = f.lifted(q, price, need), _direct(f, q, price, need)
        size = max(abs(best), 1.0)
        over, under = max(over, (found - best) / size), max(under, (best - found) / size)
    yield at_most(
        "lifted(q, price, need) proves no more than there is", over, 1e-6,
        "against a search over a q + b·1; more would be a false lower bound",
        "each candidate must be −conj(a q + b) − price(a, b) with 0 ≤ a ≤ 1, b ≥ 0",
    )  # fmt: skip
    if under > 0.05:
        yield Line("lifted() finds most of what there is", NOTE, f"{under:.0%} below the best", advice="a weaker proof")


def _heavy(f: Any, shape: Any) -> Iterator[Any]:
    """Points of large sum at their value: along argmin f(z) − s Σ z by proximal steps, and random ones."""
    yield from (abs(z) for z in points(f, shape))
    if not hasattr(f, "prox"):
        return
    for s in (1e-3, 0.1, 0.5, 2.0, 30.0):
        z = np.zeros(shape)
        for _ in range(40):
            z = f.prox(z + 3.0 * s, 3.0)
            yield z


def _direct(f: Any, q: Any, price: Any, need: float) -> float:
    """max over a in [0, 1], b in [0, a·need] of −f*(a q + b) − price(a, b), concave: a nested search."""

    def over_b(a: float) -> float:
        return _highest(lambda b: -float(f.conj(a * q + b)) - price(a, b), a * need)

    return _highest(over_b, 1.0)


def _highest(value: Callable[[float], float], top: float) -> float:
    """The largest value of a concave function on [0, top], −∞ perhaps near the upper end."""
    lo, hi, best = 0.0, top, max(value(0.0), value(top))
    for _ in range(24):  # to 5e-6 of the range, squared in the value
        a, b = lo + (hi - lo) * 0.4, lo + (hi - lo) * 0.6
        fa, fb = value(a), value(b)
        best = max(best, fa, fb)
        lo, hi = (a, hi) if fa < fb else (lo, b)
    return best


# ------------------------------------------------------------------------- conj_within, violation, quadratic_weight


def within_lines(f: Any, shape: Any) -> Iterator[Line]:
    """The rarer methods, each against its definition on samples."""
    if hasattr(f, "conj_within"):
        lo, hi = np.full(shape, -0.7), np.full(shape, 1.3)
        z = [np.clip(x, lo, hi) for x in points(f, shape)] + [lo, hi, 0 * lo]
        q = points(f, shape)
        short = worst(
            lambda z, q: float(np.sum(q * z)) - f(z) - f.conj_within(q, lo, hi), ((a, b) for a in z for b in q)
        )
        yield at_most(
            "conj_within(q, lo, hi) ≥ ⟨q, z⟩ − f(z) between the bounds", short, 1e-9, "rounding of sums",
            "a supremum over lo ≤ z ≤ hi",
        )  # fmt: skip
        above = worst(lambda q: _minus(f.conj_within(q, lo, hi), f.conj(q)), ((b,) for b in q if f.conj(b) < INF))
        yield at_most("conj_within ≤ conj", above, 1e-9, "rounding of sums", "a box can only lower the supremum")
    if hasattr(f, "violation") and hasattr(f, "prox"):
        z = points(f, shape)
        figure = worst(lambda x: f.violation(f.prox(x, 1.0)), ((x,) for x in z))
        yield at_most("violation is 0 at the nearest point of the set", figure, 1e-9, "rounding", "a relative distance")
        missed = sum(f.violation(x) <= 0 for x in z if f(x) == INF)
        yield at_most("violation > 0 where f is ∞", float(missed), 0.0, "points", "a relative distance")
    if hasattr(f, "quadratic_weight"):

        def above_(x: Any, u: Any) -> float:
            w = f.quadratic_weight(x)
            rise = f(u) - f(x) - 0.5 * float(np.sum(w * (u * u - x * x)))
            return float(rise / max(abs(f(u)), abs(f(x)), 1.0))

        z = points(f, shape)
        figure = worst(above_, ((x, s * u) for x in z for u in (*z, x) for s in (1.0, 0.1, -1.0)))
        yield at_most(
            "quadratic_weight(x) majorises: f(u) ≤ f(x) + ½⟨ω, u² − x²⟩", figure, 1e-10, "rounding", "ω = f'(x)/x"
        )


# --------------------------------------------------------------------------------------------------------- fused steps


def fused_lines(f: Any, shape: Any, operator: Any = None) -> Iterator[Line]:
    """Every entry of the table for the form of f, on K, against prox_conj, prox, forward, adjoint and conj."""
    form = form_of(f)
    if form is None:
        return
    behind = [K for K in (operator, *_behind(shape)) if K is not None and tuple(K.codomain) == tuple(shape)]
    of_image = [K for K in (operator, *_of_image(shape)) if K is not None and tuple(K.domain) == tuple(shape)]
    for role, compare, operators in (
        ("ascent", _ascent, behind), ("value", _along, behind), ("pull", _pull, behind), ("moved", _moved, behind),
        ("descent", _descent, of_image),
    ):  # fmt: skip
        keys = [key for key in TABLE if key[0] == role and key[1] is type(form)]
        for key in keys:
            fitting = [K for K in operators if key[2] is None or type(form_of(K)) is key[2]]
            name = f"fused {role}({', '.join('None' if t is None else t.__name__ for t in key[1:])})"
            if not fitting:
                if key[2] is not None and key[2] is not Differences:
                    yield Line(name, NOTE, "not tested", "", "pass operator=K with an operator of that form")
                continue
            figures = [compare(TABLE[key], f, form, fitting[0], key[2], dtype) for dtype in ("float64", "float32")]
            for figure, dtype, limit in zip(figures, ("float64", "float32"), (1e-9, 1e-5), strict=True):
                if figure is not None:
                    yield at_most(
                        f"{name} equals the general formula, {dtype}", figure, limit, f"rounding of {dtype}",
                        "one of the two is wrong: the step registered with varinv.fused, or the form it was found by",
                    )  # fmt: skip

    for key in [key for key in TABLE if key[0] == "several" and key[2] is type(form)]:
        fitting = [K for K in behind if type(form_of(K)) is key[3]]
        if key[1] is Quadratic and fitting:
            yield at_most(
                f"fused several(Quadratic, {key[2].__name__}, {key[3].__name__}) equals single iterations",
                _several(TABLE[key], f, form, fitting[0]), 1e-9, "rounding of float64", "one iteration after the other",
            )  # fmt: skip


def _behind(shape: Any) -> Iterator[Any]:
    """Operators that map onto this shape: differences where the leading axis counts directions, and the identity."""
    if len(shape) > 1 and shape[0] <= len(shape) - 1:
        yield Gradient(shape[1:], axes=tuple(range(shape[0])))
    yield Identity(shape)


def _of_image(shape: Any) -> Iterator[Any]:
    yield Gradient(shape)
    yield Identity(shape)


def _pair(f: Any, K: Any, dtype: str) -> tuple[Any, Any]:
    return rand(np, K.codomain, 20, dtype), rand(np, K.domain, 21, dtype)


def _place(K: Any, kind: Any) -> Any:
    return K if kind is None else form_of(K)


def _far(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b) / max(abs(b), 1e-300)


def _ascent(entry: Any, f: Any, form: Any, K: Any, kind: Any, dtype: str) -> float | None:
    y, x = _pair(f, K, dtype)
    figures = []
    for relaxation in (1.0, 1.6):
        found = entry(form, _place(K, kind), y, x, 0.3, relaxation, False)
        if found is None:
            return None
        new = f.prox_conj(y + 0.3 * K.forward(x), 0.3)
        figures.append(relative_difference(found, (1 - relaxation) * y + relaxation * new))
        if found.dtype != y.dtype:
            return math.inf
    return max(figures)


def _along(entry: Any, f: Any, form: Any, K: Any, kind: Any, dtype: str) -> float | None:
    _, x = _pair(f, K, dtype)
    found = entry(form, _place(K, kind), x)
    return None if found is None else _far(found, f(K.forward(x.astype("f8"))))


def _pull(entry: Any, f: Any, form: Any, K: Any, kind: Any, dtype: str) -> float | None:
    y, _ = _pair(f, K, dtype)
    found = entry(form, _place(K, kind), y)
    if found is None:
        return None
    q = feasible(f, y.astype("f8"))
    return max(relative_difference(found[0], K.adjoint(q)), _far(found[1], f.conj(q)))


def _moved(entry: Any, f: Any, form: Any, K: Any, kind: Any, dtype: str) -> float | None:
    y, x = _pair(f, K, dtype)
    found = entry(form, _place(K, kind), y, x, 0.3)
    if found is None:
        return None
    y, d = y.astype("f8"), K.forward(x.astype("f8"))
    away = y - f.prox_conj(y + 0.3 * d, 0.3)
    return max(_far(found[0], dot(away, away)), _far(found[1], dot(d, d)))


def _several(entry: Any, f: Any, form: Any, K: Any) -> float:
    g, (p, u) = Quadratic(0.2, 0.5), _pair(f, K, "float64")
    found = entry(g, form, form_of(K), u, p, 0.3, 0.2, 1.6, 3)
    if found is None:
        return 0.0
    x = u
    for _ in range(found[3]):
        x = g.prox(u - 0.3 * K.adjoint(p), 0.3)
        z = f.prox_conj(p + 0.2 * K.forward(2 * x - u), 0.2)
        u, p = u + 1.6 * (x - u), p + 1.6 * (z - p)
    return max(relative_difference(a, b) for a, b in zip(found, (x, u, p), strict=False))


def _descent(entry: Any, f: Any, form: Any, K: Any, kind: Any, dtype: str) -> float | None:
    p, x = _pair(f, K, dtype)
    slope = rand(np, K.domain, 22, dtype)
    inside = kind is not None
    found = entry(form, _place(K, kind) if inside else None, x, 0.3, slope, p if inside else None, 0.7, False)
    if found is None:
        return None
    new = f.prox(x - 0.3 * (slope + K.adjoint(p) if inside else slope), 0.3)
    return max(relative_difference(found[0], new), relative_difference(found[1], new + 0.7 * (new - x)))
