"""Total variation without its gradient field: the dual step, the value and the certificate's part, one pass each.

All are of Σ w φ(n) behind a Neumann gradient, n the length of (∇x)_i (`groups`) or the magnitude of each difference,
φ the norm or, with `smoothing` s > 0, its Huber form (see magnitude.py).
"""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, device, double, kernel, namespace
from varinv.functionals.magnitude import _length, _project, _value, _weight
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient, differences, minus_divergence


class Variation:
    """What a functional of magnitudes does behind a Neumann gradient; None where it does not stand behind one."""

    weight: Any

    def along_gradient(self) -> tuple[bool, float] | None:
        """(groups, smoothing); None: the functional is none of magnitudes."""
        raise NotImplementedError

    def ascend(
        self, K: LinearOperator, p: Array, x: Array, step: float, relaxation: float, spare: bool = False
    ) -> Array | None:
        fused = self.along(K, x)
        if fused is None:
            return None
        w, smoothing, spacing, axes, groups = fused
        return tv_dual_ascent(p, x, step, w, smoothing, spacing, axes, groups, relaxation, spare)

    def ascend_over(self, K: LinearOperator, p: Array, x: Array, step: float, relaxation: float) -> Array | None:
        return self.ascend(K, p, x, step, relaxation, spare=True)

    def value_along(self, K: LinearOperator, x: Array) -> float | None:
        fused = self.along(K, x, exact=True)
        return None if fused is None else tv_value(x, *fused)

    def pull(self, K: LinearOperator, q: Array) -> tuple[Array, float] | None:
        fused = self.along(K, q, exact=True)
        return None if fused is None else tv_pull(q, *fused)

    def along(self, K: LinearOperator, like: Array, exact: bool = False) -> tuple[Any, ...] | None:
        """Weight (in float64 where it must be `exact`), smoothing, spacing, axes, groups; None: no way."""
        kind = self.along_gradient()
        if kind is None or not isinstance(K, Gradient) or K.boundary != "neumann":
            return None
        groups, smoothing = kind
        if exact:
            xp = namespace(like)
            like = xp.zeros((1,), dtype=xp.float64, device=device(like))
        w = _weight(type(self).__name__, self.weight, like, K.domain if groups else K.codomain)
        return w, smoothing, K.spacing, K.axes or (), groups


@kernel
def tv_dual_ascent(
    p: Array,
    x: Array,
    step: float,
    weight: Any,
    smoothing: float,
    spacing: tuple[float, ...],
    axes: tuple[int, ...],
    groups: bool,
    relaxation: float,
    spare: bool = False,
) -> Array:
    """(1 − ρ) p + ρ prox_conj(p + σ∇x, σ): the dual step, relaxed (ρ = 1: not); a twin may write over a `spare` p."""
    q = p + step * differences(x, spacing, axes, "neumann")
    new = _project(_length(q) if groups else abs(q), weight, smoothing, step) * q
    return new if relaxation == 1 else (1 - relaxation) * p + relaxation * new


@kernel
def tv_value(
    x: Array, weight: Any, smoothing: float, spacing: tuple[float, ...], axes: tuple[int, ...], groups: bool
) -> float:
    """Σ w φ(n) in float64; image-sized weights in float64."""
    d = differences(double(x), spacing, axes, "neumann")
    return _value(_length(d) if groups else abs(d), weight, smoothing)


@kernel
def tv_pull(
    p: Array, weight: Any, smoothing: float, spacing: tuple[float, ...], axes: tuple[int, ...], groups: bool
) -> tuple[Array, float]:
    """(∇ᵀq, f*(q)) in float64 for q, p shortened into the domain of f*; image-sized weights in float64."""
    p = double(p)
    xp = namespace(p)
    q = _project(_length(p) if groups else abs(p), weight, 0.0, 0.0) * p
    m = _length(q) if groups else abs(q)
    w = weight + 0 * m
    conjugate = float(xp.sum(smoothing * m * m / xp.where(w > 0, 2 * w, xp.ones_like(w)))) if smoothing else 0.0
    return minus_divergence(q, spacing, axes, "neumann"), conjugate
