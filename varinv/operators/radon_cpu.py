"""CPU twins of the X-ray transform: loops over whole pixel rows that the compiler turns into vector code.

The parallel rays of an angle are dealt into combs whose pitch is at least a pixel: one, or one of every 2nd ray, 3rd ….
On row n ray k of a comb meets the column  t = start + pitch·k + n·slope, and no two of its rays share  J = ⌊pitch·k⌋.
With  s = ⌊start + n·slope⌋,  f = start + n·slope − s  and  e[J] = pitch·k − J − 1, tabulated once per comb, the ray
reads the pixels s + J, s + J + 1 and s + J + 2 of row n with the weights

    max(0, −z),   1 − |z|,   max(0, z),       z = e[J] + f  in [−1, 1):

Joseph's 1 − w and w, and a zero before or after them.  No sample needs an index of its own, neither forward (sums over
the rows at each J) nor back (a pixel asks the three J that it may belong to).
Every sum is made by one thread in a fixed order: the bits do not depend on the number of threads.
"""

# mypy: ignore-errors
from __future__ import annotations

import importlib
import math

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, uint64, void

from varinv.backend import empty
from varinv.numba_tools import FAST, plain, ro, rw, shared
from varinv.operators.radon_combs_cpu import combs

PAD = 16  # columns of zeros on either side: four rows read together shift by one each, and lanes are filled up
LANES = 8  # columns are worked on in whole vectors
STRIP = 32  # rows cut out of the image and read while they stay in the cache, a multiple of four
BLOCK = 4  # views that share them, at least
JOBS = {4: 2, 8: 8}  # of a thread, by the bytes of a number: a look in float64 holds sums of no more room than a step
CACHE = 1 << 18  # bytes of sums that may lie beside a strip
WRITTEN = 8  # rows written while they stay in the cache
TABLES = 4  # bytes a pixel: tables made at once
ONE, TWO = np.uint64(1), np.uint64(2)  # indices are unsigned: signed ones would be tested for counting from the end

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


@inner
def reach(start, slope, steps, width):
    """First and last J from which a pixel is met on any row."""
    end = start + (steps - 1) * slope
    return -int64(math.floor(max(start, end))) - 2, int64(width) - int64(math.floor(min(start, end))) - 1


@inner
def floored(t):
    """⌊t⌋, and the rest: compilers that fuse may round it below 0, and a weight with it."""
    s = int64(math.floor(t))
    return s, min(max(t - s, 0.0), 1.0)


@inner
def add_rows(image, i0, i1, i2, i3, f0, f1, f2, f3, e, total, at, size):
    """total += four image rows times their weights: `size` entries from `at`, pixels from i0, i1, i2, i3 (flat)."""
    real = e.dtype.type
    zero, one, f0, f1, f2, f3 = real(0), real(1), real(f0), real(f1), real(f2), real(f3)
    for j in range(size):
        k, n, z = j + ONE, j + TWO, e[at + j]
        z0, z1, z2, z3 = z + f0, z + f1, z + f2, z + f3
        total[at + j] += (
            max(zero, z0) * image[i0 + n] - min(zero, z0) * image[i0 + j] + (one - abs(z0)) * image[i0 + k]
            + max(zero, z1) * image[i1 + n] - min(zero, z1) * image[i1 + j] + (one - abs(z1)) * image[i1 + k]
            + max(zero, z2) * image[i2 + n] - min(zero, z2) * image[i2 + j] + (one - abs(z2)) * image[i2 + k]
            + max(zero, z3) * image[i3 + n] - min(zero, z3) * image[i3 + j] + (one - abs(z3)) * image[i3 + k]
        )  # fmt: skip


@inner
def add_combs(image, at, size, tables, e0, y0, f0, e1, y1, f1):
    """`size` pixels from `at` += the rays of two combs times their weights, whose tables begin at e0, y0, e1, y1."""
    real = image.dtype.type
    zero, one, f, g = real(0), real(1), real(f0), real(f1)
    for j in range(size):
        k, n = j + ONE, j + TWO
        image[at + j] += (
            max(zero, tables[e0 + j] + f) * tables[y0 + j] - min(zero, tables[e0 + n] + f) * tables[y0 + n]
            + (one - abs(tables[e0 + k] + f)) * tables[y0 + k]
            + max(zero, tables[e1 + j] + g) * tables[y1 + j] - min(zero, tables[e1 + n] + g) * tables[y1 + n]
            + (one - abs(tables[e1 + k] + g)) * tables[y1 + k]
        )  # fmt: skip


@inner
def sides(image, rows):
    """Steps of a ray that goes by rows (else by columns), and the pixels beside them."""
    return (image.shape[0], image.shape[1]) if rows else (image.shape[1], image.shape[0])


