"""Denoising with total variation (Rudin, Osher, Fatemi 1992): the strongly convex case, with a certificate.

    min over x of ½‖x − y‖² + λ TV(x)

y: a photograph with Gaussian noise of standard deviation 0.1.  Promised: at least 6 dB better than the noisy image, and
a relative gap of at most 1e-4, proved.
"""

import sys

import numpy as np
from skimage.data import camera

import varinv as vi

truth = camera().astype(np.float32) / 255
if "--small" in sys.argv:
    truth = truth[64:192, 160:288]
y = truth + 0.1 * np.random.default_rng(0).standard_normal(truth.shape, dtype=np.float32)

result = vi.solve(vi.L2Squared(y) + 0.1 * vi.TV(y.shape), stop=vi.gap(1e-4), progress=True)

print(result.summary())
print(f"PSNR        noisy {vi.psnr(y, truth):.2f} dB, TV {vi.psnr(result.x, truth):.2f} dB")
print(f"gap         {result.gap:.1e}")
