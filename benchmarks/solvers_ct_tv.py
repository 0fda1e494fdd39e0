"""Work that each solver needs on one tomographic problem with total variation, to stated accuracies.

    python benchmarks/solvers_ct_tv.py [--seconds] [--size 256] [NAME …]

    min over x ≥ 0 of ½‖A x − y‖² + 0.5 TV(x)

A: 256², 60 parallel views, Shepp–Logan phantom, exact line integrals plus noise of 1 % of their peak, float32, default
settings, x0 = 0.  P* is the objective after a long run, with the relative gap its certificate proves.  What counts:
pairs of a projection and a back-projection (those of a subset count as their share of the rays; set-up included) until
(P − P*)/P* ≤ 1e-2, 1e-3, 1e-4 for the first time, looked at after every iteration.  `--seconds` adds the time, without
that of looking: only meaningful on a quiet machine.

Another solver is one line in CASES.
"""

import argparse
import math
import time

import numpy as np

import varinv as vi
from varinv.phantom import shepp_logan

CASES = {
    "ChambollePock": lambda: vi.ChambollePock(),
    "AdaptiveChambollePock": lambda: vi.AdaptiveChambollePock(),
    "RestartedChambollePock": lambda: vi.RestartedChambollePock(),
    "PreconditionedChambollePock": lambda: vi.PreconditionedChambollePock(),
    "SPDHG, 4 subsets": lambda: vi.SPDHG(4),
    "SPDHG": lambda: vi.SPDHG(),
    "SPDHG, 20 subsets": lambda: vi.SPDHG(20),
    "CondatVu": lambda: vi.CondatVu(),
    "PD3O": lambda: vi.PD3O(),
    "ADMM": lambda: vi.ADMM(),
    "LinearisedADMM": lambda: vi.LinearisedADMM(),
}
TARGETS = (1e-2, 1e-3, 1e-4)
MOST = 3000  # pairs after which a solver is given up


class Counted(vi.Radon, same_map=True):
    """Radon that counts the rays it follows, forward and back; subsets of views are of this class too."""

    rays_followed = 0

    def forward(self, x):
        Counted.rays_followed += math.prod(self.codomain)
        return super().forward(x)

    def adjoint(self, y):
        Counted.rays_followed += math.prod(self.codomain)
        return super().adjoint(y)


def case(n, operator=Counted, dtype="float32"):
    """The problem, in float32 and counted, or in float64."""
    phantom, geometry = shepp_logan(n / 2), vi.ParallelBeam(np.arange(60) * np.pi / 60, int(1.5 * n))
    A = operator((n, n), geometry)
    clean = phantom.line_integrals(geometry, rays_per_bin=4)
    y = clean + 0.01 * clean.max() * np.random.default_rng(0).standard_normal(clean.shape)
    return vi.L2Squared(y.astype(dtype)) @ A + 0.5 * vi.TV(A.domain) + vi.NonNegative()


def optimum(n):
    """P* and the relative gap that proves it, from a long run in float64."""
    problem = case(n, vi.Radon, "float64")
    result = vi.solve(problem, vi.AdaptiveChambollePock(), stop=vi.gap(1e-6, every=200) | vi.iterations(8000))
    return problem(result.x), problem.gap(result.x, result.state.y).relative


def run(solver, n, best):
    """Pairs and seconds to each target (None: not reached)."""
    problem, exact = case(n), case(n, vi.Radon, "float64")
    Counted.rays_followed, pair = 0, 2 * math.prod(problem.coupled[0].K.codomain)
    found, clock, began = {}, 0.0, time.perf_counter()
    for state in solver.states(problem):
        clock += time.perf_counter() - began
        pairs = Counted.rays_followed / pair
        value = exact(state.x)
        for target in TARGETS:
            if target not in found and value - best <= target * best:
                found[target] = (pairs, clock)
        if len(found) == len(TARGETS) or pairs > MOST:
            return [found.get(target) for target in TARGETS]
        began = time.perf_counter()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="cases to run; none: all")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", action="store_true")
    options = parser.parse_args()
    best, proved = optimum(options.size)
    print(f"P* = {best:.10g}, proved to a relative {proved:.1e}")
    print(f"{'solver':<30}" + "".join(f"{f'pairs to {t:g}':>17}" for t in TARGETS))
    for name in options.names or CASES:
        cells = []
        for reached in run(CASES[name](), options.size, best):
            text = f"{reached[0]:.0f}" if reached else f"> {MOST}"
            cells.append(text + (f" ({reached[1]:.2f} s)" if reached and options.seconds else ""))
        print(f"{name:<30}" + "".join(f"{c:>17}" for c in cells), flush=True)


if __name__ == "__main__":
    main()
