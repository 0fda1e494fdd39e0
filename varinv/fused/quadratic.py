"""Least squares in one pass: the dual step, with a number or a filter as its step, and the weighted sum of squares."""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, double, is_array, kernel, namespace
from varinv.linalg import add_scaled, dot
from varinv.operators.spectrum import Spectrum


@kernel
def quadratic_ascent(q: Array, z: Array, y: Any, w: Any, step: float, relaxation: float) -> Array:
    """(1 − ρ) q + ρ w (q + σ(z − y)) / (w + σ): the dual step of weighted least squares, relaxed (ρ = 1: not)."""
    new = w * (q + step * (z - y)) / (w + step)
    return new if relaxation == 1 else (1 - relaxation) * q + relaxation * new


def filtered_ascent(q: Array, z: Array, y: Any, w: Any, most: float, S: Spectrum, relaxation: float) -> Array:
    """q − ρ v^½ [S/(w₀ + S)] v^−½ (q − w(z − y)), w₀ = max w, v = w/w₀: `quadratic_ascent` with the step v^½ S v^½."""
    away = add_scaled(z, -1.0, y) if is_array(y) else z - y
    del z
    away = add_scaled(q, -w, away) if not is_array(w) else q - w * away
    root = namespace(q).sqrt(w / most) if is_array(w) else None
    away = away if root is None else away / root
    moved = S.apply(away, lambda s: -relaxation * s / (most + s))
    return add_scaled(q, 1.0, moved if root is None else root * moved)


@kernel
def weighted_square(z: Array, y: Any, w: Any) -> float:
    """Σ w (z − y)² in float64."""
    away = double(z) - (double(y) if is_array(y) else y)
    return dot(double(w) * away if is_array(w) else w * away, away)
