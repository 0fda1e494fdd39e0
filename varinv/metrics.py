"""How close an image is to the truth: PSNR, SSIM, relative error.  Arrays of any library in, Python floats out."""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, double, namespace, to_numpy


def psnr(x: Array, truth: Array, *, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio of an image against the truth, in decibels; higher is better.

    10 log₁₀(L² / mean((x − truth)²)).

    Parameters
    ----------
    x, truth : arrays of one shape.
    data_range : L; None: max(truth) − min(truth).

    Returns
    -------
    float
        ∞ where x equals the truth.

    Raises
    ------
    TypeError, ValueError
        Complex, empty, NaN or infinite input; different shapes; a constant truth without `data_range`.
    """
    a, b = _pair("psnr", x, truth)
    peak = _range("psnr", b, data_range)
    mse = float(namespace(a).mean((a - b) ** 2))
    return 10 * math.log10(peak**2 / mse) if mse > 0 else math.inf


def ssim(x: Array, truth: Array, *, data_range: float | None = None) -> float:
    """Structural similarity of an image and the truth, at most 1; higher is better.

    Mean structural similarity (Wang et al. 2004, Gaussian window of σ = 1.5 pixels), at most 1.

    Computed by scikit-image with the settings of the paper; three-dimensional arrays count as volumes.

    Parameters
    ----------
    x, truth : arrays of one shape, at least 11 pixels along every axis.
    data_range : L of the constants (0.01 L)² and (0.03 L)²; None: max(truth) − min(truth).

    Raises
    ------
    TypeError, ValueError
        As `psnr`, and an image smaller than the window.
    """
    a, b = _pair("ssim", x, truth)
    peak = _range("ssim", b, data_range)
    if min(a.shape) < 11:
        raise ValueError(f"ssim: the window is 11 pixels wide, got images of shape {tuple(a.shape)}")
    from skimage.metrics import structural_similarity

    compare: Any = structural_similarity
    return float(compare(a, b, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False))


def relative_error(x: Array, truth: Array) -> float:
    """Distance of an image from the truth, relative to the size of the truth.

    ‖x − truth‖ / ‖truth‖ in the Euclidean norm.

    Raises
    ------
    TypeError, ValueError
        As `psnr`; a truth that is zero everywhere.
    """
    a, b = _pair("relative_error", x, truth)
    xp = namespace(a)
    size = math.sqrt(float(xp.sum(b * b)))
    if size == 0:
        raise ValueError("relative_error: truth is zero everywhere, so the error is relative to nothing")
    return math.sqrt(float(xp.sum((a - b) ** 2))) / size


def _pair(who: str, x: Array, truth: Array) -> tuple[Array, Array]:
    """Both images as float64 on the host; they may come from different libraries."""
    a, b = check.real_array(who, "x", x), check.real_array(who, "truth", truth)
    check.same_shape(who, "x", a, tuple(b.shape))
    return double(to_numpy(a)), double(to_numpy(b))


def _range(who: str, truth: Array, data_range: float | None) -> float:
    if data_range is not None:
        return check.number(who, "data_range", data_range, low=0, strict=True)
    peak = float(truth.max() - truth.min())
    if peak == 0:
        raise ValueError(f"{who}: truth is constant, so its range is 0; pass data_range")
    return peak
