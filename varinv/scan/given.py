"""What the user adds to a file: angles, flats, darks, distances, each checked against the frames."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.backend import is_array, to_numpy
from varinv.operators.geometry import refuse_degrees
from varinv.scan import angles as angle_files
from varinv.scan import arrays, folder, npy, tiff
from varinv.scan.angles import Angles
from varinv.scan.errors import ScanError, head, warn
from varinv.scan.frames import AnyArray, ArrayFrames, Frames, Raw
from varinv.scan.links import regular

TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"^\s*({NUMBER})\s*:\s*({NUMBER})\s*:\s*(\d+)\s*$")


def angles_of(given: Any, notes: list[str]) -> Angles | None:
    """The argument `angles` in radians, or None: an array, a file, or "start:stop:count" in degrees, without stop."""
    if given is None:
        return None
    if isinstance(given, str) and (found := RANGE.match(given)):
        start, stop, count = float(found[1]), float(found[2]), int(found[3])
        if not 1 <= count <= 1 << 26 or not max(abs(start), abs(stop)) <= angle_files.FARTHEST or start == stop:
            raise ValueError(f"read: angles {given!r}: expected start:stop:count in degrees, as 0:360:624")
        return np.deg2rad(np.linspace(start, stop, count, endpoint=False))
    if isinstance(given, (str, os.PathLike)):
        place = Path(given)
        if not place.exists() or place.is_dir():
            hint = "; angles in a text are start:stop:count in degrees, as 0:360:624" if ":" in str(given) else ""
            raise ScanError(f"{place}: no such file of angles{hint}")
        regular(place)
        return angle_files.load(place, notes)
    values = to_numpy(check.real_array("read", "angles", given)).astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"read: angles must be one-dimensional, got shape {values.shape}")
    angle_files.plausible(values, "read: angles")
    refuse_degrees("read", values)
    span = float(values.max() - values.min())
    if span > 4 * np.pi:
        notes.append(f"angles span {span:.5g} radians, {span / (2 * np.pi):.3g} turns, as given")
    return values


def reference(name: str, given: Any, raw: Raw, notes: list[str]) -> Frames:
    """Flats or darks from an argument: an array, a level as a number, or a file or folder."""
    _, rows, columns = raw.frames.shape
    if isinstance(given, (int, float, np.integer, np.floating)) and not isinstance(given, bool):
        level = check.number("read", name, given)
        if name == "flats" and not level > 0:
            raise ValueError(f"read: flats, the level of the beam as a number, must be above 0, got {level:g}")
        notes.append(f"{name}: the level {level:g} for every pixel, as given")
        return ArrayFrames(np.broadcast_to(np.float64(level), (1, rows, columns)))
    if not isinstance(given, (str, os.PathLike)):
        given = check.taken("read", name, given)
        array: AnyArray | None = to_numpy(given) if is_array(given) else np.asarray(given)
        try:
            found = arrays.stack(name, array, raw.frames.shape)
        except ScanError as error:
            raise ValueError(f"read: {error}") from None
        assert found is not None
        return found
    place = Path(given)
    if not place.exists():
        raise ScanError(f"{place}: no such file or folder ({name})")
    regular(place)
    notes.append(f"{name} from {place.name}")
    start = b"" if place.is_dir() else head(place)
    if start.startswith(b"\x93NUMPY"):
        found = arrays.stack(place, npy.load_npy(place), raw.frames.shape)
        assert found is not None
        return found
    frames = tiff.open_stack([place], place, notes) if start[:4] in TIFF else folder.references(place, notes)
    if frames is None:
        raise ScanError(f"{place}: {name} must be an .npy, TIFF, FITS or EDF file or a folder of such frames")
    return frames


def distances_of(given: Any) -> tuple[float, float] | None:
    """The argument `distances`: source to axis and axis to detector, both positive."""
    if given is None:
        return None
    try:
        near, far = given
    except (TypeError, ValueError):
        raise TypeError(
            f"read: distances must be two numbers, (source to axis, axis to detector), got {check.describe(given)}"
        ) from None
    near = check.number("read", "distances[0] (source to axis)", near, low=0, strict=True)
    far = check.number("read", "distances[1] (axis to detector, not source to detector)", far, low=0, strict=True)
    return near, far


def implausible(raw: Raw, stated: bool, notes: list[str]) -> None:
    """Warn where given distances do not fit the detector, have no unit, or make a cone of several rows."""
    assert raw.distances is not None
    near, far = raw.distances
    _, rows, columns = raw.frames.shape
    width = columns * raw.spacing
    if not stated:
        text = f"no column pitch is stated: the distances {near:g} and {far:g} are taken in columns; pass pixel_size="
        warn(raw.path, text, notes)
    if width > 4 * (near + far):
        text = (
            f"distances {near:g} and {far:g}: the detector, {width:.4g} wide, is seen under "
            f"{2 * math.degrees(math.atan(width / 2 / (near + far))):.0f} degrees; are the units those of pixel_size?"
        )
        warn(raw.path, text, notes)
    if rows > 1:
        text = (
            f"{rows} detector rows and distances are a cone beam: only the middle row, {(rows - 1) / 2:g}, is a fan "
            "beam, and the others are reconstructed as if they were"
        )
        warn(raw.path, text, notes)
