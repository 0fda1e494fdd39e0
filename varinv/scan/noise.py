"""How much noise there is in a sinogram, and whether there is any."""

from __future__ import annotations

import numpy as np

from varinv.scan.frames import AnyArray
from varinv.scan.record import Real


def noisy(values: AnyArray) -> bool:
    """Do readings scatter from view to view and from column to column?  Faults that only noise unmasks need this.

    The second differences of white noise change sign from one to the next 73 times of 100 (their correlation is −2/3),
    those of smooth data rarely.  Those that rounding to whole numbers makes, up to 2, do not count.
    """
    left = max(0, values.shape[1] // 2 - 256)
    some = values[:512, left : left + 512]  # enough to know, and quick
    if len(some) < 20:  # coarse views alternate by themselves
        return False
    whole = bool((some[::7] == np.round(some[::7])).mean() > 0.9) if some.size else False
    return all(_alternates(some, axis, 2.0 if whole else 0.0) for axis in (0, 1))


def _alternates(values: AnyArray, axis: int, least: float) -> bool:
    bend = np.moveaxis(np.diff(values, 2, axis=axis), axis, 0)
    both = (np.abs(bend[1:]) > least) & (np.abs(bend[:-1]) > least)  # NaN is not
    decided = int(both.sum())
    # noise is in most readings (half of them may be cut off); details of an object are in few
    return (
        decided > max(32, 0.2 * both.size)
        and int((both & (np.sign(bend[1:]) != np.sign(bend[:-1]))).sum()) > 0.5 * decided
    )


def sample(values: Real, most: int = 1 << 17) -> Real:
    """At most that many of the values, evenly taken: enough for a percentile."""
    flat = values.ravel()
    return flat[:: max(1, flat.size // most)]
