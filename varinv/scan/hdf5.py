"""HDF5 without surprises: links followed one by one, missing targets named, nothing that reads as silent zeros."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from varinv.scan import attributes, heaps, links
from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import AnyArray, HDF5Frames
from varinv.scan.npy import numeric

LENGTHS = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3, "nm": 1e-6}


def open_file(path: Path) -> h5py.File:
    """The open file, or a ScanError with the reason."""
    links.regular(path)
    heaps.check(path)
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
    """The object of this name, link by link; a ScanError that names what is missing or not allowed behind a link."""
    here: Any = file
    parts = [p for p in name.split("/") if p]
    followed = 0
    while parts:
        part = parts.pop(0)
        link = here.get(part, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None and part != ".":
            behind = " behind a link" if followed or depth else ""
            raise ScanError(f"{path}: no {name} (nothing called {part!r} in {getattr(here, 'name', '/')}{behind})")
        if isinstance(link, h5py.SoftLink):
            followed += 1
            if followed > 64:
                raise ScanError(f"{path}: {name} is a circle of links")
            if not has(here.file if link.path.startswith("/") else here, link.path):
                raise ScanError(f"{path}: {name} {_missing(link, here)}")
            here = here.file if link.path.startswith("/") else here
            parts = [p for p in link.path.split("/") if p] + parts
            continue
        if isinstance(link, h5py.ExternalLink):
            _follow(link, here, name, path, depth)
        try:
            here = here if part == "." else here[part]
        except (KeyError, OSError):
            raise ScanError(f"{path}: {name} {_missing(link, here)}") from None
    links.allowed(path, name, Path(here.file.filename), here.file.filename)
    return here


def _follow(link: Any, group: Any, name: str, path: Path, depth: int) -> None:
    """Look at the target of an external link, and at the links behind it, before HDF5 goes there."""
    place = _place(link.filename, group.file)
    there = False
    if depth > 16:
        raise ScanError(f"{path}: {name} is a circle of links between files")
    if place.exists():
        links.allowed(path, name, place, link.filename)
        try:
            with open_file(place) as other:
                there = has(other, link.path)
                if there:
                    find(other, link.path, path, depth + 1)
        except ScanError as error:
            if str(error).startswith(f"{place}: not a readable"):
                there = False
            else:
                raise
    if not there:
        raise ScanError(f"{path}: {name} {_missing(link, group)}")


def _place(target: str, file: Any) -> Path:
    """Where a file named in another one lies."""
    return Path(target) if Path(target).is_absolute() else Path(file.filename).parent / target


def _missing(link: Any, group: Any) -> str:
    if isinstance(link, h5py.ExternalLink):
        if not _place(link.filename, group.file).exists():
            return f"is an external link to {link.filename}, which does not exist; put that file in its place"
        return f"is an external link to {link.path} in {link.filename}, which is not there or cannot be read"
    if isinstance(link, h5py.SoftLink):
        return f"is a soft link to {link.path}, which is missing (or itself a link to something missing)"
    return "is damaged"


def dataset(file: Any, name: str, path: Path) -> h5py.Dataset:
    """A dataset of real numbers whose storage is really there, and where it may be."""
    return checked(find(file, name, path), name, path)


def checked(found: Any, name: str, path: Path) -> h5py.Dataset:
    """The same for an object that was found already."""
    if not isinstance(found, h5py.Dataset):
        raise ScanError(f"{path}: {name} is not a dataset")
    if found.shape is None or 0 in found.shape:
        raise ScanError(f"{path}: {name} is empty")
    numeric(path, name, found.dtype)
    _sources(found, name, path)
    return found


def _sources(found: h5py.Dataset, name: str, path: Path, seen: tuple[tuple[Path, str], ...] = ()) -> None:
    """Are the files behind virtual or external storage there and allowed?  HDF5 returns zeros where they are not."""
    here = (Path(found.file.filename).resolve(), found.name)
    if here in seen or len(seen) > 8:
        raise ScanError(f"{path}: {name} is a virtual dataset made of itself")
    if found.is_virtual:
        missing: list[str] = []
        for target, inside in dict.fromkeys((s.file_name, s.dset_name) for s in found.virtual_sources()):
            missing += _source(found, target, inside, name, path, (*seen, here))
        if missing:
            unique = list(dict.fromkeys(missing))
            raise ScanError(
                f"{path}: {name} is a virtual dataset and {len(unique)} of its sources are missing "
                f"(HDF5 would return zeros): {', '.join(unique[:3])}{' …' if len(unique) > 3 else ''}"
            )
        return
    for target, _, _ in found.external or ():
        place = Path(target).absolute()  # HDF5 looks for it in the working directory
        links.allowed(path, name, place, target)
        if not place.exists():
            raise ScanError(
                f"{path}: {name} keeps its numbers in {target}, which does not exist in the working directory, where "
                "HDF5 looks for it"
            )
    if not found.external and found.id.get_storage_size() == 0:
        raise ScanError(f"{path}: {name} promises shape {found.shape} but no number of it was ever written")


def _source(
    found: h5py.Dataset, target: str, inside: str, name: str, path: Path, seen: tuple[tuple[Path, str], ...]
) -> list[str]:
    """What is missing of one source of a virtual dataset; a ScanError where it lies elsewhere."""
    if target in (".", ""):
        if "%" not in inside and has(found.file, inside):
            _sources(find(found.file, inside, path), name, path, seen)
        return []
    place = _place(target.replace("%b", "0").replace("%%", "%"), found.file)
    if not place.exists() and "%b" not in target:
        return [target]
    links.allowed(path, name, place, target)
    if not place.exists():
        return []
    with open_file(place) as other:
        if "%" in inside:
            return []
        if not has(other, inside):
            return [f"{inside} in {target}"]
        behind = find(other, inside, path)
        if isinstance(behind, h5py.Dataset) and (behind.is_virtual or behind.external):
            _sources(behind, name, path, seen)
    return []


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
        if value.dtype.kind not in "OS" or value.size != 1 or not _short(value):
            return None
        value = np.asarray(value[()]).reshape(-1)[0]
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def attribute(item: Any, name: str) -> str | None:
    """An attribute as text, None where it is something else."""
    return text(attributes.value(item, name))


def _short(text: h5py.Dataset) -> bool:
    """Is the length that is stored for a text no longer than its file?  HDF5 believes it and fills 4 GiB."""
    start = text.id.get_offset()
    if text.dtype.kind != "O" or start is None:  # of fixed length, or in no one place
        return True
    path = Path(text.file.filename)
    with path.open("rb") as file:
        file.seek(start)
        return int.from_bytes(file.read(4), "little") <= path.stat().st_size


def length(file: Any, name: str, path: Path, notes: list[str]) -> float | None:
    """A length in millimetres, or None (with a note where there is something unusable)."""
    if not has(file, name):
        return None
    try:
        found = find(file, name, path)
        if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "iuf" or found.size != 1:
            raise ScanError("no number")
        value, unit = float(np.asarray(found[()]).reshape(-1)[0]), attribute(found, "units")
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
