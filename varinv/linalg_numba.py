"""CPU twins of linalg: one pass over memory each, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import float64, void

from varinv.backend import empty
from varinv.twins import compiled, plain, ro, rw

BLOCK = 8192  # entries per partial sum; fixed, so that a result never depends on the number of threads


@compiled(lambda f: float64(ro(f, 1), ro(f, 1)))
def _dot(a, b):
    n = a.size
    blocks = (n + BLOCK - 1) // BLOCK
    parts = np.zeros(blocks)
    for k in nb.prange(blocks):
        total = 0.0
        for i in range(k * BLOCK, min(n, (k + 1) * BLOCK)):
            total += np.float64(a[i]) * np.float64(b[i])
        parts[k] = total
    result = 0.0
    for k in range(blocks):
        result += parts[k]
    return result


@compiled(lambda f: void(ro(f, 1), f, ro(f, 1), rw(f, 1)))
def _add_scaled(a, t, b, out):
    for i in nb.prange(a.size):
        out[i] = a[i] + t * b[i]


@compiled(lambda f: void(ro(f, 1), f, ro(f, 1), f, f, f, rw(f, 1), rw(f, 1)))
def _step_in_box(x, tau, g, lo, hi, theta, new, bar):
    for i in nb.prange(x.size):
        v = min(max(x[i] - tau * g[i], lo), hi)
        new[i] = v
        bar[i] = v + theta * (v - x[i])


def dot(a, b):
    a, b = plain(a, b)
    return float(_dot(a.reshape(-1), b.reshape(-1)))


def add_scaled(a, t, b):
    a, b = plain(a, b)
    out = empty(a.shape, a.dtype, a)
    _add_scaled(a.reshape(-1), t, b.reshape(-1), out.reshape(-1))
    return out


def step_in_box(x, tau, g, lo, hi, theta):
    x, g = plain(x, g)
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    _step_in_box(x.reshape(-1), tau, g.reshape(-1), lo, hi, theta, new.reshape(-1), bar.reshape(-1))
    return new, bar
