"""Interpolation of measurements that are not usable, so that a sinogram is finite everywhere."""

from __future__ import annotations

import numpy as np

from varinv.scan.errors import ScanError
from varinv.scan.record import Mask, Real, Repairs, views_named


def fill(lines: Real, valid: Mask, angles: Real, repairs: Repairs, lit: slice = slice(None)) -> Real:
    """Line integrals with the invalid ones interpolated linearly along the detector, from the same view.

    A view without any valid one is interpolated between the views beside it in angle.  `lit` is the span of columns
    that the beam reaches: the others do not count as lost.

    Raises
    ------
    ScanError
        Fewer than 10 % of the measurements within the beam are valid.
    """
    within = valid[:, lit]
    if not within.size or within.mean() < 0.1:  # too little is left to be called a measurement
        raise ScanError(f"only {int(within.sum())} of {within.size} measurements are usable")
    if valid.all():
        return lines
    columns = np.arange(lines.shape[1])
    empty = np.asarray(~valid.any(1))
    lines = lines.copy()
    for v in np.flatnonzero(~valid.all(1) & ~empty):
        lines[v, ~valid[v]] = np.interp(columns[~valid[v]], columns[valid[v]], lines[v, valid[v]])
    if empty.any():
        lost = np.flatnonzero(empty)
        repairs.note("views without a usable measurement interpolated", views_named(lost))
        between_views(lines, lost, angles)
    return lines


def between_views(lines: Real, lost: np.ndarray, angles: Real) -> None:
    """Replace the lost views, in place, by the linear interpolation between their neighbours in angle."""
    gone = np.zeros(len(lines), bool)
    gone[lost] = True
    order = np.argsort(angles, kind="stable")
    full = order[~gone[order]]
    for v in lost:
        after = int(np.searchsorted(angles[full], angles[v]))
        a, b = full[max(after - 1, 0)], full[min(after, len(full) - 1)]
        gap = angles[b] - angles[a]
        share = (angles[v] - angles[a]) / gap if gap > 0 else 0.5
        lines[v] = (1 - share) * lines[a] + share * lines[b]


def patch(lines: Real, valid: Mask, bad: Mask) -> None:
    """Interpolate the newly found `bad` values, in place, along the detector from valid neighbours of the view."""
    columns = np.arange(lines.shape[1])
    good = valid & ~bad
    for v in np.flatnonzero(bad.any(1)):
        if good[v].any():
            lines[v, bad[v]] = np.interp(columns[bad[v]], columns[good[v]], lines[v, good[v]])
