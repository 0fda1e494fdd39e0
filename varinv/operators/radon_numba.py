"""CPU twins of the X-ray transform: loops over whole pixel rows that the compiler turns into vector code.

Parallel rays of one angle are equally spaced, so on row n ray k meets the column  t = pitch·k + start + n·slope.
Shift row n by the integer s = ⌊start + n·slope⌋ and call the rest f in [0, 1): seen from shifted column j, ray k is at
distance  pitch·k − j + f,  and which rays can be near (the `taps` rays from the first k with pitch·k > j − 2) depends
on j alone.  So with  d[j] = pitch·k(j) − j  tabulated once per angle,

    weight of tap m at column j of row n  =  max(0, 1 − |d[j] + f + m·pitch|)

needs no index per sample, neither forward (sums over the rows, per shifted column and tap) nor back.
Every sum is made by one thread in a fixed order: the bits do not depend on the number of threads.
"""

# mypy: ignore-errors
from __future__ import annotations

import importlib
import math

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, void

from varinv.backend import empty
from varinv.twins import FAST, compiled, plain, ro, rw

PAD = 16  # columns of zeros on either side: four rows read together shift by one each, and lanes are filled up
LANES = 8  # columns are worked on in whole vectors
STRIP = 32  # rows worked on while they stay in the cache, a multiple of four
BLOCK = 4  # angles that share them, at least
CACHE = 1 << 18  # bytes of sums that may lie beside a strip
TABLES = 4  # bytes a pixel: tables made at once

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
def _add_rows(total, d, x0, x1, x2, x3, e0, e1, e2, e3):
    """total += four image rows times their weights for one tap."""
    real = d.dtype.type
    zero, one = real(0), real(1)
    for j in range(total.size):
        z = d[j]
        total[j] += (
            x0[j] * max(zero, one - abs(z + real(e0)))
            + x1[j] * max(zero, one - abs(z + real(e1)))
            + x2[j] * max(zero, one - abs(z + real(e2)))
            + x3[j] * max(zero, one - abs(z + real(e3)))
        )


@inner
def _add_taps(row, d, y0, y1, y2, e0, e1, e2):
    """An image row += three taps times their weights."""
    real = d.dtype.type
    zero, one = real(0), real(1)
    for j in range(row.size):
        z = d[j]
        row[j] += (
            y0[j] * max(zero, one - abs(z + real(e0)))
            + y1[j] * max(zero, one - abs(z + real(e1)))
            + y2[j] * max(zero, one - abs(z + real(e2)))
        )


@inner
def _columns(s_low, s_high, width, first, last):
    """Which entries of the tables all rows with shifts s_low … s_high need, in whole vectors."""
    begin = max(-s_high - first, 0) // LANES * LANES
    end = (min(width - s_low, last + 1) - first + LANES - 1) // LANES * LANES
    return begin, max(begin, end)


@inner
def _cut(image, rows, top, strip):
    """strip ← rows (else columns) top … of the image between PAD zeros, zero beyond its end."""
    steps, width = image.shape if rows else (image.shape[1], image.shape[0])
    here = min(strip.shape[0], steps - top)
    for n in range(strip.shape[0]):
        for j in range(PAD + width if n < here else 0, strip.shape[1]):
            strip[n, j] = 0
    if rows:
        for n in range(here):
            to, line = strip[n, PAD : PAD + width], image[top + n]
            for j in range(width):
                to[j] = line[j]
    else:
        for j in range(width):
            line = image[j, top : top + here]
            for n in range(here):
                strip[n, PAD + j] = line[n]


@inner
def _read_strip(strip, top, steps, width, start, slope, pitch, count, d, total):
    """Add rows top … top + STRIP − 1 to the sums of one angle, (taps, shifted columns)."""
    b, a, first, last, taps = _frame(start, slope, pitch, count, steps, width)
    for n in range(top, min(top + STRIP, steps), 4):
        t0, t1, t2, t3 = b + n * slope, b + (n + 1) * slope, b + (n + 2) * slope, b + (n + 3) * slope
        s0, s1, s2, s3 = int64(math.floor(t0)), int64(math.floor(t1)), int64(math.floor(t2)), int64(math.floor(t3))
        begin, end = _columns(min(s0, s3), max(s0, s3), width, first, last)
        c, size, k = PAD + first + begin, end - begin, n - top
        x0, x1 = strip[k, c + s0 : c + s0 + size], strip[k + 1, c + s1 : c + s1 + size]
        x2, x3 = strip[k + 2, c + s2 : c + s2 + size], strip[k + 3, c + s3 : c + s3 + size]
        for m in range(taps):
            e = m * a
            _add_rows(
                total[m, begin:end], d[begin:end], x0, x1, x2, x3, t0 - s0 + e, t1 - s1 + e, t2 - s2 + e, t3 - s3 + e
            )


