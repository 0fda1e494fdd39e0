"""Several convolutions of one image, stacked: filter banks, frames, learned filters."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, is_array, like, namespace, to_numpy
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.blur import Blur, energy, filtered, peak, uneven
from varinv.operators.norms import collatz_wielandt


@dataclass(frozen=True, eq=False, repr=False)
class ConvolutionBank(LinearOperator):
    r"""Convolve an image with several kernels at once.

    (k_1 ∗ x, …, k_m ∗ x), each as `Blur` does it; shape (*n) → (m, *n).

    With ``L1(weight) @ ConvolutionBank(…)`` it makes analysis priors: fields of experts, frames, learned filters.

    Norm: max over frequencies of √(Σ_i |k̂_i|²) on the image's grid for periodic (exact: the operator is diagonal there
    up to an isometry).  Otherwise the least of √(Σ_i ‖k_i ∗‖²), Collatz–Wielandt on |k|, and that maximum on the grids
    that `Blur` uses for zero and reflect (there times √2^a, a the number of axes along which some kernel is not
    symmetric).

    Parameters
    ----------
    shape : image shape.
    kernels : an array (m, *s), or a sequence of arrays of one number of axes, possibly of different sizes.
    boundary : "periodic", "reflect", "nearest" or "zero".

    Raises
    ------
    TypeError, ValueError
        No kernel, kernels of different numbers of axes, what `Blur` refuses (the message gives the kernel's number).

    Examples
    --------
    >>> import numpy as np
    >>> ConvolutionBank((4,), [[0.5, 0.5], [0.5, -0.5]])(np.array([1.0, 3.0, 0.0, 0.0]))
    array([[ 2. ,  1.5,  0. ,  0.5],
           [ 1. , -1.5,  0. ,  0.5]])
    """

    shape: Shape
    kernels: Any
    boundary: str = "periodic"

    def __post_init__(self) -> None:
        who, shape = "ConvolutionBank", check.shape("ConvolutionBank", self.domain)
        given = check.taken(who, "kernels", self.kernels)
        if is_array(given):
            given = to_numpy(given)
        if not hasattr(given, "__len__") or isinstance(given, str) or (is_array(given) and given.ndim < 2):
            raise TypeError(
                f"{who}: kernels must be an array (m, *size) or a sequence of kernels, got {check.describe(given)}"
            )
        if not len(given):
            raise ValueError(f"{who}: kernels holds no kernel")
        blurs = []
        for i, k in enumerate(given):
            try:
                blurs.append(Blur(shape, k, self.boundary))
            except (TypeError, ValueError) as error:
                raise type(error)(f"{who}: kernels[{i}]: {error}") from None
        if len(axes := {b.kernel.ndim for b in blurs}) > 1:
            raise ValueError(f"{who}: the kernels must have one number of axes, got {sorted(axes)}")
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "kernels", tuple(b.kernel for b in blurs))

    @functools.cached_property
    def _blurs(self) -> list[Blur]:
        return [Blur(self.domain, k, self.boundary) for k in self.kernels]

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return (len(self.kernels), *self.domain)

    def forward(self, x: Array) -> Array:
        return namespace(x).stack([b.forward(x) for b in self._blurs])

    def adjoint(self, y: Array) -> Array:
        return functools.reduce(lambda a, b: a + b, (b.adjoint(y[i, ...]) for i, b in enumerate(self._blurs)))

    def shift_invariant(self) -> bool:
        return self.boundary == "periodic"

    def pseudoinverse(self, y: Array, tol: float) -> Array | None:
        """Kᵀy divided by Σ|k̂_i|² (periodic only); frequencies below tol² of its maximum become 0."""
        if self.boundary != "periodic":
            return None
        e = self._energy
        inverse = host.where(e > tol**2 * host.max(e), 1 / host.where(e > 0, e, 1.0), 0.0)
        return filtered(self.adjoint(y), like(inverse, y), self.kernels[0].ndim)

    @functools.cached_property
    def _energy(self) -> Array:
        return energy(self.kernels, self.domain[-self.kernels[0].ndim :])

    def isometry(self) -> float | None:
        if self.boundary != "periodic":
            return None
        low, high = float(host.min(self._energy)), float(host.max(self._energy))
        return high if 0 < high <= low * (1 + 1e-10) else None  # Parseval frames; their tables have 11 digits

    @once
    def norm(self) -> float:
        grid = self.domain[-self.kernels[0].ndim :]
        if self.boundary == "periodic":
            return peak(self.kernels, grid)
        bounds = [math.sqrt(sum(b.norm() ** 2 for b in self._blurs)) * (1 + 1e-14)]
        bounds.append(collatz_wielandt(ConvolutionBank(grid, tuple(map(abs, self.kernels)), self.boundary), floor=1e-8))
        if self.boundary == "zero":
            longest = (max(s) for s in zip(*(k.shape for k in self.kernels), strict=True))
            bounds.append(peak(self.kernels, tuple(n + s - 1 for n, s in zip(grid, longest, strict=True))))
        if self.boundary == "reflect":
            bounds.append(2 ** (uneven(self.kernels) / 2) * peak(self.kernels, tuple(2 * n for n in grid)))
        return min(bounds)

    def absolute(self) -> LinearOperator:
        negative = any((k < 0).any() for k in self.kernels)
        return ConvolutionBank(self.domain, tuple(map(abs, self.kernels)), self.boundary) if negative else self

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        corner = host.reshape(host.arange(12, dtype=host.float64), (3, 4)) ** 2 / 100
        laplacian = [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
        for boundary in ("periodic", "reflect", "nearest", "zero"):
            yield cls((5, 8), [laplacian, corner], boundary)
            yield cls((7,), [[1.0, 2.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]], boundary)
            yield cls((2, 4, 3), host.stack([host.ones((2, 2)), host.eye(2)]), boundary)
        yield cls((5, 6), [host.ones((16, 17)), corner], "periodic")  # one by FFT
        yield cls((6, 5), [[0.5, 0.5], [0.5, -0.5]])  # a Parseval frame
        yield cls((256, 300), [laplacian, corner])

    def __repr__(self) -> str:
        return f"ConvolutionBank({self.domain}, {len(self.kernels)} kernels, boundary={self.boundary!r})"
