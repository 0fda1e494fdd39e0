"""The unitary Fourier transform as a real operator, against numpy.fft."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi


@pytest.mark.parametrize(("shape", "axes"), [((7,), None), ((4, 5), None), ((3, 4, 5), (1, 2)), ((2, 6), -1)])
def test_is_numpys_unitary_transform(shape, axes):
    x = rand(np, shape, 0)
    where = axes if axes is None or isinstance(axes, tuple) else (axes,)
    expected = np.fft.fftn(x, axes=where, norm="ortho")
    F = vi.Fourier(shape, axes)
    np.testing.assert_allclose(F(x), np.stack([expected.real, expected.imag]), atol=1e-14)
    assert np.linalg.norm(F(x)) == pytest.approx(np.linalg.norm(x), rel=1e-14)
    np.testing.assert_allclose(F.T(F(x)), x, atol=1e-14)
    y = rand(np, F.codomain, 1)
    np.testing.assert_allclose(F.T(y), np.fft.ifftn(y[0] + 1j * y[1], axes=where, norm="ortho").real, atol=1e-14)


@pytest.mark.parametrize(("shape", "axes"), [((7,), None), ((4, 5), None), ((3, 4, 5), (1, 2))])
def test_complex_images_are_two_channels(shape, axes):
    z = rand(np, shape, 0) + 1j * rand(np, shape, 1)
    F = vi.Fourier(shape, axes, complex_images=True)
    k = np.fft.fftn(z, axes=axes, norm="ortho")
    np.testing.assert_allclose(F(np.stack([z.real, z.imag])), np.stack([k.real, k.imag]), atol=1e-14)
    np.testing.assert_allclose(F.T(np.stack([k.real, k.imag])), np.stack([z.real, z.imag]), atol=1e-14)  # unitary
    assert F.norm() == 1.0
    assert repr(F).endswith("complex_images=True)")
    with pytest.raises(TypeError, match=r"Fourier\(n, complex_images=True\)"):
        F(z)


def test_a_complex_image_from_a_part_of_its_spectrum():
    """Magnetic resonance: known coefficients stay, and the smooth image between is found."""
    n = (12, 10)
    u, v = np.meshgrid(np.arange(12) / 12, np.arange(10) / 10, indexing="ij")
    z = np.exp(2j * np.pi * u) * (1 + 0.5 * np.cos(2 * np.pi * v))
    F = vi.Fourier(n, complex_images=True)
    keep = rand(np, n, 4) > -0.3
    A = vi.Subsampling(F.codomain, np.stack([keep, keep])) @ F
    x = np.stack([z.real, z.imag])
    k = np.fft.fftn(z, norm="ortho") * keep
    expected = np.fft.ifftn(k, norm="ortho")  # of least norm
    np.testing.assert_allclose(A.pinv(A(x)), np.stack([expected.real, expected.imag]), atol=1e-10)


def test_sampling_half_the_spectrum():
    """A mask and its mirror image say the same of a real image; together with the mean they determine it."""
    n = (6, 5)
    half = np.zeros(n, dtype=bool)
    half[:4], half[0, 3:], half[3, 3:] = True, False, False  # one of k and −k
    A = vi.Subsampling((2, *n), half) @ vi.Fourier(n)
    assert np.linalg.matrix_rank(dense(A)) == 30
    x = rand(np, n, 2)
    np.testing.assert_allclose(A.pinv(A(x)), x, atol=1e-8)
    assert A.norm() == 1.0


def test_problems_over_sampled_spectra():
    """Squares on a random half of the coefficients plus a square of the image: closed form in the spectrum."""
    n, x = (6, 5), rand(np, (6, 5), 2)
    mask = rand(np, n, 3) > 0
    A = vi.Subsampling((2, *n), np.stack([mask, mask])) @ vi.Fourier(n)
    y = A(x)
    found = vi.solve(vi.L2Squared(y) @ A + 0.1 * vi.L2Squared(), stop=vi.residual(1e-10) | vi.iterations(5000)).x
    mirrored = mask[-np.arange(6) % 6][:, -np.arange(5) % 5]
    share = (mask.astype(float) + mirrored) / 2  # AᵀA multiplies x̂ by this
    expected = np.fft.ifftn(np.fft.fftn(x) * share / (share + 0.1)).real
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_refuses():
    for axes, text in (
        ((0, 2), r"Fourier: axes must lie in -2..1 for shape \(4, 5\), got \(0, 2\)"),
        ((0, -2), r"Fourier: axes must differ, got \(0, 0\)"),
        (1.5, "Fourier: axes must be an integer, got 1.5"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.Fourier((4, 5), axes)
