"""Convolution with a point spread function, four boundaries, each with its exact adjoint."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, kernel, like, namespace, place, to_numpy
from varinv.memory import once, remembered
from varinv.operators.base import LinearOperator
from varinv.operators.continuation import continued, folded, zeros_around
from varinv.operators.norms import collatz_wielandt

BOUNDARIES = ("periodic", "reflect", "nearest", "zero")
DIRECT = 225  # kernel entries up to which the sum over shifts is used; above, FFTs are faster (measured at 512²)


@dataclass(frozen=True, eq=False, repr=False)
class Blur(LinearOperator):
    r"""Blur an image: convolution with a kernel (point spread function).

    Shape (*n) → (*n).

    (Kx)[i] = Σ_j k[j] x̃[i + c − j], centre c = size // 2 along each axis, x̃ the image continued by

    ========== ============================
    periodic   a b c d | a b c d | a b c d
    reflect    d c b a | a b c d | d c b a
    nearest    a a a a | a b c d | d d d d
    zero       0 0 0 0 | a b c d | 0 0 0 0
    ========== ============================

    The kernel is flipped, as in every convolution: a single bright pixel becomes the picture of the kernel.  It has any
    shape and sign, odd or even sizes, and may be larger than the image.  With fewer axes than the image it acts on the
    last ones (one PSF for every slice or channel).  Kernels of more than 225 entries go through FFTs.

    Adjoint: correlation with the kernel over the continued grid, then each continued pixel is added back to the pixel
    it was read from; for periodic and zero that is convolution with the flipped kernel.  (Elsewhere, convolving
    the continued image with the flipped kernel, the usual shortcut, is not the adjoint.)

    Norm: max |k̂| on the image's grid for periodic (the operator is diagonal there: exact).  Otherwise the least of
    Collatz–Wielandt on |k|; for zero, max |k̂| on a grid of n + size − 1 (the operator is a block of that circular
    convolution); for reflect, √2^a max |k̂| on a grid of 2n, a the number of axes along which the kernel is not
    symmetric about its centre (the continued image is 2n-periodic with 2 copies per axis, and so is its convolution
    where the kernel is symmetric).

    Parameters
    ----------
    shape : image shape.
    kernel : real array of 1 to len(shape) axes, a constant: moved to the library, device and dtype of the image.
    boundary : "periodic", "reflect", "nearest" or "zero".

    Raises
    ------
    TypeError, ValueError
        A kernel that is empty, complex, not finite or has more axes than the image; an unknown boundary.

    Examples
    --------
    >>> import numpy as np
    >>> Blur((5,), [1.0, 2.0, 3.0], boundary="zero")(np.array([0.0, 0.0, 1.0, 0.0, 0.0]))
    array([0., 1., 2., 3., 0.])
    """

    shape: Shape
    kernel: Array
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        shape = check.shape("Blur", self.domain)
        given = check.real_array("Blur", "kernel", self.kernel)
        psf = host.astype(host.asarray(to_numpy(given)), host.float64)  # a copy: nobody else can change it
        psf.flags.writeable = False
        if not 1 <= psf.ndim <= len(shape):
            raise ValueError(
                f"Blur: the kernel must have 1 to {len(shape)} axes for an image of shape {shape}, "
                f"got shape {tuple(psf.shape)}"
            )
        if self.boundary not in BOUNDARIES:
            raise ValueError(f"Blur: boundary must be one of {', '.join(BOUNDARIES)}, got {self.boundary!r}")
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "kernel", psf)

    @property
    def domain(self) -> Shape:
        return self.shape

    codomain = domain

    @property
    def _sides(self) -> list[tuple[int, int, int, int]]:
        """(axis, length, entries before, entries after) of the continuation, per axis of the kernel."""
        axes = range(len(self.domain) - self.kernel.ndim, len(self.domain))
        pairs = zip(axes, self.kernel.shape, strict=True)
        return [(a, self.domain[a], s - 1 - s // 2, s // 2) for a, s in pairs]

    @property
    def _circular(self) -> bool:
        return self.boundary == "periodic" and math.prod(self.kernel.shape) > DIRECT

    def forward(self, x: Array) -> Array:
        if self._circular:
            return filtered(x, self._transfer(x), self.kernel.ndim)
        for axis, n, before, after in self._sides:
            x = continued(x, axis, n, before, after, self.boundary)
        return _valid(x, self.kernel)

    def adjoint(self, y: Array) -> Array:
        if self._circular:
            return filtered(y, namespace(y).conj(self._transfer(y)), self.kernel.ndim)
        if self.boundary in ("periodic", "zero"):  # continued alike, with the sides exchanged
            for axis, n, before, after in self._sides:
                y = continued(y, axis, n, after, before, self.boundary)
            return _valid(y, host.flip(self.kernel))
        for axis, _, before, after in self._sides:
            y = zeros_around(y, axis, before + after, before + after)
        y = _valid(y, host.flip(self.kernel))
        for axis, n, before, after in self._sides:
            y = folded(y, axis, n, before, after, self.boundary)
        return y

    def shift_invariant(self) -> bool:
        return self.boundary == "periodic"

    def pseudoinverse(self, y: Array, tol: float) -> Array | None:
        """Division by k̂ (periodic only); frequencies with |k̂| ≤ tol · max|k̂| count as zeros: they become 0."""
        if self.boundary != "periodic":
            return None
        xp = namespace(y)
        k = self._transfer(y)
        lost = abs(k) <= tol * xp.max(abs(k))
        inverse = xp.where(lost, xp.zeros_like(k), 1 / xp.where(lost, xp.ones_like(k), k))
        return filtered(y, inverse, self.kernel.ndim)

    def _transfer(self, x: Array) -> Array:
        """k̂ on the grid of the image, in the place and precision of `x`; remembered."""

        def found() -> Array:
            grid = self.domain[-self.kernel.ndim :]
            axes = tuple(range(-self.kernel.ndim, 0))
            return namespace(x).fft.rfftn(like(wrapped(self.kernel, grid), x), axes=axes)

        return remembered(self, ("transfer", place(x)), found)

    @once
    def norm(self) -> float:
        if self.boundary == "periodic":
            return peak([self.kernel], self.domain[-self.kernel.ndim :])
        one = Blur(self.domain[-self.kernel.ndim :], abs(self.kernel), self.boundary)  # one slice says it all
        bounds = [collatz_wielandt(one, floor=1e-8)]
        if self.boundary == "zero":
            grid = tuple(n + s - 1 for n, s in zip(one.domain, self.kernel.shape, strict=True))
            bounds.append(peak([self.kernel], grid))
        if self.boundary == "reflect":
            bounds.append(2 ** (uneven([self.kernel]) / 2) * peak([self.kernel], tuple(2 * n for n in one.domain)))
        return min(bounds)

    def absolute(self) -> LinearOperator:
        return Blur(self.domain, abs(self.kernel), self.boundary) if (self.kernel < 0).any() else self

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        corner = host.reshape(host.arange(12, dtype=host.float64), (3, 4)) ** 2 / 100
        for boundary in BOUNDARIES:
            yield cls((7,), [1.0, 2.0, 4.0], boundary)
            yield cls((5, 8), corner, boundary)  # asymmetric, one even side
            yield cls((5, 8), [[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]], boundary)
            yield cls((3, 2), host.reshape(host.arange(35, dtype=host.float64), (5, 7)), boundary)  # larger
            yield cls((2, 5, 6), corner, boundary)  # one kernel for every slice
            yield cls((4, 3, 5), host.reshape(host.arange(18, dtype=host.float64), (3, 2, 3)) - 4, boundary)
            yield cls((9, 12), host.reshape(host.arange(240, dtype=host.float64), (15, 16)), boundary)  # by FFT
            yield cls((12, 9), host.arange(1.0, 10.0)[:, None] * host.arange(-3.0, 3.0), boundary)  # of rank 1
            yield cls((512, 300), corner, boundary)

    def __repr__(self) -> str:
        return f"Blur({self.domain}, kernel of shape {tuple(self.kernel.shape)}, boundary={self.boundary!r})"


# ------------------------------------------------------------------------------------------------------- convolution


def _valid(x: Array, psf: Array) -> Array:
    """Σ_j k[j] x[i + size − 1 − j] where the whole kernel lies inside x; along the last axes."""
    if math.prod(psf.shape) <= DIRECT:
        return convolve(x, psf)
    d, lengths = psf.ndim, x.shape[x.ndim - psf.ndim :]
    for axis in range(x.ndim - d, x.ndim):  # zeros up to a length FFTs like
        x = zeros_around(x, axis, 0, _smooth(x.shape[axis]) - x.shape[axis])
    transfer = namespace(x).fft.rfftn(like(wrapped(psf, x.shape[-d:], centre=False), x), axes=tuple(range(-d, 0)))
    full = filtered(x, transfer, d)
    return full[(Ellipsis, *(slice(s - 1, n) for s, n in zip(psf.shape, lengths, strict=True)))]


def _smooth(n: int) -> int:
    """The least number from n on with no prime factor above 5."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


