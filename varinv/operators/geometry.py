"""Scan geometries as data: parallel beam, and fan beam onto a flat or a curved detector.

Conventions (docs/conventions.md): x to the right, y up, image row 0 at the top; the rotation axis meets the image
at ((rows-1)/2, (columns-1)/2) unless an operator has an `origin`.  All lengths share one unit; angles are in radians.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from varinv import check
from varinv.backend import Array, is_array, namespace, to_numpy
from varinv.operators import toolboxes
from varinv.operators.degrees import NOTICE, verdict
from varinv.operators.degrees import refuse_degrees as refuse_degrees
from varinv.operators.views import Views, some


class GeometryWarning(UserWarning):
    """A geometry that is possible but unusual, such as a rotation axis beside the detector."""


class _Beam:
    """What parallel and fan beams have in common."""

    angles: Array
    detectors: int
    spacing: float
    axis: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one sinogram, (angles, detectors)."""
        return (len(self.angles), self.detectors)

    @property
    def spacing_at_axis(self) -> float:
        """Distance of neighbouring rays at the rotation axis: the natural size of a pixel."""
        return self.spacing

    @property
    def axes(self) -> Array:
        """The bin index of the rotation axis in every view, shape (angles,)."""
        xp = namespace(self.angles)
        return xp.zeros(len(self.angles)) + self.axis

    def views(self) -> Views:
        """The same scan as vectors, with one detector row, for a volume of one slice."""
        xp, angles = namespace(self.angles), self.angles
        c, s, zero = xp.cos(angles), xp.sin(angles), xp.zeros(len(angles))
        right, ahead = xp.stack([c, s, zero], axis=1), xp.stack([-s, c, zero], axis=1)
        down = xp.stack([zero, zero, zero - self.spacing], axis=1)
        offset = (((self.detectors - 1) / 2 - self.axes) * self.spacing)[:, None]
        return self._vectors(right, ahead, down, offset)

    def _vectors(self, right: Array, ahead: Array, down: Array, offset: Array) -> Views:
        raise NotImplementedError

    def to_astra(self, unit: float = 1.0) -> dict[str, Any]:
        """As `astra.create_proj_geom` returns it, lengths divided by `unit` (varinv.operators.toolboxes)."""
        return toolboxes.to_astra(self, check.number("to_astra", "unit", unit, low=0, strict=True))

    def to_cil(self) -> dict[str, Any]:
        """Arguments for CIL's AcquisitionGeometry (varinv.operators.toolboxes)."""
        return toolboxes.to_cil(self)

    def to_odl(self) -> dict[str, Any]:
        """Arguments for ODL's Parallel2dGeometry or FanBeamGeometry (varinv.operators.toolboxes)."""
        return toolboxes.to_odl(self)

    def to_tigre(self, shape: tuple[int, int], pixel_size: float | None = None) -> dict[str, Any]:
        """Attributes for TIGRE's geometry and an image of `shape` (varinv.operators.toolboxes)."""
        rows, columns = check.shape("to_tigre", shape, ndim=(2,))
        size = self.spacing_at_axis if pixel_size is None else pixel_size
        return toolboxes.to_tigre(
            self, (rows, columns), check.number("to_tigre", "pixel_size", size, low=0, strict=True)
        )


