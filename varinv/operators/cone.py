"""Scans of volumes with names: cone beam onto a flat or a curved detector, and parallel rays across a tilted axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, namespace
from varinv.operators.geometry import a_view, checked_angles, checked_axis
from varinv.operators.views import Views, some


class _Turning:
    """What the scans share whose detector turns about the z axis."""

    angles: Array
    shape: tuple[int, int]
    spacing: tuple[float, float]
    axis: Any
    row: float

    def __len__(self) -> int:
        return len(self.angles)

    @property
    def projections(self) -> tuple[int, int, int]:
        """Shape of the data, (views, rows, columns)."""
        return (len(self.angles), *self.shape)

    @property
    def axes(self) -> Array:
        """The column of the rotation axis in every view, shape (views,)."""
        return namespace(self.angles).zeros(len(self.angles)) + self.axis

    @property
    def spacing_at_axis(self) -> float:
        """Distance of neighbouring columns of rays at the rotation axis: the natural size of a voxel."""
        return self.spacing[1]

    def __getitem__(self, indices: slice | Sequence[int]) -> Any:
        return some(self, indices)

    def _frame(self) -> tuple[Array, Array, Array]:
        """In each view: to the right along a row, from the source to the detector, and up, (n, 3) each."""
        xp = namespace(self.angles)
        c, s, zero = xp.cos(self.angles), xp.sin(self.angles), xp.zeros(len(self.angles))
        right, ahead, up = ((c, s, zero), (-s, c, zero), (zero, zero, zero + 1))
        return xp.stack(right, axis=1), xp.stack(ahead, axis=1), xp.stack(up, axis=1)

    def _words(self) -> str:
        rows, columns = self.shape
        axis = f"{self.axis:g}" if isinstance(self.axis, float) else f"{self.axis.min():g} to {self.axis.max():g}"
        pitch = " × ".join(f"{p:g}" for p in dict.fromkeys(self.spacing))
        return f"{len(self)} angles, {rows} rows, {columns} columns, spacing={pitch}, axis={axis}, row={self.row:g}"


@dataclass(frozen=True, eq=False, repr=False)
class ConeBeam(_Turning):
    """A scan with a point source and a flat-panel detector that turn about the object, on a circle or a helix.

    At angle θ the source is at R(sin θ, −cos θ), the middle of the detector at d(−sin θ, cos θ); columns rise along
    (cos θ, sin θ), rows downwards: the fan of `FanBeam`, with rows.

    Parameters
    ----------
    angles : array of shape (n,), radians.
    shape : (rows, columns) of the detector.
    spacing : pitch on the detector itself, one number or (row pitch, column pitch).
    source_to_axis, axis_to_detector : R and d, in the unit of the voxels.
    axis : column hit by the ray through the rotation axis that is perpendicular to the detector; None: the middle; an
        array: one a view.  Far from the middle: a half-fan.
    row : the row at the height of the source; None: the middle.
    rise : height gained per turn (a helix; 0 in the middle of the scan), or an array with the height of the source in
        each view.
    curved : True: columns at equal angles about the source, pitch/(R + d) apart.

    Raises
    ------
    TypeError, ValueError
        As `FanBeam`; heights that are not one a view.

    Examples
    --------
    >>> ConeBeam([0.0, 1.0], (3, 5), 1.5, 20.0, 10.0).views().describe()
    'Views(2 views, 3 rows, 5 columns, flat detector); first view: source at (0, -20, 0), middle of the detector at \
(0, 10, 0), columns rise along (1.5, 0, 0), rows along (0, 0, -1.5) (x right, y up, z up)'
    """

    angles: Array
    shape: tuple[int, int]
    spacing: float | tuple[float, float]  # type: ignore[assignment]
    source_to_axis: float
    axis_to_detector: float
    axis: float | Array | None = None
    row: float | None = None  # type: ignore[assignment]
    rise: float | Array = 0.0
    curved: bool = False

    def __post_init__(self) -> None:
        _common(self)
        set_, xp = object.__setattr__, namespace(self.angles)
        set_(
            self, "source_to_axis", check.number("ConeBeam", "source_to_axis", self.source_to_axis, low=0, strict=True)
        )
        set_(self, "axis_to_detector", check.number("ConeBeam", "axis_to_detector", self.axis_to_detector, low=0))
        if not isinstance(self.curved, bool):
            raise TypeError(f"ConeBeam: curved must be True or False, got {self.curved!r}")
        if hasattr(self.rise, "__len__"):
            heights = a_view("ConeBeam", "rise", self.rise)
            if len(heights) != len(self):
                raise ValueError(
                    f"ConeBeam: rise must be one number, or one height for each of {len(self)} angles, "
                    f"got {len(heights)}"
                )
        else:
            turn = check.number("ConeBeam", "rise", self.rise) / (2 * math.pi)
            heights = turn * (self.angles - (xp.max(self.angles) + xp.min(self.angles)) / 2)
        heights.flags.writeable = False
        set_(self, "rise", heights if bool(xp.any(heights != 0)) else 0.0)
        self.views()  # an arc that is too wide is refused there

    @property
    def spacing_at_axis(self) -> float:
        """Distance of neighbouring columns of rays at the rotation axis."""
        return self.spacing[1] / self.magnification  # type: ignore[index]

    @property
    def magnification(self) -> float:
        """(source to detector) / (source to axis)."""
        return (self.source_to_axis + self.axis_to_detector) / self.source_to_axis

    @property
    def heights(self) -> Array:
        """z of the source in every view, shape (views,)."""
        return namespace(self.angles).zeros(len(self)) + self.rise

    def views(self) -> Views:
        """The same scan as vectors."""
        right, ahead, up = self._frame()
        (dv, du), (rows, columns) = self.spacing, self.shape  # type: ignore[misc]
        xp, R = namespace(right), self.source_to_axis
        source = -R * ahead + self.heights[:, None] * up
        drop, reach = ((self.row or 0.0) - (rows - 1) / 2) * dv, R + self.axis_to_detector
        offset = (((columns - 1) / 2 - self.axes) * du)[:, None]
        if self.curved:
            gamma = offset / reach
            centre = source + reach * (xp.cos(gamma) * ahead + xp.sin(gamma) * right) + drop * up
            u = du * (xp.cos(gamma) * right - xp.sin(gamma) * ahead)
        else:
            centre, u = source + reach * ahead + offset * right + drop * up, du * right
        return Views(centre, u, -dv * up, self.shape, source=source, curved=self.curved)

    def __repr__(self) -> str:
        rise = "" if isinstance(self.rise, float) else f", heights {self.rise.min():g} to {self.rise.max():g}"
        distances = f"source_to_axis={self.source_to_axis:g}, axis_to_detector={self.axis_to_detector:g}"
        return f"ConeBeam({self._words()}, {distances}{rise}{', curved=True' if self.curved else ''})"


@dataclass(frozen=True, eq=False, repr=False)
class Laminography(_Turning):
    """A scan with parallel rays across a rotation axis that leans: flat objects that turn in their own plane.

    At tilt 0 it is a stack of parallel beams, rays along (−sin θ, cos θ, 0).  A tilt t leans them to
    cos t·(−sin θ, cos θ, 0) − sin t·(0, 0, 1): they come from above; the detector stays perpendicular to them.

    Parameters
    ----------
    angles : array of shape (n,), radians.
    shape : (rows, columns) of the detector.
    spacing : pitch of the detector, one number or (row pitch, column pitch).
    tilt : radians by which the axis leans out of the plane of the detector, less than a quarter of a turn.
    axis, row : column and row onto which the origin, the middle of the volume, falls; None: the middle.

    Raises
    ------
    TypeError, ValueError
        As `ParallelBeam`; a tilt of a quarter of a turn or more.

    Examples
    --------
    >>> Laminography([0.0, 1.0], (3, 5), tilt=0.5)
    Laminography(2 angles, 3 rows, 5 columns, spacing=1, axis=2, row=1, tilt=0.5)
    """

    angles: Array
    shape: tuple[int, int]
    spacing: float | tuple[float, float] = 1.0  # type: ignore[assignment]
    tilt: float = 0.0
    axis: float | Array | None = None
    row: float | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        _common(self)
        tilt = check.number("Laminography", "tilt", self.tilt)
        if abs(tilt) >= math.pi / 2 - 1e-9:
            raise ValueError(
                f"Laminography: tilt={tilt:g} must be less than a quarter of a turn, {math.pi / 2:.4g} radians; "
                "np.deg2rad converts degrees"
            )
        object.__setattr__(self, "tilt", tilt)

    def views(self) -> Views:
        """The same scan as vectors."""
        right, ahead, up = self._frame()
        (dv, du), (rows, columns) = self.spacing, self.shape  # type: ignore[misc]
        c, s = math.cos(self.tilt), math.sin(self.tilt)
        u, v = du * right, -dv * (c * up + s * ahead)
        centre = ((columns - 1) / 2 - self.axes)[:, None] * u + ((rows - 1) / 2 - (self.row or 0.0)) * v
        return Views(centre, u, v, self.shape, direction=c * ahead - s * up)

    def __repr__(self) -> str:
        return f"Laminography({self._words()}, tilt={self.tilt:g})"


def _common(g: Any) -> None:
    """Check and normalise angles, detector, pitch, axis and row."""
    who, set_ = type(g).__name__, object.__setattr__
    set_(g, "angles", checked_angles(who, g.angles))
    set_(g, "shape", check.shape(who, g.shape, ndim=(2,)))
    given = tuple(g.spacing) if hasattr(g.spacing, "__len__") else (g.spacing,) * 2
    if len(given) != 2:
        raise ValueError(f"{who}: spacing must be one number or (row pitch, column pitch), got {len(given)} numbers")
    set_(g, "spacing", tuple(check.number(who, "spacing", p, low=0, strict=True) for p in given))
    set_(g, "axis", checked_axis(who, g.axis, len(g.angles), g.shape[1]))
    set_(g, "row", check.number(who, "row", (g.shape[0] - 1) / 2 if g.row is None else g.row))
