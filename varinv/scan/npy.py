"""One .npy stream: its header, checked; a memory map; what counts as numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray


def header(file: Any, path: object, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an .npy stream whose whole length is `size` bytes, all checked."""
    try:
        version = npy.read_magic(file)
        if version[0] not in (1, 2, 3):
            raise ValueError(f"version {version}")
        read = npy.read_array_header_1_0 if version[0] == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:  # the parser of the header raises many kinds
        raise ScanError(f"{path}: damaged .npy header ({error})") from None
    if dtype.hasobject:
        raise ScanError(f"{path}: holds pickled Python objects, which are never loaded; save a numeric array")
    numeric(path, "the array", dtype)
    need = math.prod(shape) * dtype.itemsize
    if need > size - file.tell():
        raise ScanError(
            f"{path}: the header promises shape {shape} of {dtype}, {need} bytes, but {size - file.tell()} follow"
        )
    return shape, fortran, dtype


def numeric(path: object, what: str, dtype: np.dtype[Any]) -> None:
    """A ScanError where the numbers are not real."""
    if dtype.kind not in "buif":
        raise ScanError(f"{path}: {what} must hold real numbers, it holds {dtype}")


def load_npy(path: Path) -> AnyArray:
    """A read-only memory map of an .npy file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        shape, fortran, dtype = header(file, path, size)
        offset = file.tell()
    if 0 in shape:
        raise ScanError(f"{path}: the array is empty, shape {shape}")
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
