"""The unitary discrete Fourier transform of real images, as a real operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, namespace
from varinv.operators.base import LinearOperator


@dataclass(frozen=True, eq=False, repr=False)
class Fourier(LinearOperator):
    r"""The discrete Fourier transform of an image, as real and imaginary part.

    (Re x̂, Im x̂) of the unitary discrete Fourier transform; shape (*n) → (2, *n).

    x̂[k] = N^(−1/2) Σ_j x[j] exp(−2πi Σ_a k_a j_a/n_a) over the chosen axes, N the product of their lengths; frequency 0
    at index 0 (not centred: give masks through ``fftshift``'s inverse).

    The whole spectrum is kept, although half of it says everything about a real image (x̂[−k] is the conjugate of
    x̂[k]): so Kᵀ K = identity without weights (norm 1, an isometry: |Kx| = |x|), masks have the shape of the image, and
    squares of all coefficients count each frequency alike.  K Kᵀ is the projection onto the spectra of real images.
    Adjoint: Kᵀ(a, b) is the real part of the inverse transform of a + ib.

    Magnetic resonance and other sampling of the spectrum: a boolean mask m of the image's shape keeps coefficients by
    ``Subsampling((2, *n), m) @ Fourier(n)``.

    Parameters
    ----------
    shape : image shape.
    axes : axes to transform; None: all.

    Raises
    ------
    TypeError, ValueError
        An axis out of range or named twice.

    Examples
    --------
    >>> import numpy as np
    >>> Fourier((4,))(np.array([1.0, 2.0, 3.0, 4.0]))
    array([[ 5., -1., -1., -1.],
           [ 0.,  1.,  0., -1.]])
    """

    shape: Shape
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check.shape("Fourier", self.domain))
        object.__setattr__(self, "axes", check.axes("Fourier", self.axes, self.domain))

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return (2, *self.domain)

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        spectrum = xp.fft.fftn(_complex(x), axes=self.axes, norm="ortho")
        return xp.astype(xp.stack([xp.real(spectrum), xp.imag(spectrum)]), x.dtype, copy=False)

    def adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        spectrum = _complex(y[0, ...]) + 1j * _complex(y[1, ...])
        return xp.astype(xp.real(xp.fft.ifftn(spectrum, axes=self.axes, norm="ortho")), y.dtype, copy=True)

    def norm(self) -> float:
        return 1.0

    def isometry(self) -> float:
        return 1.0

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((6,))
        yield cls((5, 4))
        yield cls((3, 4, 2), axes=(0, -1))
        yield cls((512, 300))

    def __repr__(self) -> str:
        return (
            f"Fourier({self.domain})"
            if len(self.axes or ()) == len(self.domain)
            else (f"Fourier({self.domain}, axes={self.axes})")
        )


def _complex(x: Array) -> Array:
    xp = namespace(x)
    return xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)
