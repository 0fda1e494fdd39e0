"""How much of the row was measured: gaps, saturated and struck measurements, columns that answer differently, flats."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from varinv.scan.checks.sight import VISIBLE, Real, Sight, middle
from varinv.scan.checks.table import Check, judged, undecided

WIDEST = 3  # columns that a straight line bridges: a ray through pixels of the same size reads about as many
SHARE = 0.05  # of the measurements that may be missing: more than is lost by cutting the views by a twentieth


def gaps(s: Sight) -> Iterator[Check]:
    """The widest run of columns of a view that were not measured; what lies outside the beam at the ends is none."""
    bad = ~s.valid
    yield judged(
        "missing measurements",
        float(bad.mean()),
        SHARE,
        "many measurements are missing or dead (NaN, dead columns, non-positive); they were interpolated: weight "
        "them with scan.weight, or cut those views or columns",
    )
    yield judged(
        "widest gap",
        float(_longest_run(bad)),
        WIDEST,
        "a block of neighbouring columns is dead or missing (NaN, dead columns, lost views); the interpolation across "
        "it is a guess: weight it with scan.weight, or cut it away",
    )


def _longest_run(bad: NDArray[np.bool_]) -> int:
    whole = bad.all(0)
    kept = np.flatnonzero(~whole)  # a camera wider than the beam
    if not len(kept):
        return int(bad.shape[1])
    bad = bad[:, kept[0] : kept[-1] + 1]
    length = np.zeros(len(bad), np.intp)
    longest = 0
    for column in bad.T:
        length = (length + 1) * column
        longest = max(longest, int(length.max()))
    return longest


def saturation(s: Sight) -> Iterator[Check]:
    """Share of the numbers of the file that equal their largest, beyond what the values below it let expect.

    Without noise many equal values mean nothing; with noise of more than one step the largest value is rare.
    """
    name = "saturation"
    if s.numbers is None:
        yield undecided(name, "the numbers of the file cannot be read as one row")
        return
    worst = 0.0
    for numbers in (s.numbers, s.flats):
        if numbers is None:
            continue
        worst = max(worst, _pile(numbers))
    # one in a thousand at the very same value: a tail of noise puts a few there
    yield judged(
        name,
        worst,
        1e-3,
        "many measurements share the largest value: the detector is saturated (or the values were clipped); "
        "shorten the exposure, or leave them out with a weight of 0",
    )


def _pile(numbers: Real) -> float:
    stuck = np.ptp(numbers, axis=0) == 0 if len(numbers) > 1 else np.zeros(numbers.shape[1], bool)
    values = numbers[:, ~stuck]
    values = values[np.isfinite(values)]
    if values.size < 100:
        return 0.0
    top = float(values.max())
    noise = _noise_below(numbers[:, ~stuck], top)
    steps = np.unique(values)[-2:]
    if not noise > 1e-3 * np.ptp(values) or len(steps) < 2:  # without noise equal values mean nothing
        return 0.0
    at = int((values == top).sum())
    near = int(((values >= top - noise) & (values < top)).sum())
    natural = near * max(float(steps[1] - steps[0]), 0.0) / noise + 3  # were the values spread evenly there
    return float(max(at - 3 * natural, 0.0) / values.size)


def _noise_below(numbers: Real, top: float) -> float:
    """Noise from the lower quarter of third differences without the largest value: 0 where air has none."""
    if numbers.shape[1] < 4:
        return 0.0
    bend = np.abs(np.diff(numbers, 3, axis=1))
    below = (numbers < top) & np.isfinite(numbers)
    free = below[:, :-3] & below[:, 1:-2] & below[:, 2:-1] & below[:, 3:]
    # a quarter of the absolute values of a normal variable is below 0.3186 deviations; 1, 3, 3, 1: √20 of one
    return float(np.quantile(bend[free], 0.25)) / 0.3186 / np.sqrt(20) if free.any() else 0.0


def outliers(s: Sight) -> Iterator[Check]:
    """Share of measurements that stand apart from both neighbours along the detector and both neighbouring views.

    In the same direction, by eight deviations of the noise and eight times what their surroundings do.
    """
    y = s.lines
    if min(y.shape) < 5 or not s.noise > 0:
        yield undecided("outliers", "too few views or columns, or no noise")
        return
    order = s.turn[0] if s.geometry is not None else np.arange(len(y))
    y = y[order]
    inner = y[1:-1, 2:-2]
    around = np.stack([y[:-2, 2:-2], y[2:, 2:-2], y[1:-1, 1:-3], y[1:-1, 3:-1]])
    apart = inner - around
    same = np.abs(np.sign(apart).sum(0)) == 4
    least = np.abs(apart).min(0)
    # structure in the surroundings, and the flank of a narrow peak of the object
    usual = np.median(np.abs(np.diff(around, axis=0)), axis=0)
    flank = np.maximum(np.abs(y[1:-1, 1:-3] - y[1:-1, :-4]), np.abs(y[1:-1, 3:-1] - y[1:-1, 4:]))
    large = np.maximum(8 * s.noise_at(inner), VISIBLE * s.contrast)
    struck = same & (least > large) & (least > 4 * usual) & (least > 3 * flank)
    count = int(struck.sum())
    # noise alone reaches eight deviations once in 10^15; a few may be true specks
    yield judged(
        "outliers",
        count / inner.size,
        max(1e-4, 3.5 / inner.size),
        f"{count} single measurements stand apart from all around them (zingers, hot pixels): leave them out with a "
        "weight of 0, or filter them",
    )


def stripes(s: Sight) -> Iterator[Check]:
    """Column differences that stay through all views (rms, as a share of the contrast): they become rings.

    The mean over the views of second differences along the detector; a turning object averages out there.
    """
    bend = np.diff(s.lines, 2, axis=1) / np.sqrt(6)
    ring = middle(bend.mean(0))
    yield judged(
        "stripes",
        ring / s.contrast,
        max(VISIBLE / 3, 5 * s.noise / s.contrast / np.sqrt(len(s.lines))),
        "columns differ in all views alike, which gives rings: flats that do not fit (mixed up, of another time or "
        "detector position); pass the right flats, or scan.using(stripes=9)",
    )


def flats(s: Sight) -> Iterator[Check]:
    """Largest deviation of one flat from their median, median over the columns, relative."""
    if not s.counts or s.flats is None:
        return
    if len(s.flats) < 2:
        yield undecided("flats", "one flat only: whether the beam was steady is not known")
        return
    usual = np.median(s.flats, axis=0)
    good = np.isfinite(usual) & (usual > 0.1 * np.nanmedian(usual))
    if not good.any():
        return
    ratio = s.flats[:, good] / usual[good] - 1
    off = np.abs(np.median(ratio, axis=1))
    shape = np.median(np.abs(ratio - np.median(ratio, 1, keepdims=True)), axis=1)
    usual_shape = float(np.median(shape))
    figure = float(max(off.max(), (shape - 2 * usual_shape).max()))
    yield judged(
        "flats",
        figure,
        VISIBLE,
        "the flats differ from each other: another exposure, a fading beam or flats mixed up; "
        "leave out those that do not belong, or pass flats of the time of the views",
    )
