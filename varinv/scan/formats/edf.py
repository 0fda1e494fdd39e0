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

SUFFIXES = (".edf", ".edf.gz")


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
        last = file.getframe(count - 1) if count > 1 else file
        header = {k.lower(): v for k, v in last.header.items()}
    if len(shape) != 2 or 0 in shape:
        raise ScanError(f"{path}: frames must have two axes, they have shape {shape}")
    numeric(path, "the frames", dtype)
    afford(path, "one frame", shape[0] * shape[1] * dtype.itemsize)
    each = shape[0] * shape[1] * dtype.itemsize
    if "compression" not in header and path.suffix != ".gz" and path.stat().st_size < count * each:
        # the library fills what is missing with zeros
        raise ScanError(f"{path}: truncated: {path.stat().st_size} bytes for {count} frames of {each}")
    return [(path, k) for k in range(count)], (int(shape[0]), int(shape[1])), dtype.newbyteorder("=")


def load(path: Path, places: list[int]) -> Iterator[AnyArray]:
    """These frames of the file."""
    from fabio.edfimage import EdfImage

    with guarded(path, "EDF file"), EdfImage().read(str(path)) as file:
        for k in places:
            yield np.asarray((file.getframe(k) if file.nframes > 1 else file).data)
