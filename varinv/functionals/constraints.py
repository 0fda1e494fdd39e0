"""Constraints: the discrepancy ball, boxes and non-negativity.  A constraint has no weight: λ·f is f."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace, same_place
from varinv.forms import Quadratic
from varinv.functionals.base import Functional
from varinv.linalg import dot, norm


@dataclass(frozen=True, eq=False, repr=False)
class L2Ball(Functional):
    r"""The constraint that an image fits the data up to a given noise level.

    0 where ‖z − y‖ ≤ radius, else ∞: the discrepancy-constrained data term.

    Values allow for rounding: ‖z − y‖ may exceed the radius by 1e-12, or 4 eps of the dtype of data or z where that is
    more (5e-7 in float32), times radius + ‖y‖.

    prox: y + (z − y)·min(1, r/‖z − y‖).  Conjugate r‖q‖ + ⟨q, y⟩; its prox: max(1 − σ r/‖t‖, 0)·t, t = q − σ y.

    Parameters
    ----------
    y : the data, a real array.
    radius : ≥ 0; for noise of standard deviation s in m measurements about s√m.  Noise that differs by measurement:
        ``L2Ball(y / s, √m) @ Diagonal(1 / s) @ A`` with the array s.

    Raises
    ------
    TypeError, ValueError
        Data that are complex, empty, NaN or infinite; a negative radius.
    """

    y: Any
    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", check.data("L2Ball", "y", self.y))
        object.__setattr__(self, "radius", check.number("L2Ball", "radius", self.radius, low=0.0))

    def _y(self, z: Array) -> Array:
        self.fits(tuple(z.shape))
        return same_place("L2Ball", "y", self.y, z)

    def __call__(self, z: Array) -> float:
        # rounding of a point on the sphere is allowed, nothing more: that of the data's dtype, as Problem evaluates
        # images in float64, or of z's own
        eps = max(float(namespace(a).finfo(a.dtype).eps) for a in (self.y, z))
        z = double(z)
        rounding = max(4 * eps, 1e-12) * (self.radius + norm(self._y(z)))
        return 0.0 if norm(z - self._y(z)) <= self.radius + rounding else math.inf

    def violation(self, z: Array) -> float:
        """(‖z − y‖ − radius)/radius, 0 inside; over ‖y‖ where the radius is 0."""
        z = double(z)
        y = self._y(z)
        return max(norm(z - y) - self.radius, 0.0) / (self.radius or norm(y) or 1.0)

    def beyond(self, lo: Any, hi: Any, shape: Shape) -> float:
        """That of the point of the box nearest to y."""
        return self.violation(Quadratic(lo=lo, hi=hi).clip(double(self.y)))

    def misfit(self, z: Array) -> float:
        """‖z − y‖/‖y‖."""
        z = double(z)
        y = self._y(z)
        return norm(z - y) / (norm(y) or 1.0)

    def prox(self, z: Array, step: Any) -> Array:
        d = z - self._y(z)
        length = norm(d)
        return z if length <= self.radius else self._y(z) + (self.radius / length) * d

    def prox_conj(self, q: Array, step: float) -> Array:
        t = q - step * self._y(q)
        length = norm(t)
        return max(1 - step * self.radius / length, 0.0) * t if length > 0 else t

    def conj(self, q: Array) -> float:
        q = double(q)
        return self.radius * norm(q) + dot(q, self._y(q))

    def feasible(self, q: Array) -> Array:
        return q

    def fits(self, shape: Shape) -> None:
        check.same_shape("L2Ball", "y", self.y, shape)

    def data(self) -> Array | None:
        return self.y

    def scale(self, lam: float) -> Functional:
        return self  # a constraint has no weight

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls([[1.0, -2.0, 0.5], [2.0, 7.0, 0.1]], 1.5), (2, 3)

    def __repr__(self) -> str:
        return f"L2Ball({tuple(self.y.shape)} data, radius={self.radius:g})"


@dataclass(frozen=True, eq=False, repr=False)
class Box(Functional):
    r"""The constraint that every value lies between two bounds.

    0 where lo ≤ z ≤ hi entrywise, else ∞.  prox: clip.  Conjugate: Σ max(lo q, hi q).

    Parameters
    ----------
    lo, hi : numbers (∓∞ allowed) or arrays of the shape of z, lo ≤ hi.

    Raises
    ------
    TypeError, ValueError
        Bounds that are NaN or complex, lo above hi anywhere, arrays of another shape.
    """

    lo: Any = 0.0
    hi: Any = 1.0
    separable = True

    def __post_init__(self) -> None:
        lo, hi = _bound("lo", self.lo), _bound("hi", self.hi)
        if is_array(lo) and is_array(hi):
            check.same_shape("Box", "hi", hi, tuple(lo.shape))
            hi = same_place("Box", "hi", hi, lo)
        above = lo > hi
        if bool(namespace(above).any(above)) if is_array(above) else above:
            raise ValueError(f"Box: lo must not exceed hi, got lo={check.describe(lo)}, hi={check.describe(hi)}")
        for name, value, empty in (("lo", lo, math.inf), ("hi", hi, -math.inf)):
            if bool(namespace(value).any(value == empty)) if is_array(value) else value == empty:
                raise ValueError(f"Box: {name} must not be {empty}: no number would be left")
        object.__setattr__(self, "lo", lo)
        object.__setattr__(self, "hi", hi)

    def form(self) -> Quadratic:
        return Quadratic(lo=self.lo, hi=self.hi)

    def _beside(self, z: Array) -> Quadratic:
        same_place("Box", "z", z, z)
        return Quadratic(lo=self.lo, hi=self.hi).beside("Box", z)

    def __call__(self, z: Array) -> float:
        if not is_array(self.lo) and not is_array(self.hi):
            xp = namespace(z)
            return 0.0 if float(xp.min(z)) >= self.lo and float(xp.max(z)) <= self.hi else math.inf
        lo, hi = self._beside(double(z)).bounds(double(z))
        return 0.0 if bool(namespace(z).all((double(z) >= lo) & (double(z) <= hi))) else math.inf

    def violation(self, z: Array) -> float:
        """The distance to the box over the norm of the nearest point in it."""
        return far(self, z)

    def prox(self, z: Array, step: Any) -> Array:
        return self._beside(z).clip(z)

    def conj(self, q: Array) -> float:
        return self._beside(double(q)).conj_box(q)

    def feasible(self, q: Array) -> Array:
        xp = namespace(q)
        lo, hi = self._beside(q).bounds(q)
        q = xp.where((q < 0) & (lo == -math.inf), 0 * q, q)
        return xp.where((q > 0) & (hi == math.inf), 0 * q, q)

    def fits(self, shape: Shape) -> None:
        for name, value in (("lo", self.lo), ("hi", self.hi)):
            if is_array(value):
                check.same_shape("Box", name, value, shape)

    def scale(self, lam: float) -> Functional:
        return self

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(-0.5, 2.0), (2, 3)
        yield cls([-1.0, 0.0, 0.5], [0.0, 2.0, 0.5]), (3,)
        yield NonNegative(), (4,)

    def __repr__(self) -> str:
        if is_array(self.lo) or is_array(self.hi):
            return "Box(array bounds)"
        return "NonNegative()" if (self.lo, self.hi) == (0.0, math.inf) else f"Box({self.lo:g}, {self.hi:g})"


def far(f: Any, z: Array, size: float = 0.0) -> float:
    """The distance from z to the set of an indicator, over its size or else the norm of the nearest point in it."""
    z = double(z)
    nearest = f.prox(z, 1.0)
    return norm(z - nearest) / (size or norm(nearest) or 1.0)


def NonNegative() -> Box:
    """The constraint that no value is negative.

    0 where z ≥ 0 entrywise, else ∞: Box(0, ∞).
    """
    return Box(0.0, math.inf)


def Known(values: Any, mask: Any) -> Box:
    r"""The constraint that some pixels have given values: inpainting with exact data.

    0 where z = values on the mask, else ∞.  Add Box(lo, hi) to certify a gap.

    Parameters
    ----------
    values : a real array, finite on the mask (what stands elsewhere is not read).
    mask : a boolean array of the same shape, True where z is known, with at least one True.

    Returns
    -------
    Box : a constraint like any other; with further boxes it becomes one.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> image = np.outer(np.ones(5), [0.0, 0.0, np.nan, 1.0, 1.0])
    >>> result = vi.solve(vi.TV(image.shape) + vi.Known(image, np.isfinite(image)) + vi.Box(0, 1))
    >>> round(result.history[-1]["objective"], 2)
    5.0
    """
    values = check.real_array("Known", "values", values, finite=False)
    mask = _mask("Known", mask, tuple(values.shape))
    xp = namespace(values, mask)
    known = xp.where(mask, values, xp.zeros_like(values))
    check.real_array("Known", "values on the mask", known)
    away = xp.full_like(values, math.inf)
    return Box(xp.where(mask, known, -away), xp.where(mask, known, away))


def Support(mask: Any) -> Box:
    r"""The constraint that the object lies within a known region: the image is zero outside.

    0 where z = 0 outside the mask, else ∞.

    Parameters
    ----------
    mask : a boolean array of the shape of z, True inside, with at least one True; it stays on its device.
    """
    mask = _mask("Support", mask, None)
    xp = namespace(mask)
    inside = xp.astype(mask, xp.float64)
    bound = xp.where(mask, xp.full_like(inside, math.inf), xp.zeros_like(inside))
    return Box(-bound, bound)


def _mask(who: str, mask: Any, shape: Shape | None) -> Array:
    import array_api_compat.numpy as host

    mask = check.taken(who, "mask", mask)
    mask = mask if is_array(mask) else host.asarray(mask)
    if not namespace(mask).isdtype(mask.dtype, "bool"):
        raise TypeError(f"{who}: mask must be a boolean array, got {check.describe(mask)}; write e.g. mask > 0")
    if shape is not None:
        check.same_shape(who, "mask", mask, shape)
    if not bool(namespace(mask).any(mask)):
        raise ValueError(f"{who}: mask of shape {tuple(mask.shape)} has no True entry")
    return mask


def _bound(name: str, value: Any) -> Any:
    if is_array(value) or isinstance(value, (list, tuple)):
        value = check.real_array("Box", name, value, finite=False)
        if bool(namespace(value).any(namespace(value).isnan(value))):
            raise ValueError(
                f"Box: {name} has NaN entries; give a number there, or ∞ with its sign where none is meant"
            )
        return value
    if isinstance(value, float) and math.isinf(value):
        return value
    return check.number("Box", name, value)
