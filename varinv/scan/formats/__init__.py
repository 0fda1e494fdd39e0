"""Formats of instruments, each read by the well-kept library of its field (the extra `formats`)."""

from __future__ import annotations

from pathlib import Path

from varinv.scan.errors import ScanError
from varinv.scan.frames import Frames
from varinv.scan.names import Slot

FRAMES: dict[str, str] = {}  # suffix of one-frame files: the module that opens them


def alike(suffix: str) -> tuple[str, ...]:
    """All suffixes of the same format."""
    return tuple(s for s, module in FRAMES.items() if module == FRAMES[suffix])


def open_frames(files: list[Path], path: Path, notes: list[str], slots: list[Slot] | None) -> tuple[str, Frames]:
    """Frames in files of their own."""
    raise ScanError(f"{path}: no reader for {files[0].suffix} files")
