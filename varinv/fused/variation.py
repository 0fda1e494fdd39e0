"""Total variation without its gradient field: dual step, value, the parts of certificates and residuals, one pass each.

All are of Σ w φ(n) behind forward differences, n the length of (∇x)_i (`groups`) or the magnitude of each difference,
φ the norm or, with smoothing s > 0, its Huber form (see `varinv.forms.Magnitudes`).
"""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, device, double, kernel, namespace
from varinv.forms import Differences, Magnitudes
from varinv.fused.table import ascent, moved, pull, value
from varinv.linalg import dot
from varinv.operators.gradient import differences, minus_divergence


@ascent(Magnitudes, Differences)
def _(f: Magnitudes, K: Differences, y: Array, x: Array, step: float, relaxation: float, spare: bool) -> Array:
    return tv_dual_ascent(y, x, step, f.beside("dual step", x, y.shape), K, relaxation, spare)


@value(Magnitudes, Differences)
def _(f: Magnitudes, K: Differences, x: Array) -> float:
    return tv_value(x, _exact(f, x, (len(K.axes), *x.shape)), K)


@pull(Magnitudes, Differences)
def _(f: Magnitudes, K: Differences, q: Array) -> tuple[Array, float]:
    return tv_pull(q, _exact(f, q, q.shape), K)


@moved(Magnitudes, Differences)
def _(f: Magnitudes, K: Differences, y: Array, x: Array, step: float) -> tuple[float, float]:
    return tv_moved(y, x, step, _exact(f, y, y.shape), K)


def _exact(f: Magnitudes, like: Array, shape: tuple[int, ...]) -> Magnitudes:
    """f with its weight in float64."""
    xp = namespace(like)
    return f.beside("total variation", xp.zeros((1,), dtype=xp.float64, device=device(like)), shape)


def pulled(K: Any, y: Array) -> tuple[Array, bool]:
    """Kᵀy in float64, and whether the array is new, so that the caller may add to it."""
    form = K.form()
    if isinstance(form, Differences):
        return tv_pull(y, Magnitudes(1e300), form)[0], True  # nothing is that long: not shortened
    return K.adjoint(double(y)), False


@kernel
def tv_dual_ascent(
    p: Array, x: Array, step: float, f: Magnitudes, K: Differences, relaxation: float, spare: bool = False
) -> Array:
    """(1 − ρ) p + ρ prox_conj(p + σ∇x, σ): the dual step, relaxed (ρ = 1: not); a twin may write over a `spare` p."""
    new = f.project(p + step * differences(x, *K, "neumann"), step)
    return new if relaxation == 1 else (1 - relaxation) * p + relaxation * new


@kernel
def tv_value(x: Array, f: Magnitudes, K: Differences) -> float:
    """Σ w φ(n) in float64; image-sized weights in float64."""
    return f.value(differences(double(x), *K, "neumann"))


@kernel
def tv_pull(p: Array, f: Magnitudes, K: Differences) -> tuple[Array, float]:
    """(∇ᵀq, f*(q)) in float64 for q, p shortened into the domain of f*; image-sized weights in float64."""
    q = f._replace(smoothing=0.0).project(double(p), 0.0)
    m, xp = f.magnitude(q), namespace(q)
    w = f.weight + 0 * m
    conjugate = float(xp.sum(f.smoothing * m * m / xp.where(w > 0, 2 * w, xp.ones_like(w)))) if f.smoothing else 0.0
    return minus_divergence(q, *K, "neumann"), conjugate


@kernel
def tv_moved(p: Array, x: Array, step: float, f: Magnitudes, K: Differences) -> tuple[float, float]:
    """(‖p − prox_conj(p + σ∇x, σ)‖², ‖∇x‖²) in float64; image-sized weights in float64."""
    d = differences(double(x), *K, "neumann")
    p = double(p)
    away = p - f.project(p + step * d, step)
    return dot(away, away), dot(d, d)
