"""Corrected detector rows, block by block, and the part of them that a selection wants."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from varinv.scan import axis as axes
from varinv.scan import correct, process, saturation
from varinv.scan.errors import ScanError, afford
from varinv.scan.flats import Reference, reference
from varinv.scan.frames import AnyArray, Raw
from varinv.scan.kinds import EMISSION, LINES, TRANSMISSION
from varinv.scan.record import Options, Repairs, Row

BLOCK = 1 << 26  # bytes of raw numbers read at a time: 64 MiB
Seen = dict[int, Repairs]
# sinogram, valid and weight of a row are asked for one after the other: the row corrected last, for each scan
_LAST: WeakKeyDictionary[Raw, tuple[Options, int, Repairs, Row]] = WeakKeyDictionary()


def rows_of(
    raw: Raw, picked: AnyArray, options: Options, wanted: slice, seen: Seen
) -> Iterator[tuple[int, Row | ScanError]]:
    """The picked views of corrected rows of the whole detector; the repairs of all views are put into `seen`.

    All views are corrected, whichever are picked: dead pixels, stripes and failed views are seen by comparing views.
    A row that cannot be corrected is yielded as its error: the others follow.
    """
    if options.process and options.stage == process.PROJECTIONS:
        every = list(range(*wanted.indices(raw.frames.shape[1])))
        rows = process.projections(raw, options, every, seen, _whole_rows)
    else:
        rows = _whole_rows(raw, options, wanted, seen)
    for row, found in rows:
        if isinstance(found, Row):
            if options.process and options.stage != process.PROJECTIONS:
                found = found._replace(lines=process.sinogram(options.process, found.lines, raw.angles))
            found = Row(found.lines[picked], found.valid[picked], found.counts[picked])
        yield row, found


def _whole_rows(raw: Raw, options: Options, wanted: slice, seen: Seen) -> Iterator[tuple[int, Row | ScanError]]:
    """All views of corrected rows, before the steps of others."""
    if raw.counts and raw.flats is None and options.air is False:
        raise ScanError(
            f"{raw.path}: counts without flats; pass flats= to read (frames, or the level of the beam as a number), "
            "or take the level of air from the edges of the detector with using(air=True); numbers that are no "
            "counts are named with kind="
            + "".join(f" ({n})" for n in raw.notes if n.startswith("no flats or darks by"))
        )
    every = range(*wanted.indices(raw.frames.shape[1]))
    last = _LAST.get(raw)
    if last is not None and len(every) == 1 and last[:2] == (options, every[0]):
        seen[every[0]] = last[2]
        yield every[0], last[3]
        return
    views = np.arange(raw.frames.shape[0])
    line = len(views) * raw.frames.shape[2] * max(raw.frames.dtype.itemsize, 8)
    afford(raw.path, "one detector row of all views", 6 * line)
    step = max(1, BLOCK // line)
    angles = views.astype(np.float64) if raw.angles is None else raw.angles
    for first in range(0, len(every), step):
        part = every[first : first + step]
        rows = slice(part[0], part[-1] + 1, part.step)
        flats, darks = (None if f is None else f.read(np.arange(f.shape[0]), rows) for f in (raw.flats, raw.darks))
        data = raw.frames.read(views, rows)
        for k, row in enumerate(part):
            flat, dark = (None if b is None else b[:, k] for b in (flats, darks))
            seen[row], found = _correct(raw, data[:, k], flat, dark, options, angles, row)
            if isinstance(found, Row) and len(every) == 1:
                _LAST[raw] = (options, row, seen[row], found)
            yield row, found


def _correct(
    raw: Raw,
    data: AnyArray,
    flats: AnyArray | None,
    darks: AnyArray | None,
    options: Options,
    angles: AnyArray,
    row: int,
) -> tuple[Repairs, Row | ScanError]:
    repairs = Repairs()
    try:
        if raw.kind == EMISSION:  # air is not 0 there, but whatever shines
            return repairs, correct.repair_lines(data, options._replace(air=False), angles, row, repairs)
        if raw.kind == LINES:
            return repairs, correct.repair_lines(data, options, angles, row, repairs)
        if raw.kind == TRANSMISSION:
            whole = Reference(np.zeros(data.shape[1]), np.ones(data.shape[1]))
            return repairs, correct.correct(data, whole, options, angles, row, repairs)
        data = saturation.unwrapped(data, "views", repairs)
        flats = None if flats is None else saturation.unwrapped(flats, "flats", repairs)
        darks = None if darks is None else saturation.unwrapped(darks, "darks", repairs)
        known = reference(flats, darks, data.shape, repairs, raw.flats_at, raw.darks_at)
        found = correct.correct(data, known, options, angles, row, repairs, flats)
        if flats is None:
            correct.without_air(repairs, len(data))
    except ScanError as error:
        return repairs, ScanError(f"{raw.path}: row {row}: {error}")
    return repairs, found


def part_of(found: Row, window: tuple[int, int, int], mirrored: bool, what: str, logarithm: bool) -> AnyArray:
    """The wanted columns of a row, binned and mirrored: "lines", "valid" or "counts"."""
    start, stop, k = window
    part: AnyArray = getattr(found, what)[:, start:stop]
    if k > 1:
        part = part.reshape(len(part), -1, k)
        if what == "valid":
            part = np.asarray(part.all(-1))
        elif what == "counts":
            part = part.mean(-1) * found.valid[:, start:stop].reshape(part.shape).all(-1)
        else:
            part = -np.log(np.exp(-part).mean(-1)) if logarithm else part.mean(-1)
    return part[:, ::-1] if mirrored else part


def estimate_axis(raw: Raw, options: Options) -> axes.Axis:
    """Column of the file onto which the rotation axis projects, ± its uncertainty, from up to five rows and all views.

    Raises
    ------
    ScanError
        As `axis.locate`; no angles; no row that can be corrected.
    """
    if raw.angles is None:
        raise ScanError(f"{raw.path}: no angles, so no rotation axis; pass angles= to read")
    views, count, _ = raw.frames.shape
    few = min(count, 5)
    found: list[NDArray[np.float64]] = []
    fault: ScanError | None = None
    for row in sorted({(2 * k + 1) * count // (2 * few) for k in range(few)}):
        try:
            for _, r in rows_of(raw, np.arange(views), options, slice(row, row + 1), {}):
                if isinstance(r, Row):
                    found.append(r.lines)
                else:  # perhaps a row in the shadow of the slits
                    fault = r
        except ScanError as error:
            fault = error
    if fault is not None and not found:
        raise fault
    source = axes.PARALLEL if raw.distances is None else sum(raw.distances) / raw.spacing
    try:
        return axes.locate(found, raw.angles, source)
    except ScanError as error:
        raise ScanError(f"{raw.path}: {error}") from None