@dataclass(frozen=True, eq=False, repr=False)
class ParallelBeam(_Beam):
    """Where the rays of a parallel-beam scan run: angles, detector bins and rotation axis.

    Detector bin k at angle θ measures the line x cos θ + y sin θ = (k − axis)·spacing.

    Parameters
    ----------
    angles : array of shape (n,), radians, in any order and over any number of turns.
    detectors : number of detector bins.
    spacing : distance between bin centres, in the unit of the pixel size.
    axis : bin index (fractional) onto which the rotation axis projects; None: (detectors − 1)/2.  An array of shape
        (n,) gives it view by view: an axis that drifts or jitters.  A detector that moves sideways by s_i bins in
        view i, read by the indices it had at rest, is the same: axis − s_i.

    Raises
    ------
    TypeError, ValueError
        Angles that are empty, not finite or in degrees; counts or lengths that are not positive; axes that are not one
        a view.

    Warns
    -----
    GeometryWarning
        An axis beside the detector; angles that may be degrees.
    """

    angles: Array
    detectors: int
    spacing: float = 1.0
    axis: float | Array | None = None

    def __post_init__(self) -> None:
        _common(self)

    def _vectors(self, right: Array, ahead: Array, down: Array, offset: Array) -> Views:
        return Views(offset * right, self.spacing * right, down, (1, self.detectors), direction=ahead)

    @classmethod
    def from_astra(cls, given: dict[str, Any]) -> ParallelBeam:
        """The beam of ASTRA's "parallel" or "parallel_vec"; a ValueError for others (varinv.operators.toolboxes)."""
        found = toolboxes.from_astra(given)
        if found.distances is not None:
            raise ValueError(f"ParallelBeam: ASTRA's {given['type']!r} is a fan; use FanBeam.from_astra")
        return cls(found.angles, found.detectors, found.spacing, found.axis)

    def __repr__(self) -> str:
        return f"ParallelBeam({len(self.angles)} angles, {self.detectors} detectors, {_rest(self)})"


@dataclass(frozen=True, eq=False, repr=False)
class FanBeam(_Beam):
    """Where the rays of a fan-beam scan run: from a point source onto a flat or a curved detector.

    At angle θ the source is at R(sin θ, −cos θ), the detector centre at d(−sin θ, cos θ), the detector direction is
    (cos θ, sin θ), R = `source_to_axis`, d = `axis_to_detector`; θ = 0: the source is below the image.

    Parameters
    ----------
    angles : array of shape (n,), radians.
    detectors : number of detector bins.
    spacing : pitch on the detector itself (not rescaled to the axis); along the arc where it is curved.
    source_to_axis, axis_to_detector : lengths in the unit of the pixel size.
    axis : bin index hit by the ray from the source through the rotation axis, perpendicular to the detector;
        None: (detectors − 1)/2.  An array of shape (n,) gives it view by view, as for `ParallelBeam`.
    curved : True: the detector is an arc about the source, with bins at equal angles spacing/(R + d), as in clinical
        scanners (equiangular); False: it is straight.

    Raises
    ------
    TypeError, ValueError
        As ParallelBeam; distances that are not positive (axis_to_detector may be 0); a curved detector of more than
        half a turn.

    Warns
    -----
    GeometryWarning
        As ParallelBeam.
    """

    angles: Array
    detectors: int
    spacing: float
    source_to_axis: float
    axis_to_detector: float
    axis: float | Array | None = None
    curved: bool = False

    def __post_init__(self) -> None:
        _common(self)
        set_ = object.__setattr__
        set_(self, "source_to_axis", check.number("FanBeam", "source_to_axis", self.source_to_axis, low=0, strict=True))
        set_(self, "axis_to_detector", check.number("FanBeam", "axis_to_detector", self.axis_to_detector, low=0))
        if not isinstance(self.curved, bool):
            raise TypeError(f"FanBeam: curved must be True or False, got {self.curved!r}")
        widest = max(float(self.axes.max()), self.detectors - 1 - float(self.axes.min())) + 0.5
        widest *= self.spacing / (self.source_to_axis + self.axis_to_detector)
        if self.curved and widest >= math.pi / 2:
            raise ValueError(
                f"FanBeam: the edge of the curved detector is {widest:.4g} radians from the axis, and must be less "
                "than a quarter of a turn; are spacing and distances in the same unit?"
            )

    @property
    def spacing_at_axis(self) -> float:
        """Distance of neighbouring rays at the rotation axis: spacing / magnification."""
        return self.spacing / self.magnification

    def _vectors(self, right: Array, ahead: Array, down: Array, offset: Array) -> Views:
        xp, D, shape = namespace(right), self.source_to_axis + self.axis_to_detector, (1, self.detectors)
        source, u = -self.source_to_axis * ahead, self.spacing * right
        if not self.curved:
            return Views(source + D * ahead + offset * right, u, down, shape, source=source)
        c, s = xp.cos(offset / D), xp.sin(offset / D)
        u = self.spacing * (c * right - s * ahead)
        return Views(source + D * (c * ahead + s * right), u, down, shape, source=source, curved=True)

    @classmethod
    def from_astra(cls, given: dict[str, Any]) -> FanBeam:
        """The beam of ASTRA's "fanflat" or "fanflat_vec"; a ValueError for others (varinv.operators.toolboxes)."""
        found = toolboxes.from_astra(given)
        if found.distances is None:
            raise ValueError(f"FanBeam: ASTRA's {given['type']!r} is a parallel beam; use ParallelBeam.from_astra")
        return cls(found.angles, found.detectors, found.spacing, *found.distances, found.axis)

    @property
    def magnification(self) -> float:
        """(source to detector) / (source to axis)."""
        return (self.source_to_axis + self.axis_to_detector) / self.source_to_axis

    def fan_angles(self, v: Array) -> Array:
        """The angle at the source between the rays to the axis and to the detector's places v, lengths from the axis.

        atan(v/(R + d)), and v/(R + d) on a curved detector.
        """
        xp, distance = namespace(v), self.source_to_axis + self.axis_to_detector
        return v / distance if self.curved else xp.atan(v / distance)

    def __repr__(self) -> str:
        distances = f"source_to_axis={self.source_to_axis:g}, axis_to_detector={self.axis_to_detector:g}"
        curved = ", curved=True" if self.curved else ""
        return f"FanBeam({len(self.angles)} angles, {self.detectors} detectors, {_rest(self)}, {distances}{curved})"


