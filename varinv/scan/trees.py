"""Any layout of arrays in a file: which dataset holds the views, which the angles, and which axis is which.

HDF5, zarr and xarray are seen as one thing here: names with arrays behind them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import Raw
from varinv.scan.kinds import hinted, kind_of, stated
from varinv.scan.lazy import Fixed, LazyFrames, Order
from varinv.scan.npy import numeric

ANGLE = re.compile(r"(rotation_angle|theta|angle|tilt|(^|[_/])rot($|_))", re.IGNORECASE)
SMALLEST = 8  # a dataset is taken by itself only where two of its axes are at least so long
INDEX = re.compile(r"^(?P<name>[^\[\]]*)\[(?P<index>[\d\s:,]*)\]$")


class Entry(NamedTuple):
    """One array of a file: what it is indexed by, its unit, and the names of its axes where they have some."""

    source: Any
    unit: str | None = None
    axes: tuple[str, ...] = ()


class Tree(NamedTuple):
    """The arrays of a file: their shapes by name, and how one is opened (which checks it)."""

    shapes: Mapping[str, tuple[int, ...]]
    open: Callable[[str], Entry]


def read_tree(
    tree: Tree, path: Path, kind: str, dataset: str | None, where: str | None, angles: Angles | None, notes: list[str]
) -> Raw:
    """A scan whose views are `dataset` and whose angles are `where`; both found where exactly one fits."""
    if dataset is None:
        dataset, how = _only(tree, path), "the only array of that many axes"
        notes.append(f"frames {dataset} {tree.shapes[dataset]}: {how}")
    name, index = _indexed(dataset)
    entry = tree.open(name)
    shape = tuple(int(n) for n in entry.source.shape)
    numeric(path, name, np.dtype(entry.source.dtype))
    if 0 in shape:
        raise ScanError(f"{path}: {name} is empty, shape {shape}")
    fixed, left = _fixed(path, name, shape, index, entry.axes)
    if angles is None:
        where = _beside(tree, name, [shape[k] for k in left], notes) if where is None else where
        if where is not None:
            angles = _angles(tree.open(where), where, path, notes)
    order = _order(shape, left, entry.axes, where, None if angles is None else len(angles), path, notes)
    frames = LazyFrames(path, entry.source, order, fixed)
    if angles is not None:
        angles = match(angles, frames.shape[0], f"in {name} of shape {shape}", path, notes)
    said = stated(entry.unit)
    return Raw(
        path, kind, frames, angles, kind=said or kind_of(frames.dtype.kind in "bui"), said=said, hint=hinted(name)
    )


def _only(tree: Tree, path: Path) -> str:
    """The name of the one array that can be a scan: of three axes, else of two."""
    large = [n for n, s in tree.shapes.items() if sum(k >= SMALLEST for k in s) >= 2]
    for axes in (3, 2, 4):
        found = [n for n in large if len(tree.shapes[n]) == axes]
        if len(found) == 1 and axes < 4:
            return found[0]
        if found:
            break
    listed = ", ".join(f"{n} {tuple(s)}" for n, s in list(tree.shapes.items())[:12]) or "no array"
    raise ScanError(
        f"{path}: no known layout, and {len(found)} arrays may hold the views; "
        f"pass dataset= with the name of one; it holds {listed}"
    )


def _indexed(dataset: str) -> tuple[str, tuple[int | None, ...] | None]:
    """A name like "entry/data[:, 3]" as "entry/data" and (None, 3)."""
    found = INDEX.match(dataset)
    if found is None:
        return dataset, None
    parts = [p.strip() for p in found["index"].split(",")]
    if not all(p == ":" or p.isdigit() for p in parts):
        raise ValueError(f"read: dataset {dataset!r}: expected numbers and colons between the brackets, as [:, 3]")
    return found["name"], tuple(None if p == ":" else int(p) for p in parts)


def _fixed(
    path: Path, name: str, shape: tuple[int, ...], index: tuple[int | None, ...] | None, axes: tuple[str, ...]
) -> tuple[Fixed, list[int]]:
    """Axes of which one index is taken, and the two or three that are left."""
    fixed = {k: i for k, i in enumerate(index or ()) if i is not None}
    for k, i in fixed.items():
        if k >= len(shape) or i >= shape[k]:
            raise ScanError(f"{path}: {name} has shape {shape}; index {i} of axis {k} is outside")
    for k, n in enumerate(shape):
        if n == 1 and len(shape) - len(fixed) > 3:
            fixed.setdefault(k, 0)
    left = [k for k in range(len(shape)) if k not in fixed]
    if len(left) > 3:
        named = f" ({', '.join(axes)})" if axes else ""
        example = ", ".join([":"] * left[1] + ["0"])
        raise ScanError(
            f"{path}: {name} has {len(shape)} axes, shape {shape}{named}; a scan has views, rows and columns: say "
            f"which index the others have, as dataset='{name}[{example}]'"
        )
    if len(left) < 2:
        raise ScanError(f"{path}: {name} has shape {shape}; expected (views, columns) or (views, rows, columns)")
    return tuple(fixed.items()), left


def _beside(tree: Tree, name: str, lengths: list[int], notes: list[str]) -> str | None:
    """The one array named like an angle whose length is that of an axis, in the same folder before elsewhere."""
    found = [n for n, s in tree.shapes.items() if len(s) == 1 and s[0] in lengths and ANGLE.search(n) and s[0] > 1]
    folder = name.strip("/").rpartition("/")[0]
    near = [n for n in found if n.strip("/").rpartition("/")[0] == folder] or found
    if len(near) == 1:
        notes.append(f"angles {near[0]}")
        return near[0]
    if near:
        notes.append(f"angles: {', '.join(near)} may hold them: pass angles_dataset=")
    return None


def _angles(entry: Entry, where: str, path: Path, notes: list[str]) -> Angles:
    size = math.prod(entry.source.shape)
    numeric(path, where, np.dtype(entry.source.dtype))
    if size != max(entry.source.shape, default=1):
        raise ScanError(f"{path}: angles must be one-dimensional, {where} has shape {tuple(entry.source.shape)}")
    afford(path, where, 8 * size)
    return to_radians(np.asarray(entry.source[...], np.float64).ravel(), entry.unit, path, notes)


def _order(
    shape: tuple[int, ...], left: list[int], axes: tuple[str, ...], where: str | None, n: int | None, path: Path,
    notes: list[str],
) -> Order:  # fmt: skip
    """Which axis holds views, rows and columns: by the name of the angles, by their number, else the first is views."""
    named = [k for k in left if axes and (axes[k] == where or ANGLE.search(axes[k]))]
    views = named[0] if len(named) == 1 else left[0]
    fits = [k for k in left if shape[k] == n]
    if fits and views not in fits:
        views = fits[0]
    rest = [k for k in left if k != views]
    if views != left[0]:
        notes.append(f"shape {shape}: axis {views} holds the views" + (f", of {n} angles" if n else ""))
    return (views, rest[0], rest[1]) if len(rest) == 2 else (views, None, rest[0])


def hdf5_tree(group: Any, path: Path) -> Tree:
    """The arrays of an HDF5 file or group; links to other files are followed only where they are named."""
    from varinv.scan import hdf5
    from varinv.scan.lazy import Stored

    def opened(name: str) -> Entry:
        found = hdf5.dataset(group, name, path)
        stored = Stored(Path(found.file.filename), found.name, tuple(found.shape), found.dtype)
        return Entry(stored, hdf5.attribute(found, "units"))

    shapes = {
        name.lstrip("/"): tuple(item.shape)
        for name, item in hdf5.walk(group)
        if getattr(item, "shape", None) is not None and item.dtype.kind in "buif"
    }
    return Tree(shapes, opened)


def open_zarr(path: Path) -> Any:
    """The zarr array or group in this folder."""
    try:
        import zarr
    except ImportError:
        raise ScanError(f"{path}: a zarr folder; reading it needs zarr: pip install zarr") from None
    return zarr.open(path, mode="r")


def zarr_tree(group: Any, path: Path) -> Tree:
    """The arrays of a zarr group."""

    def opened(name: str) -> Entry:
        try:
            found = group[name]
        except KeyError:
            listed = ", ".join(shapes) or "no array"
            raise ScanError(f"{path}: no {name} in this zarr group; it holds {listed}") from None
        if not hasattr(found, "shape"):
            raise ScanError(f"{path}: {name} is a group, not an array")
        names = getattr(getattr(found, "metadata", None), "dimension_names", None) or ()
        unit = found.attrs.get("units")
        return Entry(found, unit if isinstance(unit, str) else None, tuple(str(n) for n in names))

    shapes = {name: tuple(a.shape) for name, a in group.members(max_depth=None) if hasattr(a, "shape")}
    return Tree(shapes, opened)


def xarray_tree(found: Any, path: Path) -> Tree:
    """The variables and coordinates of an xarray Dataset."""

    def opened(name: str) -> Entry:
        if name not in found.variables:
            raise ScanError(f"{path}: no variable {name!r} in this dataset; it holds {', '.join(map(str, shapes))}")
        array = found[name]
        unit = array.attrs.get("units")
        return Entry(array, unit if isinstance(unit, str) else None, tuple(str(d) for d in array.dims))

    shapes = {str(k): tuple(v.shape) for k, v in found.variables.items() if v.dtype.kind in "buif"}
    return Tree(shapes, opened)
