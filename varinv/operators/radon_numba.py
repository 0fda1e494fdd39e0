"""CPU twins of the X-ray transform: loops over whole pixel rows that the compiler turns into vector code.

Parallel rays of one angle are equally spaced, so on row n ray k meets the column  t = pitch·k + start + n·slope.
Shift row n by the integer s = ⌊start + n·slope⌋ and call the rest f in [0, 1): seen from shifted column j, ray k is at
distance  pitch·k − j + f,  and which rays can be near (the `taps` rays from the first k with pitch·k > j − 2) depends
on j alone.  So with  d[j] = pitch·k(j) − j  tabulated once per angle,

    weight of tap m at column j of row n  =  max(0, 1 − |d[j] + f + m·pitch|)

needs no index per sample, neither forward (sums over the rows, per shifted column and tap) nor back.
Every sum is made by one thread in a fixed order: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, void

from varinv.backend import empty
from varinv.operators import radon_fan_numba as fan
from varinv.twins import FAST, compiled, plain, ro, rw

PAD = 8  # columns of zeros on either side: four rows are read together, each shifted by at most one more than the last
STRIP = 32  # rows that one thread back-projects at a time
TABLES = 1 << 22  # entries of tables made at once

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


@inner
def _frame(start, slope, pitch, count, steps, width):
    """Start of the first ray in order of t, pitch > 0, first and last useful shifted column, and the taps."""
    a = abs(pitch)
    b = start + pitch * (count - 1) if pitch < 0 else start
    end = b + (steps - 1) * slope
    first = max(-math.floor(max(b, end)) - 1, 0)  # ray 0 is at 0: columns below meet none
    last = min(width - math.floor(min(b, end)), math.floor(a * (count - 1)) + 2)
    return b, a, int64(first), int64(last), int64(math.ceil(3.0 / a))


@inner
def _add_rows(total, d, x0, x1, x2, x3, e0, e1, e2, e3, zero, one):
    for j in range(total.size):
        z = d[j]
        total[j] += (
            x0[j] * max(zero, one - abs(z + e0))
            + x1[j] * max(zero, one - abs(z + e1))
            + x2[j] * max(zero, one - abs(z + e2))
            + x3[j] * max(zero, one - abs(z + e3))
        )


@inner
def _add_taps(z, d, y0, y1, y2, e0, e1, e2, zero, one):
    for j in range(z.size):
        v = d[j]
        z[j] += (
            y0[j] * max(zero, one - abs(v + e0))
            + y1[j] * max(zero, one - abs(v + e1))
            + y2[j] * max(zero, one - abs(v + e2))
        )


@inner
def _project_angle(image, steps, width, start, slope, pitch, length, parts, count, out):
    real = image.dtype.type
    zero, one = real(0), real(1)
    b, a, first, last, taps = _frame(start, slope, pitch, count, steps + 3, width)
    out[:] = zero
    size = last - first + 1
    if size <= 0:
        return
    d = np.empty(size, image.dtype)
    total = np.zeros((taps, size), image.dtype)
    for j in range(size):
        d[j] = real(a * (math.floor((first + j - 2) / a) + 1) - (first + j))
    for n in range(0, steps, 4):
        t0, t1, t2, t3 = b + n * slope, b + (n + 1) * slope, b + (n + 2) * slope, b + (n + 3) * slope
        s0, s1, s2, s3 = int64(math.floor(t0)), int64(math.floor(t1)), int64(math.floor(t2)), int64(math.floor(t3))
        lo = max(-max(s0, s3), first)
        hi = min(width - min(s0, s3), last + 1)
        if hi <= lo:
            continue
        m0, m1 = lo - first, hi - first
        lo, hi = lo + PAD, hi + PAD
        for m in range(taps):
            _add_rows(
                total[m, m0:m1],
                d[m0:m1],
                image[n, lo + s0 : hi + s0],
                image[n + 1, lo + s1 : hi + s1],
                image[n + 2, lo + s2 : hi + s2],
                image[n + 3, lo + s3 : hi + s3],
                real(t0 - s0 + m * a),
                real(t1 - s1 + m * a),
                real(t2 - s2 + m * a),
                real(t3 - s3 + m * a),
                zero,
                one,
            )
    scale = real(length / parts)
    for j in range(size):
        k0 = int64(math.floor((first + j - 2) / a)) + 1
        for m in range(taps):
            k = k0 + m
            if 0 <= k < count:
                out[(count - 1 - k if pitch < 0 else k) // parts] += scale * total[m, j]


@compiled(
    lambda f: void(
        ro(f, 2), ro(f, 2), ro(boolean, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), int64,
        rw(f, 2),
    ),
    error_model="numpy",
)  # fmt: skip
def _project(image, turned, by_row, start, slope, pitch, length, parts, out):
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    count = out.shape[1] * parts
    for q in nb.prange(start.size):
        if by_row[q]:
            _project_angle(image, rows, cols, start[q], slope[q], pitch[q], length[q], parts, count, out[q])
        else:
            _project_angle(turned, cols, rows, start[q], slope[q], pitch[q], length[q], parts, count, out[q])


@inner
def _tabulate(y, start, slope, pitch, length, parts, count, steps, width, table):
    """Row 0: d; row 1 + m: the value of tap m at each shifted column; zero where there is no such ray."""
    real = table.dtype.type
    _, a, first, last, taps = _frame(start, slope, pitch, count, steps, width)
    scale = real(length / parts)
    for j in range(last - first + 1):
        k0 = int64(math.floor((first + j - 2) / a)) + 1
        table[0, j] = real(a * k0 - (first + j))
        for m in range(table.shape[0] - 1):
            k = k0 + m
            valid = m < taps and 0 <= k < count
            table[1 + m, j] = scale * y[(count - 1 - k if pitch < 0 else k) // parts] if valid else real(0)


@inner
def _backproject_strip(table, image, top, bottom, steps, width, start, slope, pitch, count):
    real = image.dtype.type
    zero, one = real(0), real(1)
    b, a, first, last, taps = _frame(start, slope, pitch, count, steps, width)
    for n in range(top, bottom):
        t = b + n * slope
        s = int64(math.floor(t))
        lo, hi = max(-s, first), min(width - s, last + 1)
        if hi <= lo:
            continue
        m0, m1 = lo - first, hi - first
        for m in range(0, taps, 3):
            _add_taps(
                image[n, PAD + lo + s : PAD + hi + s],
                table[0, m0:m1],
                table[1 + m, m0:m1],
                table[2 + m, m0:m1],
                table[3 + m, m0:m1],
                real(t - s + m * a),
                real(t - s + (m + 1) * a),
                real(t - s + (m + 2) * a),
                zero,
                one,
            )


@compiled(
    lambda f: void(
        ro(f, 2), ro(boolean, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), int64, boolean,
        rw(f, 3), rw(f, 2), rw(f, 2),
    ),
    error_model="numpy",
)  # fmt: skip
def _backproject(y, by_row, start, slope, pitch, length, parts, fresh, tables, image, turned):
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    count = y.shape[1] * parts
    for q in nb.prange(start.size):
        steps, width = (rows, cols) if by_row[q] else (cols, rows)
        _tabulate(y[q], start[q], slope[q], pitch[q], length[q], parts, count, steps, width, tables[q])
    strips = (max(rows, cols) + STRIP - 1) // STRIP
    for p in nb.prange(2 * strips):  # strips of either orientation alternate, so that threads share both kinds
        top = p // 2 * STRIP
        if p % 2 == 0:
            bottom = min(top + STRIP, rows)
            if fresh:
                image[top:bottom] = 0
            for q in range(start.size):
                if by_row[q]:
                    _backproject_strip(tables[q], image, top, bottom, rows, cols, start[q], slope[q], pitch[q], count)
        else:
            bottom = min(top + STRIP, cols)
            if fresh:
                turned[top:bottom] = 0
            for q in range(start.size):
                if not by_row[q]:
                    _backproject_strip(tables[q], turned, top, bottom, cols, rows, start[q], slope[q], pitch[q], count)


def _framed(x):
    """A copy of an image with PAD zeros left and right, and zero rows below up to a multiple of four."""
    rows, cols = x.shape
    image = empty((rows + -rows % 4, cols + 2 * PAD), x.dtype, x)
    image[:, :PAD] = image[:, PAD + cols :] = image[rows:] = 0
    image[:rows, PAD : PAD + cols] = x
    return image


def project(x, rays):
    x = plain(x)
    out = empty((x.shape[0], rays.start.shape[0], rays.count // rays.parts), x.dtype, x)
    lines = _lines(rays)
    apply = _project if rays.pitch is not None else fan.project
    for s in range(x.shape[0]):
        apply(_framed(x[s]), _framed(x[s].T), *lines, rays.parts, out[s])
    return out


def backproject(y, rays):
    y = plain(y)
    rows, cols = rays.shape
    out = empty((y.shape[0], rows, cols), y.dtype, y)
    image = empty((rows, cols + 2 * PAD), y.dtype, y)
    turned = empty((cols, rows + 2 * PAD), y.dtype, y)
    lines = _lines(rays)
    for s in range(y.shape[0]):
        if rays.pitch is None:
            fan.backproject(y[s], *lines, rays.parts, image, turned)
        else:
            taps = 3 * math.ceil(3 / np.abs(rays.pitch).min() / 3)
            width = rows + cols + 8  # a shifted row and the shifts of all rows
            chunk = max(1, min(TABLES // ((1 + taps) * width), y.shape[1]))
            tables = empty((chunk, 1 + taps, width), y.dtype, y)
            for q in range(0, y.shape[1], chunk):
                part = slice(q, q + chunk)
                _backproject(y[s, part], *(a[part] for a in lines), rays.parts, q == 0, tables, image, turned)
        np.add(image[:, PAD : PAD + cols], turned[:, PAD : PAD + rows].T, out=out[s])
    return out


def _lines(rays):
    if rays.pitch is None:
        return rays.by_row, rays.start, rays.slope, rays.length
    first = (rays.by_row, rays.start, rays.slope, rays.pitch, rays.length)
    return tuple(np.ascontiguousarray(a[:, 0]) for a in first)
