"""CUDA twins of the periodic filter bank, one level along one axis."""

# mypy: ignore-errors
from __future__ import annotations

import math

from varinv import cuda_tools
from varinv.backend import empty


def wavelet_analysis(x, low, high, axis):
    return _filtered("wavelet_analysis", x, low, high, axis)


def wavelet_synthesis(y, low, high, axis):
    return _filtered("wavelet_synthesis", y, low, high, axis)


def _filtered(kernel, x, low, high, axis):
    (x,) = cuda_tools.plain(x)
    outer, n, inner = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
    out, filters = empty(x.shape, x.dtype, x), (cuda_tools.table(f, x.dtype, x) for f in (low, high))
    cuda_tools.launch(__name__, kernel, (outer, n * inner), x, *filters, len(low), outer, n, inner, out, like=x)
    return out
