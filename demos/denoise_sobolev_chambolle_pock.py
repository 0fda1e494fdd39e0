"""Denoising with a data term that knows the colour of the noise.

    min over x of ½‖S (x − y)‖² + λ TV(x),    S = (I − Δ)^{s/2}: noise of power spectrum ∝ (1 + |ξ|²)^{−s} becomes white

The cameraman with high-frequency noise (white noise behind a Laplacian).  Promised: at its best λ, s = −2 is at least
2.5 dB better than s = 0, plain least squares at its best λ.
"""

import sys
from pathlib import Path

import numpy as np
from skimage.data import camera
from skimage.transform import resize

import varinv as vi

small = "--small" in sys.argv
n, most = (96, 100) if small else (256, 200)
truth = resize(camera() / 255.0, (n, n), anti_aliasing=True)
white = np.random.default_rng(0).standard_normal((n, n))
noise = sum(2 * white - np.roll(white, 1, k) - np.roll(white, -1, k) for k in (0, 1))
y = truth + 0.2 * noise / noise.std()


def best(s):
    """The best of a few λ, by the truth, for every order s alike."""
    images = []
    for lam in (0.03, 0.06, 0.12, 0.25, 0.5):
        problem = vi.SobolevSquared(y, vi.Sobolev((n, n), s)) + lam * vi.TV((n, n))
        images.append(vi.solve(problem, stop=vi.gap(1e-4) | vi.iterations(most)).x)
    return max(images, key=lambda x: vi.psnr(x, truth))


images = {"noisy": y, "TV, s = 0": best(0.0), "TV, s = −1": best(-1.0), "TV, s = −2": best(-2.0)}
for name, x in images.items():
    print(f"{name:<12}{vi.psnr(x, truth):.2f} dB")
print(f"gain        {vi.psnr(images['TV, s = −2'], truth) - vi.psnr(images['TV, s = 0'], truth):.2f} dB")
if not small:
    Path("output").mkdir(exist_ok=True)
    from varinv import plot

    plot.compare({"truth": truth, **images}, "output/denoise_sobolev.png", truth=truth)
