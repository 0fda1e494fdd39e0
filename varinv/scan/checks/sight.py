"""What the tests look at: one row of line integrals, with its noise, its contrast and its edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.scan.axis import arrange

Real = NDArray[np.float64]
# an error of 3 % of the contrast is as large as what beam hardening and scatter leave in good scans, and visible
VISIBLE = 0.03


@dataclass(frozen=True, eq=False)
class Sight:
    """One row of a scan as the tests see it; all in the order of the file."""

    lines: Real  # (views, columns)
    valid: NDArray[np.bool_]  # where they are measured
    geometry: ParallelBeam | FanBeam | None  # None: the scan has no angles
    counts: bool
    numbers: Real | None = None  # (views, columns of the file): as they stand in the file
    flats: Real | None = None  # (n, columns of the file)
    found: tuple[float, float] | None = None  # axis estimated from the views and its uncertainty, where one was stated

    @cached_property
    def noise(self) -> float:
        """Standard deviation of one measurement: second differences along the detector, robustly."""
        if self.lines.shape[1] < 3:
            return 0.0
        return 1.4826 * float(np.median(np.abs(np.diff(self.lines, 2, axis=1)))) / math.sqrt(6)

    def noise_at(self, values: Real) -> Real:
        """The noise of measurements of these values: dark ones have more of it.  From twelve levels of equal share."""
        bend = np.abs(np.diff(self.lines, 2, axis=1)).ravel()
        level = self.lines[:, 1:-1].ravel()
        marks = np.quantile(level, np.linspace(0, 1, 13))
        place = np.clip(np.searchsorted(marks, level) - 1, 0, 11)
        parts = [bend[place == k] for k in range(12)]
        noise = [1.4826 * float(np.median(p)) / math.sqrt(6) if p.size else 0.0 for p in parts]
        return np.asarray(np.interp(values, marks, np.maximum([*noise, noise[-1]], self.noise)))

    @cached_property
    def noise_power(self) -> float:
        """Mean variance of the measurements: more than `noise` squared where dark ones scatter more."""
        return float(np.mean(self.noise_at(self.lines) ** 2))

    @cached_property
    def contrast(self) -> float:
        """From the first to the 99th percentile of the line integrals."""
        low, high = np.percentile(self.lines, [1, 99])
        return max(float(high - low), 1e-30)

    @cached_property
    def width(self) -> int:
        """Columns of an edge: 4 % of the detector."""
        return max(3, round(0.04 * int(self.lines.shape[1])))

    @cached_property
    def edges(self) -> Real:
        """The level of each view at the left and the right edge, (views, 2)."""
        w = self.width
        return np.stack([np.median(self.lines[:, :w], 1), np.median(self.lines[:, -w:], 1)], 1)

    @cached_property
    def edge_noise(self) -> float:
        """Standard deviation of an edge: of a median over `width` columns."""
        return 1.2533 * self.noise / math.sqrt(self.width)

    @cached_property
    def tolerance(self) -> float:
        """What the level of an edge may be off: 3 % of the contrast, or five deviations."""
        return max(5 * self.edge_noise, VISIBLE * self.contrast)

    @cached_property
    def air(self) -> float:
        """The level of air: of the lower edge, in most views."""
        return float(np.median(self.edges.min(1)))

    @cached_property
    def inside(self) -> bool:
        """Does the object leave the same level at both edges of nearly every view, and is that level 0?"""
        apart = np.abs(self.edges - self.air).max(1)
        return float(np.percentile(apart, 90)) <= self.tolerance and abs(self.air) <= self.tolerance

    @cached_property
    def beside(self) -> bool:
        """Do both edges keep the same distance in nearly every view, whatever their common level does?"""
        apart = self.edges[:, 0] - self.edges[:, 1]
        return float(np.percentile(np.abs(apart - np.median(apart)), 90)) <= self.tolerance

    @property
    def fan(self) -> bool:
        """Is it a fan beam?"""
        return isinstance(self.geometry, FanBeam)

    @cached_property
    def turn(self) -> tuple[NDArray[np.intp], float, bool]:
        """Views in angular order, the angle they cover with one more step, and whether they close a circle."""
        assert self.geometry is not None
        order, rising, circle = arrange(np.asarray(self.geometry.angles))
        n = len(rising)
        return order, float(rising[-1]) * n / max(n - 1, 1), circle

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """Which gaps between the views in angular order are within a fifth of the usual one."""
        if self.geometry is None:
            return np.ones(len(self.lines) - 1, bool)
        gaps = np.mod(np.diff(np.asarray(self.geometry.angles)[self.turn[0]]), 2 * math.pi)
        return np.asarray(np.abs(gaps - np.median(gaps)) <= 0.2 * np.median(gaps))

    @cached_property
    def even(self) -> bool:
        """Are four of five gaps between views alike?"""
        return bool(self.gaps.mean() >= 0.8)

    @cached_property
    def fan_angle(self) -> float:
        """Angle between the outermost rays, 0 for a parallel beam."""
        g = self.geometry
        if not isinstance(g, FanBeam):
            return 0.0
        reach = max(g.axis or 0.0, g.detectors - 1 - (g.axis or 0.0)) * g.spacing
        return 2 * math.atan(reach / (g.source_to_axis + g.axis_to_detector))

    @cached_property
    def complete(self) -> bool:
        """Do the views cover half a turn (fan: and the fan angle)?  3 % of half a turn may be missing."""
        return self.geometry is not None and self.turn[1] >= 0.97 * (math.pi + self.fan_angle)


def middle(values: Any) -> float:
    """Median absolute deviation, as a standard deviation."""
    values = np.asarray(values, np.float64)
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0
