"""Helgason–Ludwig consistency: the mass of all views is one number, the centre of mass runs on a sinusoid.

Helgason (1980), The Radon Transform; Ludwig (1966), Comm. Pure Appl. Math. 19: Σ_u u^k p(θ, u) is a homogeneous
polynomial of degree k in (cos θ, sin θ).  A fan's full turn is rebinned to parallel beams first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from varinv.scan.checks.parallel import Parallel, parallel
from varinv.scan.checks.sight import VISIBLE, Real, Sight
from varinv.scan.checks.table import DOUBT, OK, WRONG, Check, judged, undecided

MASS, CENTRE, STEP = "mass of the views", "centre of mass", "step of the centre of mass"
SPREADS = 6  # the place of the step is chosen among all views: right scans reach 4
LEAST = 0.25  # columns: less than half the finest detail
MASS_LIMIT = 0.02  # grey values off by 2 %: what good real scans keep is 0.4 %
LEVEL = VISIBLE / 5  # mean level of a view that may be off, of the contrast: of small objects it is much of the mass


def moments(s: Sight) -> Iterator[Check]:
    """Order 0, rms about its mean, relative; order 1, rms about a + b cos θ + c sin θ, columns, and the axis a."""
    yield from _transposed(s)
    if not s.inside:
        why = "the edges are not at air in all views, so a part of the object is not in all views"
        yield undecided(MASS, why)
        yield undecided(CENTRE, why)
        return
    p = parallel(s) if s.geometry is not None else None
    if p is None or s.geometry is None:
        why = "it needs angles, and of a fan beam a full turn"
        yield undecided(MASS, why)
        yield undecided(CENTRE, why)
        return
    lines = p.lines - s.air
    mass = lines.sum(1)
    usual = float(np.median(mass))
    noise = s.noise * np.sqrt(lines.shape[1])
    if not usual > 10 * noise:
        yield undecided(MASS, "there is hardly anything in the views beside noise")
        yield undecided(CENTRE, "there is hardly anything in the views beside noise")
        return
    off = float(np.sqrt(np.mean((mass - usual) ** 2))) / usual
    yield judged(
        MASS,
        off,
        max(5 * noise / usual, MASS_LIMIT, LEVEL * s.contrast * lines.shape[1] / usual),
        "the sum over the detector changes from view to view, though it is the mass of one object: beam level, a "
        "truncated object, another kind of numbers (no line integrals), a moving or changing sample",
    )
    yield from _centre(s, lines, p, off)


def _centre(s: Sight, lines: Real, p: Parallel, off: float) -> Iterator[Check]:
    columns = np.arange(lines.shape[1])
    mass = lines.sum(1)
    good = mass > 0.5 * np.median(mass)
    centre = (lines @ columns)[good] / mass[good]
    angles = p.angles[good]
    if len(centre) < 16:
        yield undecided(CENTRE, "too few views")
        return
    waves = np.stack([np.ones(len(angles)), np.cos(angles), np.sin(angles)], 1)
    found = np.linalg.lstsq(waves, centre, rcond=None)[0]
    rest = centre - waves @ found
    away = float(np.sqrt(np.mean((columns - found[0]) ** 2)))
    noise = s.noise * np.sqrt(lines.shape[1]) * away / float(np.median(mass))
    # half a column is half of the finest detail
    yield judged(
        CENTRE,
        float(np.sqrt(np.mean(rest**2))),
        max(5 * noise, 0.5),
        "the centre of mass does not run on a sinusoid of the angles: wrong angles or order of views, or a detector or "
        "sample that moved",
    )
    error = _spread(rest, noise) * float(np.sqrt(np.linalg.inv(waves.T @ waves)[0, 0]))
    limit = max(5 * error, 2 * off * away, 1.0)  # a background that moves the mass by `off` moves its centre
    figure = abs(float(found[0]) - p.axis)
    text = (
        f"the centre of mass turns about column {found[0]:.2f} ± {error:.2f}, the rotation axis is taken at "
        f"{p.axis:.2f}: wrong axis (pass axis= to read)"
    )
    good_axis = figure <= limit
    yield Check("axis by centre of mass", figure, limit, OK if good_axis else DOUBT, "" if good_axis else text)


def _spread(rest: Real, noise: float) -> float:
    """Scatter of one deviation; neighbours that are alike (drift, interpolation) count as one."""
    power = max(float(np.mean(rest**2)), 1e-30)
    alike = np.array([np.mean(rest[k:] * rest[:-k]) / power for k in range(1, max(len(rest) // 4, 2))])
    ends = np.flatnonzero(alike < 0)  # up to where they are no longer alike: beyond it there is noise
    kept = alike[: ends[0]] if len(ends) else alike
    return max(float(np.sqrt(power)), noise) * float(np.sqrt(1 + 2 * kept.sum()))


def jump(s: Sight) -> Iterator[Check]:
    """The step in the centre of mass, in columns, at the view that explains most beside its smooth run.

    The run is a + b cos θ + c sin θ in a parallel beam; of a fan's full turn it has four harmonics.
    """
    if s.geometry is None or not s.inside or (s.fan and not s.turn[2]) or len(s.lines) < 30:
        yield undecided(STEP, "it needs air at the edges and 30 views or more; of a fan beam a full turn")
        return
    order = s.turn[0]
    lines, angles = s.lines[order] - s.air, np.asarray(s.geometry.angles)[order]
    mass = lines.sum(1)
    usual, columns = float(np.median(mass)), np.arange(lines.shape[1])
    if not usual > 10 * s.noise * np.sqrt(len(columns)) or not mass.min() > 0.2 * usual:
        yield undecided(STEP, "there is hardly anything in some views beside noise")
        return
    centre = lines @ columns / mass
    away = float(np.sqrt(np.mean((columns - centre.mean()) ** 2)))
    noise = s.noise * np.sqrt(len(columns)) * away / usual
    harmonics = range(1, 5 if s.fan else 2)
    waves = np.stack([angles**0] + [f(k * angles) for k in harmonics for f in (np.cos, np.sin)], 1)
    yield _step(centre, waves, noise, order)


def _step(centre: Real, waves: Real, noise: float, order: NDArray[np.intp]) -> Check:
    count = len(centre)
    steps = (np.arange(count)[:, None] >= np.arange(6, count - 6)) * 1.0
    project = np.eye(count) - waves @ np.linalg.pinv(waves)
    free = project @ steps  # each step without what a sinusoid explains of it
    power = np.sum(free**2, 0) + 1e-30
    gain = (free.T @ centre) ** 2 / power
    at = int(np.argmax(gain))
    size = float(free[:, at] @ centre / power[at])
    rest = project @ centre - size * free[:, at]
    error = _spread(rest, noise) / float(np.sqrt(power[at]))
    return judged(
        STEP,
        abs(size),
        max(SPREADS * error, LEAST),
        f"the centre of mass jumps by {size:.2f} ± {error:.2f} columns at view {order[at + 6]}: the detector or "
        "the sample moved, or views are missing there",
    )


def _transposed(s: Sight) -> Iterator[Check]:
    """A square sinogram whose columns have one mass, and whose rows have not, lies on its side."""
    views, columns = s.lines.shape
    if views != columns or views < 16:
        return
    along, across = s.lines.sum(1), s.lines.sum(0)
    spread = [float(np.std(m) / max(abs(np.mean(m)), 1e-30)) for m in (along, across)]
    figure = spread[0] / max(spread[1], 1e-30)
    # a hundredth part of the spread: an object inside the detector has hardly any mass in its outer columns
    wrong = figure > 10 and spread[1] < 0.1
    yield Check(
        "orientation of a square sinogram", figure, 10.0, WRONG if wrong else OK,
        "the sinogram is transposed: its rows are detector columns; pass array.T" if wrong else "",
    )  # fmt: skip
