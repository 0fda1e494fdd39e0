"""Each kernel beside what the machine could do: bytes over the bandwidth, operations over the peak.

The bandwidth is that of arrays which take as much room as those of the kernel, so that what the caches give to the
kernel they give to the ceiling as well.  Of both the best of several runs counts: a disturbance shortens nothing.
A run is as many calls, one after the other, as take about 5 ms: threads that slept are awake, as in a solver's loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import varinv as vi
from side_by_side.harness import Row, Run, seconds
from side_by_side.machine import bandwidth, multiply_add_peak
from side_by_side.problems import denoising


def iteration(solver: Any, problem: Any) -> Any:
    """A function that does one more iteration."""
    states = solver.states(problem)
    state = [next(states)]

    def work() -> None:
        state[0] = next(states)

    return work


def advance(solver: Any, problem: Any) -> Any:
    """A function that does 16 iterations, between two balances (at 182 and 228)."""
    state = next(itertools.islice(solver.states(problem), 200, None))

    def work() -> None:
        assert solver.advance(problem, state, 16).k == state.k + 16

    return work


def rows(run: Run) -> Iterator[Row]:
    from varinv.fused.steps import dual_step, primal_step

    case = "kernels, float32, shares of the measured ceilings"
    memory, peak = bandwidth(), multiply_add_peak()
    yield Row(case, "ceilings", None, note=f"memory {memory / 1e9:.3g} GB/s, multiply-add {peak / 1e9:.4g} Gflop/s")
    ceilings: dict[int, float] = {}

    def row(
        what: str,
        work: Any,
        count: float,
        held: float,
        operations: float,
        asked: float | None,
        words: str,
        at_once: int = 1,
    ) -> Row:
        """`count` bytes moved, `held` bytes of different arrays; `at_once`: how many times `work` does it."""
        work()
        calls = max(1, round(0.005 / seconds(work)))
        spent = min(seconds(lambda: [work() for _ in range(calls)]) for _ in range(25)) / calls / at_once
        size = int(held)
        if size not in ceilings:
            ceilings[size] = bandwidth(size)
        there = ceilings[size]
        shares = (
            f"{1e3 * spent:.3g} ms; ceiling for {size >> 20} MiB {there / 1e9:.3g} GB/s, "
            f"{100 * count / spent / memory:.0f} % of memory's; {100 * operations / spent / peak:.0f} % of the "
            f"peak; {words}"
        )
        return Row(case, what, 100 * count / spent / there, unit="% of bandwidth", note=shares, asked=asked)

    for n in (run.size or 512, run.size or 2048):
        shape, image = (n, n), 4.0 * n * n
        x = np.random.default_rng(0).random(shape, dtype=np.float32)
        D, pixels = vi.Gradient(shape), float(n * n)
        p = D(x)
        made = denoising(shape)
        problem = made.build("float32")
        tv = problem.coupled[0]
        yield row(f"gradient {n}²", lambda: D(x), 3 * image, 3 * image, 2 * pixels, None, "3 images moved")  # noqa: B023
        yield row(f"divergence {n}²", lambda: D.T(p), 3 * image, 3 * image, 4 * pixels, None, "3 images moved")  # noqa: B023
        yield row(
            f"dual step of TV {n}²", lambda: dual_step(tv.f, tv.K, p, x, 0.1), 5 * image, 5 * image, 12 * pixels, None,  # noqa: B023
            "reads p, x̄, writes p: 5 images",
        )  # fmt: skip
        yield row(
            f"primal step of TV {n}²", lambda: primal_step(problem.simple, [tv.K], [p], x, 0.1, 1.0), 6 * image,  # noqa: B023
            6 * image, 12 * pixels, None, "reads x, p, y, writes x, x̄: 6 images",
        )  # fmt: skip
        asked = 60.0 if n == 2048 else None
        yield row(
            f"iteration of ChambollePock {n}²", iteration(vi.ChambollePock(), problem), 11 * image, 9 * image,
            24 * pixels, asked, "both steps: 11 images",
        )  # fmt: skip
        yield row(
            f"iteration of AdaptiveChambollePock {n}²", iteration(vi.AdaptiveChambollePock(), problem), 8 * image,
            8 * image, 30 * pixels, None, "one sweep: reads u, p, y, writes x, u, p: 8 images",
        )  # fmt: skip
        yield row(
            f"the same 16 at once {n}², per iteration", advance(vi.AdaptiveChambollePock(), problem), 8 * image,
            8 * image, 30 * pixels, asked, "one sweep for all: 100 % is an iteration at the speed of copying 8 images",
            16,
        )  # fmt: skip
    for n, views in ((run.size or 512, 180), (run.size or 1024, 360)):
        if run.quick and n == 1024:
            continue
        angles = np.arange(views) * np.pi / views
        A = vi.Radon((n, n), vi.ParallelBeam(angles, round(n * 725 / 512)))
        x = np.random.default_rng(0).random((n, n), dtype=np.float32)
        y = A(x)
        # a ray meets a row (or column) at a time, in two pixels, with a multiply-add each: n² max(|cos|, |sin|) a view
        operations = 4.0 * n * n * float(np.maximum(np.abs(np.cos(angles)), np.abs(np.sin(angles))).sum())
        moved, words = float(x.nbytes + y.nbytes), "two multiply-adds a ray and row"
        yield row(f"Radon {n}² × {views}, forward", lambda: A(x), moved, moved, operations, None, words)  # noqa: B023
        yield row(f"Radon {n}² × {views}, adjoint", lambda: A.T(y), moved, moved, operations, None, words)  # noqa: B023
