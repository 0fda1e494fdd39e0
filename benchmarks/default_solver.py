"""Is the solver that `solve` picks near the fastest?  Time of every solver to a relative objective of 1e-3.

    python benchmarks/default_solver.py [--size 256] [--views 60] [PROBLEM …]

Parallel beam, Shepp–Logan phantom, 1 % noise (counts: 20 at the brightest), float64, x0 = 0, default settings.  P* is the
least objective that any solver reached, or 3000 iterations of AdaptiveChambollePock or of CG.  Looking at the objective
does not count.  For each problem: seconds of the default, of the fastest, their ratio (at most 1.5 asked for ct-tv).
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

import varinv as vi
from varinv.phantom import shepp_logan
from varinv.solvers.choose import choose

SOLVERS = (
    vi.ChambollePock(), vi.AdaptiveChambollePock(), vi.PreconditionedChambollePock(), vi.SPDHG(4), vi.SPDHG(), vi.ADMM(),
    vi.PD3O(), vi.FISTA(), vi.LBFGS(), vi.MMGKS(), vi.CG(), vi.CGLS(), vi.LSQR(), vi.MLEM(),
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


def seconds(solver: Any, problem: Any, best: float) -> float:
    """Time to the target; ∞ where it is not reached in LIMIT, NaN where the solver refuses."""
    clock, began = 0.0, time.perf_counter()
    try:
        for state in solver.states(problem):
            clock += time.perf_counter() - began
            if problem(state.x) - best <= TARGET * abs(best):
                return clock
            if clock > LIMIT:
                return math.inf
            began = time.perf_counter()
    except (TypeError, ValueError):
        return math.nan
    return math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--views", type=int, default=60)
    options = parser.parse_args()
    for name, problem in problems(options.size, options.views).items():
        if options.names and name not in options.names:
            continue
        default = choose(problem, problem.zeros()).solver
        quadratic = type(default).__name__ in ("CG", "CGLS")
        best = problem(
            vi.solve(problem, vi.CG() if quadratic else vi.AdaptiveChambollePock(), stop=vi.iterations(3000)).x
        )
        found = [(seconds(s, problem, best), repr(s).partition("(")[0] + (f" {s.subsets}" if isinstance(s, vi.SPDHG) else ""))
                 for s in SOLVERS]  # fmt: skip
        found = sorted((t, words) for t, words in found if not math.isnan(t))
        mine = seconds(default, problem, best)
        print(f"{name:<12} default {type(default).__name__} {mine:.2f} s, fastest {found[0][1]} {found[0][0]:.2f} s, "
              f"ratio {mine / found[0][0]:.2f}\n             " + ", ".join(f"{w} {t:.2f}" for t, w in found), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
