"""MATLAB v5 to v7.2 files: real arrays, text and structures; every length is checked before it is believed.

After "MAT-File Format" (MathWorks): a file is 128 bytes of header and then elements, each a type, a length and data.
The entries of cells are variables of their own, name{1}, name{2} …; sparse and complex arrays are passed over.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.errors import ScanError, afford

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
MATRIX, COMPRESSED, CELL, STRUCT, OBJECT, CHAR, COMPLEX = 14, 15, 1, 2, 3, 4, 0x0800
CELLS = 4096  # entries of a cell that are looked at
Element = tuple[int, memoryview]


def load(path: Path) -> dict[str, Any]:
    """Variables by name: NumPy arrays without axes of length 1 (as `squeeze`), text, dictionaries for structures."""
    afford(path, "the file", path.stat().st_size)
    content = memoryview(path.read_bytes())
    end = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if end is None:
        raise ScanError(f"{path}: not a readable MATLAB file (no byte order in its header)")
    found: dict[str, Any] = {}
    try:
        for kind, data in _elements(content[128:], end):
            if kind == COMPRESSED:
                kind, data = next(_elements(memoryview(_inflate(data, end, path)), end))
            if kind == MATRIX:
                name, value = _matrix(data, end, 0)
                found |= _entries(name, value)
    except (ValueError, StopIteration, zlib.error, UnicodeError, KeyError, IndexError) as error:
        if isinstance(error, ScanError):
            raise
        raise ScanError(f"{path}: not a readable MATLAB file ({error or 'an element is missing'})") from None
    return found


def _inflate(data: memoryview, end: str, path: Path) -> bytes:
    """The element inside a compressed one; its own length says how much to expect."""
    stream = zlib.decompressobj()
    start = stream.decompress(data, 8)
    if len(start) < 8:
        raise ValueError("a compressed element is empty")
    length = int(np.frombuffer(start, end + "u4", 1, 4)[0])
    afford(path, "a compressed variable", min(length, 1100 * len(data)))  # zlib never exceeds 1032 : 1
    return start + stream.decompress(stream.unconsumed_tail, max(min(length, 1100 * len(data)), 1))


def _elements(data: memoryview, end: str) -> Iterator[Element]:
    """(type, content) of one element after the other; a ValueError where one is longer than what there is."""
    at = 0
    while at + 8 <= len(data):
        first, length = (int(v) for v in np.frombuffer(data, end + "u4", 2, at))
        if first >> 16:  # up to 4 bytes, packed into the tag
            kind, length, start, step = first & 0xFFFF, first >> 16, at + 4, 8
            if length > 4:
                raise ValueError("a damaged element tag")
        else:
            kind, start = first, at + 8
            step = 8 + (length if kind == COMPRESSED else -(-length // 8) * 8)
        if start + length > len(data):
            raise ValueError(f"an element promises {length} bytes and {len(data) - start} follow")
        yield kind, data[start : start + length]
        at += step


def _matrix(data: memoryview, end: str, depth: int) -> tuple[str, Any]:
    """Name and value of an array; None for kinds that are passed over."""
    if not len(data) or depth > 16:
        return "", None
    parts = _elements(data, end)
    flags = int(np.frombuffer(next(parts)[1], end + "u4", 1)[0])
    kind = flags & 0xFF
    if kind not in CLASSES and kind not in (CELL, STRUCT, OBJECT, CHAR):
        return "", None
    shape = tuple(int(n) for n in np.frombuffer(next(parts)[1], end + "i4"))
    name = bytes(next(parts)[1]).decode("latin-1")
    if min(shape, default=-1) < 0:
        raise ValueError(f"{name} has the shape {shape}")
    if flags & COMPLEX:
        return name, None
    if kind == CELL:
        return name, tuple(_matrix(content, end, depth + 1)[1] for _, content in itertools.islice(parts, CELLS))
    if kind in (STRUCT, OBJECT):
        return name, _structure(parts, end, kind == OBJECT, math.prod(shape), depth)
    code, content = next(parts)
    if kind == CHAR:
        order = "-le" if end == "<" else "-be"
        return name, bytes(content).decode(TEXTS[code] + (order if TEXTS[code] in ("utf-16", "utf-32") else ""))
    stored = np.frombuffer(content, end + NUMBERS[code])
    if len(stored) != math.prod(shape):
        raise ValueError(f"{name} promises shape {shape} and holds {len(stored)} numbers")
    return name, np.squeeze(stored.astype(CLASSES[kind]).reshape(shape, order="F"))


def _structure(parts: Iterator[Element], end: str, named: bool, count: int, depth: int) -> Any:
    """Fields by name; of an array of structures nothing, it holds no scan."""
    if named:
        next(parts)  # the name of the class
    width = int(np.frombuffer(next(parts)[1], end + "i4", 1)[0])
    listed = bytes(next(parts)[1])
    if width < 1:
        raise ValueError("a damaged structure")
    names = [listed[k : k + width].split(b"\0")[0].decode("latin-1") for k in range(0, len(listed), width)]
    if count != 1:
        return None
    found: dict[str, Any] = {}
    for name, (_, content) in zip(names, parts, strict=False):
        found |= _entries(name, _matrix(content, end, depth + 1)[1])
    return found


def _entries(name: str, value: Any) -> dict[str, Any]:
    """A variable, or those in a cell."""
    if not isinstance(value, tuple):
        return {name: value}
    found: dict[str, Any] = {}
    for k, entry in enumerate(value, 1):
        found |= _entries(f"{name}{{{k}}}", entry)
    return found
