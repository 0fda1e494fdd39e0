"""Readings at the end of their range: saturated ones, and numbers without sign that were read with one."""

from __future__ import annotations

from typing import Any

import numpy as np

from varinv.scan.frames import AnyArray
from varinv.scan.record import Mask, Real, Repairs


def unwrapped(values: AnyArray, what: str, repairs: Repairs) -> AnyArray:
    """Counts of an unsigned camera that were stored as signed: 65536 is added to the negative ones of int16.

    Counts scatter about the dark level and are never far below 0; where int16 numbers are below −1000 (a tenth of
    that would be the noise of any camera), they are beyond 32767 in truth.
    """
    if values.dtype != np.int16 or int(values.min()) >= -1000:
        return values
    wide = values.astype(np.int32)
    below = wide < 0
    repairs.doubt(
        f"negative counts down to {int(values.min())} in 16-bit numbers with a sign ({what}): 65536 was added to them, "
        "as for a camera whose numbers have none; convert the file to uint16"
    )
    return wide + 65536 * below


def ceiling(values: AnyArray, dtype: np.dtype[Any], noise: bool, dark: bool) -> float:
    """The reading at which these numbers, (views, columns), are cut off; infinite where nothing shows that they are.

    That is the end of an integer type (or of 8 to 16 bits) where many readings take it, or a largest reading that noisy
    numbers (`noise`) take far more often than each of the readings just below it.  Without noise and without a dark
    level (`dark`), air may well be the largest number by construction.
    """
    finite = values[np.isfinite(values)]
    if finite.size < 64:
        return float("inf")
    top = float(finite.max())
    at_top = int((finite == top).sum())
    near = finite[(finite >= top - max(0.01 * abs(top), 1.0)) & (finite < top)]
    kinds = len(np.unique(near))
    if not noise and not dark:
        return float("inf")
    end = dtype.kind in "iu" and top >= 255 and (top == np.iinfo(dtype).max or (int(top) + 1).bit_count() == 1)
    # 20 different readings just below: the detector does get there; zingers and hot pixels have nothing near them,
    # and are found as such, so that alone they must be more than these ever are
    if end and ((kinds >= 20 and at_top >= 4) or at_top > 0.05 * finite.size):
        return top
    # one number in twenty readings of a noisy detector is no tail
    if noise and top >= 50 and at_top > 0.05 * finite.size:
        return top
    # elsewhere the top must be no tail of a distribution: ten times as many readings as each of those just below
    many = at_top > 20 and at_top > 10 * len(near) / max(kinds, 1) and at_top > 0.002 * finite.size
    return top if noise and kinds >= 20 and many else float("inf")


def saturated(data: Real, top: float, alive: Mask) -> Mask:
    """Readings at the ceiling in columns that are alive, (views, columns)."""
    return (data >= top) & alive if np.isfinite(top) else np.zeros(data.shape, bool)
