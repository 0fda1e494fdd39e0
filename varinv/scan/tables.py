"""Sinograms in text: tables of numbers, one line a view (or a column), as spreadsheets and scripts write them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from varinv.scan import arrays
from varinv.scan.angles import Angles, to_radians
from varinv.scan.errors import ScanError, afford
from varinv.scan.frames import Raw
from varinv.scan.trees import ANGLE

SUFFIXES = (".csv", ".txt", ".tsv", ".dat", ".asc")


def read_table(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Numbers separated by commas, semicolons, tabs or blanks; headings are passed over, `#` starts a comment.

    A first column whose heading is named like an angle holds the angles.
    """
    afford(path, "the table", 8 * path.stat().st_size)
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ScanError(f"{path}: not a text file, although its name says so") from None
    lines = [line.partition("#")[0].strip() for line in lines]
    first = next((k for k, line in enumerate(lines) if line and _numbers(line)), None)
    if first is None:
        raise ScanError(f"{path}: no line of numbers in this table")
    mark = next((m for m in (";", "\t", ",") if m in lines[first]), None)
    body = [line.rstrip(",;") if mark != "\t" else line for line in lines[first:] if line]
    try:
        table = np.loadtxt(io.StringIO("\n".join(body)), delimiter=mark, ndmin=2, comments=None)
    except ValueError as error:
        raise ScanError(f"{path}: not a table of numbers with equally long lines ({error})") from None
    if min(table.shape) < 2:
        raise ScanError(f"{path}: a table of shape {table.shape} is no sinogram; expected (views, columns)")
    heading = next((line for line in reversed(lines[:first]) if line), "")
    name = re.split(r"[,;\s]", heading)[0] if heading else ""
    if ANGLE.search(name):
        unit = next((u for u in ("deg", "rad") if u in name.lower()), None)
        if angles is None:
            angles = to_radians(table[:, 0], unit, path, notes)
        notes.append(f"the first column, {name!r}, holds the angles")
        table = table[:, 1:]
    if (table % 1 == 0).all() and np.abs(table).max() < 2**31:
        table = table.astype(np.int64)
    return arrays.build(path, "text table", table, angles, notes)


def _numbers(line: str) -> bool:
    try:
        return bool([float(e) for e in re.split(r"[,;\s]+", line) if e])
    except ValueError:
        return False


def is_table(path: Path, start: bytes) -> bool:
    """By its name, or because its first line is two numbers or more."""
    if b"\0" in start:
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    text = start.decode("utf-8", "replace").splitlines()
    return bool(text) and _numbers(text[0]) and len(re.split(r"[,;\s]+", text[0].strip())) > 1
