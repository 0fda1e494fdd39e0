"""Total variation on a device: its iteration as a share of the memory bandwidth, and whole runs beside the processor.

    python benchmarks/gpu.py [--host]

Targets: a TV iteration moves its bytes at 70 % of the rate of a device copy or faster; a run of the same solver gives
the image of the processor to 1e-5 (float32).  Times are those of CUDA events, medians of 20 after 3.  --host checks the
script itself where there is no device: small cases on NumPy.  The projectors beside ASTRA: benchmarks/gpu_projectors.py
"""

import statistics
import sys
import time

import numpy as np

import varinv as vi
from varinv import cuda_tools


def clock(work, cupy, runs=20):
    """Seconds of one call, the median."""
    times = []
    for _ in range(runs + 3):
        if cupy:
            begin, end = cupy.cuda.Event(), cupy.cuda.Event()
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(cupy.cuda.get_elapsed_time(begin, end) / 1e3)
        else:
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return statistics.median(times[3:])


def iteration(shape, xp, cupy):
    """One step of ChambollePock on denoising: the dual ascent and the primal step are all it does."""
    d, n = len(shape), 4 * int(np.prod(shape))
    y = xp.asarray(np.random.default_rng(0).random(shape, dtype=np.float32))
    other = xp.empty_like(y)
    copy = 2 * n / clock(lambda: other.__setitem__(..., y), cupy)
    problem, solver = vi.L2Squared(y) + 0.1 * vi.TV(shape), vi.ChambollePock()
    state = solver.step(problem, solver.init(problem, problem.zeros()))
    seconds = clock(lambda: solver.step(problem, state), cupy)
    # ascent: p and the extrapolated image in, p out; primal step: x, p and the data in, x and its extrapolation out
    moved = (2 * d + 1 + d + 4) * n
    share = moved / seconds / copy
    print(
        f"TV iteration {shape!s:18} {1e3 * seconds:8.3f} ms, {moved / seconds / 1e9:7.1f} GB/s, a copy "
        f"{copy / 1e9:7.1f} GB/s: share {share:5.2f} (target 0.70)"
    )


def tomography(size, views, slices, iterations, xp, cupy):
    """The same solver on the device and on the processor."""
    shape = (size, size) if slices == 1 else (slices, size, size)
    geometry = vi.ParallelBeam(np.arange(views) * np.pi / views, round(1.416 * size))
    A = vi.Radon(shape, geometry)
    rng = np.random.default_rng(1)
    truth = np.zeros(shape, np.float32)
    truth[..., size // 4 : size // 2, size // 3 : 2 * size // 3] = 1
    sinogram = A(truth)
    sinogram = sinogram + 0.01 * sinogram.max() * rng.standard_normal(sinogram.shape, dtype=np.float32)
    images, seconds = [], []
    for data in (sinogram, xp.asarray(sinogram)):
        problem = vi.L2Squared(data) @ A + 0.5 * vi.TV(shape) + vi.NonNegative()
        for n in (2, iterations):  # compilation and norms first
            began = time.perf_counter()
            result = vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(n))
            if cupy:
                cupy.cuda.Device().synchronize()
            taken = time.perf_counter() - began
        images.append(result.x.get() if hasattr(result.x, "get") else result.x)
        seconds.append(taken)
    apart = np.linalg.norm(images[1] - images[0]) / np.linalg.norm(images[0])
    print(
        f"CT-TV {shape!s:18} × {views} views, {iterations} iterations: processor {seconds[0]:8.2f} s, device "
        f"{seconds[1]:8.2f} s, ratio {seconds[0] / seconds[1]:6.1f}; images apart by {apart:.1e} (at most 1e-5)"
    )


def main(host):
    cupy, xp = None, np
    if not host:
        try:
            cupy = xp = cuda_tools.cupy()
        except RuntimeError as error:
            sys.exit(f"no device, nothing measured: {error}")
        name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
        print(f"{name}, CuPy {cupy.__version__}")
    shapes = [(512, 512), (2048, 2048), (4096, 4096), (64, 512, 512)]
    scans = [(512, 360, 1, 200), (1024, 360, 1, 100), (512, 360, 64, 20)]
    for shape in [(64, 96), (8, 24, 32)] if host else shapes:
        iteration(shape, xp, cupy)
    for size, views, slices, n in [(32, 12, 1, 10)] if host else scans:
        tomography(size, views, slices, n, xp, cupy)


if __name__ == "__main__":
    main("--host" in sys.argv[1:])
