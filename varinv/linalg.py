"""Inner products and the few vector updates solvers are made of, each with a fast twin beside it.

Sums run in float64 over fixed blocks in a fixed order: the bits do not depend on the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from varinv.backend import Array, double, kernel, namespace


def slabs(n: int, most: int = 16) -> Iterator[slice]:
    """0 … n − 1 in at most so many slices of equal length: temporaries then are no larger than a slab."""
    length = -(-n // most)
    return (slice(k, min(k + length, n)) for k in range(0, n, length))


@kernel
def dot(a: Array, b: Array) -> float:
    """Σ a b in float64, as a Python float."""
    xp = namespace(a, b)
    return float(xp.sum(double(a) * double(b)))


def norm(a: Array) -> float:
    """√Σ a² in float64, as a Python float."""
    return math.sqrt(dot(a, a))


@kernel
def distance(a: Array, b: Array) -> float:
    """√Σ (a − b)² in float64, as a Python float; the differences in the wider dtype of the two."""
    d = double(a - b)
    return math.sqrt(float(namespace(d).sum(d * d)))


@kernel
def add_scaled(a: Array, t: float, b: Array) -> Array:
    """a + t·b, in the wider dtype of the two."""
    return a + t * b
