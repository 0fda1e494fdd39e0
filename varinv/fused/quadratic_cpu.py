"""CPU twins of the data terms: one pass over memory each, all cores; sums over fixed chunks."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import float64, void

from varinv.backend import empty
from varinv.fused import quadratic
from varinv.numba_tools import CHUNK, compiled, in_order, plain, ro, rw, shared


@compiled(lambda f: void(ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), f, f, rw(f, 1)))
def _ascent(q, z, y, w, step, rho, out):
    one, keep = w.size == 1, q.dtype.type(1) - rho
    for c in nb.prange((q.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        qc, zc, yc, wc, oc = q[here], z[here], y[here], w if one else w[here], out[here]
        for i in range(oc.size):
            wi = wc[0] if one else wc[i]
            oc[i] = keep * qc[i] + rho * wi * (qc[i] + step * (zc[i] - yc[i])) / (wi + step)


@shared(lambda f: void(ro(f, 1), ro(f, 1), ro(f, 1), rw(float64, 1)))
def _weighted_square(start, stop, z, y, w, parts):
    one, flat = w.size == 1, y.size == 1
    for c in range(start, stop):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        zc, yc, wc, total = z[here], y if flat else y[here], w if one else w[here], 0.0
        for i in range(zc.size):
            away = np.float64(zc[i]) - np.float64(yc[0] if flat else yc[i])
            total += np.float64(wc[0] if one else wc[i]) * away * away
        parts[c] = total


@compiled(lambda f: float64(ro(f, 1)), parallel=False)
def _summed(parts):
    return in_order(parts)


def quadratic_ascent(q, z, y, w, step, relaxation):
    if np.ndim(y) == 0:
        return quadratic.quadratic_ascent.reference(q, z, y, w, step, relaxation)
    q, z, y, w = plain(q, z, y, np.asarray(w, dtype=q.dtype))
    out = empty(q.shape, q.dtype, q)
    _ascent(q.reshape(-1), z.reshape(-1), y.reshape(-1), w.reshape(-1), step, relaxation, out.reshape(-1))
    return out


def weighted_square(z, y, w):
    if np.ndim(y) == 0 and y != 0:
        return quadratic.weighted_square.reference(z, y, w)
    many = np.ndim(w) > 0  # a number stays what it is, in float64
    z, y, ws = plain(z, *(np.asarray(a, dtype=z.dtype) for a in (y, w if many else 1)))
    parts = np.empty(-(-z.size // CHUNK))
    _weighted_square(parts.size, z.reshape(-1), y.reshape(-1), ws.reshape(-1), parts)
    return float(_summed(parts)) * (1.0 if many else w)
