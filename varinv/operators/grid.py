"""The grid of an image that covers what a detector sees."""

from __future__ import annotations

import math

from varinv import check
from varinv.operators.geometry import FanBeam, ParallelBeam

ROUND = 1e-3  # of a pixel: a field is a whole number of pixels within rounding
WIDER = 1.05  # a field that grows by less on the wider side stays as it is


def field(geometry: ParallelBeam | FanBeam) -> float:
    """The width of what the detector sees, in bins: all of them, or twice the wider side.

    Over a full turn with the axis off centre every line within the wider side is measured, from one of both sides.
    """
    turn = float(geometry.angles.max() - geometry.angles.min())
    axis = (float(geometry.axes.min()) + float(geometry.axes.max())) / 2
    wider = 2 * (max(axis, geometry.detectors - 1 - axis) + 0.5)
    return wider if turn > 1.5 * math.pi and wider > WIDER * geometry.detectors else float(geometry.detectors)


def covering(
    geometry: ParallelBeam | FanBeam, size: int | None = None, pixel_size: float | None = None, who: str = "grid"
) -> tuple[int, float]:
    """Side n of the square image in pixels, and the pixel size, that cover the field of view of a detector.

    Neither given: pixels of the spacing at the axis.  Size alone: the field in that many pixels.  Pixel size alone: as
    many as cover the field.  Both: taken as given.
    """
    bins, pitch = field(geometry), geometry.spacing_at_axis
    if size is not None:
        size = check.integer(who, "size", size, low=1)
    if pixel_size is not None:
        pixel_size = check.number(who, "pixel_size", pixel_size, low=0, strict=True)
        return size if size is not None else math.ceil(bins * pitch / pixel_size - ROUND), pixel_size
    n = size if size is not None else math.ceil(bins)
    return n, pitch * (bins / n if size is not None else 1.0)
