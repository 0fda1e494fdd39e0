"""CUDA twins of total variation: dual step, value and the certificate's part, without a field of differences."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from varinv import cuda_tools
from varinv.backend import empty, is_array
from varinv.fused import variation
from varinv.linalg_cuda import partial_sums, total
from varinv.operators.gradient_cuda import fields, volume


def _declines(shape, f, K):
    expected = shape if f.groups else (len(K.axes), *shape)
    return len(shape) > 3 or (is_array(f.weight) and f.weight.shape != expected)


def tv_dual_ascent(p, x, step, f, K, relaxation, spare=False):
    if is_array(step) or _declines(x.shape, f, K):
        return variation.tv_dual_ascent.reference(p, x, step, f, K, relaxation)
    p, x = cuda_tools.plain(p, x)
    w, w0 = cuda_tools.pair(f.weight, x)
    out, size = empty(p.shape, p.dtype, p), volume(x.shape)
    settings = (*size, *fields(x.ndim, K.axes, [h / step for h in K.spacing]), float(relaxation))
    kernel = "tv_dual_ascent" if f.groups else "tv_dual_ascent_apart"
    cuda_tools.launch(__name__, kernel, size, p, x, w, w0, float(step * f.smoothing), *settings, out, like=x)
    return out


def _exact(weight):
    """The weight in double: an image or a field, and a number."""
    if not is_array(weight):
        return None, np.float64(weight)
    (weight,) = cuda_tools.plain(weight)
    return weight.astype("float64", copy=False), np.float64(0)


def _exact_fields(ndim, K):
    return tuple(np.float64(v) if isinstance(v, float) else v for v in fields(ndim, K.axes, K.spacing))


def tv_value(x, f, K):
    if _declines(x.shape, f, K):
        return variation.tv_value.reference(x, f, K)
    (x,) = cuda_tools.plain(x)
    parts = partial_sums(x.size, x)
    settings = (*_exact(f.weight), np.float64(f.smoothing), *volume(x.shape), *_exact_fields(x.ndim, K))
    cuda_tools.launch(__name__, "tv_value", parts.shape, x, *settings, int(f.groups), parts, parts.size, like=x)
    return total(parts, x)


def tv_pull(p, f, K):
    shape = p.shape[1:]
    if _declines(shape, f, K):
        return variation.tv_pull.reference(p, f, K)
    (p,) = cuda_tools.plain(p)
    out, size, kind = empty(shape, "float64", p), volume(shape), (len(K.axes), int(f.groups))
    w, w0 = _exact(f.weight)
    settings = (*size, *_exact_fields(len(shape), K), *kind)
    cuda_tools.launch(__name__, "tv_pull", size, p, w, w0, *settings, out, like=p)
    if not f.smoothing:
        return out, 0.0
    parts = partial_sums(p.size, p)
    settings = (np.float64(f.smoothing), out.size, *kind)
    cuda_tools.launch(__name__, "tv_conjugate", parts.shape, p, w, w0, *settings, parts, parts.size, like=p)
    return out, total(parts, p)
