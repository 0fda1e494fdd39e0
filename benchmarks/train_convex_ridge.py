"""Train the filters of `vi.convex_ridge` on photographs: bilevel learning with certified hypergradients and L-BFGS.

    python benchmarks/train_convex_ridge.py OUT.npz [START.npz]

min over the filters c_k and the weight w of the mean squared error of x̂ = argmin ½‖x − y‖² + w Σ_k Σ √((c_k ∗ x)² + s²)
over 64 crops of four photographs of scikit-image with noise of standard deviation 0.1 on a range of 1; camera() and
astronaut() are none of them.  The lower level is solved to a proved accuracy and differentiated through its optimality
condition by the package's own oracle (varinv.learning); steps are those of SciPy's L-BFGS, which needs far fewer
hypergradients here than the plain gradient steps of MAID (0.5 dB above learned total variation on the training crops
after 50; MAID with as much work: 0.1).  About 2 minutes of one core.
"""

import itertools
import math
import sys
import time

import numpy as np
from scipy.optimize import minimize
from skimage import color, data

import varinv as vi
from varinv.learning.losses import supervised
from varinv.learning.oracle import Bilevel
from varinv.linalg import dot

NOISE, SMOOTHING = 0.1, 0.01
SIZE, MARGIN = 44, 4  # crops are periodic: their borders count in the problem, not in the loss
FILTERS, TAPS, EVALUATIONS = 8, 5, 50


class Ridge:
    """½‖x − y‖² + e^{θ₀} Σ_k Σ √((c_k ∗ x)² + s²): circular convolutions, the mean of every c_k taken out."""

    def __init__(self, shape):
        self.shape, self.bank = shape, (FILTERS, TAPS, TAPS)

    def parts(self, theta):
        c = theta[1:].reshape(self.bank)
        return math.exp(theta[0]), c - c.mean((1, 2), keepdims=True)

    def __call__(self, theta, y):
        w, c = self.parts(theta)
        return vi.L2Squared(y) + vi.Charbonnier(SMOOTHING, w) @ vi.ConvolutionBank(self.shape, c)

    def start(self, y):
        return y

    def mu(self, theta):
        return 1.0

    def sensitivity(self, theta, y, x, q):
        w, c = self.parts(theta)
        K = vi.ConvolutionBank(self.shape, c)
        z, Kq = K.forward(x), K.forward(q)
        phi = np.hypot(z, z.dtype.type(SMOOTHING))
        slope, bend = w * z / phi, w * SMOOTHING**2 / phi**3 * Kq
        moves = [(a - TAPS // 2, b - TAPS // 2) for a, b in itertools.product(range(TAPS), repeat=2)]

        def against(g, u):  # Σ_i g_k[i] u[i + size//2 − j] for every k and j, as one matrix product
            shifted = np.stack([np.roll(u, m, (-2, -1)).ravel() for m in moves], 1)
            return (g.reshape(len(g), -1) @ shifted).astype(float).reshape(self.bank)

        taps = against(slope, q) + against(bend, x)
        return np.array([dot(slope, Kq), *(taps - taps.mean((1, 2), keepdims=True)).ravel()])


def crops(images, rng):
    """A crop at a random place of each image: (with noise, without)."""
    found = []
    for image in images:
        r, c = (rng.integers(n - SIZE) for n in image.shape)
        found.append(image[r : r + SIZE, c : c + SIZE])
    truth = np.stack(found)
    return (truth + NOISE * rng.standard_normal(truth.shape)).astype("f4"), truth.astype("f4")


def cosines():
    """The first functions of the discrete cosine basis after the constant: θ to start from."""
    j = np.arange(TAPS)
    basis = [b / np.linalg.norm(b) for b in (np.cos(np.pi * (j + 0.5) * k / TAPS) for k in j)]
    order = sorted(itertools.product(j, repeat=2), key=lambda p: (p[0] ** 2 + p[1] ** 2, p))[1 : FILTERS + 1]
    taps = np.stack([np.outer(basis[a], basis[b]) for a, b in order])
    return np.array([math.log(0.02), *taps.ravel()])


def main(out, start=None):
    rng = np.random.default_rng(0)
    images = [color.rgb2gray(i) for i in (data.coffee(), data.chelsea(), data.rocket(), data.stereo_motorcycle()[0])]
    pairs = [crops(images, rng) for _ in range(16)]
    inner = np.zeros(pairs[0][0].shape, "f4")
    inner[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = 1

    def loss(truth):
        return vi.L2Squared(truth, weight=inner)

    def quality(value):
        return -10 * math.log10(2 * value / inner.sum())

    tv = vi.families.TV(vi.Gradient(inner.shape, axes=(1, 2)))
    plain = vi.learn(tv, pairs, tv.theta(weight=0.09, smoothing=0.01), vi.MAID(budget=1500), loss=loss)
    print(f"total variation, learned: {quality(plain.loss):.3f} dB", flush=True)
    family, theta = Ridge(pairs[0][0].shape), cosines()
    if start is not None:
        kept = np.load(start)
        theta = np.array([math.log(float(kept["weight"])), *kept["filters"].ravel()])
    problem = Bilevel(family=family, cases=supervised(pairs, loss), theta0=theta)
    last = problem.evaluate(theta, math.inf)
    count = 0
    scale, far, best, began = NOISE**2 * inner.sum() / 2, last.error, math.inf, time.process_time()

    def risk(theta):
        nonlocal last, best, count
        epsilon = max(0.005 * 0.97**count, 0.001) * far
        last, count = problem.evaluate(theta, epsilon, epsilon, last), count + 1
        print(f"{time.process_time() - began:7.1f} s  {quality(last.corrected):.3f} dB", flush=True)
        if last.corrected < best:
            best = last.corrected
            w, c = family.parts(theta)
            np.savez(out, filters=c.astype("f4"), weight=w, smoothing=SMOOTHING, noise=NOISE)
        return last.corrected / scale, last.slope / scale

    minimize(risk, theta, jac=True, method="L-BFGS-B", options={"maxfun": EVALUATIONS, "maxcor": 20})
    print(f"experts: {quality(best):.3f} dB")


if __name__ == "__main__":
    main(*sys.argv[1:])