@inner
def _sides(image, rows):
    """Steps of a ray, filled up to fours, and the pixels beside them."""
    steps, width = image.shape if rows else (image.shape[1], image.shape[0])
    return steps + -steps % 4, width


@inner
def _project_angles(image, q0, q1, by_row, start, slope, pitch, length, parts, taps, size, out):
    real, count = out.dtype.type, out.shape[1] * parts
    d = np.zeros((q1 - q0, size), out.dtype)
    total = np.zeros((q1 - q0, taps, size), out.dtype)
    strip = np.zeros((STRIP, max(image.shape) + 2 * PAD), out.dtype)
    for q in range(q0, q1):
        _, a, first, last, _ = _frame(start[q], slope[q], pitch[q], count, *_sides(image, by_row[q]))
        for j in range(last - first + 1):
            d[q - q0, j] = real(a * (math.floor((first + j - 2) / a) + 1) - (first + j))
    for rows in (True, False):
        steps, width = _sides(image, rows)
        for top in range(0, steps if np.any(by_row[q0:q1] == rows) else 0, STRIP):
            _cut(image, rows, top, strip)
            for q in range(q0, q1):
                if by_row[q] == rows:
                    line = start[q], slope[q], pitch[q], count
                    _read_strip(strip, top, steps, width, *line, d[q - q0], total[q - q0])
    for q in range(q0, q1):
        _, a, first, last, taps = _frame(start[q], slope[q], pitch[q], count, *_sides(image, by_row[q]))
        for k in range(out.shape[1]):
            out[q, k] = 0
        for j in range(last - first + 1):
            k0 = int64(math.floor((first + j - 2) / a)) + 1
            for m in range(taps):
                k = k0 + m
                if 0 <= k < count:
                    k = (count - 1 - k if pitch[q] < 0 else k) // parts
                    out[q, k] += real(length[q] / parts) * total[q - q0, m, j]


