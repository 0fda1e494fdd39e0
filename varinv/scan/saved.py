"""Images that varinv has written, with what was written beside them: opened again by `read`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import AnyArray

MARK = "varinv_version"


@dataclass(frozen=True, eq=False)
class SavedResult:
    """A reconstruction from a file: the image `x`, why the solver stopped, and the settings beside it.

    `settings` holds what `Result.save` and `varinv reconstruct` wrote: numbers, text, arrays, dictionaries of those;
    `history` one array a column, as `Result.history` has it row by row.
    """

    path: Path
    x: AnyArray
    why: str
    settings: dict[str, Any] = field(default_factory=dict)
    history: dict[str, AnyArray] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.x.shape))
        return f"SavedResult({self.path.name!r}, {shape} {self.x.dtype}, {self.why!r})"


def open_hdf5(file: Any, path: Path) -> SavedResult | None:
    """What `Result.save` wrote, or None where this file is another."""
    import h5py

    from varinv.scan import attributes, hdf5

    if MARK not in file.attrs or not hdf5.has(file, "image"):
        return None
    settings: dict[str, Any] = {k: _plain(attributes.value(file, k)) for k in file.attrs}
    history: dict[str, AnyArray] = {}
    for name, item in hdf5.walk(file):
        parts = name.strip("/").split("/")
        if parts == ["image"]:
            continue
        inside = settings
        for part in parts[:-1]:
            inside = inside.setdefault(part, {}) if isinstance(inside, dict) else {}
        if isinstance(item, h5py.Group):
            there = inside.setdefault(parts[-1], {})
            there.update({k: _plain(attributes.value(item, k)) for k in item.attrs})
        elif isinstance(item, h5py.Dataset) and item.dtype.kind in "buif" and item.shape is not None:
            hdf5.checked(item, name, path)
            afford(path, name, item.size * item.dtype.itemsize)
            inside[parts[-1]] = np.asarray(item[()])
        elif isinstance(item, h5py.Dataset):
            inside[parts[-1]] = hdf5.text(item)
    history = settings.pop("history", {})
    image = hdf5.dataset(file, "image", path)
    afford(path, "the image", image.size * image.dtype.itemsize)
    return SavedResult(path, np.asarray(image[()]), str(settings.pop("why", "")), settings, history)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def open_tiff(path: Path) -> SavedResult | None:
    """The same of a TIFF file, whose description holds the settings as JSON."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            words = str((tiff.imagej_metadata or {}).get("Info") or tiff.pages[0].description)  # type: ignore[union-attr]
            if MARK not in words or not words.lstrip().startswith("{"):
                return None
            settings = json.loads(words)
            afford(path, "the image", sum(int(np.prod(p.shape)) for p in tiff.pages) * 8)
            image = np.asarray(tiff.asarray())
    except ScanError:
        raise
    except Exception:  # damaged, or not ours: the reader of stacks says what is wrong
        return None
    return _saved(path, image, settings)


def open_zarr(path: Path) -> SavedResult | None:
    """The same of an OME-Zarr folder: its finest level, and the settings beside it."""
    from varinv.scan import sources
    from varinv.scan.formats import ome_zarr

    said = ome_zarr.attributes(path).get("varinv")
    level = ome_zarr.level(path)
    if level is None or not isinstance(said, dict) or MARK not in said:
        return None
    image = sources.open_zarr(path)[level.name]
    afford(path, "the image", int(np.prod(image.shape)) * image.dtype.itemsize)
    return _saved(path, np.asarray(image[...]), dict(said))


def _saved(path: Path, image: AnyArray, settings: dict[str, Any]) -> SavedResult:
    """From settings as JSON holds them, whose "history" and "why" have places of their own."""
    kept = settings.pop("history", {})
    history = {k: np.asarray(v, np.float64) for k, v in kept.items()} if isinstance(kept, dict) else {}
    return SavedResult(path, image, str(settings.pop("why", "")), settings, history)
