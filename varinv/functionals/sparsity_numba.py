"""CPU twin of the dual step of total variation: differences, ascent and projection in one pass."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import sparsity
from varinv.twins import compiled, plain, ro, rw


@nb.njit(inline="always")
def _factor(squares, w, smooth, tiny):
    """w / max(w + σδ, length): no branch, so that rows run in vector lanes; `tiny` guards 0/0."""
    return w / max(max(w + smooth, np.sqrt(squares)), tiny)


@compiled(lambda f: void(ro(f, 3), ro(f, 2), ro(f, 2), f, f, f, f, rw(f, 3)))
def _ascend2(p, x, w, smooth, a, b, tiny, out):
    """p + σ∇x shortened to w/max(w + σδ, |·|); a, b = σ/h; w of shape (1, 1) or the image's."""
    rows, cols = x.shape
    image = w.size > 1
    w0 = w[0, 0]
    for i in nb.prange(rows):
        below = min(i + 1, rows - 1)
        for j in range(cols - 1):
            u = p[0, i, j] + a * (x[below, j] - x[i, j])
            v = p[1, i, j] + b * (x[i, j + 1] - x[i, j])
            factor = _factor(u * u + v * v, w[i, j] if image else w0, smooth, tiny)
            out[0, i, j] = u * factor
            out[1, i, j] = v * factor
        j = cols - 1
        u, v = p[0, i, j] + a * (x[below, j] - x[i, j]), p[1, i, j]
        factor = _factor(u * u + v * v, w[i, j] if image else w0, smooth, tiny)
        out[0, i, j] = u * factor
        out[1, i, j] = v * factor


@compiled(lambda f: void(ro(f, 4), ro(f, 3), ro(f, 3), f, f, f, f, f, rw(f, 4)))
def _ascend3(p, x, w, smooth, a, b, c, tiny, out):
    """The same in three dimensions."""
    slices, rows, cols = x.shape
    image = w.size > 1
    w0 = w[0, 0, 0]
    for m in nb.prange(slices * rows):
        s, i = m // rows, m % rows
        above, below = min(s + 1, slices - 1), min(i + 1, rows - 1)
        for j in range(cols - 1):
            t = p[0, s, i, j] + a * (x[above, i, j] - x[s, i, j])
            u = p[1, s, i, j] + b * (x[s, below, j] - x[s, i, j])
            v = p[2, s, i, j] + c * (x[s, i, j + 1] - x[s, i, j])
            factor = _factor(t * t + u * u + v * v, w[s, i, j] if image else w0, smooth, tiny)
            out[0, s, i, j] = t * factor
            out[1, s, i, j] = u * factor
            out[2, s, i, j] = v * factor
        j = cols - 1
        t = p[0, s, i, j] + a * (x[above, i, j] - x[s, i, j])
        u = p[1, s, i, j] + b * (x[s, below, j] - x[s, i, j])
        v = p[2, s, i, j]
        factor = _factor(t * t + u * u + v * v, w[s, i, j] if image else w0, smooth, tiny)
        out[0, s, i, j] = t * factor
        out[1, s, i, j] = u * factor
        out[2, s, i, j] = v * factor


def tv_dual_ascent(p, x, step, weight, smoothing, spacing, axes):
    if axes != tuple(range(x.ndim)) or x.ndim not in (2, 3):
        return sparsity.tv_dual_ascent.reference(p, x, step, weight, smoothing, spacing, axes)
    weight = np.asarray(weight, dtype=x.dtype)
    p, x, w = plain(p, x, weight if weight.ndim == x.ndim else weight.reshape((1,) * x.ndim))
    out = empty(p.shape, p.dtype, p)
    ascend = _ascend2 if x.ndim == 2 else _ascend3
    ascend(p, x, w, step * smoothing, *(step / h for h in spacing), np.finfo(x.dtype).tiny, out)
    return out
