"""CPU twins of the primal step: one pass over memory, all cores; gradients along the last two or all three axes."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import boolean, void

from varinv.backend import empty
from varinv.fused import steps
from varinv.numba_tools import CHUNK, along_last, compiled, plain, ro, rw


@compiled(lambda f: void(ro(f, 1), f, ro(f, 1), ro(f, 1), f, f, f, f, rw(f, 1), rw(f, 1)))
def _square(x, tau, g, y, w, lo, hi, theta, new, bar):
    one = x.dtype.type(1)  # an integer would make float64 of float32
    shrink = one / (one + tau * w)
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


@compiled(lambda f: void(ro(f, 3), f, ro(f, 3), ro(f, 4), ro(f, 1), ro(f, 3), f, f, f, f, boolean, rw(f, 3), rw(f, 3)))
def _along(x, tau, g, p, rates, y, w, lo, hi, theta, there, new, bar):
    """`_square` along g + ∇ᵀp, ∇ along the last two or all axes; rates = 1/h; g, y: images or (1, 1, 1).

    `there`: g comes in `new` (arrays must not overlap here).
    """
    slices, rows, cols = x.shape
    d = p.shape[0]
    a, b, zero, one = rates[d - 2], rates[d - 1], x.dtype.type(0), x.dtype.type(1)
    shrink = one / (one + tau * w)
    slope, image = g.size > 1, y.size > 1
    constant = (zero if image else w * y[0, 0, 0]) - (zero if slope else g[0, 0, 0])
    for m in nb.prange(slices * rows):
        s, i = m // rows, m % rows
        above = max(i - 1, 0)
        first = a if i > 0 else zero
        last = a if i < rows - 1 else zero  # the last difference is 0: its p is not read
        xi, down, up, right = x[s, i], p[d - 2, s, i], p[d - 2, s, above], p[d - 1, s, i]
        out, ahead = new[s, i], bar[s, i]
        for j in range(cols):  # the slope, row by row in the cache, held in `out`
            out[j] = (out[j] if there else zero) + first * up[j] - last * down[j]
        for j in range(cols - 1):
            out[j] -= b * right[j]
        for j in range(1, cols):
            out[j] += b * right[j - 1]
        if d == 3:
            before, behind = p[0, max(s - 1, 0), i], p[0, s, i]
            enter, leave = rates[0] if s > 0 else zero, rates[0] if s < slices - 1 else zero
            for j in range(cols):
                out[j] += enter * before[j] - leave * behind[j]
        if slope:
            gi = g[s, i]
            for j in range(cols):
                out[j] += gi[j]
        if image:
            yi = y[s, i]
            for j in range(cols):
                out[j] -= w * yi[j]
        for j in range(cols):
            v = (xi[j] - tau * (out[j] - constant)) * shrink
            v = lo if v < lo else v
            v = hi if v > hi else v
            out[j] = v
            ahead[j] = v + theta * (v - xi[j])


@compiled(lambda f: void(ro(f, 1), ro(f, 1), f, rw(f, 1)))
def _relaxed(old, new, rho, out):
    keep = old.dtype.type(1) - rho
    for c in nb.prange((old.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        a, b, to = old[here], new[here], out[here]
        for i in range(to.size):
            to[i] = keep * a[i] + rho * b[i]


@compiled(lambda f: void(ro(f, 1), f, rw(f, 1)))
def _drawn(new, rho, out):
    """The same in place; its own kernel, as arrays that overlap are not vectorised."""
    keep = out.dtype.type(1) - rho
    for c in nb.prange((out.size + CHUNK - 1) // CHUNK):
        here = slice(c * CHUNK, (c + 1) * CHUNK)
        b, to = new[here], out[here]
        for i in range(to.size):
            to[i] = keep * to[i] + rho * b[i]


def relaxed(old, new, relaxation, spare=False):
    old, new = plain(old, new)
    if spare and old.flags.writeable:
        _drawn(new.reshape(-1), relaxation, old.reshape(-1))
        return old
    out = empty(old.shape, old.dtype, old)
    _relaxed(old.reshape(-1), new.reshape(-1), relaxation, out.reshape(-1))
    return out


def square_descent(x, tau, slope, g, theta):
    x, slope, y = plain(x, slope, np.asarray(g.y, dtype=x.dtype))
    new, bar = empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    flat = new.reshape(-1), bar.reshape(-1)
    _square(x.reshape(-1), tau, slope.reshape(-1), y.reshape(-1), g.weight, g.lo, g.hi, theta, *flat)
    return new, bar


def tv_descent(x, tau, slope, p, K, g, theta, spare=False):
    if not along_last(x.ndim, K.axes):
        return steps.tv_descent.reference(x, tau, slope, p, K, g, theta)
    slope, y = (np.asarray(0 if a is None else a, dtype=x.dtype) for a in (slope, g.y))
    x, slope, p, y = plain(x, slope, p, y)
    there = spare and slope.shape == x.shape and slope.flags.writeable
    new, bar = slope if there else empty(x.shape, x.dtype, x), empty(x.shape, x.dtype, x)
    slope = np.zeros(1, x.dtype) if there else slope
    volume = (math.prod(x.shape[:-2]), *x.shape[-2:])
    u, a, b = (c.reshape(volume) for c in (x, new, bar))
    slope, y = (c.reshape(volume if c.size > 1 else (1, 1, 1)) for c in (slope, y))
    field, rates = p.reshape(len(K.axes), *volume), 1 / np.asarray(K.spacing, x.dtype)
    _along(u, tau, slope, field, rates, y, g.weight, g.lo, g.hi, theta, there, a, b)
    return new, bar
