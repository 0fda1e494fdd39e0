"""Images and volumes in HDF5, TIFF and OME-Zarr, with pixel size, units, geometry, settings and checks."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from varinv.backend import Array, to_numpy
from varinv.files import Patient, replaced, told

SUFFIXES = (".h5", ".hdf5", ".tif", ".tiff", ".zarr")
IN_MEMORY = 256 << 20  # bytes: HDF5 files of smaller images are built in memory and then written
LEVEL = 256  # pixels: OME-Zarr gets coarser levels until the longest side is no longer than this
NAMES = "zyx"
MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "um": 1.0, "µm": 1.0, "micron": 1.0, "nm": 1e-3}
OME = {"m": "meter", "cm": "centimeter", "mm": "millimeter", "um": "micrometer", "µm": "micrometer", "nm": "nanometer"}
IMAGEJ = {"um": "micron", "µm": "micron"}
History = tuple[dict[str, Any], ...]


def save_image(path: str | os.PathLike[str], x: Array, metadata: dict[str, Any], history: History = ()) -> Path:
    """Write an image or volume with its metadata, whole or not at all, by the suffix of the name.

    .h5, .hdf5: HDF5; .tif, .tiff: TIFF as ImageJ reads it; .zarr (also .ome.zarr): OME-Zarr 0.4, a folder.

    Parameters
    ----------
    metadata : numbers, text, arrays, lists of text, and dictionaries of these.  ``pixel_size`` (a number, or one an
        axis) and ``unit`` become what the format has for them; they are also found inside ``geometry``.
    history : rows of figures.

    Raises
    ------
    ValueError
        Another suffix.
    OSError
        What the disk says, with the name of the file; what was there is intact, and nothing else is left.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"save: the file name must end in {', '.join(SUFFIXES)}, got {path.name!r}")
    values = to_numpy(x)
    if kind == ".zarr":
        _replace_folder(path, lambda part: _write_zarr(part, values, metadata, history))
        return path
    with replaced(path) as part:
        (_write_hdf5 if kind in (".h5", ".hdf5") else _write_tiff)(part, values, metadata, history)
    return path


def scale_of(metadata: dict[str, Any], axes: int) -> tuple[list[float], str]:
    """Distance of pixels along each of the axes, and its unit; ones of "pixel" where the metadata say nothing."""
    inside = metadata.get("geometry")
    inside = inside if isinstance(inside, dict) else {}
    size, unit = (metadata.get(name, inside.get(name)) for name in ("pixel_size", "unit"))
    if size is None:
        return [1.0] * axes, "pixel"
    values = [float(v) for v in (size if isinstance(size, (tuple, list)) or bool(getattr(size, "ndim", 0)) else [size])]
    values = [values[0]] * (axes - len(values)) + values
    good = all(math.isfinite(v) and v > 0 for v in values)
    return (values[len(values) - axes :], str(unit or "pixel")) if good else ([1.0] * axes, "pixel")


# --------------------------------------------------------------------------------------------------------------- HDF5


def _write_hdf5(path: Path, x: Any, metadata: dict[str, Any], history: History) -> None:
    """In memory where small; else through a file that keeps errors from HDF5, whose library dies of them."""
    import h5py

    if x.nbytes < IN_MEMORY:
        with h5py.File(path, "w", driver="core", backing_store=False, block_size=1 << 20) as file:
            _fill_hdf5(file, x, metadata, history)
            file.flush()
            content = file.id.get_file_image()
        path.write_bytes(content)
        return
    with Patient(path) as disk, h5py.File(disk, "w") as file:
        _fill_hdf5(file, x, metadata, history)
    disk.check()


def _fill_hdf5(file: Any, x: Any, metadata: dict[str, Any], history: History) -> None:
    image = file.create_dataset("image", data=x)
    if x.ndim in (2, 3):
        sizes, unit = scale_of(metadata, x.ndim)
        image.attrs["pixel_size"], image.attrs["unit"] = sizes, unit
        image.attrs["axes"] = list(NAMES[3 - x.ndim :])
        for dimension, name in zip(image.dims, NAMES[3 - x.ndim :], strict=True):
            dimension.label = name
        if unit in MICROMETRES:  # read by ImageJ, ilastik and napari
            sizes = [1.0] * (3 - x.ndim) + sizes
            image.attrs["element_size_um"] = [size * MICROMETRES[unit] for size in sizes]
    _entries(file, metadata)
    for key, values in _columns(history).items():
        file.create_dataset(f"history/{key}", data=values)


def _entries(place: Any, entries: dict[str, Any]) -> None:
    """Numbers and text as attributes, lists of text and arrays as datasets, dictionaries as groups."""
    for name, value in entries.items():
        if isinstance(value, (str, int, float)):
            place.attrs[name] = value.replace("\0", "") if isinstance(value, str) else value
        elif isinstance(value, dict):
            _entries(place.require_group(name), value)
        elif isinstance(value, (list, tuple)) and (not value or all(isinstance(v, str) for v in value)):
            if value or name == "checks":  # no doubts is something to know as well
                import h5py

                words = [v.replace("\0", "") for v in value]
                place.create_dataset(name, shape=(len(words),), data=words or None, dtype=h5py.string_dtype())
        elif value is not None:
            place.create_dataset(name, data=to_numpy(value))


def _columns(history: History) -> dict[str, list[float]]:
    found = {}
    for key in sorted({key for row in history for key in row}):
        values = [row.get(key, float("nan")) for row in history]
        if all(isinstance(v, (int, float)) for v in values):
            found[key] = values
    return found


# --------------------------------------------------------------------------------------------------------------- TIFF


