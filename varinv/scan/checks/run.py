"""All tests of a scan, one row of it: none of them may stop the others."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from varinv.scan.checks.explained import explained
from varinv.scan.checks.level import brightness, drift, level, truncation
from varinv.scan.checks.measured import flats, gaps, outliers, saturation, stripes
from varinv.scan.checks.mirror import distances, mirror
from varinv.scan.checks.moments import jump, moments
from varinv.scan.checks.neighbours import neighbours
from varinv.scan.checks.sight import Real, Sight
from varinv.scan.checks.symmetries import symmetries
from varinv.scan.checks.table import DOUBT, WRONG, Check, Checks
from varinv.scan.errors import ScanError
from varinv.scan.record import Repairs

Test = Callable[[Sight], Iterator[Check]]
TESTS: tuple[Test, ...] = (
    brightness, level, drift, truncation, gaps, saturation, outliers, stripes, flats, moments, jump, mirror, distances,
    neighbours, explained, symmetries,
)  # fmt: skip


def check(scan: Any, row: int | None = None) -> Checks:
    """Is this the problem that the user has?  Consistency tests of one row of a scan, the middle one by default.

    What the tests measure, their limits and where these come from is in docs/checks.md.  A scan that cannot be
    corrected has one line, with the reason.
    """
    count = scan.shape[1]
    place = count // 2 if row is None else range(count)[row]
    try:
        with warnings.catch_warnings():  # they were given where the scan was read
            warnings.simplefilter("ignore")
            sight = _sight(scan, place)
            repaired = Repairs(scan.seen[place].done).say()
    except ScanError as error:
        return Checks((Check("line integrals", None, None, WRONG, str(error)),), place)
    found: list[Check] = []
    for test in TESTS:
        found += _run(test, sight)
    return Checks(tuple(found), place, repaired)


def doubts(scan: Any, row: int | None = None) -> list[str]:
    """One sentence for each doubtful test of a row; never raises."""
    try:
        return [str(c) for c in check(scan, row).doubtful]
    except Exception as error:
        return [f"the checks could not be computed ({type(error).__name__}: {error})"]


def _run(test: Test, sight: Sight) -> list[Check]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return [c._replace(figure=None if c.figure is None else float(c.figure)) for c in test(sight)]
    except Exception as error:  # a test that fails says nothing of the scan
        return [Check(test.__name__, None, None, DOUBT, f"could not be computed ({type(error).__name__}: {error})")]


def _sight(scan: Any, row: int) -> Sight:
    lines = np.asarray(scan.sinogram(row), np.float64)
    geometry: Any = scan.geometry if scan.raw.angles is not None else None
    if geometry is not None and np.ndim(geometry.axis):  # one axis a view: the views are moved to the mean one
        axes = np.asarray(geometry.axis, np.float64)
        columns = np.arange(lines.shape[1])
        lines = np.stack([np.interp(columns + a - axes.mean(), columns, v) for a, v in zip(axes, lines, strict=True)])
        geometry = dataclasses.replace(geometry, axis=float(axes.mean()))
    return Sight(lines, scan.valid(row), geometry, scan.raw.counts, *_numbers(scan, row))


def _numbers(scan: Any, row: int) -> tuple[Real | None, Real | None]:
    """The numbers of the file in this row: views and flats."""
    raw, part = scan.raw, slice(row, row + 1)
    if raw.frames.shape[1] != scan.shape[1]:
        return None, None
    data = np.asarray(raw.frames.read(scan.picked, part)[:, 0], np.float64)
    flats = None if raw.flats is None else np.asarray(raw.flats.read(np.arange(raw.flats.shape[0]), part)[:, 0], float)
    return data, flats
