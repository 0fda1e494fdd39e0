"""CUDA twins of linalg: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

import math

from varinv import cuda_tools, linalg
from varinv.backend import empty, is_array, to_numpy

FEW = 256  # partial sums that travel to the host, where they are added in order


def partial_sums(n, like):
    """Where the threads of a sum of n numbers leave theirs, one each: how many is a function of n alone."""
    return empty((min(max(FEW, 1 << (n // 16).bit_length()), 1 << 16),), "float64", like)


def total(parts, like):
    """The sum of `parts`; `like` has the dtype and device of the kernel that left them."""
    if parts.size > FEW:
        fewer = empty((FEW,), "float64", like)
        cuda_tools.launch(__name__, "sums", (FEW,), parts, fewer, parts.size, FEW, like=like)
        parts = fewer
    return math.fsum(to_numpy(parts).tolist())


def dot(a, b):
    if a.shape != b.shape:
        return linalg.dot.reference(a, b)
    a, b = cuda_tools.plain(a, b)
    parts = partial_sums(a.size, a)
    cuda_tools.launch(__name__, "products", parts.shape, a, b, parts, a.size, parts.size, like=a)
    return total(parts, a)


def add_scaled(a, t, b):
    if a.shape != b.shape or (is_array(t) and t.ndim):
        return linalg.add_scaled.reference(a, t, b)
    a, b = cuda_tools.plain(a, b)
    out = empty(a.shape, a.dtype, a)
    cuda_tools.launch(__name__, "add_scaled", (a.size,), a, float(t), b, out, a.size, like=a)
    return out
