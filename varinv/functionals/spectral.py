"""Nuclear norms: few independent rows in a stack of images, or few in every frequency of a sequence."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, device, double, namespace
from varinv.forms import ROUNDING
from varinv.functionals.base import Functional
from varinv.linalg import dot


class _SingularValues(Functional):
    """w times a sum of singular values; its conjugate bounds the largest one by w."""

    weight: float

    def __post_init__(self) -> None:
        who = type(self).__name__
        object.__setattr__(self, "weight", check.number(who, "weight", self.weight, low=0.0))

    @abstractmethod
    def _to(self, z: Array) -> Array:
        """A matrix or a stack of matrices, real or complex."""

    @abstractmethod
    def _back(self, m: Array, shape: Shape) -> Array:
        """The inverse of `_to`."""

    def _changed(self, z: Array, change: Callable[[Array], Array]) -> Array:
        """z with its singular values replaced."""
        self.fits(tuple(z.shape))
        xp = namespace(z)
        try:
            u, s, vh = xp.linalg.svd(self._to(z), full_matrices=False)
        except Exception:
            if math.isfinite(dot(z, z)):
                raise
            return z * math.nan  # of LAPACK's error, which names nobody
        return self._back((u * xp.expand_dims(change(s), axis=-2)) @ vh, tuple(z.shape))

    def _values(self, z: Array) -> Array:
        self.fits(tuple(z.shape))
        if not math.isfinite(dot(z := double(z), z)):
            return 0 * z + math.nan
        return namespace(z).linalg.svdvals(self._to(z))

    def prox(self, z: Array, step: float) -> Array:
        t = step * self.weight
        return self._changed(z, lambda s: namespace(s).maximum(s - t, 0 * s)) if t else z

    def prox_conj(self, q: Array, step: float) -> Array:
        return self._changed(q, lambda s: namespace(s).minimum(s, self.weight + 0 * s))

    def conj(self, q: Array) -> float:
        return 0.0 if self._largest(q) <= self.weight * (1 + ROUNDING) else math.inf

    def feasible(self, q: Array) -> Array:
        return q if self._largest(q) <= self.weight * (1 + ROUNDING / 2) else self.prox_conj(q, 0.0)

    def _largest(self, q: Array) -> float:
        return float(namespace(q).max(self._values(q)))

    def scale(self, lam: float) -> Functional:
        return dataclasses.replace(self, weight=lam * self.weight)  # type: ignore[type-var]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.weight:g})"


@dataclass(frozen=True, eq=False, repr=False)
class Nuclear(_SingularValues):
    r"""A penalty for matrices of low rank, or for images whose channels have much in common.

    w Σ σ_k, the nuclear norm of a matrix, or of a stack (channels, *n) as the matrix channels × pixels.

    Low where a few images explain all: spectral channels, time frames, images of one scene.
    prox: σ_k ← max(σ_k − t w, 0) (Cai, Candès & Shen 2010).  Conjugate: 0 where the largest σ is ≤ w, else ∞.
    The last bits are those of LAPACK: they may depend on how many threads it uses, unlike all else here.

    Raises
    ------
    TypeError, ValueError
        A weight that is no number or negative; an argument with fewer than two axes.
    """

    weight: float = 1.0

    def __call__(self, z: Array) -> float:
        return self.weight * float(namespace(z).sum(self._values(z)))

    def _to(self, z: Array) -> Array:
        return namespace(z).reshape(z, (z.shape[0], -1))

    def _back(self, m: Array, shape: Shape) -> Array:
        return namespace(m).reshape(m, shape)

    def fits(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(f"Nuclear: a matrix or a stack (channels, *image) is needed, got shape {tuple(shape)}")

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (3, 4)
        yield cls(0.4), (2, 3, 2)
        yield cls(), (4, 1)


@dataclass(frozen=True, eq=False, repr=False)
class TensorNuclear(_SingularValues):
    r"""A penalty for sequences of images of low tensor rank.

    w/m Σ_k ‖Ẑ_k‖_*: the mean nuclear norm of the slices of the Fourier transform along axis 0, of length m.

    For sequences (frames, rows, columns): the tubes of the t-product run along axis 0, its frontal slices are the
    frames (Kilmer & Martin 2011; Lu et al. 2020).  prox: singular values of every Fourier slice shrink by t w.
    Conjugate: 0 where no Fourier slice has a singular value above w, else ∞.

    Raises
    ------
    TypeError, ValueError
        A weight that is no number or negative; an argument without three axes.
    """

    weight: float = 1.0

    def __call__(self, z: Array) -> float:
        xp, m = namespace(z), z.shape[0]
        s = xp.sum(self._values(z), axis=-1)  # of frequencies 0 … m/2; the others are their mirror images
        k = xp.arange(s.shape[0], device=device(s))
        once = (k == 0) | (2 * k == m)
        return self.weight * float(xp.sum(xp.where(once, s, 2 * s))) / int(m)

    def _to(self, z: Array) -> Array:
        return namespace(z).fft.rfft(z, axis=0)

    def _back(self, m: Array, shape: Shape) -> Array:
        return namespace(m).fft.irfft(m, n=shape[0], axis=0)

    def fits(self, shape: Shape) -> None:
        if len(shape) != 3:
            raise ValueError(f"TensorNuclear: a sequence (frames, rows, columns) is needed, got shape {tuple(shape)}")

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (4, 3, 2)
        yield cls(0.4), (3, 2, 3)
        yield cls(), (1, 2, 2)
