"""The rotation axis from the lines that a scan measured twice, from both sides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Real = NDArray[np.float64]
POWER = 0.6
BLOCKS = 8  # of pairs, each of which can be left out, for the spread of the estimate


class Turned(NamedTuple):
    """Sinograms (rows, views, columns) at even angles; see the fields.

    `step` between views in radians; `closed`: do the views close a circle; `source`: distance of the source from the
    detector in columns, infinite for a parallel beam.
    """

    lines: Real
    step: float
    closed: bool
    source: float


class Sums(NamedTuple):
    """Over the pairs (p, q) of each block: Σ (p − q)², how many, Σ p + q, Σ p² + q²."""

    apart: Real
    number: Real
    total: Real
    square: Real


NONE = Sums(*(np.zeros(BLOCKS) for _ in range(4)))


def smoothed(t: Turned, sigma: float) -> Turned:
    """Smooth along the columns, so that reading between two of them changes the noise no more."""
    return t._replace(lines=_gaussian(t.lines, sigma))


def details(t: Turned, narrow: float, wide: float) -> Turned:
    """Only what varies over `narrow` to `wide` columns: no slopes, no level of air."""
    return t._replace(lines=_gaussian(t.lines, narrow) - _gaussian(t.lines, wide))


def _gaussian(lines: Real, sigma: float) -> Real:
    """Continued at the edges by their odd mirror image: an object that is cut off there goes on as it came."""
    pad = min(int(4 * sigma) + 1, lines.shape[-1] - 1)
    longer = np.pad(lines, [(0, 0)] * (lines.ndim - 1) + [(pad, pad)], mode="reflect", reflect_type="odd")
    return np.asarray(gaussian_filter1d(longer, sigma, axis=-1, mode="nearest")[..., pad:-pad])


def ended(t: Turned) -> Turned:
    """With more views at the ends of an open arc, on the straight lines through the two views there.

    A parallel scan over half a turn lacks the views that mirror its first and last ones by a step or so.
    """
    p, step = t.lines, t.step
    n = p.shape[1]
    spare = (n - 1) - np.pi / step
    lacking = max(1, int(np.ceil(-spare - 0.02)))
    if t.closed or n < 2 or spare > 3 or lacking > max(2, 0.03 * np.pi / step):
        return t
    e = np.arange(1, lacking + 1)[:, None]
    before, after = p[:, :1] + e[::-1] * (p[:, :1] - p[:, 1:2]), p[:, -1:] + e * (p[:, -1:] - p[:, -2:-1])
    return t._replace(lines=np.concatenate([before, p, after], axis=1))


def overlap(c: float, m: int) -> tuple[int, int]:
    """First and last of m columns whose mirror image about c is on the detector too, with a neighbour on each side."""
    return max(1, int(np.ceil(2 * c)) - (m - 2)), min(m - 2, int(np.floor(2 * c)) - 1)


def sums(t: Turned, c: float, columns: tuple[int, int] | None = None, by_columns: bool = False) -> Sums:
    """The rays (θ, k) and (θ + π − 2γ, 2c − k) are one line, γ the fan angle of column k: their values compared.

    `columns`: first and last k; None: all of `overlap`.  In a full turn the first half of the views meets all pairs.
    Read by cubic interpolation between columns, linear between views.
    """
    p = t.lines
    low, high = overlap(c, p.shape[2]) if columns is None else columns
    n = p.shape[1]
    if high - low < 3:
        return NONE
    k = np.arange(low, high + 1)
    whole = int(np.floor(2 * c))
    f = 2 * c - whole
    there = whole - k
    taps = (
        -f * (f - 1) * (f - 2) / 6,
        (f + 1) * (f - 1) * (f - 2) / 2,
        -(f + 1) * f * (f - 2) / 2,
        (f + 1) * f * (f - 1) / 6,
    )
    last = p.shape[2] - 1
    gamma = np.arctan((k - c) / t.source)
    shift = (np.pi - 2 * gamma) / t.step
    first = (n + 1) // 2 if t.closed else int(np.clip(np.floor(n - 1 + 0.02 - shift.min()) + 1, 0, n))
    at = np.arange(first)[:, None] + shift[None, :]
    if not first:
        return NONE
    if t.closed:
        base, row = np.floor(at + 1e-9).astype(np.intp), 0
        share, after, seen = at - base, (base + 1) % n, np.ones(at.shape, bool)
        base = base % n
    else:
        seen = at <= n - 1 + 0.02  # rounding of the angles
        base = np.clip(np.floor(at + 1e-9).astype(np.intp), 0, max(n - 2, 0))
        row = int(base.min())  # the views before it are nobody's partners
        share, after, base = np.where(seen, at - base, 0.0), base + 1 - row, base - row
    q = np.zeros((p.shape[0], n - row, len(k)))
    for s, w in zip((-1, 0, 1, 2), taps, strict=True):
        q += w * p[:, row:, np.clip(there + s, 0, last)]
    j = np.arange(len(k))[None, :]
    other = (1 - share) * q[:, base, j] + share * q[:, after, j]
    return _blocked(p[:, :first, low : high + 1], other, seen, np.asarray(k - c, np.float64), by_columns)


def _blocked(here: Real, other: Real, seen: NDArray[np.bool_], away: Real, by_columns: bool) -> Sums:
    """Blocks of neighbouring views; where few views have pairs, or as asked, of columns as far from the axis."""
    rows, views = here.shape[0], int(seen.any(1).sum())
    if not views:
        return NONE
    if views >= 2 * BLOCKS and not by_columns:
        count = seen.sum(1).astype(float)
        label = (np.cumsum(count) - 0.5 * count) / count.sum() * BLOCKS
        axes: tuple[int, ...] = (0, 2)
    else:
        count = seen.sum(0).astype(float)
        label = np.argsort(np.argsort(np.abs(away), kind="stable")) / len(away) * BLOCKS
        axes = (0, 1)
    block = np.clip(label, 0, BLOCKS - 1).astype(np.intp)

    def add(values: Real) -> Real:
        return np.asarray(np.bincount(block, weights=(values * seen).sum(axes), minlength=BLOCKS), np.float64)

    number = np.asarray(np.bincount(block, weights=count * rows, minlength=BLOCKS), np.float64)
    return Sums(add((here - other) ** 2), number, add(here + other), add(here**2 + other**2))


def support(t: Turned, tries: Real) -> Real:
    """How much each try explains in each block of pairs, (tries, BLOCKS).

    −n^0.6 log R, R = Σ (p − q)² / Σ over p and q of their squared distance from their mean.  With n itself this would
    be the gain in log-likelihood of "both are one line" over "they have nothing to do with each other", were the pairs
    independent; they are not, and wide windows that agree a little would beat narrow ones that agree well.  Windows
    where nothing varies, such as air that is exactly 0, gain nothing.
    """
    found = [sums(t, float(c)) for c in tries]
    apart, number, total, square = (np.stack([s[i] for s in found]) for i in range(4))
    spread = np.maximum(square - total**2 / (2 * np.maximum(number, 1.0)), 0.0)
    floor = 1e-3 * number * float(spread.sum() / max(float(number.sum()), 1.0)) + 1e-300
    left = np.clip((apart + floor) / (spread + floor), 1e-3, 2.0)
    every = np.maximum(number.sum(1, keepdims=True), 1.0)
    return np.asarray(-number * np.log(left) * every ** (POWER - 1), np.float64)


def refine(t: Turned, start: float, reach: float) -> tuple[float, float]:
    """The c near `start` with the smallest mean of (p − q)², and its standard error: each block left out in turn.

    The columns compared stay the same, so that their noise favours no try.
    """
    m, best = t.lines.shape[2], start
    for width, count in ((reach, 13), (reach / 4, 9)):
        low, high = overlap(best, m)
        half = max(min(best - low, high - best) - width, 2.0)
        columns = max(1, int(np.ceil(best - half))), min(m - 2, int(np.floor(best + half)))
        if columns[1] - columns[0] < 4:
            columns = low, high
        tries = best + np.linspace(-width, width, count)
        apart = np.stack([sums(t, float(c), columns).apart for c in tries])
        best = _lowest(tries, apart.sum(1))
    if (np.ptp(apart, axis=0) > 1e-2 * np.ptp(apart.sum(1))).sum() < BLOCKS // 2:  # one block holds all that varies
        apart = np.stack([sums(t, float(c), columns, by_columns=True).apart for c in tries])
    used = np.flatnonzero(apart.max(0) > 0)
    left_out = np.array([_lowest(tries, apart.sum(1) - apart[:, b]) for b in used])
    b = len(used)
    if b < 3:
        return best, np.inf
    return best, float(np.sqrt((b - 1) / b * ((left_out - left_out.mean()) ** 2).sum()))


def _lowest(tries: Real, values: Real) -> float:
    """The vertex of the parabola through the lowest value and its neighbours within a quarter of the range."""
    at = int(np.argmin(values))
    near = max(1, len(tries) // 4)
    part = slice(max(0, at - near), min(len(tries), at + near + 1))
    x, y = tries[part] - tries[at], values[part]
    bend, slope, _ = np.polyfit(x, y, 2)
    limit = float(tries[1] - tries[0]) * near
    return float(tries[at] + (np.clip(-slope / (2 * bend), -limit, limit) if bend > 0 else 0.0))
