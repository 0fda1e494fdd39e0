"""CPU twins of gradient: one pass over memory, all cores; 2-D and 3-D images, all axes, neumann."""

# mypy: ignore-errors
from __future__ import annotations

import math

from numba.types import void

from varinv.backend import empty
from varinv.numba_tools import plain, ro, rw, shared
from varinv.operators import gradient


@shared(lambda f: void(ro(f, 3), f, f, f, rw(f, 4)))
def _differences(start, stop, u, r0, r1, r2, out):
    d = out.shape[0]
    slices, rows, columns = u.shape
    for m in range(start, stop):
        k, i = m // rows, m % rows
        last = min(i + 1, rows - 1)  # where the neighbour is missing the pixel is its own: difference 0
        for j in range(columns):
            out[d - 2, k, i, j] = (u[k, last, j] - u[k, i, j]) * r1
        for j in range(columns - 1):
            out[d - 1, k, i, j] = (u[k, i, j + 1] - u[k, i, j]) * r2
        out[d - 1, k, i, columns - 1] = 0
        if d == 3:
            behind = min(k + 1, slices - 1)
            for j in range(columns):
                out[0, k, i, j] = (u[behind, i, j] - u[k, i, j]) * r0


@shared(lambda f: void(ro(f, 4), f, f, f, rw(f, 3)))
def _minus_divergence(start, stop, p, r0, r1, r2, out):
    d = p.shape[0]
    slices, rows, columns = out.shape
    for m in range(start, stop):
        k, i = m // rows, m % rows
        above, keep = max(i - 1, 0), r1 if i < rows - 1 else r1 * 0  # the last difference is 0: not read
        first = r1 if i > 0 else r1 * 0
        for j in range(columns):
            out[k, i, j] = first * p[d - 2, k, above, j] - keep * p[d - 2, k, i, j]
        for j in range(columns - 1):
            out[k, i, j] -= r2 * p[d - 1, k, i, j]
        for j in range(1, columns):
            out[k, i, j] += r2 * p[d - 1, k, i, j - 1]
        if d == 3:
            if k > 0:
                for j in range(columns):
                    out[k, i, j] += r0 * p[0, k - 1, i, j]
            if k < slices - 1:
                for j in range(columns):
                    out[k, i, j] -= r0 * p[0, k, i, j]


def _fits(ndim, axes, boundary):
    return boundary == "neumann" and ndim in (2, 3) and tuple(axes) == tuple(range(ndim))


def differences(u, spacing, axes, boundary):
    if not _fits(u.ndim, axes, boundary):
        return gradient.differences.reference(u, spacing, axes, boundary)
    u = plain(u)
    out = empty((u.ndim, *u.shape), u.dtype, u)
    volume = (1, *u.shape)[-3:]
    rates = [1.0] * (3 - u.ndim) + [1 / h for h in spacing]
    _differences(math.prod(volume[:2]), u.reshape(volume), *rates, out.reshape(u.ndim, *volume))
    return out


def minus_divergence(p, spacing, axes, boundary):
    ndim = p.ndim - 1
    if not _fits(ndim, axes, boundary):
        return gradient.minus_divergence.reference(p, spacing, axes, boundary)
    p = plain(p)
    out = empty(p.shape[1:], p.dtype, p)
    volume = (1, *out.shape)[-3:]
    rates = [1.0] * (3 - ndim) + [1 / h for h in spacing]
    _minus_divergence(math.prod(volume[:2]), p.reshape(ndim, *volume), *rates, out.reshape(volume))
    return out
