"""CPU twin of the sweep: several iterations while a few rows of an image are in the cache; all cores.

Of an image, a window of rows moves down (`_band`): each row that enters is followed by a primal and a dual step of the
first iteration on it and the row above, of the second one row higher, and so on, until what leaves at the top has
had all of them.  Of a volume, a few rows of each slice at a time (`_block`), one iteration a sweep.  Threads share
nothing: each computes anew what it needs of the rows beside its own.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import int64, void

from varinv.backend import empty
from varinv.fused import sweep
from varinv.numba_tools import along_last, inner, plain, ro, rw, shared

BLOCK = (64, 16)  # slices and rows of a volume that one thread takes at a time
WINDOW = 1 << 20  # bytes of rows in the window: half, one and two megabytes tried at 1024² to 4096²
SHARE = 4  # rows of a thread for each iteration in the window, whose borders are computed twice


def _signature(f):
    """Of both kernels below."""
    return void(
        ro(f, 3), ro(f, 4), ro(f, 3), ro(f, 3), f, f, f, f, f, ro(f, 1), ro(f, 1), f, f, f, int64, int64,
        rw(f, 3), rw(f, 3), rw(f, 4),
    )  # fmt: skip


@inner
def _nearest(u, slope, tau, shrink, lo, hi):
    v = (u - tau * slope) * shrink
    v = lo if v < lo else v
    return hi if v > hi else v


@inner
def _factor(squares, w, smooth, tiny):
    """As in variation_cpu.py: what a kernel compiles stands in one file."""
    return min(w / max(w + smooth, tiny), w / np.sqrt(max(squares, tiny)))


@inner
def _band(b, m0, m1, count, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, x, ahead, out):
    """Rows m0 to m1 of image b after `count` iterations.  Iteration t needs `count − t` rows more on either side."""
    _, rows, cols = u.shape
    n, real, ring = cols - 1, u.dtype.type, count + 3
    zero, keep, down, right = real(0), real(1) - rho, rates[0], rates[1]
    us, ps = np.empty((ring, cols), u.dtype), np.empty((ring, cols), u.dtype)
    qs = np.empty((ring, cols + 1), u.dtype)  # with the zero that stands left of an image
    bars = np.empty((count, 2, cols + 1), u.dtype)  # x̄ of two rows; its last column is there twice
    last = np.empty(cols, u.dtype)
    for r in range(max(m0 - count, 0), m1 + count + 1):
        # row k comes in, row i has had all and goes out; before there is one, its place takes anything
        k, i = min(r, m1 + count - 1, rows - 1), max(r - count - 1, m0)
        ur, pr, qr = us[r % ring], ps[r % ring], qs[r % ring, 1:]
        ui, pi, qi = us[i % ring], ps[i % ring], qs[i % ring, 1:]
        qs[r % ring, 0] = zero
        for j in range(cols):
            ahead[b, i, j] = ui[j]
            ur[j] = u[b, k, j]
            out[0, b, i, j] = pi[j]
            pr[j] = p[0, b, k, j]
            out[1, b, i, j] = qi[j]
            qr[j] = p[1, b, k, j]
        for t in range(count):
            m, more = r - t, count - 1 - t
            here, now = m % 2, (m + 1) % 2
            if max(m0 - more, 0) <= m < min(m1 + more + 1, rows):
                enter, leave = down if m > 0 else zero, down if m < rows - 1 else zero
                um, above, below = us[m % ring], ps[max(m - 1, 0) % ring], ps[m % ring]
                before, behind, bar = qs[m % ring, :cols], qs[m % ring, 1:], bars[t, here, :cols]
                ym = y[b, m] if y.size > cols else y[0, 0]
                edge, behind[n] = behind[n], zero  # the last difference is 0: its dual is not read
                for j in range(cols):
                    slope = enter * above[j] - leave * below[j] - w * ym[j] + right * (before[j] - behind[j])
                    v = _nearest(um[j], slope, tau, shrink, lo, hi)
                    last[j] = v
                    bar[j] = v + (v - um[j])
                    um[j] = keep * um[j] + rho * v
                behind[n] = edge
                bars[t, here, cols] = bars[t, here, n]
                if more == 0 and m < m1:
                    for j in range(cols):
                        x[b, m, j] = last[j]
            i = m - 1
            if max(m0 - more, 0) <= i < min(m1 + more, rows):
                pi, qi, wi = ps[i % ring], qs[i % ring, 1:], weight[b, i] if weight.size > cols else weight[0, 0]
                next_row, bar, next_column = bars[t, here if m < rows else now], bars[t, now, :cols], bars[t, now, 1:]
                for j in range(cols):
                    s = pi[j] + steps[0] * (next_row[j] - bar[j])
                    q = qi[j] + steps[1] * (next_column[j] - bar[j])
                    f = rho * _factor(s * s + q * q, wi[j], smooth, tiny)
                    pi[j] = keep * pi[j] + f * s
                    qi[j] = keep * qi[j] + f * q


@shared(_signature)
def _images(
    start, stop, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, band, count, x, ahead, out
):
    """A job is a band of rows of an image."""
    rows = u.shape[1]
    bands = (rows + band - 1) // band
    for job in range(start, stop):
        b, m0 = job // bands, job % bands * band
        _band(
            b, m0, min(m0 + band, rows), count, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny,
            rho, x, ahead, out,
        )  # fmt: skip


@inner
def _block(m0, m1, r0, r1, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, x, ahead, out):
    march, strip, cols = u.shape
    n, real = cols - 1, u.dtype.type
    zero, keep, last = real(0), real(1) - rho, rates[2]
    tall = min(r1 + 1, strip)  # with one row of x̄ below
    bars = np.empty((2, tall - r0, cols + 1), u.dtype)  # x̄ of two slices; its last column is there twice
    for m in range(m0, m1 + 1):
        here, before = m % 2, max(m - 1, 0)
        enter, leave = rates[0] if m > 0 else zero, rates[0] if m < march - 1 else zero
        for r in range(r0, tall if m < march else r0):
            k = r - r0
            ym, yr = (m, r) if y.size > cols else (0, 0)
            for j in range(1, n):
                slope = enter * p[0, before, r, j] - leave * p[0, m, r, j] - w * y[ym, yr, j]
                bars[here, k, j] = slope + last * (p[2, m, r, j - 1] - p[2, m, r, j])
            for j in (0, n):
                slope = enter * p[0, before, r, j] - leave * p[0, m, r, j] - w * y[ym, yr, j]
                left = last * p[2, m, r, j - 1] if j > 0 else zero
                bars[here, k, j] = slope + left - (last * p[2, m, r, j] if j < n else zero)
            above, first, final = max(r - 1, 0), rates[1] if r > 0 else zero, rates[1] if r < strip - 1 else zero
            for j in range(cols):
                bars[here, k, j] += first * p[1, m, above, j] - final * p[1, m, r, j]
            if m < m1 and r < r1:
                for j in range(cols):
                    v = _nearest(u[m, r, j], bars[here, k, j], tau, shrink, lo, hi)
                    x[m, r, j] = v
                    ahead[m, r, j] = keep * u[m, r, j] + rho * v
                    bars[here, k, j] = v + (v - u[m, r, j])
            else:
                for j in range(cols):
                    v = _nearest(u[m, r, j], bars[here, k, j], tau, shrink, lo, hi)
                    bars[here, k, j] = v + (v - u[m, r, j])
            bars[here, k, cols] = bars[here, k, n]
        i, now = m - 1, 1 - here
        after = here if m < march else now
        for r in range(r0, r1 if m > m0 else r0):
            k = r - r0
            wm, wr = (i, r) if weight.size > cols else (0, 0)
            below = min(k + 1, tall - r0 - 1)
            for j in range(cols):
                s = p[0, i, r, j] + steps[0] * (bars[after, k, j] - bars[now, k, j])
                q = p[1, i, r, j] + steps[1] * (bars[now, below, j] - bars[now, k, j])
                t = p[2, i, r, j] + steps[2] * (bars[now, k, j + 1] - bars[now, k, j])
                f = rho * _factor(s * s + q * q + t * t, weight[wm, wr, j], smooth, tiny)
                out[0, i, r, j] = keep * p[0, i, r, j] + f * s
                out[1, i, r, j] = keep * p[1, i, r, j] + f * q
                out[2, i, r, j] = keep * p[2, i, r, j] + f * t


@shared(_signature)
def _volume(
    start, stop, u, p, y, weight, tau, w, shrink, lo, hi, rates, steps, smooth, tiny, rho, slab, rows, x, ahead, out
):
    """A job is a few rows of some slices."""
    march, strip, _ = u.shape
    strips = (strip + rows - 1) // rows
    for job in range(start, stop):
        m0, r0 = job // strips * slab, job % strips * rows
        _block(
            m0, min(m0 + slab, march), r0, min(r0 + rows, strip), u, p, y, weight, tau, w, shrink, lo, hi, rates,
            steps, smooth, tiny, rho, x, ahead, out,
        )  # fmt: skip


def tv_sweep(u, p, tau, g, sigma, f, K, relaxation, count):
    d = len(K.axes)
    if not along_last(u.ndim, K.axes):
        return sweep.tv_sweep.reference(u, p, tau, g, sigma, f, K, relaxation, count)
    u, p = plain(u, p)
    shape, stacked = u.shape, p.shape
    volume = shape if d == 3 else (math.prod(shape[:-2]), *shape[-2:])
    y, weight = (_rows(a, volume, u.dtype) for a in (g.y, f.weight))
    rates, shrink, smooth = 1 / np.asarray(K.spacing, u.dtype), 1 / (1 + tau * g.weight), sigma * f.smoothing
    steps, tiny = np.asarray([sigma / h for h in K.spacing], u.dtype), np.finfo(u.dtype).tiny
    known = y, weight, tau, g.weight, shrink, g.lo, g.hi, rates, steps, smooth, tiny, relaxation
    images, rows, cols = volume
    band = math.ceil(rows / max(nb.get_num_threads() // max(images, 1), 1))
    most = max(1, min(band // SHARE, WINDOW // (5 * cols * u.itemsize + 1)))
    x = empty(shape, u.dtype, u)
    while count:
        now = min(count, most) if d == 2 else 1
        ahead, out = empty(shape, u.dtype, u), empty(stacked, u.dtype, u)
        new = x.reshape(volume), ahead.reshape(volume), out.reshape(d, *volume)
        if d == 2:
            jobs = images * math.ceil(rows / band)
            _images(jobs, u.reshape(volume), p.reshape(d, *volume), *known, band, now, *new)
        else:
            jobs = math.ceil(images / BLOCK[0]) * math.ceil(rows / BLOCK[1])
            _volume(jobs, u, p, *known, *BLOCK, *new)
        u, p, count = ahead, out, count - now
    return x, u, p


def _rows(a, shape, dtype):
    """An image, or one row of a number."""
    a = np.asarray(a, dtype=dtype)
    return np.ascontiguousarray(a).reshape(shape) if a.size > 1 else np.full((1, 1, shape[-1]), a, dtype)
