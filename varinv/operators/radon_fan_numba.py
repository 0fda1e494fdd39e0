"""CPU twin of the X-ray transform for rays that are not parallel; `radon_numba` calls it.

Neighbouring rays of one angle that step the same way form a run; on one row of the image their positions
t = start + n·slope rise or fall along the run, so those inside are found by moving two ends from row to row, and the
loop over them has no branch.  Four rows are worked on together.  Back-projection: each thread owns strips of rows and
adds to them in a fixed order.
"""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, void

from varinv.operators.radon_numba import PAD, STRIP, inner
from varinv.twins import compiled, ro, rw

NEAR = 4.0  # rays less than 3 columns outside may come in within four rows


@inner
def _run(by_row, k):
    """The end of the run that begins with ray k."""
    end = k + 1
    while end < by_row.size and by_row[end] == by_row[k]:
        end += 1
    return end


@inner
def _slide(start, slope, n, first, end, edge, sign, k):
    """The first ray of a run beyond `edge` on row n, where sign·t rises along the run; k: where it was before."""
    while k > first and sign * (start[k - 1] + n * slope[k - 1]) > edge:
        k -= 1
    while k < end and sign * (start[k] + n * slope[k]) <= edge:
        k += 1
    return k


@inner
def _read_rows(image, n, start, slope, lo, hi, total):
    one = image.dtype.type(1)
    for k in range(lo, hi):
        t = start[k] + n * slope[k] + PAD
        value = total[k]
        for r in range(4):
            j = np.int32(t)
            w = image.dtype.type(t - j)
            i = np.uint32(j)
            value += (one - w) * image[n + r, i] + w * image[n + r, i + np.uint32(1)]
            t += slope[k]
        total[k] = value


@inner
def _write_rows(image, n, start, slope, lo, hi, value):
    one = image.dtype.type(1)
    for k in range(lo, hi):
        t = start[k] + n * slope[k] + PAD
        v = value[k]
        for r in range(4):
            j = np.int32(t)
            w = image.dtype.type(t - j)
            i = np.uint32(j)
            image[n + r, i] += (one - w) * v
            image[n + r, i + np.uint32(1)] += w * v
            t += slope[k]


@inner
def _sweep(image, top, bottom, width, by_row, start, slope, wanted, reading, sums):
    """Read (or write) rows top … bottom − 1, four at a time, along every run that steps by row as `wanted`."""
    k = 0
    while k < start.size:
        end = _run(by_row, k)
        if by_row[k] == wanted:
            lo = hi = k
            for n in range(top, bottom, 4):
                # level with a source beside the image the direction turns round, with all rays outside
                rising = start[end - 1] + n * slope[end - 1] > start[k] + n * slope[k]
                sign, enter, leave = (1.0, -NEAR, width - 1 + NEAR) if rising else (-1.0, -(width - 1 + NEAR), NEAR)
                lo = _slide(start, slope, n, k, end, enter, sign, lo)
                hi = _slide(start, slope, n, k, end, leave, sign, hi)
                if reading:
                    _read_rows(image, n, start, slope, lo, hi, sums)
                else:
                    _write_rows(image, n, start, slope, lo, hi, sums)
        k = end


@inner
def _project_angle(image, turned, by_row, start, slope, length, parts, out):
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    total = np.zeros(start.size, out.dtype)
    for wanted in (True, False):
        steps, width, source = (rows, cols, image) if wanted else (cols, rows, turned)
        _sweep(source, 0, steps, width, by_row, start, slope, wanted, True, total)
    out[:] = 0
    for k in range(start.size):
        out[k // parts] += out.dtype.type(length[k] / parts) * total[k]


@compiled(
    lambda f: void(
        rw(f, 2), rw(f, 2), ro(boolean, 2), ro(float64, 2), ro(float64, 2), ro(float64, 2), int64, rw(f, 2)
    ),
    error_model="numpy",
)  # fmt: skip
def project(image, turned, by_row, start, slope, length, parts, out):
    for q in nb.prange(start.shape[0]):
        _project_angle(image, turned, by_row[q], start[q], slope[q], length[q], parts, out[q])


@inner
def _backproject_strip(y, by_row, start, slope, length, parts, image, top, bottom, width, wanted):
    image[top:bottom] = 0
    value = np.empty(start.shape[1], y.dtype)
    for q in range(start.shape[0]):
        for k in range(value.size):
            value[k] = y.dtype.type(length[q, k] / parts) * y[q, k // parts]
        _sweep(image, top, bottom, width, by_row[q], start[q], slope[q], wanted, False, value)


@compiled(
    lambda f: void(
        ro(f, 2), ro(boolean, 2), ro(float64, 2), ro(float64, 2), ro(float64, 2), int64, rw(f, 2), rw(f, 2)
    ),
    error_model="numpy",
)  # fmt: skip
def backproject(y, by_row, start, slope, length, parts, image, turned):
    for p in nb.prange(2 * ((max(image.shape[0], turned.shape[0]) + STRIP - 1) // STRIP)):
        by = p % 2 == 0  # strips of either orientation alternate, so that threads share both kinds
        target = image if by else turned
        top = min(p // 2 * STRIP, target.shape[0])
        bottom = min(top + STRIP, target.shape[0])
        _backproject_strip(y, by_row, start, slope, length, parts, target, top, bottom, target.shape[1] - 2 * PAD, by)
