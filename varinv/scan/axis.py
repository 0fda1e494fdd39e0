"""The rotation axis of a parallel or fan-beam scan, from the measurements themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varinv import check
from varinv.scan import axis_moments as moments
from varinv.scan import axis_pairs as pairs
from varinv.scan.errors import ScanError

Real = NDArray[np.float64]
TURN = 2 * np.pi
PARALLEL = float("inf")  # the distance of the source of a parallel beam
VIEWS = 360
SMOOTHING = (1.0, 2.0, 4.0)  # columns
FLOOR = 0.02  # columns: what the interpolation between columns and views may be off by
SURE = 2.9  # times the standard error: 2.4 for 95 % and 7 degrees of freedom; some more, as measured on made scans
NOTHING = (
    "the measurements prefer no rotation axis, or several alike (too noisy, too flat, or too few lines seen from both "
    "sides): pass axis="
)


def arrange(angles: Real) -> tuple[NDArray[np.intp], Real, bool]:
    """Views in angular order without their turns: indices, rising angles from 0, and whether they close a circle."""
    folded = np.mod(angles, TURN)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(np.append(folded[order], folded[order[0]] + TURN))
    widest = int(np.argmax(gaps))
    usual = float(np.median(gaps[gaps > 1e-9])) if (gaps > 1e-9).any() else TURN
    order = np.roll(order, -widest - 1)
    rising = np.mod(folded[order] - folded[order[0]], TURN)
    return order, rising, bool(gaps[widest] <= 3 * usual + 1e-9 and len(angles) > 7)


class Axis(NamedTuple):
    """Where the rotation axis projects to: the column, how far off it may be (95 %), and how it was found."""

    column: float
    error: float
    how: str

    def __str__(self) -> str:
        return f"rotation axis at column {self.column:.2f} ± {max(self.error, 0.01):.2f}, from {self.how}"


def estimate(rows: list[Real], angles: Real, fan: bool) -> float:
    """The column of `locate`; a fan beam whose distances are not known."""
    return locate(rows, angles, None if fan else PARALLEL).column


def locate(rows: list[Real], angles: Real, source: float | None = PARALLEL) -> Axis:
    """The column onto which the rotation axis projects, with its uncertainty, from sinograms (views, columns) of rows.

    - Lines that were measured from both sides: the ray of column c + v and the mirrored one of column c − v half a
      turn later (fan: π − 2γ later, γ the fan angle) are one line, so (p − q)² is smallest for the right c, on the
      columns whose mirror image is on the detector.  The c that explains most (`axis_pairs.support`, on raw values
      and on details) is refined to the smallest mean (p − q)²; the uncertainty is that of leaving out an eighth of
      the pairs at a time.  Objects may be cut off by one or both edges of the detector.  A parallel scan over half a
      turn has such lines only at its ends, a fan over half a turn in two triangles.
    - Parallel beams whose object stays within the detector: the centre of mass of each view (`axis_moments.centre`).
      Where both agree, the mean by their uncertainties, as uncertain as the better one: they share their noise.

    Parameters
    ----------
    rows : sinograms (views, columns), line integrals; air need not be 0.
    angles : radians, in any order.
    source : distance of the source from the detector in columns; infinite: a parallel beam; None: a fan beam whose
        distances are not known, of which only the mean over a full turn is used (it is symmetric about the axis).

    Raises
    ------
    ScanError
        Fewer views than half a turn, fewer than 16 columns, or measurements that prefer no axis, or more than one.
    """
    order, rising, circle = arrange(angles)
    m = rows[0].shape[1]
    if m < 16:
        raise ScanError(f"{m} columns are too few to find the rotation axis: pass axis=")
    if source is None and not circle:
        raise ScanError(
            "the rotation axis of a fan beam can only be found from a full turn or its distances; pass axis="
        )
    covered = float(rising[-1]) * len(rising) / max(len(rising) - 1, 1)
    fan = 0.0 if source is None else 2 * float(np.arctan(m / source))  # a fan sees lines twice within this less
    if not circle and covered < 0.97 * np.pi - fan:
        raise ScanError(
            f"the views cover {np.rad2deg(covered):.4g} degrees; the rotation axis can only be found from half a turn "
            "(180): pass axis="
        )
    ordered = [r[order] for r in rows]
    if source is None:
        mean = np.stack([np.repeat(r.mean(0)[None], 2, axis=0) for r in ordered])
        return _certain(_by_pairs(pairs.Turned(mean, np.pi, True, PARALLEL), "the mean over a turn"), m)
    t = _even(ordered, rising, circle, source)
    mass = moments.centre(np.stack(ordered), rising) if source == PARALLEL else None
    try:
        twice = _by_pairs(t, "lines seen from both sides")
    except ScanError:
        if mass is None or not SURE * mass[1] + FLOOR <= _tolerable(m):
            raise
        return Axis(mass[0], SURE * mass[1] + FLOOR, "the centre of mass of each view")
    if mass is None or abs(mass[0] - twice.column) > twice.error + SURE * mass[1] + FLOOR:
        return _certain(twice, m)
    a, b = twice.error**-2, (SURE * mass[1] + FLOOR) ** -2
    column = (a * twice.column + b * mass[0]) / (a + b)
    return _certain(Axis(column, min(twice.error, b**-0.5), f"{twice.how} and the centre of mass of each view"), m)


def _even(ordered: list[Real], rising: Real, circle: bool, source: float) -> pairs.Turned:
    """The views at even angles, an even number of them in a full turn; at most `VIEWS` where many have a partner."""
    n = len(rising)
    if circle:
        count = min(2 * ((n + 1) // 2), VIEWS)
        step = TURN / count
        closed = [np.vstack([r, r[:1]]) for r in ordered]
        lines = [_resample(r, np.append(rising, TURN), np.asarray(np.arange(count) * step, np.float64)) for r in closed]
    else:
        count = n if rising[-1] < 1.3 * np.pi else min(n, VIEWS)
        step = float(rising[-1]) / (count - 1)
        lines = [_resample(r, rising, np.asarray(np.arange(count) * step, np.float64)) for r in ordered]
    return pairs.Turned(np.stack(lines), step, circle, source)


def _by_pairs(t: pairs.Turned, how: str) -> Axis:
    m = t.lines.shape[2]
    s = max(1, -(-m // 320))  # the search runs on at most 320 columns
    coarse = t._replace(
        lines=t.lines[..., : m - m % s].reshape(*t.lines.shape[:2], -1, s).mean(-1), source=t.source / s
    )
    if t.closed and t.lines.shape[1] > 180 and t.lines.shape[1] % 4 == 0:
        coarse = coarse._replace(lines=coarse.lines[:, ::2], step=2 * t.step)
    few = coarse.lines.shape[2]
    first = max(3.0, 0.015 * few)
    tries = np.arange(first, few - 1 - first, 0.5)
    each = np.zeros((len(tries), pairs.BLOCKS))
    for band in (pairs.smoothed(coarse, 1.0), pairs.details(coarse, 1.0, 6.0)):
        each += pairs.support(pairs.ended(band), tries)
    total = each.sum(1)
    best = int(np.argmax(total))
    if not total[best] > 0:
        raise ScanError(NOTHING)
    _decided(tries, each, total, best, max(3.0, 0.03 * few))
    start, refined = tries[best] * s + (s - 1) / 2, []
    for sigma in SMOOTHING:  # the noise decides how much helps: what spreads least
        refined.append(pairs.refine(pairs.ended(pairs.smoothed(t, sigma)), start, 1.5 * s))
        if refined[-1][1] < 0.03:
            break
    refined = sorted((r for r in refined if np.isfinite(r[1])), key=lambda r: r[1])
    if not refined:
        raise ScanError(NOTHING)
    column, spread = refined[0][0], float(np.mean([r[1] for r in refined[:2]]))  # the least alone says too little
    return Axis(column, SURE * spread + FLOOR, how)


def _decided(tries: Real, each: Real, total: Real, best: int, near: float) -> None:
    """A ScanError where another axis explains nearly as much, or where the blocks of pairs do not agree."""
    voters = each.max(0) > 0
    votes = (np.abs(tries[np.argmax(each, axis=0)] - tries[best]) <= 1.5)[voters].sum()
    ends = np.pad(total, 1, constant_values=-np.inf)
    peaks = np.flatnonzero((total >= ends[:-2]) & (total >= ends[2:]))
    rivals = total[peaks[np.abs(tries[peaks] - tries[best]) > near]]
    rival = rivals.max() / total[best] if len(rivals) else 0.0
    if rival > 0.6 or votes < voters.sum() * (0.5 if rival > 0.3 else 0.25):
        raise ScanError(NOTHING)


def _certain(found: Axis, m: int) -> Axis:
    if found.error > _tolerable(m):
        raise ScanError(
            f"the rotation axis is uncertain: column {found.column:.2f} ± {found.error:.2f} from {found.how}; "
            "pass axis="
        )
    return found


def _tolerable(m: int) -> float:
    """The largest uncertainty that is no refusal: half a column, more on wide detectors."""
    return 0.5 * max(1.0, m / 640)


def _resample(lines: Real, have: Real, grid: Real) -> Real:
    """Views at the angles of `grid`, linear between the two beside it."""
    at = np.clip(np.searchsorted(have, grid, side="right"), 1, len(have) - 1)
    gap = np.maximum(have[at] - have[at - 1], 1e-12)
    share = np.clip((grid - have[at - 1]) / gap, 0, 1)[:, None]
    return (1 - share) * lines[at - 1] + share * lines[at]


def near(who: str, axis: float | Real, columns: int, views: int | None = None) -> float | Real:
    """A rotation axis in columns, checked: no further outside the detector than its width.

    An array gives the axis of each of `views` views.
    """
    column: float | Real
    if np.ndim(axis):
        column = np.asarray(check.real_array(who, "axis", axis), np.float64)
        if column.shape != (views,):
            raise ValueError(f"{who}: axis must be one column, or one for each of {views} views, got {column.shape}")
    else:
        column = check.number(who, "axis", axis)
    if not (np.min(column) >= -columns and np.max(column) <= 2 * columns):
        raise ValueError(
            f"{who}: axis={np.min(column):g} lies more than a detector width outside columns 0 to {columns - 1}; "
            "it is a column index, counted from 0"
        )
    return column
