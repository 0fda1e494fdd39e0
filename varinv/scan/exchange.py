"""Data Exchange files (exchange/data, data_white, data_dark, theta), as written at the APS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from varinv.scan import hdf5
from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError
from varinv.scan.frames import Frames, Raw
from varinv.scan.kinds import COUNTS, kind_of, stated

PIXEL = "measurement/instrument/detector"
PIXELS = (f"{PIXEL}/actual_pixel_size_x", f"{PIXEL}/x_pixel_size", f"{PIXEL}/pixel_size_x", f"{PIXEL}/pixel_size")
Order = tuple[int, int | None, int]


def read_exchange(file: Any, path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """The `exchange` group: data with its `axes` attribute, flats, darks and theta with its `units`."""
    data = hdf5.dataset(file, "exchange/data", path)
    if data.ndim not in (2, 3):
        raise ScanError(f"{path}: exchange/data must have two or three axes, it has shape {data.shape}")
    if angles is None and hdf5.has(file, "exchange/theta"):
        theta = hdf5.dataset(file, "exchange/theta", path)
        unit = hdf5.attribute(theta, "units")
        angles = to_radians(hdf5.values(file, "exchange/theta", path), unit, path, notes)
    order = _order(data, None if angles is None else len(angles), path, notes)
    frames = hdf5.frames(data, order)
    if angles is not None:
        angles = match(angles, frames.shape[0], "in exchange/data", path, notes)
    flats = _reference(file, ("data_white", "data_flat"), frames.shape, path, notes)
    darks = _reference(file, ("data_dark",), frames.shape, path, notes)
    said = stated(hdf5.attribute(data, "units"))
    counts = flats is not None or said == COUNTS or data.dtype.kind in "bui"
    spacing = next((s for s in (hdf5.length(file, p, path, notes) for p in PIXELS) if s is not None), None)
    return Raw(
        path, "Data Exchange", frames, angles, flats, darks, said or kind_of(counts),
        said, spacing=spacing or 1.0, unit="mm" if spacing else "pixel",
    )  # fmt: skip


def _order(data: Any, n: int | None, path: Path, notes: list[str]) -> Order:
    """Which axes are views, rows and columns: the attribute `axes`, else the number of angles, else the standard."""
    shape = data.shape
    three = data.ndim == 3
    usual: Order = (0, 1, 2) if three else (0, None, 1)
    named = [a.strip().split("_")[0] for a in (hdf5.attribute(data, "axes") or "").split(":")]
    if sorted(named) == (["theta", "x", "y"] if three else ["theta", "x"]):
        order: Order = (named.index("theta"), named.index("y") if three else None, named.index("x"))
        if n is None or shape[order[0]] == n or n not in shape:
            if order != usual:
                notes.append(f"axes {':'.join(named)} as the file states")
            return order
        notes.append(f"attribute axes {':'.join(named)} contradicts the {n} angles: not used")
    if n is None or shape[0] == n or n not in shape[:-1]:
        return usual
    notes.append(f"shape {shape}: the second axis matches the {n} angles and is taken as views")
    return (1, 0, 2)


def _reference(
    file: Any, names: tuple[str, ...], frame: tuple[int, int, int], path: Path, notes: list[str]
) -> Frames | None:
    name = next((f"exchange/{n}" for n in names if hdf5.has(file, f"exchange/{n}")), None)
    if name is None:
        return None
    found = hdf5.find(file, name, path)
    if getattr(found, "shape", None) is not None and 0 in found.shape:
        notes.append(f"{name} is empty: ignored")
        return None
    found = hdf5.dataset(file, name, path)
    shape, (_, rows, columns) = found.shape, frame
    orders: dict[int, list[Order]] = {3: [(0, 1, 2), (1, 0, 2)], 2: [(0, None, 1)]}
    order = next((o for o in orders.get(found.ndim, []) if _fits(shape, o, rows, columns)), None)
    if order is None and found.ndim == 2 and shape == (rows, columns):
        raise ScanError(f"{path}: {name} has shape {shape}; one frame must be stored as (1, {rows}, {columns})")
    if order is None:
        raise ScanError(f"{path}: {name} has shape {shape}, which does not fit frames of ({rows}, {columns})")
    return hdf5.frames(found, order)


def _fits(shape: tuple[int, ...], order: Order, rows: int, columns: int) -> bool:
    return shape[order[2]] == columns and (1 if order[1] is None else shape[order[1]]) == rows
