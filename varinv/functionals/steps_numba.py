"""CPU twins of the primal step: one pass over memory, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import numba as nb
import numpy as np
from numba.types import void

from varinv.backend import empty
from varinv.functionals import steps
from varinv.twins import CHUNK, compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 1), f, ro(f, 1), ro(f, 1), f, f, f, f, rw(f, 1), rw(f, 1)))
def _square(x, tau, g, y, w, lo, hi, theta, new, bar):
    shrink = 1 / (1 + tau * w)
    image, y0 = y.size > 1, y[0]
    for c in nb.prange((x.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        xc, gc, yc, nc, bc = x[here], g[here], y[here] if image else y, new[here], bar[here]
        for i in range(nc.size):
            v = (xc[i] - tau * (gc[i] - w * (yc[i] if image else y0))) * shrink
            v = lo if v < lo else v
            v = hi if v > hi else v
            nc[i] = v
            bc[i] = v + theta * (v - xc[i])


@compiled(lambda f: void(ro(f, 2), f, ro(f, 2), ro(f, 3), f, f, ro(f, 2), f, f, f, f, rw(f, 2), rw(f, 2)))
def _along(x, tau, g, p, a, b, y, w, lo, hi, theta, new, bar):
    """`_square` along g + ∇ᵀp; a, b = 1/h; g and y of shape (1, 1) or the image's."""
    rows, cols = x.shape
    shrink = 1 / (1 + tau * w)
    slope, image = g.size > 1, y.size > 1
    constant = (a * 0 if image else w * y[0, 0]) - (a * 0 if slope else g[0, 0])
    for i in nb.prange(rows):
        above = max(i - 1, 0)
        first = a if i > 0 else a * 0
        last = a if i < rows - 1 else a * 0  # the last difference is 0: its p is not read
        xi, down, up, right, out, ahead = x[i], p[0, i], p[0, above], p[1, i], new[i], bar[i]
        for j in range(cols):  # the slope, row by row in the cache, held in `out`
            out[j] = first * up[j] - last * down[j]
        for j in range(cols - 1):
            out[j] -= b * right[j]
        for j in range(1, cols):
            out[j] += b * right[j - 1]
        if slope:
            gi = g[i]
            for j in range(cols):
                out[j] += gi[j]
        if image:
            yi = y[i]
            for j in range(cols):
                out[j] -= w * yi[j]
        for j in range(cols):
            v = (xi[j] - tau * (out[j] - constant)) * shrink
            v = lo if v < lo else v
            v = hi if v > hi else v
            out[j] = v
            ahead[j] = v + theta * (v - xi[j])


def square_descent(x, tau, g, y, w, lo, hi, theta):
    x, g, y = plain(x, g, np.asarray(y, dtype=x.dtype))
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    flat = new.reshape(-1), bar.reshape(-1)
    _square(x.reshape(-1), tau, g.reshape(-1), y.reshape(-1), w, lo, hi, theta, *flat)
    return new, bar


def tv_descent(x, tau, g, p, spacing, axes, y, w, lo, hi, theta):
    if tuple(axes) != (0, 1) or x.ndim != 2:
        return steps.tv_descent.reference(x, tau, g, p, spacing, axes, y, w, lo, hi, theta)
    g, y = (np.asarray(0 if a is None else a, dtype=x.dtype) for a in (g, y))
    x, g, p, y = plain(x, g, p, y)
    g, y = (a if a.ndim == 2 else a.reshape(1, 1) for a in (g, y))
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    _along(x, tau, g, p, 1 / spacing[0], 1 / spacing[1], y, w, lo, hi, theta, new, bar)
    return new, bar
