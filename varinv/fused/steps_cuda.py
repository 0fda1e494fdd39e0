"""CUDA twins of the primal step and of relaxation: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda_tools
from varinv.backend import empty, is_array
from varinv.fused import steps
from varinv.operators.gradient_cuda import fields, volume


def _fits(x, *images):
    return all(a.shape == x.shape for a in images if is_array(a))


def relaxed(old, new, relaxation, spare=False):
    if not _fits(old, new) or is_array(relaxation):
        return steps.relaxed.reference(old, new, relaxation)
    old, new = cuda_tools.plain(old, new)
    out = empty(old.shape, old.dtype, old)
    cuda_tools.launch(__name__, "relaxed", (old.size,), old, new, float(relaxation), out, old.size, like=old)
    return out


def square_descent(x, tau, slope, g, theta):
    if not _fits(x, slope, g.y) or is_array(tau):
        return steps.square_descent.reference(x, tau, slope, g, theta)
    x, slope = cuda_tools.plain(x, slope)
    y, y0 = cuda_tools.pair(g.y, x)
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    settings = (x, float(tau), slope, y, y0, *_box(g, tau, theta), new, bar, x.size)
    cuda_tools.launch(__name__, "square_descent", (x.size,), *settings, like=x)
    return new, bar


def tv_descent(x, tau, slope, p, K, g, theta, spare=False):
    if x.ndim > 3 or not _fits(x, slope, g.y) or is_array(tau):
        return steps.tv_descent.reference(x, tau, slope, p, K, g, theta)
    x, p = cuda_tools.plain(x, p)
    (slope, _), (y, y0) = cuda_tools.pair(slope, x), cuda_tools.pair(g.y, x)
    new, bar, size = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x), volume(x.shape)
    place = (*size, *fields(x.ndim, K.axes, K.spacing))
    settings = (x, float(tau), slope, p, *place, y, y0, *_box(g, tau, theta), new, bar)
    cuda_tools.launch(__name__, "tv_descent", size, *settings, like=x)
    return new, bar


def _box(g, tau, theta):
    return float(g.weight), 1 / (1 + float(tau * g.weight)), float(g.lo), float(g.hi), float(theta)
