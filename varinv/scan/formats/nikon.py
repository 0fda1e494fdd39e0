"""Nikon (X-Tek) .xtekct files: settings of a cone-beam scan beside its TIFF frames.

The object turns clockwise seen from above, and the columns of the frames run as seen from behind the detector: seen in
our orientation the angles fall, and the image is mirrored (as seen from below).  `scan.flip().reverse()` is the same
scan with the image as seen from above.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from varinv.scan import links, tiff
from varinv.scan.angles import Angles
from varinv.scan.errors import ScanError, warn
from varinv.scan.formats.common import cone, even, fitting, number, positive, settings
from varinv.scan.frames import Raw
from varinv.scan.hdf5 import LENGTHS
from varinv.scan.kinds import COUNTS


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Frames `Name_0001.tif` …, distances, pitch, angles of the table beside or of the steps, and the white level."""
    found = settings(path)
    views = int(positive(found, "Projections", path))
    unit = found.get("units", "mm").strip() or "mm"
    if unit not in LENGTHS:
        raise ScanError(f"{path}: lengths are in the unknown unit {unit!r}")
    scale = LENGTHS[unit]
    near, whole = (scale * positive(found, n, path) for n in ("SrcToObject", "SrcToDetector"))
    if near >= whole:
        raise ScanError(f"{path}: SrcToObject {near:g} mm is not below SrcToDetector {whole:g} mm")
    frames = tiff.open_stack(_files(path, found, views, notes), path, notes)
    size = tuple(int(positive(found, f"DetectorPixels{a}", path)) for a in "YX")
    if frames.shape[1:] != size:
        raise ScanError(f"{path}: it states frames of {size}, and the TIFF files have {frames.shape[1:]}")
    if angles is None:
        angles = _angles(path, found, frames.shape[0], notes)
    angles = fitting(angles, frames.shape[0], path, notes)
    for name in ("CentreOfRotationTop", "CentreOfRotationBottom", "ObjectOffsetX", "ObjectTilt"):
        if number(found, name, path, 0.0):
            notes.append(f"{name} = {found[name.lower()]} is not used: pass axis= to set the rotation axis")
    white = number(found, "WhiteLevel", path, 0.0)
    if white > 0:
        notes.append(f"the flat is the stated white level {white:g}")
    pitch = scale * positive(found, "DetectorPixelSizeX", path)
    cone(path, frames.shape[1], notes)
    notes.append(f"source {near:g} mm before the axis, detector {whole - near:g} mm behind it, pitch {pitch:g} mm")
    return Raw(path, "Nikon", frames, angles, even(white, *frames.shape[1:], path) if white > 0 else None, kind=COUNTS,
               spacing=pitch, unit="mm", distances=(near, whole - near))  # fmt: skip


def _files(path: Path, found: dict[str, str], views: int, notes: list[str]) -> list[Path]:
    """The frames, by name and number."""
    name = found.get("name") or path.stem
    place = path.parent / found.get("inputfoldername", "").replace("\\", "/")
    form = re.compile(re.escape(name + found.get("inputseparator", "_")) + r"(\d+)\.tiff?$", re.IGNORECASE)
    for folder in dict.fromkeys((place, path.parent)):
        if folder.is_dir():
            links.allowed(path, "InputFolderName", folder, folder.name)
            numbered = sorted((int(m.group(1)), f) for f in folder.iterdir() if (m := form.match(f.name)))
            if numbered:
                files = [f for k, f in numbered if k > 0] if len(numbered) > views else [f for _, f in numbered]
                if len(files) < views:
                    warn(path, f"{len(files)} of {views} frames are there", notes)
                return files[:views]
    raise ScanError(f"{path}: no frames {name}_0001.tif … beside it or in {place.name}")


def _angles(path: Path, found: dict[str, str], views: int, notes: list[str]) -> Angles:
    """Of `_ctdata.txt` or `.ang` beside, else from the first angle and the step; falling, see above."""
    first, step = number(found, "InitialAngle", path, 0.0), number(found, "AngularStep", path, 0.0)
    table = next(
        (t for t in (path.with_name(f"{path.stem}_ctdata.txt"), path.with_suffix(".ang")) if t.is_file()), None
    )
    even_steps = first + step * np.arange(views)
    if table is not None:
        values = _table(table)
        if len(values) >= views:
            notes.append(f"angles from {table.name}")
            values = values[:views]
            if step and np.abs((values - values[0]) - step * np.arange(views)).max() > abs(step):
                warn(path, f"the angles of {table.name} are not those of AngularStep {step:g}: the table counts", notes)
            return np.deg2rad(-values)
        notes.append(f"{table.name} states {len(values)} angles for {views} frames: not used")
    if not step:
        raise ScanError(f"{path}: it states no AngularStep, and no table of angles is beside it")
    notes.append(f"angles from {first:g} degrees in steps of {step:g}")
    return np.asarray(np.deg2rad(-even_steps), np.float64)


def _table(place: Path) -> Angles:
    """The angles of `k angle …` or `k: angle` lines, behind the last heading that says Angle, in the order of k."""
    text = place.read_text("utf-8", "replace")
    behind = re.split(r"^[^\d\n]*angle[^\n]*\n", text, flags=re.MULTILINE | re.IGNORECASE)[-1]
    rows = re.findall(r"^\s*(\d+)\s*[:\t, ]\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)", behind, re.MULTILINE)
    if len({int(k) for k, _ in rows}) != len(rows):
        raise ScanError(f"{place}: a frame has two angles")
    return np.array([float(a) for _, a in sorted(rows, key=lambda r: int(r[0]))])
