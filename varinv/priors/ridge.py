"""A learned convex regulariser: filters trained by this package on photographs."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.functionals.base import Term
from varinv.functionals.charbonnier import Charbonnier
from varinv.operators.convolution_bank import ConvolutionBank


@functools.cache
def _trained() -> tuple[Any, float, float, float]:
    """(filters, weight, smoothing, noise) of the file that benchmarks/train_convex_ridge.py writes."""
    path = resources.files("varinv") / "data" / "convex_ridge.npz"
    with resources.as_file(path) as file, host.load(file, allow_pickle=False) as kept:
        taps = host.astype(kept["filters"], host.float64)
        taps = taps - host.mean(taps, axis=(1, 2), keepdims=True)  # what the rounding to float32 left
        return taps, float(kept["weight"]), float(kept["smoothing"]), float(kept["noise"])


def convex_ridge(shape: Any, noise: float, boundary: str = "reflect") -> Term:
    r"""A convex regulariser with filters learned from photographs, ready to use with every solver.

    A Term: smooth, with a prox behind it.

    .. math::
        R_σ(x) = t^2 R(x/t) = t\,w \sum_k \sum_i \sqrt{(c_k ∗ x)_i^2 + (t s)^2},\qquad t = σ/0.1

    The filters c_k (means zero), w and s were learned (Chen, Ranftl & Pock 2014; Goujon et al. 2023 learn potentials
    as well) so that the minimiser of ½‖x − y‖² + R(x) is nearest to photographs in [0, 1] with noise of standard
    deviation 0.1: there, add it with factor 1.  For another noise the image is stretched until its noise is 0.1, and
    back: exact as far as statistics of images do not depend on contrast.  With it units cancel: R_{aσ}(a x) = a² R_σ(x)
    for every a > 0, so that no range of values is asked for.  Behind an operator pass the noise of the data in units of
    the image and choose the factor, as that of total variation.

    The term is ``t w Charbonnier(t s) @ ConvolutionBank(shape, filters)``: ∇R has the Lipschitz constant w/s‖K‖², with
    the bound of the joint symbol, max over frequencies of Σ|ĉ_k|² (exact for "periodic").

    Parameters
    ----------
    shape : image shape; the filters act on its last two axes, the others are a stack.
    noise : σ > 0, the standard deviation of the noise in the units of the image.
    boundary : as in `ConvolutionBank`.

    Raises
    ------
    TypeError, ValueError
        A shape of fewer than two axes, noise that is not positive, an unknown boundary.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> y = np.zeros((8, 8)) + 0.5
    >>> y[3, 4] = 0.8  # noise
    >>> x = vi.solve(vi.L2Squared(y) + convex_ridge(y.shape, noise=0.1)).x
    >>> bool(abs(x - 0.5).max() < 0.1)
    True
    """
    who = "convex_ridge"
    shape = check.shape(who, shape)
    if len(shape) < 2:
        raise ValueError(f"{who}: images must have shape (…, rows, columns), got {shape}")
    taps, weight, smoothing, trained = _trained()
    t = check.number(who, "noise", noise, low=0.0, strict=True) / trained
    return Charbonnier(t * smoothing, t * weight) @ ConvolutionBank(shape, taps, boundary)
