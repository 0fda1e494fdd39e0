"""Corrected detector rows, block by block, and the part of them that a selection wants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from varinv.scan import axis as axes
from varinv.scan import correct
from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import AnyArray, Raw
from varinv.scan.kinds import EMISSION, LINES, TRANSMISSION

BLOCK = 1 << 26  # bytes of raw numbers read at a time: 64 MiB
Seen = dict[int, correct.Repairs]


def rows_of(
    raw: Raw, picked: AnyArray, options: correct.Options, wanted: slice, seen: Seen
) -> Iterator[tuple[int, correct.Row]]:
    """The picked views of corrected rows of the whole detector; the repairs of all views are put into `seen`.

    All views are corrected, whichever are picked: dead pixels, stripes and failed views are seen by comparing views.
    """
    if raw.counts and raw.flats is None and not options.air:
        raise ScanError(
            f"{raw.path}: counts without flats; pass flats= to read (frames, or the level of the beam as a number), "
            "or take the level of air from the edges of the detector with using(air=True); numbers that are no "
            "counts are named with kind="
            + "".join(f" ({n})" for n in raw.notes if n.startswith("no flats or darks by"))
        )
    every = range(*wanted.indices(raw.frames.shape[1]))
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
            seen[row], found = _correct(raw, data[:, k].astype(np.float64), flat, dark, options, angles, row)
            yield row, correct.Row(found.lines[picked], found.valid[picked], found.counts[picked])


def _correct(
    raw: Raw,
    data: AnyArray,
    flats: AnyArray | None,
    darks: AnyArray | None,
    options: correct.Options,
    angles: AnyArray,
    row: int,
) -> tuple[correct.Repairs, correct.Row]:
    repairs: correct.Repairs = {}
    try:
        if raw.kind == EMISSION:  # air is not 0 there, but whatever shines
            return repairs, correct.repair_lines(data, options._replace(air=False), angles, row, repairs)
        if raw.kind == LINES:
            return repairs, correct.repair_lines(data, options, angles, row, repairs)
        if raw.kind == TRANSMISSION:
            blank, ones = np.zeros(data.shape[1]), np.ones(data.shape[1])
            return repairs, correct.correct(data, blank, ones, options, angles, row, repairs)
        dark, gain = correct.reference(flats, darks, data.shape[1], repairs)
        found = correct.correct(data, dark, gain, options, angles, row, repairs)
        if flats is None and correct.NO_AIR in repairs:
            raise ScanError(
                f"counts without flats, and {len(repairs[correct.NO_AIR])} of {len(data)} views show no air at the "
                "edges of the detector to replace them; pass flats= to read"
            )
    except ScanError as error:
        raise ScanError(f"{raw.path}: row {row}: {error}") from None
    return repairs, found


def part_of(found: correct.Row, window: tuple[int, int, int], mirrored: bool, what: str, logarithm: bool) -> AnyArray:
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


def estimate_axis(raw: Raw, options: correct.Options) -> tuple[float, str]:
    """Column of the file onto which the rotation axis projects, from up to five rows and all views, and what to say.

    Raises
    ------
    ScanError
        As `axis.estimate`; no angles; no row that can be corrected.
    """
    if raw.angles is None:
        raise ScanError(f"{raw.path}: no angles, so no rotation axis; pass angles= to read")
    views, count, _ = raw.frames.shape
    few = min(count, 5)
    found: list[NDArray[np.float64]] = []
    fault: ScanError | None = None
    for row in sorted({(2 * k + 1) * count // (2 * few) for k in range(few)}):
        try:
            found += [r.lines for _, r in rows_of(raw, np.arange(views), options, slice(row, row + 1), {})]
        except ScanError as error:  # perhaps a row in the shadow of the slits
            fault = error
    if fault is not None and not found:
        raise fault
    try:
        column = axes.estimate(found, raw.angles, raw.distances is not None)
    except ScanError as error:
        raise ScanError(f"{raw.path}: {error}") from None
    said = f"rotation axis at column {column:.2f}, from the views"
    if axes.truncated(found):
        said += "; the object is wider than the detector, so it may be off by several columns: better pass axis="
    return column, said
