"""CPU twin of graph: every neighbour in one pass over a row, all cores; where few weights are left, those alone.

Unsigned indices: signed ones are tested for Python's counting from the end, which keeps loops out of vector lanes.

The few (docs/decisions/0017): an edge is stored once, at the pixel it begins at, and serves both ends.  Four pixels of
about as many edges go side by side: their sums do not wait for each other, and loops of one length are foreseen.
"""

# mypy: ignore-errors
from __future__ import annotations

import functools
import math

import numba as nb
import numpy as np
from numba.types import int64, uint32, uint64, void

from varinv.backend import empty
from varinv.numba_tools import compiled, plain, ro, rw

WINDOW = 512  # pixels sorted together by their number of edges: what they read and write stays in the nearest cache
ALONE = 2**18  # edges below which waking a second thread takes longer than it saves


@compiled(lambda f: void(ro(f, 1), ro(f, 1), ro(f, 1), ro(int64, 2), int64, int64, int64, rw(f, 1)))
def _laplacian(x, W, D, offsets, slices, rows, columns, out):
    count = offsets.shape[0]
    for m in nb.prange(slices * rows):
        k, i = m // rows, m % rows
        here = nb.uint64(m * columns)
        for j in range(nb.uint64(columns)):
            out[here + j] = D[here + j] * x[here + j]
        for n in range(count):
            dk, di, b = offsets[n, 0], offsets[n, 1], offsets[n, 2]
            w = nb.uint64((m * count + n) * columns)
            there = nb.uint64((m + dk * rows + di) * columns + b)
            if 0 <= k + dk < slices and 0 <= i + di < rows:
                for j in range(nb.uint64(max(-b, 0)), nb.uint64(max(min(columns - b, columns), 0))):
                    out[here + j] -= W[w + j] * x[there + j]
            w = nb.uint64(((m - dk * rows - di) * count + n) * columns - b)
            there = nb.uint64((m - dk * rows - di) * columns - b)
            if 0 <= k - dk < slices and 0 <= i - di < rows:
                for j in range(nb.uint64(max(b, 0)), nb.uint64(max(min(columns + b, columns), 0))):
                    out[here + j] -= W[w + j] * x[there + j]


