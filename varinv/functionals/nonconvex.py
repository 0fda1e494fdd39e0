"""Penalties that are not convex: they keep large coefficients unshrunk.  One convention for all:

prox(u, step) = argmin_z ½(z − u)² + t φ(|z|) entrywise, t = step·weight: the global minimiser, at a tie the smaller.
"""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace, same_place
from varinv.functionals.base import Functional
from varinv.roots import increasing_root


class Penalty(Functional):
    """Σ w φ(|z|) with φ(0) = 0, increasing and not convex; a number or one weight per entry, and so for what shapes φ.

    A new one is a dataclass with `weight` that gives `_phi(n)` and `_shrunk(n, t)`, the prox for n = |u|.  Where φ is
    weakly convex it gives `_modulus`, the largest μ ≤ 0 for which φ(|z|) − ½ μ z² is convex.
    """

    convex = False
    separable = True
    grows = True
    bounds: ClassVar[dict[str, float]] = {}  # parameters of φ, and what each must exceed
    weight: Any

    def __post_init__(self) -> None:
        who = type(self).__name__
        object.__setattr__(self, "weight", check.weight(who, self.weight))
        for name, low in self.bounds.items():
            value = check.weight(who, getattr(self, name), name=name)
            least = float(namespace(value).min(value)) if is_array(value) else value
            if least <= low:
                raise ValueError(f"{who}: {name} must be greater than {low:g}, got {least:g}")
            object.__setattr__(self, name, value)

    @abstractmethod
    def _phi(self, n: Array) -> Array:
        """φ(n)."""

    @abstractmethod
    def _shrunk(self, n: Array, t: Array) -> Array:
        """argmin over z ≥ 0 of ½(z − n)² + t φ(z)."""

    def _modulus(self) -> Any:
        return -math.inf

    def _of(self, name: str, z: Array) -> Any:
        """A parameter beside z."""
        value = getattr(self, name)
        if not is_array(value):
            return value
        check.same_shape(type(self).__name__, name, value, z.shape)
        return same_place(type(self).__name__, name, value, z)

    def __call__(self, z: Array) -> float:
        n = abs(double(z))
        return float(namespace(n).sum(self._of("weight", n) * self._phi(n)))

    def prox(self, z: Array, step: Any) -> Array:
        n = abs(z)
        return namespace(z).sign(z) * self._shrunk(n, step * self._of("weight", n) + 0 * n)

    @property
    def convexity(self) -> float:
        modulus, largest = self._modulus(), float(namespace(w).max(w)) if is_array(w := self.weight) else w
        if not is_array(modulus):
            return largest * modulus if largest else 0.0
        worst = w * modulus
        return float(namespace(worst).min(worst))

    def fits(self, shape: Shape) -> None:
        for name in ("weight", *self.bounds):
            if is_array(value := getattr(self, name)):
                check.same_shape(type(self).__name__, name, value, shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)  # type: ignore[type-var]

    def __repr__(self) -> str:
        words = ((name, getattr(self, name)) for name in (*self.bounds, "weight"))
        inside = (f"{name}={f'{tuple(v.shape)} array' if is_array(v) else f'{v:g}'}" for name, v in words)
        return f"{type(self).__name__}({', '.join(inside)})"


@dataclass(frozen=True, eq=False, repr=False)
class L0(Penalty):
    r"""A sparsity penalty that counts the non-zero entries; it is not convex.

    Σ w [z ≠ 0], the number of non-zero entries.  prox: u where |u| > √(2t), else 0 (hard threshold; tie: 0).
    """

    weight: Any = 1.0

    def _phi(self, n: Array) -> Array:
        return namespace(n).astype(n > 0, n.dtype)

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp = namespace(n)
        return xp.where(n > xp.sqrt(2 * t), n, 0 * n)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls([0.5, 0.0, 2.0]), (3,)


@dataclass(frozen=True, eq=False, repr=False)
class Lp(Penalty):
    r"""A sparsity penalty stronger than the sum of absolute values: a power below one, not convex.

    Σ w |z|^p, 0 < p < 1: p = ½ and ⅔ have closed forms (half thresholding, Xu et al. 2012), all p one solver.

    prox: 0 where |u| ≤ z₀ + t p z₀^{p−1}, z₀ = (2t(1 − p))^{1/(2−p)} (tie: 0), else the larger root of
    z + t p z^{p−1} = |u|, which lies above z₀, with the sign of u.

    Raises
    ------
    ValueError
        p outside (0, 1): 1 is L1, 0 is L0.
    """

    p: float = 0.5
    weight: Any = 1.0

    def __post_init__(self) -> None:
        p = check.number("Lp", "p", self.p)
        if not 0 < p < 1:
            raise ValueError(f"Lp: p must lie between 0 and 1, got {p:g}; L1 is p = 1, L0 is p = 0")
        object.__setattr__(self, "p", p)
        super().__post_init__()

    def _phi(self, n: Array) -> Array:
        return n**self.p

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp, p = namespace(n), self.p
        z0 = (2 * t * (1 - p)) ** (1 / (2 - p))

        def pull(z: Array) -> Array:  # t p z^{p−1}
            return t * p * xp.where(z > 0, z, xp.ones_like(z)) ** (p - 1)

        edge = z0 + pull(z0)
        m = xp.maximum(n, edge)

        def g(z: Array) -> tuple[Array, Array]:
            a = pull(z)
            return z - m + a, 1 - (1 - p) * a / xp.where(z > 0, z, xp.ones_like(z))

        return xp.where(n > edge, increasing_root(g, z0, m, m, m), 0 * n)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls(2 / 3, 0.7), (4,)
        yield cls(0.1, [0.5, 0.0, 2.0]), (3,)

    def __repr__(self) -> str:
        weight = f"{tuple(self.weight.shape)} array" if is_array(self.weight) else f"{self.weight:g}"
        return f"Lp(p={self.p:g}, weight={weight})"


