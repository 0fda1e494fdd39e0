"""Zingers: single measurements, or a few side by side in one view, that the views beside them contradict.

A detail of the object is a trace through the views: a point at distance r from the axis moves by at most r·Δθ columns
from one view to the next, and what it absorbs is the same in all of them.  A reading is struck where it departs from
both neighbouring views, and nothing of its kind is found within reach in the views around; or where it is brighter
than the beam itself.
"""

from __future__ import annotations

import numpy as np

from varinv.scan.noise import sample
from varinv.scan.record import Mask, Real

REACH = 8  # columns a view: with coarser steps a detail may be anywhere in the next view, and only what is brighter
# than the beam, or wild, is judged
FEW = 20  # fewer views say too little of each other
WILD = 20.0  # times the 99.9th percentile of all: a grain that is seen in every view is part of that percentile
ABOVE = 1.3  # times the beam: fringes of phase contrast reach 1.2


def within_reach(angles: Real, columns: int) -> int:
    """By how many columns a detail may move from one view to the next; 0 where that is too far, or views too few."""
    if len(angles) < FEW or columns < 24:
        return 0
    step = float(np.percentile(np.diff(np.sort(angles)), 90))
    reach = int(np.ceil(columns / 2 * step)) + 1
    return reach if reach <= REACH else 0


def wild(lines: Real, valid: Mask) -> Mask:
    """Line integrals far beyond all others, as one wild reading gives; they must not reach any scale."""
    size = np.abs(lines)
    top = float(np.percentile(sample(size[valid]), 99.9)) if valid.any() else 0.0
    return np.asarray(valid & (size > WILD * top)) if top > 0 else np.zeros(valid.shape, bool)


def above_beam(lines: Real, valid: Mask, air: float, angles: Real) -> Mask:
    """Measurements brighter than the beam by more than 30 % and eight deviations, in one view alone.

    `air` is the line integral of the beam: 0 with good flats, less (the level of the brightest views) with flats that
    were taken darker.
    """
    found = np.zeros(valid.shape, bool)
    limit = air - np.log(ABOVE)
    if not (valid & (lines < limit)).any():
        return found
    order = np.argsort(angles, kind="stable")
    ordered = lines[order]
    limit -= 8 * _scatter_at(ordered, valid[order], air)
    views, columns = np.nonzero(valid[order] & (ordered < limit))
    beside = [ordered[_near(views + d, len(lines)), columns] for d in (-2, -1, 1, 2)]
    lone = ordered[views, columns] < np.median(beside, axis=0) - np.log(ABOVE)
    found[order[views[lone]], columns[lone]] = True
    return found


def zingers(lines: Real, valid: Mask, angles: Real) -> Mask:
    """Measurements that the views around contradict, (views, columns); none where views are few or far apart.

    Conditions, for the departure r = p(v) − (p(v−1) + p(v+1))/2 in the same column:

    1. |r| exceeds ten deviations of the noise and a fifth of the contrast.  Less does little harm.
    2. p departs by half of r, in the same sense, from all values of views v ± 1 within reach and from the same view
       four and five columns away: no trace passes, no edge, and the view as a whole is not of another level.
    3. In views v ± 1 … 5, along any trace through the place, at most one departure of a quarter of its size and of
       the same sense: grains and wires leave one in each.
    4. Views v ± 1 hold no more, within reach, than views v ± 2 do, by 20 % of the mass of the departure: a plate or a
       crack that is parallel to the rays of one view alone spreads over its neighbours.
    """
    found = np.zeros(valid.shape, bool)
    order = np.argsort(angles, kind="stable")
    reach = within_reach(angles, lines.shape[1])
    if not reach:
        return found
    steps = np.diff(angles[order])
    step = float(np.percentile(steps, 90))
    p, good = lines[order], valid[order]
    r = np.zeros_like(p)
    r[1:-1] = p[1:-1] - (p[:-2] + p[2:]) / 2
    r[0], r[-1] = p[0] - 2 * p[1] + p[2], p[-1] - 2 * p[-2] + p[-3]
    values = sample(p[good])
    contrast = float(np.percentile(values, 99.5) - np.percentile(values, 0.5))
    least = max(0.2 * contrast, 10 * float(np.median(np.abs(sample(r[1:-1]))) * 1.4826))
    candidates = good & (np.abs(r) > least)
    candidates[[0, -1]] = False  # a view on one side alone does not tell a strike from a plate seen edge-on
    wide = np.flatnonzero(steps > 1.5 * step)  # beside a gap in angle the next view is out of reach
    candidates[np.concatenate([wide, wide + 1])] = False
    if not candidates.any() or candidates.mean() > 0.05:  # noise or a coarse object, not strikes
        return found
    views, columns = np.nonzero(candidates)
    near = np.abs(r[views, columns]) > 10 * _scatter(p, r, p[views, columns])
    views, columns = views[near], columns[near]
    for k in range(0, len(views), 4096):
        v, u = views[k : k + 4096], columns[k : k + 4096]
        hit = _alone(p, r, v, u, reach)
        found[order[v[hit]], u[hit]] = True
    return found


