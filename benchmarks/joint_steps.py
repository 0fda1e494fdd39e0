"""Iterations of the default solver with and without its filter and its joint bound; what repaired duals prove.

The tables of docs/decisions/0013 and 0015: ``python benchmarks/joint_steps.py [steps] [proofs]``, some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from side_by_side.problems import ct_tv, deblurring

import varinv as vi
from varinv import certificate_repair
from varinv.phantom import shepp_logan
from varinv.solvers import step_sizes as joint
from varinv.solvers.step_sizes import scalar_steps

TARGETS = (1e-2, 1e-3, 1e-4)
SCANS = {  # pixels, views, λ, fan
    "96², 30 views, λ = 0.2": (96, 30, 0.2, False),
    "128², 180 views, 0.5": (128, 180, 0.5, False),
    "256², 60 views, 0.05": (256, 60, 0.05, False),
    "256², 60 views, 0.5": (256, 60, 0.5, False),
    "256², 60 views, 5": (256, 60, 5.0, False),
    "fan, 128², 45 views, 0.5": (128, 45, 0.5, True),
    "512², 90 views, 0.5": (512, 90, 0.5, False),
}
MOST = 400


def scan(n: int, views: int, lam: float, fan: bool, dtype: str) -> Any:
    """Shepp–Logan, noise of 1 % of the peak, x ≥ 0."""
    turn = np.arange(views) * np.pi / views
    bins = int(1.5 * n)
    geometry: Any = vi.FanBeam(2 * turn, bins, 2.0, 3.0 * n, 1.5 * n) if fan else vi.ParallelBeam(turn, bins)
    clean = shepp_logan(n / 2).line_integrals(geometry, rays_per_bin=2)
    y = clean + 0.01 * clean.max() * np.random.default_rng(0).standard_normal(clean.shape)
    A = vi.Radon((n, n), geometry, 1.0)
    return vi.L2Squared(y.astype("float32").astype(dtype)) @ A + lam * vi.TV(A.domain) + vi.NonNegative()


def objectives(problem: Any, judge: Any, most: int) -> Iterator[tuple[int, float]]:
    for state in vi.AdaptiveChambollePock().states(problem):
        if state.k and state.k % 5 == 0:
            yield state.k, judge(state.x.astype(float))
        if state.k >= most:
            return


def summed(problem: Any) -> joint.JointSteps:
    """As before: numbers as steps, and the sum of the bounds."""
    return joint.JointSteps(*scalar_steps(problem), (None,) * len(problem.coupled))


def steps() -> None:
    print(f"iterations to {', '.join(map(str, TARGETS))}: sum of bounds | filter and one bound")
    for name, settings in SCANS.items():
        judge = scan(*settings, "float64")
        before, now = scan(*settings, "float32"), scan(*settings, "float32")
        before.__dict__["_joint_steps"] = summed(before)
        runs = [list(objectives(p, judge, MOST)) for p in (before, now)]
        best = min(value for _, value in objectives(scan(*settings, "float64"), judge, 3 * MOST))
        found = [[next((k for k, v in run if v <= (1 + t) * best), None) for t in TARGETS] for run in runs]
        print(f"{name}: {' | '.join(str(f) for f in found)}", flush=True)


def proofs() -> None:
    print("proved relative gap by steps of the repair")
    for case in (deblurring(256), ct_tv(256, 60)):
        problem = case.build("float32")
        for state in vi.AdaptiveChambollePock().states(problem):
            if state.k in (200, 300, 600):
                row = []
                for certificate_repair.STEPS in (0, 10, 30, 100, 300):
                    row.append(f"{certificate_repair.STEPS}: {problem.gap(state.x, state.y).relative:.1e}")
                print(f"{case.name}, {state.k}, true {case.gap(state.x):.1e}; {', '.join(row)}", flush=True)
            if state.k == 600:
                break


if __name__ == "__main__":
    for task in sys.argv[1:] or ("steps", "proofs"):
        {"steps": steps, "proofs": proofs}[task]()
