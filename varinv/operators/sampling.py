"""Fewer values than pixels: a mask that keeps some, and downsampling by block means or after a filter."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, device, indices_like, is_array, library, namespace, to_numpy
from varinv.memory import once, remembered
from varinv.operators.base import LinearOperator
from varinv.operators.blur import Blur
from varinv.operators.norms import collatz_wielandt


@dataclass(frozen=True, eq=False, repr=False)
class Subsampling(LinearOperator):
    """Keep only the pixels that a mask names, as in inpainting.

    The values a mask keeps, in C order; shape (*n) → (m,), m the number of True entries.

    The adjoint puts the values back and fills the rest with zeros: K Kᵀ = identity, so the norm is 1.

    Parameters
    ----------
    shape : image shape.
    mask : boolean array of that shape, True where a pixel is kept; its positions follow the image to its device.  With
        fewer axes it speaks of the last ones (one mask for every slice, channel, or real and imaginary part).

    Raises
    ------
    TypeError, ValueError
        A mask that is not boolean, has another shape, or keeps nothing.

    Examples
    --------
    >>> import numpy as np
    >>> K = Subsampling((2, 2), np.array([[True, False], [False, True]]))
    >>> K(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([1., 4.])
    >>> K.T(np.array([1.0, 4.0]))
    array([[1., 0.],
           [0., 4.]])
    """

    shape: Shape
    mask: Array

    def __post_init__(self) -> None:
        shape = check.shape("Subsampling", self.domain)
        given = check.taken("Subsampling", "the mask", self.mask)
        given = given if is_array(given) else host.asarray(given)
        if not namespace(given).isdtype(given.dtype, "bool"):
            raise TypeError(
                f"Subsampling: the mask must be boolean, got dtype {given.dtype}; write mask != 0 or mask > threshold"
            )
        mask = host.asarray(to_numpy(given), copy=True)  # a copy: nobody else can change it
        if 0 < mask.ndim < len(shape) and mask.shape == shape[-mask.ndim :]:
            mask = host.asarray(host.broadcast_to(mask, shape), copy=True)
        check.same_shape("Subsampling", "the mask", mask, shape)
        if not mask.any():
            raise ValueError(f"Subsampling: the mask of shape {shape} keeps no pixel (all False)")
        mask.flags.writeable = False
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "mask", mask)

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return (self._maps("numpy", None)[0].shape[0],)

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        return xp.take(xp.reshape(x, (-1,)), self._maps(library(x), x)[0], axis=0)

    def adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        slot = xp.zeros((1,), dtype=y.dtype, device=device(y))  # where dropped pixels read their zero
        return xp.reshape(xp.take(xp.concat([y, slot]), self._maps(library(y), y)[1], axis=0), self.domain)

    def _maps(self, name: str, x: Array | None) -> tuple[Array, Array]:
        """Positions of the kept pixels, and for every pixel its place among them (m: dropped); remembered."""

        def found() -> tuple[Array, Array]:
            flat = host.reshape(self.mask, (-1,))
            kept = host.nonzero(flat)[0]
            place = host.where(flat, host.cumulative_sum(host.astype(flat, host.int64)) - 1, kept.shape[0])
            return (kept, place) if x is None else (indices_like(kept, x), indices_like(place, x))

        return remembered(self, ("maps", name, "" if name == "numpy" else str(device(x))), found)

    def norm(self) -> float:
        return 1.0

    def absolute(self) -> LinearOperator:
        return self

    def coisometry(self) -> float:
        return 1.0

    def reads(self) -> Array:
        return self.mask

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((5,), [False, True, True, False, True])
        yield cls((3, 4), host.reshape(host.arange(12), (3, 4)) % 5 < 2)
        yield cls((2, 3, 2), host.reshape(host.arange(12), (2, 3, 2)) == 7)
        yield cls((512, 300), host.reshape(host.arange(512 * 300), (512, 300)) % 3 == 0)

    def __repr__(self) -> str:
        return f"Subsampling({self.domain}, {self.codomain[0]} of {math.prod(self.domain)} pixels)"


@dataclass(frozen=True, eq=False, repr=False)
class Downsampling(LinearOperator):
    r"""Reduce the resolution of an image, as in super-resolution: one value per block of pixels.

    Shape (*n) → (*n / factor).

    (Kx)[i] = (k ∗ x)[f i + (f − 1) // 2], the image continued by reflection, with the kernel k

    ========== ==================================================================================================
    "mean"     the block's box: the mean of its pixels, no reflection needed
    "gaussian" σ = (f − 1)/2 pixels along each axis (scikit-image's anti-aliasing), cut at 4σ, of even size where
               f is even so that it is centred on the block, sum 1
    "none"     no filter: the pixel (f − 1) // 2 of each block (the first one for f = 2)
    an array   a kernel with the axes of the image (or its last ones), or, if 1-D, applied along every axis with f > 1
    ========== ==================================================================================================

    Norm: "mean" ∏ f^(−1/2) (K Kᵀ = identity / ∏ f) and "none" 1, exactly; otherwise the lesser of the filter's norm
    (sampling has norm 1) and, for kernels without negative entries, Collatz–Wielandt.

    Parameters
    ----------
    shape : image shape; every side must be a multiple of its factor.
    factor : f, one integer for all axes or one per axis (1: leave that axis alone).
    filter : "mean", "gaussian", "none" or a kernel.

    Raises
    ------
    TypeError, ValueError
        A side that its factor does not divide, an unknown filter, a kernel `Blur` refuses.

    Examples
    --------
    >>> import numpy as np
    >>> Downsampling((2, 4), 2)(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))
    array([[3.5, 5.5]])
    """

    shape: Shape
    factor: Any
    filter: Any = "mean"

    def __post_init__(self) -> None:
        who = "Downsampling"
        shape = check.shape(who, self.domain)
        factor = self.factor if isinstance(self.factor, (tuple, list)) else (self.factor,) * len(shape)
        factor = tuple(check.integer(who, "factor", f, low=1) for f in factor)
        if len(factor) != len(shape):
            raise ValueError(f"{who}: factor must be one integer or {len(shape)} of them, got {len(factor)}")
        if any(n % f for n, f in zip(shape, factor, strict=True)):
            target = tuple(n - n % f for n, f in zip(shape, factor, strict=True))
            raise ValueError(
                f"{who}: the shape {shape} is not divisible by the factor {factor}; "
                f"crop the image, e.g. to {target}, or pad it"
            )
        if isinstance(self.filter, str) and self.filter not in ("mean", "gaussian", "none"):
            raise ValueError(f"{who}: filter must be mean, gaussian, none or a kernel, got {self.filter!r}")
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "factor", factor)
        _ = self._blur  # an unusable kernel is refused here, not at first use

    @property
    def _kind(self) -> str:
        return self.filter if isinstance(self.filter, str) else "kernel"

    @functools.cached_property
    def _blur(self) -> LinearOperator | None:
        if self._kind in ("mean", "none"):
            return None
        if self._kind == "gaussian":
            lines = [_gaussian(f) for f in self.factor]
        else:
            given = host.asarray(to_numpy(check.real_array("Downsampling", "filter", self.filter)))
            if given.ndim != 1:
                return Blur(self.domain, given, "reflect")
            lines = [given if f > 1 else host.ones(1) for f in self.factor]
        result: LinearOperator | None = None
        for axis, line in enumerate(lines):  # separable: one axis after the other
            if line.shape[0] > 1 or line[0] != 1:
                one = Blur(self.domain, host.reshape(line, (-1, *(1,) * (len(lines) - 1 - axis))), "reflect")
                result = one if result is None else one @ result
        return result

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return tuple(n // f for n, f in zip(self.domain, self.factor, strict=True))

    @property
    def _blocks(self) -> tuple[int, ...]:
        """The image with every axis split in (block, pixel in block)."""
        return tuple(m for n, f in zip(self.domain, self.factor, strict=True) for m in (n // f, f))

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        if self._kind == "mean":
            return xp.mean(xp.reshape(x, self._blocks), axis=tuple(range(1, 2 * x.ndim, 2)))
        if self._blur is not None:
            x = self._blur.forward(x)
        return x[tuple(slice((f - 1) // 2, None, f) for f in self.factor)]

    def adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        for axis, f in enumerate(self.factor):
            y = xp.expand_dims(y, axis=2 * axis + 1)
            if f == 1:
                continue
            if self._kind == "mean":
                y = xp.repeat(y / f, f, axis=2 * axis + 1)
                continue
            before, zero = (f - 1) // 2, xp.zeros_like(y)
            y = xp.concat([zero] * before + [y] + [zero] * (f - 1 - before), axis=2 * axis + 1)
        y = xp.reshape(y, self.domain)
        return y if self._blur is None else self._blur.adjoint(y)

    @once
    def norm(self) -> float:
        if self._kind == "mean":
            return (1 + 1e-12) / math.sqrt(math.prod(self.factor))  # above the rounding of the formula itself
        if self._blur is None:
            return 1.0
        bound = self._blur.norm()
        return min(bound, collatz_wielandt(self)) if self.absolute() is self else bound

    def coisometry(self) -> float | None:
        if self._blur is not None:
            return None
        return 1 / math.prod(self.factor) if self._kind == "mean" else 1.0

    def absolute(self) -> LinearOperator | None:
        return self if self._blur is None or self._blur.absolute() is self._blur else None

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        for filter in ("mean", "gaussian", "none", [1.0, 2.0, 5.0], [1.0, -3.0]):
            yield cls((6,), 3, filter)
            yield cls((4, 6), 2, filter)
            yield cls((2, 4, 6), (1, 4, 2), filter)
        yield cls((4, 6), (2, 3), [[1.0, 2.0], [3.0, 5.0], [0.0, 7.0]])
        yield cls((512, 300), 4, "gaussian")

    def __repr__(self) -> str:
        kind = repr(self.filter) if isinstance(self.filter, str) else "a kernel"
        return f"Downsampling({self.domain}, {self.factor}, filter={kind})"


def _gaussian(f: int) -> Array:
    """A Gaussian of σ = (f − 1)/2, its size even where f is even, sum 1."""
    sigma = (f - 1) / 2
    if f == 1:
        return host.ones(1)
    half = math.ceil(4 * sigma)
    t = host.arange(2 * half + 1, dtype=host.float64) - half if f % 2 else host.arange(2.0 * half) - half + 0.5
    weights = host.exp(-((t / sigma) ** 2) / 2)
    return weights / host.sum(weights)
