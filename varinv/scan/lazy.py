"""Frames in anything that is indexed like an array and reads only what is asked for: zarr, dask, xarray, HDF5."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray, runs

Order = tuple[int, int | None, int]
Fixed = tuple[tuple[int, int], ...]  # (axis, index): of data of more than three axes


@dataclass(frozen=True, eq=False)
class Stored:
    """An HDF5 dataset that is opened for each read, so that it can be sent to other processes."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> Any:
        import h5py

        with h5py.File(self.path, "r") as file:
            return file[self.name][key]


@dataclass(frozen=True, eq=False)
class LazyFrames:
    """Views, rows and columns of an array; `order` says which axis holds which, `fixed` which index the others have."""

    path: Path
    source: Any
    order: Order
    fixed: Fixed = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        size, (views, rows, columns) = tuple(self.source.shape), self.order
        return size[views], 1 if rows is None else size[rows], size[columns]

    @property
    def dtype(self) -> np.dtype[Any]:
        kind: np.dtype[Any] = np.dtype(self.source.dtype)
        return kind

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        count = len(range(*rows.indices(self.shape[1])))
        out = np.empty((len(views), count, self.shape[2]), self.dtype.newbyteorder("="))
        for place, part in runs(views):
            out[place] = self._block(part, rows)
        return out

    def _block(self, views: slice, rows: slice) -> AnyArray:
        v, r, c = self.order
        key: list[Any] = [slice(None)] * len(self.source.shape)
        for axis, index in self.fixed:
            key[axis] = index
        key[v] = views
        if r is not None:
            key[r] = rows
        try:
            found = np.asarray(self.source[tuple(key)])
        except MemoryError:
            raise
        except Exception as error:  # decoders and stores raise many kinds
            raise ScanError(f"{self.path}: the frames cannot be read: {error}") from None
        left = [k for k in range(len(key)) if k not in dict(self.fixed)]  # an index takes its axis away
        if r is None:
            return np.asarray(np.moveaxis(found, (left.index(v), left.index(c)), (0, 1))[:, None, :])[:, rows]
        return np.asarray(np.moveaxis(found, [left.index(k) for k in (v, r, c)], (0, 1, 2)))
