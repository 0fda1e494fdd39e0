"""The rotation axis on simulated scans: how many are refused, how far off the others are, how often ± covers that.

    python benchmarks/axis_catalogue.py [scans] [first seed]

Parallel and fan beams, 180° and 360°, the axis at 15 to 85 % of the width, noise 0 to 5 % of the peak, complete or
truncated (half-acquisitions and regions of interest), five families of phantoms.  Measured:

    40 from 0      0 off by more than 0.5 column, 4 refused (none complete with noise <= 2 %), ± covers 100 %
    200 from 1000  0 off by more than 0.5 column, 20 refused (none complete with noise <= 2 %), ± covers 98 %
    40 from 7000   0 off by more than 0.5 column, 4 refused (none complete with noise <= 2 %), ± covers 100 %
"""

from __future__ import annotations

import math
import random
import sys
import time
from typing import Any, NamedTuple

import numpy as np

import varinv as vi
from varinv import phantom
from varinv.scan.axis import locate

FAMILIES = ("ellipses", "off centre", "symmetric", "points", "textured")


class Made(NamedTuple):
    """A simulated scan: line integrals (views, columns), angles, distances in columns, its true axis, and in words."""

    lines: Any
    angles: Any
    distances: tuple[float, float] | None
    axis: float
    truncated: bool
    noise: float
    words: str


def body(family: str, seed: int, radius: float) -> phantom.Phantom:
    """A phantom within `radius` of the axis."""
    draw = random.Random(seed).uniform
    if family == "ellipses":
        return phantom.random_ellipses(seed, radius)
    if family == "off centre":
        share, turn = draw(0.3, 0.5), draw(0, 2 * math.pi)
        x, y = share * radius * math.cos(turn), share * radius * math.sin(turn)
        inner = phantom.random_ellipses(seed, (1 - share) * radius)
        return phantom.Phantom(tuple(e._replace(x=e.x + x, y=e.y + y) for e in inner.ellipses))
    if family == "symmetric":
        rings = phantom.disc(0.95 * radius) + -0.5 * phantom.disc(0.6 * radius)
        return rings + 0.3 * phantom.disc(0.06 * radius, x=draw(0.1, 0.7) * radius)
    parts = phantom.disc(0.9 * radius, 0.02 if family == "points" else 0.5)
    for _ in range(12 if family == "points" else 60):
        r, turn, size = radius * 0.85 * math.sqrt(draw(0, 1)), draw(0, 2 * math.pi), draw(0.02, 0.05) * radius
        parts = parts + phantom.disc(size, draw(0.5, 1.5) if family == "points" else draw(-0.4, 0.4),
                                     r * math.cos(turn), r * math.sin(turn))  # fmt: skip
    return parts


def made(seed: int) -> Made:
    """The scan of this seed."""
    draw = random.Random(7919 * seed + 1)
    family = FAMILIES[seed % 5]
    fan, turn, cut = bool(seed & 1), bool(seed & 2), bool(seed & 4)
    columns, place = draw.randrange(96, 224), draw.uniform(0.15, 0.85)
    noise = draw.choice((0.0, 0.0, 0.01, 0.02, 0.05))
    views = draw.randrange(90, 200) * (2 if turn else 1)
    axis = place * (columns - 1)
    near, far = sorted((axis, columns - 1 - axis))
    radius = near * draw.uniform(0.7, 0.95)
    if cut:
        radius = max(far * draw.uniform(0.75, 1.15), near * 1.2)
    angles = draw.uniform(0, 6) + np.arange(views) * (2 if turn else 1) * np.pi / views
    distances = None
    if fan:
        R = columns * draw.uniform(2.0, 5.0)
        distances = (R, R * draw.uniform(0.2, 1.0))
        shrink = R / (R + distances[1])
        radius = R * math.sin(math.atan(radius * shrink / R))
    g = (
        vi.FanBeam(angles, columns, 1.0, *distances, axis=axis)
        if distances
        else vi.ParallelBeam(angles, columns, axis=axis)
    )
    lines = body(family, seed, radius).line_integrals(g, rays_per_bin=2)
    lines = lines / lines.max()
    lines = lines + noise * np.random.default_rng(seed).standard_normal(lines.shape)
    words = (
        f"{'fan' if fan else 'parallel'} {360 if turn else 180}° {family}, axis at {place:.2f} of {columns}, "
        f"{views} views, noise {noise:g}{', truncated' if cut else ''}"
    )
    return Made(lines, angles, distances, axis, cut, noise, words)


def main(scans: int = 40, first: int = 0) -> None:
    """Print a line a scan, then the figures."""
    began, errors, covered, refused, wrongly = time.perf_counter(), [], 0, 0, 0
    for seed in range(first, first + scans):
        m = made(seed)
        try:
            found = locate([m.lines], m.angles, sum(m.distances) if m.distances else np.inf)
        except vi.ScanError as error:
            refused += 1
            wrongly += not m.truncated and m.noise <= 0.02
            print(f"{seed:4d} {m.words}: refused: {error}")
            continue
        off = found.column - m.axis
        errors.append(abs(off))
        covered += abs(off) <= found.error
        mark = "" if abs(off) <= 0.5 else "   <-- WRONG"
        mark += "" if abs(off) <= found.error else "   (not covered)"
        print(f"{seed:4d} {m.words}: off by {off:+.3f} ± {found.error:.3f}, {found.how}{mark}")
    wrong = sum(e > 0.5 for e in errors)
    print(
        f"{scans} scans: {wrong} off by more than 0.5 column (worst {max(errors):.2f}, "
        f"median {np.median(errors):.3f}), "
        f"{refused} refused ({wrongly} of them complete with noise <= 2 %), "
        f"± covers {100 * covered / max(len(errors), 1):.0f} %; {(time.perf_counter() - began) / scans:.2f} s a scan"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
