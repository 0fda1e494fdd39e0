"""Blur, Subsampling and Downsampling against oracles that share no code with them."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import dense, rand
from scipy import ndimage

from varinv.backend import namespace
from varinv.operators import blur, blur_cpu
from varinv.operators.blur import BOUNDARIES, Blur
from varinv.operators.sampling import Downsampling, Subsampling

MODES = {"periodic": "wrap", "reflect": "reflect", "nearest": "nearest", "zero": "constant"}
KERNELS = [(3, 3), (4, 4), (2, 5), (1, 6), (7, 2), (5, 9), (11, 13), (16, 17), (40, 3)]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("size", KERNELS, ids=str)
def test_forward_is_scipy(size, boundary):
    """scipy.ndimage.convolve has the same centre, size // 2, for odd and even kernels: no origin is needed."""
    x, k = rand(np, (14, 11), 0), rand(np, size, 1)
    expected = ndimage.convolve(x, k, mode=MODES[boundary])
    # sums of up to 300 rounded products, or FFTs: thirteen digits
    np.testing.assert_allclose(Blur(x.shape, k, boundary)(x), expected, rtol=0, atol=1e-13 * np.abs(k).sum() * 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_kernels_of_low_rank_are_convolved_like_others(rank, dtype):
    """The CPU twin goes by rows and columns where 2·rank·(9 + 8) ≤ 72: up to rank 2; signed, uneven, a stack."""
    x = rand(np, (2, 21, 17), 0, dtype)
    k = sum((np.outer(rand(np, (9,), 2 * r), rand(np, (8,), 2 * r + 1)) for r in range(rank)), np.zeros((9, 8)))
    assert (blur_cpu._factors(k.tobytes(), k.shape) is not None) == (rank in (1, 2))
    got, expected = blur.convolve(x, k), blur.convolve.reference(x.astype(float), k)
    # sums of 72 rounded products, or of 9 · rank and 8 · rank: each rounding at most eps/2 of the sum of magnitudes
    size = blur.convolve.reference(abs(x).astype(float), abs(k)).max()
    assert abs(got - expected).max() <= 72 * np.finfo(dtype).eps * max(size, 1e-300)


def test_small_parts_of_a_kernel_are_not_lost():
    """Rank 1 but for one part in ten million: in float64 that counts, and the sum of 72 products rounds by 72 eps."""
    x, k = rand(np, (21, 17), 0), np.outer(rand(np, (9,), 1), rand(np, (8,), 2))
    k = k + 1e-7 * np.outer(rand(np, (9,), 3), rand(np, (8,), 4))
    got, expected = blur.convolve(x, k), blur.convolve.reference(x, k)
    assert abs(got - expected).max() <= 72 * np.finfo(float).eps * blur.convolve.reference(abs(x), abs(k)).max()


def test_a_kernel_used_in_one_precision_keeps_its_own_in_another():
    K, fresh = (Blur((20, 18), rand(np, (16, 17), 1)) for _ in range(2))  # by FFT: the transform is remembered
    x = rand(np, (20, 18), 0)
    K(x.astype("float32"))
    np.testing.assert_array_equal(K(x), fresh(x))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_an_axis_of_one_pixel(boundary):
    """Everything beyond it is the same pixel, or nothing."""
    K = Blur((1, 4), rand(np, (4, 3), 1), boundary)
    np.testing.assert_allclose(dense(K, adjoint=True), dense(K), rtol=0, atol=1e-14)  # sums of 4 entries


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_one_and_three_dimensions(boundary):
    for shape, size in (((9,), (4,)), ((4, 5, 6), (3, 2, 4))):
        x, k = rand(np, shape, 2), rand(np, size, 3)
        np.testing.assert_allclose(
            Blur(shape, k, boundary)(x), ndimage.convolve(x, k, mode=MODES[boundary]), atol=1e-12
        )


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_asymmetric_kernel_at_the_border(boundary):
    """The case on which convolving with the flipped kernel is 15 % off: energy in the first rows only."""
    k = rand(np, (7, 7), 4, kind="non-negative") * np.arange(7)[:, None]
    x, y = np.zeros((24, 20)), np.zeros((24, 20))
    x[:3], y[:3] = rand(np, (3, 20), 5), rand(np, (3, 20), 6)
    K = Blur(x.shape, k, boundary)
    left, right = np.vdot(K(x), y), np.vdot(x, K.T(y))
    assert abs(left - right) <= 1e-14 * np.linalg.norm(K(x)) * np.linalg.norm(y)  # measured below 1e-16


def test_a_bright_pixel_becomes_the_kernel():
    k = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    x = np.zeros((7, 7))
    x[3, 3] = 1
    np.testing.assert_array_equal(Blur(x.shape, k, "zero")(x)[2:5, 2:5], k)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_sum_and_fft_agree(boundary, monkeypatch):
    x, k = rand(np, (3, 13, 16), 7), rand(np, (5, 8), 8)
    K = Blur(x.shape, k, boundary)
    direct = K(x), K.T(x)
    monkeypatch.setattr(blur, "DIRECT", 0)
    for a, b in zip(direct, (K(x), K.T(x)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(k).sum() * 4)  # rounding of the FFT


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_norms_of_signed_kernels(boundary):
    """Always above the true value; sharp where Fourier says so; unread pixels and large shifts do no harm."""
    for seed in range(20):
        k = rand(np, (1 + seed % 4, 1 + seed % 5), seed)
        K = Blur((6, 7), k, boundary)
        assert K.norm() >= np.linalg.norm(dense(K), 2) * (1 - 1e-13)
    sharpen = np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])
    K = Blur((16, 15), sharpen, boundary)
    ratio = K.norm() / np.linalg.norm(dense(K), 2)
    assert 1 - 1e-13 <= ratio <= (1.02 if boundary in ("zero", "reflect", "periodic") else 1.1)  # grids of 2n, n + 2
    between = np.cos(5 * np.pi / 7 * np.arange(-3, 4))  # passes what a grid of 7 has not, but one of 14
    K = Blur((7,), between, boundary)
    assert K.norm() >= np.linalg.norm(dense(K), 2) * (1 - 1e-13)
    shift = np.zeros((1, 301))
    shift[0, 0] = 1
    assert Blur((2, 20), shift, boundary).norm() >= np.linalg.norm(dense(Blur((2, 20), shift, boundary)), 2) - 1e-12


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_norms_of_tiny_and_huge_kernels(scale):
    """Their squares are beyond float64."""
    k = rand(np, (3, 4), 1)
    assert Blur((6, 7), scale * k).norm() == pytest.approx(scale * Blur((6, 7), k).norm(), rel=1e-13)


