"""CPU twin of graph: every neighbour in one pass over a row, all cores; where few weights are left, those alone.

Unsigned indices: signed ones are tested for Python's counting from the end, which keeps loops out of vector lanes.
"""

# mypy: ignore-errors
from __future__ import annotations

import functools
import math

import numba as nb
import numpy as np
from numba.types import boolean, int64, uint32, uint64, void

from varinv.backend import empty
from varinv.twins import compiled, plain, ro, rw


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
    lambda f: void(ro(f, 1), ro(int64, 2), int64, int64, int64, boolean, rw(int64, 1), rw(uint32, 1), rw(f, 1)),
    parallel=False,
)
def _gather(W, offsets, slices, rows, columns, count, bounds, places, values):
    """The edges of each pixel that have a weight: first their numbers into bounds[1:], then where they go."""
    size = offsets.shape[0]
    for m in range(slices * rows):
        k, i = m // rows, m % rows
        for j in range(columns):
            here, at = m * columns + j, bounds[m * columns + j]
            for n in range(size):
                for side in (1, -1):
                    dk, di, dj = side * offsets[n, 0], side * offsets[n, 1], side * offsets[n, 2]
                    if 0 <= k + dk < slices and 0 <= i + di < rows and 0 <= j + dj < columns:
                        there = (m + dk * rows + di) * columns + j + dj
                        owner = here if side == 1 else there
                        w = W[(owner // columns * size + n) * columns + owner % columns]
                        if w != 0:
                            if not count:
                                places[at], values[at] = there, w
                            at += 1
            if count:
                bounds[here + 1] = at - bounds[here]


@compiled(
    lambda f: void(ro(f, 1), ro(f, 1), ro(int64, 1), ro(uint32, 1), ro(f, 1), rw(f, 1)), fastmath={"contract", "nsz"}
)
def _apply(x, D, bounds, places, values, out):
    """In order: the compiler would gather a dozen entries into vector lanes, which takes longer."""
    for m in nb.prange(x.size):
        total = D[m] * x[m]
        for e in range(uint64(bounds[m]), uint64(bounds[m + 1])):
            total -= values[e] * x[places[e]]
        out[m] = total


@functools.lru_cache(maxsize=8)
def moves(offsets):
    """The offsets as rows (slices, rows, columns)."""
    table = np.zeros((len(offsets), 3), np.int64)
    table[:, 3 - len(offsets[0]) :] = offsets
    return table


def _edges(W, offsets, whole):
    """Where the edges of each pixel begin, the pixels they lead to and their weights; None where most have a weight."""
    if 3 * np.count_nonzero(W) > W.size or W.size > 2**31:
        return None
    bounds = np.zeros(math.prod(whole) + 1, np.int64)
    none = np.empty(0, np.uint32), np.empty(0, W.dtype)
    _gather(W.reshape(-1), moves(offsets), *whole, True, bounds, *none)
    bounds = np.cumsum(bounds)
    places, values = np.empty(bounds[-1], np.uint32), np.empty(bounds[-1], W.dtype)
    _gather(W.reshape(-1), moves(offsets), *whole, False, bounds, places, values)
    return bounds, places, values


def laplacian(x, W, D, offsets, radius, memory):
    x, W, D = plain(x, W, D)
    out = empty(x.shape, x.dtype, x)
    whole = (1, 1, *x.shape)[-3:]
    if x.dtype not in memory:
        memory[x.dtype] = _edges(W, offsets, whole)
    if memory[x.dtype] is not None:
        _apply(x.reshape(-1), D.reshape(-1), *memory[x.dtype], out.reshape(-1))
        return out
    _laplacian(x.reshape(-1), W.reshape(-1), D.reshape(-1), moves(offsets), *whole, out.reshape(-1))
    return out
