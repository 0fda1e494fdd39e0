"""From counts to line integrals, one detector row at a time: every repair is counted and named."""

from __future__ import annotations

from typing import Any

import numpy as np

from varinv.scan import columns, levels, noise, outliers, saturation
from varinv.scan.errors import ScanError
from varinv.scan.fill import between_views, fill, patch
from varinv.scan.flats import Reference
from varinv.scan.frames import AnyArray
from varinv.scan.record import Mask, Options, Real, Repairs, Row, views_named

HUGE = 1e30  # what float32 results cannot hold with room to spare counts as infinite
NO_AIR = "views without air at the edges, left as they are"


def correct(
    data: AnyArray, known: Reference, options: Options, angles: Real, row: int, repairs: Repairs,
    flats: AnyArray | None = None,
) -> Row:  # fmt: skip
    """Line integrals −log((data − dark)/gain) of one row, repaired; without a gain it is 1 and air sets the level.

    - A measurement is unusable where it is not finite or its transmission is not positive, where the detector was
      saturated, a pixel stuck, or a zinger struck; a pixel where `columns.judge` says so.
    - These are interpolated linearly along the detector, from the nearest valid line integrals of the same view;
      views without any, repeated ones, and dips that air does not level, between the views beside them in angle.
    """
    dark, gain = known.dark, np.ones(data.shape[1]) if known.gain is None else known.gain
    steady = gain if gain.ndim == 1 else np.median(gain, axis=0)
    values = data.astype(np.float64)
    with np.errstate(all="ignore"):
        signal = values - dark
        through = signal / gain
        finite = np.isfinite(through) & (np.abs(signal) < HUGE)
        usable = finite & (through > 0)
        kinds = columns.judge(values, steady, known.noise, through, usable, row, repairs)
        lines = -np.log(np.where(usable, through, 1.0))
    alive = ~(kinds.dead | kinds.dark)
    repairs.note("NaN or infinite measurements interpolated", [""] * int((~finite & alive).sum()))
    repairs.note("non-positive transmissions interpolated", [""] * int((finite & ~usable & alive).sum()))
    scatter = known.scatter and noise.noisy(values[np.argsort(angles, kind="stable")][:, alive])
    top = saturation.ceiling(values[:, alive], data.dtype, scatter, bool(np.any(dark > 0)))
    full = saturation.saturated(values, top, np.asarray(alive & usable.any(0)))
    repairs.note(f"saturated measurements, at {top:g} counts, given weight 0", [""] * int(full.sum()))
    _full_flats(flats, top, alive, repairs)
    valid = usable & alive
    if scatter:
        still = columns.stuck(values, np.asarray(alive & ~full.any(0)))
        repairs.note("measurements of columns that stand still for a while interpolated", _places(still, row))
        valid &= ~still
    # flats within a factor of two of the beam: more at the edges is no air; without flats any level may be air
    limit = np.inf if known.gain is None else np.log(2)
    lit = _span(~kinds.dark)
    lines, valid = _agreeing(lines, valid, values, scatter, lit, options, angles, row, limit, repairs)
    # a level that jumps was doubted above, and would be doubted as a drift once more
    if options.air is False and known.gain is not None and lit.stop - lit.start >= levels.NARROW and not repairs.doubts:
        levels.other_exposure(levels.find_air(lines[:, lit], limit), repairs)
    valid &= ~full  # their lines are bounds, and stay
    lines = _finish(lines, options, limit, lit, row, repairs)
    return Row(lines, valid, np.where(valid, signal, 0.0))


def _span(lit: Mask) -> slice:
    """From the first to the last column that the beam reaches; all of them where it reaches none."""
    at = np.flatnonzero(lit)
    return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, len(lit))


def repair_lines(data: AnyArray, options: Options, angles: Real, row: int, repairs: Repairs) -> Row:
    """The same for data that are line integrals already: values that are not finite are missing."""
    values = data.astype(np.float64)
    valid = np.abs(values) < HUGE  # NaN is not
    views = np.asarray(valid.any(1))
    dead = ~valid[views].any(0) if views.any() else np.zeros(values.shape[1], bool)
    repairs.note("dead or hot pixels interpolated", [f"row {row} column {c}" for c in np.flatnonzero(dead)])
    rest = ~valid & ~dead & views[:, None]
    repairs.note("NaN or infinite measurements interpolated", [""] * int(rest.sum()))
    lines = np.where(valid, values, 0.0)
    every = slice(0, values.shape[1])
    scatter = noise.noisy(values[np.argsort(angles, kind="stable")][:, ~dead])
    lines, valid = _agreeing(lines, valid, values, scatter, every, options, angles, row, None, repairs)
    # the logarithm was taken by others: air is near 0 on the scale of the object
    lines = _finish(lines, options, 0.2 * float(np.percentile(lines, 99)), every, row, repairs)
    return Row(lines, valid, valid.astype(np.float64))


