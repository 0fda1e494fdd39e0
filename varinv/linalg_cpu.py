"""CPU twins of linalg: one pass over memory each, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import float64, void

from varinv.backend import empty
from varinv.numba_tools import CHUNK, compiled, in_order, inner, mixed, plain, ro, rw

BLOCK = 8192  # entries per partial sum; fixed, so that a result never depends on the number of threads
FEW = 1 << 16  # entries that one thread has summed up before others are awake


@inner
def _product(a, b, k):
    here = slice(k * BLOCK, (k + 1) * BLOCK)
    ak, bk, total = a[here], b[here], 0.0
    for i in range(ak.size):
        total += np.float64(ak[i]) * np.float64(bk[i])
    return total


@inner
def _square(a, b, k):
    here = slice(k * BLOCK, (k + 1) * BLOCK)
    ak, bk, total = a[here], b[here], 0.0
    for i in range(ak.size):
        away = np.float64(ak[i] - bk[i])
        total += away * away
    return total


@compiled(lambda f: float64(ro(f, 1), ro(f, 1)))
def _dot(a, b):
    parts = np.zeros((a.size + BLOCK - 1) // BLOCK)
    for k in nb.prange(parts.size):
        parts[k] = _product(a, b, k)
    return in_order(parts)


@compiled(lambda f: float64(ro(f, 1), ro(f, 1)), parallel=False)
def _dot_few(a, b):
    total = 0.0
    for k in range((a.size + BLOCK - 1) // BLOCK):
        total += _product(a, b, k)
    return total


@mixed(lambda f, g: float64(ro(f, 1), ro(g, 1)))
def _distance(a, b):
    parts = np.zeros((a.size + BLOCK - 1) // BLOCK)
    for k in nb.prange(parts.size):
        parts[k] = _square(a, b, k)
    return np.sqrt(in_order(parts))


@mixed(lambda f, g: float64(ro(f, 1), ro(g, 1)), parallel=False)
def _distance_few(a, b):
    total = 0.0
    for k in range((a.size + BLOCK - 1) // BLOCK):
        total += _square(a, b, k)
    return np.sqrt(total)


@mixed(lambda f, g: void(ro(f, 1), g, ro(g, 1), rw(g, 1)))
def _add_scaled(a, t, b, out):
    for c in nb.prange((a.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        ac, bc, oc = a[here], b[here], out[here]
        for i in range(oc.size):
            oc[i] = ac[i] + t * bc[i]


def _belong(a, b):
    """The kernels below go by the size of one array: the other must have it too."""
    if a.shape != b.shape:
        raise ValueError(
            f"arrays of shapes {a.shape} and {b.shape} do not belong together: the result of an operator, "
            "a prox or a gradient has another shape than it should"
        )


def dot(a, b):
    _belong(a, b)
    a, b = plain(a, b)
    return float((_dot_few if a.size <= FEW else _dot)(a.reshape(-1), b.reshape(-1)))


def distance(a, b):
    _belong(a, b)
    if a.dtype == np.float64:
        a, b = b, a
    a, b = plain(a), plain(b)
    return float((_distance_few if a.size <= FEW else _distance)(a.reshape(-1), b.reshape(-1)))


def add_scaled(a, t, b):
    _belong(a, b)
    a, b = (plain(a), plain(b)) if a.dtype == np.float32 else plain(a, b)
    out = empty(b.shape, b.dtype, b)
    _add_scaled(a.reshape(-1), t, b.reshape(-1), out.reshape(-1))
    return out
