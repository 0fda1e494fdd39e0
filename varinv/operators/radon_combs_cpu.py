"""How `radon_cpu` deals parallel rays into combs."""

# mypy: ignore-errors
from __future__ import annotations

import math
import weakref

import numpy as np

_combs = weakref.WeakKeyDictionary()  # of the scans met so far


def combs(rays):
    """(split, lines, view, begin, end): the combs, those with rows before those with columns, an even number of either.

    The first `split` go with rows.  `lines` (7, combs): start, slope, pitch, weight, first ray, step from ray to ray,
    number of rays; `view`: the angle.  The combs of the v-th angle in this order are begin[v] … end[v] − 1.
    """
    if rays not in _combs:
        lines, view, begin, end, split = [], [], [], [], 0
        for by_row in (True, False):
            for q in np.flatnonzero(rays.by_row[:, 0] == by_row):
                start, slope, pitch, weight = (
                    float(a[q, 0]) for a in (rays.start, rays.slope, rays.pitch, rays.length)
                )
                start, pitch, ahead = start + min(pitch, 0) * (rays.count - 1), abs(pitch), pitch > 0
                dealt = math.ceil(1 / pitch)
                dealt += dealt * pitch < 1  # rounding
                begin.append(len(view))
                for m in range(min(dealt, rays.count)):
                    first, step = (m, dealt) if ahead else (rays.count - 1 - m, -dealt)
                    count = -(-(rays.count - m) // dealt)
                    lines.append((start + m * pitch, slope, dealt * pitch, weight / rays.parts, first, step, count))
                    view.append(q)
                end.append(len(view))
            if len(view) % 2:  # an empty comb
                lines.append((0, 0, 1, 0, 0, 1, 0))
                view.append(view[-1])
            split = len(view) if by_row else split
        _combs[rays] = split, np.array(lines, float).T.copy(), *(np.array(a, np.int64) for a in (view, begin, end))
    return _combs[rays]
