"""Scans that ended early: frames at the end that were never written are cut off, with a warning."""

from __future__ import annotations

import dataclasses

import numpy as np

from varinv.scan.errors import ScanError, warn
from varinv.scan.frames import Chosen, Frames, Raw

MOST = 1 << 20  # numbers of a frame that are looked at: more in six rows is no detector


def cut(raw: Raw, notes: list[str]) -> Raw:
    """The scan without the frames at its end that hold nothing but 0 or NaN, of which a ScanWarning tells.

    An instrument that stops early leaves what it has not written: zeros, or NaN.  A detector that works shows a dark
    level, or noise; line integrals that are all 0 would be a view without the object.  Reads a few rows of the
    last frame, and of others, by bisection, only where that is empty; a scan of which all frames are is left as it is.
    """
    views = raw.frames.shape[0]
    try:
        kept = _written(raw.frames)
    except (ScanError, OSError):  # what cannot be read is said when it is asked for
        return raw
    if kept in (0, views):
        return raw
    text = f"the last {views - kept} of {views} frames are empty (0 or NaN), as a scan that was aborted leaves them: "
    text += f"cut to the first {kept}"
    if raw.angles is not None and kept > 1:
        text += f", {abs(np.rad2deg(raw.angles[kept - 1] - raw.angles[0])):.4g} degrees"
    warn(raw.path, text, notes)
    return dataclasses.replace(
        raw,
        frames=Chosen(raw.frames, np.arange(kept)),
        angles=None if raw.angles is None else raw.angles[:kept],
        flats_at=None if raw.flats_at is None else np.minimum(raw.flats_at, kept),
        darks_at=None if raw.darks_at is None else np.minimum(raw.darks_at, kept),
    )


def _written(frames: Frames) -> int:
    """How many frames there are up to the last that holds something; 0 where none of some 64 does."""
    views, rows, columns = frames.shape
    # one row in the light is enough, but which ones are is not known
    some = range(rows) if rows <= 8 else range(rows // 8, rows, rows // 4)
    if len(some) * columns > MOST or not _empty(frames, views - 1, some):
        return views
    low, high = -1, views - 1  # of the probes: the last that holds something, the first after it that does not
    for k in range(views - 1, -1, -max(1, views // 64)):
        if not _empty(frames, k, some):
            low = k
            break
        high = k
    if low < 0:
        low = 0 if high > 0 and not _empty(frames, 0, some) else -1
    while low >= 0 and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _empty(frames, middle, some) else (middle, high)
    return low + 1


def _empty(frames: Frames, view: int, rows: range) -> bool:
    for row in rows:  # one by one: HDF5 walks through all that lies between rows that are far apart
        block = frames.read(np.arange(view, view + 1), slice(row, row + 1))
        if ((block != 0) & np.isfinite(block)).any():
            return False
    return True