def _alone(p: Real, r: Real, v: np.ndarray, u: np.ndarray, reach: int) -> Mask:
    """Conditions 2 to 4 of `zingers` for candidates at views v, columns u."""
    n, m = p.shape
    here, size = p[v, u], np.abs(r[v, u])
    sense = np.sign(r[v, u])

    def window(of: Real, dv: int, width: int) -> Real:
        across = np.clip(u[:, None] + np.arange(-width, width + 1), 0, m - 1)
        return np.asarray(of[_near(v + dv, n)[:, None], across])

    beside = np.concatenate([window(p, d, reach) for d in (-1, 1)], axis=1)
    row = np.stack([p[v, np.clip(u + d, 0, m - 1)] for d in (-5, -4, 4, 5)], axis=1)
    clear = (sense * here > (sense[:, None] * beside).max(1) + size / 2) & (
        sense * here > (sense[:, None] * row).max(1) + size / 2
    )
    kin = np.zeros(len(v), np.int64)
    for dv in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5):
        kin += (sense[:, None] * window(r, dv, reach * abs(dv)) > size[:, None] / 4).any(1)
    one, two, four = (sum(window(p, s * d, reach).sum(1) for s in (-1, 1)) / 2 for d in (1, 2, 4))
    spread = np.max([sense * sum(_excess(window(p, d, w)) for d in (-1, 1)) / 2
                     for w in (reach + 4, 2 * reach + 5)], axis=0)  # fmt: skip
    same = window(p, 0, 4)
    level = np.median(np.concatenate([same[:, :1], same[:, -1:]], axis=1), axis=1, keepdims=True)
    mass = np.maximum((sense[:, None] * (same - level)).sum(1), size)
    return np.asarray(
        clear
        & (kin <= 1)
        & (sense * (one - two) < 0.2 * mass)
        & (sense * (one - four) < 0.3 * mass)
        & (spread < 0.25 * mass)
    )


def _excess(across: Real) -> Real:
    """What windows (n, columns) hold above the straight line between their three outer columns on either side."""
    width = across.shape[1]
    left, right = np.median(across[:, :3], axis=1), np.median(across[:, -3:], axis=1)
    return np.asarray(across[:, 3:-3].sum(1) - (left + right) / 2 * (width - 6))


def _near(v: np.ndarray, n: int) -> np.ndarray:
    """View numbers, reflected at the first and the last."""
    v = np.abs(v)
    return np.asarray(np.where(v > n - 1, 2 * (n - 1) - v, v))


def _scatter(p: Real, r: Real, at: Real) -> Real:
    """The deviation of r where the line integral is `at`: in eight classes of p, as the noise grows with p."""
    some, change = sample(p), sample(np.abs(r))
    stops = np.unique(np.percentile(some, np.linspace(0, 100, 9)))
    if len(stops) < 3:
        return np.full(len(at), 1.4826 * float(np.median(change)))
    place = np.clip(np.searchsorted(stops, some, side="right") - 1, 0, len(stops) - 2)
    scatter = np.array([1.4826 * np.median(change[place == k]) for k in range(len(stops) - 1)])
    return np.asarray(scatter[np.clip(np.searchsorted(stops, at, side="right") - 1, 0, len(scatter) - 1)])


def _scatter_at(p: Real, good: Mask, level: float) -> float:
    """The deviation of one measurement at the brightest fifth of the readings, where `level` is."""
    if len(p) < 3:
        return 0.0
    second = np.abs(p[1:-1] - (p[:-2] + p[2:]) / 2)
    bright = good[1:-1] & (p[1:-1] <= max(level, float(np.percentile(sample(p[good]), 20))))
    values = second[bright] if bright.any() else second
    return float(1.4826 * np.median(sample(values)) / np.sqrt(1.5))
