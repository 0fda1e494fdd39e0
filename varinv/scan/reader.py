"""`read`: which format is this, and who reads it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.backend import is_array, to_numpy
from varinv.operators.geometry import refuse_degrees
from varinv.scan import angles as angle_files
from varinv.scan import arrays, npy, tiff
from varinv.scan.axis import near
from varinv.scan.errors import ScanError, afford, head
from varinv.scan.frames import AnyArray, Frames, Raw
from varinv.scan.kinds import COUNTS
from varinv.scan.scan import Scan

HDF5 = b"\x89HDF\r\n\x1a\n"
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
KNOWN = "Data Exchange or NeXus HDF5, MATLAB v5 or v7.3, .npy, .npz, a TIFF file or a folder of TIFF frames"
EXPECTED = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs", ".nx"), "an HDF5 file"),
    **dict.fromkeys((".tif", ".tiff"), "a TIFF file"),
    ".mat": "a MATLAB v5 or v7.3 file",
    ".npy": "an .npy file",
    ".npz": "an .npz archive",
}


def read(
    path: str | os.PathLike[str],
    *,
    angles: Any = None,
    flats: Any = None,
    darks: Any = None,
    axis: float | AnyArray | None = None,
    pixel_size: float | None = None,
) -> Scan:
    """Open a scan: a file, or a folder of TIFF frames.

    Frames stay on disk until their rows are asked for.

    Parameters
    ----------
    path : Data Exchange HDF5, NXtomo and similar NeXus, MATLAB v5 and v7.3 (Helsinki 2022 layout; or a sinogram and
        its angles), .npy and .npz, TIFF.  The content decides, not the name.
    angles : array of shape (views,) in radians, or a text or .npy file (a heading or comment with "deg" or "rad" states
        its unit, else a span above 4π is degrees; `scan.report` says what was taken).
    flats, darks : arrays of shape (n, rows, columns) or (rows, columns), or .npy or TIFF files or folders.
    axis : column (fractional, from 0) onto which the rotation axis projects; an array: of each view of the file.
    pixel_size : column pitch on the detector itself, in the unit wanted for lengths.

    What is given here overrides what the file says.

    Raises
    ------
    ScanError
        A file that is missing, damaged, of another kind, or contradicts itself; numbers of angles and views that
        differ.  The message names the file and the fault.
    TypeError, ValueError
        Arguments of the wrong kind.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"read: path must be a file or folder name, got {check.describe(path)}")
    path = Path(path)
    pixel_size = None if pixel_size is None else check.number("read", "pixel_size", pixel_size, low=0, strict=True)
    notes: list[str] = []
    raw = _read(path, _angles(angles, notes), notes)
    views, rows, columns = raw.frames.shape
    changes: dict[str, Any] = {}
    for name, given in (("flats", flats), ("darks", darks)):
        if given is not None:
            changes[name] = _reference(name, given, raw, notes)
    if flats is not None:
        changes["kind"] = COUNTS
    if axis is not None:
        changes["axis"] = near("read", axis, columns, views)
    if pixel_size is not None:
        changes |= {"spacing": pixel_size, "unit": raw.unit if raw.distances else "unit of pixel_size"}
    final = dataclasses.replace(raw, **changes, notes=tuple(dict.fromkeys(notes)))
    for name, frames in (("flats", final.flats), ("darks", final.darks)):
        if frames is not None and frames.shape[1:] != (rows, columns):
            raise ScanError(f"{path}: {name} have shape {frames.shape[1:]}, the frames ({rows}, {columns})")
    afford(path, "the list of views", 64 * views)
    return Scan(final, np.arange(views), (0, columns, 1))


