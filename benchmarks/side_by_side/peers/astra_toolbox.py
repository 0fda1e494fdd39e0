"""ASTRA's CPU projectors (`linear`, `line_fanflat`), and a NumPy Chambolle–Pock around them."""

from __future__ import annotations

from typing import Any

import astra
import numpy as np

import varinv as vi
from side_by_side.harness import Iterative, Pair
from side_by_side.peers import plain


def rays(geometry: Any) -> tuple[Any, str]:
    if isinstance(geometry, vi.FanBeam):
        far = (geometry.source_to_axis, geometry.axis_to_detector)
        made = astra.create_proj_geom("fanflat", geometry.spacing, geometry.detectors, geometry.angles, *far)
        return made, "line_fanflat"
    return astra.create_proj_geom("parallel", geometry.spacing, geometry.detectors, geometry.angles), "linear"


def projector(geometry: Any, shape: tuple[int, ...]) -> Pair:
    """Forward and adjoint as functions of float32 arrays; set up once, data linked without copies; slice by slice."""
    beam, kind = rays(geometry)
    volume = astra.create_vol_geom(*shape[-2:])
    proj = astra.create_projector(kind, beam, volume)
    x, y = np.zeros(shape[-2:], np.float32), np.zeros(geometry.shape, np.float32)
    back = np.zeros(shape[-2:], np.float32)
    image, sinogram = astra.data2d.link("-vol", volume, x), astra.data2d.link("-sino", beam, y)
    result = astra.data2d.link("-vol", volume, back)
    tasks = []
    for name, slot, data in (("FP", "VolumeDataId", image), ("BP", "ReconstructionDataId", result)):
        settings = astra.astra_dict(name)
        settings.update({"ProjectorId": proj, "ProjectionDataId": sinogram, slot: data})
        tasks.append(astra.algorithm.create(settings))

    def forward(a: Any) -> Any:
        if a.ndim == 3:
            return np.stack([forward(s).copy() for s in a])
        x[...] = a
        astra.algorithm.run(tasks[0])
        return y

    def adjoint(a: Any) -> Any:
        if a.ndim == 3:
            return np.stack([adjoint(s).copy() for s in a])
        y[...] = a
        astra.algorithm.run(tasks[1])
        return back

    return Pair(forward, adjoint)


def ct_tv(case: Any) -> Iterative:
    def work(watch: Any) -> None:
        shape = case.judge.domain
        A = projector(case.extra, shape)
        norm = plain.power(A.forward, A.adjoint, shape)
        plain.ct_tv(A.forward, A.adjoint, norm, case.y, shape, case.lam, plain.SIGMA["ct"], watch)

    return Iterative(work)
