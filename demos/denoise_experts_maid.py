"""Learn a small field of experts: six 3×3 filters, their weights and smoothings, 67 parameters, by MAID.

Pairs: a stack of crops of one photograph, with noise of standard deviation 0.1 and without; the filters start as
differences.  Promised: on crops of another photograph, not seen in learning, at least 4 dB better than the noisy ones.
Learned total variation stands beside it: with its two parameters it is hard to beat for so small a field and so few
iterations.  With --picture FILE.png the filters are drawn.
"""

import sys

import numpy as np
from skimage.color import rgb2gray
from skimage.data import astronaut, camera

import varinv as vi

size, budget = (32, 1000) if "--small" in sys.argv else (48, 6000)
rng = np.random.default_rng(0)


def crops(image):
    parts = [image[r : r + 4 * size, c : c + 4 * size] for r in (0, 128, 256) for c in (64, 192)]
    truth = np.stack([p.reshape(size, 4, size, 4).mean((1, 3)) for p in parts])
    return truth + 0.1 * rng.standard_normal(truth.shape), truth


pair, (y, truth) = crops(camera() / 255.0), crops(rgb2gray(astronaut()))

tv = vi.families.TV(vi.Gradient(truth.shape, axes=(1, 2)))
plain = vi.learn(tv, [pair], tv.theta(weight=0.05, smoothing=0.02), vi.MAID(budget=600))

taps = np.zeros((6, 3, 3))  # differences to the right, down, along both diagonals, and two second differences
for k, (row, column) in enumerate(((1, 2), (2, 1), (2, 2), (2, 0))):
    taps[k, 1, 1], taps[k, row, column] = -0.7, 0.7
taps[4, 1], taps[5, :, 1] = (0.4, -0.8, 0.4), (0.4, -0.8, 0.4)
family = vi.families.FieldOfExperts(truth.shape, taps.shape, start_from_data=True)
theta0 = family.theta0(taps, weight=0.03, smoothing=0.02)
learned = vi.learn(family, [pair], theta0, vi.MAID(budget=budget, refine=0.5))

print(learned.summary())


def quality(x):
    return np.mean([vi.psnr(a, b, data_range=1.0) for a, b in zip(x, truth, strict=True)])


scores = quality(y), quality(plain.apply(y, tol=1e-3)), quality(learned.apply(y, tol=1e-3))
print(f"pairs       loss {plain.loss:.3f} by total variation, {learned.loss:.3f} by experts")
print("PSNR        noisy {:.2f} dB, total variation {:.2f} dB, experts {:.2f} dB".format(*scores))

if "--picture" in sys.argv:
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 6, figsize=(11, 2.4), layout="constrained")
    found = family.experts(learned.theta)
    limit = max(abs(c).max() for _, _, c in found)
    for ax, (weight, _, c) in zip(axes, found, strict=True):
        picture = ax.imshow(c, cmap="coolwarm", vmin=-limit, vmax=limit)
        ax.set(title=f"weight {weight:.3f}", xticks=range(3), yticks=range(3))
    fig.colorbar(picture, ax=axes, shrink=0.8, label="filter tap")
    fig.savefig(sys.argv[sys.argv.index("--picture") + 1], dpi=110)
