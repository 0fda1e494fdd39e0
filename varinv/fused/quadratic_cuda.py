"""CUDA twins of the data terms: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from varinv import cuda_tools
from varinv.backend import empty, is_array
from varinv.fused import quadratic
from varinv.linalg_cuda import partial_sums, total


def quadratic_ascent(q, z, y, w, step, relaxation):
    if any(is_array(a) and a.shape != q.shape for a in (z, y, w)) or is_array(step):
        return quadratic.quadratic_ascent.reference(q, z, y, w, step, relaxation)
    q, z = cuda_tools.plain(q, z)
    (y, y0), (w, w0) = cuda_tools.pair(y, q), cuda_tools.pair(w, q)
    out = empty(q.shape, q.dtype, q)
    settings = (y0, w0, float(step), float(relaxation))
    cuda_tools.launch(__name__, "quadratic_ascent", (q.size,), q, z, y, w, *settings, out, q.size, like=q)
    return out


def weighted_square(z, y, w):
    images = [a for a in (y, w) if is_array(a)]
    if any(a.shape != z.shape for a in images):
        return quadratic.weighted_square.reference(z, y, w)
    z, *images = cuda_tools.plain(z, *images)
    pairs = [(images.pop(0), np.float64(0)) if is_array(a) else (None, np.float64(a)) for a in (y, w)]
    (y, y0), (w, w0) = pairs
    parts = partial_sums(z.size, z)
    cuda_tools.launch(__name__, "weighted_square", parts.shape, z, y, w, y0, w0, parts, z.size, parts.size, like=z)
    return total(parts, z)
