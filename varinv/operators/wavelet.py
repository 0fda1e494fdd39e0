"""Periodic wavelet transforms: decimated (orthonormal, or biorthogonal with a proved norm) and stationary (a frame)."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, kernel, namespace
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.continuation import along
from varinv.operators.convolution_bank import ConvolutionBank
from varinv.operators.wavelet_filters import filters, orthonormal, outer, spread, step_norm


@dataclass(frozen=True, eq=False, repr=False)
class Wavelet(LinearOperator):
    r"""The wavelet transform of an image, in which most images have few large coefficients.

    The periodic wavelet transform W of Mallat (1989); shape (*n) → (*n).

    One level along one axis of n entries: a[i] = Σ_j h[j] x[2i + F/2 − j], d likewise with g, both of length n/2 (h, g
    the low- and high-pass filters of length F, indices modulo n; PyWavelets' "periodization"), stored as [a, d].  A
    level does so along each axis in turn; the next one transforms the block of approximations, ``W(x)[:m₁, :m₂, …]``:

        +----+----+-------+
        | a2 | d2 |       |
        +----+----+  d1   |
        | d2 | d2 |       |
        +----+----+-------+
        |   d1    |  d1   |
        +---------+-------+

    Odd lengths: the last entry passes unchanged to the end of a, so that W stays orthonormal (and square) for any
    shape.

    Orthonormal wavelets ("haar", "db2" …, "sym2" …, "coif1" …): Wᵀ W = W Wᵀ = identity and norm 1, to the 11 digits of
    their tables.  Biorthogonal ones ("bior2.2", "rbio4.4" …): norm ≤ the product over levels and axes of the largest
    singular value of the polyphase matrices [[H₀, H₁], [G₀, G₁]](ω) at the frequencies of that length, or 1 where that
    is larger (Vetterli & Kovačević 1995, section 3.2); `pinv` is the reconstruction with the dual filters.

    On NumPy arrays the filtering is PyWavelets'; on others it is a sum over shifts.

    Parameters
    ----------
    shape : image shape.
    wavelet : a discrete wavelet of PyWavelets, by name ("dmey", which does not reconstruct exactly, is refused).
    levels : number of levels; None: as many as keep the filter no longer than the block along the shortest of `axes`,
        at least 1.
    axes : axes to transform; None: all.

    Raises
    ------
    TypeError, ValueError
        An unknown wavelet, levels < 1 or more than halve the longest axis to one entry, axes as in `Gradient`.

    Examples
    --------
    >>> import numpy as np
    >>> W = Wavelet((5,), "haar", levels=1)
    >>> W(np.array([1.0, 1.0, 3.0, 5.0, 2.0])).round(3)
    array([ 1.414,  5.657,  2.   ,  0.   , -1.414])
    """

    shape: Shape
    wavelet: str = "haar"
    levels: int | None = None
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        who = "Wavelet"
        shape = check.shape(who, self.domain)
        axes = check.axes(who, self.axes, shape)
        low = filters(who, self.wavelet)[0]
        sides = [shape[k] for k in axes]
        most = max(1, math.ceil(math.log2(max(sides))))
        if self.levels is None:
            levels = max(1, math.floor(math.log2(min(sides) / (low.shape[0] - 1))))
        else:
            levels = check.integer(who, "levels", self.levels, low=1)
        if levels > most:
            raise ValueError(
                f"{who}: levels must be at most {most} for the axes of lengths {tuple(sides)}, got {levels}"
            )
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "levels", levels)
        set_(self, "axes", axes)

    @property
    def domain(self) -> Shape:
        return self.shape

    codomain = domain

    @functools.cached_property
    def _blocks(self) -> list[Shape]:
        """The shape of the block that each level transforms, from the image on."""
        blocks = [self.domain]
        for _ in range((self.levels or 1) - 1):
            blocks.append(tuple(-(-n // 2) if k in (self.axes or ()) else n for k, n in enumerate(blocks[-1])))
        return blocks

    def forward(self, x: Array) -> Array:
        low, high, _, _ = filters("Wavelet", self.wavelet)
        done: list[Array] = []
        for block in self._blocks:
            if done:
                x = x[tuple(map(slice, block))]
            for axis in self.axes or ():
                x = wavelet_analysis(x, low, high, axis)
            done.append(x)
        for around in reversed(done[:-1]):
            x = _with_corner(around, x)
        return x

    def adjoint(self, y: Array) -> Array:
        low, high, _, _ = filters("Wavelet", self.wavelet)
        return self._back(y, low, high)

    def _back(self, y: Array, low: Array, high: Array) -> Array:
        x: Any = None
        for block in reversed(self._blocks):
            part = y if block == self.domain else y[tuple(map(slice, block))]
            x = part if x is None else _with_corner(part, x)
            for axis in reversed(self.axes or ()):
                x = wavelet_synthesis(x, low, high, axis)
        return x

    def pseudoinverse(self, y: Array, tol: float) -> Array:
        """W⁻¹ y: Wᵀ y, or the synthesis with the dual filters."""
        _, _, low, high = filters("Wavelet", self.wavelet)
        return self._back(y, host.flip(low), host.flip(high))

    @once
    def norm(self) -> float:
        low, high, _, _ = filters("Wavelet", self.wavelet)
        bound = 1.0
        for block in self._blocks:
            bound *= math.prod(step_norm(low, high, block[k]) for k in self.axes or ())
        return bound

    def isometry(self) -> float | None:
        return 1.0 if orthonormal(self.wavelet) else None

    coisometry = isometry

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((8,), "haar")
        yield cls((7,), "db2", levels=2)
        yield cls((6, 9), "db3", levels=3)  # filters longer than the blocks, odd sides
        yield cls((3, 4, 5), "sym4", levels=1, axes=(1, 2))
        yield cls((1, 6), "coif1")
        yield cls((8, 4), "bior2.2", levels=2)
        yield cls((5, 6), "rbio3.1", levels=2)
        yield cls((256, 301), "db4", levels=4)

    def __repr__(self) -> str:
        axes = "" if len(self.axes or ()) == len(self.domain) else f", axes={self.axes}"
        return f"Wavelet({self.domain}, {self.wavelet!r}, levels={self.levels}{axes})"


def StationaryWavelet(
    shape: Shape, wavelet: str = "haar", levels: int = 3, axes: tuple[int, ...] | None = None
) -> LinearOperator:
    r"""A wavelet transform without downsampling: its result shifts with the image.

    The undecimated periodic wavelet transform, shape (*n) → (1 + levels·(2^d − 1), *n), d the number of axes.

    Every band has the size of the image, and a shifted image has shifted coefficients: denoising without blocks.
    Channel 0 is the coarsest approximation, the others are details from coarse to fine.  At level l along an axis:
    circular convolution with the filters spread by 2^l and divided by √2 (Coifman & Donoho 1995), so that for
    orthonormal wavelets Kᵀ K = identity (a Parseval frame, norm 1), for any size of the image.

    It is a `ConvolutionBank`.  For ℓ1 leave the approximation out, ``details = Part(K.codomain, slice(1, None)) @ K``:
    it has the size of the image itself.  White noise of standard deviation σ has σ·2^(−dl/2) in the bands of level l
    (1 the finest); with weights w = λ·2^(−dl/2) on them, ``L1(w) @ details`` is the mean of λ‖details of W x‖₁ over all
    shifts of the orthonormal transform W: cycle spinning as an objective.

    Raises
    ------
    TypeError, ValueError
        As `Wavelet`; levels < 1, kernels of more than 2²⁴ entries.

    Examples
    --------
    >>> StationaryWavelet((30, 31), "db2", levels=2)
    ConvolutionBank((30, 31), 7 kernels, boundary='periodic')
    >>> import numpy as np
    >>> shape, levels = (64, 64), 3
    >>> K = StationaryWavelet(shape, "db2", levels)
    >>> w = np.repeat([2.0**-l for l in range(levels, 0, -1)], 3)  # d = 2: 2^(−l), three bands a level
    >>> weight = 0.2 * w[:, None, None] * np.ones((9, *shape))
    """
    who = "StationaryWavelet"
    shape = check.shape(who, shape)
    chosen = check.axes(who, axes, shape)
    levels = check.integer(who, "levels", levels, low=1)
    low, high = (f / math.sqrt(2) for f in filters(who, wavelet)[:2])
    if ((low.shape[0] - 1) * (2**levels - 1) + 1) ** len(chosen) > 2**24:
        raise ValueError(f"{who}: levels={levels} make kernels of more than 2**24 entries; take fewer levels or axes")
    bands: list[Array] = []
    coarse = host.ones(1)
    for level in range(levels):
        fine = [host.convolve(coarse, spread(f, 2**level)) for f in (low, high)]
        details = [outer(bits, fine, chosen, len(shape)) for bits in itertools.product((0, 1), repeat=len(chosen))]
        bands = details[1:] + bands
        coarse = fine[0]
    return ConvolutionBank(shape, (details[0], *bands))


@kernel
def wavelet_analysis(x: Array, low: Array, high: Array, axis: int) -> Array:
    """One level along one axis: [a, the last entry where the length is odd, d].

    `low`, `high`: filters of one even length F (constants, NumPy); a[i] = Σ_j low[j] x[2i + F/2 − j].
    """
    xp = namespace(x)
    n = x.shape[axis] // 2
    phases = [along(x, axis, p, 2 * n, 2) for p in (0, 1)]
    a, d = 0.0, 0.0
    for j in range(low.shape[0]):
        shift = low.shape[0] // 2 - j
        part = xp.roll(phases[shift % 2], -(shift // 2), axis=axis)
        a, d = a + float(low[j]) * part, d + float(high[j]) * part
    return xp.concat([a, along(x, axis, 2 * n, x.shape[axis]), d], axis=axis)


@kernel
def wavelet_synthesis(y: Array, low: Array, high: Array, axis: int) -> Array:
    """The adjoint of `wavelet_analysis`."""
    xp = namespace(y)
    n, length = y.shape[axis] // 2, y.shape[axis]
    a, d = along(y, axis, 0, n), along(y, axis, length - n, length)
    phases: list[Any] = [0.0, 0.0]
    for j in range(low.shape[0]):
        shift = low.shape[0] // 2 - j
        part = xp.roll(float(low[j]) * a + float(high[j]) * d, shift // 2, axis=axis)
        phases[shift % 2] = phases[shift % 2] + part
    pairs = xp.stack(phases, axis=axis + 1)
    whole = xp.reshape(pairs, (*y.shape[:axis], 2 * n, *y.shape[axis + 1 :]))
    return xp.concat([whole, along(y, axis, n, length - n)], axis=axis)


def _with_corner(x: Array, corner: Array) -> Array:
    """x with its first entries along all axes replaced by `corner`."""
    for axis in reversed(range(x.ndim)):
        if corner.shape[axis] < x.shape[axis]:
            rest = along(x[(*map(slice, corner.shape[:axis]), Ellipsis)], axis, corner.shape[axis], x.shape[axis])
            corner = namespace(x).concat([corner, rest], axis=axis)
    return corner
