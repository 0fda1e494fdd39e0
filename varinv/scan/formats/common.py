"""What the readers of formats share: libraries that may be absent, quiet calls, text settings, constant flats."""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, match
from varinv.scan.errors import ScanError, ScanWarning, afford, warn
from varinv.scan.frames import ArrayFrames

LARGEST = 1 << 24  # bytes of a text file of settings


def library(name: str, path: Path, what: str) -> Any:
    """The library that reads this format, or a ScanError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ScanError(f"{path}: {what} are read with {package}, which is not installed: "
                        'pip install "varinv[formats]"') from None  # fmt: skip


@contextmanager
def guarded(path: Path, what: str) -> Iterator[None]:
    """One ScanError for whatever a library raises on a damaged file; its warnings and log lines are kept back."""
    before = logging.root.manager.disable
    try:
        with warnings.catch_warnings(record=True) as seen, np.errstate(invalid="ignore"):
            warnings.simplefilter("always")
            logging.disable(logging.CRITICAL)
            yield
    except (ScanError, MemoryError):
        raise
    except Exception as error:
        raise ScanError(f"{path}: not a readable {what} ({error or type(error).__name__})") from None
    finally:
        logging.disable(before)
    for w in seen:
        if issubclass(w.category, ScanWarning):  # ours
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def settings(path: Path) -> dict[str, str]:
    """The `name = value` lines of a text file, names in small letters; the first of equal names counts."""
    if path.stat().st_size > LARGEST:
        raise ScanError(f"{path}: {path.stat().st_size} bytes are too many for a file of settings")
    found: dict[str, str] = {}
    for line in path.read_bytes().decode("utf-8", "replace").splitlines():
        name, sign, value = line.partition("=")
        if sign and not line.lstrip().startswith(("[", ";", "#")):
            found.setdefault(name.strip().lower(), value.strip())
    return found


def number(found: dict[str, str], name: str, path: Path, default: float | None = None) -> float:
    """A finite number among the settings; without a default it must be there."""
    text = found.get(name.lower(), "")
    try:
        value = float(text.split()[0])
        if math.isfinite(value):
            return value
    except (ValueError, IndexError):
        pass
    if default is None:
        raise ScanError(f"{path}: {name} = {text!r} is no number" if text else f"{path}: it states no {name}")
    return default


def positive(found: dict[str, str], name: str, path: Path, default: float | None = None) -> float:
    value = number(found, name, path, default)
    if not value > 0:
        raise ScanError(f"{path}: {name} = {value:g} must be above 0")
    return value


def even(level: float, rows: int, columns: int, path: Path) -> ArrayFrames:
    """A flat of one level."""
    afford(path, "one frame", 4 * rows * columns)
    return ArrayFrames(np.full((1, rows, columns), level, np.float32))


def fitting(angles: Angles, views: int, path: Path, notes: list[str]) -> Angles:
    """One angle a view; of an aborted scan that planned more, the first ones, with a warning."""
    if len(angles) > views:
        warn(path, f"{len(angles)} angles are stated and {views} frames are there: taken as the first ones of a scan "
                   "that was stopped", notes)  # fmt: skip
        return angles[:views]
    return match(angles, views, "in this file", path, notes)


def cone(path: Path, rows: int, notes: list[str], upright: float | None = None) -> None:
    """Say that the rows of a cone beam but one are no fan beams; `upright` is the row that the beam meets upright."""
    if rows > 1:
        row = (rows - 1) / 2 if upright is None else upright
        warn(path, f"{rows} detector rows and distances are a cone beam: only row {row:g} is a fan beam, and the "
                   "others are reconstructed as if they were", notes)  # fmt: skip
