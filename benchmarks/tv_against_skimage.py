"""One iteration of TV denoising against scikit-image's, alternating in one run; medians and their ratio.

python benchmarks/tv_against_skimage.py [size] [runs]
"""

import statistics
import sys
import time

import numpy as np
from skimage.restoration import denoise_tv_chambolle

import varinv as vi


def per_iteration(work, n):
    began = time.perf_counter()
    work(n)
    return (time.perf_counter() - began) / n


def main(size=512, runs=9, n=40):
    rng = np.random.default_rng(0)
    y = np.kron(rng.random((8, 8)), np.ones((size // 8, size // 8)))
    y = (y + 0.1 * rng.standard_normal(y.shape)).astype(np.float32)
    problem = vi.L2Squared(y) + 0.1 * vi.TV(y.shape)
    solver = vi.ChambollePock()

    def ours(n):
        return vi.last(vi.until(problem, solver.states(problem), vi.iterations(n)))

    def theirs(n):
        return denoise_tv_chambolle(y, weight=0.1, eps=0.0, max_num_iter=n)

    ours(3), theirs(3)
    times = [(per_iteration(ours, n), per_iteration(theirs, n)) for _ in range(runs)]
    a, b = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(t / o for o, t in times)
    print(f"TV denoising {size}² float32, one iteration: varinv {1e3 * a:.3f} ms, scikit-image {1e3 * b:.3f} ms")
    print(f"scikit-image / varinv: {ratio:.1f} (median of {runs} pairs; target 8)")
    return ratio


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
