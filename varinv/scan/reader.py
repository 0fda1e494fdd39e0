"""`read`: which format is this, and who reads it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.scan import arrays, ended, folder, formats, given, hdf5_layouts, kinds, links, saved, sources, tables, tiff
from varinv.scan.arrays import Want
from varinv.scan.axis import near
from varinv.scan.errors import ScanError, afford, guarded, head, shown, warn
from varinv.scan.formats import ome_zarr
from varinv.scan.frames import AnyArray, Raw
from varinv.scan.scan import Scan

HDF5 = b"\x89HDF\r\n\x1a\n"
TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
KNOWN = (
    "Data Exchange or NeXus HDF5, any HDF5 or zarr with dataset=, MATLAB v5 or v7.3, .npy, .npz, a text table, a TIFF "
    "file or a folder of TIFF frames, MRC, Zeiss .txrm, Nikon .xtekct, SkyScan .log, FITS, EDF, HyperSpy, OME-Zarr"
)
EXPECTED = {
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".nxs", ".nx"), "an HDF5 file"),
    **dict.fromkeys((".tif", ".tiff"), "a TIFF file"),
    ".mat": "a MATLAB v5 or v7.3 file",
    ".npy": "an .npy file",
    ".npz": "an .npz archive",
}


def read(
    source: Any,
    /,
    *,
    kind: str | None = None,
    angles: Any = None,
    flats: Any = None,
    darks: Any = None,
    axis: float | AnyArray | None = None,
    pixel_size: float | None = None,
    distances: tuple[float, float] | None = None,
    dataset: str | None = None,
    angles_dataset: str | None = None,
    links: str = "folder",
) -> Scan:
    """Open a scan: a file, a folder of TIFF frames, an array, or an open HDF5, zarr, dask or xarray object.

    Frames stay on disk until their rows are asked for.  An image that varinv has written (`Result.save`) comes back
    as a `SavedResult` with `x`, `why`, `settings` and `history` instead.

    Parameters
    ----------
    source : Data Exchange HDF5, NXtomo and similar NeXus, any other HDF5 or zarr, MATLAB v5 and v7.3 (Helsinki 2022
        layout; or a sinogram and its angles), .npy and .npz, TIFF, text tables, formats of instruments (docs/scans.md);
        arrays (views, columns) or (views, rows, columns) of any library.  The content decides, not the name.
    kind : what the numbers are: "counts" (to be divided by flats), "transmission" (1 in air), "line integrals" (the
        logarithm was taken), "emission" (intensities that add up: fluorescence, HAADF, PET; no logarithm).  None:
        decided from evidence, which `report` states; a ScanWarning where it is not clear-cut.
    angles : array of shape (views,) in radians; or a text or .npy file (a heading or comment with "deg" or "rad" states
        its unit, else a span above 4π is degrees; `scan.report` says what was taken); or "start:stop:count" in
        degrees, stop excluded: "0:360:624".
    flats, darks : arrays of shape (n, rows, columns) or (rows, columns), .npy or TIFF files or folders, or a number:
        the level of every pixel (flats=1.0, darks=100).
    axis : column (fractional, from 0) onto which the rotation axis projects; an array: of each view of the file.
    pixel_size : column pitch on the detector itself, in the unit wanted for lengths.
    distances : (source to axis, axis to detector) in the unit of pixel_size: a fan beam.
    dataset, angles_dataset : names of the arrays inside a file, as "entry/data"; of data with more than three axes with
        the index of the others, as "entry/data[:, 0]".  None: found by itself where exactly one fits.
    links : "folder": external and virtual HDF5 data must lie in the folder of the scan; "any": anywhere.

    What is given here overrides what the file says.

    Raises
    ------
    ScanError
        A file that is missing, damaged, of another kind, or contradicts itself; numbers of angles and views that
        differ; numbers that may be anything.  The message names the file and the fault.
    TypeError, ValueError
        Arguments of the wrong kind.
    """
    if kind is not None and kind not in kinds.KINDS:
        raise ValueError(f"read: kind must be one of {', '.join(map(repr, kinds.KINDS))}, got {kind!r}")
    if kind not in (None, kinds.COUNTS) and not (flats is None and darks is None):
        raise ValueError(f"read: flats and darks belong to kind='counts', not to {kind!r}")
    pixel_size = None if pixel_size is None else check.number("read", "pixel_size", pixel_size, low=0, strict=True)
    stated = given.distances_of(distances)
    notes: list[str] = []
    raw = _open(source, (dataset, angles_dataset), angles, links, notes)
    if isinstance(raw, saved.SavedResult):
        return raw  # type: ignore[return-value]  # the one file that is no scan
    raw = ended.cut(raw, notes)
    changes: dict[str, Any] = {}
    for name, value in (("flats", flats), ("darks", darks)):
        if value is not None:
            changes |= {name: given.reference(name, value, raw, notes), f"{name}_at": None}
    if axis is not None:
        changes["axis"] = near("read", axis, raw.frames.shape[2], raw.frames.shape[0])
    if pixel_size is not None:
        changes |= {"spacing": pixel_size, "unit": raw.unit if raw.distances else "unit of pixel_size"}
    if stated is not None:
        changes["distances"] = stated
    final = dataclasses.replace(raw, **changes)
    if stated is not None:
        given.implausible(final, pixel_size is not None or final.unit != "pixel", notes)
    return _finish(final, kind, notes)


def _open(source: Any, want: Want, angles: Any, anywhere: str, notes: list[str]) -> Raw | saved.SavedResult:
    if anywhere not in links.WHERE:
        raise ValueError(f"read: links must be 'folder' or 'any', got {anywhere!r}")
    for name, value in zip(("dataset", "angles_dataset"), want, strict=True):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"read: {name} must be the name of an array in the file, got {check.describe(value)}")
    turned = given.angles_of(angles, notes)
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        with links.within(path, anywhere), guarded(path):
            return _read(path, want, turned, notes)
    path = Path(getattr(getattr(source, "file", None), "filename", "") or type(source).__name__)
    with links.within(path, anywhere):
        return sources.read_open(source, want, turned, notes)


def _finish(raw: Raw, kind: str | None, notes: list[str]) -> Scan:
    """The scan, once what its numbers are is settled and its parts fit each other."""
    views, rows, columns = raw.frames.shape
    afford(raw.path, "the list of views", 64 * views)
    for name, frames in (("flats", raw.flats), ("darks", raw.darks)):
        if frames is not None and frames.shape[1:] != (rows, columns):
            raise ScanError(f"{raw.path}: {name} have shape {frames.shape[1:]}, the frames ({rows}, {columns})")
    counts = kind == kinds.COUNTS or (kind is None and raw.said in ("", kinds.COUNTS))
    beside = (raw.flats, raw.darks) if counts else (None, None)
    try:
        with guarded(raw.path):
            evidence = kinds.look(raw.frames, *beside)
            decision = kinds.settle(kind, raw, evidence, beside[0] is not None)
    except ScanError as error:
        if str(error).startswith(str(raw.path)):
            raise
        raise ScanError(f"{raw.path}: {error}") from None
    text = kinds.advice(decision)
    if decision.others:
        warn(raw.path, text, notes)
    else:
        notes.append(text)
    changes: dict[str, Any] = {"kind": decision.kind}
    if decision.kind != kinds.COUNTS and not (raw.flats is None and raw.darks is None):
        notes.append(f"flats and darks of the file are not used: the numbers are {decision.kind}")
        changes |= {"flats": None, "darks": None, "flats_at": None, "darks_at": None}
    final = dataclasses.replace(raw, **changes, notes=tuple(dict.fromkeys(notes)))
    return Scan(final, np.arange(views), (0, columns, 1))


def _read(path: Path, want: Want, angles: Any, notes: list[str]) -> Raw | saved.SavedResult:
    if not path.exists():
        raise ScanError(f"{shown(path)}: no such file or folder")
    links.regular(path)
    if path.is_dir():
        if sources.is_zarr(path):
            ours = saved.open_zarr(path) if want == (None, None) else None
            if ours is not None:
                return ours
            level = ome_zarr.level(path) if want[0] is None else None
            raw = sources.read_zarr(path, want if level is None else (level.name, want[1]), angles, notes)
            return raw if level is None else level.scaled(raw)
        _without_names(want, path)
        return folder.read_folder(path, angles, notes)
    start = head(path)
    if start.startswith(b"version https://git-lfs"):
        raise ScanError(f"{path}: is a Git LFS pointer, not the data; run `git lfs pull` in that repository")
    if start.startswith(b"PK\x03\x04"):
        return arrays.read_npz(path, want, angles, notes)
    if start.startswith((b"MATLAB 5.0", b"MATLAB 7.0")):
        from varinv.scan import mat

        return mat.read_mat5(path, want, angles, notes)
    if start.startswith((HDF5, b"MATLAB 7.3")):
        return hdf5_layouts.read_hdf5(path, want, angles, notes)
    _without_names(want, path)
    if start.startswith(b"\x93NUMPY"):
        return arrays.read_npy(path, angles, notes)
    other = formats.reader_of(path, start)
    if other is not None:
        return other(path, angles, notes)
    if start[:4] in TIFF:
        return saved.open_tiff(path) or tiff.read_tiff(path, angles, notes)
    if start and path.suffix.lower() not in EXPECTED and tables.is_table(path, start):
        return tables.read_table(path, angles, notes)
    what = EXPECTED.get(path.suffix.lower(), f"a known scan format ({KNOWN})")
    begins = "is empty" if not start else f"it begins with {start[:24]!r}"
    raise ScanError(f"{path}: not {what}: {begins}")


def _without_names(want: Want, path: Path) -> None:
    if want != (None, None):
        raise ScanError(f"{path}: dataset and angles_dataset name arrays inside a file; this one holds only one")
