"""Rays of any direction through a volume, on the CPU, one by one.

Tables of the rays of a few views come first: axis, first and last plane, two places and two slopes, path.  Forward, a
job owns rays; back, it owns a strip of planes, one pass for each axis.  Every number is summed by one job in a fixed
order: the bits do not depend on the number of threads.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import float64, int64, void

from varinv.numba_tools import FAST, ro, rw, shared

BATCH = 8  # views whose rays are tabulated at once
STRIP = 16  # planes of one owner
RAYS = 512  # rays of a job

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


@inner
def planes_met(t, dt, width, low, high):
    """The planes n in [low, high) with −1 < t + n·dt < width, and perhaps one more at either end."""
    if abs(dt) < 1e-12:
        return (low, high) if -1.0 < t < width else (low, low)
    a, b = (-1.0 - t) / dt, (width - t) / dt
    a, b = min(a, b), max(a, b)
    if b < low or a > high:
        return low, low
    return max(low, int64(math.floor(max(a, -1.0)))), min(high, int64(math.ceil(min(b, high + 1.0))) + 1)




def project_rays(x, rays, some, out):
    from varinv.operators.volume_radon import project_volume

    out[some] = project_volume.reference(x, part(rays, some))


def adjoint_rays(y, rays, some, out):
    from varinv.operators.volume_radon import adjoint_volume

    out += adjoint_volume.reference(y[some], part(rays, some))


def part(rays, some):
    import copy

    made = copy.copy(rays)
    made.views = rays.views[some]
    return made
