"""What a look reads of a total variation, in float64 from arrays of any dtype and without fields of its own."""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, double, kernel
from varinv.functionals.magnitude import _length, _project
from varinv.fused.variation import tv_pull
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient, differences


def pulled(K: LinearOperator, y: Array) -> tuple[Array, bool]:
    """Kᵀy in float64, and whether the array is new, so that the caller may add to it."""
    if isinstance(K, Gradient) and K.boundary == "neumann":
        return tv_pull(y, 1e300, 0.0, K.spacing, K.axes or (), False)[0], True  # nothing is that long: not shortened
    return K.adjoint(double(y)), False


@kernel
def tv_moved(
    p: Array,
    x: Array,
    step: float,
    weight: Any,
    smoothing: float,
    spacing: tuple[float, ...],
    axes: tuple[int, ...],
    groups: bool,
) -> tuple[float, float]:
    """(‖p − prox_conj(p + σ∇x, σ)‖², ‖∇x‖²) in float64; image-sized weights in float64."""
    d = differences(double(x), spacing, axes, "neumann")
    p = double(p)
    q = p + step * d
    away = p - _project(_length(q) if groups else abs(q), weight, smoothing, step) * q
    return dot(away, away), dot(d, d)
