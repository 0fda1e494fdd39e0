"""CPU twin of blur: direct convolution in 1 to 3 dimensions, one output row at a time, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.operators import blur
from varinv.twins import compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 4), ro(f, 3), rw(f, 4)))
def _convolve(x, psf, out):
    slices, rows, columns = out.shape[1:]
    depth, height, width = psf.shape
    for m in nb.prange(out.shape[0] * slices * rows):
        b, k, i = m // (slices * rows), m // rows % slices, m % rows
        line = out[b, k, i]
        line[:] = 0
        for c in range(depth):
            for a in range(height):
                source = x[b, k + depth - 1 - c, i + height - 1 - a]
                for e in range(width - 1, 2, -4):  # four taps in one pass over the row
                    v0, v1, v2, v3 = psf[c, a, e], psf[c, a, e - 1], psf[c, a, e - 2], psf[c, a, e - 3]
                    first = width - 1 - e
                    p0, p1 = source[first : first + columns], source[first + 1 : first + 1 + columns]
                    p2, p3 = source[first + 2 : first + 2 + columns], source[first + 3 : first + 3 + columns]
                    for j in range(columns):
                        line[j] += v0 * p0[j] + v1 * p1[j] + v2 * p2[j] + v3 * p3[j]
                for e in range(width % 4):
                    value, part = psf[c, a, e], source[width - 1 - e : width - 1 - e + columns]
                    for j in range(columns):
                        line[j] += value * part[j]


def convolve(x, psf):
    d = psf.ndim
    if d > 3:
        return blur.convolve.reference(x, psf)
    x = plain(x)
    inner = tuple(n - s + 1 for n, s in zip(x.shape[x.ndim - d :], psf.shape, strict=True))
    lead = x.shape[: x.ndim - d]
    batch, ones = math.prod(lead), (1,) * (3 - d)
    out = empty((*lead, *inner), x.dtype, x)
    small = np.ascontiguousarray(psf, dtype=x.dtype).reshape(*ones, *psf.shape)
    _convolve(x.reshape(batch, *ones, *x.shape[x.ndim - d :]), small, out.reshape(batch, *ones, *inner))
    return out
