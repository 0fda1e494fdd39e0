"""CPU twin of graph: every neighbour in one pass over a row, all cores.

Unsigned indices: signed ones are tested for Python's counting from the end, which keeps loops out of vector lanes.
"""

# mypy: ignore-errors
from __future__ import annotations

import functools

import numba as nb
import numpy as np
from numba.types import int64, void

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


@functools.lru_cache(maxsize=8)
def moves(offsets):
    """The offsets as rows (slices, rows, columns)."""
    table = np.zeros((len(offsets), 3), np.int64)
    table[:, 3 - len(offsets[0]) :] = offsets
    return table


def laplacian(x, W, D, offsets, radius):
    x, W, D = plain(x, W, D)
    out = empty(x.shape, x.dtype, x)
    whole = (1, 1, *x.shape)[-3:]
    _laplacian(x.reshape(-1), W.reshape(-1), D.reshape(-1), moves(offsets), *whole, out.reshape(-1))
    return out