def _agreeing(
    lines: Real, valid: Mask, data: Real, scatter: bool, lit: slice, options: Options, angles: Real, row: int,
    limit: float | None, repairs: Repairs,
) -> tuple[Real, Mask]:  # fmt: skip
    """What only the comparison of views shows, found and interpolated: wild readings, dips, zingers, jumps.

    `limit` is None for data that are line integrals already: nothing is known of their beam.
    """
    struck = outliers.wild(lines, valid)
    valid &= ~struck
    lines = fill(lines, valid, angles, repairs, lit)
    lost = levels.repeated(data, angles, np.asarray(valid.any(0))) if scatter else np.zeros(0, np.intp)
    repairs.note("views that repeat the one before, not used", views_named(lost))
    if options.air is False:
        # a dip is one of the beam: line integrals of others are not judged, their scale is not known
        lines, more = _dips(lines, angles, limit, lit, repairs)
        lost = np.union1d(lost, more)
    if len(lost):
        valid[lost] = False
        between_views(lines, lost, angles)
    if limit is not None:
        bright = float(np.percentile(noise.sample(lines[valid]), 0.5))
        air = min(bright, 0.0) if limit < np.inf else bright
        more = outliers.above_beam(lines, valid, air, angles)
        struck |= more
        patch(lines, valid, more)
        valid &= ~more
    more = outliers.zingers(lines, valid, angles)
    patch(lines, valid, more)
    valid &= ~more
    struck |= more
    repairs.note("outliers (zingers) interpolated", _places(struck, row))
    if scatter and outliers.within_reach(angles, lines.shape[1]):
        order = np.argsort(angles, kind="stable")
        other = columns.changed(lines, valid)
        where = [f"row {row} column {c}" for c in np.flatnonzero(other.any(0))]
        repairs.note("columns that answer otherwise in a part of the scan interpolated there", where)
        patch(lines, valid, other)
        valid &= ~other
        wavering = columns.noisy(lines[order], valid)
        places = [f"row {row} column {c}" for c in np.flatnonzero(wavering)]
        repairs.note("columns much noisier than their neighbours interpolated", places)
        patch(lines, valid, np.broadcast_to(wavering, valid.shape))
        valid &= ~wavering
    for view, by in levels.jumps(lines, angles):
        repairs.doubt(
            f"the object or the detector moved by {by} columns before view {view}: reconstruct from the views on one "
            "side, with views(slice)"
        )
    return lines, valid


def _dips(lines: Real, angles: Real, limit: float | None, lit: slice, repairs: Repairs) -> tuple[Real, Any]:
    none = np.zeros(0, np.intp)
    if limit is None:
        return lines, none
    air = levels.find_air(lines[:, lit], limit)
    offset, found, doubt = levels.dips(lines[:, lit], angles, air)
    if doubt:
        repairs.doubt(doubt)
    levels.report_dips(found, air is not None, repairs)
    if air is None:
        return lines, found
    return lines - offset[:, None], none


def _places(found: Mask, row: int) -> list[str]:
    """Where measurements are, the first eight by name: a record is no list of all."""
    views, at = np.nonzero(found)
    named = [f"row {row} view {v} column {c}" for v, c in zip(views[:9], at[:9], strict=True)]
    return named + [""] * (len(views) - len(named))


def _full_flats(flats: AnyArray | None, top: float, alive: Mask, repairs: Repairs) -> None:
    if flats is None or not np.isfinite(top):
        return
    share = (flats[:, alive] == top).mean(0)
    if (share > 0).any():
        repairs.doubt(
            f"the flats are saturated (at {top:g} counts) in {int((share > 0).sum())} columns: line integrals there "
            "are too small, by the part of the beam that was cut off; take flats of a shorter exposure"
        )


def _finish(lines: Real, options: Options, limit: float, lit: slice, row: int, repairs: Repairs) -> Real:
    if options.stripes:
        lines = _without_stripes(lines, options.stripes)
        repairs.note(f"rows with stripes removed (window of {options.stripes} columns)", [f"row {row}"])
    if isinstance(options.air, tuple):
        lines = lines + np.log(np.asarray(options.air))[:, None]
        repairs.note("views set to the level of air that was given", [""] * len(lines))
    elif options.air:
        part, done = levels.normalise_air(lines[:, lit], limit)
        lines = np.pad(part, ((0, 0), (lit.start, lines.shape[1] - lit.stop)), mode="edge")
        repairs.note("views set to 0 in air", [""] * done)
        repairs.note(NO_AIR, [""] * (len(lines) - done))
    return lines


def without_air(repairs: Repairs, views: int) -> None:
    """Refuse counts that have no flats, where air is missing too."""
    lost = len(repairs.done.get(NO_AIR, ()))
    if lost:
        raise ScanError(
            f"counts without flats, and {lost} of {views} views show no air at the edges of the detector to replace "
            "them; pass flats= to read"
        )


def _without_stripes(lines: Real, window: int) -> Real:
    """Smooth each rank along the detector (Vo, Atwood, Drakopoulos 2018, Opt. Express 26, algorithm 3)."""
    from scipy.ndimage import median_filter

    order = np.argsort(lines, axis=0, kind="stable")
    ranked = median_filter(np.take_along_axis(lines, order, 0), (1, window), mode="nearest")
    result = np.empty_like(lines)
    np.put_along_axis(result, order, ranked, 0)
    return result
