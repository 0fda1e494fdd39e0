"""CPU twin of the X-ray transform for rays that are not parallel; `radon_numba` calls it.

Neighbouring rays of one angle that step the same way form a run; on one row of the image their positions
t = start + n·slope rise or fall along the run, so the rays inside the image are found by bisection and the loop over
them has no branch.  Back-projection: each thread owns strips of rows and adds to them in a fixed order.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, void

from varinv.twins import FAST, compiled, ro, rw

PAD = 8  # columns of zeros on either side of an image
STRIP = 32  # rows that one thread back-projects at a time

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


@inner
def _run(by_row, k):
    """The end of the run that begins with ray k."""
    end = k + 1
    while end < by_row.size and by_row[end] == by_row[k]:
        end += 1
    return end


@inner
def _bisect(start, slope, n, lo, hi, bound, rising):
    """The first ray of a run beyond `bound`: t > bound where t rises, t < bound where it falls."""
    while lo < hi:
        k = (lo + hi) // 2
        t = start[k] + n * slope[k]
        if (t > bound) if rising else (t < bound):
            hi = k
        else:
            lo = k + 1
    return lo


@inner
def _inside(start, slope, n, k0, k1, width):
    """The rays of a run that pass row n between columns −1 and width."""
    rising = start[k1 - 1] + n * slope[k1 - 1] > start[k0] + n * slope[k0]
    enter, leave = (-1.0, float64(width)) if rising else (float64(width), -1.0)
    return _bisect(start, slope, n, k0, k1, enter, rising), _bisect(start, slope, n, k0, k1, leave, rising)


@inner
def _read_row(row, start, slope, n, one, total):
    for k in range(total.size):
        t = start[k] + n * slope[k] + PAD
        j = np.uint64(t)
        w = row.dtype.type(t - j)
        total[k] += (one - w) * row[j] + w * row[j + np.uint64(1)]


@inner
def _write_row(row, start, slope, n, one, value):
    for k in range(value.size):
        t = start[k] + n * slope[k] + PAD
        j = np.uint64(t)
        w = row.dtype.type(t - j)
        row[j] += (one - w) * value[k]
        row[j + np.uint64(1)] += w * value[k]


@compiled(
    lambda f: void(
        ro(f, 2), ro(f, 2), ro(boolean, 2), ro(float64, 2), ro(float64, 2), ro(float64, 2), int64, rw(f, 2)
    ),
    error_model="numpy",
)  # fmt: skip
def project(image, turned, by_row, start, slope, length, parts, out):
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    real = out.dtype.type
    angles, count = start.shape
    for q in nb.prange(angles):
        total = np.zeros(count, out.dtype)
        k = 0
        while k < count:
            end = _run(by_row[q], k)
            steps, width, source = (rows, cols, image) if by_row[q, k] else (cols, rows, turned)
            for n in range(steps):
                lo, hi = _inside(start[q], slope[q], n, k, end, width)
                _read_row(source[n], start[q, lo:hi], slope[q, lo:hi], n, real(1), total[lo:hi])
            k = end
        for b in range(out.shape[1]):
            value = real(0)
            for m in range(b * parts, (b + 1) * parts):
                value += real(length[q, m] / parts) * total[m]
            out[q, b] = value


@compiled(
    lambda f: void(
        ro(f, 2), ro(boolean, 2), ro(float64, 2), ro(float64, 2), ro(float64, 2), int64, rw(f, 2), rw(f, 2)
    ),
    error_model="numpy",
)  # fmt: skip
def backproject(y, by_row, start, slope, length, parts, image, turned):
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    real = y.dtype.type
    angles, count = start.shape
    strips = (max(rows, cols) + STRIP - 1) // STRIP
    for p in nb.prange(2 * strips):
        target, steps, width = (image, rows, cols) if p % 2 == 0 else (turned, cols, rows)
        top, bottom = min(p // 2 * STRIP, steps), min((p // 2 + 1) * STRIP, steps)
        target[top:bottom] = real(0)
        value = np.empty(count, y.dtype)
        for q in range(angles):
            for m in range(count):
                value[m] = real(length[q, m] / parts) * y[q, m // parts]
            k = 0
            while k < count:
                end = _run(by_row[q], k)
                if by_row[q, k] == (p % 2 == 0):
                    for n in range(top, bottom):
                        lo, hi = _inside(start[q], slope[q], n, k, end, width)
                        _write_row(target[n], start[q, lo:hi], slope[q, lo:hi], n, real(1), value[lo:hi])
                k = end
