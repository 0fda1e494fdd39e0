"""Flats and darks of one detector row: averaged, checked, and interpolated in time where their order is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray
from varinv.scan.record import Real, Repairs

# Flats that differ by this much put ±2 % on the intensity, ±0.02 on line integrals of a peak of 2: the top-up of a
# storage ring and the flicker of a tube stay below it (2.4 % between 100 flats of a real fly scan)
SPREAD = 0.04


class Reference(NamedTuple):
    """What the detector shows without beam, and what it shows more without object."""

    dark: Real  # (columns,) or (views, columns)
    gain: Real | None  # flat minus dark, the same shapes; None without flats
    noise: float = 0.0  # deviation of one dark
    scatter: bool = True  # False where flats and darks are the same in every frame: made without noise


def lit_level(gain: Real, noise: float = 0.0) -> float:
    """The usual gain of the columns that the beam reaches; 0 where no value is finite.

    It is the median of those above a quarter of the 97th percentile.  A few hot columns do not raise that percentile,
    and a beam that is narrower than the camera does not lower it, as it would the median of all.
    """
    finite = gain[np.isfinite(gain)]
    if not finite.size:
        return 0.0
    usual, top = (float(np.percentile(finite, q)) for q in (75, 97))
    if usual > 5 * noise and usual > 0:
        top = min(top, 4 * usual)
    lit = finite[finite > 0.25 * top] if top > 0 else finite
    return float(np.median(lit))


def average(frames: Real, reference: float, what: str, repairs: Repairs, places: AnyArray | None = None) -> Real:
    """The mean over flats (or darks) of one row, (frames, columns) → (columns,).

    A frame whose level (median over the columns) is less than half or more than twice the median of all levels, both
    above `reference`, was taken with the beam off (or on) and is dropped; then, or where values are not finite, the
    median over the rest is used in place of the mean.
    """
    places = np.arange(len(frames)) if places is None else places
    level = _levels(frames, reference)
    usual = float(np.nanmedian(level)) if np.isfinite(level).any() else np.nan
    # |usual| + 1: darks scatter about 0, one count is no reason to drop one
    bad = ~np.isfinite(level)
    if len(frames) > 2:
        low, high = (0.5 * usual, 2 * usual) if usual > 1 else (-np.inf, 2 * abs(usual) + 1)
        bad |= (level < low) | (level > high)
    if bad.all():
        raise ScanError(f"none of {len(frames)} {what}s is usable: no finite values")
    repairs.note(f"{what}s dropped (level far from the others, beam off or on)", [f"frame {k}" for k in places[bad]])
    good = frames[~bad]
    finite = np.isfinite(good)
    if not bad.any() and finite.all() and not _struck(good, what, repairs):
        return np.asarray(good.mean(0))
    some = np.where(finite, good, np.nan)
    empty = ~finite.any(0)
    some[:, empty] = 0.0
    result = np.nanmedian(some, axis=0)
    result[empty] = np.nan
    return np.asarray(result, np.float64)


def _levels(frames: Real, reference: float) -> Real:
    """The median of each frame over the columns, above `reference`; of its brighter half, for narrow beams."""
    found = [np.median(f[np.isfinite(f)]) if np.isfinite(f).any() else np.nan for f in frames]
    return np.asarray(np.array(found) - reference)


def _struck(frames: Real, what: str, repairs: Repairs) -> bool:
    """Does a frame hold values far from the other frames (zingers)?  Then the median is taken, not the mean."""
    if len(frames) < 4:  # a median of three may still be struck twice
        return False
    middle = np.median(frames, axis=0)
    away = np.abs(frames - middle)
    noise = 1.4826 * np.median(away, axis=0)
    # 12 deviations of this pixel or of the row, whichever is more, never happen by chance; a fading beam moves all
    # pixels of a frame together, so that the level of a frame is taken out
    away = np.abs(frames - middle - np.median(frames - middle, axis=1, keepdims=True))
    hit = away > 12 * np.maximum(noise, np.median(noise)) + 0.05 * np.abs(middle)
    repairs.note(f"{what}s with struck pixels, the median taken", [""] * int(hit.any(1).sum()))
    return bool(hit.any())


def in_time(frames: Real, at: AnyArray | None, views: int, reference: float, what: str, repairs: Repairs) -> Real:
    """The mean of each group of frames taken together, interpolated linearly between the groups: (views, columns).

    `at` is the number of views taken before each frame.  One group, or groups that agree within their noise, give the
    mean over all frames, (columns,).
    """
    if at is None or len(at) != len(frames) or len(np.unique(at)) < 2:
        _spread(frames, reference, what, repairs)
        return average(frames, reference, what, repairs)
    means, times, kept = [], [], []
    for time in np.unique(at):
        k = np.flatnonzero(at == time)
        try:
            mean = average(frames[k], reference, what, repairs, k)
        except ScanError:
            repairs.note(f"{what}s dropped (no finite values)", [f"frame {i}" for i in k])
            continue
        means.append(mean)
        times.append(float(time))
        kept.append(k)
    if not means:
        raise ScanError(f"none of {len(frames)} {what}s is usable: no finite values")
    level = np.array([lit_level(m - reference) for m in means])
    # a group at a tenth of the brightest was taken without beam; a beam that fades so far leaves no scan behind
    off = level < 0.1 * level.max() if what == "flat" else np.zeros(len(level), bool)
    repairs.note(f"{what}s dropped (taken without beam)", [f"frame {i}" for g in np.flatnonzero(off) for i in kept[g]])
    groups = np.flatnonzero(~off)
    if len(groups) == 1:
        return means[int(groups[0])]
    if _agree([frames[kept[g]] for g in groups], np.stack([means[g] for g in groups])):
        return average(frames[np.concatenate([kept[g] for g in groups])], reference, what, Repairs())
    if what == "flat":
        change = 100 * (level[groups].max() / level[groups].min() - 1)
        if change > 0.5:  # below, it is within what any beam flickers
            repairs.note(f"flats interpolated in time (level changes by {change:.2g} %), groups", [""] * len(groups))
    when = np.arange(views) + 0.5  # view v is taken between v and v + 1
    stops = np.array([times[g] for g in groups])
    after = np.clip(np.searchsorted(stops, when), 1, len(stops) - 1)
    share = np.clip((when - stops[after - 1]) / (stops[after] - stops[after - 1]), 0, 1)[:, None]
    table = np.stack([means[g] for g in groups])
    return np.asarray(table[after - 1] + share * (table[after] - table[after - 1]))


def _agree(groups: list[Real], means: Real) -> bool:
    """Are the groups the same within the noise of their frames?  Groups of one frame say nothing of their noise."""
    if min(len(g) for g in groups) < 2:
        return False
    inner = np.concatenate([(g - np.median(g, axis=0)) * np.sqrt(len(g) / (len(g) - 1)) for g in groups])
    variance = (1.4826 * float(np.nanmedian(np.abs(inner)))) ** 2
    for g, mean in zip(groups[1:], means[1:], strict=True):
        change = mean - means[0]
        expected = variance * (1 / len(g) + 1 / len(groups[0]))
        # 0.455: the median of a squared normal number; 1.5: three deviations of that median at 100 columns
        if float(np.nanmedian(change**2)) > 1.5 * 0.455 * expected:
            return False
        # a common change of level is seen far below the noise of one column
        if abs(float(np.nanmedian(change))) > 5 * np.sqrt(expected / max(change.size, 1)):
            return False
    return True


def _spread(frames: Real, reference: float, what: str, repairs: Repairs) -> None:
    """Doubt flats whose level changed while nobody knows when."""
    if what != "flat" or len(frames) < 2:
        return
    level = np.array([lit_level(f - reference) for f in frames])
    usual = float(np.median(level))
    kept = (level > 0.5 * usual) & (level < 2 * usual)  # the others are dropped by `average`
    if kept.sum() < 2 or usual <= 0:
        return
    still = frames[kept] - level[kept, None]
    noise = 1.4826 * float(np.nanmedian(np.abs(still - np.nanmedian(still, axis=0))))
    level = level[kept]
    # the range of a hundred medians over the columns is five of their deviations, 1.25 noise/√columns
    if np.ptp(level) > SPREAD * usual + 6 * 1.25 * noise / np.sqrt(frames.shape[1]):
        repairs.doubt(
            f"the flats differ in level by {100 * np.ptp(level) / usual:.2g} % and it is not known when each was "
            f"taken: line integrals may be off by ±{np.ptp(level) / usual / 2:.2g}; give the flats that belong to the "
            "views (flats=), or take the level of each view from the air at its edges with using(air=True)"
        )


def reference(
    flats: AnyArray | None, darks: AnyArray | None, shape: tuple[int, int], repairs: Repairs,
    flats_at: AnyArray | None = None, darks_at: AnyArray | None = None,
) -> Reference:  # fmt: skip
    """Dark level and gain (flat minus dark) of one row of `shape` (views, columns); the dark is 0 without darks.

    Raises
    ------
    ScanError
        Flats no brighter than the darks within five times their noise (the beam was off), or darker than these
        (they are exchanged), or negative (16-bit numbers without sign, read with one).
    """
    views, columns = shape
    dark: Real = np.zeros(columns)
    noise = 0.0
    if darks is not None:
        frames = darks.astype(np.float64)
        dark = in_time(frames, darks_at, views, 0.0, "dark", repairs)
        known = frames[:, np.isfinite(frames).all(0)]
        if known.size:  # the median absolute deviation between frames; within the frame where there is but one
            centred = known - np.median(known, axis=0 if len(known) > 1 else None)
            noise = 1.4826 * float(np.median(np.abs(centred)))
    if flats is None:
        return Reference(dark, None)
    floor = float(np.median(dark[np.isfinite(dark)])) if np.isfinite(dark).any() else 0.0
    gain = in_time(flats.astype(np.float64), flats_at, views, floor, "flat", repairs) - dark
    _check(gain, dark, noise, darks is not None)
    several = [f for f in (flats, darks) if f is not None and len(f) > 1]
    scatter = not several or any(bool((f[1:] != f[:-1]).any()) for f in several)
    return Reference(dark, gain, noise, scatter)


def _check(gain: Real, dark: Real, noise: float, darks: bool) -> None:
    steady = gain if gain.ndim == 1 else np.median(gain, axis=0)
    finite = steady[np.isfinite(steady)]
    level = lit_level(steady, noise)
    if level > 5 * noise:
        return
    middle = float(np.median(finite)) if finite.size else 0.0
    if finite.size and not (steady + dark)[np.isfinite(steady)].any():
        raise ScanError("the flats hold nothing but 0: were they ever written?")
    if darks and middle < -5 * max(noise, 0.2):
        was = float(np.median(dark[np.isfinite(dark)]))
        if was + middle < -1000:
            raise ScanError(
                f"the flats are negative (median {was + middle:.4g}): 16-bit counts without sign were read with one; "
                "convert them, numbers.astype('uint16')"
            )
        raise ScanError(
            f"the darks are brighter than the flats (median {was:.4g} and {was + middle:.4g}): "
            "are flats and darks exchanged?"
        )
    raise ScanError(
        f"the flats are no brighter than the darks (median difference {middle:.3g}, noise {noise:.3g}): "
        "was the beam off?"
    )
