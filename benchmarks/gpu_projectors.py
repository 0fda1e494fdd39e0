"""Radon's CUDA twins against ASTRA's CUDA projectors, alternating in one run on one device: medians and ratios.

    python benchmarks/gpu_projectors.py [--host]

Both read and write arrays of the device (ASTRA through its direct_FP and direct_BP, which take CuPy arrays), so that no
transfer is timed; ours includes its copies of the data.  Times are those of CUDA events.  Targets: forward at most 1.2
times ASTRA's time; the adjoint faster than ASTRA's, which is not the transpose of its forward: the third line says by
how much.  --host checks the script itself where there is no device: small cases, NumPy, and both sides on the CPU.
"""

import statistics
import sys
import time

import astra
import numpy as np
from astra import experimental

import varinv as vi


def cases(small):
    views = 24 if small else 360
    half, full = np.arange(views) * np.pi / views, np.arange(views) * 2 * np.pi / views
    for size, slices in ((32, 1), (48, 1), (16, 5)) if small else ((512, 1), (1024, 1), (512, 64)):
        detectors = round(size * 1.416)
        shape = (size, size) if slices == 1 else (slices, size, size)
        yield f"parallel {size}² × {views}, {slices} slice(s)", shape, vi.ParallelBeam(half, detectors)
        if slices == 1:
            fan = vi.FanBeam(full, detectors, 1.5, 2.0 * size, 1.0 * size)
            yield f"fan {size}² × {views}", shape, fan


def astra_pair(shape, g, host):
    """ASTRA's forward and back-projection from and into arrays of ours; None where it has no such projector."""
    rows, cols = shape[-2:]
    if len(shape) == 3:
        if host:
            return None
        rays = astra.create_proj_geom("parallel3d", g.spacing, g.spacing, shape[0], g.detectors, g.angles)
        projector = astra.create_projector("cuda3d", rays, astra.create_vol_geom(rows, cols, shape[0]))
        forward, backward = experimental.direct_FP3D, experimental.direct_BP3D
    else:
        if isinstance(g, vi.FanBeam):
            kind = "fanflat"
            rays = astra.create_proj_geom(kind, g.spacing, g.detectors, g.angles, g.source_to_axis, g.axis_to_detector)
        else:
            kind = "parallel"
            rays = astra.create_proj_geom(kind, g.spacing, g.detectors, g.angles)
        name = {"parallel": "linear", "fanflat": "line_fanflat"}[kind] if host else "cuda"
        projector = astra.create_projector(name, rays, astra.create_vol_geom(rows, cols))
        forward, backward = experimental.direct_FP2D, experimental.direct_BP2D
    return lambda x, y: forward(projector, x, y), lambda x, y: backward(projector, x, y)


def stopwatch(cupy):
    """Milliseconds of one call, by events of the device or by the clock."""

    def on_device(work):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(begin, end)

    def on_host(work):
        begin = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - begin)

    return on_device if cupy else on_host


def unmatched(x, y, Ax, Aty):
    """|⟨Ax, y⟩ − ⟨x, Aᵀy⟩| over the larger of ‖Ax‖‖y‖ and ‖x‖‖Aᵀy‖, in float64."""
    x, y, Ax, Aty = (a.astype("float64").ravel() for a in (x, y, Ax, Aty))
    scale = max(float(Ax @ Ax) * float(y @ y), float(x @ x) * float(Aty @ Aty)) ** 0.5
    return abs(float(Ax @ y) - float(x @ Aty)) / scale


def compare(title, shape, g, xp, clock, runs):
    A = vi.Radon(shape, g)
    rng = np.random.default_rng(0)
    x, y = (xp.asarray(rng.random(s, dtype=np.float32)) for s in (A.domain, A.codomain))
    into_y, into_x = xp.empty_like(y), xp.empty_like(x)
    theirs = astra_pair(shape, g, xp is np)
    work = [lambda: A.forward(x), lambda: A.adjoint(y)]
    if theirs:
        work += [lambda: theirs[0](x, into_y), lambda: theirs[1](into_x, y)]
    for _ in range(2):
        for w in work:
            w()
    times = [statistics.median(t) for t in zip(*([clock(w) for w in work] for _ in range(runs)), strict=True)]
    Ax, Aty = A.forward(x), A.adjoint(y)
    ours, samples = unmatched(x, y, Ax, Aty), np.prod(A.domain) * len(g.angles)
    for k, name in enumerate(("forward", "adjoint")):
        line = f"{title:34s} {name} {times[k]:9.3f} ms, {samples / times[k] / 1e6:7.1f} G pixel-views/s"
        if theirs:
            line += f"; ASTRA {times[2 + k]:9.3f} ms: ratio {times[2 + k] / times[k]:6.2f}"
        print(line)
    print(f"{'':34s} adjoint error {ours:.1e} (DESIGN: at most 1e-6)", end="")
    if theirs:
        distance = float(((Ax - into_y) ** 2).sum() / (into_y**2).sum()) ** 0.5
        print(f"; ASTRA {unmatched(x, y, into_y, into_x):.1e}; projections apart by {distance:.1e}", end="")
    print()


def main(host):
    if host:
        xp, cupy, runs = np, None, 3
        print("the script alone, on the processor: times mean nothing")
    else:
        from varinv.cuda_tools import cupy as found

        xp = cupy = found()
        runs = 21
        print(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(), "float32, medians of", runs)
    for title, shape, g in cases(host):
        compare(title, shape, g, xp, stopwatch(cupy), runs)


if __name__ == "__main__":
    main("--host" in sys.argv[1:])
