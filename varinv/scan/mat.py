"""MATLAB files, v5 and v7.3: the Helsinki 2022 layout (fan beam) and plain variables (a sinogram and its angles)."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, to_radians
from varinv.scan.arrays import Want, build
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.frames import ArrayFrames, Raw
from varinv.scan.kinds import LINES, hinted
from varinv.scan.npy import numeric

SINOGRAM = re.compile(r"sino|proj|radon", re.IGNORECASE)
ANGLE = re.compile(r"angle|theta|phi", re.IGNORECASE)
HELSINKI = ("distanceSourceOrigin", "distanceSourceDetector", "pixelSizePost", "angles")
CELLS = 4096  # entries of a cell that are looked at
UNITS = {"mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "µm": 1e-3}
Variables = dict[str, Any]


def read_mat5(path: Path, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    """MATLAB v5 to v7.2."""
    from varinv.scan import mat5

    return _raw(path, "MATLAB v5", mat5.load(path), want, angles, notes)


def read_mat73(path: Path, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    """MATLAB v7.3, which is HDF5 with the axes of every array reversed and text as numbers."""
    from varinv.scan import hdf5

    with hdf5.open_file(path) as file:
        found = _group(file, path)
    return _raw(path, "MATLAB v7.3", found, want, angles, notes)


def _group(group: Any, path: Path, depth: int = 0, seen: set[int] | None = None) -> Variables:
    from varinv.scan import hdf5

    result: Variables = {}
    seen = set() if seen is None else seen
    for name in group:
        if not name.startswith("#"):
            result |= _item(hdf5.find(group, name, path), name, path, depth, seen)
    return result


def _item(item: Any, name: str, path: Path, depth: int, seen: set[int]) -> Variables:
    """A variable by its name; the entries of a cell as name{1}, name{2} …; nothing for what holds no numbers."""
    import h5py

    from varinv.scan import hdf5

    kind = hdf5.attribute(item, "MATLAB_class") or ""
    if isinstance(item, h5py.Group):
        address = h5py.h5o.get_info(item.id).addr
        if depth >= 8 or address in seen:  # a circle
            return {}
        seen.add(address)
        return {name: _group(item, path, depth + 1, seen)}
    if kind == "char":
        codes = np.asarray(item[()]).ravel() if item.size < 1 << 16 else np.zeros(0)
        return {name: "".join(chr(int(c)) for c in codes if 0 <= c < 0x110000)}
    if kind == "cell" and item.dtype == h5py.ref_dtype and item.size <= CELLS and depth < 8:
        result: Variables = {}
        for k, reference in enumerate(np.asarray(item[()]).T.ravel(order="F"), 1):
            result |= _item(item.file[reference], f"{name}{{{k}}}", path, depth + 1, seen) if reference else {}
        return result
    if item.dtype.kind in "buif" and "MATLAB_empty" not in item.attrs:
        afford(path, name, item.size * item.dtype.itemsize)
        hdf5.checked(item, name, path)
        return {name: np.squeeze(np.asarray(item[()]).T)}
    return {}


def _named(found: Variables, name: str) -> Any:
    """A variable, or a field of a structure as structure.field."""
    here: Any = found
    for part in name.split("."):
        here = here.get(part) if isinstance(here, dict) else None
    return here


def _raw(path: Path, kind: str, found: Variables, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    for name, value in found.items() if want[0] is None else ():
        inner = value.get("parameters") if isinstance(value, dict) else None
        if isinstance(inner, dict) and "sinogram" in value:
            lacking = [n for n in HELSINKI if n not in inner]
            if lacking:
                raise ScanError(f"{path}: {name}.parameters lacks {', '.join(lacking)}")
            return _helsinki(path, kind, value["sinogram"], inner, angles, notes)
    return _variables(path, kind, found, want, angles, notes)


def _number(path: Path, parameters: Variables, name: str) -> float:
    value = np.asarray(parameters[name])
    if value.dtype.kind not in "buif" or value.size != 1 or not (math.isfinite(float(value)) and float(value) > 0):
        raise ScanError(f"{path}: parameters.{name} must be a positive number")
    return float(value.reshape(-1)[0])


def _helsinki(path: Path, kind: str, sinogram: Any, p: Variables, given: Angles | None, notes: list[str]) -> Raw:
    unit = str(p.get("distanceUnit", "mm"))
    if unit not in UNITS:
        raise ScanError(f"{path}: parameters.distanceUnit is {unit!r}, expected one of {', '.join(UNITS)}")
    near, far = (_number(path, p, name) * UNITS[unit] for name in HELSINKI[:2])
    if far < near:
        raise ScanError(
            f"{path}: distanceSourceOrigin {near:g} mm exceeds distanceSourceDetector {far:g} mm: "
            f"the magnification {far / near:.3g} would be below 1; are they swapped?"
        )
    pitch = _number(path, p, "pixelSizePost") * UNITS[unit]
    angles = given
    if angles is None:
        angles = to_radians(np.atleast_1d(np.asarray(p["angles"], np.float64)), "degrees", path, notes)
    data = np.asarray(sinogram)
    numeric(path, "sinogram", data.dtype)
    if data.ndim == 2 and data.shape[0] == data.shape[1] == len(angles):
        notes.append("as many detectors as angles: the sinogram is taken as (angles, detectors)")
    raw = build(path, kind, data, angles, notes)
    columns = raw.frames.shape[2]
    if columns * pitch > 4 * far:
        text = f"pixelSizePost {pitch:g} mm: a detector {columns * pitch / 1e3:.3g} m wide, {far:g} mm from the source"
        stated = np.inf
        if "effectivePixelSizePost" in p:
            stated = _number(path, p, "effectivePixelSizePost") * UNITS[unit] * far / near
        if abs(pitch / stated - 1000) < 10:
            warn(path, f"{text}; effectivePixelSizePost says {stated:.4g} mm: taken as micrometres", notes)
            pitch /= 1000
        else:
            warn(path, f"{text}; kept", notes)
    notes.append("Helsinki 2022 layout: line integrals, centre of rotation corrected, so the axis is the middle")
    return Raw(
        path, f"{kind}, Helsinki 2022", raw.frames, raw.angles, kind=LINES, said=LINES,
        axis=(columns - 1) / 2, spacing=pitch, unit="mm", distances=(near, far - near),
    )  # fmt: skip


def _flat(found: Variables, prefix: str = "") -> Variables:
    """Arrays by name, those inside structures as structure.field."""
    result: Variables = {}
    for name, value in found.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, np.ndarray) and value.dtype.kind in "buif":
            result[prefix + name] = value
    return result


def _variables(
    path: Path, kind: str, found: Variables, want: Want, given: Angles | None, notes: list[str]
) -> Raw:  # fmt: skip
    arrays = _flat(found)
    listed = ", ".join(f"{k} {v.shape}" for k, v in list(arrays.items())[:12]) or "nothing numeric"
    for name in want:
        if name is not None and name not in arrays:
            raise ScanError(f"{path}: no numeric variable {name}; the file holds {listed}")
    named = [want[0]] if want[0] else [k for k, v in arrays.items() if SINOGRAM.search(k) and v.ndim in (2, 3)]
    named = [k for k in named if want[0] or "." not in k] or named  # a field of a structure where no variable is one
    if not named and given is not None:
        named = [k for k, v in arrays.items() if v.ndim in (2, 3) and len(given) in v.shape]
    if len(named) != 1:
        what = f"{len(named)} variables look like" if named else "no variable looks like"
        raise ScanError(
            f"{path}: {what} a sinogram (a name with sino, proj or radon); pass dataset= with the name of one; the "
            f"file holds {listed}"
        )
    data = arrays[named[0]]
    angles = given
    beside = [k for k, v in arrays.items() if ANGLE.search(k) and v.ndim == 1 and len(v) in data.shape]
    beside = beside if want[1] is None else [want[1]]
    if angles is None and beside:
        unit = next((u for u in ("rad", "deg") if u in beside[0].lower()), None)
        angles = to_radians(arrays[beside[0]].astype(np.float64).ravel(), unit, path, notes)
    notes.append(f"sinogram {named[0]}, angles {beside[0] if beside and given is None else 'as given'}")
    raw = dataclasses.replace(build(path, kind, data, angles, notes), hint=hinted(named[0]))
    assert isinstance(raw.frames, ArrayFrames)
    peak = float(np.nanmax(np.abs(raw.frames.array))) if np.isfinite(raw.frames.array).any() else 0.0
    if not raw.counts and peak > 50:
        notes.append(f"values up to {peak:.4g} are no attenuation: the scale of the line integrals is arbitrary")
    return raw
