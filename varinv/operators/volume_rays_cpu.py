"""Rays of any direction through a volume, on the CPU, one by one.

Tables of the rays of a few views come first: axis, first and last plane, two places and two slopes, path.  Places are
whole numbers, 2^32 to a voxel (float64: 2^48), counted from the frame of zeros around the volume: a step is one
addition, which voxel is one shift, and which planes a ray meets is found exactly.  Upright lines of voxels are
contiguous, and the rays of a detector column follow each other: neighbours read neighbours.  Forward, a job owns some
detector columns; back, a strip of planes, one pass for each axis.  Every number is summed by one job in a fixed order:
the bits do not depend on the number of threads.
"""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import boolean, float64, int64, void

from varinv.numba_tools import ro, rw, shared

BATCH = 8  # views whose rays are tabulated at once
STRIP = 16  # planes of one owner
COLUMNS = 32  # of the detector: a job
BITS = {4: 32, 8: 48}  # of a fraction of a voxel, by the bytes of a number

SCALAR = {"contract", "nsz"}  # sums in order: the compiler's lanes gather, which is slower

inner = nb.njit(fastmath=SCALAR, error_model="numpy", nogil=True)
exact = nb.njit(error_model="numpy", nogil=True)


@exact
def planes_met(t, dt, width, low, high):
    """Planes n in [low, high) outside of which t + n·dt is not in (−1, width); a few of them may not be either."""
    if abs(dt) < 1e-9:
        return low, high
    a, b = (-1.0 - t) / dt, (width - t) / dt
    a, b = max(min(a, b) - 1.0, low), min(max(a, b) + 2.0, high)
    return (int64(a), int64(b)) if a < b else (low, low)


