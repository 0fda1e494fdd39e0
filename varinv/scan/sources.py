"""What is open already: arrays of any library, HDF5 and zarr objects, xarray, seen as a scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from varinv import check
from varinv.arrays import kind_of
from varinv.backend import is_array, to_numpy
from varinv.scan import arrays, trees
from varinv.scan.angles import Angles
from varinv.scan.arrays import Want
from varinv.scan.errors import ScanError, guarded
from varinv.scan.frames import Raw
from varinv.scan.trees import Entry, Tree


def read_open(source: Any, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    """An object in memory, or open on disk; a TypeError where it is nothing that holds arrays."""
    root = type(source).__module__.partition(".")[0]
    for library, reader in (("h5py", _hdf5), ("zarr", _zarr), ("xarray", _xarray)):
        if root == library:
            with guarded(f"{library} {type(source).__name__}"):
                return reader(source, want, angles, notes)
    if (not is_array(source) and not hasattr(source, "__array__")) or isinstance(source, np.generic):
        raise TypeError(
            "read: source must be a file or folder name, an array, or an open HDF5, zarr or xarray object, "
            f"got {check.describe(source)}"
        )
    if want != (None, None):
        raise ValueError("read: dataset and angles_dataset name arrays inside a file; the source is an array itself")
    name = Path(f"{root} array")
    if root == "dask":
        return trees.read_tree(_one("array", Entry(source)), name, "dask array", "array", None, angles, notes)
    return arrays.build(name, f"{root} array", _in_memory(source), angles, notes)


def _in_memory(source: Any) -> Any:
    """NumPy's array of it; of a masked one the mask becomes NaN, which is a missing measurement."""
    kind = kind_of(source)
    if kind is not None and kind.library == "numpy.ma":
        mask = np.ma.getmaskarray(source)
        plain = np.asarray(source.data)
        return np.where(mask, np.nan, plain) if mask.any() else plain
    if hasattr(source, "detach"):  # a torch tensor: no gradient goes through a scan
        source = source.detach().cpu()
    return np.asarray(to_numpy(source))


def _one(name: str, *entries: Entry) -> Tree:
    return Tree({name: tuple(entries[0].source.shape)}, lambda _: entries[0])


def _hdf5(source: Any, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    import h5py

    from varinv.scan import hdf5

    path = Path(source.file.filename)
    if not path.is_file():
        raise ScanError(f"{path}: an HDF5 file in memory; pass the array itself, source[()]")
    if isinstance(source, h5py.Dataset):
        tree, name = trees.hdf5_tree(source.file, path), source.name.lstrip("/")
        hdf5.dataset(source.file, name, path)
        dataset = name + (want[0] or "")  # of four axes: dataset="[:, 0]"
        return trees.read_tree(tree, path, "HDF5", dataset, want[1], angles, notes)
    if source.name == "/":
        from varinv.scan.hdf5_layouts import read_hdf5

        return read_hdf5(path, want, angles, notes)  # type: ignore[return-value]  # a result of ours, as `read` says
    inside = source.name.strip("/")
    tree = trees.hdf5_tree(source, path)
    raw = trees.read_tree(tree, path, "HDF5", want[0], want[1], angles, notes)
    notes.append(f"names are those in the group {inside}")
    return raw


def _zarr(source: Any, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    path = Path(str(getattr(source, "store_path", "zarr")).removeprefix("file://"))
    if hasattr(source, "shape"):
        name = source.name.strip("/") if getattr(source, "name", "") else "array"
        unit = source.attrs.get("units")
        entry = Entry(source, unit if isinstance(unit, str) else None)
        return trees.read_tree(_one(name, entry), path, "zarr", name + (want[0] or ""), None, angles, notes)
    return trees.read_tree(trees.zarr_tree(source, path), path, "zarr", want[0], want[1], angles, notes)


def read_zarr(path: Path, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    """A folder that is a zarr array or group."""
    return _zarr(open_zarr(path), want, angles, notes)


def open_zarr(path: Path) -> Any:
    """The zarr array or group in this folder."""
    try:
        import zarr
    except ImportError:
        raise ScanError(f"{path}: a zarr folder; reading it needs zarr: pip install zarr") from None
    return zarr.open(path, mode="r")


def is_zarr(path: Path) -> bool:
    """Does this folder say that it is a zarr array or group?"""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _xarray(source: Any, want: Want, angles: Angles | None, notes: list[str]) -> Raw:
    name = Path("xarray")
    if not hasattr(source, "data_vars"):  # a DataArray, its coordinates beside it
        label = str(source.name or "array")
        found = source.to_dataset(name=label) if label not in source.coords else source.rename("array").to_dataset()
        label = label if label in found.data_vars else "array"
        want = (label + (want[0] or ""), want[1])
        source = found
    return trees.read_tree(trees.xarray_tree(source, name), name, "xarray", want[0], want[1], angles, notes)
