"""Filters by which a solver steps: positive weights of frequencies along some axes of an array."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import array_api_compat.numpy as xnp

from varinv.backend import Array, Shape
from varinv.operators.frequencies import filtered, frequencies

FLOOR = 0.03  # of the weight at frequency 0: 0.01 to 0.06 tried on six scans (docs/decisions/0013)


class Spectrum(NamedTuple):
    """The symmetric, positive filter that multiplies frequencies along `axes` by `weights`.

    weights : NumPy float64, in the layout of `varinv.operators.frequencies.filtered`.
    unit : w₀ of the metric v = w/w₀ in which weighted least squares steps, v^½ S v^½; None: their largest weight.
    """

    weights: Array
    axes: tuple[int, ...]
    unit: float | None = None

    def times(self, scale: float) -> Spectrum:
        return Spectrum(scale * self.weights, self.axes, self.unit)

    def apply(self, y: Array, of: Callable[[Array], Array]) -> Array:
        """y with its frequencies multiplied by of(weights)."""
        return filtered(y, of(self.weights), self.axes, "periodic")


def ramp(shape: Shape) -> Spectrum:
    """(ξ/π) cos(ξ/2) + 0.03 over its mean, along the last axis, ξ in radians per bin: for the Radon transform A.

    Aᵀ|ξ|A is a multiple of the identity in the continuum (filtered back-projection), so AᵀSA has a flatter spectrum
    than AᵀA, in which low frequencies outweigh the others.  The cosine leaves out what the interpolation of rays hardly
    transmits, the floor keeps S invertible.
    """
    axis = len(shape) - 1
    _, xi, count = next(frequencies(shape, (axis,), "periodic"))
    weights = xi / math.pi * xnp.cos(xi / 2) + FLOOR
    mean = float(xnp.sum(weights * count)) / float(xnp.sum(count))
    return Spectrum(xnp.reshape(weights / mean, (1,) * axis + (-1,)), (axis,))
