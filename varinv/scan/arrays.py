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
from varinv.scan.kinds import kind_of
from varinv.scan.npy import header, load_npy, numeric

DATA = ("data", "sinogram", "sinograms", "sino", "projections", "proj", "arr_0")
ANGLES = ("angles", "theta", "angle", "thetas", "rotation_angle")
FLATS = ("flats", "flat", "white", "data_white", "whites")
DARKS = ("darks", "dark", "data_dark")


def _load_npz(path: Path, notes: list[str]) -> dict[str, AnyArray]:
    result: dict[str, AnyArray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename.endswith(".npy"):
                    continue
                name, where = info.filename.removesuffix(".npy"), f"{path}: {info.filename}"
                afford(path, info.filename, info.file_size)
                with archive.open(info) as file:
                    stream = io.BytesIO(file.read())
                try:
                    shape, fortran, dtype = header(stream, where, info.file_size)
                except ScanError:
                    if name in DATA + ANGLES + FLATS + DARKS + ("axis", "pixel_size"):
                        raise
                    notes.append(f"{name!r} in the archive is not a numeric array: left out")
                    continue
                flat = np.frombuffer(stream.getbuffer(), dtype, math.prod(shape), stream.tell())
                result[name] = flat.reshape(shape, order="F" if fortran else "C")
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ScanError(f"{path}: damaged .npz archive ({error})") from None
    return result


def _first(found: dict[str, AnyArray], names: tuple[str, ...]) -> AnyArray | None:
    return next((found[name] for name in names if name in found), None)


def read_npy(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """A sinogram (angles, detectors) or a stack of projections (angles, rows, detectors)."""
    return build(path, ".npy array", load_npy(path), angles, notes)


def read_npz(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """An archive with `data` (or sinogram, projections …) and optionally angles, flats, darks, axis, pixel_size."""
    found = _load_npz(path, notes)
    data = _first(found, DATA)
    if data is None:
        large = [name for name in found if found[name].ndim in (2, 3) and name not in FLATS + DARKS]
        if len(large) != 1:
            names = ", ".join(sorted(found)) or "nothing"
            raise ScanError(f"{path}: no array is named {', '.join(DATA[:-1])}; the archive holds {names}")
        data = found[large[0]]
        notes.append(f"projections taken from the only stack in the archive, {large[0]!r}")
    stated = next((name for name in ANGLES if name in found), None)
    if angles is None and stated is not None:
        angles = to_radians(found[stated].astype(np.float64), None, path, notes)
    raw = build(path, ".npz archive", data, angles, notes)
    flats, darks = (stack(path, a, raw.frames.shape) for a in (_first(found, FLATS), _first(found, DARKS)))
    axis, spacing = found.get("axis"), found.get("pixel_size")
    return Raw(
        path, raw.format, raw.frames, raw.angles, flats, darks, kind_of(raw.counts or flats is not None),
        axis=None if axis is None else float(axis.reshape(-1)[0]) if axis.size == 1 else one_a_view(path, axis, raw),
        spacing=1.0 if spacing is None else float(spacing.reshape(-1)[0]),
    )  # fmt: skip


def one_a_view(path: Path, axis: AnyArray, raw: Raw) -> AnyArray:
    """Axes of an archive, one for each view."""
    if axis.shape != raw.frames.shape[:1]:
        raise ScanError(f"{path}: axis has shape {axis.shape}; expected one column, or one for each of the views")
    return axis.astype(np.float64)


def build(path: Path, kind: str, data: AnyArray, angles: Angles | None, notes: list[str]) -> Raw:
    """A Raw from an array of two or three dimensions; the number of angles settles which axis they run along."""
    numeric(path, "the array", data.dtype)
    if data.ndim not in (2, 3) or 0 in data.shape:
        raise ScanError(f"{path}: expected (angles, detectors) or (angles, rows, detectors), got shape {data.shape}")
    n = None if angles is None else len(angles)
    if n is not None and n != data.shape[0] and n == data.shape[1]:
        what = "(detectors, angles)" if data.ndim == 2 else "(slices, angles, detectors)"
        notes.append(f"shape {data.shape} is {what}: its second axis matches the {n} angles")
        data = np.swapaxes(data, 0, 1)
    if data.ndim == 2:
        data = data[:, None, :]
    if angles is not None:
        angles = match(angles, data.shape[0], f"of shape {data.shape[1:]}", path, notes)
    counts = data.dtype.kind in "bui"
    notes.append("whole numbers: taken as counts" if counts else "fractional numbers: taken as line integrals")
    return Raw(path, kind, ArrayFrames(data), angles, kind=kind_of(counts))


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
