"""Banks of convolutions: each channel a convolution of its own, certified exact periodic norms, Parseval frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.ndimage as ndi
from conftest import dense, rand

import varinv as vi

MODES = {"periodic": "wrap", "reflect": "reflect", "nearest": "nearest", "zero": "constant"}
KERNELS = [rand(np, (3, 5), 1), rand(np, (1, 3), 2), rand(np, (4, 2), 3)]


@pytest.mark.parametrize("boundary", MODES)
def test_channels_and_norm(boundary):
    x = rand(np, (6, 7), 0)
    K = vi.ConvolutionBank(x.shape, KERNELS, boundary)
    y = K(x)
    for i, k in enumerate(KERNELS):
        np.testing.assert_allclose(y[i], ndi.convolve(x, k, mode=MODES[boundary]), atol=1e-13)
    true = np.linalg.norm(dense(K), 2)
    stacked = math.sqrt(sum(np.linalg.norm(dense(vi.Blur(x.shape, k, boundary)), 2) ** 2 for k in KERNELS))
    assert true * (1 - 1e-13) <= K.norm()
    if boundary == "periodic":
        assert K.norm() <= true * (1 + 1e-11)  # exact, and below √Σ‖K_i‖²
        assert K.norm() < 0.99 * stacked
    magnitudes = vi.ConvolutionBank(x.shape, [abs(k) for k in KERNELS], boundary)
    np.testing.assert_allclose(dense(K.absolute()), dense(magnitudes))


def test_norms_without_wrapping():
    """Positive kernels: Collatz–Wielandt within 1 %; symmetric differences, reflected: exact on the doubled grid."""
    for boundary in ("reflect", "nearest", "zero"):
        K = vi.ConvolutionBank((9, 8), [abs(k) for k in KERNELS], boundary)
        true = np.linalg.norm(dense(K), 2)
        assert true * (1 - 1e-13) <= K.norm() <= 1.01 * true
    bank = [np.array([-1.0, 2.0, -1.0]), np.array([0.0, 1.0, 0.0])]
    K = vi.ConvolutionBank((12,), bank, "reflect")
    true = np.linalg.norm(dense(K), 2)
    assert true <= K.norm() <= 1.02 * true  # ξ = π is on the doubled grid, and not an eigenvalue of the 12 pixels
    tiny = vi.ConvolutionBank((5,), [1e-200 * k for k in bank])
    assert tiny.norm() == pytest.approx(1e-200 * vi.ConvolutionBank((5,), bank).norm(), rel=1e-12)
    assert vi.Blur((5,), [1e-200, 0.0]).norm() == pytest.approx(1e-200, rel=1e-11)
    assert vi.ConvolutionBank((5,), [[0.0], [0.0]]).norm() == 0


def test_parseval_frames_and_pseudo_inverse():
    haar = np.array([[1.0, 1.0], [1.0, -1.0]]) / 2  # undecimated Haar: Σ|k̂|² = cos² + sin² = 1
    K = vi.ConvolutionBank((7,), haar)
    assert K.isometry() == pytest.approx(1, rel=1e-12)
    assert K.norm() == pytest.approx(1, rel=1e-11)
    x = rand(np, (7,), 4)
    np.testing.assert_allclose(K.T(K(x)), x, atol=1e-14)
    assert vi.ConvolutionBank((7,), 2 * haar).isometry() == pytest.approx(4, rel=1e-12)
    assert vi.ConvolutionBank((7,), KERNELS[1][0] * np.ones((2, 1))).isometry() is None
    assert vi.ConvolutionBank((7,), haar, "reflect").isometry() is None
    # a bank without the mean: its pseudo-inverse gives x without the mean
    D = vi.ConvolutionBank((6, 5), [[[1.0, -1.0]], [[1.0], [-1.0]]])
    x, y = rand(np, (6, 5), 5), rand(np, (2, 6, 5), 6)
    np.testing.assert_allclose(D.pinv(D(x)), x - x.mean(), atol=1e-13)
    np.testing.assert_allclose(D.pinv(y).ravel(), np.linalg.pinv(dense(D)) @ y.ravel(), atol=1e-12)


def test_kernels_are_copied():
    given = np.ones((2, 3))
    K = vi.ConvolutionBank((5,), given)
    before = K(np.ones(5))
    given[:] = 0
    np.testing.assert_array_equal(K(np.ones(5)), before)


def test_kernels_of_any_library(xp):
    K = vi.ConvolutionBank((4, 5), xp.asarray(np.ones((2, 3, 3))))
    assert K.codomain == (2, 4, 5)


@pytest.mark.parametrize(
    ("kernels", "boundary", "error", "text"),
    [
        (3.0, "zero", TypeError, r"kernels must be an array \(m, \*size\) or a sequence of kernels, got 3.0"),
        (np.ones(3), "zero", TypeError, r"kernels must be .* got an array of shape \(3,\)"),
        ("haar", "zero", TypeError, "got 'haar'"),
        ([], "zero", ValueError, "kernels holds no kernel"),
        ([np.ones(2), np.ones((2, 2))], "zero", ValueError, r"one number of axes, got \[1, 2\]"),
        ([np.ones(2), [np.nan]], "zero", ValueError, r"kernels\[1\]: Blur: kernel has 1 NaN"),
        ([np.ones((1, 1, 1))], "zero", ValueError, r"kernels\[0\]: Blur: the kernel must have 1 to 2 axes"),
        ([np.ones(2)], "mirror", ValueError, "boundary must be one of periodic, reflect, nearest, zero, got 'mirror'"),
    ],
)  # fmt: skip
def test_refuses(kernels, boundary, error, text):
    with pytest.raises(error, match=text):
        vi.ConvolutionBank((4, 5), kernels, boundary)
