"""The learned convex ridge regulariser against total variation: denoising, deblurring, few-view CT; PSNR in dB.

    python benchmarks/convex_ridge.py [FOLDER of PNG photographs: their middles, noise 0.1, nothing else]

Both with the best factor of a geometric grid, judged by the truth, the best inside it; "as it is": with factor 1.
The crops are none of training: the middle of camera() and astronaut().  Noise as given; one draw each.
"""

import sys
from pathlib import Path

import numpy as np
from skimage.color import rgb2gray
from skimage.data import astronaut, camera
from skimage.io import imread

import varinv as vi
from varinv.phantom import random_ellipses

CROPS = {
    "camera": camera()[150:246, 180:276] / 255,
    "camera, coat": camera()[250:346, 200:296] / 255,
    "astronaut": rgb2gray(astronaut())[100:196, 180:276],
    "astronaut, suit": rgb2gray(astronaut())[300:396, 200:296],
}


def best(run, x, first, ratio):
    """(PSNR, factor) on the grid first·ratioᵏ, extended until the best lies inside."""
    found = {}

    def quality(k):
        if k not in found:
            found[k] = vi.psnr(run(first * ratio**k), x, data_range=1.0)
        return found[k]

    k = max((0, 1), key=quality)
    while (better := max((k - 1, k, k + 1), key=quality)) != k:
        k = better
    return found[k], first * ratio**k


def compare(task, x, data, level, tv_first, A=None, box=False):
    """One line: total variation and the ridge prior, each with its best factor."""
    start = None if A is None else 0 * x + 0.5
    limits = vi.Box(0, 1) if box else None

    def solved(prior, solver, stop):
        problem = data + prior + limits if box else data + prior
        return vi.solve(problem, solver, x0=start, stop=stop).x

    tv = best(lambda w: solved(w * vi.TV(x.shape), None, vi.gap(1e-3) | vi.iterations(600)), x, tv_first, 1.25)
    R = vi.convex_ridge(x.shape, level)

    def learned(w):
        return solved(w * R, vi.LBFGS(), vi.residual(3e-4) | vi.iterations(200))

    plain, ridge = vi.psnr(learned(1.0), x, data_range=1.0), best(learned, x, 1.0, 1.25)
    words = f"{task:<34}TV {tv[0]:.2f} ({tv[1]:.2g})  ridge {ridge[0]:.2f} ({ridge[1]:.2g}), as it is {plain:.2f}"
    print(f"{words}  gain {ridge[0] - tv[0]:+.2f}", flush=True)


def photographs(folder):
    """The middle 96 × 96 of every photograph, noise 0.1: the table of docs/priors.md, from the Kodak set."""
    for i, path in enumerate(sorted(Path(folder).glob("*.png"))):
        image = rgb2gray(imread(path))
        r, c = (n // 2 - 48 for n in image.shape)
        x = image[r : r + 96, c : c + 96]
        y = x + 0.1 * np.random.default_rng(100 + i).standard_normal(x.shape)
        compare(f"noise 0.1, {path.stem}", x, vi.L2Squared(y), 0.1, 0.08)


def main():
    rng = np.random.default_rng(1)
    t = np.exp(-(np.arange(-8, 9) ** 2) / (2 * 1.6**2))
    for sigma in (0.05, 0.1, 0.2):
        for name, x in CROPS.items():
            y = x + sigma * rng.standard_normal(x.shape)
            compare(f"noise {sigma:g}, {name}", x, vi.L2Squared(y), sigma, 0.8 * sigma)
    for name, x in CROPS.items():
        K = vi.Blur(x.shape, np.outer(t, t) / t.sum() ** 2)
        y = K(x) + 0.01 * rng.standard_normal(x.shape)
        compare(f"blur 1.6, noise 0.01, {name}", x, vi.L2Squared(y) @ K, 0.01, 1e-3, K, True)
    n = 96
    i, j = np.indices((n, n))
    disc = np.hypot(i - n / 2 + 0.5, j - n / 2 + 0.5) < 0.47 * n
    objects = {"camera in a disc": CROPS["camera"] * disc, "ellipses": random_ellipses(7, n / 2).image((n, n))}
    geometry = vi.ParallelBeam(np.arange(40) * np.pi / 40, int(1.5 * n))
    A = vi.Radon((n, n), geometry)
    for name, x in objects.items():
        y = A(x)
        noise = 0.01 * y.std()
        y = y + noise * rng.standard_normal(y.shape)
        compare(f"CT, 40 views, 1 %, {name}", x, vi.L2Squared(y) @ A, 0.05, 1.0, A, True)


if __name__ == "__main__":
    photographs(sys.argv[1]) if sys.argv[1:] else main()
