"""CPU twin of the X-ray transform for rays that are not parallel; `radon_cpu` calls it.

A ray is followed through a strip of rows by additions alone.  Beside float32 images its position is an integer, 2^32 to
a pixel: ⌊t⌋ is a shift, the weight the lower bits, and the same bits come forward and back; beside float64 images it is
a float64 (which took 1.5 times as long).  The compiler must not turn these loops into vector code: it would gather
pixels one by one (1.4 times as long), so they allow no reassociation.

Forward, a thread takes a few angles, whose rays read a strip while it is in the cache; back, it owns strips of rows and
adds to them in a fixed order.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba import extending
from numba.types import Integer, boolean, float32, float64, int32, int64, uint64, void

from varinv.backend import empty
from varinv.numba_tools import FAST, compiled, ro, rw

PAD = 16  # columns of zeros on either side, as of four rows read together each is shifted by one
STRIP = 32  # rows that one thread writes while they stay in the cache, a multiple of four
BLOCK = 4  # views that share rows read
PIXEL = 2.0**32  # to how many parts integer positions split a pixel
PART = 2**32 - 1
READ = 2 * STRIP  # rows read while they stay in the cache

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)
in_order = nb.njit(fastmath={"contract", "nsz"}, error_model="numpy", nogil=True)


def _coordinate(f):
    return int64 if f == float32 else float64


def _whole(t):
    """⌊t⌋ of a position t ≥ 0."""
    return int(t)


def _part(t):
    """t − ⌊t⌋, in units of a part."""
    return t % 1


def _unit(t):
    """What a part is in pixels."""
    return 1.0


@extending.overload(_whole)
def _(t):
    return (lambda t: t >> 32) if isinstance(t, Integer) else (lambda t: int64(t))


@extending.overload(_part)
def _(t):
    return (lambda t: float32(t & PART)) if isinstance(t, Integer) else (lambda t: t - int64(t))


@extending.overload(_unit)
def _(t):
    return (lambda t: float32(1 / PIXEL)) if isinstance(t, Integer) else (lambda t: 1.0)


@inner
def _rows(start, slope, steps, width):
    """First and last row, in fours, on which −1 < start + n·slope < width."""
    if slope == 0:
        return (0, steps) if -1 < start < width else (0, 0)
    a, b = (-1 - start) / slope, (width - start) / slope
    first, last = int64(min(max(min(a, b), 0.0), steps)), int64(math.ceil(min(max(max(a, b), 0.0), steps)))
    return first // 4 * 4, min((last + 3) // 4 * 4, steps)


@compiled(
    lambda f: void(
        ro(boolean, 2), ro(float64, 2), ro(float64, 2), int64, int64, rw(_coordinate(f), 3), rw(int32, 3), float64
    ),
    error_model="numpy",
)  # fmt: skip
def _prepare(by_row, start, slope, rows, cols, lines, ends, unit):
    """Position on row 0 of the framed image and step of each ray, and the rows between which it is inside."""
    for q in nb.prange(start.shape[0]):
        for k in range(start.shape[1]):
            steps, width = (rows, cols) if by_row[q, k] else (cols, rows)
            first, last = _rows(start[q, k], slope[q, k], steps + -steps % 4, width)
            ends[0, q, k], ends[1, q, k] = first, last
            if first < last:
                for m, t in ((0, start[q, k] + PAD), (1, slope[q, k])):
                    lines[m, q, k] = t if unit == 1 else np.rint(t * unit)


@in_order
def _read(flat, row, wide, t, step, n):
    """The sum along n rows of a ray, n a multiple of four: pixels to the left, and parts of the way to the right."""
    zero, one = flat.dtype.type(0), uint64(1)
    total, rest = zero, zero
    for _ in range(n // 4):
        t1, t2, t3 = t + step, t + 2 * step, t + 3 * step
        i0, i1 = uint64(row + _whole(t)), uint64(row + wide + _whole(t1))
        i2, i3 = uint64(row + 2 * wide + _whole(t2)), uint64(row + 3 * wide + _whole(t3))
        a0, a1, a2, a3 = flat[i0], flat[i1], flat[i2], flat[i3]
        total += (a0 + a1) + (a2 + a3)
        low = _part(t) * (flat[i0 + one] - a0) + _part(t1) * (flat[i1 + one] - a1)
        rest += low + (_part(t2) * (flat[i2 + one] - a2) + _part(t3) * (flat[i3 + one] - a3))
        row += 4 * wide
        t += 4 * step
    return total + rest * _unit(t)


@in_order
def _write(flat, row, wide, t, step, n, value):
    scaled = value * _unit(t)
    for _ in range(n):
        i = uint64(row + _whole(t))
        right = _part(t) * scaled
        flat[i] += value - right
        flat[i + uint64(1)] += right
        row += wide
        t += step


@inner
def _read_strip(image, top, by, by_row, lines, ends, total):
    flat, wide = image.reshape(image.size), image.shape[1]
    for k in range(total.size):
        if by_row[k] == by:
            a, b = max(int64(ends[0, k]), top), min(int64(ends[1, k]), top + READ)
            if a < b:
                total[k] += _read(flat, a * wide, wide, lines[0, k] + a * lines[1, k], lines[1, k], b - a)


@compiled(
    lambda f: void(
        ro(f, 2), ro(f, 2), ro(boolean, 2), ro(_coordinate(f), 3), ro(int32, 3), ro(float64, 2), int64, rw(f, 2)
    ),
    error_model="numpy",
)  # fmt: skip
def _project(image, turned, by_row, lines, ends, length, parts, out):
    for p in nb.prange((out.shape[0] + BLOCK - 1) // BLOCK):
        first, last = p * BLOCK, min((p + 1) * BLOCK, out.shape[0])
        total = np.zeros((last - first, by_row.shape[1]), out.dtype)
        for by in (True, False):
            source = image if by else turned
            for top in range(0, source.shape[0], READ):
                for q in range(first, last):
                    _read_strip(source, top, by, by_row[q], lines[:, q], ends[:, q], total[q - first])
        for q in range(first, last):
            out[q] = 0
            for k in range(total.shape[1]):
                out[q, k // parts] += out.dtype.type(length[q, k] / parts) * total[q - first, k]


@inner
def _write_strip(values, image, top, by, by_row, lines, ends):
    flat, wide = image.reshape(image.size), image.shape[1]
    image[top : top + STRIP] = 0
    for q in range(values.shape[0]):
        for k in range(values.shape[1]):
            if by_row[q, k] == by:
                a, b = max(int64(ends[0, q, k]), top), min(int64(ends[1, q, k]), top + STRIP)
                if a < b:
                    t, step = lines[0, q, k], lines[1, q, k]
                    _write(flat, a * wide, wide, t + a * step, step, b - a, values[q, k])


@compiled(
    lambda f: void(ro(f, 2), ro(boolean, 2), ro(_coordinate(f), 3), ro(int32, 3), rw(f, 2), rw(f, 2)),
    error_model="numpy",
)
def _backproject(values, by_row, lines, ends, image, turned):
    for p in nb.prange(2 * ((max(image.shape[0], turned.shape[0]) + STRIP - 1) // STRIP)):
        by = p % 2 == 0  # strips of either orientation alternate, so that threads share both kinds
        target = image if by else turned
        if p // 2 * STRIP < target.shape[0]:
            _write_strip(values, target, p // 2 * STRIP, by, by_row, lines, ends)


def _lines(image, turned, by_row, start, slope):
    kind, unit = (np.int64, PIXEL) if image.dtype == np.float32 else (np.float64, 1.0)
    lines, ends = empty((2, *start.shape), kind, image), empty((2, *start.shape), np.int32, image)
    rows, cols = turned.shape[1] - 2 * PAD, image.shape[1] - 2 * PAD
    _prepare(by_row, start, slope, rows, cols, lines, ends, unit)
    return lines, ends


def _framed(x):
    """A copy of an image with PAD zeros left and right, and zero rows below up to a multiple of four."""
    rows, cols = x.shape
    image = empty((rows + -rows % 4, cols + 2 * PAD), x.dtype, x)
    image[:, :PAD] = image[:, PAD + cols :] = image[rows:] = 0
    image[:rows, PAD : PAD + cols] = x
    return image


def project(x, by_row, start, slope, length, parts, out):
    image, turned = _framed(x), _framed(x.T)
    _project(image, turned, by_row, *_lines(image, turned, by_row, start, slope), length, parts, out)


def backproject(y, by_row, start, slope, length, parts, out):
    rows, cols = out.shape
    image = empty((rows + -rows % 4, cols + 2 * PAD), y.dtype, y)
    turned = empty((cols + -cols % 4, rows + 2 * PAD), y.dtype, y)
    values = np.repeat(y, parts, axis=1) * (length / parts).astype(y.dtype)
    _backproject(values, by_row, *_lines(image, turned, by_row, start, slope), image, turned)
    np.add(image[:rows, PAD : PAD + cols], turned[:cols, PAD : PAD + rows].T, out=out)
