"""Learn where to smooth: a space-variant weight of total variation for one scene seen many times in noise.

Pairs: one photograph with four realisations of noise.  A weight for every block of 8×8 pixels against one weight for
all, both learned; judged on a fifth realisation.  Promised: the map is at least 0.3 dB better.  With --picture FILE.png
the map is drawn beside the scene.
"""

import sys

import numpy as np
from skimage.data import camera

import varinv as vi

size = 48 if "--small" in sys.argv else 96
truth = camera()[40 : 40 + 4 * size, 120 : 120 + 4 * size].reshape(size, 4, size, 4).mean((1, 3)) / 255
rng = np.random.default_rng(0)
*seen, y = (truth + 0.1 * rng.standard_normal(truth.shape) for _ in range(5))
pairs = [(noisy, truth) for noisy in seen]

one = vi.families.TV(truth.shape, smoothing=0.02)
single = vi.learn(one, pairs, one.theta(weight=0.05), vi.MAID(budget=600))

family = vi.families.WeightMap(truth.shape, block=8, smoothing=0.02)
start = np.full(truth.size // 64, single.theta[0])
learned = vi.learn(family, pairs, start, vi.MAID(budget=3000))

print(learned.summary())
print("learned     " + ", ".join(f"{name} {value:.4f}" for name, value in learned.values().items()))
noisy, flat, found = (
    vi.psnr(x, truth, data_range=1.0) for x in (y, single.apply(y, tol=1e-3), learned.apply(y, tol=1e-3))
)
print(f"PSNR        noisy {noisy:.2f} dB, one weight {flat:.2f} dB, weight map {found:.2f} dB")

if "--picture" in sys.argv:
    import matplotlib.pyplot as plt

    shown = (("scene", truth), ("noisy", y), ("weight map (log10)", np.log10(family.weight(learned.theta))))
    fig, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for ax, (title, image) in zip(axes, shown, strict=True):
        picture = ax.imshow(image, cmap="gray" if image is not shown[2][1] else "viridis")
        ax.set(title=title, xlabel="column (pixels)", ylabel="row (pixels)")
        fig.colorbar(picture, ax=ax, shrink=0.8)
    fig.savefig(sys.argv[sys.argv.index("--picture") + 1], dpi=110)
