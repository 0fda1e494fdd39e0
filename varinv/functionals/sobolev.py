"""Squares in a Sobolev norm, with their exact proximal maps in Fourier or cosine space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, Shape, double, same_place
from varinv.functionals.base import Functional
from varinv.linalg import dot, norm
from varinv.operators.frequencies import filtered
from varinv.operators.sobolev import Sobolev


@dataclass(frozen=True, eq=False, repr=False)
class SobolevSquared(Functional):
    r"""A data term that weighs frequencies differently: least squares behind a Sobolev filter.

    ½‖S(z − y)‖² for a Sobolev filter S: the H^s data term as ``SobolevSquared(b, S) @ A``.

    The same function as ``L2Squared(S(b)) @ S @ A``; there the dual lives behind the filter, here the dual step solves
    the filter exactly, so that wide spans of weights cost no iterations.  With w the squared weights of S and ^ its
    transform, prox: (ẑ + t w ŷ)/(1 + t w).  Conjugate: Σ |q̂|²/(2w) + ⟨q, y⟩; its prox: w (q̂ − σ ŷ)/(w + σ).
    smoothness max w, convexity min w; the mean of w is 1.

    Parameters
    ----------
    y : the data, a real array of the shape of S.
    S : a `Sobolev` operator.
    weight : λ ≥ 0 in front.

    Raises
    ------
    TypeError, ValueError
        Data that are complex, empty, NaN or of another shape; an S that is no Sobolev operator; a negative weight.
    """

    y: Any
    S: Sobolev
    weight: float = 1.0

    def __post_init__(self) -> None:
        who = "SobolevSquared"
        if not isinstance(self.S, Sobolev):
            raise TypeError(f"{who}: S must be a Sobolev operator, got {check.describe(self.S)}")
        object.__setattr__(self, "y", check.real_array(who, "y", self.y))
        object.__setattr__(self, "weight", check.number(who, "weight", self.weight, low=0.0))
        check.same_shape(who, "y", self.y, self.S.domain)

    def _y(self, z: Array) -> Array:
        self.fits(tuple(z.shape))
        return same_place("SobolevSquared", "y", self.y, z)

    def _w(self) -> Array:
        """Squared weights, NumPy float64."""
        return self.weight * self.S.weights**2

    def _filtered(self, z: Array, factor: Array) -> Array:
        return filtered(z, factor, self.S.axes or (), self.S.boundary)

    def __call__(self, z: Array) -> float:
        z = double(z)
        d = self.S.forward(z - self._y(z))
        return 0.5 * self.weight * dot(d, d)

    def prox(self, z: Array, step: float) -> Array:
        y, w = self._y(z), self._w()
        return y + self._filtered(z - y, 1 / (1 + step * w))

    def prox_conj(self, q: Array, step: float) -> Array:
        w = self._w()
        return self._filtered(q - step * self._y(q), w / (w + step))

    def conj(self, q: Array) -> float:
        q = double(q)
        y = self._y(q)
        if self.weight == 0:
            return 0.0 if dot(q, q) == 0 else xnp.inf
        return 0.5 * dot(q, self._filtered(q, 1 / self._w())) + dot(q, y)

    def feasible(self, q: Array) -> Array:
        return q if self.weight > 0 else 0 * q

    def grad(self, z: Array) -> Array:
        return self._filtered(z - self._y(z), self._w())

    def hvp(self, z: Array, p: Array) -> Array:
        return self._filtered(p, self._w())

    @property
    def smoothness(self) -> float:
        return float(xnp.max(self._w())) * (1 + 1e-12)

    @property
    def convexity(self) -> float:
        return float(xnp.min(self._w())) * (1 - 1e-12)

    @property
    def curvature(self) -> float:
        return self.weight  # the mean of the squared weights

    def misfit(self, z: Array) -> float:
        """‖S(z − y)‖/‖S y‖."""
        y = self._y(double(z))
        return norm(self.S.forward(double(z) - y)) / (norm(self.S.forward(y)) or 1.0)

    def fits(self, shape: Shape) -> None:
        check.same_shape("SobolevSquared", "y", self.y, shape)

    def data(self) -> Array | None:
        return self.y

    def scale(self, lam: float) -> Functional:
        return SobolevSquared(self.y, self.S, lam * self.weight)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        y = xnp.reshape(xnp.sin(xnp.arange(12.0)), (3, 4))
        yield cls(y, Sobolev((3, 4), -1.0)), (3, 4)
        yield cls(y, Sobolev((3, 4), 0.5, axes=(-1,), boundary="reflect"), 2.5), (3, 4)

    def __repr__(self) -> str:
        front = "" if self.weight == 1 else f"{self.weight:g} * "
        return f"{front}SobolevSquared({tuple(self.y.shape)} data, s={self.S.s:g})"
