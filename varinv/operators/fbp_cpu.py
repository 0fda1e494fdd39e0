"""CPU twin of fbp: rows of the image in parallel, views in their order, so that the bits do not depend on threads."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.numba_tools import compiled, plain, ro, rw


# f: the float type; numbers come as one small array `c` of that type, so that nothing widens to float64
@compiled(lambda f: void(ro(f, 2), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), rw(f, 2)))
def _back_project(q, cosines, sines, axes, x, y, c, out):
    bins_per_pixel, inverse_source, last, one, zero = c[0], c[1], c[2], c[3], c[4]
    top = q.shape[1] - 1
    for i in nb.prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = zero
        for k in range(q.shape[0]):
            across = y[i] * sines[k]
            ahead = one + y[i] * cosines[k] * inverse_source
            for j in range(out.shape[1]):
                inverse = one / (ahead - x[j] * sines[k] * inverse_source)
                place = (across + x[j] * cosines[k]) * inverse * bins_per_pixel + axes[k]
                if place >= zero and place <= last:
                    floor = np.floor(place)
                    low = int(floor)
                    here = q[k, low]
                    there = q[k, min(low + 1, top)]
                    out[i, j] += inverse * inverse * (here + (place - floor) * (there - here))


@compiled(lambda f: void(ro(f, 2), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), rw(f, 2)))
def _back_project_curved(q, cosines, sines, axes, x, y, c, out):
    bins_per_radian, inverse_source, last, one, zero = c[0], c[1], c[2], c[3], c[4]
    top = q.shape[1] - 1
    for i in nb.prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = zero
        for k in range(q.shape[0]):
            for j in range(out.shape[1]):
                across = (x[j] * cosines[k] + y[i] * sines[k]) * inverse_source
                ahead = one + (y[i] * cosines[k] - x[j] * sines[k]) * inverse_source
                place = np.arctan(across / ahead) * bins_per_radian + axes[k]
                if place >= zero and place <= last:
                    floor = np.floor(place)
                    low = int(floor)
                    here = q[k, low]
                    there = q[k, min(low + 1, top)]
                    out[i, j] += (here + (place - floor) * (there - here)) / (across * across + ahead * ahead)


def interpolate_back(q, cosines, sines, axes, grid):
    return _run(_back_project, grid.bins_per_pixel, q, cosines, sines, axes, grid)


def interpolate_back_curved(q, cosines, sines, axes, grid):
    return _run(_back_project_curved, grid.bins_per_pixel * grid.source, q, cosines, sines, axes, grid)


def _run(loop, scale, q, cosines, sines, axes, grid):
    q, cosines, sines, axes = plain(q, cosines, sines, axes)
    x = (np.arange(grid.columns) - grid.column).astype(q.dtype)
    y = (grid.row - np.arange(grid.rows)).astype(q.dtype)
    constants = np.array([scale, 1 / grid.source if grid.source > 0 else 0, q.shape[1] - 1, 1, 0], dtype=q.dtype)
    out = empty((grid.rows, grid.columns), q.dtype, q)
    loop(q, cosines, sines, axes, x, y, constants, out)
    return out