Beam = TypeVar("Beam", bound=ParallelBeam | FanBeam)


def _rest(g: Any) -> str:
    axis = f"{g.axis:g}" if isinstance(g.axis, float) else f"{g.axis.min():g} to {g.axis.max():g}"
    return f"spacing={g.spacing:g}, axis={axis}"


def some_views(geometry: Beam, indices: Sequence[int]) -> Beam:
    """The same beam at some of its angles, in the order of the indices."""
    return some(geometry, indices)  # type: ignore[no-any-return]


def _common(g: Any) -> None:
    """Check and normalise what both beams have; angles become a read-only float64 array of the host."""
    who, set_ = type(g).__name__, object.__setattr__
    set_(g, "angles", checked_angles(who, g.angles))
    set_(g, "detectors", check.integer(who, "detectors", g.detectors, low=1))
    set_(g, "spacing", check.number(who, "spacing", g.spacing, low=0, strict=True))
    set_(g, "axis", checked_axis(who, g.axis, len(g.angles), g.detectors))


def checked_angles(who: str, given: Any) -> Array:
    """Angles in radians as a read-only float64 array of the host; degrees are refused, or doubted."""
    angles = a_view(who, "angles", given)
    refuse_degrees(who, angles)
    found, why = verdict(angles)
    if found == "doubtful":
        text = f"{who}: angles {why}, which is unusual in radians; {NOTICE}"
        warnings.warn(text, GeometryWarning, stacklevel=check.outside())
    return angles


def a_view(who: str, name: str, values: Any) -> Array:
    """A read-only float64 array of the host, of one dimension."""
    values = check.real_array(who, name, values)
    if values.ndim != 1:
        raise ValueError(f"{who}: {name} must be one-dimensional, got shape {tuple(values.shape)}")
    values = to_numpy(values).astype("float64")
    values.flags.writeable = False
    return values


def checked_axis(who: str, given: Any, views: int, detectors: int) -> float | Array:
    """The axis as a number, or an array of one a view where they differ."""
    if given is None:
        return (detectors - 1) / 2
    if not isinstance(given, (list, tuple)) and not (is_array(given) and given.ndim > 0):
        axis = low = high = check.number(who, "axis", given)
    else:
        axis = a_view(who, "axis", given)
        if len(axis) != views:
            raise ValueError(f"{who}: axis must be one number, or one for each of {views} angles, got {len(axis)}")
        low, high = float(axis.min()), float(axis.max())
    if low < -0.5 or high > detectors - 0.5:
        where = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        warnings.warn(
            f"{who}: axis={where} lies beside the detector, whose bins are 0 to {detectors - 1}; it is a bin index "
            "counted from 0, no length: right only where the detector was moved off the axis",
            GeometryWarning,
            stacklevel=check.outside(),
        )
    return low if low == high else axis
