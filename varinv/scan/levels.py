"""The level of each view: air at the edges, dips of the beam, views that repeat each other, jumps of the object."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from varinv import check
from varinv.scan.record import Mask, Real, Repairs, views_named

# What is less than 3 % of the intensity is called flicker: 0.03 on line integrals
DIP = 0.03
FEW, NARROW = 20, 48  # fewer views, or columns, say too little of what is common to all of them
OTHER = 0.1  # a constant offset of air by this much (10 %) is no drift of a lamp, but flats of another exposure


class Air(NamedTuple):
    """Where air was found at the edges of a row."""

    left: Real  # level at the left edge of each view
    right: Real
    seen: Mask  # (views, 2): which edges are air
    noise: float = 0.0  # deviation of a level
    flat: bool = True  # over all views together the level does not change along the edges: no shoulder of an object


def find_air(lines: Real, limit: float) -> Air | None:
    """The level of air at either edge of each view; None where the object is wider than the detector.

    Air is looked for in the outer 4 % of the columns on either side of each view.  An edge is air where its level is
    below `limit`, does not change over twice that width, and does not exceed the other edge by more than it usually
    does; all within 5 % of the contrast or thrice the noise.  A row where fewer than half of the edges are air has
    none: there the object is wider than the detector.
    """
    columns = lines.shape[1]
    width = max(3, round(0.04 * columns))
    if 4 * width > columns:
        return None
    outer = np.stack([np.median(lines[:, :width], 1), np.median(lines[:, -width:], 1)], 1)
    inner = np.stack([np.median(lines[:, width : 2 * width], 1), np.median(lines[:, -2 * width : -width], 1)], 1)
    noise = 1.4826 * float(np.median(np.abs(np.diff(lines[:, :width], axis=1)))) / np.sqrt(2)
    contrast = float(np.percentile(lines - outer.min(1, keepdims=True), 99))
    tolerance = max(3 * noise, 0.05 * contrast)
    excess = outer[:, 0] - outer[:, 1]
    excess = excess - np.median(excess)
    air = (np.stack([excess, -excess], 1) < tolerance) & (np.abs(inner - outer) < tolerance) & (outer < limit)
    if air.mean() < 0.5:
        return None
    # the median over the views is known better than each view; a beam may be bowed by a part of its level, an object
    # that is cut off by the detector falls by a third of it over these columns
    bend, level = np.abs(np.median(inner - outer, axis=0)), np.abs(np.median(outer, axis=0))
    flat = bool((bend < np.maximum(0.05 * contrast, 0.15 * level))[air.mean(0) >= 0.5].all())
    # a median scatters by 1.25/√n
    return Air(outer[:, 0], outer[:, 1], np.asarray(air), 1.25 * noise / float(np.sqrt(width)), flat)


def normalise_air(lines: Real, limit: float) -> tuple[Real, int]:
    """Subtract the level of air, so that it is 0; returns the number of views where air was found.

    Air at both edges (`find_air`) gives a straight line, at one a constant; a view without any stays as it is, and so
    does a row without.
    """
    air = find_air(lines, limit)
    if air is None:
        return lines, 0
    both = air.seen.all(1)
    slope = np.where(both, air.right - air.left, 0.0)[:, None]
    base = np.where(air.seen[:, 0], air.left, np.where(air.seen[:, 1], air.right, 0.0))[:, None]
    return lines - base - slope * np.linspace(0, 1, lines.shape[1]), int(air.seen.any(1).sum())


def repeated(data: Real, angles: Real, alive: Mask) -> np.ndarray:
    """Views that hold the very numbers of the view before, at another angle: the camera sent a frame twice.

    Noise never repeats itself.  Where more than 2 % of single readings equal those of the view before, or a tenth of
    the views repeats, the data have little noise and say nothing.
    """
    if len(data) < 8 or alive.sum() < 8:
        return np.zeros(0, np.intp)
    equal = (data[1:] == data[:-1])[:, alive].mean(1)
    twice = (equal == 1) & (np.diff(angles) != 0)
    rest = equal[equal < 1]
    if not rest.size or float(np.median(rest)) > 0.02 or twice.mean() > 0.1:
        return np.zeros(0, np.intp)
    return np.flatnonzero(twice) + 1


def dips(lines: Real, angles: Real, air: Air | None) -> tuple[Real, np.ndarray, str]:
    """Views whose level leaves that of the views around: (offset of each view, their numbers, a doubt or "").

    With air at the edges its level is followed through the views; without, the median change from view to view.  Runs
    of up to a quarter of the views count as dips; a level that changes and stays is a doubt.
    """
    offset = np.zeros(len(lines))
    none = np.zeros(0, np.intp)
    if len(lines) < FEW or lines.shape[1] < NARROW:
        return offset, none, ""
    order = np.argsort(angles, kind="stable")
    level = _course(lines[order], None if air is None else Air(air.left[order], air.right[order], air.seen[order]))
    change = np.diff(level)
    usual = _running(change, 5)
    # ten deviations: never by chance; a turning object changes the median slowly, and the running median follows it
    spread = 1.4826 * float(np.median(np.abs(change - usual)))
    flicker = 1.4826 * float(np.median(np.abs(change - np.median(change))))  # five times: once in a million steps
    steps = np.flatnonzero(np.abs(change - usual) > max(DIP, 10 * spread, 5 * flicker))
    found, lasting = _runs(change - usual, steps, len(lines))
    for start, stop, height in found:
        base = (level[start - 1] + level[min(stop, len(level) - 1)]) / 2 if start > 0 and stop < len(level) else None
        for k in range(start, stop):
            offset[order[k]] = height if base is None or air is None else level[k] - base
    doubt = ""
    # what stays is seen in the five views on either side together, noise is not
    lasting = [
        (at, height) for at, height in lasting
        if (np.median(level[at : at + 5]) - np.median(level[max(0, at - 5) : at])) / height > 0.6
    ]  # fmt: skip
    if lasting:
        at, height = max(lasting, key=lambda found: abs(found[1]))
        doubt = (
            f"the level of the views changes by {100 * np.expm1(-height):+.2g} % at view {order[at]} and stays so: "
            "take it from the air at the edges with using(air=True), or give flats of both parts"
        )
    return offset, np.flatnonzero(offset), doubt


def _course(p: Real, air: Air | None) -> Real:
    """The level of views in order, up to a slow change."""
    if air is not None and air.seen.any(1).mean() > 0.9:
        shown = air.seen.any(1)
        centred = np.stack([air.left - np.median(air.left), air.right - np.median(air.right)], 1)
        some = np.where(air.seen, centred, 0).sum(1) / np.maximum(air.seen.sum(1), 1)
        level = np.interp(np.arange(len(p)), np.flatnonzero(shown), some[shown])
        return np.asarray(level)
    change = np.median(np.diff(p, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(change)])


def _running(values: Real, width: int) -> Real:
    from scipy.ndimage import median_filter

    return np.asarray(median_filter(values, width, mode="mirror"))  # an end is not its own neighbour


def _runs(change: Real, steps: np.ndarray, views: int) -> tuple[list[tuple[int, int, float]], list[tuple[int, float]]]:
    """Pairs of opposite steps: (first view, view after the last, height); and the steps that find no partner."""
    found: list[tuple[int, int, float]] = []
    lasting: list[tuple[int, float]] = []
    k = 0
    while k < len(steps):
        height = float(change[steps[k]])
        # a step may take two views: what lies side by side and of one sense belongs together
        last = k
        while last + 1 < len(steps) and steps[last + 1] == steps[last] + 1 and change[steps[last + 1]] * height > 0:
            last += 1
            height += float(change[steps[last]])
        back = next(
            (j for j in range(last + 1, len(steps)) if steps[j] - steps[k] <= views // 4
             and change[steps[j]] * height < 0 and abs(change[steps[j]] + height) < 0.5 * abs(height)),
            None,
        )  # fmt: skip
        if back is None:
            first = steps[k] + 1
            if first <= 2:  # the first views are those of another level
                found.append((0, int(first), -height))
            elif first >= views - 2:
                found.append((int(first), views, height))
            else:
                lasting.append((int(first), height))
            k = last + 1
        else:
            found.append((int(steps[k]) + 1, int(steps[back]) + 1, height))
            k = back + 1
    return found, lasting


def jumps(lines: Real, angles: Real) -> list[tuple[int, int]]:
    """Views before which the whole sinogram moved sideways: (view, columns it moved by).

    The mean |change| from the view before is more than three times that of the 21 views around, and a shift by two to
    a sixth of the columns takes two thirds of it away: the object slipped or the detector was moved.  A drop or a
    strike is no shift; a gap in the angles is not judged.
    """
    order = np.argsort(angles, kind="stable")
    p, steps = lines[order], np.diff(angles[order])
    if len(p) < FEW or p.shape[1] < NARROW:
        return []
    change = np.diff(p, axis=0)
    change -= np.median(change, axis=1, keepdims=True)
    size = np.abs(change).mean(1)
    usual = _running(size, 21)
    found = []
    for k in np.flatnonzero((size > 3 * usual) & (steps <= 1.5 * np.median(steps))):
        best, rest = _shift(p[k], p[k + 1])
        if abs(best) >= 2 and rest < size[k] / 3:
            found.append((int(order[k + 1]), best))
    # a slip lasts: two opposite ones side by side are one odd view
    return [f for f in found if not any(abs(f[0] - g[0]) == 1 and f[1] * g[1] < 0 for g in found)]


def _shift(first: Real, second: Real) -> tuple[int, float]:
    """The shift of the second view against the first that explains it best, and the mean |difference| that is left."""
    m = len(first)
    best, rest = 0, np.inf
    for s in range(-(m // 6), m // 6 + 1):
        a = first[max(0, -s) : m - max(0, s)]
        b = second[max(0, s) : m - max(0, -s)]
        left = float(np.abs(b - a - np.median(b - a)).mean())
        if left < rest:
            best, rest = s, left
    return best, rest


def other_exposure(air: Air | None, repairs: Repairs) -> None:
    """Doubt flats that do not belong to the views: air is not 0, or drifts away from it, where all else is still."""
    if air is None or not air.flat or len(air.seen) < FEW:
        return
    remedy = "take the level of air from the edges with using(air=True), or state it with using(air=levels)"
    some = np.concatenate([air.left[air.seen[:, 0]], air.right[air.seen[:, 1]]])
    level, spread = float(np.median(some)), 1.4826 * float(np.median(np.abs(some - np.median(some))))
    # an edge of the object changes as it turns, air hardly does
    if abs(level) > OTHER and spread < 0.3 * abs(level):
        repairs.doubt(
            f"air is at {100 * np.exp(-level):.3g} % of the flats (line integral {level:+.2g} where it should be 0): "
            f"they were taken at another exposure or intensity; {remedy}"
        )
        return
    both = air.seen.all(1)
    if both.sum() < 20:
        return
    # both edges together: a beam that bends or moves raises one and lowers the other
    course = ((air.left + air.right) / 2)[both]
    tenth = max(len(course) // 10, 3)
    drift = float(np.median(course[-tenth:]) - np.median(course[:tenth]))
    each = [np.median(edge[both][-tenth:]) - np.median(edge[both][:tenth]) for edge in (air.left, air.right)]
    line = np.linspace(0, drift, len(course))
    flicker = 1.4826 * float(np.median(np.abs(course - line - np.median(course - line))))
    if flicker > OTHER / 2 + 2 * air.noise and spread < 2 * flicker:
        repairs.doubt(f"air flickers by ±{100 * flicker:.2g} % from view to view: {remedy}")
        return
    # both edges must show it: the object may come near one
    if abs(drift) > 0.8 * OTHER and flicker < 0.3 * abs(drift) and min(each) / drift > 0.4 and max(each) / drift > 0.4:
        repairs.doubt(
            f"air drifts by {100 * np.expm1(-drift):+.2g} % from the first views to the last, and the flats do not "
            f"follow: {remedy}"
        )


def report_dips(found: np.ndarray, corrected: bool, repairs: Repairs) -> None:
    """Put the views of another level on record."""
    what = "levelled by the air at their edges" if corrected else "not used"
    repairs.note(f"views of another level than their neighbours, {what}", views_named(found))


def of_views(given: Any, picked: np.ndarray, views: int) -> bool | tuple[float, ...]:
    """The option `air` as the user gave it for the picked views, for all views of the file: True, False or levels."""
    if isinstance(given, (bool, np.bool_)):
        return bool(given)
    levels = np.asarray(given)
    if levels.dtype.kind not in "fiu" or levels.shape != (len(picked),):
        raise TypeError(
            f"using: air must be True or False, or the level of the beam in each of the {len(picked)} views, "
            f"got {check.describe(given)}"
        )
    if not (np.isfinite(levels) & (levels > 0)).all():
        raise ValueError("using: the levels of air must be positive: 1 where the beam is as in the flats")
    every = np.ones(views)
    every[picked] = levels
    return tuple(every.tolist())
