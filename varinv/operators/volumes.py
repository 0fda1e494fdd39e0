"""What is checked before a volume is projected, and the grid that covers what a detector sees of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from varinv import check
from varinv.backend import namespace
from varinv.memory import remembered
from varinv.operators.cone import ConeBeam, Laminography
from varinv.operators.grid import UncoveredWarning, seen_height
from varinv.operators.views import length, refuse


def check_volume(A: Any) -> None:
    """Check and normalise the fields of a projector of volumes."""
    who, set_ = type(A).__name__, object.__setattr__
    shape = check.shape(who, A.shape)
    if len(shape) != 3:
        raise ValueError(f"{who}: {A.geometry!r} needs a volume of shape (slices, rows, columns), got {shape}")
    set_(A, "shape", shape)
    given = A.geometry.spacing_at_axis if A.pixel_size is None else A.pixel_size
    edges = tuple(given) if hasattr(given, "__len__") else (given,) * 3
    if len(edges) != 3:
        raise ValueError(f"{who}: pixel_size must be one number or (slice, row, column), got {len(edges)} numbers")
    edges = tuple(check.number(who, "pixel_size", e, low=0, strict=True) for e in edges)
    set_(A, "pixel_size", edges[0] if len(set(edges)) == 1 else edges)
    if A.origin is not None:
        raise ValueError(
            f"{who}: origin={A.origin!r} is for images; for a volume move the scan: geometry.views().shifted((x, y, z))"
        )
    views = A.geometry.views()
    if views.source is None:
        return
    xp, h = namespace(views.source), voxel(A)
    half = xp.asarray([shape[2] * h[2] / 2, shape[1] * h[1] / 2, shape[0] * h[0] / 2])
    outside = length(xp.clip(xp.abs(views.source) - half, 0.0, None))
    size = " × ".join(f"{2 * float(e):g}" for e in half)
    what = f"the source is inside the volume of {size} (x, y, z), or less than a voxel away"
    refuse(f"{what}; are distances and pixel_size in the same unit?", outside < max(h), who)
    warn_uncovered(who, A.geometry, shape, h)


def voxel(A: Any) -> tuple[float, float, float]:
    """The edges of a voxel, (slice, row, column)."""
    h = A.pixel_size
    return h if isinstance(h, tuple) else (float(h),) * 3


def warn_uncovered(who: str, geometry: Any, shape: tuple[int, ...], h: tuple[float, float, float]) -> None:
    """Warn where many rays that meet the volume leave it through its top or bottom; once for a geometry."""

    def look() -> bool:
        if (found := seen_height(geometry, shape, h)) is not None:
            warnings.warn(
                f"{who}: the detector sees {found} slices, the volume has {shape[0]}; what lies beyond is put into the "
                "outermost slices; use Grid.covering(geometry, pixel_size) and crop",
                UncoveredWarning,
                stacklevel=check.outside(),
            )
        return True

    remembered(geometry, ("uncovered", shape, h), look)


def volumes(make: Callable[..., Any]) -> Iterator[Any]:
    """Small examples of every kind of scan: circle, helix, half-fan, short scan, arc, tilts, turns, tomosynthesis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UncoveredWarning)  # tiny volumes
        yield from list(_volumes(make))


def _volumes(make: Callable[..., Any]) -> Iterator[Any]:
    turn = [0.0, 0.7, math.pi / 2, 2.2, math.pi, -1.1]
    circle = ConeBeam(turn, (4, 7), 1.5, 14.0, 7.0)
    yield make((5, 6, 7), circle, 1.0)
    yield make((13, 3, 5), ConeBeam(turn, (5, 6), (1.1, 1.6), 12.0, 5.0, rise=6.0, row=1.3), (0.8, 1.1, 0.9))
    yield make((4, 5, 5), ConeBeam(turn[:4], (3, 6), 1.4, 12.0, 6.0, axis=0.4), 1.0)
    yield make((6, 6, 5), ConeBeam(turn[:4], (4, 5), 1.6, 12.0, 6.0, axis=[2.2, 1.9, 2.0, 2.4], curved=True), 1.0)
    yield make((8, 5, 5), circle.views()[:4].turned("x", math.radians(20)), 1.0)
    yield make((4, 4, 5), ConeBeam(turn[:3], (4, 5), 3.1, 14.0, 7.0), 1.0)
    yield make((1, 1, 1), ConeBeam(turn[:3], (1, 1), 1.5, 14.0, 7.0), 1.0)
    for tilt in (0.0, 30.0, 60.0):
        yield make((4, 5, 5), Laminography(turn[:4], (5, 6), tilt=math.radians(tilt)), 1.0)
    rolled = circle.views()[:3]
    cos, sin = math.cos(math.radians(3)), math.sin(math.radians(3))
    u, v = cos * rolled.u + sin * rolled.v, cos * rolled.v - sin * rolled.u
    yield make((4, 5, 6), type(rolled)(rolled.detector, u, v, rolled.shape, source=rolled.source), 1.0)
    yield make((5, 4, 6), ConeBeam([-0.4, 0.0, 0.3], (5, 6), 1.5, 14.0, 7.0).views().turned("x", -math.pi / 2), 1.0)
