"""Large stacks: the driver that finds what is global, hands slabs out, and goes on after any death."""

from __future__ import annotations

import concurrent.futures as cf
import dataclasses
import functools
import hashlib
import json
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from varinv import check
from varinv.operators.radon import Radon
from varinv.progress import Line
from varinv.stack.plan import slabs
from varinv.stack.store import FORMAT, Store, put
from varinv.stack.task import Kept, Mapped, Piece, Reconstruction
from varinv.tomography import job as single
from varinv.tomography import reconstruct as parts
from varinv.tomography.outcome import slice_distance
from varinv.tomography.settings import Settings

LARGEST = 100_000  # bytes of a pickled task; a source of up to half of it travels with it
PATIENCE = 30.0  # seconds that Ctrl-C waits for slabs that are being made


@dataclass
class Job:
    """How a run over a stack ended: slabs done, slices that failed and why, the volume.

    done : slabs that are on the disk; total: all.
    failed : first row of a slab without data, or the row of a slice that is NaN → the reason.
    deaths : slabs whose worker died, each of them counted as often as it happened; a broken pool counts once.
    """

    store: Store
    total: int
    done: int = 0
    deaths: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    interrupted: bool = False
    coupled: bool = False
    halo: int = 0

    @property
    def why(self) -> str:
        """Why the run ended."""
        if self.interrupted:
            return f"interrupted: {self.done} of {self.total} slabs done; the same call goes on"
        if self.done < self.total:
            return f"{self.total - self.done} of {self.total} slabs failed; the same call tries them again"
        return "all slabs done" + (f", {len(self.failed)} slices have no image" if self.failed else "")

    def report(self) -> str:
        """The run in words."""
        lines = [f"stack       {self.store.path}: {self.why}"]
        if self.coupled:
            lines.append(f"coupled     slab-wise with halo {self.halo}: no certificate across slabs")
        if self.deaths:
            lines.append(f"deaths      {self.deaths} times a worker was lost")
        return "\n".join(lines + [f"failed      {k}: {v}" for k, v in sorted(self.failed.items())])

    def volume(self, holes: bool = False) -> Any:
        """The volume, a zarr array that reads what is indexed; a ValueError where slabs or slices are missing.

        holes : True: take it all the same; what is missing is NaN.
        """
        if not holes and (self.done < self.total or self.failed):
            raise ValueError(f"volume: {self.why}; call again, or pass holes=True (what is missing is NaN)")
        return self.store.volume()


def map_slabs(
    task: Callable[[Any, range], Any],
    source: Any,
    out: str | os.PathLike[str],
    *,
    rows: range,
    shape: tuple[int, ...],
    dtype: Any = "float32",
    slab: int = 8,
    halo: int = 0,
    executor: Any = None,
    rounds: int = 5,
    verify: bool = False,
    progress: bool = False,
) -> Job:
    """Apply a function to a stack slab by slab, into a zarr volume; the same call again goes on where it ended.

    Parameters
    ----------
    task : task(data, rows) → slices (len(rows), *shape), a module-level function; data are these rows of the source.
    source : a scan (its line integrals), or anything indexed by rows.
    out : the folder, by custom .zarr.
    rows, shape, dtype : rows of the source, shape of one slice, numbers of the volume.
    slab, halo : slices in a slab, further ones on each side that the task is given and that are cut off.
    executor : None: threads, one a core; any concurrent.futures executor (processes: "spawn"); a Dask client.
        A process pool does not outlive the death of a worker: call again with a new one.
    rounds : how often slabs whose Dask worker died are handed out; errors of the task itself are not tried again.
    verify : compare the bytes of what is done with its marker, after a power failure.

    Raises
    ------
    TypeError, ValueError
        Numbers that are no counts; rows that do not rise; a folder of another run (the message names what differs);
        a task or source that cannot be pickled for another process.
    """
    _checked("map_slabs", rows, slab, halo)
    check.integer("map_slabs", "rounds", rounds, low=1)
    where = Store(Path(out), (len(rows), *shape), str(dtype), min(slab, len(rows)))
    name = _named(task)
    marks = {"format": FORMAT, "task": name, **_cut(rows, where, halo)}
    if hasattr(source, "raw"):
        marks |= _source(source.raw.path)
    where.open(marks, {"task": name}, (1.0,) * (1 + len(shape)))
    return _drive(Mapped(task), source, rows, where, halo, executor, rounds, verify, progress)


