"""How sure is a restored face?  Half of it is hidden, and a decoder knows what faces look like.

The decoder is linear: mean and principal components of 70 faces of 25 × 25 pixels (scikit-image), in units in which
codes are standard normal; what it cannot draw has the deviation measured on 20 other faces (`spread`, VBLE-xz).  The
face to restore is among neither.  Promised: hidden pixels are at least 1.5 times as uncertain as seen ones, and their
error is between half and twice their deviation.  (Where pixels are seen it is larger than the deviation says: the mean
of the posterior is an image the decoder can draw, and this face is not quite.)  --picture FILE.png draws the maps.
"""

import sys

import numpy as np
from skimage.data import lfw_subset

import varinv as vi

faces = np.asarray(lfw_subset()[:100], dtype=float)
known, others, truth = faces[:70], faces[70:90], faces[94]
count = 10 if "--small" in sys.argv else 20
mean = known.mean(axis=0)
_, lengths, modes = np.linalg.svd((known - mean).reshape(70, -1), full_matrices=False)
G = (modes[:count].T * lengths[:count] / np.sqrt(70)).reshape(25, 25, count)
decoder = vi.Decoder(lambda z: mean + G @ z, lambda z, v: np.einsum("ijk,ij->k", G, v), (count,))
missed = (others - mean).reshape(20, -1) @ (np.eye(625) - modes[:count].T @ modes[:count])
spread = np.sqrt(np.mean(missed**2, axis=0)).reshape(25, 25)

mask = np.ones((25, 25), bool)
mask[14:] = False  # the lower part of the face is hidden
A, noise = vi.Subsampling(mask.shape, mask), 0.05
y = A(truth) + noise * np.random.default_rng(0).standard_normal(A.codomain)
posterior = vi.latent_posterior(A, y, decoder, noise, spread=spread, steps=600, samples=400)

error = posterior.mean - truth
seen, hidden = (np.sqrt(np.mean(posterior.std[m] ** 2)) for m in (mask, ~mask))
off_seen, off_hidden = (np.sqrt(np.mean(error[m] ** 2)) for m in (mask, ~mask))
print(f"PSNR        mean face {vi.psnr(mean, truth):.2f} dB, posterior mean {vi.psnr(posterior.mean, truth):.2f} dB")
print(f"seen        deviation {seen:.3f}, error {off_seen:.3f}")
print(f"hidden      deviation {hidden:.3f}, error {off_hidden:.3f}")

if "--picture" in sys.argv:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.2), layout="constrained")
    shown = {"truth": truth, "data": np.where(mask, A.T(y), np.nan), "posterior mean": posterior.mean}
    shown |= {"standard deviation": posterior.std, "|error|": abs(error)}
    for k, (title, x) in enumerate(shown.items()):
        ax = figure.add_subplot(1, 5, k + 1)
        grey, top = ("gray", 1.0) if k < 3 else ("magma", abs(error).max())
        bar = figure.colorbar(ax.imshow(x, cmap=grey, vmin=0, vmax=top), ax=ax, shrink=0.7)
        bar.set_label("grey value")
        ax.set(title=title, xlabel="column", ylabel="row")
    figure.savefig(sys.argv[sys.argv.index("--picture") + 1], dpi=90)
