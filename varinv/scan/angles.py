"""Angles as files state them: units, implausible ranges, surplus values."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from varinv.operators.geometry import refuse_degrees
from varinv.scan.errors import ScanError, head, warn
from varinv.scan.npy import load_npy

Angles = NDArray[np.float64]
TURN = 2 * math.pi
FARTHEST = 1e6  # degrees or radians: two thousand turns and more
LARGEST = 1 << 26  # bytes; an angle file above 64 MiB is something else


def to_radians(values: Angles, unit: str | None, path: object, notes: list[str]) -> Angles:
    """Angles in radians from numbers whose unit the file states ("deg…", "rad…") or leaves open (None).

    A stated unit is honoured, with one exception: "degrees" that span π or 2π (or do so with one more step, within
    0.5 %) over eight views or more are radians under a wrong label; they are taken as radians, with a warning.
    Other spans of "degrees" below 10 over more than 20 views are kept, with a warning.  Without a unit, a span above
    4π is degrees (with a warning where it does not look like a scan in degrees), anything else radians.
    """
    values = np.asarray(values, np.float64).ravel()
    bad = int((~np.isfinite(values)).sum())
    if bad or not len(values):
        raise ScanError(f"{path}: {bad} of {len(values)} angles are NaN or infinite; there must be one finite angle")
    plausible(values, path)
    span = float(values.max() - values.min())
    stated = (unit or "").strip().lower()
    if stated.startswith("rad"):
        return values
    if stated.startswith("deg") or stated == "°":
        if len(values) >= 8 and _half_or_full_turn(span, len(values)):
            text = (
                f"the angles are labelled {unit!r} but span only {span:.4g}, half or full turns in radians; "
                "taken as radians (pass angles= in radians to decide otherwise)"
            )
            warn(path, text, notes)
            return values
        if len(values) > 20 and 0 < span < 10:
            text = f"the {len(values)} angles span only {span:.4g} degrees, which is implausible; kept as degrees"
            warn(path, text, notes)
        return np.deg2rad(values)
    if stated:
        raise ScanError(f"{path}: the angles are in the unknown unit {unit!r}; expected degrees or radians")
    if span <= 2 * TURN:
        if span > 1.02 * TURN:
            warn(path, f"angles without a unit span {span:.4g}: more than a turn, taken as radians", notes)
        else:
            notes.append(f"angles without a unit span {span:.4g}: taken as radians")
        return values
    try:
        refuse_degrees("angles", values)
    except ValueError:
        notes.append(f"angles without a unit span {span:.4g}: taken as degrees")
    else:
        warn(path, f"angles without a unit span {span:.4g}, no usual scan in degrees; taken as degrees", notes)
    return np.deg2rad(values)


def plausible(values: Angles, path: object) -> None:
    """A ScanError for angles that no instrument has: beyond a million, or many that are all equal."""
    largest = float(np.abs(values).max())
    if largest > FARTHEST:
        raise ScanError(f"{path}: angles up to {largest:.3g}: no sample turns so far; are these angles?")
    if len(values) > 2 and float(np.ptp(values)) == 0:
        raise ScanError(f"{path}: all {len(values)} angles are equal, {values[0]:.6g}: the sample did not turn")


def _half_or_full_turn(span: float, n: int) -> bool:
    return any(abs(s / turn - 1) < 0.005 for s in (span, span * n / (n - 1)) for turn in (math.pi, TURN))


def match(angles: Angles, frames: int, what: str, path: object, notes: list[str]) -> Angles:
    """One angle a frame: equal values at either end are reduced to one; counts that still differ are an error.

    Instruments write the angle of frames taken for flats and darks before and after the scan; they repeat the first
    and the last position (within 1 % of the median step).  The repeat next to the scan is the one that is kept.
    """
    if len(angles) == frames:
        return angles
    before = len(angles)
    if before > frames and before > 2:
        steps = np.abs(np.diff(angles))
        near = 0.01 * float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        first = int(np.argmax(np.append(np.abs(angles - angles[0]) > near, True))) - 1
        last = before + 1 - int(np.argmax(np.append(np.abs(angles[::-1] - angles[-1]) > near, True)))
        if last - first == frames:
            notes.append(
                f"{before} angles for {frames} views: {first} repeats before and {before - last} after dropped"
            )
            return angles[first:last]
        if last > first:
            angles = angles[first:last]
    reduced = f" ({len(angles)} without repeats at the ends)" if len(angles) < before else ""
    raise ScanError(f"{path}: {before} angles{reduced} for {frames} views {what}; there must be one angle a view")


def load(path: Path, notes: list[str]) -> Angles:
    """Angles in radians from a text or .npy file.

    Text: numbers separated by blanks, commas, semicolons or line ends, `#` starts a comment.  A comment or heading
    with "deg" or "rad" states the unit; otherwise `to_radians` decides by the span and reports what it took.
    """
    start = head(path)
    unit = None
    if start.startswith(b"\x93NUMPY"):
        values = np.asarray(load_npy(path))
        if values.ndim == 0 or values.size != max(values.shape):
            raise ScanError(f"{path}: angles must be one-dimensional, the file has shape {values.shape}")
    else:
        if path.stat().st_size > LARGEST:
            raise ScanError(f"{path}: {path.stat().st_size} bytes are too many for a file of angles")
        values, unit = _parse(path)
    return to_radians(values.astype(np.float64), unit, path, notes)


def _parse(path: Path) -> tuple[Angles, str | None]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ScanError(f"{path}: not a text file, .npy or other known file of angles") from None
    words: list[str] = []
    numbers: list[float] = []
    widths: set[int] = set()
    for number, line in enumerate(lines, 1):
        text, _, comment = line.partition("#")
        words.append(comment)
        entries = [e for e in re.split(r"[,;\s]+", text) if e]
        try:
            row = [float(e) for e in entries]
        except ValueError:
            if numbers:
                raise ScanError(f"{path}: line {number} is not a number: {text.strip()[:40]!r}") from None
            words.append(text)  # a heading
            continue
        numbers += row
        widths.add(len(row))
    widths.discard(0)
    if not numbers:
        raise ScanError(f"{path}: no angles in this file")
    if max(widths) > 1 and len(numbers) != max(widths):
        raise ScanError(f"{path}: {max(widths)} numbers a line; a file of angles has one number a line")
    found = re.search(r"\b(deg|rad)", " ".join(words).lower())
    return np.array(numbers), found.group(1) if found else None
