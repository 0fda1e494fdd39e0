"""Neighbouring views: are they the most alike, did the detector jump, was a view dropped or repeated, did the beam dip?

Between view i and the next the change is fitted by  α v − s ∂p/∂u + l,  v the change per step as the views around show
it: α is the step in units of the usual one, s a shift of the detector in columns, l a change of the level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varinv.scan.checks.sight import Real, Sight, middle
from varinv.scan.checks.table import DOUBT, OK, Check, judged, undecided

ORDER, CHANGE, JUMP, STEP, LEVEL = (
    "order of the views",
    "change between views",
    "shift between views",
    "missing views",
    "level between views",
)
SPREADS = 7  # spreads that make an outlier: the largest of some hundred gaps of right scans reaches 3 to 4, rarely 6
LARGER = 4.0  # a change between views of four usual ones is no single missing view: those have a test of their own
FEW = 30
WIDTH = 2.0  # columns by which views are smoothed before they are compared


def neighbours(s: Sight) -> Iterator[Check]:
    """The tests of order, shifts, steps and levels; over the views in angular order."""
    order = s.turn[0] if s.geometry is not None else np.arange(len(s.lines))
    if min(s.lines.shape) < FEW:
        yield undecided(ORDER, f"fewer than {FEW} views or columns")
        return
    yield from _repeated(s)
    # half of what the rim of the object moves by in a step: what is finer comes and goes between two views
    width = max(WIDTH, 0.25 * s.turn[1] / len(order) * s.lines.shape[1]) if s.geometry is not None else WIDTH
    y = _smooth(s.lines[order], width)
    quiet = s.noise_power / (2 * width * np.sqrt(np.pi))  # variance of the smoothed noise
    yield _ordered(y, quiet)
    if not s.even:
        for name in (CHANGE, JUMP, STEP, LEVEL):
            yield undecided(name, "the angles are uneven, so unequal changes mean nothing")
        return
    yield _odd(y, quiet, order, s.gaps)
    # the fit is no better than a thousandth of the contrast, with or without noise
    changes = _changes(y, max(np.sqrt(s.noise_power), 1e-3 * s.contrast), quiet, s.gaps)
    if len(changes.at) < FEW // 2:
        for name in (JUMP, STEP, LEVEL):
            yield undecided(name, "too few views stand at even angles among others")
        return
    places, (step, shift, level), errors = order[changes.at], changes.values.T, changes.errors.T
    yield _outlier(
        JUMP, shift, errors[1], 0.3, places,
        "the views jump by {:.2f} columns after view {}: the detector or the sample moved; reconstruct the parts "
        "apart or shift them back",
    )  # fmt: skip
    if not np.isfinite(errors[0]).all():
        yield undecided(STEP, "the views change by less than their noise from one to the next")
    else:
        yield _outlier(
            STEP, step, errors[0], 0.6, places,
            "the step of rotation is larger by {:.2f} of the usual step after view {}: a missing (dropped) view; give "
            "the measured angles",
            smaller=False,  # a turn that seems to stop or to run back is a sharp object that the fit cannot follow
        )  # fmt: skip
    yield _outlier(
        LEVEL, level / s.contrast, errors[2] / s.contrast, 0.01, places,
        "the level of the views changes by {:.3f} of the contrast after view {}: a dip or jump of the beam; "
        "scan.using(air=True)",
    )  # fmt: skip


def _smooth(lines: Real, width: float) -> Real:
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(gaussian_filter1d(lines, width, axis=1, mode="nearest"))


def _repeated(s: Sight) -> Iterator[Check]:
    """Views that equal the one before to the last bit; noise never repeats."""
    if not s.noise > 0:
        yield undecided("repeated views", "without noise equal views mean nothing")
        return
    data = s.lines if s.numbers is None else s.numbers
    same = np.flatnonzero((data[1:] == data[:-1]).all(1)) + 1
    where = ", ".join(map(str, same[:5]))
    yield judged(
        "repeated views", float(len(same)), 0.0,
        f"views {where} repeat the frame before them, to the last bit: frames were lost and repeated by the camera; "
        "leave them out with scan.views",
    )  # fmt: skip


def _ordered(y: Real, quiet: float) -> Check:
    """Mean square of neighbours' difference over that of any two views, without noise."""
    near_by = max(float(np.mean(np.diff(y, axis=0) ** 2)) - 2 * quiet, 0.0)
    apart = 2 * float(np.mean(np.var(y, axis=0, ddof=1))) - 2 * quiet
    # what the views differ by must be more than their noise: it is not known to better than some ten per cent
    if not apart > quiet:
        return undecided(ORDER, "all views look alike")
    figure = near_by / apart
    limit = 1 - min(5 / np.sqrt(len(y)), 0.4)  # shuffled views: 1, give or take 1/√views
    good = figure <= limit
    said = (
        "neighbouring views are no more alike than distant ones: the views are shuffled (order of file names?) or the "
        "angles belong to other views"
    )
    return Check(ORDER, figure, limit, OK if good else DOUBT, "" if good else said)