def test_blur_refuses():
    for arguments, text in (
        (((4, 5), np.ones((2, 2, 2))), r"1 to 2 axes for an image of shape \(4, 5\), got shape \(2, 2, 2\)"),
        (((4, 5), np.array(1.0)), "1 to 2 axes"),
        (((4, 5), np.ones((0, 2))), r"kernel is empty, shape \(0, 2\)"),
        (((4, 5), [[1.0, np.nan]]), "kernel has 1 NaN or infinite of 2 values"),
        (((4, 5), [1j, 2.0]), "kernel must be a real array, got dtype complex128"),
        (((4, 5), [1.0], "mirror"), "boundary must be one of periodic, reflect, nearest, zero, got 'mirror'"),
        (((4, 0), [1.0]), r"shape\[1\] must be at least 1, got 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            Blur(*arguments)


def test_kernel_is_a_copy():
    k = np.ones((3, 3))
    K = Blur((5, 5), k)
    k[:] = 7
    assert K.kernel.sum() == 9
    with pytest.raises(ValueError, match="read-only"):
        K.kernel[0] = 2


# ------------------------------------------------------------------------------------------------------------- sampling


def test_subsampling_is_boolean_indexing():
    mask = rand(np, (6, 7), 0) > 0.3
    K, x = Subsampling(mask.shape, mask), rand(np, (6, 7), 1)
    np.testing.assert_array_equal(K(x), x[mask])
    back = np.zeros_like(x)
    back[mask] = K(x)
    np.testing.assert_array_equal(K.T(K(x)), back)
    mask[:] = False
    assert K.codomain == K(x).shape


def test_mask_of_any_library(xp):
    x3, one = rand(np, (3, 2, 2), 5), np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(Subsampling((3, 2, 2), one)(x3), x3[:, one].ravel())  # the same for every slice
    K = Subsampling((2, 2), xp.asarray([[True, False], [True, True]]))
    assert K(xp.asarray([[1.0, 2.0], [3.0, 4.0]])).shape == (3,)


def test_subsampling_refuses():
    for shape, mask, text in (
        ((4,), np.array([0, 1, 1, 0]), "mask must be boolean, got dtype int64; write mask != 0"),
        ((2, 3), np.ones((3, 2), bool), r"the mask must have shape \(2, 3\), got \(3, 2\); it looks transposed"),
        ((2, 3), np.zeros((2, 3), bool), r"mask of shape \(2, 3\) keeps no pixel"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            Subsampling(shape, mask)


def test_downsampling_means():
    x = rand(np, (6, 4, 9), 0)
    expected = x.reshape(3, 2, 4, 3, 3).mean(axis=(1, 4))
    np.testing.assert_allclose(Downsampling(x.shape, (2, 1, 3))(x), expected, rtol=0, atol=1e-15)


def test_downsampling_filters():
    x = rand(np, (12, 12), 1)
    for f in (2, 3, 4):
        box = Downsampling(x.shape, f, np.full(f, 1 / f))  # the block mean, written as a filter
        np.testing.assert_allclose(box(x), Downsampling(x.shape, f)(x), rtol=0, atol=1e-14)
        whole = Downsampling(x.shape, f, np.full((f, f), 1 / f**2))
        np.testing.assert_allclose(whole(x), box(x), rtol=0, atol=1e-14)
        np.testing.assert_array_equal(Downsampling(x.shape, f, "none")(x), x[(f - 1) // 2 :: f, (f - 1) // 2 :: f])
        # every filter is centred on its block: an even ramp stays the ramp of the block centres, away from the border
        ramp = np.broadcast_to(np.arange(24.0 * f)[:, None], (24 * f, f))
        got = Downsampling(ramp.shape, f, "gaussian")(ramp)
        centres = np.arange(24) * f + (f - 1) / 2
        np.testing.assert_allclose(got[8:-8, 0], centres[8:-8], rtol=1e-12)


def test_downsampling_refuses():
    for arguments, text in (
        (((6, 9), 2), r"shape \(6, 9\) is not divisible by the factor \(2, 2\); crop the image, e.g. to \(6, 8\)"),
        (((6, 9), (2, 3, 1)), "factor must be one integer or 2 of them, got 3"),
        (((6, 9), 1.5), "factor must be an integer, got 1.5"),
        (((6, 9), 0), "factor must be at least 1, got 0"),
        (((6, 9), 3, "box"), "filter must be mean, gaussian, none or a kernel, got 'box'"),
        (((6, 9), 3, [np.inf]), "filter has 1 NaN or infinite of 1 values"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            Downsampling(*arguments)


def test_factor_one_is_the_identity():
    x = rand(np, (3, 5), 0)
    for filter in ("mean", "gaussian", "none", [1.0, 2.0]):
        K = Downsampling(x.shape, 1, filter)
        np.testing.assert_array_equal(K(x), x)
        assert namespace(K.T(x)) is namespace(x)