def _write_tiff(path: Path, x: Any, metadata: dict[str, Any], history: History) -> None:
    """Resolution, unit and distance of slices as ImageJ reads them; everything else as JSON in ImageJ's "Info"."""
    import tifffile

    words = json.dumps(plain({**metadata, "history": _columns(history)}))
    info = tifffile.imagej_metadata_tag({"Info": words}, "<")
    options: dict[str, Any] = {}
    description = words
    x = x.reshape(1, -1) if x.ndim < 2 else x  # the format knows no line
    if x.ndim in (2, 3):
        sizes, unit = scale_of(metadata, x.ndim)
        known: dict[str, Any] = {"unit": IMAGEJ.get(unit, unit)} | (
            {"spacing": f"{sizes[0]:.9g}"} if x.ndim == 3 else {}
        )
        description = _ascii(tifffile.imagej_description(x.shape, "ZYX"[3 - x.ndim :], **known))
        density = (1 / sizes[-1], 1 / sizes[-2])
        if all(1e-6 < d < 4e9 for d in density):  # what the format's fractions hold
            options = {"resolution": density, "resolutionunit": "NONE"}
    pages: Any = x
    if x.ndim == 3:  # page by page, so that no second volume is held
        pages, options = (page for page in x), options | {"shape": x.shape, "dtype": x.dtype}
    with Patient(path) as disk:
        grey: dict[str, Any] = {"photometric": "minisblack", "metadata": None}  # grey, also 3 slices
        big = x.nbytes > 2**32 - 2**25
        options |= {"description": description, "extratags": info, "bigtiff": big, "byteorder": "<"}
        file: Any = disk
        tifffile.imwrite(file, pages, **grey, **options)
    disk.check()


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def plain(value: Any) -> Any:
    """What JSON can hold: arrays as lists, NaN and infinity as null, anything unknown as its text."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if hasattr(value, "shape"):
        return plain(to_numpy(value).tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


# ----------------------------------------------------------------------------------------------------------- OME-Zarr


def _write_zarr(path: Path, x: Any, metadata: dict[str, Any], history: History) -> None:
    """OME-NGFF 0.4 on Zarr 2: levels of half the size each, their scales and places, what we know under "varinv"."""
    try:
        import zarr
    except ImportError:
        raise ImportError(
            "save: .zarr needs the package zarr: pip install 'varinv[zarr]' (or pip install zarr)"
        ) from None

    if x.ndim not in (2, 3):
        raise ValueError(f"save: OME-Zarr holds images of two or three axes, got shape {x.shape}")
    sizes, unit = scale_of(metadata, x.ndim)
    root: Any = zarr.open_group(str(path), mode="w", zarr_format=2)
    levels = []
    for level, (values, factors) in enumerate(_pyramid(x)):
        chunks = tuple(min(n, 512 if k >= x.ndim - 2 else 1) for k, n in enumerate(values.shape))
        name, key = str(level), cast(Any, {"name": "v2", "separator": "/"})
        made = root.create_array(
            name, shape=values.shape, dtype=values.dtype, chunks=chunks, chunk_key_encoding=key, overwrite=True
        )
        made[...] = values
        scales = [size * factor for size, factor in zip(sizes, factors, strict=True)]
        shift = [size * (factor - 1) / 2 for size, factor in zip(sizes, factors, strict=True)]
        moves = [{"type": "scale", "scale": scales}, {"type": "translation", "translation": shift}]
        levels.append({"path": name, "coordinateTransformations": moves})
    axes = [{"name": n, "type": "space", **({"unit": OME[unit]} if unit in OME else {})} for n in NAMES[3 - x.ndim :]]
    root.attrs["multiscales"] = [{"version": "0.4", "name": "image", "axes": axes, "datasets": levels, "type": "mean"}]
    root.attrs["varinv"] = plain({**metadata, "history": _columns(history)})


def _pyramid(x: Any) -> Iterator[tuple[Any, list[int]]]:
    """The image, then means of 2 × 2 (× 2) pixels until the longest side fits LEVEL; and the pixels each one joins."""
    factors = [1] * x.ndim
    yield x, list(factors)
    while max(x.shape) > LEVEL:
        for axis, n in enumerate(x.shape):
            if n < 2 or 2 * n <= max(x.shape):  # short axes keep their pixels
                continue
            even = x.take(range(n // 2 * 2), axis)
            shape = (*even.shape[:axis], n // 2, 2, *even.shape[axis + 1 :])
            x = even.reshape(shape).mean(axis + 1, dtype=x.dtype)
            factors[axis] *= 2
        yield x, list(factors)


def _replace_folder(path: Path, write: Callable[[Path], None]) -> None:
    """A folder written beside its place; the old one steps aside only when the new one is whole."""
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    if not place.parent.is_dir():
        raise FileNotFoundError(f"save: the folder {place.parent} does not exist; create it first")
    if place.exists() and not any((place / name).is_file() for name in (".zgroup", ".zarray", "zarr.json")):
        raise FileExistsError(f"{path} cannot be written: what is there is no Zarr store; name another one")
    part, old = (place.with_name(f".{place.stem}-{secrets.token_hex(4)}{end}") for end in (".zarr", ".old"))
    try:
        with told(path):
            part.mkdir()
            write(part)
            try:
                if place.exists():
                    place.rename(old)
                part.rename(place)
            except BaseException:
                if old.exists() and not place.exists():
                    old.rename(place)
                raise
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        _removed(part)
        raise


def _removed(folder: Path) -> None:
    """Delete a folder into which threads of Zarr may still write for a moment after one of them has failed."""
    absent = 0
    for _ in range(200):
        shutil.rmtree(folder, ignore_errors=True)
        absent = 0 if folder.exists() else absent + 1
        if absent >= 10:
            return
        time.sleep(0.01)
