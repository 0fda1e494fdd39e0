"""Inner products and the few vector updates solvers are made of, each with a fast twin beside it.

Sums run in float64 over fixed blocks in a fixed order: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import math

from varinv.backend import Array, double, kernel, namespace


@kernel
def dot(a: Array, b: Array) -> float:
    """Σ a b in float64, as a Python float."""
    xp = namespace(a, b)
    return float(xp.sum(double(a) * double(b)))


def norm(a: Array) -> float:
    """√Σ a² in float64, as a Python float."""
    return math.sqrt(dot(a, a))


@kernel
def add_scaled(a: Array, t: float, b: Array) -> Array:
    """a + t·b."""
    return a + t * b


@kernel
def step_in_box(x: Array, tau: float, g: Array, lo: float, hi: float, theta: float) -> tuple[Array, Array]:
    """x' = clip(x − τ g, lo, hi) and the extrapolation x' + θ(x' − x)."""
    xp = namespace(x, g)
    new = x - tau * g
    new = xp.where(new < lo, xp.full_like(new, lo), new)
    new = xp.where(new > hi, xp.full_like(new, hi), new)
    return new, new + theta * (new - x)