def _odd(y: Real, quiet: float, order: NDArray[np.intp], even: NDArray[np.bool_]) -> Check:
    """The change from one view to the next, rms and without noise, over what is usual in the gaps around and in all."""
    change = np.mean(np.diff(y, axis=0) ** 2, axis=1)
    # the noise of a mean of squares over a smoothed row, about five columns of which are independent numbers
    scatter = 2 * quiet * np.sqrt(2 * 5 / y.shape[1])
    size = np.sqrt(np.maximum(change - 2 * quiet, 0.0))
    around = np.stack([np.roll(size, k) for k in (-3, -2, -1, 1, 2, 3)])
    usual = np.sqrt(np.maximum(np.median(around, 0), np.median(size)) ** 2 + SPREADS * scatter / LARGER**2) + 1e-300
    ratio = np.where(even, size / usual, 0.0)
    at = int(np.argmax(ratio))
    return judged(
        CHANGE, float(ratio[at]), LARGER,
        f"view {order[at]} and the next, view {order[at + 1]}, differ much more than others: views out of order (file "
        "names sorted as text?), a view of another sample, a jump of the sample, missing views",
    )  # fmt: skip


class Changes(NamedTuple):
    """What the fit finds in each gap between views: values and standard errors of (step, shift, level)."""

    at: NDArray[np.intp]  # the view before the gap
    values: Real  # (gaps, 3)
    errors: Real  # (gaps, 3): large where a turn of the object looks like a shift of the detector


def _changes(y: Real, noise: float, quiet: float, even: NDArray[np.bool_]) -> Changes:
    """Least squares in each gap; without the step, whose error is then infinite, where the noise hides the turn."""
    n = len(y)
    change = np.diff(y, axis=0)
    power = float(np.median(np.mean(change**2, 1))) - 2 * quiet
    # v over k steps on either side has 1/(2 k²) of the noise of one difference: below 3 % of the change it biases
    # the step by as much
    k = next((k for k in range(1, 7) if quiet / k**2 < 0.03 * max(power, 0.0)), 0)
    at = np.arange(k, n - 1 - k)
    at = at[np.all([even[at + d] for d in range(-k, k + 1)], axis=0)]
    around = np.gradient(0.5 * (y[at] + y[at + 1]), axis=1)
    basis = [-around, np.ones_like(around)]
    if k:
        basis.insert(0, 0.5 * ((y[at] - y[at - k]) + (y[at + 1 + k] - y[at + 1])) / k)
    stack = np.stack(basis, -1)
    normal = np.einsum("imk,iml->ikl", stack, stack)
    scale = np.sqrt(np.einsum("ikk->ik", normal)) + 1e-300
    normal = normal / scale[:, :, None] / scale[:, None, :] + 1e-6 * np.eye(len(basis))
    right = np.einsum("imk,im->ik", stack, change[at]) / scale
    found = np.linalg.solve(normal, right[..., None])[..., 0] / scale
    rest = change[at] - np.einsum("imk,ik->im", stack, found)
    # what the fit leaves, where that is more than noise; about seven columns of noise smoothed over two count as one
    noise_here = np.sqrt(np.maximum(2 * noise**2, 2 * WIDTH * np.sqrt(np.pi) * np.mean(rest**2, 1)))
    errors = noise_here[:, None] * np.sqrt(np.einsum("ikk->ik", np.linalg.inv(normal))) / scale
    if not k:
        found = np.insert(found, 0, 0.0, axis=1)
        errors = np.insert(errors, 0, np.inf, axis=1)
    return Changes(at, found, errors + 1e-300)


def _outlier(
    name: str, values: Real, errors: Real, least: float, places: NDArray[np.intp], text: str, smaller: bool = True
) -> Check:
    """The gap that stands out most, in standard errors; errors are raised to what usual gaps scatter by."""
    values = values - np.median(values)
    beside = np.maximum(np.abs(np.append(values[1:], 0)), np.abs(np.append(0, values[:-1])))
    errors = errors * max(middle(values / errors), 1.0)
    limits = np.maximum(SPREADS * errors, least)
    # what is in one gap alone: from that gap, half of it reaches the fits of the two beside it
    limits = np.maximum(limits, 1.5 * beside)
    at = int(np.argmax((np.abs(values) if smaller else values) / limits))
    figure, limit = float(abs(values[at]) if smaller else max(values[at], 0.0)), float(limits[at])
    good = figure <= limit
    return Check(name, figure, limit, OK if good else DOUBT, "" if good else text.format(values[at], int(places[at])))