@inner
def cut(image, rows, top, strip):
    """strip ← rows (else columns) top … of the image between PAD zeros, zero beyond its end."""
    steps, width = sides(image, rows)
    here = min(strip.shape[0], steps - top)
    for n in range(strip.shape[0]):
        for j in range(PAD + width if n < here else 0, strip.shape[1]):
            strip[n, j] = 0
    if rows:
        for n in range(here):
            for j in range(width):
                strip[n, PAD + j] = image[top + n, j]
    else:
        whole = here // LANES * LANES
        for n in range(0, whole, LANES):
            for j in range(uint64(width)):
                for m in range(uint64(LANES)):
                    strip[uint64(n) + m, uint64(PAD) + j] = image[j, uint64(top + n) + m]
        for j in range(width):
            for n in range(whole, here):
                strip[n, PAD + j] = image[j, top + n]


@inner
def _read_strip(strip, wide, top, below, width, start, slope, first, last, e, total, at):
    """Add rows top … below − 1 to the sums of one comb, those of J = first … last, which begin at `at`."""
    for n in range(top, below, 4):
        (s0, f0), (s1, f1) = floored(start + n * slope), floored(start + (n + 1) * slope)
        (s2, f2), (s3, f3) = floored(start + (n + 2) * slope), floored(start + (n + 3) * slope)
        begin = max(-2 - max(s0, s3) - first, 0) // LANES * LANES
        end = (min(width - 1 - min(s0, s3), last) - first + LANES) // LANES * LANES
        if begin < end:
            c = (n - top) * wide + PAD + first + begin
            add_rows(
                strip, uint64(c + s0), uint64(c + wide + s1), uint64(c + 2 * wide + s2), uint64(c + 3 * wide + s3),
                f0, f1, f2, f3, e, total, uint64(at + begin), uint64(end - begin),
            )  # fmt: skip


