"""Files that appear whole or not at all: images and volumes with their metadata, HDF5 or TIFF."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from varinv.backend import Array, to_numpy


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, moved there in one go at the end; after an error nothing is left of it."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"save: the folder {path.parent} does not exist; create it first")
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o666 & ~umask)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def save_image(
    path: str | os.PathLike[str], x: Array, metadata: dict[str, Any], history: tuple[dict[str, Any], ...] = ()
) -> Path:
    """Write an image or volume with its metadata, atomically; HDF5 (.h5, .hdf5) or TIFF (.tif, .tiff)."""
    path = Path(path)
    writers = {".h5": _write_hdf5, ".hdf5": _write_hdf5, ".tif": _write_tiff, ".tiff": _write_tiff}
    if path.suffix.lower() not in writers:
        raise ValueError(f"save: the file name must end in .h5, .hdf5, .tif or .tiff, got {path.name!r}")
    with replaced(path) as part:
        writers[path.suffix.lower()](part, to_numpy(x), metadata, history)
    return path


def _write_hdf5(path: Path, x: Any, metadata: dict[str, Any], history: tuple[dict[str, Any], ...]) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("image", data=x)
        for name, value in metadata.items():
            if isinstance(value, (str, int, float)):
                file.attrs[name] = value
            elif isinstance(value, dict):
                group = file.require_group(name)
                for key, entry in value.items():
                    if isinstance(entry, (str, int, float)):
                        group.attrs[key] = entry
                    elif entry is not None:
                        group.create_dataset(key, data=to_numpy(entry))
            elif value is not None:
                file.create_dataset(name, data=to_numpy(value))
        columns = sorted({key for row in history for key in row})
        for key in columns:
            values = [row.get(key, float("nan")) for row in history]
            if all(isinstance(v, (int, float)) for v in values):
                file.create_dataset(f"history/{key}", data=values)


def _write_tiff(path: Path, x: Any, metadata: dict[str, Any], history: tuple[dict[str, Any], ...]) -> None:
    import tifffile

    words = json.dumps(metadata, default=lambda a: to_numpy(a).tolist() if hasattr(a, "shape") else str(a))
    tifffile.imwrite(path, x, description=words, metadata=None, photometric="minisblack")  # grey, also 3 slices