@compiled(
    lambda f: void(
        ro(f, 2), ro(boolean, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), int64, int64, int64,
        int64, rw(f, 2),
    ),
    error_model="numpy",
)  # fmt: skip
def _project(image, by_row, start, slope, pitch, length, parts, taps, size, block, out):
    for p in nb.prange((start.size + block - 1) // block):
        q = p * block, min(p * block + block, start.size)
        _project_angles(image, *q, by_row, start, slope, pitch, length, parts, taps, size, out)


@inner
def _tabulate(y, steps, width, start, slope, pitch, length, parts, table):
    """Row 0: d; row 1 + m: the value of tap m at each shifted column; zero where there is no such ray."""
    real, count = table.dtype.type, y.size * parts
    _, a, first, last, taps = _frame(start, slope, pitch, count, steps, width)
    scale = real(length / parts)
    for j in range(last - first + 1 + LANES):
        k0 = int64(math.floor((first + j - 2) / a)) + 1
        table[0, j] = real(a * k0 - (first + j))
        for m in range(table.shape[0] - 1):
            k = k0 + m
            valid = m < taps and 0 <= k < count and first + j <= last
            table[1 + m, j] = scale * y[(count - 1 - k if pitch < 0 else k) // parts] if valid else real(0)


@inner
def _write_strip(strip, top, steps, width, start, slope, pitch, count, table):
    """Add one angle's taps to the rows of a strip from row `top`."""
    b, a, first, last, taps = _frame(start, slope, pitch, count, steps, width)
    for n in range(strip.shape[0]):
        t = b + (top + n) * slope
        s = int64(math.floor(t))
        begin, end = _columns(s, s, width, first, last)
        c = PAD + first + s
        row, d = strip[n, c + begin : c + end], table[0, begin:end]
        for m in range(0, taps, 3):
            e = t - s + m * a
            y0, y1, y2 = table[m + 1, begin:end], table[m + 2, begin:end], table[m + 3, begin:end]
            _add_taps(row, d, y0, y1, y2, e, e + a, e + 2 * a)


@inner
def _backproject_strip(tables, out, top, tall, rows, fresh, by_row, start, slope, pitch, count):
    """Rows (else columns) top … top + tall − 1 of the image: those of `rows` come first and are made `fresh`."""
    steps, width = out.shape if rows else (out.shape[1], out.shape[0])
    strip = np.zeros((min(tall, steps - top), width + 2 * PAD), out.dtype)
    for q in range(start.size):
        if by_row[q] == rows:
            _write_strip(strip, top, steps + -steps % 4, width, start[q], slope[q], pitch[q], count, tables[q])
    if rows:
        for n in range(strip.shape[0]):
            line, to = strip[n, PAD : PAD + width], out[top + n]
            for j in range(width):
                to[j] = line[j] if fresh else to[j] + line[j]
    else:
        for i in range(width):
            to = out[i, top : top + strip.shape[0]]
            for n in range(to.size):
                to[n] += strip[n, PAD + i]


@compiled(
    lambda f: void(
        int64, int64, int64, ro(f, 2), ro(boolean, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1), ro(float64, 1),
        int64, boolean, rw(f, 3), rw(f, 2),
    ),
    error_model="numpy",
)  # fmt: skip
def _backproject(phase, jobs, tall, y, by_row, start, slope, pitch, length, parts, fresh, tables, out):
    """Phase 0 makes the tables, a job an angle; 1 and 2 use them, a job a strip of `tall` rows, or of columns."""
    for p in nb.prange(jobs):
        if phase == 0:
            _tabulate(y[p], *_sides(out, by_row[p]), start[p], slope[p], pitch[p], length[p], parts, tables[p])
        else:
            count = y.shape[1] * parts
            _backproject_strip(tables, out, p * tall, tall, phase == 1, fresh, by_row, start, slope, pitch, count)


def project(x, rays):
    x = plain(x)
    out = empty((x.shape[0], rays.start.shape[0], rays.count // rays.parts), x.dtype, x)
    lines = _lines(rays)
    for s in range(x.shape[0]):
        if rays.pitch is None:
            _fan().project(x[s], *lines, rays.parts, out[s])
        else:
            _project(x[s], *lines, rays.parts, *_size(rays), _together(rays, x.itemsize), out[s])
    return out


def backproject(y, rays):
    y = plain(y)
    out = empty((y.shape[0], *rays.shape), y.dtype, y)
    lines = _lines(rays)
    for s in range(y.shape[0]):
        if rays.pitch is None:
            _fan().backproject(y[s], *lines, rays.parts, out[s])
        else:
            _backproject_parallel(y[s], rays, lines, out[s])
    return out


def _together(rays, itemsize):
    """Angles that share a strip: few enough for every thread to have some and for their sums to stay in the cache."""
    angles, (taps, size) = len(rays.start), _size(rays)
    return max(BLOCK, min(math.ceil(angles / (2 * nb.get_num_threads())), CACHE // ((1 + taps) * size * itemsize)))


def _backproject_parallel(y, rays, lines, out):
    taps, size = _size(rays)
    chunk = max(1, min(int(TABLES * out.size) // ((1 + taps) * size * out.itemsize), y.shape[0]))
    tables = empty((chunk, 1 + taps, size), y.dtype, y)
    tall = max(STRIP // 4, min(STRIP, math.ceil(max(rays.shape) / (2 * nb.get_num_threads()))))
    for q in range(0, y.shape[0], chunk):
        some = y[q : q + chunk]
        for phase, steps in ((0, len(some) * tall), (1, rays.shape[0]), (2, rays.shape[1])):
            settings = (some, *(a[q : q + chunk] for a in lines), rays.parts, q == 0, tables, out)
            _backproject(phase, math.ceil(steps / tall), tall, *settings)


def _fan():
    """The twin for fans is compiled when a fan is met."""
    return importlib.import_module("varinv.operators.radon_fan_numba")


def _lines(rays):
    if rays.pitch is None:
        return rays.by_row, rays.start, rays.slope, rays.length
    first = (rays.by_row, rays.start, rays.slope, rays.pitch, rays.length)
    return tuple(np.ascontiguousarray(a[:, 0]) for a in first)


def _size(rays):
    """The most taps (in threes) and the most shifted columns: a row and the shifts of all rows."""
    return 3 * math.ceil(1 / np.abs(rays.pitch).min()), sum(rays.shape) + 3 * LANES
