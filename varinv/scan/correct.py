"""From counts to line integrals, one detector row at a time: every repair is counted and named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray

Real = NDArray[np.float64]
Repairs = dict[str, list[str]]  # what was done -> where, one entry a case


class Row(NamedTuple):
    """One corrected detector row: all of shape (views, columns)."""

    lines: Real  # line integrals, finite everywhere
    valid: NDArray[np.bool_]  # False where the value was interpolated
    counts: Real  # detected intensity, 1 for line integrals; 0 where not valid


class Options(NamedTuple):
    """What `correct` does besides flat, dark, logarithm and the repair of dead pixels."""

    air: bool = False
    stripes: int = 0


PLAIN = Options()
HUGE = 1e30  # what float32 results cannot hold with room to spare counts as infinite
NO_AIR = "views without air at the edges, left as they are"


def say(repairs: Repairs) -> tuple[str, ...]:
    """One sentence a kind of repair, with its count and the first places."""
    lines = []
    for what, where in repairs.items():
        places = list(dict.fromkeys(w for w in where if w))
        named = f" ({', '.join(places[:8])}{', …' if len(places) > 8 else ''})" if places else ""
        lines.append(f"{what}: {len(where)}{named}")
    return tuple(lines)


def merge(parts: Iterable[Repairs]) -> Repairs:
    """The repairs of several rows together; a dropped frame counts once."""
    total: Repairs = {}
    for part in parts:
        for what, where in part.items():
            have = total.setdefault(what, [])
            have += [w for w in where if w not in have] if "dropped" in what else where
    return total


def average(frames: Real, reference: float, what: str, repairs: Repairs) -> Real:
    """The mean over flats (or darks) of one row, (frames, columns) → (columns,).

    A frame whose level (median over the columns) is less than half or more than twice the median of all levels, both
    above `reference`, was taken with the beam off (or on) and is dropped; then, or where values are not finite, the
    median over the rest is used in place of the mean.
    """
    level = np.array([np.median(f[np.isfinite(f)]) if np.isfinite(f).any() else np.nan for f in frames]) - reference
    usual = float(np.nanmedian(level)) if np.isfinite(level).any() else np.nan
    # |usual| + 1: darks scatter about 0, one count is no reason to drop one
    bad = ~np.isfinite(level)
    if len(frames) > 2:
        low, high = (0.5 * usual, 2 * usual) if usual > 1 else (-np.inf, 2 * abs(usual) + 1)
        bad |= (level < low) | (level > high)
    if bad.all():
        raise ScanError(f"none of {len(frames)} {what}s is usable: no finite values")
    if bad.any():
        repairs[f"{what}s dropped (level far from the others, beam off or on)"] = [
            f"frame {k}" for k in np.where(bad)[0]
        ]
    good = frames[~bad]
    finite = np.isfinite(good)
    if not bad.any() and finite.all():
        return np.asarray(good.mean(0))
    some = np.where(finite, good, np.nan)
    empty = ~finite.any(0)
    some[:, empty] = 0.0
    result = np.nanmedian(some, axis=0)
    result[empty] = np.nan
    return np.asarray(result, np.float64)


def reference(
    flats: AnyArray | None, darks: AnyArray | None, columns: int, repairs: Repairs
) -> tuple[Real, Real | None]:
    """Dark level and gain (flat minus dark) of one row; the dark is 0 without darks, the gain None without flats.

    Raises
    ------
    ScanError
        Flats no brighter than the darks within five times their noise: the beam was off.
    """
    dark = np.zeros(columns)
    noise = 0.0
    if darks is not None:
        frames = darks.astype(np.float64)
        dark = average(frames, 0.0, "dark", repairs)
        known = frames[:, np.isfinite(frames).all(0)]
        if known.size:  # the median absolute deviation between frames; within the frame where there is but one
            centred = known - np.median(known, axis=0 if len(known) > 1 else None)
            noise = 1.4826 * float(np.median(np.abs(centred)))
    if flats is None:
        return dark, None
    gain = average(flats.astype(np.float64), float(np.median(dark[np.isfinite(dark)])), "flat", repairs) - dark
    level = float(np.median(gain[np.isfinite(gain)])) if np.isfinite(gain).any() else 0.0
    if not level > 5 * noise:
        raise ScanError(
            f"the flats are no brighter than the darks (median difference {level:.3g}, noise {noise:.3g}): "
            "was the beam off?"
        )
    return dark, gain


def correct(
    data: Real, dark: Real, gain: Real | None, options: Options, angles: Real, row: int, repairs: Repairs
) -> Row:
    """Line integrals −log((data − dark)/gain) of one row, repaired; without a gain it is 1 and air sets the level.

    - A pixel is dead or hot where its gain is not finite or at most 10 % of the row's median, where most of its
      measurements are unusable, where its level exceeds twice that of its neighbours and of air, or where it alone
      never changes although its neighbours are elsewhere.
    - A measurement is unusable where it is not finite or its transmission is not positive.
    - Both are interpolated linearly along the detector, from the nearest valid line integrals of the same view;
      a view without any is interpolated between the views beside it in angle.
    """
    # flats within a factor of two of the beam: more at the edges is no air; without flats any level may be air
    limit = np.inf if gain is None else np.log(2)
    gain = np.ones(data.shape[1]) if gain is None else gain
    with np.errstate(all="ignore"):
        signal = data - dark
        through = signal / gain
        finite = np.isfinite(through) & (np.abs(signal) < HUGE)
        usable = finite & (through > 0)
        dead = _dead(data, gain, through, usable)
        lines = -np.log(np.where(usable, through, 1.0))
    alive = ~dead
    _note(repairs, "dead or hot pixels interpolated", [f"row {row} column {c}" for c in np.flatnonzero(dead)])
    _note(repairs, "NaN or infinite measurements interpolated", [""] * int((~finite & alive).sum()))
    _note(repairs, "non-positive transmissions interpolated", [""] * int((finite & ~usable & alive).sum()))
    valid = usable & alive
    lines = _fill(lines, valid, angles, row, repairs)
    counts = np.where(valid, signal, 0.0)
    return Row(_finish(lines, options, limit, row, repairs), valid, counts)


def repair_lines(data: Real, options: Options, angles: Real, row: int, repairs: Repairs) -> Row:
    """The same for data that are line integrals already: values that are not finite are missing."""
    valid = np.abs(data) < HUGE  # NaN is not
    views = np.asarray(valid.any(1))
    dead = ~valid[views].any(0) if views.any() else np.zeros(data.shape[1], bool)
    _note(repairs, "dead or hot pixels interpolated", [f"row {row} column {c}" for c in np.flatnonzero(dead)])
    rest = ~valid & ~dead & views[:, None]
    _note(repairs, "NaN or infinite measurements interpolated", [""] * int(rest.sum()))
    lines = _fill(np.where(valid, data, 0.0), valid, angles, row, repairs)
    # the logarithm was taken by others: air is near 0 on the scale of the object
    lines = _finish(lines, options, 0.2 * float(np.percentile(lines, 99)), row, repairs)
    return Row(lines, valid, valid.astype(np.float64))


def _note(repairs: Repairs, what: str, where: list[str]) -> None:
    if where:
        repairs.setdefault(what, []).extend(where)


def _dead(data: Real, gain: Real, through: Real, usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import median_filter

    positive = np.isfinite(gain) & (gain > 0)
    dead = ~positive | (gain <= 0.1 * np.median(gain[positive])) if positive.any() else np.ones(len(gain), bool)
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


def _fill(lines: Real, valid: NDArray[np.bool_], angles: Real, row: int, repairs: Repairs) -> Real:
    share = valid.mean()
    if share < 0.1:  # too little is left to be called a measurement
        raise ScanError(f"only {int(valid.sum())} of {valid.size} measurements are usable")
    if share == 1:
        return lines
    columns = np.arange(lines.shape[1])
    empty = np.asarray(~valid.any(1))
    lines = lines.copy()
    for v in np.flatnonzero(~valid.all(1) & ~empty):
        lines[v, ~valid[v]] = np.interp(columns[~valid[v]], columns[valid[v]], lines[v, valid[v]])
    if empty.any():
        _note(repairs, "views without a usable measurement interpolated", [f"view {v}" for v in np.flatnonzero(empty)])
        order = np.argsort(angles, kind="stable")
        full = order[~empty[order]]
        for v in np.flatnonzero(empty):
            after = int(np.searchsorted(angles[full], angles[v]))
            a, b = full[max(after - 1, 0)], full[min(after, len(full) - 1)]
            gap = angles[b] - angles[a]
            share = (angles[v] - angles[a]) / gap if gap > 0 else 0.5
            lines[v] = (1 - share) * lines[a] + share * lines[b]
    return lines


def _finish(lines: Real, options: Options, limit: float, row: int, repairs: Repairs) -> Real:
    if options.stripes:
        lines = _without_stripes(lines, options.stripes)
        _note(repairs, f"rows with stripes removed (window of {options.stripes} columns)", [f"row {row}"])
    if options.air:
        lines, done = normalise_air(lines, limit)
        _note(repairs, "views set to 0 in air", [""] * done)
        _note(repairs, NO_AIR, [""] * (len(lines) - done))
    return lines


def normalise_air(lines: Real, limit: float) -> tuple[Real, int]:
    """Subtract the level of air, so that it is 0; returns the number of views where air was found.

    Air is looked for in the outer 4 % of the columns on either side of each view.  An edge is air where its level is
    below `limit`, does not change over twice that width, and does not exceed the other edge by more than it usually
    does; all within 5 % of the contrast or thrice the noise.  Two such edges give a straight line, one a constant;
    a view without any stays as it is, and so does a row where fewer than half of the edges are air: there the object
    is wider than the detector.
    """
    columns = lines.shape[1]
    width = max(3, round(0.04 * columns))
    if 4 * width > columns:
        return lines, 0
    outer = np.stack([np.median(lines[:, :width], 1), np.median(lines[:, -width:], 1)], 1)
    inner = np.stack([np.median(lines[:, width : 2 * width], 1), np.median(lines[:, -2 * width : -width], 1)], 1)
    noise = 1.4826 * float(np.median(np.abs(np.diff(lines[:, :width], axis=1)))) / np.sqrt(2)
    contrast = float(np.percentile(lines - outer.min(1, keepdims=True), 99))
    tolerance = max(3 * noise, 0.05 * contrast)
    excess = outer[:, 0] - outer[:, 1]
    excess = excess - np.median(excess)
    air = (np.stack([excess, -excess], 1) < tolerance) & (np.abs(inner - outer) < tolerance) & (outer < limit)
    if air.mean() < 0.5:
        return lines, 0
    both, left, right = air.all(1), air[:, 0], air[:, 1]
    slope = np.where(both, outer[:, 1] - outer[:, 0], 0.0)[:, None]
    base = np.where(left, outer[:, 0], np.where(right, outer[:, 1], 0.0))[:, None]
    return lines - base - slope * np.linspace(0, 1, columns), int(air.any(1).sum())


def _without_stripes(lines: Real, window: int) -> Real:
    """Smooth each rank along the detector (Vo, Atwood, Drakopoulos 2018, Opt. Express 26, algorithm 3)."""
    from scipy.ndimage import median_filter

    order = np.argsort(lines, axis=0, kind="stable")
    ranked = median_filter(np.take_along_axis(lines, order, 0), (1, window), mode="nearest")
    result = np.empty_like(lines)
    np.put_along_axis(result, order, ranked, 0)
    return result
