"""Roots of scalar equations, one per entry, to machine precision: what proximal maps without a closed form need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from varinv.backend import Array, namespace


def increasing_root(g: Callable[[Array], tuple[Array, Array]], lo: Any, hi: Any, start: Array, scale: Array) -> Array:
    """The root in [lo, hi], entry by entry, of a function that increases there: Newton, guarded by bisection.

    `g` gives value and derivative; `scale` is the size of the largest term in it, whose rounding ends the search.
    Where g > 0 on the whole interval the answer is lo, where g < 0 it is hi.
    """
    xp = namespace(start)
    lo, hi = lo + 0 * start, hi + 0 * start
    hi = xp.where(g(lo)[0] >= 0, lo, hi)  # roots at an end are known at once
    lo = xp.where(g(hi)[0] <= 0, hi, lo)
    x = xp.minimum(xp.maximum(start, lo), hi)
    eps = 2 * float(xp.finfo(x.dtype).eps)
    for _ in range(120):
        value, slope = g(x)
        lo, hi = xp.where(value <= 0, x, lo), xp.where(value >= 0, x, hi)
        steep = slope > 0
        new = x - value / xp.where(steep, slope, xp.ones_like(slope))
        new = xp.where(steep & (new >= lo) & (new <= hi), new, lo + (hi - lo) / 2)
        moved = (abs(new - x) > eps * abs(new)) & (abs(value) > eps * scale)
        x = new
        if not bool(xp.any(moved)):
            break
    return x


def best_of_concave(value: Callable[[float], float], need: float) -> float:
    """The best of a concave function on [0, need]: both ends and a golden-section search."""
    best = max(value(need), value(0.0))
    if need == 0.0:
        return float(best)
    ratio = (math.sqrt(5) - 1) / 2
    lo, hi = 0.0, need
    a, b = hi - ratio * (hi - lo), lo + ratio * (hi - lo)
    fa, fb = value(a), value(b)
    for _ in range(24):
        if fa < fb:
            lo, a, fa = a, b, fb
            b = lo + ratio * (hi - lo)
            fb = value(b)
        else:
            hi, b, fb = b, a, fa
            a = hi - ratio * (hi - lo)
            fa = value(a)
        best = max(best, fa, fb)
    return float(best)
