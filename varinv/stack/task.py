"""What a worker does: read the rows of one slab, work on them, write them and their marker."""

from __future__ import annotations

import functools
import hashlib
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varinv.backend import to_numpy
from varinv.operators.radon import Radon
from varinv.progress import Line
from varinv.stack.plan import Slab
from varinv.stack.store import Store
from varinv.tomography import job
from varinv.tomography.settings import Settings


@dataclass(frozen=True)
class Piece:
    """A slab to be made.  `source` is the data, or where a private folder of the driver holds a pickle of it."""

    work: Callable[[Any, range], tuple[Any, dict[str, Any]]]
    source: Any
    rows: range
    slab: Slab
    store: Store

    def __call__(self) -> dict[str, Any]:
        """The marker of the slab; one that exists is returned at once."""
        from varinv.numba_tools import one_thread

        if (done := self.store.marker(self.slab)) is not None:
            return done
        began = time.perf_counter()
        source = _loaded(self.source) if isinstance(self.source, Kept) else self.source
        with one_thread():
            data, facts = self.work(source, self.rows[self.slab.low : self.slab.high])
        mine = self.rows[self.slab.start : self.slab.stop]
        failed = {k: v for k, v in facts.get("failed", {}).items() if int(k) in mine}
        facts = {**facts, "failed": failed, "rows": list(mine), "seconds": time.perf_counter() - began}
        return self.store.write(self.slab, to_numpy(data)[self.slab.inner], facts)


@dataclass(frozen=True)
class Kept:
    """A pickle that the driver wrote into a private folder for this run, and the hash of its bytes."""

    path: Path
    sha256: str


@functools.lru_cache(maxsize=2)
def _loaded(kept: Kept) -> Any:
    try:
        content = kept.path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"reconstruct: {kept.path} is not on the worker's machine: workers elsewhere need a source that they read "
            "themselves, such as a scan of an HDF5 file on a shared disk"
        ) from None
    if hashlib.sha256(content).hexdigest() != kept.sha256:  # not what the driver wrote: never unpickled
        raise ValueError(f"reconstruct: {kept.path} is not what this run wrote; call again")
    return pickle.loads(content)


@dataclass(frozen=True)
class Mapped:
    """A user's task(data, rows) on rows of a scan (its line integrals) or of anything that is indexed by rows."""

    task: Callable[[Any, range], Any]

    def __call__(self, source: Any, rows: range) -> tuple[Any, dict[str, Any]]:
        some = slice(rows.start, rows.stop, rows.step)
        data = source.sinogram(rows=some) if hasattr(source, "sinogram") else source[some]
        return self.task(data, rows), {}


@dataclass(frozen=True)
class Reconstruction:
    """Rows of a scan to slices, with what all slabs have in common."""

    settings: Settings
    scale: job.Scale
    size: int
    pixel: float

    def __call__(self, scan: Any, rows: range) -> tuple[Any, dict[str, Any]]:
        side, quiet = self.size + 2 * self.settings.margin, Line("", delay=math.inf)
        A = Radon((side, side), scan.geometry, self.pixel)
        if self.settings.volume:
            A = Radon((len(rows), side, side), scan.geometry, self.pixel)
            work = job.together(scan, rows, A, self.settings, self.scale, quiet)
        else:
            work = self._one_by_one(scan, rows, A, quiet)
        if work.stopped:  # Ctrl-C reached the worker: half a solve is no slab
            raise RuntimeError("interrupted")
        if work.error is not None and not isinstance(work.error, ValueError):  # no fault of the data: to be tried again
            raise work.error
        why = {str(row): result.why for row, result in work.found.items()}
        image = job.assembled(work, tuple(rows), self.settings)
        return image.reshape(len(rows), *image.shape[-2:]), {
            "why": why,
            "failed": {str(k): v for k, v in work.failed.items()},
            "excluded": work.excluded,
        }

    def _one_by_one(self, scan: Any, rows: range, A: Radon, quiet: Line) -> job.Work:
        work = job.Work()
        for row in rows:
            try:
                one = job.one_by_one(scan, range(row, row + 1), A, self.settings, self.scale, quiet)
            except ValueError as error:
                work.fail(row, error)
                continue
            work.found[row] = one.found[row]
            work.failed |= one.failed
            work.excluded += one.excluded
            work.stopped = work.stopped or one.stopped
        if not work.found:
            assert work.error is not None
            raise work.error
        return work
