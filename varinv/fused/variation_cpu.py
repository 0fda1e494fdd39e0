"""CPU twins of total variation: no field of differences is made; any image, its last two or three axes, all cores."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba import njit
from numba.types import boolean, float64, void

from varinv.backend import empty
from varinv.fused import variation
from varinv.numba_tools import FAST, along_last, compiled, in_order, inner, plain, ro, rw, shared

ROWS = 16  # rows that one thread takes at a time


@inner
def _factor(squares, w, smooth, tiny):
    """w / max(w + σδ, length), `tiny` guards 0/0: a minimum is exactly 1 inside the ball, and 1/√ one instruction."""
    return min(w / max(w + smooth, tiny), w / np.sqrt(max(squares, tiny)))


@shared(lambda f: void(ro(f, 4), ro(f, 3), ro(f, 3), f, f, f, f, f, boolean, rw(f, 4)))
def _ascend2(start, stop, p, x, w, smooth, a, b, tiny, rho, there, out):
    """p + σ∇x shortened to w/max(w + σδ, |·|) and relaxed; a, b = σ/h; w of shape (1, 1, 1) or the image's.

    `there`: p comes in `out` (arrays must not overlap here); else it is brought there, row by row.
    """
    _, rows, cols = x.shape
    image, last = w.size > 1, cols - 1
    keep = x.dtype.type(1) - rho
    for m in range(start, stop):
        s, i = m // rows, m % rows
        here, below, wi = x[s, i], x[s, min(i + 1, rows - 1)], w[s, i] if image else w[0, 0]
        down, right = out[0, s, i], out[1, s, i]
        if not there:
            for j in range(cols):  # an assignment of whole rows takes numba two seconds to compile
                down[j], right[j] = p[0, s, i, j], p[1, s, i, j]
        for j in range(last):
            u = down[j] + a * (below[j] - here[j])
            v = right[j] + b * (here[j + 1] - here[j])
            factor = rho * _factor(u * u + v * v, wi[j] if image else wi[0], smooth, tiny)
            down[j] = keep * down[j] + u * factor
            right[j] = keep * right[j] + v * factor
        u, v = down[last] + a * (below[last] - here[last]), right[last]
        factor = rho * _factor(u * u + v * v, wi[last] if image else wi[0], smooth, tiny)
        down[last] = keep * down[last] + u * factor
        right[last] = keep * right[last] + v * factor


@shared(lambda f: void(ro(f, 4), ro(f, 3), ro(f, 3), f, f, f, f, f, f, boolean, rw(f, 4)))
def _ascend3(start, stop, p, x, w, smooth, a, b, c, tiny, rho, there, out):
    """The same in three dimensions."""
    slices, rows, cols = x.shape
    image, last = w.size > 1, cols - 1
    keep = x.dtype.type(1) - rho
    for m in range(start, stop):
        s, i = m // rows, m % rows
        here, below, behind = x[s, i], x[s, min(i + 1, rows - 1)], x[min(s + 1, slices - 1), i]
        wi = w[s, i] if image else w[0, 0]
        inward, down, right = out[0, s, i], out[1, s, i], out[2, s, i]
        if not there:
            for j in range(cols):
                inward[j], down[j], right[j] = p[0, s, i, j], p[1, s, i, j], p[2, s, i, j]
        for j in range(last):
            t = inward[j] + a * (behind[j] - here[j])
            u = down[j] + b * (below[j] - here[j])
            v = right[j] + c * (here[j + 1] - here[j])
            factor = rho * _factor(t * t + u * u + v * v, wi[j] if image else wi[0], smooth, tiny)
            inward[j] = keep * inward[j] + t * factor
            down[j] = keep * down[j] + u * factor
            right[j] = keep * right[j] + v * factor
        t, v = inward[last] + a * (behind[last] - here[last]), right[last]
        u = down[last] + b * (below[last] - here[last])
        factor = rho * _factor(t * t + u * u + v * v, wi[last] if image else wi[0], smooth, tiny)
        inward[last] = keep * inward[last] + t * factor
        down[last] = keep * down[last] + u * factor
        right[last] = keep * right[last] + v * factor


@shared(lambda f: void(ro(f, 4), ro(f, 3), ro(f, 4), f, ro(f, 1), f, f, boolean, rw(f, 4)))
def _ascend_apart(start, stop, p, x, w, smooth, rates, tiny, rho, there, out):
    """Each difference by itself; w of shape (1, 1, 1, 1) or the field's."""
    slices, rows, cols = x.shape
    d = out.shape[0]
    image = w.size > 1
    w0, keep = w[0, 0, 0, 0], x.dtype.type(1) - rho
    for m in range(start, stop):
        c, s, i = m // (slices * rows), m // rows % slices, m % rows
        axis, a, wi = c + 3 - d, rates[c], w[c, s, i] if image else w[0, 0, 0]
        above, below = min(s + 1, slices - 1) if axis == 0 else s, min(i + 1, rows - 1) if axis == 1 else i
        here, next_one, new = x[s, i], x[above, below], out[c, s, i]
        if not there:
            for j in range(cols):
                new[j] = p[c, s, i, j]
        shift, n = (1, cols - 1) if axis == 2 else (0, cols)
        for j in range(nb.uint64(n)):
            u = new[j] + a * (next_one[j + nb.uint64(shift)] - here[j])
            new[j] = keep * new[j] + u * rho * _factor(u * u, wi[j] if image else w0, smooth, tiny)
        for j in range(n, cols):
            new[j] = keep * new[j] + new[j] * rho * _factor(new[j] ** 2, wi[j] if image else w0, smooth, tiny)


