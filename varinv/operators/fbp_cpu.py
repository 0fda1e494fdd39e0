"""CPU twin of fbp: rows of the image in parallel, views in their order, so that the bits do not depend on threads."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.numba_tools import compiled, plain, ro, rw


# f: the float type; numbers come as one small array `c` of that type, so that nothing widens to float64
@compiled(lambda f: void(ro(f, 2), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), rw(f, 2)))
def _back_project(q, cosines, sines, x, y, c, out):
    bins_per_pixel, axis, inverse_source, last, one, zero = c[0], c[1], c[2], c[3], c[4], c[5]
    top = q.shape[1] - 1
    for i in nb.prange(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = zero
        for k in range(q.shape[0]):
            across = y[i] * sines[k]
            ahead = one + y[i] * cosines[k] * inverse_source
            for j in range(out.shape[1]):
                inverse = one / (ahead - x[j] * sines[k] * inverse_source)
                place = (across + x[j] * cosines[k]) * inverse * bins_per_pixel + axis
                if place >= zero and place <= last:
                    floor = np.floor(place)
                    low = int(floor)
                    here = q[k, low]
                    there = q[k, min(low + 1, top)]
                    out[i, j] += inverse * inverse * (here + (place - floor) * (there - here))


def interpolate_back(q, cosines, sines, shape, bins_per_pixel, axis, source):
    q, cosines, sines = plain(q, cosines, sines)
    rows, columns = shape
    x = (np.arange(columns) - (columns - 1) / 2).astype(q.dtype)
    y = ((rows - 1) / 2 - np.arange(rows)).astype(q.dtype)
    constants = np.array([bins_per_pixel, axis, 1 / source if source > 0 else 0, q.shape[1] - 1, 1, 0], dtype=q.dtype)
    out = empty((rows, columns), q.dtype, q)
    _back_project(q, cosines, sines, x, y, constants, out)
    return out
