"""How well one image explains all views: with the geometry as it is taken, and with its neighbours.

A small image (views and columns joined to at most 60 × 64) is fitted to the views by ten steps of conjugate gradients.
A geometry that explains the same numbers much better is likely to be the true one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.radon import Radon
from varinv.scan.checks.parabola import DISTANCES, distance_check, vertex
from varinv.scan.checks.sight import Real, Sight
from varinv.scan.checks.table import DOUBT, OK, Check, undecided

COLUMNS, VIEWS, STEPS = 64, 60, 10
BETTER = 0.8  # another geometry must leave less than so much of the misfit …
CLEARLY = 0.55  # … of less than half a turn, which many geometries explain
SURE = 5.0  # … by five standard errors of log misfit over the views
DENSE = math.radians(6)  # steps beyond it are wider than what 64 columns resolve even near the axis
Geometry = ParallelBeam | FanBeam


class Small(NamedTuple):
    """Some of the views with joined columns, and their geometry."""

    lines: Real
    angles: Real
    axis: float
    spacing: float
    joined: int


class Guess(NamedTuple):
    """A geometry that might be meant: what it does to angles, axis (columns) and distances."""

    turn: float = 1.0
    shift: float = 0.0
    far: float = 1.0


def explained(s: Sight) -> Iterator[Check]:
    """The misfit as the geometry is taken, relative; then for each neighbour the share of it that is left."""
    names = ("angles", "axis by misfit")
    if s.geometry is None or s.lines.shape[1] < 16 or len(s.lines) < 12:
        for name in names:
            yield undecided(name, "no angles, or too few views or columns")
        return
    small = _small(s)
    dense = len(s.lines) >= 30 and s.turn[1] / len(s.lines) <= DENSE
    here = _misfit(s, small, Guess())
    size = float((small.lines**2).sum())
    yield Check("misfit of one image", math.sqrt(here.sum() / size), None, OK)
    if not dense:
        for name in names:
            yield undecided(name, "the views are too few or too far apart to be compared through an image")
        return
    yield from _angles(s, small, here)
    yield _axis(s, small, here)
    if s.fan:
        yield from _distances(s, small, here)


def _small(s: Sight) -> Small:
    from scipy.ndimage import gaussian_filter1d

    g = s.geometry
    assert g is not None
    n, m = s.lines.shape
    k = max(1, m // COLUMNS)
    smooth = gaussian_filter1d(s.lines - s.air, 0.5 * k, axis=1, mode="nearest") if k > 1 else s.lines - s.air
    joined = smooth[:, : m // k * k].reshape(n, m // k, k).mean(2)
    order = s.turn[0]
    pick = order[np.unique(np.linspace(0, n - 1, min(n, VIEWS)).round().astype(int))]
    return Small(joined[pick], np.asarray(g.angles)[pick], (float(g.axis or 0.0) - (k - 1) / 2) / k, g.spacing * k, k)


def _geometry(s: Sight, small: Small, guess: Guess) -> Geometry:
    g = s.geometry
    # whole turns away: large angles would look like degrees
    angles = np.mod(small.angles * guess.turn, 2 * math.pi)
    axis, columns = small.axis + guess.shift / small.joined, small.lines.shape[1]
    if isinstance(g, FanBeam):
        far = guess.far * (g.source_to_axis + g.axis_to_detector)
        near = min(g.source_to_axis, far)
        return FanBeam(angles, columns, small.spacing, near, far - near, axis=axis)
    return ParallelBeam(angles, columns, small.spacing, axis=axis)


def _misfit(s: Sight, small: Small, guess: Guess) -> Real:
    """Σ over the detector of the squared misfit of each view."""
    geometry = _geometry(s, small, guess)
    pixel, side = small.spacing, small.lines.shape[1] + 2 * math.ceil(abs(small.axis - (small.lines.shape[1] - 1) / 2))
    if isinstance(geometry, FanBeam):
        pixel /= geometry.magnification
        side = min(side, int(1.36 * geometry.source_to_axis / pixel))
    A = Radon((side, side), geometry, pixel)
    return np.asarray(((A(_fitted(A, small.lines)) - small.lines) ** 2).sum(1))


def _fitted(A: Radon, lines: Real) -> Real:
    """Ten steps of CGLS from 0: Hestenes and Stiefel (1952)."""
    x = np.zeros(A.domain)
    rest = lines.copy()
    down = np.asarray(A.T(rest))
    way, size = down, float((down * down).sum())
    for _ in range(STEPS):
        seen = np.asarray(A(way))
        power = float((seen * seen).sum())
        if not power > 0:
            break
        x = x + size / power * way
        rest = rest - size / power * seen
        down = np.asarray(A.T(rest))
        new = float((down * down).sum())
        way, size = down + new / size * way, new
    return x


def _angles(s: Sight, small: Small, here: Real) -> Iterator[Check]:
    """Half and double step, degrees for radians and back, for fans the other sense of rotation."""
    span = s.turn[1] if abs(np.ptp(small.angles)) < 2 * math.pi else float(np.ptp(small.angles))
    tries = [
        (0.5, "the angles step twice as far as the views show: half of them fits (half a turn given as a full one?)"),
        (2.0, "the angles step half as far as the views show: twice of them fits (a full turn given as half a one?)"),
        (math.pi / 180, "the angles are degrees, taken as radians: pass numpy.deg2rad(angles)"),
        (180 / math.pi, "the angles were turned into radians twice: pass them in radians as they are"),
    ]
    if s.fan:
        tries.append((-1.0, "the angles run in the other sense than the views show: reversed; scan.reverse()"))
    whole = math.pi + s.fan_angle
    worst, said = 1.0, ""
    asked = False
    for turn, text in tries:
        # what would make a part of a scan of it explains anything
        if not 0.95 * math.pi <= span * abs(turn) <= 4.2 * math.pi or (turn < 0 and span < whole):
            continue
        asked = True
        for shift in (0.0, _centred(small, turn)):  # an axis found from the wrong angles is none
            left, sure = _compared(_misfit(s, small, Guess(turn, shift)), here)
            if left < worst and sure:
                worst, said = left, text
    if not asked:
        yield undecided("angles", "the views cover too small an arc: half or twice the step explains them as well")
        return
    limit = BETTER if s.complete else CLEARLY
    doubtful = worst < limit
    yield Check("angles", 1 / worst, 1 / limit, DOUBT if doubtful else OK, said if doubtful else "")


def _centred(small: Small, turn: float) -> float:
    """Columns from the axis to the one about which the centre of mass would turn with other angles."""
    level = np.linspace(0, 1, small.lines.shape[1])
    left, right = small.lines[:, :3].mean(1, keepdims=True), small.lines[:, -3:].mean(1, keepdims=True)
    lines = small.lines - left - (right - left) * level
    angles = turn * small.angles
    waves = np.stack([np.ones(len(angles)), np.cos(angles), np.sin(angles)], 1)
    mass = np.maximum(lines.sum(1), 1e-30)
    column = float(np.linalg.lstsq(waves, lines @ np.arange(lines.shape[1]) / mass, rcond=None)[0][0])
    inside = 0.1 * lines.shape[1] <= column <= 0.9 * lines.shape[1]
    return (column - small.axis) * small.joined if inside else 0.0


def _compared(other: Real, here: Real) -> tuple[float, bool]:
    """Root of the misfit's share that another geometry leaves, and whether that is sure over the views."""
    logs = np.log(np.maximum(other, 1e-300)) - np.log(np.maximum(here, 1e-300))
    error = float(np.std(logs)) / math.sqrt(len(logs)) + 1e-12
    return math.sqrt(float(other.sum()) / max(float(here.sum()), 1e-300)), float(np.mean(logs)) < -SURE * error


