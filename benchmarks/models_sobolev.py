"""Total variation denoising and deblurring with an H^s data term (E11).

    python benchmarks/models_sobolev.py [--small]

The cameraman, 256², in [0, 1]; periodic weights of unit scale; best λ of a coarse grid.  Noise: white, std 0.1;
high-frequency (Laplacian of white noise), std 0.2; low-frequency (power 1/(0.01 + |ξ|²)), std 0.1, three draws; and
a Gaussian blur of 1.5 pixels with white noise of 0.02.
"""

import sys

import numpy as np
from skimage.data import camera
from skimage.transform import resize

import varinv as vi


def noise(kind, shape, seed):
    """Noise of a power spectrum, scaled to its standard deviation."""
    white = np.random.default_rng(seed).standard_normal(shape)
    xi = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape), indexing="ij")
    filters = {
        "white": np.ones(shape),
        "high": sum(4 * np.sin(x / 2) ** 2 for x in xi),
        "low": (0.01 + sum(x * x for x in xi)) ** -0.5,
    }
    e = np.fft.ifftn(filters[kind] * np.fft.fftn(white)).real
    return {"white": 0.1, "high": 0.2, "low": 0.1}[kind] * e / e.std()


def denoise(truth, y, s, lams, iterations=150, A=None):
    """Best PSNR over λ of ½‖S(Ax − y)‖² + λ TV."""
    S = vi.Sobolev(truth.shape, s)
    data = vi.SobolevSquared(y, S)
    results = []
    for lam in lams:
        problem = (data if A is None else data @ A) + lam * vi.TV(truth.shape)
        results.append(vi.psnr(vi.solve(problem, stop=vi.iterations(iterations)).x, truth, data_range=1.0))
    return max(results)


def gain(kind, s, lams, truth, draws=1):
    """PSNR(s) − PSNR(0), the mean over draws."""
    found = []
    for seed in range(draws):
        y = truth + noise(kind, truth.shape, seed)
        found.append(denoise(truth, y, s, lams) - denoise(truth, y, 0.0, lams))
    return float(np.mean(found))


def main():
    truth = camera() / 255.0
    size = (96, 96) if "--small" in sys.argv else (256, 256)
    truth = resize(truth, size, anti_aliasing=True)
    lams = np.geomspace(0.02, 0.4, 6)
    rows = [
        ("high, s=-2: gain ≥ 3 (4.2)", gain("high", -2.0, lams, truth), lambda v: v >= 3),
        ("white, s=-.5: |gain| ≤ 1 (0.48)", gain("white", -0.5, lams, truth), lambda v: abs(v) <= 1),
        ("low, s=+1: mean gain of 3 draws ≥ .1 (.69, .33)", gain("low", 1.0, lams, truth, 3), lambda v: v >= 0.1),
    ]
    t = np.arange(13) - 6
    k = np.exp(-(t**2) / (2 * 1.5**2))
    A = vi.Blur(size, np.outer(k, k) / k.sum() ** 2)
    y = A(truth) + 0.2 * noise("white", size, 0)
    found = [denoise(truth, y, s, np.geomspace(3e-4, 1e-2, 5), 300, A) for s in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    rows.append(("deblurring: spread over s ≤ .5 (.29)", max(found) - min(found), lambda v: v <= 0.5))
    for words, value, ok in rows:
        print(f"E11 {words}: {value:.2f} dB {'ok' if ok(value) else 'OUTSIDE'}")


if __name__ == "__main__":
    main()
