"""Is the solver that `solve` picks near the fastest?  Time of each solver to a relative objective of 1e-3.

    python benchmarks/default_solver.py [--size 256] [--views 60] [--cpu] [PROBLEM …]

Parallel beam, Shepp–Logan phantom, 1 % noise (counts: 20 at the brightest), float64, x0 = 0, default settings.  P* is
the objective after 3000 iterations of AdaptiveChambollePock, or of CG.  Looking at the objective does not count;
`--cpu` counts processor time.  For each problem: seconds of the default, of the fastest, their ratio (at most 1.5
asked for ct-tv).
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

import varinv as vi
from varinv.phantom import shepp_logan
from varinv.solvers.default_solver import choose

SOLVERS = (
    vi.ChambollePock(), vi.AdaptiveChambollePock(), vi.PreconditionedChambollePock(), vi.SPDHG(4), vi.SPDHG(),
    vi.ADMM(), vi.PD3O(), vi.FISTA(), vi.LBFGS(), vi.MMGKS(), vi.CG(), vi.CGLS(), vi.LSQR(), vi.MLEM(),
)  # fmt: skip
TARGET = 1e-3
LIMIT = 20.0  # seconds after which a solver is given up


def problems(n: int, views: int) -> dict[str, Any]:
    geometry = vi.ParallelBeam(np.arange(views) * np.pi / views, int(1.5 * n))
    A = vi.Radon((n, n), geometry)
    clean = shepp_logan(n / 2).line_integrals(geometry, rays_per_bin=4)
    rng = np.random.default_rng(0)
    y = clean + 0.01 * clean.max() * rng.standard_normal(clean.shape)
    counts = rng.poisson(20 * clean / clean.max() + 1.0).astype(float)
    squares, kl, tv = vi.L2Squared(y) @ A, vi.KullbackLeibler(counts, 1.0) @ A, vi.TV(A.domain)
    image = A.T(clean) / A.T(clean).max()
    B = vi.Blur(A.domain, np.ones((5, 5)) / 25)
    noisy = B(image) + 0.01 * rng.standard_normal(A.domain)
    return {
        "ct-tv": squares + 0.5 * tv + vi.NonNegative(),
        "ct-ridge": squares + 5 * vi.L2Squared() @ vi.Gradient(A.domain),
        "ct-huber": squares + 0.5 * vi.TV(A.domain, smoothing=0.05),
        "ct-lasso": squares + 5 * vi.L1(),
        "counts-tv": kl + 0.5 * tv + vi.NonNegative(),
        "denoising": vi.L2Squared(noisy) + 0.05 * tv,
        "deblurring": vi.L2Squared(noisy) @ B + 0.003 * tv + vi.NonNegative(),
    }


def seconds(solver: Any, problem: Any, best: float, now: Any) -> float:
    """Time to the target; ∞ where it is not reached in LIMIT, NaN where the solver refuses."""
    clock, began = 0.0, now()
    try:
        for state in solver.states(problem):
            clock += now() - began
            if problem(state.x) - best <= TARGET * abs(best):
                return clock
            if clock > LIMIT:
                return math.inf
            began = now()
    except (TypeError, ValueError):
        return math.nan
    return math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    for name, problem in problems(options.size, options.views).items():
        if options.names and name not in options.names:
            continue
        default = choose(problem, problem.zeros()).solver
        sure = vi.CG() if type(default) in (vi.CG, vi.CGLS) else vi.AdaptiveChambollePock()
        best = problem(vi.solve(problem, sure, stop=vi.iterations(3000)).x)
        now = time.process_time if options.cpu else time.perf_counter
        found = sorted((t, named(s)) for s in SOLVERS if not math.isnan(t := seconds(s, problem, best, now)))
        mine, (least, fastest) = seconds(default, problem, best, now), found[0]
        print(f"{name:<12} default {named(default)} {mine:.2f} s, fastest {fastest} {least:.2f} s, {mine / least:.2f}")
        print(" " * 13 + ", ".join(f"{words} {t:.2f}" for t, words in found), flush=True)


def named(solver: Any) -> str:
    return type(solver).__name__ + (f" {solver.subsets}" if isinstance(solver, vi.SPDHG) else "")


if __name__ == "__main__":
    main()
