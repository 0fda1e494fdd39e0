"""HyperSpy files (.hspy): the one experiment in them, its axes with scale, offset and unit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from varinv.scan import hdf5
from varinv.scan.angles import Angles, match
from varinv.scan.errors import ScanError
from varinv.scan.frames import Raw
from varinv.scan.hdf5 import LENGTHS
from varinv.scan.kinds import kind_of


class Axis(NamedTuple):
    name: str
    unit: str
    scale: float
    offset: float
    views: bool  # navigated: a position at which a frame was taken


def is_hyperspy(file: Any) -> bool:
    """Does a group `Experiments` hold experiments with data?"""
    return bool(_experiments(file))


def read(file: Any, path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """The frames of a tilt series: the navigated axis holds the views, and their angles where it is in degrees."""
    found = _experiments(file)
    if len(found) > 1:
        raise ScanError(f"{path}: it holds {len(found)} experiments ({', '.join(found[:6])}); pass dataset= with the "
                        f"name of one, as 'Experiments/{found[0]}/data'")  # fmt: skip
    base = f"Experiments/{found[0]}"
    data = hdf5.dataset(file, f"{base}/data", path)
    axes = [_axis(file, f"{base}/axis-{k}") for k in range(data.ndim)]
    views = [k for k, a in enumerate(axes) if a.views]
    if data.ndim not in (2, 3) or len(views) > 1:
        named = ", ".join(f"{a.name} {n}" for a, n in zip(axes, data.shape, strict=True))
        raise ScanError(f"{path}: {base}/data has the axes {named}; a scan has views, rows and columns: pass dataset= "
                        "with an index for the others, as 'name[:, 0]'")  # fmt: skip
    first = views[0] if views else 0
    rest = [k for k in range(data.ndim) if k != first]
    order = (first, rest[0] if len(rest) == 2 else None, rest[-1])
    frames = hdf5.frames(data, order)
    if angles is None:
        angles = _angles(file, base, axes[first], frames.shape[0], path, notes)
    if angles is not None:
        angles = match(angles, frames.shape[0], f"in {base}/data", path, notes)
    width = axes[rest[-1]]
    known = width.unit in LENGTHS and width.scale > 0
    notes.append(f"frames {base}/data, views along the axis {axes[first].name!r}")
    return Raw(path, "HyperSpy", frames, angles, kind=kind_of(data.dtype.kind in "bui"),
               spacing=width.scale * LENGTHS[width.unit] * 1e6 if known else 1.0,
               unit="nm" if known else "pixel")  # fmt: skip


def _experiments(file: Any) -> list[str]:
    if not hdf5.has(file, "Experiments") or not hasattr(file["Experiments"], "keys"):
        return []
    return [n for n in file["Experiments"] if hdf5.has(file, f"Experiments/{n}/data")]


def _axis(file: Any, name: str) -> Axis:
    said = dict(file[name].attrs) if hdf5.has(file, name) else {}

    def number(key: str, default: float) -> float:
        value = np.asarray(said.get(key, default)).ravel()
        good = value.size == 1 and value.dtype.kind in "buif" and math.isfinite(value[0])
        return float(value[0]) if good else default

    unit = hdf5.text(said.get("units")) or ""
    views = bool(number("navigate", 0.0))
    return Axis(hdf5.text(said.get("name")) or name, unit, number("scale", 1.0), number("offset", 0.0), views)


def _angles(file: Any, base: str, axis: Axis, views: int, path: Path, notes: list[str]) -> Angles | None:
    """From the list of tilts that tomography extensions write, else from an axis in degrees or called tilt."""
    for name in ("metadata/Tomography/tilts", "metadata/Tomography/_list_tilts"):
        if hdf5.has(file, f"{base}/{name}") and hasattr(file[f"{base}/{name}"], "dtype"):
            notes.append(f"tilt angles from {name}, in degrees")
            return np.asarray(np.deg2rad(hdf5.values(file, f"{base}/{name}", path).ravel()), np.float64)
    unit, name = axis.unit.lower(), axis.name.lower()
    if unit.startswith("rad"):
        return np.asarray(axis.offset + axis.scale * np.arange(views), np.float64)
    if unit.startswith("deg") or unit == "°" or ("tilt" in name and axis.scale != 1):
        notes.append(f"angles from the axis {axis.name!r}: {axis.offset:g} degrees in steps of {axis.scale:g}")
        return np.asarray(np.deg2rad(axis.offset + axis.scale * np.arange(views)), np.float64)
    return None
