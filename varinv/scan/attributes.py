"""Attributes of HDF5 objects, looked at before the library reads them: damaged ones fill the memory or end the process.

Text of any length is stored as a length and a place in a global heap.  HDF5 fills as many bytes as the length says,
up to 4 GiB, and in types that are neither numbers nor text it may jump anywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

NEAR, SMALL = 1 << 16, 1 << 19  # how far behind its object an attribute is looked for; smaller files are read whole


def value(item: Any, name: str) -> Any:
    """A number, array or text; None where there is no such attribute, or none that can be trusted."""
    if name not in item.attrs:
        return None
    found = item.attrs.get_id(name)
    kind = found.get_type()
    if isinstance(kind, h5py.h5t.TypeStringID):
        one = found.get_space().get_simple_extent_npoints() == 1
        if kind.is_variable_str() and not (one and all(n <= _size(item) for n in _lengths(item, name))):
            return None
    elif not isinstance(kind, (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID, h5py.h5t.TypeEnumID)):
        return None
    return item.attrs[name]


def _size(item: Any) -> int:
    return Path(item.file.filename).stat().st_size


def _lengths(item: Any, name: str) -> list[int]:
    """What is stored as the length of the text in attributes of this name, at this object or in a small file.

    An attribute is a message of version 1 (sizes of name, type and space; the three, each padded to eight bytes) or
    3 (one more byte, no padding), then its value.
    """
    path = Path(item.file.filename)
    small = path.stat().st_size <= SMALL
    with path.open("rb") as file:
        file.seek(0 if small else h5py.h5o.get_info(item.id).addr)
        content = file.read(SMALL if small else NEAR)
    word, lengths = name.encode() + b"\0", []
    at = content.find(word)
    while at >= 0:
        for head, version, step in ((8, 1, 8), (9, 3, 1)):
            start = at - head
            if start >= 0 and content[start] == version:
                sizes = [int.from_bytes(content[start + k : start + k + 2], "little") for k in (2, 4, 6)]
                place = at + sum(-(-n // step) * step for n in sizes)
                if sizes[0] == len(word) and place + 16 <= len(content):
                    lengths.append(int.from_bytes(content[place : place + 4], "little"))
        at = content.find(word, at + 1)
    return lengths
