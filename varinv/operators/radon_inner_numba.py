"""What the CPU twins of the X-ray transform repeat for each row of pixels; `radon_numba` says what it means."""

# mypy: ignore-errors
from __future__ import annotations

import math

import numba as nb
import numpy as np
from numba.types import int64, uint64

from varinv.twins import FAST

PAD = 16  # columns of zeros on either side: four rows read together shift by one each, and lanes are filled up
LANES = 8  # columns are worked on in whole vectors
ONE, TWO = np.uint64(1), np.uint64(2)  # indices are unsigned: signed ones would be tested for counting from the end

inner = nb.njit(fastmath=FAST, error_model="numpy", nogil=True)


@inner
def reach(start, slope, steps, width):
    """First and last J from which a pixel is met on any row."""
    end = start + (steps - 1) * slope
    return -int64(math.floor(max(start, end))) - 2, int64(width) - int64(math.floor(min(start, end))) - 1


@inner
def floored(t):
    """⌊t⌋, and the rest: compilers that fuse may round it below 0, and a weight with it."""
    s = int64(math.floor(t))
    return s, min(max(t - s, 0.0), 1.0)


@inner
def add_rows(image, i0, i1, i2, i3, f0, f1, f2, f3, e, total, at, size):
    """total += four image rows times their weights: `size` entries from `at`, pixels from i0, i1, i2, i3 (flat)."""
    real = e.dtype.type
    zero, one, f0, f1, f2, f3 = real(0), real(1), real(f0), real(f1), real(f2), real(f3)
    for j in range(size):
        k, n, z = j + ONE, j + TWO, e[at + j]
        z0, z1, z2, z3 = z + f0, z + f1, z + f2, z + f3
        total[at + j] += (
            max(zero, z0) * image[i0 + n] - min(zero, z0) * image[i0 + j] + (one - abs(z0)) * image[i0 + k]
            + max(zero, z1) * image[i1 + n] - min(zero, z1) * image[i1 + j] + (one - abs(z1)) * image[i1 + k]
            + max(zero, z2) * image[i2 + n] - min(zero, z2) * image[i2 + j] + (one - abs(z2)) * image[i2 + k]
            + max(zero, z3) * image[i3 + n] - min(zero, z3) * image[i3 + j] + (one - abs(z3)) * image[i3 + k]
        )  # fmt: skip


@inner
def add_combs(image, at, size, tables, e0, y0, f0, e1, y1, f1):
    """`size` pixels from `at` += the rays of two combs times their weights, whose tables begin at e0, y0, e1, y1."""
    real = image.dtype.type
    zero, one, f, g = real(0), real(1), real(f0), real(f1)
    for j in range(size):
        k, n = j + ONE, j + TWO
        image[at + j] += (
            max(zero, tables[e0 + j] + f) * tables[y0 + j] - min(zero, tables[e0 + n] + f) * tables[y0 + n]
            + (one - abs(tables[e0 + k] + f)) * tables[y0 + k]
            + max(zero, tables[e1 + j] + g) * tables[y1 + j] - min(zero, tables[e1 + n] + g) * tables[y1 + n]
            + (one - abs(tables[e1 + k] + g)) * tables[y1 + k]
        )  # fmt: skip


@inner
def sides(image, rows):
    """Steps of a ray that goes by rows (else by columns), and the pixels beside them."""
    return (image.shape[0], image.shape[1]) if rows else (image.shape[1], image.shape[0])


@inner
def cut(image, rows, top, strip):
    """strip ← rows (else columns) top … of the image between PAD zeros, zero beyond its end."""
    steps, width = sides(image, rows)
    here = min(strip.shape[0], steps - top)
    for n in range(strip.shape[0]):
        for j in range(PAD + width if n < here else 0, strip.shape[1]):
            strip[n, j] = 0
    if rows:
        for n in range(here):
            for j in range(width):
                strip[n, PAD + j] = image[top + n, j]
    else:
        whole = here // LANES * LANES
        for n in range(0, whole, LANES):
            for j in range(uint64(width)):
                for m in range(uint64(LANES)):
                    strip[uint64(n) + m, uint64(PAD) + j] = image[j, uint64(top + n) + m]
        for j in range(width):
            for n in range(whole, here):
                strip[n, PAD + j] = image[j, top + n]
