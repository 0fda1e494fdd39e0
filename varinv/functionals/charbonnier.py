"""Charbonnier: the everywhere smooth magnitude √(n² + s²)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace
from varinv.forms import ROUNDING, Magnitudes
from varinv.functionals.base import Functional
from varinv.functionals.sparsity import words


@dataclass(frozen=True, eq=False, repr=False)
class Charbonnier(Functional):
    r"""A smooth approximation of the sum of absolute values, or of total variation, that has a gradient.

    Σ w √(n² + s²), n = |z| or, with `groups`, the length over axis 0; at z = 0 it is Σ w s, as usual in the field.

    s → 0 is L1 (or L21).  Gradient w z/√(n² + s²), smoothness w/s (Charbonnier, Blanc-Féraud, Aubert & Barlaud 1997).
    prox: z r/n with the root r of r + t w r/√(r² + s²) = n, by Newton's method, which from below rises to the root.
    Conjugate: −Σ s √(w² − m²) where m ≤ w, else ∞.

    Parameters
    ----------
    smoothing : s > 0, in units of z.
    weight : a number or an array of the shape of n, ≥ 0.
    groups : entries of axis 0 form one vector (the smoothed isotropic total variation, with Gradient).

    Raises
    ------
    TypeError, ValueError
        s that is not positive; weights as in L1.

    Examples
    --------
    >>> import numpy as np
    >>> Charbonnier(3.0)(np.array([4.0, 0.0]))
    8.0
    """

    smoothing: float
    weight: Any = 1.0
    groups: bool = False
    grows = True

    def __post_init__(self) -> None:
        who = "Charbonnier"
        object.__setattr__(self, "smoothing", check.number(who, "smoothing", self.smoothing, low=0.0, strict=True))
        object.__setattr__(self, "weight", check.weight(who, self.weight))

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return not self.groups

    def _magnitude(self, z: Array) -> tuple[Array, Any]:
        f = self._norm(z)
        return f.magnitude(z), f.weight

    def _norm(self, z: Array) -> Magnitudes:
        """Σ w n beside z: the same without smoothing."""
        return Magnitudes(self.weight, 0.0, self.groups).beside("Charbonnier", z, z.shape)

    def _root_length(self, n: Array) -> Array:
        return namespace(n).hypot(n, self.smoothing + 0 * n)

    def __call__(self, z: Array) -> float:
        n, w = self._magnitude(double(z))
        return float(namespace(n).sum(w * self._root_length(n)))

    def prox(self, z: Array, step: Any) -> Array:
        n, w = self._magnitude(z)
        return _ratio(_root(n, step * w + 0 * n, self.smoothing), n) * z

    def prox_conj(self, q: Array, step: Any) -> Array:
        m, w = self._magnitude(q)
        r = _root(m / step, w / step + 0 * m, self.smoothing)  # Moreau; w r/√(r² + s²) is what remains of m
        return _ratio(w * r / self._root_length(r), m) * q

    def conj(self, q: Array) -> float:
        m, w = self._magnitude(double(q))
        xp = namespace(m)
        if bool(xp.any(m > w * (1 + ROUNDING))):
            return math.inf
        return -self.smoothing * float(xp.sum(xp.sqrt(xp.maximum(w - m, 0 * m) * (w + m))))

    def feasible(self, q: Array) -> Array:
        return self._norm(q).project(q, 0.0)

    def quadratic_weight(self, z: Array) -> Array:
        """ω(z) = ∇f(z)/z: f(u) ≤ f(z) + ½⟨ω(z), u² − z²⟩ for all u."""
        n, w = self._magnitude(z)
        return w / self._root_length(n)

    def grad(self, z: Array) -> Array:
        return self.quadratic_weight(z) * z

    def hvp(self, z: Array, p: Array) -> Array:
        n, w = self._magnitude(z)
        h = self._root_length(n)
        flat = (self.smoothing / h) ** 2
        if not self.groups:
            return w * flat / h * p
        unit = _ratio(z, n)
        along = namespace(z).sum(unit * p, axis=0) * unit
        return w / h * ((p - along) + flat * along)

    @functools.cached_property
    def smoothness(self) -> float:
        w = self.weight
        return (float(namespace(w).max(w)) if is_array(w) else w) / self.smoothing

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            check.same_shape("Charbonnier", "weight", self.weight, tuple(shape)[1:] if self.groups else shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.3), (2, 3)
        yield cls(0.7, [0.5, 0.0, 2.0]), (3,)
        yield cls(0.4, 1.5, groups=True), (3, 4)
        yield cls(0.4, [[0.5, 0.0], [1.0, 2.0]], groups=True), (2, 2, 2)

    def __repr__(self) -> str:
        return words(self)


def _ratio(a: Array, n: Array) -> Array:
    """a/n, and 0 where n = 0."""
    xp = namespace(n)
    return xp.where(n > 0, a, 0 * a) / xp.where(n > 0, n, xp.ones_like(n))


def _root(n: Array, t: Array, s: float) -> Array:
    """The root r ≥ 0 of g(r) = r + t r/√(r² + s²) − n, to machine precision.

    g is concave and increasing, so a Newton step from anywhere lands below the root, and from below they rise to it.
    n − t and n s/(s + t) lie below it (bounds 1 and r/s of r/√(r² + s²)).  Where t ≫ s and n is near t, the root is
    near that of r³ + (t − n) r² = t s²/2, which is below the smaller of the two starts tried.
    """
    xp = namespace(n)
    zero = 0 * n
    low = xp.maximum(xp.maximum(n - t, n * (s / (s + t))), zero)
    excess = xp.maximum(t - n, zero)
    near = s * xp.sqrt(t / (2 * xp.where(excess > 0, excess, xp.ones_like(n))))
    cubic = (s / 2) ** (2 / 3) * (2 * t) ** (1 / 3)  # (t s²/2)^⅓ without the square
    r = xp.maximum(low, xp.where(excess > 0, xp.minimum(near, cubic), zero))
    tiny = float(xp.finfo(n.dtype).eps)
    for _ in range(50):
        h = xp.hypot(r, s + zero)
        new = r - ((r - n) + t * (r / h)) / (1 + t * (s / h) ** 2 / h)
        new = xp.maximum(new, low)
        done = bool(xp.all(abs(new - r) <= 2 * tiny * new))
        r = new
        if done:
            break
    return r
