"""Four learning problems with known optima: what learning rules are tested and compared on.

Each returns (family, pairs, theta0, optimum).  Images of one problem form one pair, a stack: they share every
iteration, and the loss of the pair is ½‖x̂ − x*‖² of the whole stack.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from varinv.learning.families.experts import FieldOfExperts
from varinv.learning.families.quadratic import Quadratic
from varinv.learning.families.tv import TV
from varinv.operators.gradient import Gradient


class Optimum(NamedTuple):
    """The best θ and its loss (½ squared distance, summed over the stack)."""

    theta: Any
    loss: float


def problem_a() -> tuple[TV, list[Any], Any, Optimum]:
    """Ten box signals of 256 samples, noise 0.1, one parameter: the weight of one-dimensional total variation.

    The 1-D problem of Ehrhardt & Roberts (2021): ν = ξ = 1e-3, x_{−1} = 0 (the signals are stored in reverse, so that
    the zero lies beyond their last entry).  They report F(α) = Σ‖x̂ − x*‖² = 1.371594 from log₁₀ α = 0; Newton's method
    gives F = 1.3714888338 at log₁₀ α = −0.314921.  The loss here is F/2, θ = ln α.
    """
    rng = np.random.RandomState(0)
    t = np.linspace(-2, 2, 256)
    truth = []
    for _ in range(10):
        c, r = rng.uniform(-1, 1), rng.uniform(-0.5, -1.0)
        truth.append(((t - c) ** 2 < r**2).astype(float))
    y = [x + 0.1 * rng.randn(256) for x in truth]
    family = TV(Gradient((10, 256), axes=(1,), boundary="dirichlet"), smoothing=1e-3, ridge=1e-3, isotropic=False)
    pair = tuple(np.ascontiguousarray(np.stack(a)[:, ::-1]) for a in (y, truth))
    return family, [pair], np.zeros(1), Optimum(np.array([-0.314921 * math.log(10)]), 1.3714888338 / 2)


def photographs(size: int) -> Any:
    """Six crops of the photographs of scikit-image, grey, of size×size pixels, values in [0, 1]."""
    from skimage import color, data, transform

    camera: Any = data.camera
    astronaut: Any = data.astronaut
    resize: Any = transform.resize

    images: list[Any] = [
        resize(image[r : r + 256, c : c + 256], (size, size), anti_aliasing=True)
        for image in (camera() / 255.0, color.rgb2gray(astronaut()))
        for r, c in ((0, 0), (128, 128), (256, 128))
    ]
    return np.stack(images)


def problem_b() -> tuple[TV, list[Any], Any, Optimum]:
    """Six photographs of 48², noise 0.1, two parameters: weight and smoothing of anisotropic total variation.

    Optimum: weight 0.0544, smoothing 0.0080, mean loss 3.1398 per image; the smoothing is hardly determined.
    """
    x = photographs(48)
    y = x + 0.1 * np.random.default_rng(0).standard_normal(x.shape)
    family = TV(Gradient(x.shape, axes=(1, 2)), isotropic=False)
    best = Optimum(np.array([-2.21818 - math.log(2), -4.83130]), 6 * 3.1397621)
    return family, [(y, x)], np.array([-5.0 - math.log(2), -5.0]), best


def problem_c() -> tuple[FieldOfExperts, list[Any], Any, Optimum]:
    """Six photographs of 32², noise 0.1, a field of six 3×3 experts: 67 parameters; the optimum is not known.

    The start makes things worse than the noisy images (13.7 dB against 20.4 dB).  Lower levels start from the data.
    """
    x = photographs(32)
    rng = np.random.default_rng(0)
    y = x + 0.1 * rng.standard_normal(x.shape)
    taps = rng.standard_normal((6, 3, 3)) / math.sqrt(3)
    taps -= taps.mean(axis=(1, 2), keepdims=True)
    family = FieldOfExperts(x.shape, taps.shape, start_from_data=True)
    theta = family.theta0(taps, weight=math.exp(-2), smoothing=math.exp(-3.5))
    return family, [(y, x)], theta, Optimum(None, math.nan)


def problem_d() -> tuple[Quadratic, list[Any], Any, Optimum]:
    """Four parameters, quadratic throughout, controlled spectra: κ = 4 below, κ = 65 above, optimum in closed form."""
    rng = np.random.default_rng(1)
    spectrum = np.diag(np.logspace(0, math.log10(2), 4))
    A1, A2, A3 = (np.linalg.qr(rng.standard_normal((100, 4)))[0] @ spectrum for _ in range(3))
    x1, x2, truth = (rng.standard_normal(4) for _ in range(3))
    y1, y2 = (rng.standard_normal(100) for _ in range(2))
    b1, b2 = A1 @ x1 + 0.01 * y1, A2 @ x2 + A3 @ truth + 0.01 * y2
    P = np.linalg.solve(A2.T @ A2, A2.T)
    M, d = A1 @ P @ A3, A1 @ P @ b2 - b1
    theta = np.linalg.lstsq(M, d, rcond=None)[0]
    best = Optimum(theta, 0.5 * float(np.sum((d - M @ theta) ** 2)))
    return Quadratic(A2, A3, A1), [(b2, b1)], np.ones(4), best


def small_quadratic() -> Any:
    """A well-conditioned quadratic problem of two parameters, for contract tests."""
    from varinv.learning.losses import supervised
    from varinv.learning.oracle import Bilevel

    B, C = np.array([[1.0, 0.2], [0.0, 1.2], [0.3, 0.0]]), np.array([[1.0, 0.0], [0.4, 1.0], [0.0, 0.5]])
    pairs = [(np.array([1.0, -0.5, 0.3]), np.array([0.2, 0.4])), (np.array([0.2, 0.7, -1.0]), np.array([-0.3, 0.1]))]
    return Bilevel(family=Quadratic(B, C), cases=supervised(pairs, None), theta0=np.zeros(2))
