"""Radon against ASTRA's CPU projectors, alternating in one run: medians, ratios, and how far the results are apart.

    python benchmarks/radon_against_astra.py [size] [runs]

ASTRA runs as it is delivered (its CPU projectors use one core) and is timed without its set-up and copies; Radon uses
all cores and is timed as called.  Processor seconds, all threads together, say what is left of the ratio on one core.
"""

import statistics
import sys
import time

import astra
import numba
import numpy as np

import varinv as vi


def astra_pair(kind, rays, volume, x):
    """ASTRA's two algorithms as functions, and its sinogram of x."""
    projector = astra.create_projector(kind, rays, volume)
    image, sinogram = astra.data2d.create("-vol", volume, x), astra.data2d.create("-sino", rays)
    back = astra.data2d.create("-vol", volume)
    tasks = []
    for name, slot, data in (("FP", "VolumeDataId", image), ("BP", "ReconstructionDataId", back)):
        settings = astra.astra_dict(name)
        settings.update({"ProjectorId": projector, "ProjectionDataId": sinogram, slot: data})
        tasks.append(astra.algorithm.create(settings))
    forward, backward = (lambda task=task: astra.algorithm.run(task) for task in tasks)
    forward()
    return forward, backward, astra.data2d.get(sinogram)


def clocks(work):
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(title, ours, theirs, runs, target):
    for work in (ours, theirs):
        work()
    pairs = [(clocks(ours), clocks(theirs)) for _ in range(runs)]
    (a, a_cpu), (b, b_cpu) = ([statistics.median(p[side][clock] for p in pairs) for clock in (0, 1)] for side in (0, 1))
    ratio = statistics.median(p[1][0] / p[0][0] for p in pairs)
    aim = f", target {target}" if target else ""
    print(f"{title:22s} varinv {1e3 * a:7.2f} ms, ASTRA {1e3 * b:7.2f} ms: ratio {ratio:5.1f}{aim}", end="")
    print(f"   (processor time {1e3 * a_cpu:.1f} and {1e3 * b_cpu:.1f} ms: {b_cpu / a_cpu:.1f})")
    return ratio


def main(size=512, runs=9):
    views, detectors = 180, round(size * 725 / 512)
    x = np.random.default_rng(0).random((size, size), dtype=np.float32)
    volume = astra.create_vol_geom(size, size)
    print(f"{size}², {views} views, {detectors} bins, float32, medians of {runs} alternating runs, ", end="")
    print(f"{numba.get_num_threads()} threads; {vi.__name__} against ASTRA {astra.__version__}")

    half_turn, turn = np.arange(views) * np.pi / views, np.arange(views) * 2 * np.pi / views
    rays = astra.create_proj_geom("parallel", 1.0, detectors, half_turn)
    A = vi.Radon((size, size), vi.ParallelBeam(half_turn, detectors))
    forward, backward, theirs = astra_pair("linear", rays, volume, x)
    y = A(x)
    print(f"parallel, against 'linear': relative difference {np.linalg.norm(y - theirs) / np.linalg.norm(theirs):.1e}")
    compare("parallel, forward", lambda: A.forward(x), forward, runs, 5)
    compare("parallel, adjoint", lambda: A.adjoint(y), backward, runs, 4)

    rays = astra.create_proj_geom("fanflat", 1.5, detectors, turn, 2.0 * size, 1.0 * size)
    A = vi.Radon((size, size), vi.FanBeam(turn, detectors, 1.5, 2.0 * size, 1.0 * size))
    forward, backward, theirs = astra_pair("line_fanflat", rays, volume, x)
    y = A(x)
    print(
        "fan, against 'line_fanflat' (another model of the integral: noise shows it most): relative difference ", end=""
    )
    print(f"{np.linalg.norm(y - theirs) / np.linalg.norm(theirs):.1e}")
    compare("fan, forward", lambda: A.forward(x), forward, runs, None)
    compare("fan, adjoint", lambda: A.adjoint(y), backward, runs, None)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
