"""Sparsity: L1 of entries, L21 of groups, Huber; with a number or an image of weights.

All three are Σ w φ(n) of a magnitude n (an absolute value, or the length of a group), with
φ(n) = n − s/2 for n ≥ s and n²/(2s) below: s = 0 is the norm itself, s > 0 its Huber smoothing.  Conjugate:
Σ s m²/(2w) on m ≤ w, ∞ outside.  The four formulas stand once, below.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, kernel, namespace, same_place
from varinv.functionals.base import Functional
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient, differences

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


def _weight(who: str, weight: Any, n: Array) -> Any:
    if not is_array(weight):
        return weight
    check.same_shape(who, "weight", weight, n.shape)
    return same_place(who, "weight", weight, n)


def _words(f: Any) -> str:
    weight = f"{tuple(f.weight.shape)} weights" if is_array(f.weight) else f"{f.weight:g}"
    first = [f"{name}={getattr(f, name):g}, " for name in ("delta", "smoothing") if hasattr(f, name)]
    return f"{type(f).__name__}({''.join(first)}{weight})"


@dataclass(frozen=True, eq=False, repr=False)
class L1(Functional):
    r"""Σ w |z|.  prox: sign(z) max(|z| − t w, 0); conjugate: 0 where |q| ≤ w, else ∞.

    Parameters
    ----------
    weight : a number or an array of the shape of z, ≥ 0.

    Raises
    ------
    TypeError, ValueError
        A weight that is negative, complex, NaN or infinite, or of another shape.
    """

    weight: Any = 1.0
    separable = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check.weight("L1", self.weight))

    def __call__(self, z: Array) -> float:
        n = abs(double(z))
        return _value(n, _weight("L1", self.weight, n), 0.0)

    def prox(self, z: Array, step: Any) -> Array:
        return _shrink(abs(z), _weight("L1", self.weight, z), 0.0, step) * z

    def prox_conj(self, q: Array, step: Any) -> Array:
        return _project(abs(q), _weight("L1", self.weight, q), 0.0, step) * q

    def conj(self, q: Array) -> float:
        return _conjugate(abs(double(q)), _weight("L1", self.weight, double(q)), 0.0)

    def feasible(self, q: Array) -> Array:
        return self.prox_conj(q, 0.0)

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            check.same_shape("L1", "weight", self.weight, shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls([0.5, 0.0, 2.0]), (3,)

    def __repr__(self) -> str:
        return _words(self)


@dataclass(frozen=True, eq=False, repr=False)
class L21(Functional):
    r"""Σ_i w_i |p_i|₂ of fields p of shape (d, *n): with Gradient, isotropic (space-variant) total variation.

    prox: p_i (1 − t w_i/max(|p_i|, t w_i)).  Conjugate: 0 where |q_i|₂ ≤ w_i, else ∞; its prox projects each q_i onto
    its ball.

    Parameters
    ----------
    weight : a number or an image of shape (*n), ≥ 0.

    Raises
    ------
    TypeError, ValueError
        A weight that is negative, complex, NaN or infinite, or not of the image's shape.
    """

    weight: Any = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check.weight("L21", self.weight))

    def __call__(self, p: Array) -> float:
        n = _length(double(p))
        return _value(n, _weight("L21", self.weight, n), 0.0)

    def prox(self, p: Array, step: Any) -> Array:
        n = _length(p)
        return _shrink(n, _weight("L21", self.weight, n), 0.0, step) * p

    def prox_conj(self, q: Array, step: Any) -> Array:
        m = _length(q)
        return _project(m, _weight("L21", self.weight, m), 0.0, step) * q

    def ascend(self, K: LinearOperator, p: Array, x: Array, step: float) -> Array | None:
        return _tv_ascent(K, p, x, step, self, 0.0)

    def conj(self, q: Array) -> float:
        m = _length(double(q))
        return _conjugate(m, _weight("L21", self.weight, m), 0.0)

    def feasible(self, q: Array) -> Array:
        return self.prox_conj(q, 0.0)

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            check.same_shape("L21", "weight", self.weight, tuple(shape)[1:])

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.8), (2, 3, 2)
        yield cls([[0.5, 0.0], [1.0, 2.0]]), (2, 2, 2)

    def __repr__(self) -> str:
        return _words(self)


@dataclass(frozen=True, eq=False, repr=False)
class Huber(Functional):
    r"""Σ w φ(n), φ(n) = n²/(2δ) for n ≤ δ and n − δ/2 beyond, n = |z| or, with `groups`, the length over axis 0.

    δ → 0 is L1 (or L21).  smoothness w/δ.  prox: z (1 − t w/max(n, δ + t w)).
    Conjugate: Σ δ m²/(2w) where m ≤ w, else ∞; its prox: q w/max(w + σδ, m).

    Parameters
    ----------
    delta : the turning point δ > 0, in units of z.
    weight : a number or an array of the shape of n, ≥ 0.
    groups : entries of axis 0 form one vector (the smoothed isotropic total variation, with Gradient).

    Raises
    ------
    TypeError, ValueError
        δ that is not positive; weights as in L1.
    """

    delta: float = 1.0
    weight: Any = 1.0
    groups: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", check.number("Huber", "delta", self.delta, low=0.0, strict=True))
        object.__setattr__(self, "weight", check.weight("Huber", self.weight))

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return not self.groups

    def _magnitude(self, z: Array) -> tuple[Array, Any]:
        n = _length(z) if self.groups else abs(z)
        return n, _weight("Huber", self.weight, n)

    def __call__(self, z: Array) -> float:
        return _value(*self._magnitude(double(z)), self.delta)

    def prox(self, z: Array, step: Any) -> Array:
        return _shrink(*self._magnitude(z), self.delta, step) * z

    def prox_conj(self, q: Array, step: Any) -> Array:
        return _project(*self._magnitude(q), self.delta, step) * q

    def ascend(self, K: LinearOperator, p: Array, x: Array, step: float) -> Array | None:
        return _tv_ascent(K, p, x, step, self, self.delta) if self.groups else None

    def conj(self, q: Array) -> float:
        return _conjugate(*self._magnitude(double(q)), self.delta)

    def feasible(self, q: Array) -> Array:
        return self.prox_conj(q, 0.0)

    def quadratic_weight(self, z: Array) -> Array:
        """ω(z) = ∇f(z)/z: f(u) ≤ f(z) + ½⟨ω(z), u² − z²⟩ for all u."""
        n, w = self._magnitude(z)
        return w / namespace(z).maximum(n, self.delta + 0 * n)

    def grad(self, z: Array) -> Array:
        return self.quadratic_weight(z) * z

    def hvp(self, z: Array, p: Array) -> Array:
        xp, (n, w) = namespace(z), self._magnitude(z)
        outside = n >= self.delta
        if not self.groups:
            return w * xp.where(outside, 0 * p, p / self.delta)
        unit = z / xp.where(n > 0, n, xp.ones_like(n))
        along = xp.sum(unit * p, axis=0) * unit
        return w * xp.where(outside, (p - along) / xp.where(outside, n, xp.ones_like(n)), p / self.delta)

    @functools.cached_property
    def smoothness(self) -> float:
        w = self.weight
        return (float(namespace(w).max(w)) if is_array(w) else w) / self.delta

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            check.same_shape("Huber", "weight", self.weight, tuple(shape)[1:] if self.groups else shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.3), (2, 3)
        yield cls(0.7, [0.5, 1.0, 2.0]), (3,)
        yield cls(0.4, 1.5, groups=True), (3, 4)
        yield cls(0.4, [[0.5, 0.0], [1.0, 2.0]], groups=True), (2, 2, 2)

    def __repr__(self) -> str:
        return _words(self)


def _length(p: Array) -> Array:
    """|p_i|₂ over the leading axis, free of overflow for what images hold."""
    xp = namespace(p)
    return xp.sqrt(xp.sum(p * p, axis=0))


def _tv_ascent(K: LinearOperator, p: Array, x: Array, step: float, f: L21 | Huber, s: float) -> Array | None:
    """The fused dual step of f where K is a Neumann gradient, else None."""
    if not isinstance(K, Gradient) or K.boundary != "neumann":
        return None
    w = _weight(type(f).__name__, f.weight, x)
    result: Array = tv_dual_ascent(p, x, step, w, s, K.spacing, K.axes or ())
    return result


@kernel
def tv_dual_ascent(
    p: Array, x: Array, step: float, weight: Any, smoothing: float, spacing: tuple[float, ...], axes: tuple[int, ...]
) -> Array:
    """prox_conj(p + σ∇x, σ) of Σ w |·|₂ in one pass: the dual step of total variation (neumann boundary)."""
    q = p + step * differences(x, spacing, axes, "neumann")
    return _project(_length(q), weight, smoothing, step) * q
