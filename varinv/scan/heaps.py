"""A look at an HDF5 file before the library reads it: damaged global heaps keep the library in a loop that never ends.

Global heaps ("HDF5 File Format Specification", III.E) hold text of any length and the lists of virtual datasets: a
header, then objects one after the other.  The library goes from object to object by their sizes; where free space has
size 0, or a size leads out of the heap, it never arrives (H5HG__cache_heap_deserialize, HDF5 2.0 and before).
"""

from __future__ import annotations

import mmap
from pathlib import Path

from varinv.scan.errors import ScanError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
WHOLE, PART = 1 << 26, 1 << 24  # of files above 64 MiB the first and last 16 MiB are looked at


def check(path: Path) -> None:
    """A ScanError where a global heap of this file does not lead from object to object to its end."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            width = _width(content)
            n = len(content)
            for start, stop in ((0, n),) if n <= WHOLE else ((0, PART), (n - PART, n)):
                at = content.find(b"GCOL\x01\0\0\0", start, stop)
                while at >= 0:
                    if not _sound(content, at, width):
                        raise ScanError(f"{path}: damaged HDF5 file (its global heap at byte {at} has no end)")
                    at = content.find(b"GCOL\x01\0\0\0", at + 8, stop)
    except (OSError, ValueError) as error:  # missing or empty: whoever opens it says so
        if isinstance(error, ScanError):
            raise


def _width(content: mmap.mmap) -> int:
    """Bytes of a length in this file, from its superblock; 8 where there is none."""
    at = 0
    while at + 16 < len(content) and content[at : at + 8] != SIGNATURE:
        at = 2 * at if at else 512
    if at + 16 >= len(content):
        return 8
    width = content[at + 14] if content[at + 8] < 2 else content[at + 10]
    return width if width in (2, 4, 8) else 8


def _sound(content: mmap.mmap, start: int, width: int) -> bool:
    size = int.from_bytes(content[start + 8 : start + 8 + width], "little")
    header = -(-(8 + width) // 8) * 8
    end = start + size
    if size < 4096 or end > len(content):  # no heap, or one that the library refuses
        return True
    at = start + header
    while at + header <= end:
        index = int.from_bytes(content[at : at + 2], "little")
        length = int.from_bytes(content[at + 8 : at + 8 + width], "little")
        step = length if index == 0 else header + -(-length // 8) * 8
        if step < 8 or at + step > end:
            return False
        at += step
    return True