def reconstruct(
    scan: Any,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    rows: slice | range = slice(None),
    coupled: bool = False,
    slab: int | None = None,
    halo: int = 8,
    executor: Any = None,
    verify: bool = False,
    progress: bool = False,
) -> Job:
    """Reconstruct many rows of a scan into a zarr volume, slab by slab; the same call again goes on where it ended.

    Parameters
    ----------
    scan : as `read` returns it.
    out : the folder, by custom .zarr.
    settings : prior, weight, size …; None: total variation with a weight chosen on held-out views of the middle row.
    coupled : total variation across slices as well, in slabs with a halo.  Parallel beams only: the solution differs
        from the one of all slices at once, and there is no certificate across slabs.
    slab : slices in a slab; None: 1, coupled 8.
    halo : further slices on each side of a coupled slab.
    executor, verify : see map_slabs.

    Raises
    ------
    ValueError
        A folder of another run (the message names what differs); coupled=True with a fan beam.
    """
    settings = settings or Settings()
    some = range(scan.shape[1])[rows] if isinstance(rows, slice) else rows
    _checked("reconstruct", some, 1 if slab is None else slab, halo)
    if coupled and scan.raw.distances is not None:
        raise ValueError("reconstruct: coupled=True needs a parallel beam: rows of a fan or cone beam do not separate")
    settings = dataclasses.replace(settings, volume=coupled)
    scan = scan.using(axis=scan.axis)
    geometry = scan.geometry
    size, pixel = parts.grid(geometry, settings.size, settings.pixel_size)
    height = min(slab or (8 if coupled else 1), len(some))
    where, halo = Store(Path(out), (len(some), size, size), "float32", height), halo if coupled else 0
    witness = hashlib.sha256(scan.sinogram(some[len(some) // 2]).tobytes()).hexdigest()[:16]
    axis = hashlib.sha256(repr(scan.axis).encode()).hexdigest()[:16] if hasattr(scan.axis, "shape") else scan.axis
    marks = {"format": FORMAT, **_source(scan.raw.path), "middle row (sha256)": witness, "axis": axis,
             "pixel": pixel, **dataclasses.asdict(settings), **_cut(some, where, halo)}  # fmt: skip
    where.open(marks, {"settings": dataclasses.asdict(settings), "geometry": type(geometry).__name__},
               (slice_distance(scan, geometry, some), pixel, pixel), scan.unit)  # fmt: skip
    work = Reconstruction(settings, _common(scan, some, settings, where, size, pixel, progress), size, pixel)
    found = _drive(work, scan, some, where, halo, executor, 5, verify, progress)
    return dataclasses.replace(found, coupled=coupled, halo=halo)


def _common(scan: Any, rows: range, settings: Settings, store: Store, n: int, pixel: float, progress: bool) -> Any:
    """λ, found once and kept in the folder."""
    kept = store.notes / "scale.json"
    if settings.prior == "none":
        return single.Scale()
    if not kept.exists():
        side = n + 2 * settings.margin
        with Line("scale", delay=1.0 if progress else float("inf")) as line:
            found = single.common_scale(scan, rows, Radon((side, side), scan.geometry, pixel), settings, line)
        numbers = {"lam": float(found.lam), "weight": _number(found.weight), "unit": _number(found.unit)}
        put(kept, json.dumps({**numbers, "row": found.row}).encode())
    return single.Scale(**json.loads(kept.read_text(encoding="utf-8")))


def _number(x: Any) -> float | None:
    return None if x is None else float(x)


def _checked(function: str, rows: range, slab: int, halo: int) -> None:
    check.integer(function, "slab", slab, low=1)
    check.integer(function, "halo", halo, low=0)
    if not len(rows) or rows.step < 1:
        raise ValueError(f"{function}: rows must be at least one row of the source, in rising order, got {rows}")


def _named(task: Any) -> str:
    """A task in words that are the same in every process: its qualified name, and what a partial has bound."""
    if isinstance(task, functools.partial):
        bound = [repr(a) for a in task.args] + [f"{k}={v!r}" for k, v in sorted(task.keywords.items())]
        return f"{_named(task.func)}({', '.join(bound)})"
    kind = task if hasattr(task, "__qualname__") else type(task)
    return f"{kind.__module__}.{kind.__qualname__}"


def _cut(rows: range, store: Store, halo: int) -> dict[str, Any]:
    return {"rows": [rows.start, rows.stop, rows.step], "shape": list(store.shape), "dtype": store.dtype,
            "slab": store.height, "halo": halo}  # fmt: skip


def _source(path: Any) -> dict[str, Any]:
    try:
        known = os.stat(path)
    except (OSError, TypeError, ValueError):
        return {"source": str(path)}
    return {"source": Path(path).name, "source size": known.st_size, "source time": known.st_mtime_ns}


def _drive(
    work: Any, source: Any, rows: range, store: Store, halo: int, executor: Any, rounds: int, verify: bool, show: bool
) -> Job:
    plan = slabs(len(rows), store.height, halo)
    if verify:
        for slab in plan:
            if store.marker(slab) is not None and not store.whole(slab):
                store.forget(slab)
    found = Job(store, len(plan))
    todo = [s for s in plan if store.marker(s) is None]
    own = private = None
    broken = False
    try:
        if todo:
            if executor is None:
                executor = own = cf.ThreadPoolExecutor(_cores())
            if not isinstance(executor, cf.ThreadPoolExecutor):
                content = _pickled(source, "the source")
                if len(content) > LARGEST // 2:  # through a file that only this user can write, not with every task
                    private = tempfile.mkdtemp(prefix="varinv-")
                    source = Kept(Path(private).resolve() / "source", hashlib.sha256(content).hexdigest())
                    put(source.path, content)
                store = dataclasses.replace(store, path=store.path.resolve())
            pieces = [Piece(work, source, rows, s, store) for s in todo]
            size = 0 if isinstance(executor, cf.ThreadPoolExecutor) else len(_pickled(pieces[0], "the task"))
            if size > LARGEST:
                raise ValueError(f"map_slabs: a task takes {size} bytes, over {LARGEST}: put data into the source")
            with Line("slabs", delay=1.0 if show else float("inf")) as line:
                for r in range(rounds):
                    pieces, broken = _round(pieces, executor, r, found, line)
                    if broken or not pieces:
                        break
            words = "its process pool broke (a worker died): call again with a new executor" if broken else ""
            for piece in pieces:
                found.failed[rows[piece.slab.start]] = words or f"its worker died in each of {rounds} rounds"
    except KeyboardInterrupt:
        found.interrupted = True
    finally:
        if own is not None:  # after Ctrl-C it was waited for, long enough
            own.shutdown(wait=not found.interrupted, cancel_futures=True)
        if private is not None:
            shutil.rmtree(private, ignore_errors=True)
    for slab in plan:
        if (marker := store.marker(slab)) is not None:
            found.done += 1
            found.failed.pop(rows[slab.start], None)
            found.failed |= {int(k): v for k, v in marker.get("failed", {}).items()}
    return found


def _pickled(thing: Any, name: str) -> bytes:
    try:
        return pickle.dumps(thing)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"map_slabs: {name} must be picklable for other processes ({error}): a function of a module, data that are "
            "no open file; or leave executor=None"
        ) from error


def _round(pieces: list[Piece], executor: Any, number: int, found: Job, line: Line) -> tuple[list[Piece], bool]:
    """Hand all out, twice as many at a time as there are workers; those whose worker died, and whether the pool did."""
    dask = hasattr(executor, "scheduler_info")
    at_once, broken = 2 * _workers(executor), False
    running: dict[Any, Piece] = {}
    lost: list[Piece] = []
    waiting: Iterator[Piece] = iter(pieces)
    ended, total = 0, len(pieces)
    try:
        while True:
            while not broken and len(running) < at_once and (piece := next(waiting, None)) is not None:
                try:
                    running[_submit(executor, piece, number)] = piece
                except cf.BrokenExecutor:
                    lost.append(piece)
                    broken = True
            if not running:
                found.deaths += broken
                return lost + list(waiting), broken
            for future in _some(list(running), dask):
                piece, error = running.pop(future), _error(future)
                ended += 1
                if isinstance(error, cf.BrokenExecutor):
                    lost.append(piece)
                    broken = True
                elif error is not None and _death(error):
                    found.deaths += 1
                    lost.append(piece)
                elif error is not None:
                    found.failed[piece.rows[piece.slab.start]] = f"{type(error).__name__}: {error}"
                line.show(f"{ended} of {total}, {found.deaths} deaths", ended / total)
    except BaseException as error:
        for future in running:
            future.cancel()
        if isinstance(error, KeyboardInterrupt) and not dask:
            cf.wait(list(running), timeout=PATIENCE)
        raise


def _submit(executor: Any, piece: Piece, number: int) -> Any:
    if not hasattr(executor, "scheduler_info"):
        return executor.submit(piece)
    import secrets

    key = f"slab-{piece.slab.start}-round-{number + 1}-{secrets.token_hex(4)}"
    return executor.submit(piece, key=key, pure=False, retries=0)


def _some(futures: list[Any], dask: bool) -> list[Any]:
    if not dask:
        return list(cf.wait(futures, return_when=cf.FIRST_COMPLETED).done)
    import distributed

    try:
        return list(distributed.wait(futures, return_when="FIRST_COMPLETED").done)
    except (cf.CancelledError, OSError):  # the scheduler is gone, or has lost one of them
        return [f for f in futures if f.done() or f.cancelled()] or futures


def _error(future: Any) -> BaseException | None:
    try:
        found: BaseException | None = future.exception()
    except (Exception, cf.CancelledError) as error:
        return error
    return found


def _death(error: BaseException) -> bool:
    """Whether a worker was lost, and not the task itself at fault."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"KilledWorker", "CancelledError", "FutureCancelledError", "CommClosedError"})


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(executor: Any) -> int:
    if hasattr(executor, "scheduler_info"):
        return max(1, len(executor.nthreads()))
    return int(getattr(executor, "_max_workers", 1))
