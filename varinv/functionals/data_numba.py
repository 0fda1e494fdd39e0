"""CPU twins of the data terms: one pass over memory each, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import data
from varinv.twins import CHUNK, compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 1), ro(f, 1), ro(f, 1), ro(f, 1), f, rw(f, 1)))
def _ascent(q, z, y, w, step, out):
    one = w.size == 1
    for c in nb.prange((q.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        qc, zc, yc, wc, oc = q[here], z[here], y[here], w if one else w[here], out[here]
        for i in range(oc.size):
            wi = wc[0] if one else wc[i]
            oc[i] = wi * (qc[i] + step * (zc[i] - yc[i])) / (wi + step)


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
