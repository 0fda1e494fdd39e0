r"""What functionals and operators are, as data: the formulas that solvers, certificates and kernels share.

``form()`` of a functional or operator returns one of these, or None.  A class of your own that returns one gets the
same fused steps, certificates and solvers as the built-in ones: nothing asks for its class.

============ =====================================================================================================
Quadratic    ½ Σ weight (z − y)² on lo ≤ z ≤ hi: least squares, boxes, both
Counts       Σ z + b − y + y log(y/(z + b)): Poisson counts y over a background b
Magnitudes   Σ weight φ(n), n = |z| or the lengths of groups: ℓ1, ℓ2,1 and their Huber smoothing
Differences  forward differences with a Neumann boundary
============ =====================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, double, is_array, namespace, same_place
from varinv.linalg import dot
from varinv.roots import best_of_concave

ROUNDING = 1e-12  # relative excess over a ball that counts as the rounding of its projection
INF = math.inf


class Quadratic(NamedTuple):
    r"""½ Σ weight (z − y)² where lo ≤ z ≤ hi, else ∞; up to a constant.

    y, weight, lo, hi : numbers, or arrays of the shape of z; weight ≥ 0 (0: a box alone).
    """

    y: Any = 0.0
    weight: Any = 0.0
    lo: Any = -INF
    hi: Any = INF

    def __and__(self, other: Quadratic) -> Quadratic:
        """The sum of both: W = Σ w, y = Σ w y / W, the intersection of the boxes (ValueError where it is empty)."""
        lo, hi = _extreme("maximum", self.lo, other.lo), _extreme("minimum", self.hi, other.hi)
        if bool(namespace(above).any(above)) if is_array(above := lo > hi) else above:
            raise ValueError("no image satisfies all bounds together: lo must not exceed hi anywhere")
        if self.flat or other.flat:
            y, weight = (other.y, other.weight) if self.flat else (self.y, self.weight)
            return Quadratic(y, weight, lo, hi)
        W, C = self.weight + other.weight, self.weight * self.y + other.weight * other.y
        if is_array(W):
            return Quadratic(C / namespace(W).where(W > 0, W, namespace(W).ones_like(W)), W, lo, hi)
        return Quadratic(C / W, W, lo, hi)

    @property
    def flat(self) -> bool:
        """Whether it is a box alone."""
        return not is_array(self.weight) and self.weight == 0

    @property
    def boxed(self) -> bool:
        """Whether a bound is there."""
        return is_array(self.lo) or is_array(self.hi) or self.lo > -INF or self.hi < INF

    @property
    def numbers(self) -> bool:
        """Whether weight and bounds are numbers, as the one-pass steps of `fused` take them."""
        return not (is_array(self.weight) or is_array(self.lo) or is_array(self.hi))

    @property
    def cone(self) -> bool:
        """Whether it is exactly z ≥ 0."""
        return self.flat and self.numbers and (self.lo, self.hi) == (0, INF)

    @property
    def largest(self) -> float:
        """max weight."""
        return float(namespace(self.weight).max(self.weight)) if is_array(self.weight) else float(self.weight)

    @property
    def smallest(self) -> float:
        """min weight."""
        return float(namespace(self.weight).min(self.weight)) if is_array(self.weight) else float(self.weight)

    def beside(self, who: str, z: Array) -> Quadratic:
        """The same with its arrays in library, device and dtype of z, their shapes checked."""
        return Quadratic(
            *(beside(who, name, value, z, z.shape) for name, value in zip(self._fields, self, strict=True))
        )

    def bounds(self, z: Array) -> tuple[Array, Array]:
        """lo and hi as arrays that broadcast with z."""
        xp, few = namespace(z), z[(slice(0, 1),) * z.ndim]
        lo, hi = (
            beside("Quadratic", name, end, z, z.shape) if is_array(end) else xp.full_like(few, end)
            for name, end in (("lo", self.lo), ("hi", self.hi))
        )
        return lo, hi

    def clip(self, z: Array) -> Array:
        """The nearest point of the box."""
        if not self.boxed:
            return z
        xp, (lo, hi) = namespace(z), self.bounds(z)
        above = xp.maximum(z, lo)
        return above if not is_array(self.hi) and self.hi == INF else xp.minimum(above, hi)

    def prox(self, z: Array, step: Any) -> Array:
        """clip((z + t w y)/(1 + t w))."""
        if self.flat:
            return self.clip(z)
        return self.clip((z + step * (self.weight * self.y)) / (1 + step * self.weight))

    def conj_box(self, q: Array) -> float:
        """Σ max(lo q, hi q): the conjugate of the box."""
        q = double(q)
        xp, (lo, hi) = namespace(q), self.bounds(q)
        down, up = q < 0, q > 0
        if bool(xp.any((down & (lo == -INF)) | (up & (hi == INF)))):
            return INF
        return float(xp.sum(xp.where(down, lo, 0.0 * q) * q + xp.where(up, hi, 0.0 * q) * q))

    def highest(self, q: Array) -> Array | None:
        r"""The z of sup_z ⟨q, z⟩ − ½ Σ w (z − y)² without the box where w > 0, an end of the box where w = 0.

        None: the supremum is ∞, as the box is open there.
        """
        W, C = self.weight, self.weight * self.y
        if self.smallest > 0:
            return (q + C) / W
        xp, (lo, hi) = namespace(q), self.bounds(q)
        z = (q + C) / xp.where(W > 0, W, xp.ones_like(q))
        z = xp.where(W > 0, z, xp.where(q > 0, hi + 0 * q, xp.where(q < 0, lo + 0 * q, self.clip(0 * q))))
        return None if bool(xp.any(abs(z) == INF)) else z

    # ------------------------------------------------------------------------ raised duals, see varinv.certificate (c)

    def used(self, q: Array) -> Array | None:
        """1 on the measurements with a weight, 0 on the others; None: all count."""
        if not is_array(self.weight):
            return None
        xp = namespace(q)
        return xp.where(self.weight > 0, xp.ones_like(q), xp.zeros_like(q))

    def total(self, value: float, q: Array) -> float:
        r"""T ≥ Σ z over the used measurements wherever the value is at most `value`; q: an array of the shape of z.

        ⟨1, z⟩ ≤ ⟨1, y⟩ + √(Σ 1/w) √(2·value), by Cauchy–Schwarz.
        """
        used = self.used(q)
        inverse = math.prod(q.shape) / self.weight if used is None else dot(used, _inverse(self.weight, used))
        return max(_sum_used(self.y, used, q) + math.sqrt(inverse * 2 * max(value, 0.0)), 0.0)

    def lifted(self, q: Array, price: Callable[[float, float], float], need: float) -> float:
        r"""max over α in [0, 1], t ≥ 0 of −f*(α(q + t·1)) − price(α, αt): with q' = q + t·1 on the used measurements

        −½α² Σ q'²/w − α⟨q', y⟩ − α·price(1, t): the best α is in closed form, t is searched for up to `need`.
        """
        squares = _squares(q, self.y, self.weight, self.used(q))

        def value(t: float) -> float:
            a, b = squares(t)
            slope = b + price(1.0, t)
            alpha = min(max(-slope / a, 0.0), 1.0) if a > 0 else (1.0 if slope < 0 else 0.0)
            return float(-0.5 * alpha**2 * a - alpha * slope)

        return best_of_concave(value, need)


class Counts(NamedTuple):
    """Σ z + b − y + y log(y/(z + b)): the Kullback–Leibler divergence of counts y over a background b."""

    y: Any
    background: Any = 0.0


class Magnitudes(NamedTuple):
    r"""Σ w φ(n), n = |z| or, with `groups`, the length over axis 0; φ(n) = n, or with smoothing s > 0

    φ(n) = n − s/2 for n ≥ s and n²/(2s) below (Huber).  Conjugate: Σ s m²/(2w) where m ≤ w, else ∞.

    weight : a number or an array of the shape of n, ≥ 0.
    """

    weight: Any = 1.0
    smoothing: float = 0.0
    groups: bool = False

    def beside(self, who: str, z: Array, shape: tuple[int, ...]) -> Magnitudes:
        """The same with its weight in library, device and dtype of z; `shape` is that of the argument of f."""
        lengths = tuple(shape)[1:] if self.groups else tuple(shape)
        return self._replace(weight=beside(who, "weight", self.weight, z, lengths))

    def magnitude(self, z: Array) -> Array:
        """n."""
        return length(z) if self.groups else abs(z)

    def value(self, z: Array) -> float:
        """Σ w φ(n)."""
        n, s = self.magnitude(z), self.smoothing
        xp = namespace(n)
        phi = n if s == 0 else xp.where(n >= s, n - s / 2, n * n / (2 * s))
        return float(xp.sum(self.weight * phi))

    def shrink(self, z: Array, step: Any) -> Array:
        """prox: z (1 − t w / max(n, s + t w)), without the cancellation of that form for s ≪ t w."""
        n, s = self.magnitude(z), self.smoothing
        xp = namespace(n)
        t = step * self.weight + 0 * n
        longest = xp.maximum(n, t + s)
        return xp.maximum(n - t, s + 0 * n) / xp.where(longest > 0, longest, xp.ones_like(longest)) * z

    def project(self, q: Array, step: Any) -> Array:
        """prox of the conjugate: divide by 1 + σ s / w, then shorten to length ≤ w."""
        m = self.magnitude(q)
        xp, w = namespace(m), self.weight + 0 * m
        # 1 / (1 + σ s / w) = w / (w + σ s); then min(1, w / (m w / (w + σ s))) of that
        longest = xp.maximum(w + step * self.smoothing, m)
        return w / xp.where(longest > 0, longest, xp.ones_like(longest)) * q

    def conjugate(self, q: Array) -> float:
        """Σ s m²/(2w) where m ≤ w, else ∞."""
        m = self.magnitude(q)
        xp, s, w = namespace(m), self.smoothing, self.weight + 0 * m
        if bool(xp.any(m > w * (1 + ROUNDING))):
            return INF
        return 0.0 if s == 0 else float(xp.sum(s * m * m / xp.where(w > 0, 2 * w, xp.ones_like(w))))


class Differences(NamedTuple):
    """(u[i + e_k] − u[i]) / h_k along each of `axes`, stacked in front; 0 where i + e_k leaves the image."""

    spacing: tuple[float, ...]
    axes: tuple[int, ...]


def length(p: Array) -> Array:
    """|p_i|₂ over the leading axis, free of overflow for what images hold."""
    xp = namespace(p)
    return xp.sqrt(xp.sum(p * p, axis=0))


def form_of(value: Any) -> Any:
    """`value.form()`; None for None and for what has no such method."""
    return value.form() if hasattr(value, "form") else None


def quadratic(f: Any) -> Quadratic | None:
    """The form of f if it is a Quadratic; None else."""
    form = form_of(f)
    return form if isinstance(form, Quadratic) else None


def beside(who: str, name: str, value: Any, z: Array, shape: tuple[int, ...]) -> Any:
    """An array in library, device and dtype of z, of this shape; a number as it is."""
    if not is_array(value):
        return value
    check.same_shape(who, name, value, tuple(shape))
    return same_place(who, name, value, z)


def _extreme(name: str, a: Any, b: Any) -> Any:
    if not is_array(a) and not is_array(b):
        return max(a, b) if name == "maximum" else min(a, b)
    reference = a if is_array(a) else b
    xp = namespace(reference)
    a = a if is_array(a) else xp.full_like(reference, a)
    b = b if is_array(b) else xp.full_like(reference, b)
    return getattr(xp, name)(a, b)


def _squares(q: Array, y: Any, w: Any, used: Any) -> Callable[[float], tuple[float, float]]:
    """t ↦ (Σ q'²/w, ⟨q', y⟩) for q' = q + t·1 on the used measurements, from five sums."""
    if used is None:
        qq, q1, one = dot(q, q) / w, _sum(q) / w, math.prod(q.shape) / w
    else:
        inverse = _inverse(w, used)
        qq, q1, one = dot(q, inverse * q), dot(q, inverse), dot(used, inverse)
    qy, y1 = dot(q, y) if is_array(y) else y * _sum(q if used is None else q * used), _sum_used(y, used, q)
    return lambda t: (qq + 2 * t * q1 + t * t * one, qy + t * y1)


def _sum(a: Array) -> float:
    xp = namespace(a)
    return float(xp.sum(a, dtype=xp.float64))


def _sum_used(y: Any, used: Any, q: Array) -> float:
    """⟨1, y⟩ on the used measurements."""
    if used is None:
        return _sum(y) if is_array(y) else y * math.prod(q.shape)
    return dot(used, y) if is_array(y) else y * _sum(used)


def _inverse(w: Array, used: Array) -> Array:
    """1/w on the used measurements, 0 on the others."""
    return used / namespace(used).where(used > 0, w * used, namespace(used).ones_like(used))
