"""Steps of other packages on the way from counts to line integrals: ring filters, phase retrieval, beam hardening."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from varinv import check
from varinv.backend import is_array, to_numpy
from varinv.scan.errors import ScanError
from varinv.scan.frames import AnyArray, Raw
from varinv.scan.record import Options, Real, Row

SINOGRAM, PROJECTIONS = STAGES = ("sinogram", "projections")
Rows = Iterator[tuple[int, Row | ScanError]]


def named(step: Any) -> str:
    """What a callable is called in errors."""
    return str(getattr(step, "__qualname__", None) or type(step).__name__)


def steps(given: Any) -> tuple[Callable[..., Any], ...]:
    """The callables of the argument `process`: one, a sequence, or none (an empty one)."""
    found = (given,) if callable(given) else given
    if isinstance(found, (str, bytes)) or not isinstance(found, (tuple, list)) or not all(map(callable, found)):
        raise TypeError(
            f"using: process must be a callable, process(lines, angles) → lines of the same shape, or a list of them, "
            f"got {check.describe(given)}"
        )
    return tuple(found)


def apply(which: tuple[Callable[..., Any], ...], values: AnyArray, angles: AnyArray | None) -> Real:
    """Run the steps one after the other on a copy; what comes back is checked, and errors name the step."""
    for step in which:
        given = values.astype(np.float32)
        try:
            out = step(given, None if angles is None else angles.copy())
        except Exception as error:
            raise ScanError(f"process step {named(step)}: {type(error).__name__}: {error}") from error
        out = to_numpy(out) if is_array(out) else np.asarray(out)
        if out.dtype.kind not in "fiu" or out.shape != values.shape:
            raise ScanError(
                f"process step {named(step)} must return real numbers of shape {values.shape}, "
                f"got {out.dtype} of shape {out.shape}"
            )
        lost = int((~np.isfinite(out)).sum())
        if lost:
            raise ScanError(f"process step {named(step)} returned {lost} of {out.size} values that are not finite")
        values = out.astype(np.float64)
    return values


def sinogram(which: tuple[Callable[..., Any], ...], lines: Real, angles: AnyArray | None) -> Real:
    """Steps on one corrected row, (views, columns) line integrals."""
    return apply(which, lines, angles)


def projections(raw: Raw, options: Options, every: list[int], seen: Any, rows_of: Callable[..., Rows]) -> Rows:
    """Steps on transmissions (views, rows, columns) of blocks of rows with `margin` rows more on either side.

    Rows that cannot be corrected are filled with their nearest good neighbour for the steps, and yielded as errors.
    """
    views, count, columns = raw.frames.shape
    size = max(1, (1 << 27) // (8 * views * columns))  # rows at a time: 128 MiB of numbers
    for first in range(0, len(every), size):
        part = every[first : first + size]
        low, high = max(0, part[0] - options.margin), min(count, part[-1] + options.margin + 1)
        found = dict(rows_of(raw, options, slice(low, high), seen))
        good = [r for r in found if isinstance(found[r], Row)]
        if good:
            near = [min(good, key=lambda g, r=r: abs(g - r)) for r in range(low, high)]  # type: ignore[misc]
            block = np.exp(-np.stack([found[g].lines for g in near], axis=1))  # type: ignore[union-attr]
            out = apply(options.process, block, raw.angles)
            if not (out > 0).all():
                raise ScanError(
                    f"{raw.path}: the process steps on projections returned {int((out <= 0).sum())} transmissions that "
                    "are not positive, which have no logarithm"
                )
        for row in part:
            have = found[row]
            yield row, have._replace(lines=-np.log(out[:, row - low])) if isinstance(have, Row) else have
