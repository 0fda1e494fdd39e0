"""MATLAB files, v5 and v7.3: the Helsinki 2022 layout (fan beam) and plain variables (a sinogram and its angles)."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, to_radians
from varinv.scan.arrays import build
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.frames import ArrayFrames, Raw
from varinv.scan.kinds import LINES
from varinv.scan.npy import numeric

SINOGRAM = re.compile(r"sino|proj|radon", re.IGNORECASE)
ANGLE = re.compile(r"angle|theta|phi", re.IGNORECASE)
HELSINKI = ("distanceSourceOrigin", "distanceSourceDetector", "pixelSizePost", "angles")
UNITS = {"mm": 1.0, "cm": 10.0, "m": 1e3, "um": 1e-3, "µm": 1e-3}
Variables = dict[str, Any]


def read_mat5(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """MATLAB v5 to v7.2."""
    from varinv.scan import mat5

    return _raw(path, "MATLAB v5", mat5.load(path), angles, notes)


def read_mat73(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """MATLAB v7.3, which is HDF5 with the axes of every array reversed and text as numbers."""
    from varinv.scan import hdf5

    with hdf5.open_file(path) as file:
        found = _group(file, path)
    return _raw(path, "MATLAB v7.3", found, angles, notes)


def _group(group: Any, path: Path, depth: int = 0) -> Variables:
    import h5py

    from varinv.scan import hdf5

    result: Variables = {}
    for name in group:
        item = hdf5.find(group, name, path)
        kind = hdf5.text(np.asarray(item.attrs.get("MATLAB_class", ""))[()]) or ""
        if isinstance(item, h5py.Group):
            if not name.startswith("#") and depth < 8:
                result[name] = _group(item, path, depth + 1)
        elif kind == "char":
            codes = np.asarray(item[()]).ravel() if item.size < 1 << 16 else np.zeros(0)
            result[name] = "".join(map(chr, codes.astype(int)))
        elif item.dtype.kind in "buif" and "MATLAB_empty" not in item.attrs:
            afford(path, name, item.size * item.dtype.itemsize)
            hdf5.dataset(group, name, path)
            result[name] = np.squeeze(np.asarray(item[()]).T)
    return result


def _raw(path: Path, kind: str, found: Variables, angles: Angles | None, notes: list[str]) -> Raw:
    for name, value in found.items():
        inner = value.get("parameters") if isinstance(value, dict) else None
        if isinstance(inner, dict) and "sinogram" in value:
            lacking = [n for n in HELSINKI if n not in inner]
            if lacking:
                raise ScanError(f"{path}: {name}.parameters lacks {', '.join(lacking)}")
            return _helsinki(path, kind, value["sinogram"], inner, angles, notes)
    return _variables(path, kind, found, angles, notes)


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
        path, f"{kind}, Helsinki 2022", raw.frames, raw.angles, kind=LINES, axis=(columns - 1) / 2, spacing=pitch,
        unit="mm", distances=(near, far - near),
    )  # fmt: skip


def _variables(path: Path, kind: str, found: Variables, given: Angles | None, notes: list[str]) -> Raw:
    arrays = {k: v for k, v in found.items() if isinstance(v, np.ndarray) and v.dtype.kind in "buif"}
    named = [k for k, v in arrays.items() if SINOGRAM.search(k) and v.ndim in (2, 3)]
    if not named and given is not None:
        named = [k for k, v in arrays.items() if v.ndim in (2, 3) and len(given) in v.shape]
    if len(named) != 1:
        listed = ", ".join(f"{k} {v.shape}" for k, v in list(arrays.items())[:8]) or "nothing numeric"
        what = f"{len(named)} variables look like" if named else "no variable looks like"
        raise ScanError(f"{path}: {what} a sinogram (a name with sino, proj or radon); the file holds {listed}")
    data = arrays[named[0]]
    angles = given
    beside = [k for k, v in arrays.items() if ANGLE.search(k) and v.ndim == 1 and len(v) in data.shape]
    if angles is None and beside:
        unit = next((u for u in ("rad", "deg") if u in beside[0].lower()), None)
        angles = to_radians(arrays[beside[0]], unit, path, notes)
    notes.append(f"sinogram {named[0]}, angles {beside[0] if beside and given is None else 'as given'}")
    raw = build(path, kind, data, angles, notes)
    assert isinstance(raw.frames, ArrayFrames)
    peak = float(np.nanmax(np.abs(raw.frames.array)))
    if not raw.counts and peak > 50:
        notes.append(f"values up to {peak:.4g} are no attenuation: the scale of the line integrals is arbitrary")
    return raw
