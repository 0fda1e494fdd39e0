"""Opposite views of a full turn are mirror images: p(θ + π, u) = p(θ, 2c − u); so are the opposite rays of a fan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from varinv.scan.checks.parabola import DISTANCES, SURE, distance_check, vertex
from varinv.scan.checks.parallel import evenly, parallel
from varinv.scan.checks.sight import Real, Sight
from varinv.scan.checks.table import DOUBT, OK, Check, judged, undecided

NAME = "opposite views"
LIMIT = 0.15  # of the object's signal; interpolation between views, scatter and hardening leave a few per cent


def mirror(s: Sight) -> Iterator[Check]:
    """Residual of p(θ, u) − p(θ + π, 2c − u), relative to the spread of the views and without noise; and its axis."""
    p = parallel(s) if s.geometry is not None else None
    if p is None or not p.closed or len(p.angles) < 16:
        yield undecided(NAME, "no full turn: no ray was measured twice")
        return
    even = evenly(p)
    half = len(even) // 2
    first, second = even[:half], even[half:]
    moves = np.arange(-6.0, 6.01, 0.5)
    misfit = np.array([_apart(first, second, p.axis + m) for m in moves])
    here = misfit[len(moves) // 2]
    best = int(np.argmin(misfit))
    # what interpolation between views leaves: at most a fourth (in power) of what it leaves across a whole view
    between = float(np.mean((even - 0.5 * (np.roll(even, 1, 0) + np.roll(even, -1, 0))) ** 2)) / 4
    noise = 2 * s.noise**2 + between
    power = float(np.var(even))
    if between > (LIMIT / 2) ** 2 * power:
        yield undecided(NAME, "the views are too far apart to be interpolated")
        return
    figure = float(np.sqrt(max(here - noise, 0.0) / max(power, 1e-30)))
    least = float(np.sqrt(max(misfit[best] - noise, 0.0) / max(power, 1e-30)))
    yield judged(
        NAME,
        figure,
        LIMIT,
        "opposite views are no mirror images: wrong axis, wrong angles (no full turn, reversed, half step), wrong "
        "distances of a fan, a truncated or moving sample",
    )
    doubtful = figure > 2 * least + 0.02 and least < LIMIT and abs(moves[best]) > 1
    text = (
        f"opposite views mirror each other best about column {p.axis + moves[best]:.1f}, not {p.axis:.1f}: wrong axis"
    )
    said = text if doubtful else ""
    yield Check("axis by opposite views", abs(float(moves[best])), 1.0, DOUBT if doubtful else OK, said)


def _apart(first: Real, second: Real, axis: float) -> float:
    """Mean square of first(u) − second(2c − u) over the columns that both have."""
    return float(np.mean(_each(first, second, axis)))


def _each(first: Real, second: Real, axis: float) -> Real:
    """The same for each view."""
    columns = np.arange(first.shape[1])
    at = 2 * axis - columns
    inside = (at >= 0) & (at <= len(columns) - 1)
    if inside.sum() < 8:
        return np.full(len(first), np.inf)
    low = np.clip(np.floor(at[inside]).astype(int), 0, len(columns) - 2)
    share = at[inside] - low
    turned = (1 - share) * second[:, low] + share * second[:, low + 1]
    return np.asarray(np.mean((first[:, inside] - turned) ** 2, axis=1))


def distances(s: Sight) -> Iterator[Check]:
    """The full turn of a fan: the distance from source to detector with which opposite rays agree best.

    Each pair of opposite rays, p(β, γ) = p(β + π − 2γ, −γ), needs γ = atan(v/D), so it knows D.
    """
    from scipy.ndimage import gaussian_filter1d

    if not s.fan or s.geometry is None or not s.turn[2] or len(s.lines) < 60:
        return
    if not s.even:
        yield undecided(DISTANCES, "the angles are uneven: interpolation between views is no better than 10 %")
        return
    # smoothed, because interpolation takes from noise what depends on where it falls
    calm = dataclasses.replace(s, lines=gaussian_filter1d(s.lines, 1.5, axis=1, mode="nearest"))
    misfits = []
    for scale in (0.9, 1.0, 1.1):
        p = parallel(calm, scale)
        assert p is not None
        half = len(p.lines) // 2
        misfits.append(_each(p.lines[:half], p.lines[half:], p.axis))
    nearer, here, farther = misfits
    yield distance_check(vertex(nearer, here, farther, SURE))
