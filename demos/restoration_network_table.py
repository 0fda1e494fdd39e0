"""One denoiser, three tasks, every family of algorithms: inpainting, deblurring, super-resolution ×2.

Promised with the stored network: in each task half-quadratic splitting (HQS) is better than the smooth image it starts
from, by at least 0.7 dB with --small and 1.5 dB without.  Non-local means, in its place, cannot fill holes.
Total variation has the best weight of a grid, judged by the truth.  With --picture FILE.png the images are drawn.
"""

import sys

import numpy as np
from plugged_denoiser import denoiser
from skimage.data import camera

import varinv as vi
from varinv.priors.common import smooth_start

small = "--small" in sys.argv
truth = camera()[158:190, 214:246] / 255 if small else camera()[150:246, 180:276] / 255
name, D = denoiser()
rng = np.random.default_rng(0)
t = np.exp(-(np.arange(-8, 9) ** 2) / (2 * 1.6**2))
blur = vi.Blur(truth.shape, np.outer(t, t) / t.sum() ** 2)
tasks = {  # operator, standard deviation of the noise
    "inpainting": (vi.Subsampling(truth.shape, rng.random(truth.shape) < 0.5), 0.0),
    "deblurring": (blur, 2.55 / 255),
    "super-res.": (vi.Downsampling(truth.shape, 2), 0.0),
}
families = {"hqs": None, "pnp": 10, "pnp-fista": 5, "red": 40 if small else 100, "red-diff": None, "ddnm": None}
print(f"denoiser    {name}")
print(f"{'PSNR in dB':<12}{'start':>8}{'TV':>8}" + "".join(f"{m:>11}" for m in families))
pictures = {"truth": truth}
for task, (A, noise) in tasks.items():
    y = A(truth) + noise * rng.standard_normal(A.codomain)

    def quality(x):
        return vi.psnr(truth, x, data_range=1.0)

    start = smooth_start(A, y, noise)
    data = vi.L2Squared(y) @ A if noise else vi.L2Ball(y, 0.0) @ A
    stop = vi.iterations(100 if small else 400)
    problems = [data + lam * vi.TV(truth.shape) + vi.Box(0, 1) for lam in ((5e-4, 1e-3) if noise else (1.0,))]
    tv = max((vi.solve(p, vi.ChambollePock(), x0=start, stop=stop).x for p in problems), key=quality)
    row = f"{task:<12}{quality(start):8.2f}{quality(tv):8.2f}"
    for method, steps in families.items():
        if noise == 0 and method[:3] in ("pnp", "red") and method != "red-diff":  # their strength is that of the noise
            row += f"{'-':>11}"
            continue
        if noise > 0 and method == "ddnm":  # needs exact data here
            row += f"{'-':>11}"
            continue
        x = vi.restore(A, y, D, noise, method, steps).x
        row += f"{quality(x):11.2f}"
        if method == "hqs":
            pictures |= {f"{task}, TV": tv, f"{task}, HQS": x}
    print(row)

if "--picture" in sys.argv:
    from varinv import plot

    plot.compare(pictures, sys.argv[sys.argv.index("--picture") + 1], truth=truth)
