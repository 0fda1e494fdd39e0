"""Few-view tomography with total variation: seconds to a relative objective gap, set-up and norms included."""

from __future__ import annotations

from collections.abc import Iterator

from side_by_side.harness import Iterative, Row, Run, race
from side_by_side.problems import ct_tv, default, own, titled

TARGETS = (1e-2, 1e-3, 1e-4)
SIZES = ((256, 60), (512, 90))


def peers(case: object) -> dict[str, object]:
    def numpy_astra() -> object:
        from side_by_side.peers import astra_toolbox

        return astra_toolbox.ct_tv(case)

    def odl_example() -> object:
        from side_by_side.peers import odl_

        return odl_.ct_tv(case)

    def odl_balanced() -> object:
        from side_by_side.peers import odl_

        return odl_.ct_tv(case, balanced=True)

    def pylops() -> object:
        from side_by_side.peers import pylops_

        return pylops_.ct_tv(case)

    return {
        "NumPy + ASTRA CPU, PDHG balanced by hand": numpy_astra,
        "ODL PDHG on ASTRA CPU, steps of its example": odl_example,
        "ODL PDHG on ASTRA CPU, balanced by hand": odl_balanced,
        "PyLops + PyProximal on ASTRA CPU, balanced by hand": pylops,
    }


def names(run: Run) -> list[str]:
    return [name for name in peers(None) if not (run.quick and name in SLOW)]


SLOW = ("ODL PDHG on ASTRA CPU, balanced by hand",)  # taken once, at 256²: the iterations of the NumPy one
LIMITS = {  # 50 times ours, which 15 s may not show
    "ODL PDHG on ASTRA CPU, steps of its example": 30.0,
    "PyLops + PyProximal on ASTRA CPU, balanced by hand": 30.0,
}

ASKED = {
    "at": 1e-3,
    "NumPy + ASTRA CPU, PDHG balanced by hand": 15,
    "ODL PDHG on ASTRA CPU, steps of its example": 50,
    "PyLops + PyProximal on ASTRA CPU, balanced by hand": 50,
}


def rows(run: Run) -> Iterator[Row]:
    for n, views in [(run.size, 20)] if run.size else SIZES[:1] if run.quick else SIZES:
        case = ct_tv(n, views)
        name = titled(f"CT-TV {n}² / {views} views", case)
        asked = ASKED if n == 256 else None
        limit = 15.0 if run.quick else 30.0
        yield from own(run, name, case, TARGETS, limit)
        some = {
            name: make
            for name, make in peers(case).items()
            if run.wants(name) and not ((run.quick or n > 256) and name in SLOW)
        }
        yield from race(
            name, Iterative(default(case)), some, case.gap, TARGETS, limit,
            1 if run.quick else 3, asked, LIMITS,
        )  # fmt: skip
