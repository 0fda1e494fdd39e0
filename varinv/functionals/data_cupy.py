"""CUDA twins of the data terms: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda
from varinv.backend import empty, is_array
from varinv.functionals import data


def quadratic_ascent(q, z, y, w, step, relaxation):
    if any(is_array(a) and a.shape != q.shape for a in (z, y, w)) or is_array(step):
        return data.quadratic_ascent.reference(q, z, y, w, step, relaxation)
    q, z = cuda.plain(q, z)
    (y, y0), (w, w0) = cuda.pair(y, q), cuda.pair(w, q)
    out = empty(q.shape, q.dtype, q)
    settings = (y0, w0, float(step), float(relaxation))
    cuda.launch(__name__, "quadratic_ascent", (q.size,), q, z, y, w, *settings, out, q.size, like=q)
    return out
