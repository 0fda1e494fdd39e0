"""FITS files (neutron imaging, astronomy cameras), read with astropy: a cube, or a folder of frames."""

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

Where = tuple[int, int | None]  # image in the file, plane of a cube


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """The first image of the file; of three axes the slowest is the views."""
    places, size, dtype = look(path)
    frames = Loaded(tuple(places), size, dtype, load)
    if angles is not None:
        angles = match(angles, len(places), "in this file", path, notes)
    return Raw(path, "FITS", frames, angles, kind=kind_of(dtype.kind in "bui"))


def look(path: Path) -> tuple[list[tuple[Path, Where]], tuple[int, int], np.dtype[Any]]:
    """Where the frames of a file are, their size and type."""
    astropy = library("astropy.io.fits", path, "FITS files")
    with guarded(path, "FITS file"), path.open("rb") as raw, astropy.open(raw, memmap=False) as file:
        for k, unit in enumerate(file):
            shape = tuple(getattr(unit, "shape", ()) or ())
            if getattr(unit, "is_image", False) and len(shape) in (2, 3) and 0 not in shape:
                afford(path, "one frame", 8 * shape[-1] * shape[-2])
                corner = np.asarray(unit.section[(slice(1),) * len(shape)])
                np.asarray(unit.section[tuple(slice(n - 1, n) for n in shape)])  # raises where the file is cut
                numeric(path, "the image", corner.dtype)
                planes: list[int | None] = list(range(shape[0])) if len(shape) == 3 else [None]
                return [(path, (k, p)) for p in planes], shape[-2:], corner.dtype.newbyteorder("=")
    raise ScanError(f"{path}: no image of two or three axes in this FITS file")


def load(path: Path, places: list[Where]) -> Iterator[AnyArray]:
    """These planes of the file."""
    from astropy.io import fits

    with guarded(path, "FITS file"), path.open("rb") as raw, fits.open(raw, memmap=False) as file:
        for k, plane in places:
            yield np.asarray(file[k].section[:] if plane is None else file[k].section[plane])
