"""CUDA twins of linalg: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

import math

from varinv import cuda, linalg
from varinv.backend import empty, is_array, to_numpy

FEW = 256  # partial sums that travel to the host, where they are added in order


def dot(a, b):
    if a.shape != b.shape:
        return linalg.dot.reference(a, b)
    a, b = cuda.plain(a, b)
    count = min(max(FEW, 1 << (a.size // 16).bit_length()), 1 << 16)  # threads: a function of the size alone
    parts = empty((count,), "float64", a)
    cuda.launch(__name__, "products", (count,), a, b, parts, a.size, count, like=a)
    if count > FEW:
        fewer = empty((FEW,), "float64", a)
        cuda.launch(__name__, "sums", (FEW,), parts, fewer, count, FEW, like=a)
        parts = fewer
    return math.fsum(to_numpy(parts).tolist())


def add_scaled(a, t, b):
    if a.shape != b.shape or (is_array(t) and t.ndim):
        return linalg.add_scaled.reference(a, t, b)
    a, b = cuda.plain(a, b)
    out = empty(a.shape, a.dtype, a)
    cuda.launch(__name__, "add_scaled", (a.size,), a, float(t), b, out, a.size, like=a)
    return out