@kernel
def convolve(x: Array, psf: Array) -> Array:
    """The part of the convolution that needs no continuation, as a sum over shifts along the last axes.

    `psf` is a constant (NumPy, float64); the result has the shape of x less size − 1 along each axis of `psf`.
    """
    starts = [range(s) for s in psf.shape]
    lengths = [n - s + 1 for n, s in zip(x.shape[x.ndim - psf.ndim :], psf.shape, strict=True)]
    total = None
    for j in itertools.product(*starts):
        value = float(psf[j])
        if value or total is None:
            first = [s - 1 - a for s, a in zip(psf.shape, j, strict=True)]
            part = x[(Ellipsis, *(slice(a, a + m) for a, m in zip(first, lengths, strict=True)))]
            total = value * part if total is None else total + value * part
    return total


def filtered(x: Array, transfer: Array, d: int) -> Array:
    """Circular convolution along the last d axes, given k̂."""
    xp = namespace(x)
    axes = tuple(range(-d, 0))
    y = xp.fft.irfftn(xp.fft.rfftn(x, axes=axes) * transfer, s=x.shape[-d:], axes=axes)
    return y if y.dtype == x.dtype else xp.astype(y, x.dtype)


def wrapped(psf: Array, grid: Shape, centre: bool = True) -> Array:
    """The kernel on a periodic grid, its centre (or its first entry) at index 0; entries that meet are added."""
    for axis, n in enumerate(grid):
        s = psf.shape[axis]
        first = -(s // 2) % n if centre else 0
        length = -(-(first + s) // n) * n
        psf = zeros_around(psf, axis, first, length - first - s)
        psf = host.sum(host.reshape(psf, (*psf.shape[:axis], length // n, n, *psf.shape[axis + 1 :])), axis=axis)
    return psf


def energy(kernels: Sequence[Array], grid: Shape) -> Array:
    """Σ_i |k̂_i|² over the frequencies of a real transform on a periodic grid, in NumPy."""
    return host.sum(host.stack([abs(host.fft.rfftn(wrapped(k, grid))) ** 2 for k in kernels]), axis=0)


def peak(kernels: Sequence[Array], grid: Shape) -> float:
    """max √(Σ_i |k̂_i|²) over a grid, raised by more than its rounding."""
    size = max(float(host.max(abs(k))) for k in kernels)  # squares of tiny and huge entries stay in range
    if size == 0:
        return 0.0
    return size * math.sqrt(float(host.max(energy([k / size for k in kernels], grid)))) * (1 + 1e-12)


def uneven(kernels: Sequence[Array]) -> int:
    """The number of axes along which some kernel is not symmetric about its centre."""
    axes = range(kernels[0].ndim)
    return sum(not all(k.shape[a] % 2 and host.all(k == host.flip(k, axis=a)) for k in kernels) for a in axes)