def _axis(s: Sight, small: Small, here: Real) -> Check:
    name = "axis by misfit"
    if not s.complete:
        return undecided(name, "the views cover less than half a turn (fan: and the fan angle): any axis explains them")
    for bins in (-2, 2, -4, 4, -8, 8):
        share, sure = _compared(_misfit(s, small, Guess(shift=bins * small.joined)), here)
        if share < BETTER and sure:
            return Check(name, float(abs(bins) * small.joined), 1.0, DOUBT, _wrong_axis(bins * small.joined))
    step = max(1.0, small.joined / 3)
    left, right = (_misfit(s, small, Guess(shift=k * step)) for k in (-1, 1))
    found = vertex(left, here, right)
    if found is None:
        return undecided(name, "an axis elsewhere explains the views as well, within the noise")
    place, error = found
    figure, limit = abs(place * step), max(1.0, 0.15 * small.joined, SURE * error * step)
    good = not figure > limit
    return Check(name, figure, limit, OK if good else DOUBT, "" if good else _wrong_axis(place * step))


def _wrong_axis(columns: float) -> str:
    return (
        f"one image explains the views best with the rotation axis {abs(columns):.1f} columns to the "
        f"{'left' if columns < 0 else 'right'}: wrong axis (scan.find_axis(), or axis=)"
    )


def _distances(s: Sight, small: Small, here: Real) -> Iterator[Check]:
    if s.turn[2]:
        return  # opposite rays decide it, without an image
    if not s.complete or not s.even:
        yield undecided(DISTANCES, "too small an arc, or uneven angles: distances 10 % off explain the views as well")
        return
    nearer, farther = (_misfit(s, small, Guess(far=far)) for far in (0.9, 1.1))
    yield distance_check(vertex(nearer, here, farther))