@inner
def _phi(n, s):
    return n - 0.5 * s if n >= s else n * n / (2 * s)


@shared(lambda f: void(ro(f, 3), ro(float64, 4), float64, ro(float64, 1), boolean, rw(float64, 1)))
def _value(start, stop, x, w, smooth, rates, groups, parts):
    slices, rows, cols = x.shape
    d = rates.size
    r0 = rates[0] if d == 3 else 0.0
    r1, r2 = rates[d - 2], rates[d - 1]
    image = w.size > 1
    last = w.shape[0] - 1
    for m in range(start, stop):
        s, i = m // rows, m % rows
        here, below, behind = x[s, i], x[s, min(i + 1, rows - 1)], x[min(s + 1, slices - 1), i]
        total, w0 = 0.0, w[0, 0, 0, 0]
        for j in range(cols):
            right = min(j + 1, cols - 1)
            a = (np.float64(below[j]) - here[j]) * r1
            b = (np.float64(here[right]) - here[j]) * r2
            c = (np.float64(behind[j]) - here[j]) * r0
            if groups:
                n = np.sqrt(a * a + b * b + c * c)
                total += (w[0, s, i, j] if image else w0) * (_phi(n, smooth) if smooth > 0 else n)
            else:
                for k in range(3 - d, 3):
                    n = abs(c if k == 0 else a if k == 1 else b)
                    wk = w[min(k + d - 3, last), s, i, j] if image else w0
                    total += wk * (_phi(n, smooth) if smooth > 0 else n)
        parts[m] = total


@njit(fastmath=FAST, error_model="numpy")
def _shortened(p, k, s, i, w, groups, f):
    """f ← w/max(w, length) along a row, of the whole vector or of component k."""
    image, d, tiny = w.size > 1, p.shape[0], np.finfo(np.float64).tiny
    kw, w0 = min(k, w.shape[0] - 1), w[0, 0, 0, 0]
    wi = w[kw, s, i] if image else w[0, 0, 0]
    if not groups:
        for j in range(f.size):
            f[j] = np.float64(p[k, s, i, j]) ** 2
    else:
        a, b = p[d - 2, s, i], p[d - 1, s, i]
        for j in range(f.size):
            f[j] = np.float64(a[j]) ** 2 + np.float64(b[j]) ** 2
        if d == 3:
            for j in range(f.size):
                f[j] += np.float64(p[0, s, i, j]) ** 2
    for j in range(f.size):
        f[j] = _factor(f[j], wi[j] if image else w0, 0.0, tiny)


