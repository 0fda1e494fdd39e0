"""Learn weight and smoothing of total variation for denoising, with MAID (Salehi et al. 2024).

Pairs: crops of one photograph, with noise of standard deviation 0.1 and without.  Promised: on a crop of another
photograph, not seen in learning, within 0.5 dB of the best weight of a grid that knows its truth, whether learned from
pairs or from the noisy crops alone (SURE).
"""

import sys

import numpy as np
from skimage.color import rgb2gray
from skimage.data import astronaut, camera

import varinv as vi

size = 64 if "--small" in sys.argv else 128
rng = np.random.default_rng(0)


def crop(image, row, column):
    truth = image[row : row + 2 * size, column : column + 2 * size].reshape(size, 2, size, 2).mean((1, 3))
    return truth + 0.1 * rng.standard_normal(truth.shape), truth


photograph = camera() / 255.0
pairs = [crop(photograph, r, c) for r, c in ((0, 0), (128, 128), (256, 128))]
y, truth = crop(rgb2gray(astronaut()), 100, 128)

family = vi.families.TV((size, size))
theta0 = family.theta(weight=0.01, smoothing=0.01)
learned = vi.learn(family, pairs, theta0, vi.MAID(budget=800))
blind = vi.learn(family, [noisy for noisy, _ in pairs], theta0, vi.MAID(budget=5000), noise=0.1)


def quality(weight, smoothing=0.01):
    problem = vi.L2Squared(y) + weight * vi.TV(y.shape, smoothing=smoothing)
    return vi.psnr(vi.solve(problem, stop=vi.gap(1e-3)).x, truth, data_range=1.0)


best = max(quality(w) for w in np.geomspace(0.02, 0.3, 12))
print(learned.summary())
for name, found in (("pairs", learned), ("SURE", blind)):
    values = ", ".join(f"{k} {v:.4f}" for k, v in found.values().items())
    print(f"{name:<11} {values}, {found.certificate['work']} iterations")
noisy = vi.psnr(y, truth, data_range=1.0)
scores = [vi.psnr(found.apply(y, tol=1e-3), truth, data_range=1.0) for found in (learned, blind)]
print(f"PSNR        noisy {noisy:.2f} dB, learned {scores[0]:.2f} dB, by SURE {scores[1]:.2f} dB, grid {best:.2f} dB")
