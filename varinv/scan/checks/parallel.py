"""Views as parallel beams in rising angular order: as they are, or rebinned from the full turn of a fan."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from varinv.operators.geometry import FanBeam
from varinv.scan.axis import arrange
from varinv.scan.checks.sight import Real, Sight

TURN = 2 * math.pi


class Parallel(NamedTuple):
    """Line integrals p(θ, u) of parallel beams, u in columns."""

    lines: Real  # (views, columns)
    angles: Real  # rising
    axis: float  # column
    closed: bool  # a full turn


def parallel(s: Sight, source_to_detector: float = 1.0) -> Parallel | None:
    """The views as parallel beams; None for fans that are no full turn.

    The fan's ray at view β and fan angle γ = atan(v/D), D the distance from source to detector, is the line with
    θ = β − γ and u = R sin γ, so p(θ, u) is the fan at β = θ + γ, v = D tan γ, γ = asin(u/R): linear interpolation.
    `source_to_detector` multiplies D; u is in units of R, so that R itself has no influence.
    """
    g = s.geometry
    assert g is not None
    order, rising, closed = arrange(np.asarray(g.angles))
    lines, axis = s.lines[order], float(g.axis or 0.0)
    if not isinstance(g, FanBeam):
        return Parallel(lines, rising, axis, closed)
    if not closed:
        return None
    return Parallel(_rebinned(lines, rising, g, axis, source_to_detector), _grid(len(rising)), axis, True)


def _grid(views: int) -> Real:
    return np.arange(views + views % 2) * TURN / (views + views % 2)


def _rebinned(lines: Real, rising: Real, g: FanBeam, axis: float, scale: float) -> Real:
    from scipy.ndimage import map_coordinates

    far = scale * (g.source_to_axis + g.axis_to_detector)
    reach = max(axis, g.detectors - 1 - axis) * g.spacing
    widest = math.atan(reach / far)
    columns = np.arange(g.detectors) - axis
    gamma = np.arcsin(np.clip(columns * math.sin(widest) / max(axis, g.detectors - 1 - axis), -1, 1))
    beta = np.mod(_grid(len(rising))[:, None] + gamma, TURN)
    wrapped = np.concatenate([rising, rising[:1] + TURN])
    row = np.interp(beta, wrapped, np.arange(len(wrapped)))
    row = np.where(beta < rising[0], 0.0, row)
    column = np.broadcast_to(far * np.tan(gamma) / g.spacing + axis, beta.shape)
    closed = np.vstack([lines, lines[:1]])
    return np.asarray(map_coordinates(closed, [row, column], order=1, mode="nearest"))


def evenly(p: Parallel) -> Real:
    """A full turn of views at an even number of even angles, linear between neighbours."""
    n = len(p.angles) + len(p.angles) % 2
    grid = np.arange(n) * TURN / n
    have = np.append(p.angles, TURN + p.angles[0])
    rows = np.vstack([p.lines, p.lines[:1]])
    at = np.clip(np.searchsorted(have, grid, side="right"), 1, len(have) - 1)
    gap = np.maximum(have[at] - have[at - 1], 1e-12)
    share = np.clip((grid - have[at - 1]) / gap, 0, 1)[:, None]
    return np.asarray((1 - share) * rows[at - 1] + share * rows[at])
