"""Bruker (SkyScan) .log files: settings of a cone-beam scan beside its TIFF frames.

The angles are taken to rise as ours do where the file says `Rotation Direction=CC`, and to fall where it says `CW`;
`reverse` the scan where the image is mirrored.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from varinv.scan import tiff
from varinv.scan.angles import Angles
from varinv.scan.errors import ScanError, warn
from varinv.scan.formats.common import cone, even, fitting, number, positive, settings
from varinv.scan.frames import Raw
from varinv.scan.kinds import COUNTS

PARALLEL = 1e4  # mm; the makers write 100 m for optical scanners, whose rays are parallel


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Frames `Prefix00000000.tif` …, distances, pitch, angles from the step, and the reference intensity as flat."""
    found = settings(path)
    step = number(found, "Rotation Step (deg)", path)
    near, whole = (positive(found, f"{what} to Source (mm)", path) for what in ("Object", "Camera"))
    pixel = positive(found, "Image Pixel Size (um)", path) / 1000
    files = _files(path, found, notes)
    frames = tiff.open_stack(files, path, notes)
    if angles is None:
        sense = -1 if found.get("rotation direction", "CC").upper() == "CW" else 1
        angles = sense * np.deg2rad(step * np.arange(len(files)))
        notes.append(f"angles in steps of {step:g} degrees")
    angles = fitting(angles, frames.shape[0], path, notes)
    columns = int(number(found, "Number of Columns", path, frames.shape[2]))
    if columns != frames.shape[2]:
        raise ScanError(f"{path}: it states {columns} columns, and the TIFF files have {frames.shape[2]}")
    white = number(found, "Reference Intensity", path, 0.0)
    if found.get("flat field correction", "ON").upper() != "ON":
        white = 0.0
        notes.append("the frames are not corrected for the flat field: pass flats=")
    elif white > 0:
        notes.append(f"corrected for the flat field by the scanner: the flat is its reference intensity {white:g}")
    flat = even(white, *frames.shape[1:], path) if white > 0 else None
    if near >= PARALLEL:
        return Raw(path, "SkyScan", frames, angles, flat, kind=COUNTS, spacing=pixel, unit="mm")
    if near >= whole:
        raise ScanError(f"{path}: Object to Source {near:g} mm is not below Camera to Source {whole:g} mm")
    rows = frames.shape[1]
    cone(path, rows, notes, rows - 1 - number(found, "Optical Axis (line)", path, (rows - 1) / 2))  # lines from below
    notes.append(f"source {near:g} mm before the axis, camera {whole - near:g} mm behind it, pixel {pixel:g} mm there")
    return Raw(path, "SkyScan", frames, angles, flat, kind=COUNTS, spacing=pixel * whole / near, unit="mm",
               distances=(near, whole - near))  # fmt: skip


def _files(path: Path, found: dict[str, str], notes: list[str]) -> list[Path]:
    """The frames with the stated prefix and length of number; others (previews, corrections) are left out."""
    prefix = found.get("filename prefix") or path.stem
    length = int(number(found, "Filename Index Length", path, 4))
    form = re.compile(re.escape(prefix) + rf"(\d{{{length}}})\.tiff?$", re.IGNORECASE)
    numbered = sorted((int(m.group(1)), f) for f in path.parent.iterdir() if (m := form.match(f.name)))
    stated = int(positive(found, "Number of Files", path))
    if not numbered:
        raise ScanError(f"{path}: no frames {prefix}{'0' * length}.tif … beside it")
    if len(numbered) < stated - 1:  # some versions count the log as well
        warn(path, f"{len(numbered)} of {stated} frames are there", notes)
    return [f for _, f in numbered[:stated]]
