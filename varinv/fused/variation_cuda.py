"""CUDA twins of total variation: dual step, value and the certificate's part, without a field of differences."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from varinv import cuda_tools
from varinv.backend import empty, is_array
from varinv.fused import variation
from varinv.linalg_cuda import partial_sums, total
from varinv.operators.gradient_cuda import fields, volume


def _declines(shape, axes, weight, groups):
    expected = shape if groups else (len(axes), *shape)
    return len(shape) > 3 or (is_array(weight) and weight.shape != expected)


def tv_dual_ascent(p, x, step, weight, smoothing, spacing, axes, groups, relaxation, spare=False):
    if is_array(step) or _declines(x.shape, axes, weight, groups):
        return variation.tv_dual_ascent.reference(p, x, step, weight, smoothing, spacing, axes, groups, relaxation)
    p, x = cuda_tools.plain(p, x)
    w, w0 = cuda_tools.pair(weight, x)
    out, size = empty(p.shape, p.dtype, p), volume(x.shape)
    settings = (*size, *fields(x.ndim, axes, [h / step for h in spacing]), float(relaxation))
    kernel = "tv_dual_ascent" if groups else "tv_dual_ascent_apart"
    cuda_tools.launch(__name__, kernel, size, p, x, w, w0, float(step * smoothing), *settings, out, like=x)
    return out


def _exact(weight):
    """The weight in double: an image or a field, and a number."""
    if not is_array(weight):
        return None, np.float64(weight)
    (weight,) = cuda_tools.plain(weight)
    return weight.astype("float64", copy=False), np.float64(0)


def _exact_fields(ndim, axes, spacing):
    return tuple(np.float64(v) if isinstance(v, float) else v for v in fields(ndim, axes, spacing))


def tv_value(x, weight, smoothing, spacing, axes, groups):
    if _declines(x.shape, axes, weight, groups):
        return variation.tv_value.reference(x, weight, smoothing, spacing, axes, groups)
    (x,) = cuda_tools.plain(x)
    parts = partial_sums(x.size, x)
    settings = (*_exact(weight), np.float64(smoothing), *volume(x.shape), *_exact_fields(x.ndim, axes, spacing))
    cuda_tools.launch(__name__, "tv_value", parts.shape, x, *settings, int(groups), parts, parts.size, like=x)
    return total(parts, x)


def tv_pull(p, weight, smoothing, spacing, axes, groups):
    shape = p.shape[1:]
    if _declines(shape, axes, weight, groups):
        return variation.tv_pull.reference(p, weight, smoothing, spacing, axes, groups)
    (p,) = cuda_tools.plain(p)
    out, size, kind = empty(shape, "float64", p), volume(shape), (len(axes), int(groups))
    w, w0 = _exact(weight)
    settings = (*size, *_exact_fields(len(shape), axes, spacing), *kind)
    cuda_tools.launch(__name__, "tv_pull", size, p, w, w0, *settings, out, like=p)
    if not smoothing:
        return out, 0.0
    parts = partial_sums(p.size, p)
    settings = (np.float64(smoothing), out.size, *kind)
    cuda_tools.launch(__name__, "tv_conjugate", parts.shape, p, w, w0, *settings, parts, parts.size, like=p)
    return out, total(parts, p)
