"""CUDA twins of the primal step and of relaxation: one pass over memory each."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda_tools
from varinv.backend import empty, is_array
from varinv.fused import steps
from varinv.operators.gradient_cuda import fields, volume


def _fits(x, *images):
    return all(a.shape == x.shape for a in images if is_array(a))


def relaxed(old, new, relaxation):
    if not _fits(old, new) or is_array(relaxation):
        return steps.relaxed.reference(old, new, relaxation)
    old, new = cuda_tools.plain(old, new)
    out = empty(old.shape, old.dtype, old)
    cuda_tools.launch(__name__, "relaxed", (old.size,), old, new, float(relaxation), out, old.size, like=old)
    return out


def square_descent(x, tau, g, y, w, lo, hi, theta):
    if not _fits(x, g, y) or is_array(tau) or is_array(w):
        return steps.square_descent.reference(x, tau, g, y, w, lo, hi, theta)
    x, g = cuda_tools.plain(x, g)
    y, y0 = cuda_tools.pair(y, x)
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    box = (float(w), 1 / (1 + float(tau * w)), float(lo), float(hi), float(theta))
    cuda_tools.launch(__name__, "square_descent", (x.size,), x, float(tau), g, y, y0, *box, new, bar, x.size, like=x)
    return new, bar


def tv_descent(x, tau, g, p, spacing, axes, y, w, lo, hi, theta, spare=False):
    if x.ndim > 3 or not _fits(x, g, y) or is_array(tau) or is_array(w):
        return steps.tv_descent.reference(x, tau, g, p, spacing, axes, y, w, lo, hi, theta)
    x, p = cuda_tools.plain(x, p)
    (g, _), (y, y0) = cuda_tools.pair(g, x), cuda_tools.pair(y, x)
    new, bar, size = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x), volume(x.shape)
    box = (float(w), 1 / (1 + float(tau * w)), float(lo), float(hi), float(theta))
    settings = (*size, *fields(x.ndim, axes, spacing))
    cuda_tools.launch(__name__, "tv_descent", size, x, float(tau), g, p, *settings, y, y0, *box, new, bar, like=x)
    return new, bar
