"""Scan geometries as other toolboxes write them, in plain dictionaries: ASTRA, CIL, ODL and TIGRE.

Angles θ, bins and lengths are those of varinv.operators.geometry; none of the packages is imported here.  Images go
over as they are to ASTRA and to CIL's ASTRA plugin (row 0 at the top); ODL takes ``image[::-1].T`` (x first, y
upwards), TIGRE ``image[None, ::-1]`` (y upwards).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from varinv.backend import Array, namespace

SAME = 1e-6  # relative: vectors in single precision


class Found(NamedTuple):
    """What ASTRA's dictionary says: angles, detectors, spacing, distances (None: parallel), axis."""

    angles: Array
    detectors: int
    spacing: float
    distances: tuple[float, float] | None
    axis: Any


def to_astra(g: Any, unit: float = 1.0) -> dict[str, Any]:
    """As `astra.create_proj_geom` returns it; lengths divided by `unit`.

    "parallel" and "fanflat" where the axis is in the middle of the detector, else "parallel_vec" and "fanflat_vec" with
    one row a view: source (parallel: direction), centre of the detector, step from bin to bin; the detector is shifted
    by (detectors − 1)/2 − axis bins.
    """
    _flat(g, "ASTRA")
    fan, middle = hasattr(g, "source_to_axis"), (g.detectors - 1) / 2
    pitch = g.spacing / unit
    if isinstance(g.axis, float) and g.axis == middle:
        made = {"DetectorWidth": pitch, "DetectorCount": g.detectors, "ProjectionAngles": g.angles}
        if not fan:
            return {"type": "parallel", **made}
        far = {"DistanceOriginSource": g.source_to_axis / unit, "DistanceOriginDetector": g.axis_to_detector / unit}
        return {"type": "fanflat", **made, **far}
    xp = namespace(g.angles)
    c, s = xp.cos(g.angles), xp.sin(g.angles)
    R, d = (g.source_to_axis / unit, g.axis_to_detector / unit) if fan else (1.0, 0.0)
    shift = (middle - g.axes) * pitch
    vectors = xp.stack([R * s, -R * c, shift * c - d * s, shift * s + d * c, pitch * c, pitch * s], axis=1)
    return {"type": "fanflat_vec" if fan else "parallel_vec", "DetectorCount": g.detectors, "Vectors": vectors}


def from_astra(given: Any) -> Found:
    """What a dictionary of ASTRA says, "parallel", "fanflat" or their "_vec".

    Raises
    ------
    ValueError
        Other types; vectors that no parallel or flat fan beam has: rays that are not perpendicular to the detector, a
        source beside the detector's perpendicular through the axis, or on the wrong side, widths or distances that
        change.
    """
    kind = given.get("type") if hasattr(given, "get") else None
    if kind in ("parallel", "fanflat"):
        distances = None
        if kind == "fanflat":
            distances = (float(given["DistanceOriginSource"]), float(given["DistanceOriginDetector"]))
        return Found(
            given["ProjectionAngles"], int(given["DetectorCount"]), float(given["DetectorWidth"]), distances, None
        )
    if kind not in ("parallel_vec", "fanflat_vec"):
        raise ValueError(f"from_astra: type must be parallel, fanflat or one of these with _vec, got {kind!r}")
    V, n = given["Vectors"], int(given["DetectorCount"])
    xp = namespace(V)
    pitch = _same(xp.hypot(V[:, 4], V[:, 5]), "the width of a detector bin")
    c, s = V[:, 4] / pitch, V[:, 5] / pitch
    size = xp.hypot(V[:, 0], V[:, 1])
    if float(xp.max(xp.abs(V[:, 0] * c + V[:, 1] * s) / size)) > SAME:
        what = "the source stands beside the" if kind == "fanflat_vec" else "the rays are not along the"
        raise ValueError(f"from_astra: {what} detector's perpendicular through the rotation axis; no such beam here")
    axis = (n - 1) / 2 - (V[:, 2] * c + V[:, 3] * s) / pitch
    axis = float(axis[0]) if float(xp.max(xp.abs(axis - axis[0]))) <= SAME * n else axis
    angles = xp.atan2(s, c)
    if kind == "parallel_vec":
        return Found(angles, n, pitch, None, axis)
    R = _same(V[:, 0] * s - V[:, 1] * c, "the distance of the source")
    d = _same(V[:, 3] * c - V[:, 2] * s, "the distance of the detector", R)
    if R <= 0 or d < -SAME * R:
        raise ValueError(
            "from_astra: the detector runs the other way round; reverse its step and the sinogram's columns"
        )
    return Found(angles, n, pitch, (R, max(d, 0.0)), axis)


