"""CUDA twin of the dual step of total variation: differences, ascent and projection in one pass."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda
from varinv.backend import empty, is_array
from varinv.functionals import variation
from varinv.operators.gradient_cupy import fields, volume


def tv_dual_ascent(p, x, step, weight, smoothing, spacing, axes, groups, relaxation):
    if not groups or x.ndim > 3 or is_array(step) or (is_array(weight) and weight.shape != x.shape):
        return variation.tv_dual_ascent.reference(p, x, step, weight, smoothing, spacing, axes, groups, relaxation)
    p, x = cuda.plain(p, x)
    w, w0 = cuda.pair(weight, x)
    out, size = empty(p.shape, p.dtype, p), volume(x.shape)
    settings = (*size, *fields(x.ndim, axes, [h / step for h in spacing]), float(relaxation))
    cuda.launch(__name__, "tv_dual_ascent", size, p, x, w, w0, float(step * smoothing), *settings, out, like=x)
    return out
