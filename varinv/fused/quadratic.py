"""Least squares in one pass: the dual step, with a number or a filter as its step, and the weighted sum of squares."""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, double, is_array, kernel, namespace
from varinv.forms import Quadratic
from varinv.fused.table import ascent
from varinv.linalg import add_scaled, dot
from varinv.operators.spectrum import Spectrum


@ascent(Quadratic, None)
def _(f: Quadratic, K: Any, q: Array, x: Array, step: Any, relaxation: float, spare: bool) -> Array | None:
    if f.boxed or f.flat:
        return None
    f = f.beside("dual step", q)
    if isinstance(step, Spectrum):
        most = f.largest if step.unit is None else step.unit
        return filtered_ascent(q, K.forward(x), f.y, f.weight, most, step, relaxation)
    return quadratic_ascent(q, K.forward(x), f.y, f.weight, step, relaxation)


def metric(f: Any) -> Any:
    """v = w/max w of weighted least squares with w > 0 everywhere, the metric of a filtered dual step v^½ S v^½.

    1 where the weight is one number; None where f is something else.
    """
    form = f.form()
    if not isinstance(form, Quadratic) or form.boxed or form.smallest <= 0:
        return None
    return form.weight / form.largest if is_array(form.weight) else 1.0


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
