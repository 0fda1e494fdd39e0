"""Scan geometries as data: parallel beam and flat-detector fan beam.

Conventions (docs/conventions.md): x to the right, y up, image row 0 at the top; the rotation axis meets the image
at ((rows-1)/2, (columns-1)/2).  All lengths share one unit; angles are in radians.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from varinv import check
from varinv.backend import Array, to_numpy


@dataclass(frozen=True, eq=False, repr=False)
class ParallelBeam:
    """Where the rays of a parallel-beam scan run: angles, detector bins and rotation axis.

    Detector bin k at angle θ measures the line x cos θ + y sin θ = (k − axis)·spacing.

    Parameters
    ----------
    angles : array of shape (n,), radians, in any order and over any number of turns.
    detectors : number of detector bins.
    spacing : distance between bin centres, in the unit of the pixel size.
    axis : bin index (fractional) onto which the rotation axis projects; None: (detectors − 1)/2.

    Raises
    ------
    TypeError, ValueError
        Angles that are empty, not finite or in degrees; counts or lengths that are not positive.
    """

    angles: Array
    detectors: int
    spacing: float = 1.0
    axis: float | None = None

    def __post_init__(self) -> None:
        _common(self)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one sinogram, (angles, detectors)."""
        return (len(self.angles), self.detectors)

    def __repr__(self) -> str:
        return f"ParallelBeam({len(self.angles)} angles, {self.detectors} detectors, {_rest(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class FanBeam:
    """Where the rays of a fan-beam scan run: from a point source onto a flat detector.

    At angle θ the source is at R(sin θ, −cos θ), the detector centre at d(−sin θ, cos θ), the detector direction is
    (cos θ, sin θ), R = `source_to_axis`, d = `axis_to_detector`; θ = 0: the source is below the image.

    Parameters
    ----------
    angles : array of shape (n,), radians.
    detectors : number of detector bins.
    spacing : pitch on the detector itself (not rescaled to the axis).
    source_to_axis, axis_to_detector : lengths in the unit of the pixel size.
    axis : bin index hit by the ray from the source through the rotation axis, perpendicular to the detector;
        None: (detectors − 1)/2.

    Raises
    ------
    TypeError, ValueError
        As ParallelBeam; distances that are not positive (axis_to_detector may be 0).
    """

    angles: Array
    detectors: int
    spacing: float
    source_to_axis: float
    axis_to_detector: float
    axis: float | None = None

    def __post_init__(self) -> None:
        _common(self)
        set_ = object.__setattr__
        set_(self, "source_to_axis", check.number("FanBeam", "source_to_axis", self.source_to_axis, low=0, strict=True))
        set_(self, "axis_to_detector", check.number("FanBeam", "axis_to_detector", self.axis_to_detector, low=0))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one sinogram, (angles, detectors)."""
        return (len(self.angles), self.detectors)

    @property
    def magnification(self) -> float:
        """(source to detector) / (source to axis)."""
        return (self.source_to_axis + self.axis_to_detector) / self.source_to_axis

    def __repr__(self) -> str:
        distances = f"source_to_axis={self.source_to_axis:g}, axis_to_detector={self.axis_to_detector:g}"
        return f"FanBeam({len(self.angles)} angles, {self.detectors} detectors, {_rest(self)}, {distances})"


Beam = TypeVar("Beam", bound=ParallelBeam | FanBeam)


def _rest(g: Any) -> str:
    return f"spacing={g.spacing:g}, axis={g.axis:g}"


def some_views(geometry: Beam, indices: Sequence[int]) -> Beam:
    """The same beam at some of its angles, in the order of the indices."""
    some = copy.copy(geometry)  # not through __init__: a part of an accepted scan may look like degrees
    angles = geometry.angles[list(indices)]
    angles.flags.writeable = False
    object.__setattr__(some, "angles", angles)
    return some


def _common(g: Any) -> None:
    """Check and normalise what both beams have; angles become a read-only float64 array of the host."""
    who = type(g).__name__
    angles = check.real_array(who, "angles", g.angles)
    if angles.ndim != 1:
        raise ValueError(f"{who}: angles must be one-dimensional, got shape {tuple(angles.shape)}")
    angles = to_numpy(angles).astype("float64")
    refuse_degrees(who, angles)
    angles.flags.writeable = False
    set_ = object.__setattr__
    set_(g, "angles", angles)
    set_(g, "detectors", check.integer(who, "detectors", g.detectors, low=1))
    set_(g, "spacing", check.number(who, "spacing", g.spacing, low=0, strict=True))
    middle = (g.detectors - 1) / 2
    set_(g, "axis", middle if g.axis is None else check.number(who, "axis", g.axis))


def refuse_degrees(who: str, angles: Array) -> None:
    """A ValueError where angles handed over as radians are surely degrees.

    Only where the span exceeds 4π (two turns) and the values look like degrees: span, or span + step, a multiple of
    90 within 0.2 %, or all values multiples of 0.05.  Scans of many turns in radians pass.
    """
    span = float(angles.max() - angles.min())
    if len(angles) < 2 or span <= 4 * math.pi:
        return
    step = span / (len(angles) - 1)
    round_span = any(round(s / 90) > 0 and abs(s / 90 - round(s / 90)) <= 0.002 * (s / 90) for s in (span, span + step))
    multiples = bool((abs(angles / 0.05 - (angles / 0.05).round()) < 1e-6).all())
    if round_span or multiples:
        raise ValueError(
            f"{who}: angles span {span:.4g} and look like degrees; angles are in radians: pass numpy.deg2rad(angles)"
        )
