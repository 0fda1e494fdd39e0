"""CPU twin of what a look reads of a total variation: one pass, sums row by row in a fixed order."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np
from numba.types import boolean, float64, void

from varinv.fused import looks
from varinv.fused.variation_cpu import _volume, _weights
from varinv.numba_tools import along_last, inner, plain, ro, rw, shared


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


def tv_moved(p, x, step, weight, smoothing, spacing, axes, groups):
    if not along_last(x.ndim, axes):
        return looks.tv_moved.reference(p, x, step, weight, smoothing, spacing, axes, groups)
    p, x = plain(p, x)
    volume = x.reshape(_volume(x.shape))
    parts = np.empty((2, volume.shape[0] * volume.shape[1]))
    field, w = p.reshape(len(axes), *volume.shape), _weights(weight, volume)
    rates = 1 / np.asarray(spacing, float)
    _moved(parts.shape[1], field, volume, w, step, step * smoothing, rates, bool(groups), parts)
    away, size = parts.sum(axis=1).tolist()
    return away, size
