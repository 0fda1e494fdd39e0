"""HDF5 files of EPICS areaDetector: frames in `entry/data/data`, a list a frame in `entry/instrument/NDAttributes`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan import hdf5
from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError, warn
from varinv.scan.frames import AnyArray, Chosen, Frames, Raw
from varinv.scan.kinds import kind_of

LISTS = "entry/instrument/NDAttributes"
DATA = ("entry/data/data", "entry/instrument/detector/data")
ANGLE = re.compile(r"(rotation|angle|theta|omega|tilt|rotary|(^|_)rot($|_))", re.IGNORECASE)
KEY = re.compile(r"^(image_?key|frame_?type)$", re.IGNORECASE)


def is_area_detector(file: Any) -> bool:
    """Are frames and the lists of attributes there?"""
    return hdf5.has(file, LISTS) and any(hdf5.has(file, name) for name in DATA)


def read(file: Any, path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Frames, sorted by an image key where there is one, and the angles of the one list that is named like them."""
    name = next(n for n in DATA if hdf5.has(file, n))
    data = hdf5.dataset(file, name, path)
    if data.ndim != 3:
        raise ScanError(f"{path}: {name} must have shape (frames, rows, columns), it has {data.shape}; pass dataset= "
                        "with an index for the other axes, as 'name[:, 0]'")  # fmt: skip
    lists = _lists(file, data.shape[0], path)
    _lost(lists, path, notes)
    keys = next((v for n, v in lists.items() if KEY.match(n)), np.zeros(data.shape[0]))
    if not (keys == 0).any():
        raise ScanError(f"{path}: its image key marks none of {len(keys)} frames as a projection (0)")
    frames = hdf5.frames(data, (0, 1, 2))
    parts: list[Frames | None] = [frames, None, None]
    if keys.any():
        parts = [Chosen(frames, at) if len(at) else None for at in (np.flatnonzero(keys == k) for k in range(3))]
        counts = (0 if p is None else p.shape[0] for p in parts)
        notes.append("frames by image key: {} projections, {} flats, {} darks".format(*counts))
    views = parts[0]
    assert views is not None
    if angles is None:
        angles = _angles(file, lists, path, notes)
    if angles is not None:
        angles = angles[keys == 0] if len(angles) == len(keys) else angles
        angles = match(angles, views.shape[0], f"in {name}", path, notes)
    before = np.concatenate([[0], np.cumsum(keys == 0)])[:-1]
    at = [None if p is None or p is frames else before[keys == k] for k, p in enumerate(parts)]
    counted = data.dtype.kind in "bui" or parts[1] is not None
    return Raw(path, "areaDetector", views, angles, parts[1], parts[2], kind_of(counted), flats_at=at[1],
               darks_at=at[2])  # fmt: skip


def _lists(file: Any, frames: int, path: Path) -> dict[str, AnyArray]:
    """The attributes with one finite number a frame."""
    found = {}
    for name, item in file[LISTS].items():
        if getattr(item, "shape", None) in ((frames,), (frames, 1)) and item.dtype.kind in "buif":
            values = hdf5.values(file, f"{LISTS}/{name}", path).ravel()
            if np.isfinite(values).all():
                found[name] = values
    return found


def _lost(lists: dict[str, AnyArray], path: Path, notes: list[str]) -> None:
    """Numbers of frames that are left out were lost on the way to the disk."""
    number = lists.get("NDArrayUniqueId")
    if number is not None and len(number) > 2:
        lost = int(np.diff(number).clip(1).sum()) + 1 - len(number)
        if lost:
            warn(path, f"{lost} frames were lost while they were written (NDArrayUniqueId leaves them out)", notes)


def _angles(file: Any, lists: dict[str, AnyArray], path: Path, notes: list[str]) -> Angles | None:
    """Of the one list named like an angle that varies."""
    found = [n for n, v in lists.items() if ANGLE.search(n) and np.ptp(v) > 0]
    if len(found) != 1:
        if found:
            notes.append(f"{LISTS}: {', '.join(found)} may be the angles: pass angles= or angles_dataset=")
        return None
    notes.append(f"angles {LISTS}/{found[0]}")
    return to_radians(lists[found[0]], hdf5.text(file[f"{LISTS}/{found[0]}"].attrs.get("units")), path, notes)
