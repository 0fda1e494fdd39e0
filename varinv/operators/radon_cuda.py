"""CUDA twins of the X-ray transform: tables of the rays, and copies of the data in the order radon.cu reads them.

A table is made once for a scan, a device and a dtype, and lives as long as the scan's `Rays`.
"""

# mypy: ignore-errors
from __future__ import annotations

import math
import weakref

import numpy as np

from varinv import cuda_tools
from varinv.backend import device, empty, like, like_kept, namespace
from varinv.operators import radon

PAD, BELOW = 8, 3  # zeros around an image, as in radon.cu
SLICES = 64  # of a stack are copied at once
PIXEL, RAY = 2.0**32, 2.0**48  # to how many parts integer coordinates split a pixel, and a ray of a fan
SLACK = 1e-4  # of a fan's reach, for the rounding of a quotient

_tables = weakref.WeakKeyDictionary()


def project(x, rays):
    (x,) = cuda_tools.plain(x)
    tables = _kept(rays, x, _lines)
    if tables is None:
        return radon.project.reference(x, rays)
    (rows, cols), (angles, bins) = rays.shape, rays.geometry.shape
    out = empty((x.shape[0], angles, bins), x.dtype, x)
    for some, result, together, groups in _parts(x, out):
        framed = []
        for turned, steps, width in ((0, rows, cols), (1, cols, rows)):
            size = (groups, steps + BELOW, width + 2 * PAD)
            framed.append(empty((*size, together), x.dtype, x))
            cuda_tools.launch(__name__, "frame", size, some, framed[-1], *some.shape, turned, together, like=x)
        settings = (*some.shape, angles, bins, rays.parts, int(rays.pitch is None))
        cuda_tools.launch(
            __name__, f"project_{together}", (groups, angles, bins), *framed, *tables, result, *settings, like=x
        )
    return out


def adjoint(y, rays):
    (y,) = cuda_tools.plain(y)
    fan = rays.pitch is None
    tables = _kept(rays, y, _fan_shadows if fan else _shadows)
    if tables is None:
        return radon.adjoint.reference(y, rays)
    length, *tables = tables
    (rows, cols), angles = rays.shape, y.shape[1]
    out = empty((y.shape[0], rows, cols), y.dtype, y)
    taps = 0 if fan else _taps(rays)
    for some, result, together, groups in _parts(y, out):
        size = (groups, angles, rays.count + 4 * taps)
        values = empty((*size, together), y.dtype, y)
        settings = (*some.shape, rays.parts, int(fan), 2 * taps, together)
        cuda_tools.launch(__name__, "spread", size, some, length, values, *settings, like=y)
        name, deep = "backproject_fan" if fan else "backproject", 4 if together == 1 else 2
        settings = (some.shape[0], rows, cols, angles, rays.count, *(() if fan else (taps,)))
        size = (groups, -(-rows // deep), cols)  # a thread owns `deep` pixels of a column
        cuda_tools.launch(__name__, f"{name}_{together}", size, values, *tables, result, *settings, like=y)
    return out


def _parts(a, out):
    """Parts of a stack: slices, where their results go, how many lie side by side, in how many groups."""
    for s in range(0, a.shape[0], SLICES):
        some = a[s : s + SLICES]
        together = 4 if some.shape[0] > 2 else 1
        yield some, out[s : s + SLICES], together, -(-some.shape[0] // together)


def _kept(rays, x, make):
    """The tables of a scan for the library, device and dtype of x; None beyond the range of integer coordinates."""
    known = _tables.setdefault(rays, {})
    key = (make.__name__, type(x), str(x.dtype), str(device(x)))
    if key not in known:
        known[key] = make(rays, x)
    return known[key]


def _coordinates(x, unit, limit, *arrays):
    """Float64 numbers as radon.cu counts them beside x; None where one is not below the limit."""
    arrays = [np.ascontiguousarray(a) for a in arrays]
    if x.dtype == namespace(x).float64:
        return [like(a, x) for a in arrays]
    if max(float(np.abs(a).max()) for a in arrays) >= limit:
        return None
    return [like_kept(np.rint(a * unit).astype(np.int64), x) for a in arrays]


def _lines(rays, x):
    """For `project`: by_row, start, slope, pitch, length; one entry for each angle, or for each ray of a fan."""
    rows, cols = rays.shape
    if max((rows + BELOW) * (cols + 2 * PAD), (cols + BELOW) * (rows + 2 * PAD)) >= 2**31:
        return None
    if rays.pitch is None:
        lines = _coordinates(x, PIXEL, 2.0**29, rays.start, rays.slope, np.zeros(1))
    else:
        ends = rays.start[:, 0], rays.start[:, -1]
        lines = _coordinates(x, PIXEL, 2.0**29, ends[0], rays.slope[:, 0], rays.pitch[:, 0], ends[1])
    each = slice(None) if rays.pitch is None else (slice(None), 0)
    by_row = np.ascontiguousarray(rays.by_row[each]).astype(np.uint8)
    return lines and (like_kept(by_row, x), *lines[:3], like(rays.length[each] / rays.parts, x))


def _pixels(rays, cos, sin, offset):
    """x cos + y sin + offset at pixel (i, j) as zero + i·down + j·right: their columns, (angles, 3)."""
    (row, column), h = rays.origin, rays.pixel_size
    right, down = h * cos, -h * sin
    return np.stack([offset - right * column - down * row, down, right], axis=1)


def _corners(rays):
    rows, cols = rays.shape
    return np.array([[1, 1, 1, 1], [0, 0, rows - 1, rows - 1], [0, cols - 1, 0, cols - 1]])


def _shadows(rays, x):
    """For `adjoint`: length; zero, down, right, pitch of parallel rays."""
    angles = rays.geometry.angles
    kappa = _pixels(rays, np.cos(angles) / rays.spacing, np.sin(angles) / rays.spacing, rays.axes)
    lines = _coordinates(x, PIXEL, 2.0**29, *kappa.T, kappa @ _corners(rays))
    pitch = np.abs(rays.pitch[:, 0])
    return lines and (like(rays.length[:, 0] / rays.parts, x), *lines[:3], like(pitch, x))


def _taps(rays):
    """Rays on either side that can be less than a pixel away; one farther by a rounding error has no weight."""
    return math.ceil(1 / float(np.abs(rays.pitch).min()) - 1e-13)


def _fan_shadows(rays, x):
    """For `adjoint` of a fan: length; v, w, reach, near.

    Ray k passes a pixel, along its row or column, at R w |u_k − u|/max(|dx|, |dy|), (dx, dy) the ray's direction, of
    length √(u_k² + D²).  With u_k − u = (k − κ)·spacing and κ = v/w this is |k w − v|·near[k].  None for a curved
    detector, whose κ is no such quotient.
    """
    g, angles = rays.geometry, rays.geometry.angles
    if g.curved:
        return None
    R, D, h = g.source_to_axis, g.source_to_axis + g.axis_to_detector, rays.pixel_size
    u = (np.arange(rays.count) - rays.axes[:, None]) * rays.spacing
    near = R * rays.spacing / h**2 * rays.length / np.hypot(u, D)
    w = _pixels(rays, -np.sin(angles) / R, np.cos(angles) / R, 1.0)
    v = _pixels(rays, np.cos(angles), np.sin(angles), 0.0) * (D / (R * rays.spacing)) + rays.axes[:, None] * w
    lines = _coordinates(x, RAY, 2.0**15, v, w, v @ _corners(rays))
    reach = (1 + SLACK) / near.min(axis=1)
    return lines and (like(rays.length / rays.parts, x), *lines[:2], like(reach, x), like(near, x))
