"""Sparsity: L1 of entries, L21 of groups, Huber; with a number or an image of weights.

All three are Σ w φ(n) of a magnitude n, an absolute value or the length of a group: see varinv.forms.Magnitudes.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace, same_place
from varinv.forms import Magnitudes
from varinv.functionals.base import Functional


@dataclass(frozen=True, eq=False, repr=False)
class L1(Functional):
    r"""The sum of absolute values: a penalty for sparsity, or a data term for noise with outliers.

    Σ w |z − y|: sparsity for y = 0; for data y, noise with outliers (salt and pepper, dead pixels).

    prox: y + sign(z − y) max(|z − y| − t w, 0); conjugate: Σ q y where |q| ≤ w, else ∞.

    Parameters
    ----------
    weight : a number or an array of the shape of z, ≥ 0.
    y : the data, a real array, or a number for all entries.

    Raises
    ------
    TypeError, ValueError
        A weight that is negative, complex, NaN or infinite, or of another shape; data likewise.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> image = np.zeros((6, 6)); image[2, 3] = 1.0  # one wrong pixel
    >>> result = vi.solve(vi.L1(y=image) + 0.7 * vi.TV(image.shape))
    >>> bool(abs(result.x).max() < 1e-2)
    True
    """

    weight: Any = 1.0
    y: Any = 0.0
    separable = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", check.weight("L1", self.weight))
        y = self.y
        many = isinstance(y, (list, tuple)) or (is_array(y) and y.ndim > 0)
        object.__setattr__(self, "y", check.real_array("L1", "y", y) if many else check.number("L1", "y", y))
        if many and is_array(self.weight):
            check.same_shape("L1", "weight", self.weight, self.y.shape)

    def form(self) -> Magnitudes | None:
        return None if is_array(self.y) or self.y != 0 else Magnitudes(self.weight)

    @property
    def grows(self) -> bool:
        return not is_array(self.y) and self.y == 0

    def _parts(self, z: Array) -> tuple[Any, Magnitudes]:
        """y and Σ w |·| beside z."""
        if is_array(self.y):
            check.same_shape("L1", "y", self.y, z.shape)
        y = same_place("L1", "y", self.y, z) if is_array(self.y) else self.y
        return y, Magnitudes(self.weight).beside("L1", z, z.shape)

    def __call__(self, z: Array) -> float:
        y, f = self._parts(double(z))
        return f.value(double(z) - y)

    def prox(self, z: Array, step: Any) -> Array:
        y, f = self._parts(z)
        return y + f.shrink(z - y, step)

    def prox_conj(self, q: Array, step: Any) -> Array:
        y, f = self._parts(q)
        return f.project(q - step * y, step)

    def conj(self, q: Array) -> float:
        q = double(q)
        y, f = self._parts(q)
        return f.conjugate(q) + float(namespace(q).sum(q * y))

    def conj_within(self, q: Array, lo: Array, hi: Array) -> float:
        """sup of Σ q z − w|z − y| over lo ≤ z ≤ hi: piecewise linear, so at an end or at y."""
        xp, (y, f) = namespace(q), self._parts(q)
        w = f.weight
        if bool(xp.any(((q < -w) & (lo == -math.inf)) | ((q > w) & (hi == math.inf)))):
            return math.inf
        z = xp.minimum(xp.maximum(y + 0 * q, lo), hi)
        best = q * z - w * abs(z - y)
        for end in (lo + 0 * q, hi + 0 * q):
            z = xp.where(abs(end) < math.inf, end, z)
            best = xp.maximum(best, q * z - w * abs(z - y))
        return float(xp.sum(best))

    def feasible(self, q: Array) -> Array:
        return self.prox_conj(q, 0.0)

    def fits(self, shape: Shape) -> None:
        for name, value in (("y", self.y), ("weight", self.weight)):
            if is_array(value):
                check.same_shape("L1", name, value, shape)

    def data(self) -> Array | None:
        return self.y if is_array(self.y) else None

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls([0.5, 0.0, 2.0]), (3,)
        yield cls(0.7, [1.0, -2.0, 0.5]), (3,)

    def __repr__(self) -> str:
        return words(self) if not is_array(self.y) else f"L1({tuple(self.y.shape)} data)"


class OfMagnitudes(Functional):
    """Σ w φ(n) of magnitudes n: what the form `Magnitudes` says, as a functional; a new one gives `_form`."""

    weight: Any
    grows = True

    @abstractmethod
    def _form(self) -> Magnitudes:
        """f as data."""

    def form(self) -> Magnitudes:
        return self._form()

    def _beside(self, z: Array) -> Magnitudes:
        return self._form().beside(type(self).__name__, z, z.shape)

    def __call__(self, z: Array) -> float:
        z = double(z)
        return self._beside(z).value(z)

    def prox(self, z: Array, step: Any) -> Array:
        return self._beside(z).shrink(z, step)

    def prox_conj(self, q: Array, step: Any) -> Array:
        return self._beside(q).project(q, step)

    def conj(self, q: Array) -> float:
        q = double(q)
        return self._beside(q).conjugate(q)

    def feasible(self, q: Array) -> Array:
        return self.prox_conj(q, 0.0)

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            shape = tuple(shape)[1:] if self._form().groups else shape
            check.same_shape(type(self).__name__, "weight", self.weight, shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)  # type: ignore[type-var]

    def __repr__(self) -> str:
        return words(self)


@dataclass(frozen=True, eq=False, repr=False)
class L21(OfMagnitudes):
    r"""The sum of the lengths of vectors: a penalty for sparse vector fields, such as the gradient of an image.

    Σ_i w_i |p_i|₂ of fields p of shape (d, *n): with Gradient, isotropic (space-variant) total variation.

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

    def _form(self) -> Magnitudes:
        return Magnitudes(self.weight, groups=True)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.8), (2, 3, 2)
        yield cls([[0.5, 0.0], [1.0, 2.0]]), (2, 2, 2)


@dataclass(frozen=True, eq=False, repr=False)
class Huber(OfMagnitudes):
    r"""A penalty that is quadratic for small values and linear for large ones.

    Σ w φ(n), φ(n) = n²/(2δ) for n ≤ δ and n − δ/2 beyond, n = |z| or, with `groups`, the length over axis 0.

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

    def _form(self) -> Magnitudes:
        return Magnitudes(self.weight, self.delta, self.groups)

    def _magnitude(self, z: Array) -> tuple[Array, Any]:
        f = self._beside(z)
        return f.magnitude(z), f.weight

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

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.3), (2, 3)
        yield cls(0.7, [0.5, 1.0, 2.0]), (3,)
        yield cls(0.4, 1.5, groups=True), (3, 4)
        yield cls(0.4, [[0.5, 0.0], [1.0, 2.0]], groups=True), (2, 2, 2)


def words(f: Any) -> str:
    """The name of f with its turning point and its weight."""
    weight = f"{tuple(f.weight.shape)} weights" if is_array(f.weight) else f"{f.weight:g}"
    first = [f"{name}={getattr(f, name):g}, " for name in ("delta", "smoothing") if hasattr(f, name)]
    return f"{type(f).__name__}({''.join(first)}{weight})"
