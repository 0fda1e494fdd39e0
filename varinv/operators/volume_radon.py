"""X-ray transform of volumes: Joseph's rays through any scan, and a back-projection with the very same weights."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

from varinv.backend import Array, Shape, device, indices_like, kernel, like, namespace
from varinv.operators.norms import collatz_wielandt
from varinv.operators.views import Views, length

WIDER = 1e-3  # a pixel is wider than a voxel only by more than this: lengths are written down with a few digits
PAIRS = 12  # applications of A and its adjoint for a norm, at most; three are the rule


class VolumeRays:
    """The rays of a scan as lines across the voxel grid, in float64, and what is remembered of them.

    A ray runs along one axis of the volume, the one of which it crosses most planes (in voxels; ties to rows, then
    columns).  On plane n of it the ray meets the other two axes at  t_n = t_0 + n t'  and  s_n = s_0 + n s'.

    A pixel that is wider than a voxel at the axis is divided into `parts` = (along its rows, along its columns) rays.
    """

    def __init__(self, shape: Shape, views: Views, voxel: tuple[float, float, float]) -> None:
        self.shape, self.voxel, self.given = shape, voxel, views
        xp = namespace(views.u)
        h = xp.asarray(voxel)[::-1]
        u, v = (float(xp.max(length(a / h))) for a in views.steps_at_axis())
        self.parts = tuple(max(1, math.ceil(a - WIDER)) for a in (v, u))
        self.views = views.finer(*self.parts)
        self.memory: dict[Any, Any] = {}  # of fast twins

    def __reduce__(self) -> Any:
        return (VolumeRays, (self.shape, self.given, self.voxel))

    def lines(self, view: int) -> tuple[Array, Array, Array, Array]:
        """Of the rays of a view: a point and the direction, (rays, 3) in voxels, the axis, and ℓ, (rays,) each.

        Components are (slice, row, column) indices; ℓ is the path from one plane of the axis to the next.
        """
        some = self.views[[view]]
        xp = namespace(some.u)
        point, along = (xp.reshape(xp.broadcast_to(a, (1, *some.shape, 3)), (-1, 3)) for a in some.rays())
        h = xp.asarray([self.voxel[2], self.voxel[1], self.voxel[0]])
        p, d = point / h, along / h
        S, R, C = self.shape
        p = xp.stack([(S - 1) / 2 - p[:, 2], (R - 1) / 2 - p[:, 1], p[:, 0] + (C - 1) / 2], axis=1)
        d = xp.stack([-d[:, 2], -d[:, 1], d[:, 0]], axis=1)
        steep = xp.abs(d)
        by_row = xp.logical_and(steep[:, 1] >= steep[:, 2], steep[:, 1] >= steep[:, 0])
        axis = xp.where(by_row, 1, xp.where(steep[:, 2] >= steep[:, 0], 2, 0))
        return p, d, axis, length(along) / xp.max(steep, axis=1)

    def weights(self, view: int) -> Iterator[tuple[Array, Array]]:
        """For each axis that rays of a view run along: voxels and their weights, (4 · planes, rays) each.

        Voxels are flat indices; where a ray reads none, index 0 and weight 0.
        """
        p, d, axis, path = self.lines(view)
        xp, (_, R, C) = namespace(p), self.shape
        strides = (R * C, C, 1)
        for a, b, c in ((1, 2, 0), (2, 1, 0), (0, 1, 2)):
            if not bool(xp.any(axis == a)):
                continue
            along = xp.where(axis == a, d[:, a], 1.0)
            n = xp.arange(self.shape[a], dtype=xp.float64)[:, None]
            places, parts = [], []
            crossed = [p[:, m] + (n - p[:, a]) * (d[:, m] / along) for m in (b, c)]
            floors = [xp.floor(t) for t in crossed]
            for e in (0, 1):
                for f in (0, 1):
                    i, j = floors[0] + e, floors[1] + f
                    weight = (1 - xp.abs(crossed[0] - i)) * (1 - xp.abs(crossed[1] - j)) * path
                    inside = (axis == a) & (i >= 0) & (i < self.shape[b]) & (j >= 0) & (j < self.shape[c])
                    flat = n * strides[a] + i * strides[b] + j * strides[c]
                    places.append(xp.astype(xp.where(inside, flat, 0.0), xp.int64))
                    parts.append(xp.where(inside, weight, 0.0))
            yield xp.concat(places), xp.concat(parts)


class VolumeScan:
    """How `Radon` works through volumes."""

    views = -3

    def __init__(self, shape: Shape, geometry: Any, voxel: tuple[float, float, float]) -> None:
        self.domain, self.codomain, self.geometry, self.voxel = shape, geometry.projections, geometry, voxel

    @functools.cached_property
    def rays(self) -> VolumeRays:
        return VolumeRays(self.domain, self.geometry.views(), self.voxel)

    def forward(self, x: Array) -> Array:
        return project(x, self.rays)

    def adjoint(self, y: Array) -> Array:
        return adjoint(y, self.rays)

    def norm(self, A: Any) -> float:
        """Collatz–Wielandt to 5 %: in float32, whose rounding the last factor covers, as pairs are dear."""
        return collatz_wielandt(A, ratio=1.05, most=PAIRS, single=True) * (1 + 1e-4)


def project(x: Array, rays: VolumeRays) -> Array:
    """Line integrals of a volume, (slices, rows, columns) → (views, rows, columns)."""
    xp, (a, b) = namespace(x), rays.parts
    views, rows, columns = rays.given.projections
    fine = project_volume(x, rays)
    return fine if a * b == 1 else xp.mean(xp.reshape(fine, (views, rows, a, columns, b)), axis=(2, 4))


def adjoint(y: Array, rays: VolumeRays) -> Array:
    """The transpose of `project`."""
    xp, (a, b) = namespace(y), rays.parts
    if a * b > 1:
        y = xp.repeat(xp.repeat(y, a, axis=1), b, axis=2) / (a * b)
    return adjoint_volume(y, rays)


@kernel
def project_volume(x: Array, rays: VolumeRays) -> Array:
    r"""The integral along each ray: the four voxels beside it on every plane that it crosses, bilinearly.

    .. math:: (Ax)_{ray} = ℓ Σ_n Σ_{a,b ∈ \{0,1\}} W_a(t_n) W_b(s_n) x[n, ⌊t_n⌋ + a, ⌊s_n⌋ + b],

    W_0 = 1 − fraction, W_1 = fraction, zero outside the volume.
    """
    xp = namespace(x)
    flat = xp.reshape(x, (-1,))
    views, rows, columns = rays.views.projections
    found = []
    for q in range(views):
        total: Any = 0.0
        for place, weight in rays.weights(q):
            values = xp.take(flat, indices_like(namespace(place).reshape(place, (-1,)), x))
            total = total + xp.sum(xp.reshape(values, place.shape) * like(weight, x), axis=0)
        found.append(xp.reshape(total, (rows, columns)))
    return xp.stack(found)


@kernel
def adjoint_volume(y: Array, rays: VolumeRays) -> Array:
    """The transpose of `project_volume`, a gather: each voxel reads the rays that read it, one after the other."""
    xp = namespace(y)
    size = math.prod(rays.shape)
    total: Any = xp.zeros((size,), dtype=y.dtype, device=device(y))
    for q in range(rays.views.projections[0]):
        values = xp.reshape(y[q, ...], (-1,))
        for place, weight in rays.weights(q):
            hp = namespace(place)
            ray = hp.broadcast_to(hp.arange(place.shape[1]), place.shape)
            place, weight, ray = (hp.reshape(a, (-1,)) for a in (place, weight, ray))
            order = hp.argsort(hp.where(weight > 0, place, size), stable=True)
            used = int(hp.sum(hp.astype(weight > 0, hp.int64)))
            if not used:
                continue
            place, weight, ray = (hp.take(a, order[:used]) for a in (place, weight, ray))
            first = hp.searchsorted(place, hp.arange(size), side="left")
            last = hp.searchsorted(place, hp.arange(size), side="right")
            for m in range(int(hp.max(last - first))):
                k = hp.clip(first + m, 0, used - 1)
                w = hp.where(first + m < last, hp.take(weight, k), 0.0)
                total = total + like(w, y) * xp.take(values, indices_like(hp.take(ray, k), y))
    return xp.reshape(total, rays.shape)
