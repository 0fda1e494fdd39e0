"""CPU twins of linalg: one pass over memory each, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import float64, void

from varinv.backend import empty
from varinv.twins import CHUNK, compiled, mixed, plain, ro, rw

BLOCK = 8192  # entries per partial sum; fixed, so that a result never depends on the number of threads


@compiled(lambda f: float64(ro(f, 1), ro(f, 1)))
def _dot(a, b):
    n = a.size
    blocks = (n + BLOCK - 1) // BLOCK
    parts = np.zeros(blocks)
    for k in nb.prange(blocks):
        here = slice(k * BLOCK, (k + 1) * BLOCK)
        ak, bk, total = a[here], b[here], 0.0
        for i in range(ak.size):
            total += np.float64(ak[i]) * np.float64(bk[i])
        parts[k] = total
    result = 0.0
    for k in range(blocks):
        result += parts[k]
    return result


@mixed(lambda f, g: float64(ro(f, 1), ro(g, 1)))
def _distance(a, b):
    chunks = (a.size + CHUNK - 1) // CHUNK
    parts = np.zeros(chunks)
    for c in nb.prange(chunks):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        ac, bc, total = a[here], b[here], 0.0
        for i in range(ac.size):
            away = np.float64(ac[i] - bc[i])
            total += away * away
        parts[c] = total
    return np.sqrt(parts.sum())


@mixed(lambda f, g: void(ro(f, 1), g, ro(g, 1), rw(g, 1)))
def _add_scaled(a, t, b, out):
    for c in nb.prange((a.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        ac, bc, oc = a[here], b[here], out[here]
        for i in range(oc.size):
            oc[i] = ac[i] + t * bc[i]


def dot(a, b):
    a, b = plain(a, b)
    return float(_dot(a.reshape(-1), b.reshape(-1)))


def distance(a, b):
    if a.dtype == np.float64:
        a, b = b, a
    a, b = plain(a), plain(b)
    return float(_distance(a.reshape(-1), b.reshape(-1)))


def add_scaled(a, t, b):
    a, b = (plain(a), plain(b)) if a.dtype == np.float32 else plain(a, b)
    out = empty(b.shape, b.dtype, b)
    _add_scaled(a.reshape(-1), t, b.reshape(-1), out.reshape(-1))
    return out
