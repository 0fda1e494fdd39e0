"""Σ w φ(n) of magnitudes n: the four formulas that L1, L21 and Huber share, and what checks their weights.

φ(n) = n − s/2 for n ≥ s and n²/(2s) below: s = 0 is the norm itself, s > 0 its Huber smoothing.  Conjugate:
Σ s m²/(2w) on m ≤ w, ∞ outside.
"""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, is_array, namespace, same_place

ROUNDING = 1e-12  # relative excess over a ball that counts as the rounding of its projection


def _value(n: Array, w: Any, s: float) -> float:
    xp = namespace(n)
    phi = n if s == 0 else xp.where(n >= s, n - s / 2, n * n / (2 * s))
    return float(xp.sum(w * phi))


def _shrink(n: Array, w: Any, s: float, step: Any) -> Array:
    """The factor of prox, 1 − t w / max(n, s + t w), without the cancellation of that form for s ≪ t w."""
    xp = namespace(n)
    t = step * w + 0 * n
    longest = xp.maximum(n, t + s)
    return xp.maximum(n - t, s + 0 * n) / xp.where(longest > 0, longest, xp.ones_like(longest))


def _project(m: Array, w: Any, s: float, step: Any) -> Array:
    """The factor of prox_conj: divide by 1 + σ s / w, then shorten to length ≤ w."""
    xp = namespace(m)
    w = w + 0 * m
    # 1 / (1 + σ s / w) = w / (w + σ s); then min(1, w / (m w / (w + σ s))) of that
    longest = xp.maximum(w + step * s, m)
    return w / xp.where(longest > 0, longest, xp.ones_like(longest))


def _conjugate(m: Array, w: Any, s: float) -> float:
    xp = namespace(m)
    w = w + 0 * m
    if bool(xp.any(m > w * (1 + ROUNDING))):
        return math.inf
    return 0.0 if s == 0 else float(xp.sum(s * m * m / xp.where(w > 0, 2 * w, xp.ones_like(w))))


def _weight(who: str, weight: Any, n: Array, shape: Shape | None = None) -> Any:
    """The weight beside n, of the shape of n or of `shape`."""
    if not is_array(weight):
        return weight
    check.same_shape(who, "weight", weight, n.shape if shape is None else shape)
    return same_place(who, "weight", weight, n)


def _words(f: Any) -> str:
    weight = f"{tuple(f.weight.shape)} weights" if is_array(f.weight) else f"{f.weight:g}"
    first = [f"{name}={getattr(f, name):g}, " for name in ("delta", "smoothing") if hasattr(f, name)]
    return f"{type(f).__name__}({''.join(first)}{weight})"


def _length(p: Array) -> Array:
    """|p_i|₂ over the leading axis, free of overflow for what images hold."""
    xp = namespace(p)
    return xp.sqrt(xp.sum(p * p, axis=0))