@shared(lambda f: void(ro(f, 4), ro(float64, 4), float64, ro(float64, 1), boolean, rw(float64, 3), rw(float64, 1)))
def _pull(start, stop, p, w, smooth, rates, groups, out, parts):
    """Rows are shortened as they are met; the one above is kept, the one behind (3-D) shortened again."""
    slices, rows, cols = out.shape
    d = p.shape[0]
    image = w.size > 1
    f, above = np.empty(cols), np.empty(cols)
    for block in range(start, stop):
        first, end, total = block * ROWS, min((block + 1) * ROWS, slices * rows), 0.0
        for m in range(first - (1 if first % rows > 0 else 0), end):
            s, i = m // rows, m % rows
            _shortened(p, d - 2, s, i, w, groups, f)
            to, down, right = out[s, i], p[d - 2, s, i], p[d - 1, s, i]
            if m < first:  # only read
                for j in range(cols):
                    above[j] = f[j] * down[j]
                continue
            if i == 0:
                above[:] = 0
            keep = 1.0 if i < rows - 1 else 0.0  # the last difference is 0: not read
            for j in range(cols):
                q = f[j] * down[j]
                to[j] = rates[d - 2] * (above[j] - keep * q)
                above[j] = q
            for k in range(d if smooth > 0 else 0):
                if not groups:
                    _shortened(p, k, s, i, w, groups, f)
                pk, wk = p[k, s, i], w[min(k, w.shape[0] - 1), s, i] if image else w[0, 0, 0]
                for j in range(cols):
                    wi = wk[j] if image else wk[0]
                    q = f[j] * pk[j]
                    total += smooth * q * q / (2 * wi) if wi > 0 else 0.0
            if not groups:
                _shortened(p, d - 1, s, i, w, groups, f)
            for j in range(cols - 1):
                to[j] -= rates[d - 1] * (f[j] * right[j])
            for j in range(1, cols):
                to[j] += rates[d - 1] * (f[j - 1] * right[j - 1])
            for k in range(max(s - 1, 0), min(s + 1, slices - 1) if d == 3 else 0):
                _shortened(p, 0, k, i, w, groups, f)
                rate = rates[0] if k < s else -rates[0]
                for j in range(cols):
                    to[j] += rate * (f[j] * p[0, k, i, j])
        parts[block] = total


@compiled(lambda f: float64(ro(f, 1)), parallel=False)
def _summed(parts):
    return in_order(parts)


@inner
def _kept(w, smooth, length):
    """The factor of prox_conj: 0 where w = 0."""
    return w / max(max(w + smooth, length), np.finfo(np.float64).tiny)


@shared(lambda f: void(ro(f, 4), ro(f, 3), ro(float64, 4), float64, float64, ro(float64, 1), boolean, rw(float64, 2)))
def _moved(start, stop, p, x, w, step, smooth, rates, groups, parts):
    """parts ← (Σ (p − new)², Σ |∇x|²) of each row; a missing axis (2-D) has rate 0 and reads another component."""
    slices, rows, cols = x.shape
    d = p.shape[0]
    deep, image, last = 1.0 if d == 3 else 0.0, w.size > 1, w.shape[0] - 1
    r0, r1, r2 = rates[0] * deep, rates[d - 2], rates[d - 1]
    for m in range(start, stop):
        s, i = m // rows, m % rows
        here, below, behind = x[s, i], x[s, min(i + 1, rows - 1)], x[min(s + 1, slices - 1), i]
        p0, p1, p2 = p[0, s, i], p[d - 2, s, i], p[d - 1, s, i]
        w0, w1, w2 = w[0, 0, 0, 0], w[0, 0, 0, 0], w[0, 0, 0, 0]
        away, size = 0.0, 0.0
        for j in range(cols):
            if image:
                w0, w1, w2 = w[0, s, i, j], w[min(d - 2, last), s, i, j], w[min(d - 1, last), s, i, j]
            h = np.float64(here[j])
            c, a, b = (behind[j] - h) * r0, (below[j] - h) * r1, (here[min(j + 1, cols - 1)] - h) * r2
            size += a * a + b * b + c * c
            c, a, b = deep * p0[j] + step * c, p1[j] + step * a, p2[j] + step * b
            if groups:
                f0 = f1 = f2 = _kept(w0, smooth, np.sqrt(a * a + b * b + c * c))
            else:
                f0, f1, f2 = _kept(w0, smooth, abs(c)), _kept(w1, smooth, abs(a)), _kept(w2, smooth, abs(b))
            away += (deep * p0[j] - f0 * c) ** 2 + (p1[j] - f1 * a) ** 2 + (p2[j] - f2 * b) ** 2
        parts[0, m], parts[1, m] = away, size


