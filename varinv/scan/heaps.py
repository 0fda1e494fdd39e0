"""A look at an HDF5 file before the library reads it: some damaged heaps hang the library or end the process.

Global heaps ("HDF5 File Format Specification", III.E) hold text of any length and the lists of virtual datasets: a
header, then objects one after the other.  The library goes from object to object by their sizes; where free space has
size 0, or a size leads out of the heap, it never arrives (H5HG__cache_heap_deserialize, HDF5 2.0 and before).
Selections of more than 32 axes in the lists of virtual datasets end the process (H5S__hyper_deserialize).
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
                    try:
                        sound, why = _sound(content, at, width), "has no end"
                    except ScanError as error:
                        sound, why = False, f"holds {error}"
                    if not sound:
                        raise ScanError(f"{path}: damaged HDF5 file (its global heap at byte {at} {why})")
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
        if index and length > 40 and content[at + header] < 2:
            _selections(content[at + header : at + header + length], width)
        at += step
    return True


def _selections(block: bytes, width: int) -> None:
    """A ScanError where a list of virtual sources selects from more axes than there are: it overwrites the stack.

    The list: a version, the number of entries, and of each the names of file and dataset and two selections; in
    version 1 before them a byte of flags (1, 2: a name is the number of an earlier entry; 4: there is no file name).
    What is no such list leads nowhere after a name or two.
    """
    at = 1 + width
    for _ in range(min(int.from_bytes(block[1:at], "little"), len(block) // 34)):
        flags = block[at] if block[0] else 0
        at += block[0]
        for shared in (1, 2):
            if shared == 1 and flags & 4:
                continue
            at = at + width if flags & shared else block.find(b"\0", at) + 1
            if not 0 < at < len(block):
                return
        for _ in range(2):
            length, axes = _selection(block, at)
            if axes > 32:
                raise ScanError("a virtual source with more than 32 axes")
            at += length
            if not length or at >= len(block):
                return


def _selection(block: bytes, at: int) -> tuple[int, int]:
    """Length of a serialised selection and its number of axes; (0, 0) where it is of no kind that leads on."""

    def number(offset: int, size: int = 4) -> int:
        return int.from_bytes(block[at + offset : at + offset + size], "little")

    kind, version = number(0), number(4)
    if at + 16 > len(block) or kind > 3 or not 1 <= version <= 3:
        return 0, 0
    if kind in (0, 3):  # nothing, everything
        return 16, 0
    if version == 1:
        return 16 + number(12), number(16)
    if version == 2 and kind == 2:
        return 13 + number(9), number(13)
    size = number(9 if kind == 2 else 8, 1)
    start = 14 if kind == 2 else 13
    axes = number(start - 4)
    if kind == 2 and number(8, 1) & 1:  # regular: start, stride, count, block of each axis
        return start + 4 * axes * size, axes
    blocks = number(start, size)
    return start + size + blocks * axes * size * (2 if kind == 2 else 1), axes
