"""CPU twin of graph: every neighbour in one pass over a row, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import int64, void

from varinv.backend import empty
from varinv.twins import compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 3), ro(f, 4), ro(f, 3), ro(int64, 2), rw(f, 3)))
def _laplacian(x, W, D, offsets, out):
    slices, rows, columns = x.shape
    for m in nb.prange(slices * rows):
        k, i = m // rows, m % rows
        for j in range(columns):
            out[k, i, j] = D[k, i, j] * x[k, i, j]
        for n in range(offsets.shape[0]):
            c, a, b = k + offsets[n, 0], i + offsets[n, 1], offsets[n, 2]
            if 0 <= c < slices and 0 <= a < rows:
                for j in range(max(-b, 0), min(columns - b, columns)):
                    out[k, i, j] -= W[n, k, i, j] * x[c, a, j + b]


def laplacian(x, W, D, offsets, radius):
    x, W, D = plain(x, W, D)
    out = empty(x.shape, x.dtype, x)
    whole = (1, 1, *x.shape)[-3:]
    moves = np.zeros((len(offsets), 3), np.int64)
    moves[:, 3 - x.ndim :] = offsets
    _laplacian(x.reshape(whole), W.reshape(len(W), *whole), D.reshape(whole), moves, out.reshape(whole))
    return out
