"""The grid of an image or a volume that covers what a detector sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import namespace
from varinv.operators.views import Views, length

ROUND = 1e-3  # of a pixel: a field is a whole number of pixels within rounding
WIDER = 1.05  # a field that grows by less on the wider side stays as it is
BEYOND = 0.02  # of the rays that meet a volume: where more leave through its top or bottom, it is too short
SAMPLES = 24  # views, rows and columns that are looked at for that, of each at most


class UncoveredWarning(UserWarning):
    """A volume with fewer slices than the detector sees."""


@dataclass(frozen=True)
class Grid:
    """Pixels or voxels for a scan: how many, and how large.

    Examples
    --------
    >>> import numpy as np
    >>> from varinv.operators.cone import ConeBeam
    >>> Grid.covering(ConeBeam(np.arange(90) * np.pi / 45, (60, 80), 1.5, 130.0, 65.0), radius=26.0)
    Grid(shape=(72, 52, 52), pixel_size=1.0)
    """

    shape: tuple[int, ...]
    pixel_size: float

    @classmethod
    def covering(
        cls,
        geometry: Any,
        pixel_size: float | None = None,
        radius: float | None = None,
        *,
        size: int | None = None,
        who: str = "Grid.covering",
    ) -> Grid:
        """The square image, or the volume, that covers the field of view of a detector.

        Neither given: pixels of the spacing at the axis.  `size` alone: the field in so many pixels.  Pixel size alone:
        as many as cover the field.  Both: taken as given.  `radius`: of the object, in place of the field.

        A volume is as high as the rays run within that radius: half of it is the largest
        |z of a row at the detector|·(R + radius)/(R + d), and what the source rises.  Where rays are steeper than 45°
        no height follows from a radius, and it is as high as wide.
        """
        pitch = geometry.spacing_at_axis
        if radius is not None:
            bins = 2 * check.number(who, "radius", radius, low=0, strict=True) / pitch
        else:
            bins = field(geometry)
        if size is not None:
            size = check.integer(who, "size", size, low=1)
        if pixel_size is not None:
            edge = check.number(who, "pixel_size", pixel_size, low=0, strict=True)
            n = size if size is not None else math.ceil(bins * pitch / edge - ROUND)
        else:
            n = size if size is not None else math.ceil(bins - ROUND)
            edge = pitch * (bins / n if size is not None else 1.0)
        if not hasattr(geometry, "projections"):
            return cls((n, n), edge)
        slices = math.ceil(2 * half_height(geometry.views(), bins * pitch / 2) / edge - ROUND)
        return cls((max(slices, 1), n, n), edge)


def field(geometry: Any) -> float:
    """The width of what the detector sees, in bins: all of them, or twice the wider side.

    Over a full turn with the axis off centre every line within the wider side is measured, from one of both sides.
    """
    if isinstance(geometry, Views):
        return float(geometry.shape[1])
    detectors = geometry.shape[-1]
    turn = float(geometry.angles.max() - geometry.angles.min())
    axis = (float(geometry.axes.min()) + float(geometry.axes.max())) / 2
    wider = 2 * (max(axis, detectors - 1 - axis) + 0.5)
    return wider if turn > 1.5 * math.pi and wider > WIDER * detectors else float(detectors)


def half_height(views: Views, radius: float) -> float:
    """The largest |z| of the rays within a radius of the z axis: at the edges of the outermost rows."""
    xp = namespace(views.u)
    edges: list[Any] = [views.detector + side * views.shape[0] / 2 * views.v for side in (-1, 1)]
    if views.source is None:
        d: Any = views.direction
        flat = length(d[:, :2])
        if bool(xp.any(flat < xp.abs(d[:, 2]))):
            return radius
        lean = xp.abs(d[:, 2]) / flat * radius
        at_axis = [e[:, 2] - xp.sum(e[:, :2] * d[:, :2], axis=1) / flat**2 * d[:, 2] for e in edges]
        return max(float(xp.max(xp.abs(z) + lean)) for z in at_axis)
    found = []
    for edge in edges:
        d = edge - views.source
        flat = length(d[:, :2])
        if bool(xp.any(flat < xp.abs(d[:, 2]))):
            return radius
        for side in (-radius, radius):
            depth = (length(views.source[:, :2]) + side) / flat
            found.append(float(xp.max(xp.abs(views.source[:, 2] + depth * d[:, 2]))))
    return max(found)


def seen_height(geometry: Any, shape: tuple[int, ...], voxel: tuple[float, float, float]) -> int | None:
    """How many slices the detector sees, where more than 2 % of the rays leave the volume at its top or bottom.

    Looked at in the cylinder inside the volume, on some of the rays; None where it is high enough.
    """
    views = geometry.views()
    xp = namespace(views.u)
    radius, half = min(shape[1] * voxel[1], shape[2] * voxel[2]) / 2, shape[0] * voxel[0] / 2
    some: Any = views[:: -(-len(views) // SAMPLES)]
    row, column = (slice(None, None, -(-n // SAMPLES)) for n in some.shape)
    p: Any = some.pixels()[:, row, column, :]
    d: Any = some.middle[:, None, None, :] + xp.zeros(p.shape)
    if some.source is not None:
        source = some.source[:, None, None, :] + xp.zeros(p.shape)
        p, d = source, p - source
    flat = xp.clip(xp.sum(d[..., :2] ** 2, axis=-1), 1e-300, None)
    near = -xp.sum(p[..., :2] * d[..., :2], axis=-1) / flat
    inside = radius**2 - xp.sum((p[..., :2] + near[..., None] * d[..., :2]) ** 2, axis=-1)
    reach = xp.sqrt(xp.clip(inside, 0.0, None) / flat)
    ends = [p[..., 2] + (near + side * reach) * d[..., 2] for side in (-1, 1)]
    low, high = xp.minimum(*ends), xp.maximum(*ends)
    edge = half * (1 + 1e-9)
    meets = xp.logical_and(inside > 0, xp.logical_and(low < edge, high > -edge))
    leaves = xp.logical_and(meets, xp.logical_or(high > edge, low < -edge))
    count, out = (int(xp.sum(xp.astype(a, xp.int64))) for a in (meets, leaves))
    if out <= BEYOND * count:
        return None
    found = math.ceil(2 * half_height(views, radius) / voxel[0] - ROUND)
    return found if found > shape[0] else None
