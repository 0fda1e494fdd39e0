"""Where the numbers are: frames of a scan, read on demand, always (views, rows, columns)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from varinv.scan.errors import ScanError

AnyArray = NDArray[Any]


class Frames(Protocol):
    """A stack of frames that reads only what is asked for."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, rows, columns)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored numbers."""

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        """The frames with these indices, these rows of them, all columns: (views, rows, columns)."""


@dataclass(frozen=True, eq=False)
class ArrayFrames:
    """Frames in an array of the host or a memory map, (views, rows, columns) in any memory order."""

    array: AnyArray

    @property
    def shape(self) -> tuple[int, int, int]:
        views, rows, columns = self.array.shape
        return views, rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        return np.asarray(self.array[:, rows][views])


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some frames of a longer stack: the projections, the flats or the darks among all images of a detector."""

    frames: Frames
    indices: AnyArray

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.indices), *self.frames.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.frames.dtype

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        return self.frames.read(self.indices[views], rows)


@dataclass(frozen=True, eq=False)
class HDF5Frames:
    """Frames in an HDF5 dataset; `order` says which axis of the dataset holds (views, rows, columns).

    A two-dimensional dataset has one row: order (views, None, columns).  The file is opened for each read, so that
    a scan can be pickled and sent to other processes.
    """

    path: Path
    name: str
    stored: tuple[int, ...]
    order: tuple[int, int | None, int]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, int, int]:
        views, rows, columns = self.order
        return self.stored[views], 1 if rows is None else self.stored[rows], self.stored[columns]

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        import h5py

        count = len(range(*rows.indices(self.shape[1])))
        out = np.empty((len(views), count, self.shape[2]), self.dtype.newbyteorder("="))
        try:
            with h5py.File(self.path, "r") as file:
                for place, part in runs(views):
                    out[place] = self._block(file[self.name], part, rows)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:  # a damaged file
            raise ScanError(f"{self.path}: dataset {self.name} cannot be read: {error}") from None
        return out

    def _block(self, dataset: Any, views: slice, rows: slice) -> AnyArray:
        v, r, c = self.order
        key: list[slice] = [slice(None)] * dataset.ndim
        key[v] = views
        if r is None:
            return np.asarray(np.moveaxis(dataset[tuple(key)], (v, c), (0, 1))[:, None, :])[:, rows]
        count = len(range(*rows.indices(self.stored[r])))
        if rows.step not in (None, 1) and count <= 16:  # HDF5 walks through all chunks of a strided selection
            parts = [slice(k, k + 1) for k in range(*rows.indices(self.stored[r]))]
        else:
            parts = [rows]
        found = [dataset[(*key[:r], part, *key[r + 1 :])] for part in parts]
        return np.asarray(np.moveaxis(np.concatenate(found, axis=r), (v, r, c), (0, 1, 2)))


@dataclass(frozen=True, eq=False)
class TIFFFrames:
    """Frames in TIFF pages, all of one shape and type.

    Uncompressed pages are memory-mapped (only the wanted rows are read), others are decoded whole.
    """

    pages: tuple[tuple[Path, int, int | None], ...]  # file, page, offset of the data where it can be mapped
    size: tuple[int, int]
    dtype: np.dtype[Any]  # with the byte order of the file
    cast: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cast", self.dtype.newbyteorder("="))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.pages), *self.size)

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        count = len(range(*rows.indices(self.size[0])))
        out = np.empty((len(views), count, self.size[1]), self.cast)
        for k, view in enumerate(views):
            out[k] = self._page(*self.pages[int(view)])[rows]
        return out

    def _page(self, path: Path, page: int, offset: int | None) -> AnyArray:
        try:
            if offset is not None:
                return np.memmap(path, self.dtype, "r", offset, self.size)
            import tifffile

            with tifffile.TiffFile(path) as file:
                found = np.asarray(file.pages[page].asarray())
        except Exception as error:  # a decoder may raise anything on a damaged page
            raise ScanError(f"{path}: page {page} cannot be read: {error}") from None
        if found.shape != self.size:
            raise ScanError(f"{path}: page {page} has shape {found.shape}, the other frames have {self.size}")
        return found


@dataclass(frozen=True, eq=False)
class Mapped:
    """Frames that stand uncompressed in a file: only the wanted rows are read.

    `order` says which axes of the stored array are (views, rows, columns).
    """

    path: Path
    stored: tuple[int, ...]
    dtype: np.dtype[Any]  # with the byte order of the file
    offset: int
    order: tuple[int, int, int] = (0, 1, 2)

    @property
    def shape(self) -> tuple[int, int, int]:
        v, r, c = (self.stored[k] for k in self.order)
        return v, r, c

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        try:
            found = np.memmap(self.path, self.dtype, "r", self.offset, self.stored).transpose(self.order)
            return np.asarray(found[:, rows][views]).astype(self.dtype.newbyteorder("="))
        except (OSError, ValueError) as error:  # gone or cut since it was opened
            raise ScanError(f"{self.path}: cannot be read: {error}") from None


@dataclass(frozen=True, eq=False)
class Loaded:
    """Frames that a library decodes one by one.

    `load(path, places)` yields the frames at these places of one file; it is a function of a module, so that a scan
    travels to other processes.
    """

    places: tuple[tuple[Path, Any], ...]  # of each frame: the file, and where in it
    size: tuple[int, int]
    dtype: np.dtype[Any]
    load: Callable[[Path, list[Any]], Iterable[AnyArray]]

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.places), *self.size)

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        count = len(range(*rows.indices(self.size[0])))
        out = np.empty((len(views), count, self.size[1]), self.dtype)
        k = 0
        for path, group in groupby((self.places[int(view)] for view in views), key=itemgetter(0)):
            places = [place for _, place in group]
            try:
                for found, place in zip(self.load(path, places), places, strict=True):
                    if found.shape != self.size:
                        raise ScanError(f"frame {place} has shape {found.shape}, the others have {self.size}")
                    out[k] = found[rows]
                    k += 1
            except Exception as error:  # a decoder may raise anything on a damaged file
                raise ScanError(f"{path}: cannot be read: {error}") from None
        return out


@dataclass(frozen=True, eq=False)
class Turned:
    """Sinograms, one a detector row, as frames: (rows, views, columns) becomes (views, rows, columns)."""

    frames: Frames

    @property
    def shape(self) -> tuple[int, int, int]:
        rows, views, columns = self.frames.shape
        return views, rows, columns

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.frames.dtype

    def read(self, views: AnyArray, rows: slice) -> AnyArray:
        found = self.frames.read(np.arange(self.frames.shape[0])[rows], slice(None))
        return np.asarray(found[:, views].swapaxes(0, 1))


def runs(indices: AnyArray) -> Iterator[tuple[slice, slice]]:
    """Split indices into evenly rising runs: pairs (where in the result, which slice of the source)."""
    start, n = 0, len(indices)
    while start < n:
        stop = start + 1
        step = int(indices[stop] - indices[start]) if stop < n else 1
        if step > 0:
            while stop < n and indices[stop] - indices[stop - 1] == step:
                stop += 1
        first = int(indices[start])
        count = stop - start
        step = step if count > 1 else 1
        yield slice(start, stop), slice(first, first + (count - 1) * step + 1, step)
        start = stop


@dataclass(frozen=True, eq=False)
class Raw:
    """What a reader finds in a file: the numbers as they stand and what the file says about them."""

    path: Path
    format: str
    frames: Frames
    angles: AnyArray | None = None  # radians, one a frame
    flats: Frames | None = None
    darks: Frames | None = None
    kind: str = "counts"  # what the numbers are, one of kinds.KINDS
    said: str = ""  # the kind that the file itself names; nothing: `read` decides from evidence
    hint: str = ""  # the kind that a name in the file suggests: it decides between kinds without a logarithm
    axis: float | AnyArray | None = None  # column of the rotation axis, or one a view
    spacing: float = 1.0  # column pitch on the detector
    unit: str = "pixel"  # of spacing and distances
    distances: tuple[float, float] | None = None  # source to axis, axis to detector: a fan beam
    flats_at: AnyArray | None = None  # for each flat how many views were taken before it; None: not known
    darks_at: AnyArray | None = None  # the same for the darks
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Are the numbers detector counts, to be divided by flats?"""
        return self.kind == "counts"

    @property
    def logarithm(self) -> bool:
        """Is it taken on the way to line integrals?  Of counts and of transmissions."""
        return self.kind in ("counts", "transmission")
