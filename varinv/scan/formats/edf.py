"""ESRF data format (.edf), read with fabio: a file of frames, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, match
from varinv.scan.errors import ScanError, afford
from varinv.scan.formats.common import guarded, library
from varinv.scan.frames import AnyArray, Loaded, Raw
from varinv.scan.kinds import kind_of
from varinv.scan.npy import numeric


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """All frames of the file."""
    places, size, dtype = look(path)
    if angles is not None:
        angles = match(angles, len(places), "in this file", path, notes)
    return Raw(path, "EDF", Loaded(tuple(places), size, dtype, load), angles, kind=kind_of(dtype.kind in "bui"))


def look(path: Path) -> tuple[list[tuple[Path, int]], tuple[int, int], np.dtype[Any]]:
    """Where the frames of a file are, their size and type."""
    edf = library("fabio.edfimage", path, "EDF files")
    with guarded(path, "EDF file"), edf.EdfImage().read(str(path)) as file:
        shape, dtype, count = tuple(file.shape), np.dtype(file.dtype), int(file.nframes)
        whole = _whole(path, file.get_frame(count - 1))
    if len(shape) != 2 or 0 in shape:
        raise ScanError(f"{path}: frames must have two axes, they have shape {shape}")
    numeric(path, "the frames", dtype)
    afford(path, "one frame", shape[0] * shape[1] * dtype.itemsize)
    if not whole:
        raise ScanError(
            f"{path}: truncated: {path.stat().st_size} bytes do not hold whole frames, of which {count} begin"
        )
    return [(path, k) for k in range(count)], (int(shape[0]), int(shape[1])), dtype.newbyteorder("=")


def _whole(path: Path, last: Any) -> bool:
    """Does the file end where its last frame ends?  The library fills what is missing with zeros."""
    end = int(last.start or 0) + int(last.blobsize or last.size or 0)
    with path.open("rb") as file:
        file.seek(end)
        behind = file.read(1 << 16)
    return end <= path.stat().st_size and not behind.lstrip().startswith(b"{")


def load(path: Path, places: list[int]) -> Iterator[AnyArray]:
    """These frames of the file."""
    from fabio.edfimage import EdfImage

    with guarded(path, "EDF file"), EdfImage().read(str(path)) as file:
        for k in places:
            yield np.asarray((file.getframe(k) if file.nframes > 1 else file).data)