def _read(path: Path, angles: Any, notes: list[str]) -> Raw:
    if not path.exists():
        raise ScanError(f"{path}: no such file or folder")
    if path.is_dir():
        return tiff.read_tiff(path, angles, notes)
    start = head(path)
    if start.startswith(b"version https://git-lfs"):
        raise ScanError(f"{path}: is a Git LFS pointer, not the data; run `git lfs pull` in that repository")
    if start.startswith(b"\x93NUMPY"):
        return arrays.read_npy(path, angles, notes)
    if start.startswith(b"PK\x03\x04"):
        return arrays.read_npz(path, angles, notes)
    if start[:4] in TIFF:
        return tiff.read_tiff(path, angles, notes)
    if start.startswith((b"MATLAB 5.0", b"MATLAB 7.0")):
        from varinv.scan import mat

        return mat.read_mat5(path, angles, notes)
    if start.startswith((HDF5, b"MATLAB 7.3")):
        return _read_hdf5(path, angles, notes)
    what = EXPECTED.get(path.suffix.lower(), f"a known scan format ({KNOWN})")
    begins = "is empty" if not start else f"it begins with {start[:24]!r}"
    raise ScanError(f"{path}: not {what}: {begins}")


def _read_hdf5(path: Path, angles: Any, notes: list[str]) -> Raw:
    try:
        return _open_hdf5(path, angles, notes)
    except ScanError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # what h5py raises on damaged files
        raise ScanError(f"{path}: damaged HDF5 file ({error})") from None


def _open_hdf5(path: Path, angles: Any, notes: list[str]) -> Raw:
    from varinv.scan import exchange, hdf5, mat, nexus

    with hdf5.open_file(path) as file:
        if path.suffix.lower() != ".mat" and hdf5.has(file, "exchange/data"):
            return exchange.read_exchange(file, path, angles, notes)
        matlab = path.suffix.lower() == ".mat" or any("MATLAB_class" in i.attrs for _, i in hdf5.walk(file))
        if not matlab and nexus.is_nexus(file):
            return nexus.read_nexus(file, path, angles, notes)
        if not matlab:
            listed = ", ".join(f"{w} {i.shape}" for w, i in hdf5.walk(file) if hasattr(i, "shape")) or "no dataset"
            raise ScanError(f"{path}: an HDF5 file without Data Exchange or NeXus layout; it holds {listed[:400]}")
    return mat.read_mat73(path, angles, notes)


def _angles(given: Any, notes: list[str]) -> Any:
    """The argument `angles` in radians, or None."""
    if given is None:
        return None
    if isinstance(given, (str, os.PathLike)):
        place = Path(given)
        if not place.is_file():
            raise ScanError(f"{place}: no such file of angles")
        return angle_files.load(place, notes)
    values = to_numpy(check.real_array("read", "angles", given)).astype(np.float64)
    if values.ndim != 1:
        raise ValueError(f"read: angles must be one-dimensional, got shape {values.shape}")
    refuse_degrees("read", values)
    span = float(values.max() - values.min())
    if span > 4 * np.pi:
        notes.append(f"angles span {span:.5g} radians, {span / (2 * np.pi):.3g} turns, as given")
    return values


def _reference(name: str, given: Any, raw: Raw, notes: list[str]) -> Frames:
    """Flats or darks from an argument: an array, or a file or folder."""
    if not isinstance(given, (str, os.PathLike)):
        given = check.taken("read", name, given)
        array: AnyArray | None = to_numpy(given) if is_array(given) else np.asarray(given)
        try:
            found = arrays.stack(name, array, raw.frames.shape)
        except ScanError as error:
            raise ValueError(f"read: {error}") from None
        assert found is not None
        return found
    place = Path(given)
    if not place.exists():
        raise ScanError(f"{place}: no such file or folder ({name})")
    notes.append(f"{name} from {place.name}")
    if place.is_dir():
        return tiff.open_stack(sorted((f for f in place.iterdir() if f.suffix.lower() in tiff.SUFFIXES),
                                      key=tiff.natural), place, notes)  # fmt: skip
    start = head(place)
    if start.startswith(b"\x93NUMPY"):
        found = arrays.stack(place, npy.load_npy(place), raw.frames.shape)
        assert found is not None
        return found
    if start[:4] in TIFF:
        return tiff.open_stack([place], place, notes)
    raise ScanError(f"{place}: {name} must be an .npy or TIFF file or a folder of TIFF frames")