@dataclass(frozen=True, eq=False, repr=False)
class LogSum(Penalty):
    r"""A sparsity penalty that grows like a logarithm and shrinks large values little; it is not convex.

    Σ w log(1 + |z|/δ), δ > 0.  Weakly convex with μ = −1/δ².

    prox: the larger root z of (z − |u|)(z + δ) + t = 0 or 0, whichever costs less (tie: 0), with the sign of u.
    """

    delta: Any = 1.0
    weight: Any = 1.0
    bounds = {"delta": 0.0}  # noqa: RUF012

    def _phi(self, n: Array) -> Array:
        return namespace(n).log1p(n / self._of("delta", n))

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp, d = namespace(n), self._of("delta", n) + 0 * n
        square = (n + d) ** 2 - 4 * t
        root = xp.sqrt(xp.maximum(square, 0 * n))
        below = xp.maximum(d - n, 0 * n) + root
        z = xp.where(n >= d, (n - d + root) / 2, 2 * (n * d - t) / xp.where(below > 0, below, xp.ones_like(n)))
        z = xp.maximum(z, 0 * n)
        better = (t <= d * d) | (z * (z / 2 - n) + t * xp.log1p(z / d) < 0)  # for t ≤ δ² the cost is convex
        return xp.where((square >= 0) & better, z, 0 * n)

    def _modulus(self) -> Any:
        return -1 / self.delta**2

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.5), (2, 3)
        yield cls([0.2, 1.0, 3.0], [0.5, 0.0, 2.0]), (3,)


@dataclass(frozen=True, eq=False, repr=False)
class Cauchy(Penalty):
    r"""A smooth penalty that tolerates a few large values, from the Cauchy distribution; it is not convex.

    Σ w log(1 + z²/δ²), δ > 0, smooth: smoothness 2w/δ², weakly convex with μ = −1/(4δ²) (at z² = 3δ²).

    prox: of the minimisers of ½(z − |u|)² + t log(1 + z²/δ²) the better one, with the sign of u.  The derivative
    increases up to z_a and from z_b on, z² = t − δ² ∓ √(t² − 4tδ²) (for t < 4δ² throughout): at most one in each.
    """

    delta: Any = 1.0
    weight: Any = 1.0
    bounds = {"delta": 0.0}  # noqa: RUF012

    def _phi(self, n: Array) -> Array:
        return namespace(n).log1p((n / self._of("delta", n)) ** 2)

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp = namespace(n)
        d = self._of("delta", n) + 0 * n
        v, s = n / d, t / (d * d)  # in units of δ

        def g(z: Array) -> tuple[Array, Array]:
            q = 1 / (1 + z * z)
            return z - v + 2 * s * z * q, 1 + 2 * s * (1 - z * z) * q * q

        split = xp.sqrt(xp.maximum(s * (s - 4), 0 * s))
        bends = s >= 4
        high = xp.where(bends, s - 1 + split, 3 + 0 * s)
        za = xp.sqrt(xp.where(bends, (1 + 2 * s) / xp.where(bends, high, 1 + 0 * s), 3 + 0 * s))  # product 1 + 2s
        zb = xp.sqrt(high)
        near, far = xp.minimum(za, v), xp.minimum(zb, v)
        a = increasing_root(g, 0.0, near, 0 * v, v)
        b = increasing_root(g, far, v, v, v)

        def cost(z: Array) -> Array:
            return z * (z / 2 - v) + s * xp.log1p(z * z)

        one = xp.where(g(near)[0] >= 0, a, b)  # without a bend: the root is on one side
        return d * xp.where(bends, xp.where(cost(b) < cost(a), b, a), one)

    def grad(self, z: Array) -> Array:
        d = self._of("delta", z)
        return 2 * self._of("weight", z) * z / (d * d + z * z)

    def hvp(self, z: Array, p: Array) -> Array:
        d = self._of("delta", z)
        return 2 * self._of("weight", z) * (d * d - z * z) / (d * d + z * z) ** 2 * p

    @property
    def smoothness(self) -> float:
        most = 2 * self.weight / self.delta**2
        return float(namespace(most).max(most)) if is_array(most) else float(most)

    def _modulus(self) -> Any:
        return -1 / (4 * self.delta**2)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.5), (2, 3)
        yield cls([0.2, 1.0, 3.0], [0.5, 0.0, 2.0]), (3,)
