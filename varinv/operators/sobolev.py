"""Sobolev filters: multiplication by a power of 1 + frequency² in Fourier or cosine space."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, Shape
from varinv.operators.base import LinearOperator
from varinv.operators.frequencies import filtered, frequencies

SPAN = 1e30  # of squared weights: beyond, float32 overflows and no digit of float64 is left


@dataclass(frozen=True, eq=False, repr=False)
class Sobolev(LinearOperator):
    r"""A filter that damps or amplifies high frequencies by a power, to say how rough noise or image are.

    S = (I − scale²Δ)^{s/2} as a filter: each frequency ξ is multiplied by (1 + scale²|ξ|²)^{s/2}/c.

    Shape (*n) → (*n).  ``L2Squared(S(b)) @ S @ A`` is the H^s data term ½‖S(Ax − b)‖²: the likelihood of noise with
    power spectrum ∝ (1 + scale²|ξ|²)^{−s}.  s > 0 trusts high frequencies (noise is smooth), s < 0 distrusts them,
    s = 0 is the identity.  The Radon transform smooths by half an order along the detector: s = ½ there acts as the
    ramp filter inside the data term (``axes=-1``).  ``problem @ S`` preconditions gradients: the image is S z
    (with solvers that need no norm, such as CG: the bound of ‖A S‖ is ‖A‖‖S‖).

    ξ in radians per pixel, up to π along each axis; c makes the mean of the squared weights 1, so that λ keeps its
    meaning.  Symmetric; the norm is the largest weight; the inverse is Sobolev(−s) up to a number, and exact as
    ``S.pinv(y)``.

    Parameters
    ----------
    shape : shape of the image or sinogram.
    s : the order, any real number.
    scale : > 0, in pixels.
    axes : axes to filter along; None: all.  The others are a stack.
    boundary : "periodic" (Fourier), or "reflect" (cosines: the even extension d c b a | a b c d, for photographs).

    Raises
    ------
    TypeError, ValueError
        scale ≤ 0, an s that is not finite or so large that the squared weights span more than 1e30, an axis out of
        range, an unknown boundary.

    Examples
    --------
    >>> import numpy as np
    >>> S = Sobolev((4,), 2.0)
    >>> constant, fastest = np.ones(4), np.array([1.0, -1.0, 1.0, -1.0])
    >>> (S(fastest) / S(constant)).round(2)  # ± (1 + π²)
    array([ 10.87, -10.87,  10.87, -10.87])
    """

    shape: Shape
    s: float
    scale: float = 1.0
    axes: tuple[int, ...] | None = None
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        who, put = "Sobolev", object.__setattr__
        put(self, "shape", check.shape(who, self.domain))
        put(self, "s", check.number(who, "s", self.s))
        put(self, "scale", check.number(who, "scale", self.scale, low=0.0, strict=True))
        put(self, "axes", check.axes(who, self.axes, self.domain))
        if self.boundary not in ("periodic", "reflect"):
            raise ValueError(f"{who}: boundary must be periodic or reflect, got {self.boundary!r}")
        span = self.s * math.log1p(len(self.axes or ()) * (math.pi * self.scale) ** 2)
        if abs(span) > math.log(SPAN):
            most = abs(self.s) * math.log(SPAN) / abs(span)
            raise ValueError(
                f"{who}: s={self.s:g} with scale={self.scale:g} makes the squared weights overflow: they span "
                f"1e{abs(span) / math.log(10):.0f}, at most 1e30 is allowed; take |s| below {most:.3g}"
            )

    @property
    def domain(self) -> Shape:
        return self.shape

    codomain = domain

    @functools.cached_property
    def weights(self) -> Array:
        """The weights of every frequency, NumPy float64, ready to multiply a spectrum of `filtered`."""
        axes = self.axes or ()
        squares: Array = xnp.zeros((1,) * len(self.shape))
        counts: Array = xnp.ones((1,) * len(self.shape))
        for k, xi, count in frequencies(self.shape, axes, self.boundary):
            along = tuple(-1 if j == k else 1 for j in range(len(self.shape)))
            squares = squares + xnp.reshape(xi * xi, along)
            counts = counts * xnp.reshape(count, along)
        exponent = self.s * xnp.log1p(self.scale**2 * squares)
        squared = xnp.exp(exponent - float(xnp.max(exponent)))
        return xnp.sqrt(squared / (float(xnp.sum(squared * counts)) / float(xnp.sum(counts * xnp.ones_like(squared)))))

    def forward(self, x: Array) -> Array:
        return filtered(x, self.weights, self.axes or (), self.boundary)

    adjoint = forward

    def shift_invariant(self) -> bool:
        return self.boundary == "periodic"

    def pseudoinverse(self, y: Array, tol: float) -> Array:
        """S⁻¹ y, exactly."""
        return filtered(y, 1 / self.weights, self.axes or (), self.boundary)

    def norm(self) -> float:
        return float(xnp.max(self.weights)) * (1 + 1e-12)  # the rounding of the transforms

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        for boundary in ("periodic", "reflect"):
            yield cls((7,), 1.0, boundary=boundary)
            yield cls((4, 5), -0.5, scale=2.0, boundary=boundary)
            yield cls((3, 6), 0.5, axes=(-1,), boundary=boundary)
            yield cls((2, 3, 4), -2.0, boundary=boundary)
            yield cls((256, 180), 1.0, boundary=boundary)

    def __repr__(self) -> str:
        extra = f", axes={self.axes}" if len(self.axes or ()) < len(self.shape) else ""
        return f"Sobolev({self.shape}, s={self.s:g}, scale={self.scale:g}{extra}, {self.boundary})"
