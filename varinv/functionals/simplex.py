"""The probability simplex, the ℓ1 ball and the maximum norm: one threshold serves all three."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace
from varinv.forms import ROUNDING
from varinv.functionals.base import Functional
from varinv.functionals.constraints import far


def _level(u: Array, total: float, axis: int | None) -> Array:
    """θ with Σ max(u − θ, 0) = total > 0 along `axis` (None: over all), kept as an axis of length one; in float64.

    Michelot (1986): the mean over those above the level rises until none of them falls below it.  Counted from the
    largest entry, so that a small total keeps its digits.
    """
    xp = namespace(u)
    top = xp.max(u, axis=axis, keepdims=True)
    v = u - top
    active = v >= -total
    while True:
        count = xp.sum(xp.astype(active, v.dtype), axis=axis, keepdims=True)
        theta = (xp.sum(xp.where(active, v, xp.zeros_like(v)), axis=axis, keepdims=True) - total) / count
        still = active & (v > theta)
        if bool(xp.all(still == active)):
            return top + theta
        active = still


def _sums(bound: Any, shape: Shape, axis: int | None) -> Any:
    """Σ of a bound, a number or an array, over what a Simplex sums."""
    if is_array(bound):
        return namespace(bound).sum(bound, axis=axis)
    return bound * (math.prod(shape) if axis is None else shape[axis]) if bound else 0.0


def _at_least(bound: Any, low: float) -> Any:
    return namespace(bound).where(bound > low, bound, low) if is_array(bound) else max(bound, low)


def _largest(bound: Any) -> float:
    return float(namespace(bound).max(bound)) if is_array(bound) else float(bound)


def _smallest(bound: Any) -> float:
    return float(namespace(bound).min(bound)) if is_array(bound) else float(bound)


@dataclass(frozen=True, eq=False, repr=False)
class Simplex(Functional):
    r"""The constraint that values are non-negative and have a given sum: fractions of materials, probabilities.

    0 where z ≥ 0 and Σ z = total along an axis, else ∞.

    prox: max(z − θ, 0).  Conjugate: total · max q, summed over the other axes.  A sum within 1e-6 of the total counts
    as equal, as float32 iterates need.

    Parameters
    ----------
    axis : the axis to sum along, e.g. 0 for a stack of fractions; None: the whole array.
    total : > 0.

    Raises
    ------
    TypeError, ValueError
        A total that is not positive; an axis that the argument does not have.
    """

    axis: int | None = None
    total: float = 1.0

    def __post_init__(self) -> None:
        if self.axis is not None:
            object.__setattr__(self, "axis", check.integer("Simplex", "axis", self.axis))
        object.__setattr__(self, "total", check.number("Simplex", "total", self.total, low=0.0, strict=True))

    def __call__(self, z: Array) -> float:
        self.fits(tuple(z.shape))
        xp, z = namespace(z), double(z)
        off = abs(xp.sum(z, axis=self.axis) - self.total)
        return 0.0 if bool(xp.all(z >= 0)) and bool(xp.all(off <= 1e-6 * self.total)) else math.inf

    def violation(self, z: Array) -> float:
        """The distance to the simplex over its total."""
        return far(self, z, self.total)

    def beyond(self, lo: Any, hi: Any, shape: Shape) -> float:
        """How far the total is from what sums between the bounds can be, or the bounds below 0."""
        least, most = _sums(_at_least(lo, 0.0), shape, self.axis), _sums(hi, shape, self.axis)
        off = (_largest(least) - self.total, self.total - _smallest(most), -_smallest(hi))
        return max(0.0, *off) / self.total

    def prox(self, z: Array, step: Any) -> Array:
        self.fits(tuple(z.shape))
        xp, u = namespace(z), double(z)
        u = u - _level(u, self.total, self.axis)
        return xp.astype(xp.where(u > 0, u, xp.zeros_like(u)), z.dtype)

    def conj(self, q: Array) -> float:
        self.fits(tuple(q.shape))
        xp = namespace(q)
        return self.total * float(xp.sum(xp.max(double(q), axis=self.axis)))

    def feasible(self, q: Array) -> Array:
        return q

    def fits(self, shape: Shape) -> None:
        if self.axis is not None and not -len(shape) <= self.axis < len(shape):
            raise ValueError(f"Simplex: axis {self.axis} does not exist in an array of shape {tuple(shape)}")

    def scale(self, lam: float) -> Functional:
        return self

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (5,)
        yield cls(0, 2.5), (3, 4)
        yield cls(-1), (2, 3)

    def __repr__(self) -> str:
        return f"Simplex(axis={self.axis}, total={self.total:g})"


@dataclass(frozen=True, eq=False, repr=False)
class L1Ball(Functional):
    r"""The constraint that the sum of absolute values is at most a given radius.

    0 where Σ|z| ≤ radius, else ∞.  prox: sign(z) max(|z| − θ, 0).  Conjugate: radius · max|q|.

    Raises
    ------
    TypeError, ValueError
        A radius that is negative, NaN or infinite.
    """

    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", check.number("L1Ball", "radius", self.radius, low=0.0))

    def __call__(self, z: Array) -> float:
        return 0.0 if float(namespace(z).sum(abs(double(z)))) <= self.radius * (1 + 1e-6) else math.inf

    def violation(self, z: Array) -> float:
        """The distance to the ball over its radius."""
        return far(self, z, self.radius)

    def beyond(self, lo: Any, hi: Any, shape: Shape) -> float:
        """How far the least Σ|z| between the bounds exceeds the radius."""
        least = float(_sums(_at_least(lo, 0.0), shape, None)) + float(_sums(_at_least(-hi, 0.0), shape, None))
        return max(least - self.radius, 0.0) / (self.radius or 1.0)

    def prox(self, z: Array, step: Any) -> Array:
        return _within(z, self.radius)

    def conj(self, q: Array) -> float:
        return self.radius * float(namespace(q).max(abs(double(q))))

    def feasible(self, q: Array) -> Array:
        return q

    def scale(self, lam: float) -> Functional:
        return self

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(1.5), (2, 3)
        yield cls(0.0), (4,)

    def __repr__(self) -> str:
        return f"L1Ball({self.radius:g})"


@dataclass(frozen=True, eq=False, repr=False)
class Linf(Functional):
    r"""A penalty on the largest absolute value.

    w max|z|.  prox: z clipped to |z| ≤ θ, Σ max(|z| − θ, 0) = t w.  Conjugate: 0 where Σ|q| ≤ w, else ∞.

    Raises
    ------
    TypeError, ValueError
        A weight that is no number, negative, NaN or infinite.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check.number("Linf", "weight", self.weight, low=0.0))

    def __call__(self, z: Array) -> float:
        return self.weight * float(namespace(z).max(abs(double(z))))

    def prox(self, z: Array, step: float) -> Array:
        xp, u, excess = namespace(z), double(z), step * self.weight
        if excess == 0:
            return z
        if float(xp.sum(abs(u))) <= excess:
            return xp.zeros_like(z)
        theta = _level(abs(u), excess, None)
        return xp.astype(xp.minimum(xp.maximum(u, -theta), theta), z.dtype)

    def prox_conj(self, q: Array, step: float) -> Array:
        return _within(q, self.weight)

    def conj(self, q: Array) -> float:
        return 0.0 if float(namespace(q).sum(abs(double(q)))) <= self.weight * (1 + ROUNDING) else math.inf

    def feasible(self, q: Array) -> Array:
        return _within(q, self.weight)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls(2.5), (4,)

    def __repr__(self) -> str:
        return f"Linf({self.weight:g})"


def _within(z: Array, radius: float) -> Array:
    """The nearest point of Σ|z| ≤ radius; what exceeds it by rounding alone stays."""
    xp, u = namespace(z), double(z)
    if float(xp.sum(abs(u))) <= radius * (1 + ROUNDING / 2):
        return z
    if radius == 0:
        return xp.zeros_like(z)
    n = abs(u) - _level(abs(u), radius, None)
    return xp.astype(xp.sign(u) * xp.where(n > 0, n, xp.zeros_like(n)), z.dtype)
