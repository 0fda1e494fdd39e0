"""CPU twins of the data terms: one pass over memory each, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import data
from varinv.twins import compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), f, rw(f, 1)))
def _ascent(q, z, y, w, step, out):
    one = w.size == 1
    for i in nb.prange(q.size):
        wi = w[0] if one else w[i]
        out[i] = wi * (q[i] + step * (z[i] - y[i])) / (wi + step)


@compiled(lambda f: void(ro(f, 1), f, ro(f, 1), ro(f, 1), f, f, f, f, rw(f, 1), rw(f, 1)))
def _descent(x, tau, g, y, w, theta, lo, hi, new, bar):
    shrink = 1 / (1 + tau * w)
    for i in nb.prange(x.size):
        v = (x[i] - tau * (g[i] - w * y[i])) * shrink
        v = lo if v < lo else v
        v = hi if v > hi else v
        new[i] = v
        bar[i] = v + theta * (v - x[i])


def quadratic_ascent(q, z, y, w, step):
    if np.ndim(y) == 0:
        return data.quadratic_ascent.reference(q, z, y, w, step)
    w = np.asarray(w, dtype=q.dtype)
    if w.size == 1 < q.size or w.ndim == 0:
        w = w.reshape(1)
    q, z, y, w = plain(q, z, y, w)
    out = empty(q.shape, q.dtype, q)
    _ascent(q.reshape(-1), z.reshape(-1), y.reshape(-1), w.reshape(-1), step, out.reshape(-1))
    return out


def quadratic_descent(x, tau, g, y, w, theta, lo=-math.inf, hi=math.inf):
    x, g, y = plain(x, g, y)
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    flat = new.reshape(-1), bar.reshape(-1)
    _descent(x.reshape(-1), tau, g.reshape(-1), y.reshape(-1), w, theta, lo, hi, *flat)
    return new, bar
