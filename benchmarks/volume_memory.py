"""Peaks of `solve` on a stack of slices with total variation over all three axes, beside the goals.

Each solver runs in a process of its own, which solves once to warm up.  Printed in images v and sinograms s, beyond the
data and the operator: what tracemalloc saw, and what the resident memory rose by.  Two sinograms are taken off (three
are allowed, the data is one of them).  Run: python benchmarks/volume_memory.py [slices ...]
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np

import varinv as vi
from varinv.backend import POOL

# images, sinograms: the goals; the data is one of the sinograms
GOALS = {
    "default": (6, 3),
    "ChambollePock": (8, 3),
    "default, gap": (8, 4),
    "SPDHG, 6 subsets": (8, 4),
    "SIRT": (4, 3),
    "CGLS": (5, 3),
    "denoising": (6, 0),
}


def run(name: str, shape: tuple[int, int, int]) -> tuple[vi.Problem, vi.Solver | None, object]:
    """Problem, solver and rule of a row of the table; twelve iterations."""
    A = vi.Radon(shape, vi.ParallelBeam(np.arange(48) * np.pi / 48, 181))
    noise = np.random.default_rng(0)
    x = np.zeros(shape, np.float32)
    x[shape[0] // 4 : -shape[0] // 4, 40:80, 50:90] = 1
    y = A(x) + np.float32(0.1) * noise.standard_normal(A.codomain, np.float32)
    stop, squares, tv = vi.iterations(12), vi.L2Squared(y) @ A, vi.TV(shape)
    ct = squares + tv + vi.NonNegative()
    if name == "denoising":
        return vi.L2Squared(x + np.float32(0.1) * noise.standard_normal(shape, np.float32)) + 0.1 * tv, None, stop
    if name == "default, gap":
        return ct, None, vi.gap(1e-9) | stop
    solver = {"SIRT": vi.SIRT(), "CGLS": vi.CGLS(), "ChambollePock": vi.ChambollePock()}.get(name)
    solver = vi.SPDHG(subsets=6) if name.startswith("SPDHG") else solver
    return (squares if name in ("SIRT", "CGLS") else ct), solver, stop


def resident(field: str) -> int:
    """VmRSS or VmHWM in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(name: str, shape: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Traced peak, rise of the resident memory, bytes of an image and of a sinogram."""
    problem, solver, stop = run(name, shape)
    vi.solve(problem, solver, stop=stop)
    POOL.drop(0)
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
        before, rose = resident("VmRSS"), True
    except OSError:
        before, rose = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, False
    vi.solve(problem, solver, stop=stop)
    after = resident("VmHWM") if rose else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    POOL.drop(0)
    gc.collect()
    tracemalloc.start()
    vi.solve(problem, solver, stop=stop)
    v, s = 4 * int(np.prod(shape)), 4 * shape[0] * 48 * 181
    return tracemalloc.get_traced_memory()[1], after - before, v, s


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(*measure(sys.argv[3], (int(sys.argv[2]), 128, 128)))
        return
    print(f"{'':18}{'slices':>7}{'traced':>10}{'resident':>10}{'goal':>7}   (v beyond the sinograms allowed)")
    for slices in map(int, sys.argv[1:] or ("48", "64")):
        for name, (images, sinograms) in GOALS.items():
            out = subprocess.run(
                [sys.executable, __file__, "--one", str(slices), name],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"},  # freed arrays go back at once (glibc)
            ).stdout.splitlines()[-1]
            traced, rose, v, s = map(int, out.split())
            allowed = max(sinograms - 1, 0) * s
            missed = "" if traced - allowed <= images * v else "   missed"
            print(f"{name:18}{slices:7}{(traced - allowed) / v:10.2f}{(rose - allowed) / v:10.2f}{images:7}{missed}")


if __name__ == "__main__":
    main()
