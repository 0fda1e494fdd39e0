"""Metrics: known values, any library in, errors that name the argument."""

import math

import numpy as np
import pytest
from conftest import rand
from skimage.metrics import peak_signal_noise_ratio

from varinv.metrics import psnr, relative_error, ssim


def test_psnr_of_a_constant_offset_is_known():
    truth = np.zeros((4, 5))
    truth[1, 1] = 2.0
    # range 2, mean square 0.01: 10 log10(4 / 0.01) = 26.0206 dB; the tolerance is float64 rounding
    assert psnr(truth + 0.1, truth) == pytest.approx(26.020599913279625, rel=1e-12)
    assert psnr(truth + 0.1, truth, data_range=1.0) == pytest.approx(20.0, rel=1e-12)
    assert psnr(truth, truth) == math.inf


def test_relative_error_is_known():
    truth = np.full((3, 3), 2.0)
    assert relative_error(truth * 1.25, truth) == pytest.approx(0.25, rel=1e-14)


def test_all_libraries_agree_and_give_python_floats(xp):
    truth, noise = rand(xp, (16, 20), 1, kind="non-negative"), rand(xp, (16, 20), 2)
    reference = rand(np, (16, 20), 1, kind="non-negative")
    other = reference + 0.1 * rand(np, (16, 20), 2)
    got = psnr(truth + 0.1 * noise, truth)
    assert type(got) is float
    # scikit-image is the independent oracle; both sum 320 numbers in float64
    assert got == pytest.approx(peak_signal_noise_ratio(reference, other, data_range=np.ptp(reference)), rel=1e-12)
    assert type(ssim(truth + 0.1 * noise, truth)) is float
    assert ssim(truth + 0.1 * noise, truth) == pytest.approx(ssim(other, reference), rel=1e-12)
    assert relative_error(truth + 0.1 * noise, truth) == pytest.approx(relative_error(other, reference), rel=1e-12)


def test_ssim_falls_with_noise_and_is_one_for_the_truth():
    truth, noise = rand(np, (32, 32), 3, kind="non-negative"), rand(np, (32, 32), 4)
    values = [ssim(truth + s * noise, truth) for s in (0.0, 0.1, 0.5)]
    assert values[0] == pytest.approx(1.0, abs=1e-12)
    assert values[0] > values[1] > values[2]


def test_ssim_of_a_large_image_reaches_the_formula():
    # constant images a, b: SSIM = (2ab + C1)/(a² + b² + C1), C1 = (0.01 L)² (Wang et al. 2004, equation 13)
    a, b = np.full((12, 12), 0.5), np.full((12, 12), 0.7)
    assert ssim(a, b, data_range=1.0) == pytest.approx((0.7 + 1e-4) / (0.25 + 0.49 + 1e-4), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: psnr(np.ones((3, 4)), np.ones((4, 3))), r"psnr: x must have shape \(4, 3\), got \(3, 4\).*transposed"),
        (lambda: psnr(np.ones((3, 4)), np.ones((3, 4))), "psnr: truth is constant.*data_range"),
        (lambda: psnr(np.ones(3), np.arange(3.0), data_range=0), "psnr: data_range must be greater than 0"),
        (lambda: psnr(np.array([np.nan, 1.0]), np.arange(2.0)), "psnr: x has 1 NaN"),
        (lambda: ssim(np.ones((8, 20)), rand(np, (8, 20), 5)), r"ssim: the window is 11 pixels.*\(8, 20\)"),
        (lambda: relative_error(np.ones(3), np.zeros(3)), "relative_error: truth is zero everywhere"),
        (lambda: relative_error(np.ones(3), np.zeros(0)), "relative_error: truth is empty"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_complex_is_refused():
    with pytest.raises(TypeError, match="psnr: truth must be a real array"):
        psnr(np.ones(3), np.ones(3) * 1j)
