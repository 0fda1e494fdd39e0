"""Deblurring with total variation, and denoising with a weight for each pixel: seconds to a relative objective gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from side_by_side.harness import Iterative, Row, Run, race
from side_by_side.problems import deblurring, default, denoising, own, titled

TARGETS = (1e-2, 1e-3, 1e-4)


def blur_peers(case: Any) -> dict[str, Any]:
    def numpy_fft() -> Any:
        from side_by_side.peers import plain

        return plain.deblurring(case)

    def pylops() -> Any:
        from side_by_side.peers import pylops_

        return pylops_.deblurring(case)

    return {"NumPy + SciPy FFT, PDHG": numpy_fft, "PyLops + PyProximal": pylops}


def weight_peers(case: Any) -> dict[str, Any]:
    def numpy() -> Any:
        from side_by_side.peers import plain

        return Iterative(lambda watch: plain.denoising(case.y, case.lam, case.extra, watch))

    return {"NumPy, accelerated PDHG": numpy}


def names(run: Run) -> list[str]:
    return [*blur_peers(None), *weight_peers(None)]


def rows(run: Run) -> Iterator[Row]:
    n = run.size or 256
    for case, peers in (
        (deblurring(n), blur_peers),
        (denoising((2 * n, 2 * n), weight=True), weight_peers),
    ):
        name = titled(f"{case.name} with TV", case)
        limit = 10.0 if run.quick else 15.0
        yield from own(run, name, case, TARGETS, limit)
        some = {name: make for name, make in peers(case).items() if run.wants(name)}
        yield from race(
            name, Iterative(default(case)), some, case.gap, TARGETS, limit,
            1 if run.quick else 3,
        )  # fmt: skip