def _volume(shape):
    """The image's shape as (slices, rows, columns)."""
    return (math.prod(shape[:-2]), *shape[-2:])


def _weights(weight, x, dtype=np.float64):
    """Of shape (1, 1, 1, 1) or (1 or d, slices, rows, columns)."""
    w = np.ascontiguousarray(weight, dtype=dtype)
    return w.reshape((1, 1, 1, 1) if w.size == 1 else (-1, *x.shape))


def tv_dual_ascent(p, x, step, f, K, relaxation, spare=False):
    d = len(K.axes)
    if not along_last(x.ndim, K.axes):
        return variation.tv_dual_ascent.reference(p, x, step, f, K, relaxation)
    p, x = plain(p, x)
    there = spare and p.flags.writeable
    out, volume = p if there else empty(p.shape, p.dtype, p), x.reshape(_volume(x.shape))
    field = np.empty((1, 1, 1, 1), p.dtype) if there else p.reshape(d, *volume.shape)
    to, tiny = out.reshape(d, *volume.shape), np.finfo(x.dtype).tiny
    w, rates = _weights(f.weight, volume, x.dtype), [step / h for h in K.spacing]
    lines, smooth = math.prod(volume.shape[:2]), step * f.smoothing
    if f.groups:
        ascend = _ascend2 if d == 2 else _ascend3
        ascend(lines, field, volume, w[0], smooth, *rates, tiny, relaxation, there, to)
    else:
        rates = np.asarray(rates, x.dtype)
        _ascend_apart(d * lines, field, volume, w, smooth, rates, tiny, relaxation, there, to)
    return out


def tv_value(x, f, K):
    if not along_last(x.ndim, K.axes):
        return variation.tv_value.reference(x, f, K)
    x = plain(x)
    volume = x.reshape(_volume(x.shape))
    w, rates = _weights(f.weight, volume), 1 / np.asarray(K.spacing, float)
    parts = np.empty(math.prod(volume.shape[:2]))
    _value(parts.size, volume, w, float(f.smoothing), rates, bool(f.groups), parts)
    return float(_summed(parts))


def tv_pull(p, f, K):
    shape, d = p.shape[1:], len(K.axes)
    if not along_last(len(shape), K.axes):
        return variation.tv_pull.reference(p, f, K)
    p = plain(p)
    out = empty(shape, np.float64, p)
    volume = out.reshape(_volume(shape))
    field = p.reshape(d, *volume.shape)
    w, rates = _weights(f.weight, field[0]), 1 / np.asarray(K.spacing, float)
    parts = np.empty(-(-math.prod(volume.shape[:2]) // ROWS))
    _pull(parts.size, field, w, float(f.smoothing), rates, bool(f.groups), volume, parts)
    return out, float(_summed(parts))


def tv_moved(p, x, step, f, K):
    if not along_last(x.ndim, K.axes):
        return variation.tv_moved.reference(p, x, step, f, K)
    p, x = plain(p, x)
    volume = x.reshape(_volume(x.shape))
    parts = np.empty((2, volume.shape[0] * volume.shape[1]))
    field, w = p.reshape(len(K.axes), *volume.shape), _weights(f.weight, volume)
    rates = 1 / np.asarray(K.spacing, float)
    _moved(parts.shape[1], field, volume, w, step, step * f.smoothing, rates, bool(f.groups), parts)
    away, size = parts.sum(axis=1).tolist()
    return away, size
