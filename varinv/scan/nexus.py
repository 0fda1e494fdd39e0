"""NeXus files: NXtomo entries, and scans of NXdata groups with an image key beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from varinv.scan import hdf5, trees
from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray, Chosen, Frames, Raw
from varinv.scan.kinds import kind_of, stated

ANGLE = re.compile(r"(rotation_angle|theta|angle|(^|_)rot($|_))", re.IGNORECASE)


def is_nexus(file: Any) -> bool:
    """Does a group say that it is an NXentry?"""
    return any(
        isinstance(file.get(name, getlink=True), h5py.HardLink) and hdf5.attribute(file[name], "NX_class")
        for name in file
    )


def read_nexus(file: Any, path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """The first NXtomo entry; without one, the first NXdata group whose `data` is a stack that can be read."""
    entries = [
        where.rpartition("/")[0]
        for where, item in hdf5.walk(file)
        if where.endswith("/definition") and isinstance(item, h5py.Dataset) and hdf5.text(item) == "NXtomo"
    ]
    if len(entries) > 1:
        notes.append(f"{len(entries)} NXtomo entries ({', '.join(entries)}): the first is read")
    return _tomo(file, entries[0], path, angles, notes) if entries else _plain(file, path, angles, notes)


def _tomo(file: Any, base: str, path: Path, given: Angles | None, notes: list[str]) -> Raw:
    detector = f"{base}/instrument/detector"
    if not hdf5.has(file, f"{detector}/data"):
        group = hdf5.find(file, f"{base}/instrument", path)
        named = [n for n in group if n != "source" and hdf5.has(group, f"{n}/data")]
        detector = f"{base}/instrument/{named[0]}" if named else f"{base}/data"
    data = _stack(file, f"{detector}/data", path)
    n = data.shape[0]
    key = _first(file, (f"{detector}/image_key", f"{base}/data/image_key", f"{base}/image_key"))
    control = _first(file, (f"{detector}/image_key_control", f"{base}/data/image_key_control"))
    keys = _keys(file, key, control, n, path, notes)
    angle = _first(file, (f"{base}/sample/rotation_angle", f"{base}/data/rotation_angle"))
    pixel = None
    for where in (f"{base}/sample", detector):
        pixel = hdf5.length(file, f"{where}/x_pixel_size", path, notes) if pixel is None else pixel
    stated = f"{detector}/x_rotation_axis_pixel_position"
    if hdf5.has(file, stated):
        offset = float(hdf5.values(file, stated, path).reshape(-1)[0])
        if offset:
            notes.append(f"{stated} = {offset:g} is not used: pass axis= to set the rotation axis")
    return _raw(file, "NXtomo", data, keys, angle, pixel, path, given, notes)


def _plain(file: Any, path: Path, given: Angles | None, notes: list[str]) -> Raw:
    groups = [
        where
        for where, item in hdf5.walk(file)
        if isinstance(item, h5py.Group) and hdf5.attribute(item, "NX_class") == "NXdata" and hdf5.has(item, "data")
    ]
    faults: list[str] = []
    for where in groups:
        try:
            data = _stack(file, f"{where}/data", path)
        except ScanError as error:
            faults.append(str(error))
            continue
        if data.ndim == 2:  # one image: the number of angles says which axis they run along
            name = f"{where}/data".strip("/")
            return trees.read_tree(trees.hdf5_tree(file, path), path, "NeXus", name, None, given, notes)
        n, name = data.shape[0], where.rpartition("/")[2]
        at_hand = [k for k, i in hdf5.walk(file) if k.endswith("/image_key") and getattr(i, "shape", None) == (n,)]
        key = next((k for k in at_hand if k.split("/")[-2] == name), at_hand[0] if at_hand else None)
        angle = _angle_beside(file, where, n, path)
        notes.append(f"no NXtomo definition: frames {where}/data, angles {angle}, image key {key}")
        return _raw(file, "NeXus", data, _keys(file, key, None, n, path, notes), angle, None, path, given, notes)
    if faults:
        raise ScanError(faults[0])
    notes.append("no NXtomo entry and no NXdata group with a stack of frames")
    return trees.read_tree(trees.hdf5_tree(file, path), path, "NeXus", None, None, given, notes)


def _angle_beside(file: Any, where: str, n: int, path: Path) -> str | None:
    for name in sorted(file[where], key=len):
        if ANGLE.search(name):
            try:
                if hdf5.dataset(file, f"{where}/{name}", path).shape == (n,):
                    return f"{where}/{name}"
            except ScanError:  # a link to something that is not needed
                continue
    return None


def _stack(file: Any, name: str, path: Path) -> h5py.Dataset:
    data = hdf5.dataset(file, name, path)
    if data.ndim not in (2, 3):
        raise ScanError(
            f"{path}: {name} must have shape (frames, rows, columns) or (frames, columns), it has {data.shape}; of "
            f"other axes pass an index, as dataset='{name.strip('/')}[:, 0]'"
        )
    return data


def _first(file: Any, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if hdf5.has(file, name)), None)


def _keys(file: Any, key: str | None, control: str | None, n: int, path: Path, notes: list[str]) -> AnyArray:
    """Image keys (0 projection, 1 flat, 2 dark, others: not used); alignment views (control −1) are left out."""
    if key is None:
        notes.append("no image key: every frame is taken as a projection")
        return np.zeros(n, np.int64)
    found = hdf5.values(file, key, path).ravel()
    if len(found) != n:
        raise ScanError(f"{path}: {key} has {len(found)} entries for {n} frames")
    keys = np.where(np.isfinite(found), found, -1).astype(np.int64)
    if control is not None:
        also = hdf5.values(file, control, path).ravel()
        if len(also) == n and (also == -1).any():
            notes.append(f"{int((also == -1).sum())} alignment frames (image_key_control −1) left out")
            keys[also == -1] = -1
    others = int(((keys < 0) | (keys > 2)).sum())
    if others and control is None:
        notes.append(f"{others} frames with an image key other than 0, 1, 2 left out")
    if not (keys == 0).any():
        raise ScanError(f"{path}: {key} marks none of {n} frames as a projection (0)")
    return keys


def _raw(
    file: Any, kind: str, data: h5py.Dataset, keys: AnyArray, angle: str | None, pixel: float | None,
    path: Path, given: Angles | None, notes: list[str],
) -> Raw:  # fmt: skip
    frames = hdf5.frames(data, (0, 1, 2) if data.ndim == 3 else (0, None, 1))
    chosen: list[Frames | None] = []
    for value in (0, 1, 2):
        at = np.flatnonzero(keys == value)
        chosen.append(Chosen(frames, at) if len(at) else None)
    projections = chosen[0]
    assert projections is not None
    views = projections.shape[0]
    notes.append("frames by image key: " + ", ".join(
        f"{w} {0 if c is None else c.shape[0]}" for c, w in zip(chosen, ("projections", "flats", "darks"), strict=True)
    ))  # fmt: skip
    angles = given
    if angles is None and angle is not None:
        unit = hdf5.attribute(hdf5.dataset(file, angle, path), "units")
        angles = to_radians(hdf5.values(file, angle, path), unit, path, notes)
        if len(angles) == len(keys):
            angles = angles[keys == 0]
    elif angles is not None and len(angles) == len(keys) != views:
        angles = angles[keys == 0]
    if angles is not None:
        angles = match(angles, views, f"in {data.name}", path, notes)
    said = stated(hdf5.attribute(data, "units"))
    counts = chosen[1] is not None or data.dtype.kind in "bui"
    before = np.cumsum(keys == 0)  # views taken before each frame
    return Raw(
        path, kind, projections, angles, chosen[1], chosen[2], said or kind_of(counts), said,
        spacing=pixel or 1.0, unit="mm" if pixel else "pixel",
        flats_at=before[keys == 1], darks_at=before[keys == 2],
    )  # fmt: skip
