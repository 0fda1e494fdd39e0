"""Discrete tomography: two unknown grey levels, from very few views.

    min over x of ½‖A x − y‖² + λ TV(x) + μ (1 − ⟨x, x²⟩²/(‖x‖²‖x²‖²))

The last term, a Cauchy–Schwarz regulariser, vanishes exactly where x takes the values 0 and a, whatever a is.  It is
smooth and not convex: the run starts at the solution without it.  A: Radon transform, 8 parallel views of a horse, 1 %
noise.  Promised: fewer wrong pixels than filtered back-projection by a factor of 3, and a distance from two grey levels
at most half that of TV alone, with no more wrong pixels than TV has (within 10 %).
"""

import sys
from pathlib import Path

import numpy as np
from skimage.data import horse
from skimage.transform import resize

import varinv as vi

small = "--small" in sys.argv
n, most = (48, 200) if small else (96, 400)
truth = (resize((~horse()).astype(float), (n, n), anti_aliasing=True) > 0.5) * 1.0
A = vi.Radon((n, n), vi.ParallelBeam(np.arange(8) * np.pi / 8, int(1.5 * n)))
clean = A(truth)
noise = np.random.default_rng(0).standard_normal(clean.shape)
y = clean + 0.01 * np.linalg.norm(clean) / np.linalg.norm(noise) * noise

binary = vi.OneSidedBinary()
smooth = vi.L2Squared(y) @ A + 1.0 * vi.TV((n, n), smoothing=0.02)
tv = vi.solve(smooth, vi.LBFGS(), stop=vi.iterations(most)).x
x = vi.solve(smooth + 1.3 * n * n * binary, vi.LBFGS(), x0=tv, stop=vi.iterations(most)).x


def wrong(x):
    """Fraction of pixels on the wrong side of half the bright level."""
    level = np.quantile(x, 0.95)
    return float(np.mean((x > level / 2) != (truth > 0.5)))


images = {"FBP": vi.fbp(A, y), "TV": tv, "TV + binary": x}
for name, image in images.items():
    print(f"{name:<12}wrong pixels {wrong(image):.4f}, distance from two levels {binary(image):.2e}")
if not small:
    Path("output").mkdir(exist_ok=True)
    from varinv import plot

    plot.compare({"truth": truth, **images}, "output/ct_discrete.png", truth=truth)
