"""Where the terms of a problem are finite: whether any image lies in all of these places, and which are missed.

A term says it by its form (the bounds of a Quadratic, z ≥ −b of Counts), or by two methods of its functional:

``bounds()``               (lo, hi), numbers or arrays: f(z) = ∞ unless lo ≤ z ≤ hi
``beyond(lo, hi, shape)``  by how much every z of this shape with lo ≤ z ≤ hi lies outside the domain of f, relative
                           to its size; 0 where one is in it
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

from varinv.backend import Array, Shape, device, double, is_array, namespace
from varinv.forms import Counts, Quadratic, form_of

ROUNDING = 1e-5  # relative: sums and bounds of float32 data that meet to their last digits are no contradiction
FAR = 1e-3  # of the size of a set: further than the residual 1e-5 of a default stop leaves a feasible image outside


def bounds_of(f: Any) -> tuple[Any, Any] | None:
    """(lo, hi) with f(z) = ∞ outside lo ≤ z ≤ hi; None where f does not say."""
    if hasattr(f, "bounds"):
        lo, hi = f.bounds()
        return lo, hi
    form = form_of(f)
    if isinstance(form, Quadratic):
        return (form.lo, form.hi) if form.boxed else None
    if isinstance(form, Counts):
        return -form.background, math.inf
    return None


def contradiction(terms: Iterable[Any], shape: Shape | None) -> str:
    """Why no image lies in the domains of all terms of one and the same K x; '' where they meet or nothing decides.

    shape : that of the image, where it is known.
    """
    try:
        return _contradiction(terms, shape)
    except TypeError:  # arrays of two libraries: the call that joins them says which
        return ""


def _contradiction(terms: Iterable[Any], shape: Shape | None) -> str:
    groups: dict[int, list[Any]] = {}
    for t in terms:
        if hasattr(t.f, "beyond") or bounds_of(t.f) is not None:
            groups.setdefault(id(t.K), []).append(t)
    for group in groups.values():
        boxes = [(t, b) for t in group if (b := bounds_of(t.f)) is not None]
        for (s, a), (t, b) in itertools.combinations(boxes, 2):  # of intervals: where each two meet, all do
            if words := _disjoint(a, b):
                return f"no image satisfies both {s} and {t}: {words}"
        for t in group:
            lo, hi = _common(b for other, b in boxes if other is not t)
            whole = shape if t.K is None else tuple(t.K.codomain)
            if hasattr(t.f, "beyond") and whole and (off := float(t.f.beyond(lo, hi, whole))) > ROUNDING:
                rest = " and ".join(str(other) for other, _ in boxes if other is not t)
                return f"no image satisfies both {t} and {rest}: within those bounds it is missed by {_size(off)}"
    return ""


def out_of_reach(problem: Any) -> str:
    """The same for terms behind operators without negative entries, whose values the bounds of the image bound.

    One application of such an operator a bound that is neither open nor 0.
    """
    try:
        lo, hi = _common(b for t in problem.terms if t.K is None and (b := bounds_of(t.f)) is not None)
        if not (_finite(lo) or _finite(hi)):
            return ""
        return next((words for t in problem.terms if (words := _out_of_reach(problem, t, lo, hi))), "")
    except TypeError:
        return ""


def _out_of_reach(problem: Any, t: Any, lo: Any, hi: Any) -> str:
    own, beyond = bounds_of(t.f), getattr(t.f, "beyond", None)
    if t.K is None or (own is None and beyond is None) or t.K.absolute() is not t.K:
        return ""
    low, high = _reached(problem, t.K, lo, -math.inf), _reached(problem, t.K, hi, math.inf)
    words = "" if own is None else _disjoint(own, (low, high))
    if not words and beyond is not None and (off := float(beyond(low, high, tuple(t.K.codomain)))) > ROUNDING:
        words = f"it is missed by {_size(off)}"
    return f"no image within the bounds of this problem satisfies {t}: {words}" if words else ""


def missed(problem: Any, x: Array) -> list[tuple[Any, str, float]]:
    """(term, words, by how much of its size x misses its set; NaN: it does not say) where a term is not finite."""
    found = []
    for t in problem.terms:
        try:
            if (value := t.exactly(x)) < math.inf:
                continue
        except NotImplementedError:  # known by its prox alone
            continue
        z = double(x) if t.K is None else t.K(double(x))
        off = float(t.f.violation(z)) if value == math.inf and hasattr(t.f, "violation") else math.nan
        found.append((t, f"by {_size(off)}" if off > 0 else "infinite" if value == math.inf else "NaN", off))
    return found


def infeasible(problem: Any, x: Array) -> str:
    """What to add to the reason of a run whose objective at x is not finite; '' where sets are met but for rounding."""
    found = [(t, words) for t, words, off in missed(problem, x) if not 0 < off <= FAR]
    if not found:
        return ""
    if any(words == "NaN" for _, words in found):
        return f", but the objective is NaN: so is {' and '.join(str(t) for t, words in found if words == 'NaN')}"
    named = " and ".join(f"{t} is {'missed ' * words.startswith('by')}{words}" for t, words in found)
    return f", but the objective is infinite: {named}: no feasible point was found"


def _size(off: float) -> str:
    return f"{off:.2g} of its size"


def _finite(bound: Any) -> bool:
    return bool(namespace(bound).all(abs(bound) < math.inf)) if is_array(bound) else abs(bound) < math.inf


def _reached(problem: Any, K: Any, bound: Any, otherwise: float) -> Any:
    """K of a bound of the image, from the outside; `otherwise` where it is open."""
    if not _finite(bound):
        return otherwise
    if not is_array(bound) and bound == 0:
        return 0.0
    return K.forward(problem.zeros() + bound)


def _common(all_bounds: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    lo: Any = -math.inf
    hi: Any = math.inf
    for a, b in all_bounds:
        lo, hi = _extreme("maximum", lo, a), _extreme("minimum", hi, b)
    return lo, hi


def _disjoint(a: tuple[Any, Any], b: tuple[Any, Any]) -> str:
    """Where lo ≤ z ≤ hi leaves nothing of two pairs of bounds, in words; rounding is no contradiction."""
    for (_, hi), (lo, _) in ((a, b), (b, a)):
        above = _excess(lo, hi)
        if not is_array(above):
            if above > 0:
                return f"it cannot be at least {_plain(lo)} and at most {_plain(hi)}"
        elif count := int(namespace(above).sum(namespace(above).astype(above > 0, namespace(above).int64))):
            return f"of {math.prod(above.shape)} values {count} have a lower bound above their upper bound"
    return ""


def _plain(value: float) -> str:
    return f"{value + 0.0:g}"


def _excess(lo: Any, hi: Any) -> Any:
    """lo − hi beyond rounding, where positive; −1 where either is open."""
    if not is_array(lo) and not is_array(hi):
        if math.isinf(lo) or math.isinf(hi):
            return -1.0
        return lo - hi - ROUNDING * max(abs(lo), abs(hi))
    lo, hi = _pair(lo, hi)
    xp = namespace(lo, hi)
    open_ = (abs(lo) == math.inf) | (abs(hi) == math.inf)
    lo, hi = xp.where(open_, 0 * _tame(lo), lo), xp.where(open_, 1 + 0 * _tame(hi), hi)
    return lo - hi - ROUNDING * xp.maximum(abs(lo), abs(hi))


def _tame(a: Array) -> Array:
    return namespace(a).where(abs(a) == math.inf, namespace(a).zeros_like(a), a)


def _pair(a: Any, b: Any) -> tuple[Array, Array]:
    """Both as float64 arrays of the library of the first that is one."""
    like = a if is_array(a) else b
    xp = namespace(like)
    return tuple(
        double(v) if is_array(v) else xp.full(like.shape, v, dtype=xp.float64, device=device(like)) for v in (a, b)
    )


def _extreme(name: str, a: Any, b: Any) -> Any:
    if not is_array(a) and not is_array(b):
        return max(a, b) if name == "maximum" else min(a, b)
    a, b = _pair(a, b)
    return getattr(namespace(a), name)(a, b)
