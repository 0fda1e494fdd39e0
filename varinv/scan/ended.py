"""Scans that ended early: frames at the end that were never written are cut off, with a warning."""

from __future__ import annotations

import dataclasses

import numpy as np

from varinv.scan.errors import ScanError, warn
from varinv.scan.frames import Chosen, Frames, Raw

STEP = 16  # frames read at a time, from the end


def cut(raw: Raw, notes: list[str]) -> Raw:
    """The scan without the frames at its end that hold nothing but 0 or NaN, of which a ScanWarning tells.

    An instrument that stops early leaves what it has not written: zeros, or NaN.  A detector that works shows a dark
    level, or noise; line integrals that are all 0 would be a view without the object.  Reads the last frame, and more
    of them only where that is empty; a scan of which all frames are is left as it is.
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
    """How many frames there are up to the last that holds something."""
    views, rows, _ = frames.shape
    # one row in the light is enough, but which ones are is not known
    some = slice(None) if rows <= 8 else slice(rows // 8, None, max(1, rows // 4))
    if not _empty(frames, views - 1, views, some).all():
        return views
    for stop in range(views, 0, -STEP):
        start = max(0, stop - STEP)
        empty = _empty(frames, start, stop, some)
        if not empty.all():
            return start + int(np.flatnonzero(~empty)[-1]) + 1
    return 0


def _empty(frames: Frames, start: int, stop: int, rows: slice) -> np.ndarray:
    block = frames.read(np.arange(start, stop), rows)
    return np.asarray(((block == 0) | ~np.isfinite(block)).all((1, 2)))
