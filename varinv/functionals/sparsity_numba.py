"""CPU twin of the dual step of total variation: differences, ascent and projection in one pass."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import sparsity
from varinv.twins import compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 3), ro(f, 2), ro(f, 2), f, f, f, rw(f, 3)))
def _ascend2(p, x, w, smooth, a, b, out):
    """p + σ∇x shortened to w/max(w + σδ, |·|); a, b = σ/h; w of shape (1, 1) or the image's."""
    rows, cols = x.shape
    image = w.size > 1
    for i in nb.prange(rows):
        below = min(i + 1, rows - 1)
        for j in range(cols):
            right = min(j + 1, cols - 1)
            u = p[0, i, j] + a * (x[below, j] - x[i, j])
            v = p[1, i, j] + b * (x[i, right] - x[i, j])
            wi = w[i, j] if image else w[0, 0]
            longest = max(wi + smooth, np.sqrt(u * u + v * v))
            factor = wi / longest if longest > 0 else x.dtype.type(0)
            out[0, i, j] = u * factor
            out[1, i, j] = v * factor


@compiled(lambda f: void(ro(f, 4), ro(f, 3), ro(f, 3), f, f, f, f, rw(f, 4)))
def _ascend3(p, x, w, smooth, a, b, c, out):
    """The same in three dimensions."""
    slices, rows, cols = x.shape
    image = w.size > 1
    for s in nb.prange(slices):
        above = min(s + 1, slices - 1)
        for i in range(rows):
            below = min(i + 1, rows - 1)
            for j in range(cols):
                right = min(j + 1, cols - 1)
                t = p[0, s, i, j] + a * (x[above, i, j] - x[s, i, j])
                u = p[1, s, i, j] + b * (x[s, below, j] - x[s, i, j])
                v = p[2, s, i, j] + c * (x[s, i, right] - x[s, i, j])
                wi = w[s, i, j] if image else w[0, 0, 0]
                longest = max(wi + smooth, np.sqrt(t * t + u * u + v * v))
                factor = wi / longest if longest > 0 else x.dtype.type(0)
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
    ascend(p, x, w, step * smoothing, *(step / h for h in spacing), out)
    return out
