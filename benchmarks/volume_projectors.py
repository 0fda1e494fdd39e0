"""What projections of volumes cost, beside itk-rtk where there is one, each figure beside its limit.

    python benchmarks/volume_projectors.py [--rtk /path/to/python] [--large]

CPU seconds (user and system), one thread, the two programs in turn, the least of five rounds.  Case M: 128³ voxels,
90 views over a turn, 160 × 192 pixels of 1.5, source to axis 400, axis to detector 200.  `--rtk` is a Python with the
package itk-rtk (2.7.0.post1), best in an environment of its own.  `--large` adds 256³.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings

os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

RTK = """
import time
import itk
import numpy as np
from itk import RTK as rtk

itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(1)
T = itk.Image[itk.F, 3]
geometry = rtk.ThreeDCircularProjectionGeometry.New()
for k in range(90):
    geometry.AddProjection(400.0, 600.0, k * 4.0)
def constant(size, origin, spacing):
    c = rtk.ConstantImageSource[T].New()
    c.SetOrigin(origin), c.SetSpacing(spacing), c.SetSize(size), c.SetConstant(0.0), c.Update()
    return c.GetOutput()
def run(kind, into, of):
    f = kind[T, T].New()
    f.SetInput(0, into), f.SetInput(1, of), f.SetGeometry(geometry)
    start = time.process_time()
    f.Update()
    return time.process_time() - start, f.GetOutput()
volume = itk.image_from_array(np.random.default_rng(0).random((128,) * 3, dtype=np.float32))
volume.SetOrigin([-63.5] * 3)
data = lambda: constant([192, 160, 90], [-143.25, -119.25, 0.0], [1.5, 1.5, 1.0])
_, seen = run(rtk.JosephForwardProjectionImageFilter, data(), volume)
while input():
    forward, _ = run(rtk.JosephForwardProjectionImageFilter, data(), volume)
    back, _ = run(rtk.JosephBackProjectionImageFilter, constant([128] * 3, [-63.5] * 3, [1.0] * 3), seen)
    print(forward, back, flush=True)
"""
COMPILE = """
import time, warnings
import numpy as np, varinv as vi
warnings.simplefilter("ignore")
A = vi.Radon((4, 5, 6), vi.ConeBeam([0.0, 1.0], (4, 5), 1.5, 40.0, 20.0), 1.0)
start = time.process_time()
for path in (A, vi.Radon(A.domain, A.geometry.views().turned("x", 0.3), 1.0)):
    for dtype in ("float32", "float64"):
        path.T(path(np.ones(A.domain, dtype)))
    print(time.process_time() - start)
"""


def seconds(*calls):
    """CPU seconds of each call."""
    found = []
    for call in calls:
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return found


def case(n, views, tilt=None):
    """An operator of n³ voxels in the shape of case M, and its inputs."""
    import numpy as np

    import varinv as vi

    turn = np.arange(views) * 2 * np.pi / views
    scale = n / 128
    shape = (round(160 * scale), round(192 * scale))
    g = vi.ConeBeam(turn, shape, 1.5, 400.0 * scale, 200.0 * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vi.UncoveredWarning)
        A = vi.Radon((n, n, n), g if tilt is None else g.views().turned("x", tilt), 1.0)
    rng = np.random.default_rng(0)
    x, y = rng.random(A.domain, np.float32), rng.random(A.codomain, np.float32)
    return (lambda: A(x)), (lambda: A.T(y))


def least(rounds):
    return [min(column) for column in zip(*rounds, strict=True)]


def beside(python):
    """Test 7: case M, in turn with itk-rtk."""
    calls = (*case(128, 90), *case(128, 90, 0.01))
    seconds(*calls)
    other = None
    if python:
        other = subprocess.Popen([python, "-c", RTK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    rounds, theirs = [], []
    for _ in range(5):
        rounds.append(seconds(*calls))
        if other:
            other.stdin.write("go\n")
            other.stdin.flush()
            theirs.append([float(t) for t in other.stdout.readline().split()])
    if other:
        other.communicate("\n")
    mine = least(rounds)
    rtk = least(theirs) if theirs else [float("nan")] * 2
    print(f"itk-rtk, Joseph: forward {rtk[0]:.2f} s, adjoint {rtk[1]:.2f} s")
    for name, (forward, back), goal in (("upright", mine[:2], 8), ("general", mine[2:], 3)):
        ratios = f"{rtk[0] / forward:.1f} × and {rtk[1] / back:.1f} ×"
        print(f"{name}: forward {forward:.3f} s, adjoint {back:.3f} s; faster than itk-rtk {ratios} (goal {goal} ×)")


def sizes(large):
    """Test 8: the cost of a sample does not grow with the volume."""
    found = {}
    for n, views in ((64, 45), (128, 30), *(((256, 16),) if large else ())):
        calls = case(n, views)
        seconds(*calls)
        found[n] = [t / (n**3 * views) * 1e9 for t in least([seconds(*calls) for _ in range(3)])]
        print(f"{n}³: forward {found[n][0]:.2f} ns, adjoint {found[n][1]:.2f} ns a voxel and view")
    last = max(found)
    grown = ", ".join(f"{a / b:.2f}" for a, b in zip(found[last], found[64], strict=True))
    print(f"64³ → {last}³: {grown} × (limit 1.3)")


def compiling():
    """A machine that has compiled nothing yet."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        made = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=environment)
    upright, both = made.stdout.split()
    print(f"compiling, two dtypes: upright {float(upright):.1f} s, with general {float(both):.1f} s (goal 12)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rtk")
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args()
    beside(given.rtk)
    sizes(given.large)
    compiling()
