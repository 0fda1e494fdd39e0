"""The smoothed ℓq quasi-norm, q in (0, 2]."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, double, is_array, namespace
from varinv.forms import beside
from varinv.functionals.base import Functional


@dataclass(frozen=True, eq=False, repr=False)
class SmoothedLq(Functional):
    r"""A smooth approximation of a power of the absolute values, for sparsity in solvers that need a gradient.

    Σ (w/q) (z² + s²)^{q/2}: Buccini & Donatelli's smoothing of (w/q)‖z‖_q^q; q = 1 is Charbonnier, q = 2 squares.

    Gradient w z (z² + s²)^{q/2−1}.  smoothness w s^{q−2}.  Convex for q ≥ 1; for q < 1 the least second derivative is
    −2 w s^{q−2} ((1 − q)/(4 − q))^{2−q/2}, at z² = 3s²/(1 − q).

    Parameters
    ----------
    q : the exponent, 0 < q ≤ 2.
    smoothing : s > 0, in units of z; well below the magnitudes of Lx that shall stay.
    weight : a number or an array of the shape of z, ≥ 0.

    Raises
    ------
    TypeError, ValueError
        q or s out of range; weights as in L1.

    Examples
    --------
    >>> import numpy as np
    >>> SmoothedLq(1.0, 3.0)(np.array([4.0, 0.0]))
    8.0
    """

    q: float
    smoothing: float
    weight: Any = 1.0
    separable = True

    def __post_init__(self) -> None:
        who = "SmoothedLq"
        object.__setattr__(self, "q", check.number(who, "q", self.q, low=0.0, high=2.0, strict=True))
        object.__setattr__(self, "smoothing", check.number(who, "smoothing", self.smoothing, low=0.0, strict=True))
        object.__setattr__(self, "weight", check.weight(who, self.weight))

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.q >= 1

    def _weight(self, z: Array) -> Any:
        return beside("SmoothedLq", "weight", self.weight, z, z.shape)

    def __call__(self, z: Array) -> float:
        z = double(z)
        w = self._weight(z)
        return float(namespace(z).sum(w / self.q * (z * z + self.smoothing**2) ** (self.q / 2)))

    def quadratic_weight(self, z: Array) -> Array:
        """ω(z) = ∇f(z)/z: f(u) ≤ f(z) + ½⟨ω(z), u² − z²⟩ for all u."""
        result: Array = self._weight(z) * (z * z + self.smoothing**2) ** (self.q / 2 - 1)
        return result

    def grad(self, z: Array) -> Array:
        return self.quadratic_weight(z) * z

    def hvp(self, z: Array, p: Array) -> Array:
        squared = z * z + self.smoothing**2
        return self.quadratic_weight(z) * (1 + (self.q - 2) * (z * z / squared)) * p

    @functools.cached_property
    def smoothness(self) -> float:
        w = self.weight
        return (float(namespace(w).max(w)) if is_array(w) else float(w)) * math.pow(self.smoothing, self.q - 2)

    @functools.cached_property
    def convexity(self) -> float:
        if self.q < 1:
            return -2 * self.smoothness * math.pow((1 - self.q) / (4 - self.q), 2 - self.q / 2)
        w = self.weight
        return 0.0 if self.q < 2 else float(namespace(w).min(w)) if is_array(w) else float(w)

    def fits(self, shape: Shape) -> None:
        if is_array(self.weight):
            check.same_shape("SmoothedLq", "weight", self.weight, shape)

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(0.5, 0.3), (2, 3)
        yield cls(1.0, 0.7, [0.5, 0.0, 2.0]), (3,)
        yield cls(1.6, 0.4), (3,)
        yield cls(2.0, 1.0, 0.7), (3,)

    def __repr__(self) -> str:
        weight = f"{tuple(self.weight.shape)} weights" if is_array(self.weight) else f"{self.weight:g}"
        return f"SmoothedLq(q={self.q:g}, s={self.smoothing:g}, {weight})"
