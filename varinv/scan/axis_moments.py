"""The rotation axis of a parallel beam from the centre of mass of each view (Helgason–Ludwig conditions 0 and 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def centre(lines: Real, angles: Real) -> tuple[float, float] | None:
    """Axis and standard error from sinograms (rows, views, columns) of an object that stays within the detector.

    Σ_k p(θ, k) is the mass, the same in all views; Σ_k k p / Σ_k p = axis + a cos θ + b sin θ.  The standard error
    is that of leaving out an eighth of the views at a time, and what the level of air at both edges may do: a line
    from l to r under the views moves the centre by (r − l) m²/12 / mass.  None where the mass or the centre do not
    obey: a truncated object, or air that is not 0.
    """
    found, weights = [], []
    for p in lines:
        noise = _noise(p)
        mass = p.sum(1)
        m = p.shape[1]
        if not _within(p, noise) or mass.mean() <= 0 or mass.min() <= 0.5 * mass.mean():
            continue
        expected = noise * np.sqrt(m) / mass.mean()
        if mass.std() / mass.mean() > 3 * expected + 2e-3:
            continue
        k = np.arange(m) - (m - 1) / 2
        place = (p @ k) / mass
        A = np.stack([np.ones(len(angles)), np.cos(angles), np.sin(angles)], 1)
        fit, *_ = np.linalg.lstsq(A, place, rcond=None)
        left = place - A @ fit
        spread = noise * np.sqrt((k**2).sum()) / mass.mean()
        if left.std() > 3 * spread + 0.02:
            continue
        parts = np.array_split(np.arange(len(angles)), 8)
        each = [np.linalg.lstsq(np.delete(A, i, 0), np.delete(place, i), rcond=None)[0][0] for i in parts]
        level = sum(abs(float(np.median(edge))) for edge in edges(p)) * m * m / 12 / mass.mean()
        found.append(fit[0] + (m - 1) / 2)
        weights.append(1 / (7 / 8 * float(((each - np.mean(each)) ** 2).sum()) + level**2 + 1e-8))
    if not found:
        return None
    w = np.array(weights)
    return float((w * found).sum() / w.sum()), float(1 / np.sqrt(w.sum()))


def edges(p: Real) -> tuple[Real, Real]:
    """The columns at the left and at the right edge."""
    width = max(2, p.shape[1] // 50)
    return p[:, :width], p[:, -width:]


def _within(p: Real, noise: float) -> bool:
    """Is there nothing at the edges, within 0.5 % of the peak and what the noise allows, in any tenth of the views?"""
    peak = float(np.percentile(p, 99.5))
    for part in np.array_split(p, min(10, len(p))):
        for edge in edges(part):
            if abs(float(edge.mean())) > 0.005 * peak + 4 * noise / np.sqrt(edge.size):
                return False
    return True


def _noise(p: Real) -> float:
    """Standard deviation of the noise, from the third differences along the columns."""
    d = np.diff(p, 3, axis=1)
    return float(np.median(np.abs(d)) / 0.6745 / np.sqrt(20))
