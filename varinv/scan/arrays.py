""".npy and .npz files: sinograms and stacks of projections, memory-mapped where possible, never unpickled."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import AnyArray, ArrayFrames, Raw
from varinv.scan.kinds import hinted, kind_of
from varinv.scan.npy import header, load_npy, numeric

DATA = ("data", "sinogram", "sinograms", "sino", "projections", "proj", "arr_0")
ANGLES = ("angles", "theta", "angle", "thetas", "rotation_angle")
FLATS = ("flats", "flat", "white", "data_white", "whites")
DARKS = ("darks", "dark", "data_dark")
Want = tuple[str | None, str | None]  # names inside a file: dataset=, angles_dataset=


def _load_npz(path: Path, want: Want, notes: list[str]) -> tuple[str, dict[str, AnyArray]]:
    """The name of the data and the members that matter; others are not unpacked, and the sum is bounded."""
    result: dict[str, AnyArray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {
                i.filename.removesuffix(".npy"): i for i in archive.infolist() if i.filename.endswith(".npy")
            }  # fmt: skip
            data, taken = _chosen(path, archive, members, want, notes)
            afford(path, "what is needed of the archive", sum(members[name].file_size for name in taken))
            for name in taken:
                result[name] = _member(path, archive, members[name])
    except ScanError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # zipfile and its decoders raise many kinds on damaged archives
        raise ScanError(f"{path}: damaged .npz archive ({error or type(error).__name__})") from None
    return data, result


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> AnyArray:
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)  # no more than was promised and afforded
    stream = io.BytesIO(content)
    shape, fortran, dtype = header(stream, f"{path}: {info.filename}", len(content))
    flat = np.frombuffer(stream.getbuffer(), dtype, math.prod(shape), stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _chosen(
    path: Path, archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], want: Want, notes: list[str]
) -> tuple[str, list[str]]:
    """Which member holds the data, and the names of all that are read: by their names, by `want`, or the only stack."""
    listed = ", ".join(sorted(members)) or "nothing"
    for name in want:
        if name is not None and name not in members:
            raise ScanError(f"{path}: no array is named {name!r}; the archive holds {listed}")
    beside = [n for n in (want[1], *ANGLES, *FLATS, *DARKS, "axis", "pixel_size") if n in members]
    data = want[0] or next((n for n in DATA if n in members), None)
    if data is None:
        large = []
        for name, info in members.items():
            with archive.open(info) as file:
                try:
                    shape, _, _ = header(file, f"{path}: {info.filename}", info.file_size)
                except ScanError:
                    notes.append(f"{name!r} in the archive is not a numeric array: left out")
                    continue
            if len(shape) in (2, 3) and name not in beside:
                large.append(name)
        if len(large) != 1:
            raise ScanError(
                f"{path}: no array is named {', '.join(DATA[:-1])}; the archive holds {listed}; pass dataset= with "
                "the name of one"
            )
        data = large[0]
        notes.append(f"projections taken from the only stack in the archive, {data!r}")
    return data, [data, *(n for n in dict.fromkeys(beside) if n is not None and n != data)]


def _first(found: dict[str, AnyArray], names: tuple[str, ...]) -> AnyArray | None:
    return next((found[name] for name in names if name in found), None)


def read_npy(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """A sinogram (angles, detectors) or a stack of projections (angles, rows, detectors)."""
    return build(path, ".npy array", load_npy(path), angles, notes)


def read_npz(path: Path, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    """An archive with `data` (or sinogram, projections …) and optionally angles, flats, darks, axis, pixel_size."""
    data, found = _load_npz(path, want, notes)
    stated = want[1] or next((name for name in ANGLES if name in found and name != data), None)
    if angles is None and stated is not None:
        angles = to_radians(found[stated].astype(np.float64), None, path, notes)
    raw = build(path, ".npz archive", found.pop(data), angles, notes)
    flats, darks = (stack(path, a, raw.frames.shape) for a in (_first(found, FLATS), _first(found, DARKS)))
    spacing = _number(path, "pixel_size", found)
    return Raw(
        path, raw.format, raw.frames, raw.angles, flats, darks, kind_of(raw.counts or flats is not None),
        hint=hinted(data), axis=_axis(path, found, raw), spacing=1.0 if spacing is None else spacing,
    )  # fmt: skip


def _number(path: Path, name: str, found: dict[str, AnyArray]) -> float | None:
    """A number of the archive; it must be one and finite, and a pixel size positive."""
    if name not in found:
        return None
    value = found[name].astype(np.float64).ravel()
    if len(value) != 1 or not np.isfinite(value[0]) or (name == "pixel_size" and not value[0] > 0):
        raise ScanError(f"{path}: {name} must be one finite number{' above 0' if name == 'pixel_size' else ''}")
    return float(value[0])


def _axis(path: Path, found: dict[str, AnyArray], raw: Raw) -> float | AnyArray | None:
    """The column of the rotation axis that an archive names, or one for each view."""
    many = found.get("axis")
    return _number(path, "axis", found) if many is None or many.size == 1 else one_a_view(path, many, raw)


def one_a_view(path: Path, axis: AnyArray, raw: Raw) -> AnyArray:
    """Axes of an archive, one for each view."""
    if axis.shape != raw.frames.shape[:1]:
        raise ScanError(f"{path}: axis has shape {axis.shape}; expected one column, or one for each of the views")
    if not np.isfinite(axis.astype(np.float64)).all():
        raise ScanError(f"{path}: axis holds values that are not finite")
    return axis.astype(np.float64)


def build(path: Path, kind: str, data: AnyArray, angles: Angles | None, notes: list[str]) -> Raw:
    """A Raw from an array of two or three dimensions; the number of angles settles which axis they run along."""
    numeric(path, "the array", data.dtype)
    if data.ndim not in (2, 3) or 0 in data.shape:
        raise ScanError(
            f"{path}: expected (angles, detectors) or (angles, rows, detectors), got shape {data.shape}"
            + (": say which of the other axes are meant, as data[:, 0]" if data.ndim > 3 else "")
        )
    n = None if angles is None else len(angles)
    if n is not None and n != data.shape[0] and n == data.shape[1]:
        what = "(detectors, angles)" if data.ndim == 2 else "(slices, angles, detectors)"
        notes.append(f"shape {data.shape} is {what}: its second axis matches the {n} angles")
        data = np.swapaxes(data, 0, 1)
    if data.ndim == 2:
        data = data[:, None, :]
    if angles is not None:
        angles = match(angles, data.shape[0], f"of shape {data.shape[1:]}", path, notes)
    return Raw(path, kind, ArrayFrames(data), angles, kind=kind_of(data.dtype.kind in "bui"))


def stack(path: object, data: AnyArray | None, frame: tuple[int, int, int]) -> ArrayFrames | None:
    """Flats or darks of shape (n, rows, columns), (rows, columns) or (columns,), made three-dimensional."""
    if data is None:
        return None
    numeric(path, "flats and darks", data.dtype)
    _, rows, columns = frame
    shape = data.shape
    if shape == (columns,) and rows == 1:
        data = data[None, None]
    elif data.ndim == 2 and shape == (rows, columns):
        data = data[None]
    elif data.ndim == 2 and rows == 1 and shape[1] == columns:
        data = data[:, None]
    if data.ndim != 3 or data.shape[1:] != (rows, columns) or not len(data):
        raise ScanError(f"{path}: flats and darks must have shape (n, {rows}, {columns}), got {shape}")
    return ArrayFrames(data)