@compiled(
    lambda f: void(ro(f, 1), ro(int64, 1), int64, ro(uint32, 1), ro(int64, 1), rw(uint32, 1), rw(f, 1)), parallel=False
)
def _gather(W, shifts, columns, order, bounds, places, values):
    """Where the edges of each pixel lead, and their weights, of four pixels in turn; zeros fill the shorter lists."""
    offsets = shifts.size
    size = W.size // offsets
    for k in range(order.size):
        m, at, end = int64(order[k]), bounds[k // 4] + k % 4, bounds[k // 4 + 1]
        for n in range(offsets if k < size else 0):
            w = W[(m // columns * offsets + n) * columns + m % columns]
            if w != 0:
                places[at], values[at] = m + shifts[n], w
                at += 4
        for filled in range(at, end, 4):
            places[filled], values[filled] = m, 0


def _lists(f):
    """The first arguments of what follows."""
    return ro(f, 1), ro(f, 1), ro(uint32, 1), ro(int64, 1), ro(uint32, 1), ro(f, 1)


@nb.njit(fastmath={"contract", "nsz"}, nogil=True)
def _part(x, D, order, bounds, places, values, start, end, first, last, out):
    """D x at the pixels from `start` to `end`, then the edges of the first to the last four, at both of their ends."""
    for m in range(uint64(start), uint64(end)):
        out[m] = D[m] * x[m]
    one, two, three, four = uint64(1), uint64(2), uint64(3), uint64(4)
    for q in range(uint64(first), uint64(last)):
        k = four * q
        i0, i1, i2, i3 = order[k], order[k + one], order[k + two], order[k + three]
        x0, x1, x2, x3 = x[i0], x[i1], x[i2], x[i3]
        s0 = s1 = s2 = s3 = x.dtype.type(0)
        for e in range(uint64(bounds[q]), uint64(bounds[q + one]), four):
            j0, j1, j2, j3 = places[e], places[e + one], places[e + two], places[e + three]
            w0, w1, w2, w3 = values[e], values[e + one], values[e + two], values[e + three]
            s0, s1, s2, s3 = s0 + w0 * x[j0], s1 + w1 * x[j1], s2 + w2 * x[j2], s3 + w3 * x[j3]
            out[j0] -= w0 * x0
            out[j1] -= w1 * x1
            out[j2] -= w2 * x2
            out[j3] -= w3 * x3
        out[i0] -= s0
        out[i1] -= s1
        out[i2] -= s2
        out[i3] -= s3


@compiled(lambda f: void(*_lists(f), int64, rw(f, 1)), parallel=False)
def _alone(x, D, order, bounds, places, values, strip, out):
    """Strip by strip (so many fours): no edge leads further than into the next."""
    fours, start = bounds.size - 1, 0
    for first in range(0, fours, strip):
        end = min(x.size, 4 * (first + 2 * strip))
        _part(x, D, order, bounds, places, values, start, end, first, min(first + strip, fours), out)
        start = end


@compiled(lambda f: void(*_lists(f), int64, rw(f, 1)))
def _together(x, D, order, bounds, places, values, strip, out):
    """The even strips side by side, then the odd ones."""
    fours = bounds.size - 1
    strips = (fours + strip - 1) // strip
    for odd in range(2):
        for k in nb.prange((strips + 1 - odd) // 2):
            first = (2 * k + odd) * strip
            end = 4 * first if odd else min(x.size, 4 * (first + 2 * strip))
            _part(x, D, order, bounds, places, values, 4 * first, end, first, min(first + strip, fours), out)


@functools.lru_cache(maxsize=8)
def moves(offsets):
    """The offsets as rows (slices, rows, columns)."""
    table = np.zeros((len(offsets), 3), np.int64)
    table[:, 3 - len(offsets[0]) :] = offsets
    return table


def _edges(W, D, offsets, whole):
    """D, pixels in the order of their lists, where each four begin, where the edges lead, weights; fours of a strip.

    None where most have a weight.
    """
    size = math.prod(whole)
    if 3 * np.count_nonzero(W) > W.size or size > 2**32:
        return None
    counts = np.count_nonzero(W, axis=-2).reshape(-1)
    order = np.lexsort((counts, np.arange(size) // WINDOW))
    counts, order = (np.pad(a, (0, -size % 4), mode=m) for a, m in ((counts[order], "constant"), (order, "edge")))
    bounds = np.concatenate([[0], np.cumsum(4 * counts.reshape(-1, 4).max(axis=1))])
    places, values = np.empty(bounds[-1], np.uint32), np.empty(bounds[-1], W.dtype)
    shifts = moves(offsets) @ np.array((whole[1] * whole[2], whole[2], 1))
    order = order.astype(np.uint32)
    _gather(W.reshape(-1), shifts, whole[2], order, bounds, places, values)
    return D.reshape(-1), order, bounds, places, values, max(-(-int(shifts.max()) // WINDOW), 1) * WINDOW // 4


def laplacian(x, W, D, offsets, radius, memory):
    whole = (1, 1, *x.shape)[-3:]
    if (lists := memory.get(x.dtype)) is None:
        x, W, D = plain(x, W, D)
        if x.dtype not in memory:
            memory[x.dtype] = _edges(W, D, offsets, whole)
        lists = memory[x.dtype]
    x = plain(x)
    out = empty(x.shape, x.dtype, x)
    if lists is None:
        _laplacian(x.reshape(-1), W.reshape(-1), D.reshape(-1), moves(offsets), *whole, out.reshape(-1))
    else:
        apply = _alone if lists[4].size < ALONE else _together
        apply(x.reshape(-1), *lists, out.reshape(-1))
    return out
