"""MRC files of electron tomography (.mrc, .st, .ali, .rec), read with mrcfile; tilt angles from the files beside them.

The tilt axis is taken to run along the columns of the frames (the y axis), as in aligned stacks (.ali).  MRC counts
rows from the bottom: they are kept in the order of the file.  What the numbers are (bright field: counts; HAADF:
emission) no MRC file says.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, match
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.formats.common import guarded, library, settings
from varinv.scan.frames import Mapped, Raw
from varinv.scan.kinds import kind_of

MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """A tilt series: frames (views, rows, columns), angles, and the pixel size in nanometres."""
    mrcfile = library("mrcfile", path, "MRC files")
    with guarded(path, "MRC file"), mrcfile.open(path, permissive=True, header_only=True) as file:
        header, alpha = file.header, _tilts(file)
        mode, order = int(header.mode), header.mode.dtype.byteorder
        shape = tuple(int(n) for n in (header.nz, header.ny, header.nx))
        offset, width = 1024 + int(header.nsymbt), float(file.voxel_size.x)
    if mode not in MODES:
        raise ScanError(f"{path}: MRC mode {mode} is not read (complex or packed numbers)")
    dtype = np.dtype(MODES[mode]).newbyteorder(order)
    size, need = path.stat().st_size, math.prod(shape) * dtype.itemsize
    if min(shape) < 1 or offset < 1024 or offset + need > size:
        raise ScanError(f"{path}: truncated or damaged: the header promises shape {shape} of {dtype}, {offset + need} "
                        f"bytes, and the file has {size}")  # fmt: skip
    afford(path, "one frame", shape[1] * shape[2] * dtype.itemsize)
    frames = Mapped(path, shape, dtype, offset)
    if dtype.kind == "i":
        frames = _unwrapped(frames, notes)
    stated = _angles(path, alpha, notes) if angles is None else angles
    if stated is not None:
        stated = match(stated, shape[0], "in this file", path, notes)
    known = math.isfinite(width) and width > 0 and width != 1
    if known:
        notes.append(f"pixel size {width:g} Å: lengths are in nm")
    return Raw(path, "MRC", frames, stated, kind=kind_of(frames.dtype.kind in "bui"),
               spacing=width / 10 if known else 1.0, unit="nm" if known else "pixel")  # fmt: skip


def _tilts(file: Any) -> Any:
    """The tilt angles in the extended header, as some microscopes write them, or None."""
    try:
        found = np.asarray(file.indexed_extended_header["Alpha tilt"], np.float64)
    except Exception:  # there is none, or another kind of header
        return None
    return found if found.ndim == 1 and len(set(found.tolist())) > 1 else None


def _unwrapped(frames: Mapped, notes: list[str]) -> Mapped:
    """Unsigned numbers stored under the signed mode: neighbours that jump by the whole range, or no number above 0."""
    views, rows, _ = frames.shape
    some = frames.read(np.unique(np.linspace(0, views - 1, 5).astype(np.intp)), slice(0, None, max(1, rows // 64)))
    values = some.astype(np.int64)
    half = 1 << (8 * frames.dtype.itemsize - 1)
    jumps = float((np.abs(np.diff(values, axis=2)) > half).mean()) if values.shape[2] > 1 else 0.0
    if jumps <= 1e-4 and values.max() >= 0:
        return frames
    why = f"{100 * jumps:.2g} % of neighbours jump by more than {half}" if jumps > 1e-4 else "all numbers are negative"
    text = f"MRC mode for signed numbers, but {why}: read as unsigned ones (wrapped above {half - 1})"
    warn(frames.path, text, notes)
    return Mapped(frames.path, frames.stored, np.dtype(frames.dtype.str.replace("i", "u")), frames.offset)


def _angles(path: Path, alpha: Any, notes: list[str]) -> Angles | None:
    """From .tlt (aligned stacks first) or .rawtlt, .mdoc, or the extended header; always degrees."""
    stems = dict.fromkeys((path.stem, re.sub(r"_(pre)?ali$|_bin\d+$", "", path.stem)))
    ends = (".tlt", ".rawtlt") if path.suffix == ".ali" or path.stem.endswith("_ali") else (".rawtlt", ".tlt")
    tables = [path.with_name(stem + end) for stem in stems for end in ends]
    for place in tables:
        if place.is_file():
            notes.append(f"tilt angles from {place.name}, in degrees")
            return _table(place)
    for place in (path.with_name(path.name + ".mdoc"), *(path.with_name(stem + ".mdoc") for stem in stems)):
        if place.is_file():
            return _mdoc(place, path, notes)
    if alpha is None:
        return None
    notes.append("tilt angles from the extended header, in degrees")
    return np.asarray(np.deg2rad(alpha), np.float64)


def _table(place: Path) -> Angles:
    try:
        values = np.array([float(word) for word in place.read_text("utf-8", "replace").split()])
    except ValueError as error:
        raise ScanError(f"{place}: not a list of tilt angles ({error})") from None
    if not len(values) or not np.isfinite(values).all():
        raise ScanError(f"{place}: no finite tilt angles")
    return np.asarray(np.deg2rad(values), np.float64)


def _mdoc(place: Path, path: Path, notes: list[str]) -> Angles | None:
    """`TiltAngle` of each `[ZValue = k]`, in the order of k; a tilt axis that is not upright is a warning."""
    found = re.findall(r"^\[ZValue\s*=\s*(\d+)\]([^\[]*)", place.read_text("utf-8", "replace"), re.MULTILINE)
    tilts = [(int(k), re.search(r"^TiltAngle\s*=\s*([-+.\deE]+)", body, re.MULTILINE)) for k, body in found]
    if not tilts or any(t is None for _, t in tilts):
        notes.append(f"{place.name} states no tilt angle of every frame: not used")
        return None
    notes.append(f"tilt angles from {place.name}, in degrees")
    axis = settings(place).get("rotationangle")
    turned = re.match(r"[-+.\d]+", axis or "")
    if turned and path.suffix != ".ali" and abs((float(turned.group(0)) + 90) % 180 - 90) > 2:
        warn(path, f"the tilt axis stands {float(turned.group(0)):g} degrees off the columns ({place.name}): align the "
                   "stack first (.ali)", notes)  # fmt: skip
    in_order = [float(t.group(1)) for _, t in sorted(tilts, key=lambda p: p[0]) if t is not None]
    return np.asarray(np.deg2rad(in_order), np.float64)
