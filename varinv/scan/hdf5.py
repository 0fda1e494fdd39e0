"""HDF5 without surprises: links followed one by one, missing targets named, nothing that reads as silent zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import AnyArray, HDF5Frames
from varinv.scan.npy import numeric

LENGTHS = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "nm": 1e-6}


def open_file(path: Path) -> h5py.File:
    """The open file, or a ScanError with the reason."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        text = str(error)
        reason = text[text.find("(") + 1 : -1] if "(" in text else text
        raise ScanError(f"{path}: not a readable HDF5 file: {reason}") from None


def has(group: Any, name: str) -> bool:
    """Is there an entry of this name (its target may be missing)?"""
    here = group
    parts = [p for p in name.split("/") if p]
    for k, part in enumerate(parts):
        if not isinstance(here, h5py.Group) or here.get(part, getlink=True) is None:
            return False
        if k < len(parts) - 1:
            try:
                here = here[part]
            except (KeyError, OSError):
                return True  # a link that leads nowhere: `find` names its target
    return True


def find(file: Any, name: str, path: Path, depth: int = 0) -> Any:
    """The object of this name; a ScanError that names the file or object that is missing behind a link."""
    here: Any = file
    for part in [p for p in name.split("/") if p]:
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            raise ScanError(f"{path}: no {name} (nothing called {part!r} in {getattr(here, 'name', '/')})")
        try:
            here = here[part]
        except (KeyError, OSError):
            raise ScanError(f"{path}: {name} {_missing(link, here, path)}") from None
    return here


def _missing(link: Any, group: Any, path: Path) -> str:
    if isinstance(link, h5py.ExternalLink):
        target = Path(link.filename)
        found = target if target.is_absolute() else Path(group.file.filename).parent / target
        if not found.exists():
            return f"is an external link to {link.filename}, which does not exist; put that file in its place"
        return f"is an external link to {link.path} in {link.filename}, which is not there or cannot be read"
    if isinstance(link, h5py.SoftLink):
        return f"is a soft link to {link.path}, which is missing (or itself a link to something missing)"
    return "is damaged"


def dataset(file: Any, name: str, path: Path) -> h5py.Dataset:
    """A dataset of real numbers whose storage is really there."""
    found = find(file, name, path)
    if not isinstance(found, h5py.Dataset):
        raise ScanError(f"{path}: {name} is not a dataset")
    if found.shape is None or 0 in found.shape:
        raise ScanError(f"{path}: {name} is empty")
    numeric(path, name, found.dtype)
    _sources(found, name, path)
    return found


def _sources(found: h5py.Dataset, name: str, path: Path) -> None:
    """HDF5 returns zeros, silently, where the files behind virtual or external storage are missing."""
    owner = Path(found.file.filename).parent
    if found.is_virtual:
        missing = []
        for source in found.virtual_sources():
            target = source.file_name
            if target in (".", "") or "%" in target:
                continue
            place = Path(target) if Path(target).is_absolute() else owner / target
            if not place.exists():
                missing.append(target)
                continue
            with open_file(place) as other:
                if not has(other, source.dset_name):
                    missing.append(f"{source.dset_name} in {target}")
        if missing:
            unique = list(dict.fromkeys(missing))
            raise ScanError(
                f"{path}: {name} is a virtual dataset and {len(unique)} of its sources are missing "
                f"(HDF5 would return zeros): {', '.join(unique[:3])}{' …' if len(unique) > 3 else ''}"
            )
        return
    for target, _, _ in found.external or ():
        place = Path(target) if Path(target).is_absolute() else owner / target
        if not place.exists():
            raise ScanError(f"{path}: {name} keeps its numbers in {target}, which does not exist")
    if not found.external and found.id.get_storage_size() == 0:
        raise ScanError(f"{path}: {name} promises shape {found.shape} but no number of it was ever written")


def values(file: Any, name: str, path: Path) -> AnyArray:
    """A small dataset as float64."""
    found = dataset(file, name, path)
    afford(path, name, 8 * math.prod(found.shape))
    return _read(found, name, path).astype(np.float64)


def _read(found: h5py.Dataset, name: str, path: Path) -> AnyArray:
    try:
        return np.asarray(found[()])
    except OSError as error:
        raise ScanError(f"{path}: {name} cannot be read: {error}") from None


def frames(found: h5py.Dataset, order: tuple[int, int | None, int]) -> HDF5Frames:
    """Frames in this dataset, wherever the links led."""
    return HDF5Frames(Path(found.file.filename), found.name, tuple(found.shape), order, found.dtype)


def text(value: Any) -> str | None:
    """A string attribute or dataset as text, None where it is something else."""
    if isinstance(value, h5py.Dataset):
        if value.dtype.kind not in "OS" or value.size != 1:
            return None
        value = np.asarray(value[()]).reshape(-1)[0]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def length(file: Any, name: str, path: Path, notes: list[str]) -> float | None:
    """A length in millimetres, or None (with a note where there is something unusable)."""
    if not has(file, name):
        return None
    try:
        found = find(file, name, path)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf" or found.size != 1:
            raise ScanError("no number")
        value, unit = float(np.asarray(found[()]).reshape(-1)[0]), text(found.attrs.get("units"))
    except ScanError:
        notes.append(f"{name} is not a number: ignored")
        return None
    if unit is None or unit.strip() not in LENGTHS or not (math.isfinite(value) and value > 0):
        notes.append(f"{name} = {value:g} {unit or '(no unit)'} is no usable length: ignored")
        return None
    notes.append(f"{name} = {value:g} {unit}: lengths are in mm")
    return value * LENGTHS[unit.strip()]


def walk(group: Any, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """(path, object) of everything stored in this file itself, once: links to elsewhere are not followed."""
    seen = set() if seen is None else seen
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        try:
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
        except (KeyError, OSError):
            continue
        where = f"{prefix}/{name}"
        if address in seen:
            if isinstance(item, h5py.Group):
                continue  # a circle
        else:
            seen.add(address)
        yield where, item
        if isinstance(item, h5py.Group) and where.count("/") < 32:
            yield from walk(item, where, seen)
