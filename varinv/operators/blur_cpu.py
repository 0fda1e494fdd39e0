"""CPU twins of blur: direct convolution by output rows, all cores; kernels of low rank by their rows and columns."""

# mypy: ignore-errors
from __future__ import annotations

import functools
import math

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.numba_tools import compiled, inner, plain, ro, rw
from varinv.operators import blur


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


@inner
def _taps(x, u, down):
    """Σ_a u[a] x[a], four rows in one pass."""
    height = u.size
    down[:] = 0
    for a in range(0, height - 3, 4):
        v0, v1, v2, v3 = u[a], u[a + 1], u[a + 2], u[a + 3]
        p0, p1, p2, p3 = x[a], x[a + 1], x[a + 2], x[a + 3]
        for j in range(down.size):
            down[j] += v0 * p0[j] + v1 * p1[j] + v2 * p2[j] + v3 * p3[j]
    for a in range(height - height % 4, height):
        value, part = u[a], x[a]
        for j in range(down.size):
            down[j] += value * part[j]


@compiled(lambda f: void(ro(f, 3), ro(f, 2), ro(f, 2), rw(f, 3)))
def _convolve_low(x, columns_of, rows_of, out):
    """Σ_r u_r v_rᵀ: down the columns with u into one row, along that row with v."""
    rows, columns = out.shape[1:]
    rank, height = columns_of.shape
    width = rows_of.shape[1]
    for m in nb.prange(out.shape[0] * rows):
        b, i = m // rows, m % rows
        line = out[b, i]
        down = np.empty(columns + width - 1, out.dtype)
        for r in range(rank):
            u, v = columns_of[r], rows_of[r]
            _taps(x[b, i : i + height], u, down)
            if r == 0:
                line[:] = 0
            for e in range(0, width - 3, 4):
                v0, v1, v2, v3 = v[e], v[e + 1], v[e + 2], v[e + 3]
                p0, p1, p2, p3 = down[e:], down[e + 1 :], down[e + 2 :], down[e + 3 :]
                for j in range(columns):
                    line[j] += v0 * p0[j] + v1 * p1[j] + v2 * p2[j] + v3 * p3[j]
            for e in range(width - width % 4, width):
                value, part = v[e], down[e:]
                for j in range(columns):
                    line[j] += value * part[j]


@functools.lru_cache(maxsize=64)
def _factors(buffer, shape):
    """(u, v), flipped, with psf = Σ_r u_r v_rᵀ to the last digit of float64, where that takes fewer sums; else None."""
    U, s, V = np.linalg.svd(np.frombuffer(buffer).reshape(shape))
    rank = int(np.sum(s > 4 * np.finfo(np.float64).eps * s[0]))
    if rank == 0 or 2 * rank * sum(shape) > shape[0] * shape[1]:
        return None
    return (U[::-1, :rank] * s[:rank]).T.copy(), V[:rank, ::-1].copy()


def convolve(x, psf):
    d = psf.ndim
    if d > 3:
        return blur.convolve.reference(x, psf)
    x = plain(x)
    inner = tuple(n - s + 1 for n, s in zip(x.shape[x.ndim - d :], psf.shape, strict=True))
    lead = x.shape[: x.ndim - d]
    batch, ones = math.prod(lead), (1,) * (3 - d)
    out = empty((*lead, *inner), x.dtype, x)
    factors = _factors(np.ascontiguousarray(psf, dtype=np.float64).tobytes(), psf.shape) if d == 2 else None
    if factors is not None:
        u, v = (np.asarray(a, dtype=x.dtype) for a in factors)
        _convolve_low(x.reshape(batch, *x.shape[x.ndim - 2 :]), u, v, out.reshape(batch, *inner))
        return out
    small = np.ascontiguousarray(psf, dtype=x.dtype).reshape(*ones, *psf.shape)
    _convolve(x.reshape(batch, *ones, *x.shape[x.ndim - d :]), small, out.reshape(batch, *ones, *inner))
    return out