@exact
def planes_inside(p, dp, end, low, high):
    """The planes n in [low, high) with 0 ≤ p + n·dp < end, in whole numbers."""
    if dp == 0:
        return (low, high) if 0 <= p < end else (low, low)
    a, b = (-(p // dp), -((p - end) // dp)) if dp > 0 else ((p - end) // -dp + 1, p // -dp + 1)
    return max(low, a), min(high, b)


@shared(
    lambda f: void(
        ro(f, 1), ro(float64, 2), ro(float64, 3), ro(float64, 2), boolean, ro(float64, 1), ro(int64, 1), int64,
        int64, rw(f, 1), rw(int64, 2), rw(int64, 2),
    ),
    fastmath=False,
)  # fmt: skip
def tabulate(start, stop, kind, starts, feet, steps, parallel, voxel, shape, rows, bits, path, lines, bounds):
    """For the rays (view, column, row): ℓ; the places t, s on plane 0 and their slopes; axis, first and last plane.

    As `VolumeRays.lines` finds the axis, to the last bit: multiplications and additions are not fused.
    """
    columns = feet.shape[1]
    half = (rows - 1) / 2
    p, d, n = np.empty(3), np.empty(3), np.empty(3)
    for job in range(start, stop):
        q, k = int64(job) // columns, int64(job) % columns
        for l in range(rows):
            ray = int64(job) * rows + l
            total = 0.0
            for c in range(3):
                at = feet[q, k, c] + (l - half) * steps[q, c]
                d[c] = starts[q, c] if parallel else at - starts[q, c]
                p[c] = at if parallel else starts[q, c]
                total += d[c] * d[c]
                p[c] /= voxel[c]
                d[c] /= voxel[c]
            n[0], n[1], n[2] = (shape[0] - 1) / 2 - p[2], (shape[1] - 1) / 2 - p[1], p[0] + (shape[2] - 1) / 2
            d0, d1, d2 = -d[2], -d[1], d[0]
            if abs(d1) >= abs(d2) and abs(d1) >= abs(d0):
                a, b, c, along, first, second = 1, 0, 2, d1, d0, d2
            elif abs(d2) >= abs(d0):
                a, b, c, along, first, second = 2, 0, 1, d2, d0, d1
            else:
                a, b, c, along, first, second = 0, 1, 2, d0, d1, d2
            dt, ds = first / along, second / along
            t, s = n[b] - n[a] * dt, n[c] - n[a] * ds
            low, high = planes_met(t, dt, shape[b], 0, shape[a])
            low, high = planes_met(s, ds, shape[c], low, high)
            if low < high:
                unit = float64(int64(1) << bits)
                lines[ray, 0], lines[ray, 1] = int64(math.floor((t + 1) * unit)), int64(math.floor(dt * unit))
                lines[ray, 2], lines[ray, 3] = int64(math.floor((s + 1) * unit)), int64(math.floor(ds * unit))
                low, high = planes_inside(lines[ray, 0], lines[ray, 1], (shape[b] + 1) << bits, low, high)
                low, high = planes_inside(lines[ray, 2], lines[ray, 3], (shape[c] + 1) << bits, low, high)
            bounds[ray, 0], bounds[ray, 1], bounds[ray, 2] = a, low, high
            path[ray] = math.sqrt(total) / abs(along)


@inner
def strides(shape, a):
    """The strides of the framed volume: of axis a, then of the two beside it."""
    row, column = (shape[0] + 2) * (shape[2] + 2), shape[0] + 2
    if a == 1:
        return row, 1, column
    return (column, 1, row) if a == 2 else (1, row, column)


@shared(
    lambda f: void(ro(f, 1), ro(int64, 1), int64, int64, ro(f, 1), ro(int64, 2), ro(int64, 2), rw(f, 1)),
    fastmath=SCALAR,
)
def read_rays(start, stop, flat, shape, bits, rows, path, lines, bounds, out):
    """The integral along each ray, some detector columns at a time; `flat` is the framed volume."""
    mask, unit = (int64(1) << bits) - 1, flat.dtype.type(1.0 / float64(int64(1) << bits))
    planes = max(shape[0], shape[1], shape[2])
    for job in range(start, stop):
        begin, end = int64(job) * COLUMNS * rows, min((int64(job) + 1) * COLUMNS * rows, path.size)
        for ray in range(begin, end):
            out[ray] = 0
        for low in range(0, planes, STRIP):
            for ray in range(begin, end):
                n, last = max(low, bounds[ray, 1]), min(low + STRIP, bounds[ray, 2])
                if n >= last:
                    continue
                sa, sb, sc = strides(shape, bounds[ray, 0])
                dp, dq = lines[ray, 1], lines[ray, 3]
                p, q, base = lines[ray, 0] + n * dp, lines[ray, 2] + n * dq, (n + 1) * sa
                total, beside, behind = flat.dtype.type(0), nb.uint64(sb), nb.uint64(sc)
                for _ in range(nb.uint64(last - n)):
                    i = nb.uint64(base + (p >> bits) * sb + (q >> bits) * sc)
                    x, y = flat.dtype.type(p & mask) * unit, flat.dtype.type(q & mask) * unit
                    j = i + behind
                    e = flat[i] + x * (flat[i + beside] - flat[i])
                    f = flat[j] + x * (flat[j + beside] - flat[j])
                    total += e + y * (f - e)
                    p += dp
                    q += dq
                    base += sa
                out[ray] += total
        for ray in range(begin, end):
            out[ray] *= path[ray]


@shared(
    lambda f: void(ro(f, 1), ro(int64, 1), int64, ro(f, 1), ro(int64, 2), ro(int64, 2), int64, rw(f, 1)),
    fastmath=SCALAR,
)
def write_rays(start, stop, y, shape, bits, path, lines, bounds, axis, flat):
    """Add to strips of planes of one axis of the framed volume what the rays along it have."""
    mask, unit = (int64(1) << bits) - 1, flat.dtype.type(1.0 / float64(int64(1) << bits))
    sa, sb, sc = strides(shape, axis)
    beside, behind = nb.uint64(sb), nb.uint64(sc)
    for job in range(start, stop):
        low, high = int64(job) * STRIP, (int64(job) + 1) * STRIP
        for ray in range(path.size):
            n, last = max(low, bounds[ray, 1]), min(high, bounds[ray, 2])
            if bounds[ray, 0] != axis or n >= last:
                continue
            dp, dq = lines[ray, 1], lines[ray, 3]
            p, q, base = lines[ray, 0] + n * dp, lines[ray, 2] + n * dq, (n + 1) * sa
            value = y[ray] * path[ray]
            for _ in range(nb.uint64(last - n)):
                i = nb.uint64(base + (p >> bits) * sb + (q >> bits) * sc)
                x, z = flat.dtype.type(p & mask) * unit, flat.dtype.type(q & mask) * unit
                j = i + beside
                f = x * value
                e = value - f
                flat[i] += e - z * e
                flat[i + behind] += z * e
                flat[j] += f - z * f
                flat[j + behind] += z * f
                p += dp
                q += dq
                base += sa


def batches(rays, some, dtype):
    """A few views at a time: their indices, and the tables of their rays."""
    views, (hs, hr, hc) = rays.views, rays.voxel
    starts = views.middle if views.source is None else views.source
    feet, voxel = views.feet(), np.array([hc, hr, hs])
    rows, columns = views.shape
    for k in range(0, some.size, BATCH):
        q = some[k : k + BATCH]
        size = q.size * rows * columns
        path, lines, bounds = np.empty(size, dtype), np.empty((size, 4), np.int64), np.empty((size, 3), np.int64)
        tabulate(
            q.size * columns, np.empty(0, dtype), starts[q], feet[q], views.v[q], views.source is None, voxel,
            np.array(rays.shape), rows, BITS[dtype.itemsize], path, lines, bounds,
        )  # fmt: skip
        yield q, path, lines, bounds


def project_rays(x, rays, some, out):
    """Fill out[q] for the views q in `some`."""
    flat, shape = np.pad(x.transpose(1, 2, 0), 1).reshape(-1), np.array(x.shape)
    rows, columns = rays.views.shape
    for q, path, lines, bounds in batches(rays, some, x.dtype):
        found = np.empty(path.size, x.dtype)
        read_rays(
            -(-q.size * columns // COLUMNS), flat, shape, BITS[x.dtype.itemsize], rows, path, lines, bounds, found
        )
        out[q] = found.reshape(q.size, columns, rows).transpose(0, 2, 1)


def adjoint_rays(y, rays, some, out):
    """Add to the volume `out` what comes back from the views in `some`."""
    S, R, C = out.shape
    flat, shape = np.zeros((S + 2) * (R + 2) * (C + 2), y.dtype), np.array(out.shape)
    for q, path, lines, bounds in batches(rays, some, y.dtype):
        data = np.ascontiguousarray(y[q].transpose(0, 2, 1)).reshape(-1)
        for axis in range(3):
            if (bounds[:, 0] == axis).any():
                write_rays(
                    -(-out.shape[axis] // STRIP), data, shape, BITS[y.dtype.itemsize], path, lines, bounds, axis, flat
                )
    out += flat.reshape(R + 2, C + 2, S + 2)[1:-1, 1:-1, 1:-1].transpose(2, 0, 1)
