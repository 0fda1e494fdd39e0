"""Counts behind an absorber: the likelihood of transmission tomography, without taking logarithms of the data."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace, same_place
from varinv.functionals.base import Functional
from varinv.roots import increasing_root


def TransmissionPoisson(y: Any, blank: Any, background: Any = 0.0) -> Functional:
    r"""The data term for photon counts behind an object, as an X-ray detector records them.

    Σ m − y + y log(y/m), m = I₀ e^{−z} + b: counts y of a beam I₀ after the line integrals z (Lambert–Beer).

    ``TransmissionPoisson(counts, blank) @ A`` needs no logarithm of the counts, zeros are welcome (Erdogan & Fessler
    1999).  Without background it is convex, with a conjugate; with one it is smooth but not convex where y > b > 0.
    Both have an exact prox, by safeguarded Newton.

    Parameters
    ----------
    y : counts ≥ 0, a real array.
    blank : I₀ > 0, the counts without absorber, a number or an array of the shape of y.
    background : b ≥ 0, expected counts that are no transmission (scatter, dark current), a number or such an array.

    Raises
    ------
    TypeError, ValueError
        Negative counts or background, blank that is not positive; NaN, infinite, complex; shapes that differ.
    """
    b = check.weight("TransmissionPoisson", background, name="background")
    dark = not (bool(namespace(b).any(b > 0)) if is_array(b) else b > 0)
    return Transmission(y, blank) if dark else TransmissionBackground(y, blank, b)


def _checked(f: Any, names: tuple[str, ...]) -> None:
    who = "TransmissionPoisson"
    y = check.weight(who, check.real_array(who, "y", f.y), name="y")
    object.__setattr__(f, "y", y)
    for name in names:
        value = check.weight(who, getattr(f, name), name=name)
        if is_array(value):
            check.same_shape(who, name, value, y.shape)
        least = float(namespace(value).min(value)) if is_array(value) else value
        if name == "blank" and least <= 0:
            raise ValueError(f"{who}: blank must be greater than 0, got {least:g}; mask dead detectors")
        object.__setattr__(f, name, value)


def _beside(name: str, value: Any, z: Array) -> Any:
    return same_place("TransmissionPoisson", name, value, z) if is_array(value) else value + 0 * z


def _exp(a: Array) -> Array:
    """e^a, held so low that its square does not overflow: e^319 in float64, far from any count."""
    xp = namespace(a)
    return xp.exp(xp.minimum(a, 0.45 * math.log(float(xp.finfo(a.dtype).max)) + 0 * a))


def _xlogx(a: Array) -> Array:
    xp = namespace(a)
    return a * xp.log(xp.where(a > 0, a, xp.ones_like(a)))


@dataclass(frozen=True, eq=False, repr=False)
class Transmission(Functional):
    r"""Σ I₀ e^{−z} − y + y log y − y (log I₀ − z).

    Gradient y − I₀ e^{−z}.  prox: z = c + d around the perfect fit c = log(I₀/y), d the root of
    d + s(1 − e^{−d}) = x − c, s = t y (concave and increasing: Newton from below); where y = 0, z = x + d with
    d + log d = log(t I₀) − x.  Conjugate: Σ q (1 + log I₀) − y log y + (y − q) log(y − q), domain q ≤ y.
    Raises what TransmissionPoisson, which makes it, raises.
    """

    y: Any
    blank: Any

    separable = True

    def __post_init__(self) -> None:
        _checked(self, ("blank",))

    def _parts(self, z: Array) -> tuple[Array, Array]:
        """y and log I₀ beside z."""
        self.fits(tuple(z.shape))
        return _beside("y", self.y, z), namespace(z).log(_beside("blank", self.blank, z))

    def __call__(self, z: Array) -> float:
        z = double(z)
        xp = namespace(z)
        y, log_blank = self._parts(z)
        a = log_blank - z
        return float(xp.sum(_exp(a) - y + _xlogx(y) - y * a)) if float(xp.max(a)) < 300 else math.inf

    def _moved(self, x: Array, t: Any) -> tuple[Array, Array, Array, Array]:
        """y, the two distances d (around the perfect fit; from x where y = 0), and log(I₀/y)."""
        xp = namespace(x)
        y, log_blank = self._parts(x)
        one = xp.ones_like(x)
        counted = y > 0
        c = log_blank - xp.log(xp.where(counted, y, one))
        s, r = t * xp.where(counted, y, one), xp.where(counted, x - c, 0 * x)

        def around(d: Array) -> tuple[Array, Array]:
            e = xp.expm1(-d)
            return d - s * e - r, 1 + s * (1 + e)

        low = xp.maximum(r / (1 + s), xp.where(r > 0, r - s, xp.maximum(r, -xp.log1p(abs(r) / s))))
        d = increasing_root(around, low, xp.maximum(r, 0 * r), low, abs(r))

        L = xp.where(counted, 0 * x, xp.log(t + 0 * x) + log_blank - x)

        def below(w: Array) -> tuple[Array, Array]:
            return w + xp.log(w) - L, 1 + 1 / w

        big = xp.maximum(L, one)
        small = _exp(xp.minimum(L, one))
        start = xp.where(L > 1, big - xp.log(big), small / (1 + small))
        tiny = L < -40  # there d = e^L to machine precision
        start = xp.where(tiny, one, start)
        w = increasing_root(below, start, xp.where(tiny, one, xp.maximum(L, one) + 0 * L), start, 1 + abs(L))
        return y, d, xp.where(tiny, small, w), c

    def prox(self, x: Array, step: Any) -> Array:
        y, d, w, c = self._moved(x, step)
        return namespace(x).where(y > 0, c + d, x + w)

    def prox_conj(self, q: Array, step: Any) -> Array:
        xp = namespace(q)
        y, d, w, _ = self._moved(q / step, 1 / step)  # Moreau, and y − I₀ e^{−z} is what remains of q
        return xp.where(y > 0, -y * xp.expm1(-d), -step * w)

    def conj(self, q: Array) -> float:
        q = double(q)
        xp = namespace(q)
        y, log_blank = self._parts(q)
        if bool(xp.any(q > y)):
            return math.inf
        return float(xp.sum(q * (1 + log_blank) - _xlogx(y) + _xlogx(y - q)))

    def feasible(self, q: Array) -> Array:
        return namespace(q).minimum(q, self._parts(q)[0])

    def grad(self, z: Array) -> Array:
        y, log_blank = self._parts(z)
        return y - _exp(log_blank - z)

    def hvp(self, z: Array, p: Array) -> Array:
        return _exp(self._parts(z)[1] - z) * p

    @functools.cached_property
    def curvature(self) -> float:
        """The mean count: the second derivative I₀ e^{−z} at the data."""
        return float(namespace(self.y).mean(self.y)) or 1.0

    def fits(self, shape: Shape) -> None:
        check.same_shape("TransmissionPoisson", "y", self.y, shape)

    def data(self) -> Array | None:
        return self.y

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls([[1.0, 0.0, 4.5], [2.0, 7.0, 0.1]], 10.0), (2, 3)
        yield cls([3.0, 0.0, 50.0], [20.0, 0.5, 80.0]), (3,)

    def __repr__(self) -> str:
        return f"TransmissionPoisson({tuple(self.y.shape)} counts)"


def _share(e: Array, b: Array) -> Array:
    """e/(e + b), 1 where both vanish."""
    xp = namespace(e)
    return xp.where(e + b > 0, e / xp.where(e + b > 0, e + b, xp.ones_like(e)), xp.ones_like(e))


@dataclass(frozen=True, eq=False, repr=False)
class TransmissionBackground(Functional):
    r"""Σ m − y + y log(y/m), m = e + b, e = I₀ e^{−z}: smooth, not convex where y > b > 0.

    Gradient y e/m − e; second derivative κ = e − y b e/m² ≥ −y/4, as e b ≤ m²/4.
    prox: the best root of (z − x)/t + f'(z) = 0.  Where κ ≥ −1/t there is one; else one may lie before z_a and one
    beyond z_b, where κ = −1/t: κ falls with e up to e_m (there dκ/de = 0, e_m < b), then rises to 0 at √(y b) − b.
    Raises what TransmissionPoisson, which makes it, raises.
    """

    y: Any
    blank: Any
    background: Any

    convex = False
    separable = True

    def __post_init__(self) -> None:
        _checked(self, ("blank", "background"))

    def _parts(self, z: Array) -> tuple[Array, Array, Array]:
        """y, e and b beside z."""
        self.fits(tuple(z.shape))
        blank, b = _beside("blank", self.blank, z), _beside("background", self.background, z)
        return _beside("y", self.y, z), _exp(namespace(z).log(blank) - z), b

    def __call__(self, z: Array) -> float:
        z = double(z)
        xp, (y, e, b) = namespace(z), self._parts(z)
        total = xp.sum(e + b - y + _xlogx(y) - y * self._log_mean(z, e, b))
        return float(total) if float(xp.max(e)) < 1e130 else math.inf

    def _log_mean(self, z: Array, e: Array, b: Array) -> Array:
        """log(e + b), also where e is too small for a number."""
        xp = namespace(z)
        light = xp.log(_beside("blank", self.blank, z)) - z
        return xp.where(b > 0, xp.log(xp.where(b > 0, e + b, xp.ones_like(e))), light)

    def grad(self, z: Array) -> Array:
        y, e, b = self._parts(z)
        return y * _share(e, b) - e

    def hvp(self, z: Array, p: Array) -> Array:
        y, e, b = self._parts(z)
        return (e - y * _share(e, b) * (1 - _share(e, b))) * p

    @functools.cached_property
    def _dark(self) -> Transmission:
        """The same counts without background, checked once."""
        return Transmission(self.y, self.blank)

    def prox(self, x: Array, step: Any) -> Array:
        xp = namespace(x)
        y, _, b = self._parts(x)
        log_blank = xp.log(_beside("blank", self.blank, x))
        zero, one, rate = xp.zeros_like(x), xp.ones_like(x), 1 / (step + xp.zeros_like(x))
        hollow = (b > 0) & (y > b)
        b_ = xp.where(hollow, b, one)  # harmless numbers where it is convex
        y_ = xp.where(hollow, y, 4 * one)

        def bend(e: Array) -> tuple[Array, Array]:  # κ + 1/t and its derivative in e
            m = e + b_
            return e - y_ * b_ * e / m**2 + rate, 1 - y_ * b_ * (b_ - e) / m**3

        def turn(e: Array) -> tuple[Array, Array]:
            return bend(e)[1], y_ * b_ * (4 * b_ - 2 * e) / (e + b_) ** 4

        def fall(e: Array) -> tuple[Array, Array]:
            value, slope = bend(e)
            return -value, -slope

        em = increasing_root(turn, zero, b_, b_ / 2, one)
        ea = increasing_root(bend, em, xp.sqrt(y_ * b_) - b_, em, rate)
        eb = increasing_root(fall, zero, em, em, rate)
        split = hollow & (bend(em)[0] < 0) & (eb > 0)

        def g(z: Array) -> tuple[Array, Array]:
            e = _exp(log_blank - z)
            share = _share(e, b)
            return z - x + (y * share - e) / rate, 1 + (e - y * share * (1 - share)) / rate

        fit = log_blank - xp.log(xp.where(y > b, y - b, one))  # f' > 0 beyond
        low = self._dark.prox(x, step)  # b = 0 has the larger slope everywhere: its root is below
        high = xp.where(y > b, xp.maximum(x, fit), xp.maximum(x, log_blank) + 1 / rate)
        za = log_blank - xp.log(xp.where(split, ea, one))
        zb = log_blank - xp.log(xp.where(split, eb, one))
        scale = 1 + abs(x) + y / rate
        left, right = xp.where(split, xp.minimum(za, high), high), xp.where(split, xp.minimum(zb, high), low)
        first = increasing_root(g, low, xp.maximum(left, low), xp.where(split, left, x), scale)
        second = increasing_root(g, xp.maximum(right, low), high, high, scale)

        def cost(z: Array) -> Array:
            e = _exp(log_blank - z)
            return (z - x) ** 2 * rate / 2 + e + b - y * self._log_mean(z, e, b)

        return xp.where(split & (cost(second) < cost(first)), second, first)

    @functools.cached_property
    def convexity(self) -> float:
        y = self.y
        b = self.background + 0 * y
        return -0.25 * float(namespace(y).max(namespace(y).where((b > 0) & (y > b), y, 0 * y)))

    @functools.cached_property
    def curvature(self) -> float:
        return float(namespace(self.y).mean(self.y)) or 1.0

    def fits(self, shape: Shape) -> None:
        check.same_shape("TransmissionPoisson", "y", self.y, shape)

    def data(self) -> Array | None:
        return self.y

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls([[1.0, 0.0, 4.5], [2.0, 7.0, 0.1]], 10.0, 0.5), (2, 3)
        yield cls([3.0, 0.0, 50.0], [20.0, 0.5, 80.0], [0.0, 1.0, 2.0]), (3,)

    def __repr__(self) -> str:
        return f"TransmissionPoisson({tuple(self.y.shape)} counts, with background)"
