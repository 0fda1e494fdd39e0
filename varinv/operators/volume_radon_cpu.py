"""CPU twins of volume_radon: upright detector columns by `volume_columns_cpu`, all other views ray by ray."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from varinv.backend import empty
from varinv.numba_tools import plain
from varinv.operators.volume_columns_cpu import adjoint_upright, project_upright, tables
from varinv.operators.volume_rays_cpu import adjoint_rays, project_rays


def split(rays):
    """The tables of upright views, which views these are, and which not; found once."""
    if "upright" not in rays.memory:
        found = tables(rays)
        rays.memory["upright"] = found, np.flatnonzero(found[0]), np.flatnonzero(~found[0])
    return rays.memory["upright"]


def project_volume(x, rays):
    x = plain(x)
    found, upright, others = split(rays)
    out = empty(rays.views.projections, x.dtype, x)
    if upright.size:
        project_upright(x, rays, found, upright, out)
    if others.size:
        project_rays(x, rays, others, out)
    return out


def adjoint_volume(y, rays):
    y = plain(y)
    found, upright, others = split(rays)
    out = empty(rays.shape, y.dtype, y)
    out[...] = 0
    if upright.size:
        adjoint_upright(y, rays, found, upright, out)
    if others.size:
        adjoint_rays(y, rays, others, out)
    return out
