"""Detector columns that say nothing, or not all the time: dead, hot, outside the beam, stuck for a while, noisy."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from varinv.scan.flats import lit_level
from varinv.scan.record import Mask, Real, Repairs


class Columns(NamedTuple):
    """Which columns are of no use, each mask (columns,)."""

    dead: Mask
    dark: Mask  # runs at the edges that the beam does not reach


def judge(
    data: Real, gain: Real, noise: float, through: Real, usable: Mask, row: int, repairs: Repairs
) -> Columns:  # fmt: skip
    """Dead, hot and unlit columns, put on record.

    A pixel is dead or hot where its gain is not finite or at most 10 % of that of the lit columns, where most of its
    measurements are unusable, where its level exceeds twice that of its neighbours and of air, or where it alone never
    changes although its neighbours are elsewhere.  Three or more of too low a gain at an edge are outside the beam.
    """
    level = lit_level(gain, noise)
    positive = np.isfinite(gain) & (gain > 0)
    low = ~positive | (gain <= 0.1 * level)
    dark = edges(low, 3)
    dead = low & ~dark
    dead |= _dead(data, gain, through, usable, dead | dark) & ~dark
    repairs.note("dead or hot pixels interpolated", [f"row {row} column {c}" for c in np.flatnonzero(dead)])
    if dark.any() and not dark.all():
        lit = np.flatnonzero(~dark)
        where = f"row {row}: lit columns {lit[0]} to {lit[-1]}"
        repairs.note("columns outside the beam, not used", [where] + [""] * int(dark.sum() - 1))
    return Columns(dead, dark)


def edges(mask: Mask, least: int) -> Mask:
    """The runs of True that touch either end and are at least that long."""
    result = np.zeros_like(mask)
    for side in (slice(None), slice(None, None, -1)):
        run = int(np.argmin(mask[side])) if not mask.all() else len(mask)
        if run >= least:
            result[side][:run] = True
    return result


def _dead(data: Real, gain: Real, through: Real, usable: Mask, known_bad: Mask) -> Mask:
    from scipy.ndimage import median_filter

    dead = known_bad.copy()
    views = np.asarray(usable.any(1))  # a view that failed altogether says nothing about a pixel
    if views.any():
        dead |= usable[views].mean(0) < 0.5
    if dead.all() or not views.any():
        return dead
    if usable.all():
        level = np.median(through, axis=0)
    else:
        some = np.where(usable, through, np.nan)
        some[:, ~usable.any(0)] = 0.0
        level = np.where(usable.any(0), np.nanmedian(some, axis=0), np.nan)
    known = ~dead & np.isfinite(level)
    if not known.any():
        return dead
    level = np.interp(np.arange(len(gain)), np.flatnonzero(known), level[known])
    near, air = median_filter(level, 9, mode="nearest"), np.percentile(level[known], 95)
    dead |= (level > 2 * near) & (level > 2 * air)
    still = np.ptp(data, axis=0) == 0  # NaN compares unequal
    if len(data) >= 8 and still[~dead].mean() < 0.25:
        dead |= still & (np.abs(level - near) > 0.02 * air)
    return np.asarray(dead)


def stuck(data: Real, alive: Mask) -> Mask:
    """Where a column repeats one reading for a while, which noise never does; (views, columns).

    If a share e of all readings equals the one before it, a run of n equal ones turns up by chance in N readings
    N eⁿ⁻¹ times: runs are faults where this is below 1e-4, and of eight at least.  Where equal neighbours abound there
    is too little noise to tell.
    """
    result = np.zeros(data.shape, bool)
    if len(data) < 16:
        return result
    equal = data[1:] == data[:-1]
    good = equal[:, alive]
    share = float(np.median(good.mean(0))) if good.size else 1.0  # the median: stuck columns do not count
    least = 8
    if share > 0:
        if share > 0.3:
            return result
        least = max(least, int(np.ceil(1 + np.log(1e-4 / data.size) / np.log(share))))
    for c in np.flatnonzero(alive & (equal.sum(0) >= least - 1)):
        ends = np.flatnonzero(np.diff(np.concatenate([[0], equal[:, c].astype(np.int8), [0]])))
        for start, stop in ends.reshape(-1, 2):
            if stop - start + 1 >= least:
                result[start : stop + 1, c] = True
    return result


def noisy(lines: Real, valid: Mask) -> Mask:
    """Columns whose readings scatter far more from view to view than those beside them, (columns,).

    The median |second difference over the views| of a column is compared with the median of 15 columns about it: six
    times as much.  A structure of the object moves through the columns, and none stays in one for half of the views
    while it changes from each view to the next; at the axis, where things do stay, they change slowly.
    """
    from scipy.ndimage import median_filter

    views, columns = lines.shape
    if views < 32 or columns < 16:
        return np.zeros(columns, bool)
    at = np.arange(1, views - 1, max(1, views // 512))  # some 512 views know the scatter to a few per cent
    second = np.abs(lines[at] - (lines[at - 1] + lines[at + 1]) / 2)
    scatter = np.median(second, axis=0)
    near = median_filter(scatter, 15, mode="nearest")
    lone = median_filter(scatter, 3, mode="nearest") < scatter / 3  # a single column, not the flank of a region
    return np.asarray((scatter > 6 * near) & (near > 0) & lone & valid.any(0))


def changed(lines: Real, valid: Mask) -> Mask:
    """Where a column answers otherwise than in the rest of the scan, (views, columns): its gain changed on the way.

    h = p(u) − (p(u−1) + p(u+1))/2 is followed in twelve parts of the views, by medians.  A change is one that divides
    the parts into two runs, each steady within a quarter of the step, which stands out eight times from the other
    columns and by 0.04, and which the neighbours show by half with the other sign.  What a turning object does to one
    column is neither steady nor sudden.  The run that fits the neighbours better is kept.
    """
    views, columns = lines.shape
    result = np.zeros(lines.shape, bool)
    parts = 12
    if views < 5 * parts or columns < 24:
        return result
    bend = lines[:, 1:-1] - (lines[:, :-2] + lines[:, 2:]) / 2
    ends = np.linspace(0, views, parts + 1).astype(int)
    part = np.stack([np.median(bend[a:b], axis=0) for a, b in itertools.pairwise(ends)])
    for k in range(4, parts - 4):  # a third of the scan before and after; the part k itself may hold the change
        first, last = part[:k], part[k + 1 :]
        step = last.mean(0) - first.mean(0)
        size = np.abs(step)
        steady = np.maximum(np.abs(first - first.mean(0)).max(0), np.abs(last - last.mean(0)).max(0)) < size / 4
        beside = np.pad((step[:-2] + step[2:]) / 2, 1)
        half = np.abs(beside / np.where(size > 0, step, 1) + 0.5) < 0.2
        usual = 1.4826 * float(np.median(size))
        for u in np.flatnonzero(steady & half & (size > max(0.04, 8 * usual))):
            late = abs(float(last[:, u].mean())) > abs(float(first[:, u].mean()))
            result[ends[k] :, u + 1] |= late
            result[: ends[k + 1], u + 1] |= not late
    whole = result.all(0)
    result[:, whole] = False  # two tries that contradict each other
    return result & valid
