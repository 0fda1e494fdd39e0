"""The unitary discrete Fourier transform of real and complex images, as a real operator."""

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

    Complex images are two real ones, x = x₀ + i x₁, in an array of shape (2, *n): with ``complex_images=True`` the
    transform maps (2, *n) → (2, *n), Kᵀ = K⁻¹.

    Parameters
    ----------
    shape : shape n of the image, without its real and imaginary part.
    axes : axes of n to transform; None: all.
    complex_images : the image has a real and an imaginary part, along a first axis of length 2.

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
    complex_images: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check.shape("Fourier", self.shape))
        object.__setattr__(self, "axes", check.axes("Fourier", self.axes, self.shape))
        if not isinstance(self.complex_images, bool):
            raise TypeError(f"Fourier: complex_images must be True or False, got {check.describe(self.complex_images)}")

    @property
    def domain(self) -> Shape:
        return (2, *self.shape) if self.complex_images else self.shape

    @property
    def codomain(self) -> Shape:
        return (2, *self.shape)

    def forward(self, x: Array) -> Array:
        xp = namespace(x)
        image = _complex(x[0, ...], x[1, ...]) if self.complex_images else _complex(x)
        return _parts(xp.fft.fftn(image, axes=self.axes, norm="ortho"), x)

    def adjoint(self, y: Array) -> Array:
        xp = namespace(y)
        image = xp.fft.ifftn(_complex(y[0, ...], y[1, ...]), axes=self.axes, norm="ortho")
        return _parts(image, y) if self.complex_images else xp.astype(xp.real(image), y.dtype, copy=True)

    def norm(self) -> float:
        return 1.0

    def isometry(self) -> float:
        return 1.0

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((6,))
        yield cls((5, 4))
        yield cls((3, 4, 2), axes=(0, -1))
        yield cls((5, 4), complex_images=True)
        yield cls((512, 300))

    def __repr__(self) -> str:
        axes = "" if len(self.axes or ()) == len(self.shape) else f", axes={self.axes}"
        return f"Fourier({self.shape}{axes}{', complex_images=True' if self.complex_images else ''})"


def _complex(x: Array, imaginary: Array | None = None) -> Array:
    xp = namespace(x)
    dtype = xp.complex64 if x.dtype == xp.float32 else xp.complex128
    return xp.astype(x, dtype) if imaginary is None else xp.astype(x, dtype) + 1j * xp.astype(imaginary, dtype)


def _parts(z: Array, like: Array) -> Array:
    xp = namespace(like)
    return xp.astype(xp.stack([xp.real(z), xp.imag(z)]), like.dtype, copy=False)