def to_cil(g: Any) -> dict[str, Any]:
    """Arguments of CIL for an AcquisitionGeometry.

    ``AcquisitionGeometry.create_Parallel2D(**d["create"])`` (``create_Cone2D`` for a fan), then
    ``.set_angles(**d["angles"]).set_panel(**d["panel"])``.

    CIL turns the other way round: its angles are −θ.  The detector is at (((detectors − 1)/2 − axis)·spacing, d).
    """
    _flat(g, "CIL")
    _one_axis(g, "CIL")
    shift = ((g.detectors - 1) / 2 - g.axis) * g.spacing
    direction = {"detector_direction_x": [1.0, 0.0], "rotation_axis_position": [0.0, 0.0]}
    if hasattr(g, "source_to_axis"):
        create = {"source_position": [0.0, -g.source_to_axis], "detector_position": [shift, g.axis_to_detector]}
    else:
        create = {"ray_direction": [0.0, 1.0], "detector_position": [shift, 0.0]}
    angles = {"angles": -g.angles, "angle_unit": "radian"}
    return {"create": {**create, **direction}, "angles": angles, "panel": _panel(g)}


def to_odl(g: Any) -> dict[str, Any]:
    """Arguments of ODL for its partitions and geometry.

    ``apart = odl.nonuniform_partition(d["angles"])``, ``dpart = odl.uniform_partition(**d["detector"])``, then
    ``Parallel2dGeometry(apart, dpart)`` or ``FanBeamGeometry(apart, dpart, **d["fan"])``.

    The detector's coordinate is the length u from the axis; on a curved detector the angle at the source.

    Raises
    ------
    ValueError
        Angles that do not rise: ODL takes no others.
    """
    _one_axis(g, "ODL")
    xp = namespace(g.angles)
    if len(g.angles) > 1 and bool(xp.any(g.angles[1:] <= g.angles[:-1])):
        raise ValueError("to_odl: ODL's angles must rise; sort the views by their angle first")
    fan = hasattr(g, "source_to_axis")
    D = g.source_to_axis + g.axis_to_detector if fan else 1.0
    step = g.spacing / D if fan and g.curved else g.spacing
    ends = {"min_pt": (-0.5 - g.axis) * step, "max_pt": (g.detectors - 0.5 - g.axis) * step}
    made = {"angles": g.angles, "detector": {**ends, "shape": g.detectors}}
    if not fan:
        return made
    radii = {"src_radius": g.source_to_axis, "det_radius": g.axis_to_detector}
    return {**made, "fan": {**radii, "det_curvature_radius": D if g.curved else None}}


def to_tigre(g: Any, shape: tuple[int, int], pixel_size: float) -> dict[str, Any]:
    """Attributes of TIGRE's ``geometry``, and "angles" for its functions, of a fan (mode "cone") or a parallel beam.

    TIGRE's source is at DSO (cos α, sin α) and its detector runs along (−sin α, cos α): α = θ − π/2.  `shape` and
    `pixel_size` of the image; arrays count (z, y, x) and (rows, columns), one row of detectors as high as a pixel is
    wide.  offDetector is ((detectors − 1)/2 − axis)·spacing, one row a view where the axis moves.
    """
    _flat(g, "TIGRE")
    xp, (rows, columns), h = namespace(g.angles), shape, pixel_size
    fan = hasattr(g, "source_to_axis")
    R = g.source_to_axis if fan else 2 * h * math.hypot(rows, columns)  # TIGRE wants distances of parallel beams too
    D = R + (g.axis_to_detector if fan else R)
    high = h * D / R if fan else h
    shift = ((g.detectors - 1) / 2 - g.axes) * g.spacing
    moving = xp.stack([xp.zeros_like(shift), shift], axis=1)
    return {
        "mode": "cone" if fan else "parallel",
        "angles": g.angles - math.pi / 2,
        "DSO": R,
        "DSD": D,
        "nDetector": (1, g.detectors),
        "dDetector": (high, g.spacing),
        "sDetector": (high, g.detectors * g.spacing),
        "offDetector": (0.0, float(shift[0])) if isinstance(g.axis, float) else moving,
        "nVoxel": (1, rows, columns),
        "dVoxel": (h, h, h),
        "sVoxel": (h, rows * h, columns * h),
        "offOrigin": (0.0, 0.0, 0.0),
    }


def _panel(g: Any) -> dict[str, Any]:
    return {"num_pixels": g.detectors, "pixel_size": g.spacing}


def _same(values: Array, what: str, size: float | None = None) -> float:
    """The one value that they all have."""
    xp, first = namespace(values), float(values[0])
    if float(xp.max(xp.abs(values - first))) > SAME * max(abs(first), abs(size or 0.0)):
        raise ValueError(f"from_astra: {what} changes from view to view; no such beam here")
    return first


def _flat(g: Any, toolbox: str) -> None:
    if getattr(g, "curved", False):
        raise ValueError(f"{toolbox} has no curved detector in two dimensions; Radon, fbp and ODL have")


def _one_axis(g: Any, toolbox: str) -> None:
    if not isinstance(g.axis, float):
        raise ValueError(f"{toolbox}: an axis that moves from view to view has no place in these arguments")
