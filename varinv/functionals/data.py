"""Data terms: least squares and the Kullback–Leibler divergence."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace, same_place
from varinv.forms import Counts, Quadratic
from varinv.functionals.base import Functional
from varinv.fused.quadratic import weighted_square
from varinv.linalg import dot, norm
from varinv.roots import best_of_concave


@dataclass(frozen=True, eq=False, repr=False)
class L2Squared(Functional):
    r"""The data term for Gaussian noise: half the weighted sum of squared differences, least squares.

    ½ Σ weight |z − y|².

    prox: (z + t w y)/(1 + t w).  Conjugate: Σ q²/(2w) + q y (∞ where w = 0 and q ≠ 0); its prox: w (q − σ y)/(w + σ).
    smoothness max w, convexity min w.

    Parameters
    ----------
    y : the data, a real array, or a number for all entries.
    weight : a number or an array of the shape of the data, ≥ 0; 1/variance makes it the log-likelihood,
        0 excludes a measurement.

    Raises
    ------
    TypeError, ValueError
        Data or weights that are complex, empty, NaN or infinite; negative weights; shapes that differ.
    """

    y: Any = 0.0
    weight: Any = 1.0

    separable = True

    def __post_init__(self) -> None:
        y, weight = self.y, check.weight("L2Squared", self.weight)
        if (is_array(y) and y.ndim > 0) or isinstance(y, (list, tuple)):
            y = check.real_array("L2Squared", "y", y)
            if is_array(weight):
                check.same_shape("L2Squared", "weight", weight, y.shape)
                weight = same_place("L2Squared", "weight", weight, y)
        else:
            y = check.number("L2Squared", "y", y)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "weight", weight)

    def _parts(self, z: Array) -> tuple[Any, Any]:
        """y and weight beside z: same library, device and dtype."""
        self.fits(tuple(z.shape))
        y = same_place("L2Squared", "y", self.y, z) if is_array(self.y) else self.y
        w = same_place("L2Squared", "weight", self.weight, z) if is_array(self.weight) else self.weight
        return y, w

    def __call__(self, z: Array) -> float:
        given = [a.dtype for a in (self.y, self.weight) if type(a) is type(z)]  # others: same_place says what is wrong
        z = z if all(a == z.dtype for a in given) else double(z)
        return 0.5 * weighted_square(z, *self._parts(z))

    def prox(self, z: Array, step: Any) -> Array:
        y, w = self._parts(z)
        return (z + step * w * y) / (1 + step * w)

    def prox_conj(self, q: Array, step: Any) -> Array:
        y, w = self._parts(q)
        return w * (q - step * y) / (w + step)

    def form(self) -> Quadratic:
        return Quadratic(self.y, self.weight)

    def conj(self, q: Array) -> float:
        q = double(q)
        y, w = self._parts(q)
        if not is_array(w):
            if w == 0:
                return 0.0 if norm(q) == 0 else math.inf
            return float(dot(q, q) / (2 * w) + _sum_product(q, y))
        xp = namespace(q)
        if bool(xp.any((w == 0) & (q != 0))):
            return math.inf
        return 0.5 * dot(q, q / xp.where(w > 0, w, 1.0)) + _sum_product(q, y)

    def feasible(self, q: Array) -> Array:
        _, w = self._parts(q)
        if not is_array(w):
            return q if w > 0 else 0 * q
        return namespace(q).where(w > 0, q, 0.0 * q)

    def grad(self, z: Array) -> Array:
        y, w = self._parts(z)
        return w * (z - y)

    def hvp(self, z: Array, p: Array) -> Array:
        return self._parts(z)[1] * p

    @functools.cached_property
    def smoothness(self) -> float:
        return float(namespace(self.weight).max(self.weight)) if is_array(self.weight) else self.weight

    @functools.cached_property
    def curvature(self) -> float:
        return self.smoothness

    @functools.cached_property
    def convexity(self) -> float:
        return float(namespace(self.weight).min(self.weight)) if is_array(self.weight) else self.weight

    def fits(self, shape: Shape) -> None:
        for name, value in (("y", self.y), ("weight", self.weight)):
            if is_array(value):
                check.same_shape("L2Squared", name, value, shape)

    def data(self) -> Array | None:
        return self.y if is_array(self.y) else self.weight if is_array(self.weight) else None

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (5,)
        yield cls([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0]], weight=2.5), (2, 3)
        yield cls([1.0, -2.0, 0.5, 4.0], weight=[0.5, 1.0, 2.0, 3.0]), (4,)

    def __repr__(self) -> str:
        inside = f"{tuple(self.y.shape)} data" if is_array(self.y) else f"{self.y:g}"
        if is_array(self.weight):
            return f"L2Squared({inside}, weight={tuple(self.weight.shape)} array)"
        return f"L2Squared({inside})" if self.weight == 1 else f"L2Squared({inside}, weight={self.weight:g})"


def _sum_product(q: Array, y: Any) -> float:
    return dot(q, double(y)) if is_array(y) else y * float(namespace(q).sum(q))


@dataclass(frozen=True, eq=False, repr=False)
class KullbackLeibler(Functional):
    r"""The data term for counts with Poisson noise, as in emission tomography and microscopy.

    Σ z + b − y + y log(y/(z + b)), with 0 log 0 = 0 and ∞ where z + b < 0 or (z + b = 0 and y > 0): Poisson counts.

    Conjugate: Σ −y log(1 − q) − b q, domain q ≤ 1 (< 1 where y > 0).  Its prox, with v = q + σ b:
    ((1 + v) − √((v − 1)² + 4σy))/2, written as 1 − 2σy/((v − 1) + √((v − 1)² + 4σy)) for v > 1, free of cancellation.

    Parameters
    ----------
    y : counts, a real array ≥ 0.
    background : expected background counts b ≥ 0, a number or an array of the shape of y.

    Raises
    ------
    TypeError, ValueError
        Negative counts or background; complex, empty, NaN or infinite arrays; shapes that differ.
    """

    y: Any
    background: Any = 0.0

    separable = True

    def __post_init__(self) -> None:
        y = check.weight("KullbackLeibler", check.data("KullbackLeibler", "y", self.y), name="y")
        b = check.weight("KullbackLeibler", self.background, name="background")
        if is_array(b):
            check.same_shape("KullbackLeibler", "background", b, y.shape)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "background", b)

    def _parts(self, z: Array) -> tuple[Any, Any]:
        self.fits(tuple(z.shape))
        b = self.background
        b = same_place("KullbackLeibler", "background", b, z) if is_array(b) else b
        return same_place("KullbackLeibler", "y", self.y, z), b

    def __call__(self, z: Array) -> float:
        z = double(z)
        xp = namespace(z)
        y, b = self._parts(z)
        u = z + b
        if bool(xp.any((u < 0) | ((u == 0) & (y > 0)))):
            return math.inf
        counted = y > 0
        ratio = xp.where(counted, y, 1.0) / xp.where(counted, u, 1.0)
        return float(xp.sum(xp.maximum(u - y + y * xp.log(ratio), xp.zeros_like(u))))  # rounding at u = y

    def violation(self, z: Array) -> float:
        """How far z is below −background, over the norm of the counts."""
        z = double(z)
        xp, (y, b) = namespace(z), self._parts(z)
        return norm(xp.minimum(z + b, xp.zeros_like(z))) / (norm(y) or 1.0)

    def prox(self, z: Array, step: Any) -> Array:
        y, b = self._parts(z)
        return _larger_root(z + b - step, step * y) - b

    def prox_conj(self, q: Array, step: Any) -> Array:
        y, b = self._parts(q)
        return 1 - _larger_root(1 - (q + step * b), step * y)

    def conj(self, q: Array) -> float:
        q = double(q)
        xp = namespace(q)
        y, b = self._parts(q)
        if bool(xp.any((q > 1) | ((q == 1) & (y > 0)))):
            return math.inf
        counted = y > 0
        return float(xp.sum(-y * xp.log1p(-xp.where(counted, q, 0.0)) - b * q))

    def feasible(self, q: Array) -> Array:
        xp = namespace(q)
        y, _ = self._parts(q)
        top = xp.where(y > 0, xp.asarray(1 - 1e-6, dtype=q.dtype), xp.asarray(1.0, dtype=q.dtype))
        return xp.minimum(q, top)

    def grad(self, z: Array) -> Array:
        y, u = self._counted(z)
        return 1 - y / u

    def hvp(self, z: Array, p: Array) -> Array:
        y, u = self._counted(z)
        return y / u**2 * p

    def _counted(self, z: Array) -> tuple[Array, Array]:
        """y and z + b, with 1 in place of z + b where y = 0 (there y/(z + b) is 0, also at z + b = 0)."""
        y, b = self._parts(z)
        return y, namespace(z).where(y > 0, z + b, namespace(z).ones_like(z))

    @functools.cached_property
    def curvature(self) -> float:
        """1 / mean count: the second derivative y/(z+b)² at z + b = y, typically."""
        mean = float(namespace(self.y).mean(self.y))
        return 1 / mean if mean > 0 else 1.0

    def form(self) -> Counts:
        return Counts(self.y, self.background)

    def total(self, value: float) -> float:
        """T ≥ Σ z where f(z) ≤ value: 2(value + log 2 Σ y), as u − y + y log(y/u) ≥ u/2 − y log 2 for u = z + b."""
        xp = namespace(self.y)
        return 2 * (max(value, 0.0) + math.log(2) * float(xp.sum(self.y, dtype=xp.float64)))

    def lifted(self, q: Array, price: Callable[[float, float], float], need: float) -> float:
        """The best −f*(q') − price over q' = (1 − θ) q + θ·1, in the domain q ≤ 1; θ = t/(1 + t), t ≤ need."""

        def value(t: float) -> float:
            theta = t / (1 + t)
            return float(-self.conj((1 - theta) * q + theta) - price(1 - theta, theta))

        return best_of_concave(value, need)

    def fits(self, shape: Shape) -> None:
        check.same_shape("KullbackLeibler", "y", self.y, shape)

    def data(self) -> Array | None:
        return self.y

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls([[1.0, 0.0, 4.5], [2.0, 7.0, 0.1]]), (2, 3)
        yield cls([1.0, 0.0, 3.0], background=[0.5, 0.2, 0.0]), (3,)
        yield 0.3 * cls([1.0, 0.0, 3.0], background=0.5), (3,)

    def __repr__(self) -> str:
        return f"KullbackLeibler({tuple(self.y.shape)} counts)"


def _larger_root(a: Array, c: Array) -> Array:
    """The root (a + √(a² + 4c))/2 of u² − a u − c = 0 for c ≥ 0, without cancellation for a < 0."""
    xp = namespace(a)
    s = xp.sqrt(a * a + 4 * c)
    return xp.where(a >= 0, (a + s) / 2, 2 * c / xp.where(a >= 0, xp.ones_like(a), s - a))
