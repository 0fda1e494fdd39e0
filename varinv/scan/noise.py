"""How much noise there is in a sinogram, and whether there is any."""

from __future__ import annotations

import numpy as np

from varinv.scan.frames import AnyArray
from varinv.scan.record import Real


def noisy(values: AnyArray) -> bool:
    """Do readings scatter from view to view and from column to column?  Faults that only noise unmasks need this."""
    return _alternates(values, 0) and _alternates(values, 1)


def _alternates(values: AnyArray, axis: int) -> bool:
    """Are neighbours along this axis independent?

    The second differences of white noise change sign from one to the next 73 times of 100 (their correlation is −2/3),
    those of smooth data rarely.
    """
    bend = np.diff(values[:4096, :4096], 2, axis=axis)
    some = np.moveaxis(bend, axis, 0)
    pairs = some[1:] * some[:-1]
    decided = pairs[np.isfinite(pairs) & (pairs != 0)]
    return bool(decided.size > 32 and (decided < 0).mean() > 0.5)


def sample(values: Real, most: int = 1 << 17) -> Real:
    """At most that many of the values, evenly taken: enough for a percentile."""
    flat = values.ravel()
    return flat[:: max(1, flat.size // most)]
