"""CPU twin of the sweep: rows of x̄ live in the cache from their primal to their dual step; all cores.

An image is swept along its rows, a volume along its slices (`march`), a few rows of each at a time (`strip`).  Threads
share nothing: each finds x̄ on the border of its block again.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import sweep
from varinv.twins import along_last, compiled, plain, ro, rw

BLOCK = {2: (32, 1), 3: (64, 16)}  # rows of an image, slices and rows of a volume, that one thread takes at a time

inner = nb.njit(inline="always")  # into the loop over threads, where arrays are known not to overlap


@inner
def _nearest(u, slope, tau, shrink, lo, hi):
    v = (u - tau * slope) * shrink
    v = lo if v < lo else v
    return hi if v > hi else v


@inner
def _factor(squares, w, smooth, tiny):
    """As in variation_numba.py: what a kernel compiles stands in one file."""
    return min(w / max(w + smooth, tiny), w / np.sqrt(max(squares, tiny)))


@inner
def _block(b, m0, m1, r0, r1, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, x, ahead, out):
    _, march, strip, cols = u.shape
    d, n, real = p.shape[0], cols - 1, u.dtype.type
    zero, keep, last = real(0), real(1) - rho, rates[d - 1]
    tall = min(r1 + d - 2, strip)  # with one row of x̄ below, in three dimensions
    bars = np.empty((2, tall - r0, cols + 1), u.dtype)  # x̄ of two rows (slices); its last column is there twice
    for m in range(m0, m1 + 1):
        here, before = m % 2, max(m - 1, 0)
        enter, leave = rates[0] if m > 0 else zero, rates[0] if m < march - 1 else zero
        for r in range(r0, tall if m < march else r0):
            k = r - r0
            yb, ym, yr = (b, m, r) if y.size > cols else (0, 0, 0)
            for j in range(1, n):
                slope = enter * p[0, b, before, r, j] - leave * p[0, b, m, r, j] - w * y[yb, ym, yr, j]
                bars[here, k, j] = slope + last * (p[d - 1, b, m, r, j - 1] - p[d - 1, b, m, r, j])
            for j in (0, n):
                slope = enter * p[0, b, before, r, j] - leave * p[0, b, m, r, j] - w * y[yb, ym, yr, j]
                left = last * p[d - 1, b, m, r, j - 1] if j > 0 else zero
                bars[here, k, j] = slope + left - (last * p[d - 1, b, m, r, j] if j < n else zero)
            if d == 3:
                above, first, final = max(r - 1, 0), rates[1] if r > 0 else zero, rates[1] if r < strip - 1 else zero
                for j in range(cols):
                    bars[here, k, j] += first * p[1, b, m, above, j] - final * p[1, b, m, r, j]
            if m < m1 and r < r1:
                for j in range(cols):
                    v = _nearest(u[b, m, r, j], bars[here, k, j], tau, shrink, lo, hi)
                    x[b, m, r, j] = v
                    ahead[b, m, r, j] = keep * u[b, m, r, j] + rho * v
                    bars[here, k, j] = v + (v - u[b, m, r, j])
            else:
                for j in range(cols):
                    v = _nearest(u[b, m, r, j], bars[here, k, j], tau, shrink, lo, hi)
                    bars[here, k, j] = v + (v - u[b, m, r, j])
            bars[here, k, cols] = bars[here, k, n]
        i, now = m - 1, 1 - here
        after = here if m < march else now
        for r in range(r0, r1 if m > m0 else r0):
            k = r - r0
            wb, wm, wr = (b, i, r) if weight.size > cols else (0, 0, 0)
            if d == 2:
                for j in range(cols):
                    s = p[0, b, i, r, j] + steps[0] * (bars[after, k, j] - bars[now, k, j])
                    t = p[1, b, i, r, j] + steps[1] * (bars[now, k, j + 1] - bars[now, k, j])
                    f = rho * _factor(s * s + t * t, weight[wb, wm, wr, j], smooth, tiny)
                    out[0, b, i, r, j] = keep * p[0, b, i, r, j] + f * s
                    out[1, b, i, r, j] = keep * p[1, b, i, r, j] + f * t
            else:
                below = min(k + 1, tall - r0 - 1)
                for j in range(cols):
                    s = p[0, b, i, r, j] + steps[0] * (bars[after, k, j] - bars[now, k, j])
                    q = p[1, b, i, r, j] + steps[1] * (bars[now, below, j] - bars[now, k, j])
                    t = p[2, b, i, r, j] + steps[2] * (bars[now, k, j + 1] - bars[now, k, j])
                    f = rho * _factor(s * s + q * q + t * t, weight[wb, wm, wr, j], smooth, tiny)
                    out[0, b, i, r, j] = keep * p[0, b, i, r, j] + f * s
                    out[1, b, i, r, j] = keep * p[1, b, i, r, j] + f * q
                    out[2, b, i, r, j] = keep * p[2, b, i, r, j] + f * t


@compiled(
    lambda f: void(
        ro(f, 4), ro(f, 5), ro(f, 4), ro(f, 4), f, f, f, f, f, ro(f, 1), ro(f, 1), f, f, f, nb.int64, nb.int64,
        rw(f, 4), rw(f, 4), rw(f, 5),
    ),
    error_model="numpy",
)  # fmt: skip
def _sweep(u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, slab, rows, x, ahead, out):
    images, march, strip, _ = u.shape
    slabs, strips = (march + slab - 1) // slab, (strip + rows - 1) // rows
    for job in nb.prange(images * slabs * strips):
        b, m0, r0 = job // (slabs * strips), job // strips % slabs * slab, job % strips * rows
        _block(
            b, m0, min(m0 + slab, march), r0, min(r0 + rows, strip), u, p, y, weight, tau, w, shrink, lo, hi, rates,
            steps, smooth, tiny, rho, x, ahead, out,
        )  # fmt: skip


def tv_sweep(u, p, tau, y, w, lo, hi, step, weight, smoothing, spacing, axes, relaxation):
    d = len(axes)
    if not along_last(u.ndim, axes):
        return sweep.tv_sweep.reference(u, p, tau, y, w, lo, hi, step, weight, smoothing, spacing, axes, relaxation)
    u, p = plain(u, p)
    x, ahead, out = empty(u.shape, u.dtype, u), empty(u.shape, u.dtype, u), empty(p.shape, p.dtype, p)
    shape = (1, *u.shape) if d == 3 else (math.prod(u.shape[:-2]), u.shape[-2], 1, u.shape[-1])
    y, weight = (_rows(a, shape, u.dtype) for a in (y, weight))
    rates = 1 / np.asarray(spacing, u.dtype)
    _sweep(
        u.reshape(shape), p.reshape(d, *shape), y, weight, tau, w, 1 / (1 + tau * w), lo, hi, rates,
        np.asarray([step / h for h in spacing], u.dtype), step * smoothing, np.finfo(u.dtype).tiny, relaxation,
        *BLOCK[d], x.reshape(shape), ahead.reshape(shape), out.reshape(d, *shape),
    )  # fmt: skip
    return x, ahead, out


def _rows(a, shape, dtype):
    """An image, or one row of a number."""
    a = np.asarray(a, dtype=dtype)
    return np.ascontiguousarray(a).reshape(shape) if a.size > 1 else np.full((1, 1, 1, shape[-1]), a, dtype)
