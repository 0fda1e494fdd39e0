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
import weakref

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, uint64, void

from varinv.backend import empty
from varinv.operators.radon_inner_numba import LANES, PAD, add_combs, add_rows, cut, floored, inner, reach, sides
from varinv.twins import compiled, plain, ro, rw

STRIP = 32  # rows cut out of the image and read while they stay in the cache, a multiple of four
BLOCK = 4  # views that share them, at least
CACHE = 1 << 18  # bytes of sums that may lie beside a strip
WRITTEN = 8  # rows written while they stay in the cache
TABLES = 4  # bytes a pixel: tables made at once


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


@inner
def _project_views(image, split, lines, view, begin, end, size, parts, out):
    """All rays of some views, whose combs are begin[0] … end[-1] − 1."""
    low, high = begin[0], end[-1]
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
    for v in range(begin.size):
        out[view[begin[v]]] = 0
    for p in range(low, high):
        q, pitch, weight, ray, step = view[p], lines[2, p], lines[3, p], int64(lines[4, p]), int64(lines[5, p])
        for k in range(int64(lines[6, p])):
            J = int64(pitch * k)
            if bounds[p - low, 0] <= J <= bounds[p - low, 1]:
                out[q, (ray + k * step) // parts] += weight * total[(p - low) * size + J - bounds[p - low, 0]]


@compiled(
    lambda f: void(
        ro(f, 2), int64, ro(float64, 2), ro(int64, 1), ro(int64, 1), ro(int64, 1), int64, int64, int64, rw(f, 2)
    ),
    error_model="numpy",
)
def _project(image, split, lines, view, begin, end, size, jobs, parts, out):
    for p in nb.prange(jobs):
        v, w = p * begin.size // jobs, (p + 1) * begin.size // jobs
        _project_views(image, split, lines, view, begin[v:w], end[v:w], size, parts, out)


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


@compiled(
    lambda f: void(int64, int64, ro(f, 2), int64, ro(float64, 2), ro(int64, 1), int64, boolean, rw(f, 3), rw(f, 2)),
    error_model="numpy",
)
def _backproject(phase, jobs, y, split, lines, view, parts, fresh, tables, out):
    """Phase 0 makes the tables, a job a comb; 1 and 2 use them, a job a strip of rows, or of columns."""
    for p in nb.prange(jobs):
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
            jobs = math.ceil(begin.size / _together(begin.size, view.size, _size(rays) * x.itemsize))
            _project(x[s], split, lines, view, begin, end, _size(rays), jobs, rays.parts, out[s])
    return out


def backproject(y, rays):
    y = plain(y)
    out = empty((y.shape[0], *rays.shape), y.dtype, y)
    for s in range(y.shape[0]):
        if rays.pitch is None:
            _fan().backproject(y[s], *_lines(rays), out[s])
        else:
            _backproject_parallel(y[s], rays, out[s])
    return out


def _together(views, count, size):
    """Views that share a strip: few enough for every thread to have some and for their sums to stay in the cache."""
    return max(BLOCK, min(math.ceil(views / (2 * nb.get_num_threads())), CACHE * views // (2 * count * size)))


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
            _backproject(phase, jobs, *settings, tables[: some.size], out)


def _fan():
    """The twin for fans is compiled when a fan is met."""
    return importlib.import_module("varinv.operators.radon_fan_numba")


def _lines(rays):
    return rays.by_row, rays.start, rays.slope, rays.length, rays.parts


def _size(rays):
    """The most shifted columns: a row and the shifts of all rows, in whole vectors."""
    return sum(rays.shape) + 3 * LANES


_combs = weakref.WeakKeyDictionary()  # of the scans met so far


def combs(rays):
    """(split, lines, view, begin, end): the combs, those with rows before those with columns, an even number of either.

    The first `split` go with rows.  `lines` (7, combs): start, slope, pitch, weight, first ray, step from ray to ray,
    number of rays; `view`: the angle.  The combs of the v-th angle in this order are begin[v] … end[v] − 1.
    """
    if rays not in _combs:
        lines, view, begin, end, split = [], [], [], [], 0
        for by_row in (True, False):
            for q in np.flatnonzero(rays.by_row[:, 0] == by_row):
                start, slope, pitch, weight = (
                    float(a[q, 0]) for a in (rays.start, rays.slope, rays.pitch, rays.length)
                )
                start, pitch, ahead = start + min(pitch, 0) * (rays.count - 1), abs(pitch), pitch > 0
                dealt = math.ceil(1 / pitch)
                dealt += dealt * pitch < 1  # rounding
                begin.append(len(view))
                for m in range(min(dealt, rays.count)):
                    first, step = (m, dealt) if ahead else (rays.count - 1 - m, -dealt)
                    count = -(-(rays.count - m) // dealt)
                    lines.append((start + m * pitch, slope, dealt * pitch, weight / rays.parts, first, step, count))
                    view.append(q)
                end.append(len(view))
            if len(view) % 2:  # an empty comb
                lines.append((0, 0, 1, 0, 0, 1, 0))
                view.append(view[-1])
            split = len(view) if by_row else split
        _combs[rays] = split, np.array(lines, float).T.copy(), *(np.array(a, np.int64) for a in (view, begin, end))
    return _combs[rays]