@shared(
    lambda f: void(
        ro(f, 2), int64, ro(float64, 2), ro(int64, 1), ro(int64, 1), ro(int64, 1), int64, int64, int64, rw(f, 2)
    )
)
def _project(start, stop, image, split, lines, view, begin, end, size, jobs, parts, out):
    """All rays of some views; the combs of those of a job are low … high − 1."""
    for job in range(start, stop):
        v, w = job * begin.size // jobs, (job + 1) * begin.size // jobs
        low, high = begin[v], end[w - 1]
        e, total = np.zeros((high - low) * size, out.dtype), np.zeros((high - low) * size, out.dtype)
        bounds = np.empty((high - low, 2), np.int64)
        for p in range(low, high):
            steps, width = sides(image, p < split)
            first, last = reach(lines[0, p], lines[1, p], steps + -steps % 4, width)
            first, last = max(first, 0), min(last, int64(lines[2, p] * (lines[6, p] - 1)))
            bounds[p - low, 0], bounds[p - low, 1] = first, last
            for k in range(int64(lines[6, p])):
                J, part = floored(lines[2, p] * k)
                if first <= J <= last:
                    e[(p - low) * size + J - first] = part - 1
        strip = np.zeros((STRIP, max(image.shape) + 2 * PAD), out.dtype)
        flat = strip.reshape(strip.size)
        for rows in (True, False):
            steps, width = sides(image, rows)
            some = (low, min(high, split)) if rows else (max(low, split), high)
            for top in range(0, steps if some[0] < some[1] else 0, STRIP):
                cut(image, rows, top, strip)
                for p in range(some[0], some[1]):
                    _read_strip(
                        flat, strip.shape[1], top, min(top + STRIP, steps), width, lines[0, p], lines[1, p],
                        bounds[p - low, 0], bounds[p - low, 1], e, total, (p - low) * size,
                    )  # fmt: skip
        for n in range(v, w):
            out[view[begin[n]]] = 0
        for p in range(low, high):
            q, pitch, weight, ray, step = view[p], lines[2, p], lines[3, p], int64(lines[4, p]), int64(lines[5, p])
            for k in range(int64(lines[6, p])):
                J = int64(pitch * k)
                if bounds[p - low, 0] <= J <= bounds[p - low, 1]:
                    out[q, (ray + k * step) // parts] += weight * total[(p - low) * size + J - bounds[p - low, 0]]


@inner
def _tabulate(y, p, lines, steps, width, parts, e, value):
    """e and the values of a comb's rays at each J that meets a pixel; nothing where there is no ray."""
    e[:] = 0
    value[:] = 0
    first, last = reach(lines[0, p], lines[1, p], steps, width)
    pitch, weight, ray, step = lines[2, p], lines[3, p], int64(lines[4, p]), int64(lines[5, p])
    for k in range(int64(lines[6, p])):
        J, part = floored(pitch * k)
        if first <= J <= last:
            e[J - first] = part - 1
            value[J - first] = weight * y[(ray + k * step) // parts]


@inner
def _write_strip(tables, out, top, rows, fresh, lines, low, high):
    """Combs low … high − 1 on rows (else columns) top … top + WRITTEN − 1: those of rows come first, made `fresh`."""
    steps, width = sides(out, rows)
    tall, size = min(WRITTEN, steps - top), tables.shape[2]
    strip, entries = np.zeros(WRITTEN * width, out.dtype), tables.reshape(tables.size)
    for p in range(low, high, 2):
        a = reach(lines[0, p], lines[1, p], steps, width)[0] + 2 - 2 * p * size
        b = reach(lines[0, p + 1], lines[1, p + 1], steps, width)[0] + 2 - 2 * (p + 1) * size
        for n in range(tall):
            s, f = floored(lines[0, p] + (top + n) * lines[1, p])
            r, g = floored(lines[0, p + 1] + (top + n) * lines[1, p + 1])
            add_combs(
                strip, uint64(n * width), uint64(width), entries, uint64(-s - a), uint64(size - s - a), f,
                uint64(-r - b), uint64(size - r - b), g,
            )  # fmt: skip
    if rows:
        for n in range(tall):
            for j in range(width):
                out[top + n, j] = strip[n * width + j] + (0 if fresh else out[top + n, j])
    elif tall == WRITTEN:
        for j in range(uint64(width)):
            for n in range(uint64(WRITTEN)):
                out[j, uint64(top) + n] += strip[n * uint64(width) + j]
    else:
        for j in range(width):
            for n in range(tall):
                out[j, top + n] += strip[n * width + j]


@shared(
    lambda f: void(int64, ro(f, 2), int64, ro(float64, 2), ro(int64, 1), int64, boolean, rw(f, 3), rw(f, 2)),
)
def _backproject(start, stop, phase, y, split, lines, view, parts, fresh, tables, out):
    """Phase 0 makes the tables, a job a comb; 1 and 2 use them, a job a strip of rows, or of columns."""
    for p in range(start, stop):
        if phase == 0:
            steps, width = sides(out, p < split)
            _tabulate(y[view[p]], p, lines, steps, width, parts, tables[p, 0], tables[p, 1])
        else:
            low, high = (0, split) if phase == 1 else (split, tables.shape[0])
            _write_strip(tables, out, p * WRITTEN, phase == 1, fresh, lines, low, high)


def project(x, rays):
    x = plain(x)
    out = empty((x.shape[0], *rays.geometry.shape), x.dtype, x)
    for s in range(x.shape[0]):
        if rays.pitch is None:
            _fan().project(x[s], *_lines(rays), out[s])
        else:
            split, lines, view, begin, end = combs(rays)
            jobs = math.ceil(begin.size / _together(begin.size, view.size, _size(rays), x.itemsize))
            _project(jobs, x[s], split, lines, view, begin, end, _size(rays), jobs, rays.parts, out[s])
    return out


def adjoint(y, rays):
    y = plain(y)
    out = empty((y.shape[0], *rays.shape), y.dtype, y)
    for s in range(y.shape[0]):
        if rays.pitch is None:
            _fan().backproject(y[s], *_lines(rays), out[s])
        else:
            _backproject_parallel(y[s], rays, out[s])
    return out


def _together(views, count, size, itemsize):
    """Views that share a strip: few enough for every thread to have some and for their sums to stay in the cache."""
    return max(
        BLOCK,
        min(math.ceil(views / (JOBS[itemsize] * nb.get_num_threads())), CACHE * views // (2 * count * size * itemsize)),
    )


def _backproject_parallel(y, rays, out):
    split, lines, view, _, _ = combs(rays)
    chunk = max(2, int(TABLES * out.size) // (4 * _size(rays) * out.itemsize) * 2)  # even: combs are added in pairs
    shape = min(chunk, view.size), 2, _size(rays)
    room = empty((max(out.size, math.prod(shape)),), y.dtype, y)  # an image finds place there later
    tables = room[: math.prod(shape)].reshape(shape)
    for p in range(0, view.size, chunk):
        some, rows = view[p : p + chunk], min(max(split - p, 0), chunk)
        settings = (y, rows, np.ascontiguousarray(lines[:, p : p + chunk]), some, rays.parts, p == 0)
        strips = (math.ceil(steps / WRITTEN) for steps in out.shape)
        for phase, jobs in enumerate((some.size, *strips)):
            _backproject(jobs, phase, *settings, tables[: some.size], out)


def _fan():
    """The twin for fans is compiled when a fan is met."""
    return importlib.import_module("varinv.operators.radon_fan_cpu")


def _lines(rays):
    return rays.by_row, rays.start, rays.slope, rays.length, rays.parts


def _size(rays):
    """The most shifted columns: a row and the shifts of all rows, in whole vectors."""
    return sum(rays.shape) + 3 * LANES
