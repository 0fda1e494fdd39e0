"""Solves beside other busy programs, and alone: varinv as it comes against settings of the environment.

    python benchmarks/busy.py [--beside 0 2 4] [--rounds 9] [--cases …] [--settings …]

Each setting has a process of its own that has run every case; they take turns, in an order that turns round, and the
medians are printed: wall time, its ratio to that of varinv as it comes, CPU time.  Busy programs have one thread each.
Asked on two cores: beside two at most twice the time of OMP_WAIT_POLICY=passive; alone at most 1.1 times the best.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

import numpy as np

SETTINGS = {
    "as it comes": {},
    "loaded before": {"LD_PRELOAD": "libgomp.so.1"},  # by another package: it has read its settings before varinv
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "OpenMP's own": {"GOMP_SPINCOUNT": "300000"},  # what it does where nothing is said
    "spin 20000": {"GOMP_SPINCOUNT": "20000"},
    "workqueue": {"NUMBA_THREADING_LAYER": "workqueue"},
    "one thread": {"NUMBA_NUM_THREADS": "1"},
}


CASES = ["TV 512²", "each observed", "ChambollePock", "CT-TV 256²/60", "TV 128²"]


def problems():
    """Names and runs."""
    import varinv as vi

    rng, image = np.random.default_rng(0), np.zeros((512, 512), "f4")
    image[100:300, 150:400] = 1
    y = (image + 0.1 * rng.standard_normal(image.shape)).astype("f4")
    A = vi.Radon((256, 256), vi.ParallelBeam(np.arange(60) * np.pi / 60, 363))
    s = A(image[::2, ::2].copy())
    s = (s + 0.01 * s.max() * rng.standard_normal(s.shape)).astype("f4")
    small = y[:128, :128].copy()
    denoising, ct = vi.L2Squared(y) + 0.1 * vi.TV(y.shape), vi.L2Squared(s) @ A + 0.02 * vi.TV((256, 256))
    tiny, stop, look = vi.L2Squared(small) + 0.1 * vi.TV(small.shape), vi.iterations(120), lambda s: None
    runs = (
        lambda: vi.solve(denoising, stop=stop),
        lambda: vi.solve(denoising, stop=stop, observe=look),
        lambda: vi.solve(denoising, vi.ChambollePock(), stop=stop),
        lambda: vi.solve(ct, stop=stop),
        lambda: vi.solve(tiny, vi.ChambollePock(), stop=stop, observe=look),
    )
    return dict(zip(CASES, runs, strict=True))


def work():
    """Run what the lines of stdin name, and print wall and CPU seconds."""
    runs = problems()
    for run in runs.values():
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        runs[line.strip()]()
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


def measure(beside, rounds, settings, cases):
    """Print one table."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "NUMBA_"))}
    workers, busy, times = {}, [], {(n, c): [] for n in settings for c in cases}
    try:
        for name in settings:
            workers[name] = subprocess.Popen(
                [sys.executable, __file__, "--work"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=clean | SETTINGS[name],
            )
            assert workers[name].stdout.readline() == "ready\n"
        busy += [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(beside)]
        for k in range(rounds):
            for case in cases:
                for name in settings if k % 2 else settings[::-1]:
                    workers[name].stdin.write(case + "\n")
                    workers[name].stdin.flush()
                    times[name, case].append(tuple(map(float, workers[name].stdout.readline().split())))
    finally:
        for process in [*busy, *workers.values()]:
            process.kill()
    print(
        f"\nbeside {beside} busy programs, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds; ms\n"
    )
    print("| " + " | ".join(["setting", *cases]) + " |\n" + "|---" * (len(cases) + 1) + "|")
    middle = {key: [1e3 * statistics.median(t) for t in zip(*found, strict=True)] for key, found in times.items()}
    for name in settings:
        row = [(*middle[name, c], middle[name, c][0] / middle[settings[0], c][0]) for c in cases]
        print(
            f"| {name} | " + " | ".join(f"{wall:.0f} ({ratio:.2f}; CPU {cpu:.0f})" for wall, cpu, ratio in row) + " |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="varinv beside busy programs")
    parser.add_argument("--beside", type=int, nargs="*", default=[0, 2, 4])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--cases", nargs="*", default=CASES, choices=CASES)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work()
    else:
        for beside in options.beside:
            measure(beside, options.rounds, options.settings, options.cases)
