"""TV denoising: seconds to a relative objective gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from side_by_side.harness import Iterative, Row, Run, race
from side_by_side.problems import default, denoising, own, titled

TARGETS = (1e-2, 1e-3, 1e-4)


def peers(case: Any) -> dict[str, Any]:
    def skimage(name: str) -> Any:
        def make() -> Any:
            from side_by_side.peers import skimage_

            return getattr(skimage_, name)(case)

        return make

    def pyproximal(name: str) -> Any:
        def make() -> Any:
            from side_by_side.peers import pylops_

            return getattr(pylops_, name)(case)

        return make

    def odl(accelerated: bool) -> Any:
        def make() -> Any:
            from side_by_side.peers import odl_

            return odl_.denoising(case, accelerated)

        return make

    def deepinv() -> Any:
        from side_by_side.peers import deepinv_

        return deepinv_.denoising(case)

    def scico() -> Any:
        from side_by_side.peers import scico_

        return scico_.denoising(case)

    return {
        "scikit-image, Chambolle": skimage("chambolle"),
        "scikit-image, split Bregman": skimage("bregman"),
        "PyProximal, PrimalDual": pyproximal("denoising"),
        "PyProximal, prox of TV": pyproximal("tv_prox"),
        "ODL, accelerated PDHG": odl(True),
        "ODL, PDHG": odl(False),
        "deepinv, TVDenoiser": deepinv,
        "SCICO, PDHG": scico,
    }


def names(run: Run) -> list[str]:
    return [name for name in peers(None) if not (run.quick and name in SLOW)]


SLOW = ("scikit-image, split Bregman", "ODL, PDHG")  # taken at 512² only, and not by --quick

LARGE = ("scikit-image, Chambolle", "ODL, accelerated PDHG", "deepinv, TVDenoiser")  # those that go furthest at 512²

ASKED = {
    "scikit-image, Chambolle": 20,
    "PyProximal, PrimalDual": 50,
    "PyProximal, prox of TV": 50,
    "ODL, accelerated PDHG": 80,
    "deepinv, TVDenoiser": 20,
}


def rows(run: Run) -> Iterator[Row]:
    shapes: list[tuple[int, ...]] = [(512, 512), (2048, 2048), (256, 256, 256)]
    for shape in [(run.size,) * 2] if run.size else shapes[:1] if run.quick else shapes:
        case = denoising(shape)
        name = titled(f"TV denoising {'×'.join(map(str, shape))}", case)
        asked = ASKED if shape == (512, 512) else None
        large = max(shape) > 512 or len(shape) > 2
        targets = TARGETS[:2] if large else TARGETS
        limit = 6.0 if run.quick or large else 10.0
        yield from own(run, name, case, targets, limit)
        some = {
            name: make
            for name, make in peers(case).items()
            if run.wants(name) and (name in LARGE if large else not run.quick or name not in SLOW)
        }
        yield from race(
            name, Iterative(default(case)), some, case.gap, targets, limit,
            1 if run.quick or large else 3, asked,
        )  # fmt: skip
