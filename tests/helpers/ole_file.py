"""A writer of compound files (OLE 2), as far as a scan of a Zeiss microscope needs one: folders and streams."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

SECTOR, MINI, CUTOFF = 512, 64, 4096
END, FREE, FAT, NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF


def write(path: Path, streams: dict[str, bytes]) -> Path:
    """These streams, "folder/name" or "name" → content, in a version 3 compound file; every list is a plain chain."""
    entries = _entries(streams)
    small = b""
    mini_fat: list[int] = []
    for entry in entries:
        data = entry["data"]
        if data and len(data) < CUTOFF:
            count = -(-len(data) // MINI)
            entry["start"] = len(mini_fat)
            mini_fat += [*range(len(mini_fat) + 1, len(mini_fat) + count), END]
            small += data.ljust(count * MINI, b"\0")
    entries[0]["data"] = small
    sectors: list[bytes] = []
    fat: list[int] = []

    def put(data: bytes) -> int:
        count = -(-len(data) // SECTOR)
        if not count:
            return END
        start = len(sectors)
        sectors.extend(data[k * SECTOR : (k + 1) * SECTOR].ljust(SECTOR, b"\0") for k in range(count))
        fat.extend([*range(start + 1, start + count), END])
        return start

    for k, entry in enumerate(entries):
        if k == 0 or len(entry["data"]) >= CUTOFF:
            entry["start"] = put(entry["data"])
    packed = struct.pack(f"<{len(mini_fat)}I", *mini_fat)
    mini_start = put(packed + b"\xff" * (-len(packed) % SECTOR))
    table = b"".join(_packed(e) for e in entries)
    directory = put(table + _packed(None) * (-len(entries) % 4))
    many = 1
    while many * SECTOR // 4 < len(fat) + many:
        many += 1
    start = len(sectors)
    full = [*fat, *[FAT] * many]
    full += [FREE] * (many * SECTOR // 4 - len(full))
    sectors += [struct.pack("<128I", *full[k * 128 : (k + 1) * 128]) for k in range(many)]
    header = struct.pack("<8s16sHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, 0,
                         many, directory, 0, CUTOFF, mini_start, -(-len(packed) // SECTOR), END, 0)  # fmt: skip
    listed = [start + k for k in range(many)] + [FREE] * (109 - many)
    path.write_bytes(header + struct.pack("<109I", *listed) + b"".join(sectors))
    return path


def _entries(streams: dict[str, bytes]) -> list[dict]:
    """The root, its folders, and their streams; siblings are chained to the right in the order of the format."""
    root = {"name": "Root Entry", "kind": 5, "child": NONE, "right": NONE, "data": b"", "start": END}
    entries = [root]
    folders: dict[str, dict] = {}
    inside: dict[str, list[int]] = {}
    for name, data in streams.items():
        folder, _, leaf = name.rpartition("/")
        if folder and folder not in folders:
            folders[folder] = {"name": folder, "kind": 1, "child": NONE, "right": NONE, "data": b"", "start": 0}
            inside.setdefault("", []).append(len(entries))
            entries.append(folders[folder])
        inside.setdefault(folder, []).append(len(entries))
        entries.append({"name": leaf, "kind": 2, "child": NONE, "right": NONE, "data": data, "start": END})
    for folder, members in inside.items():
        members.sort(key=lambda k: (len(entries[k]["name"]), entries[k]["name"].upper()))
        (folders[folder] if folder else root)["child"] = members[0]
        for a, b in pairwise(members):
            entries[a]["right"] = b
    return entries


def _packed(entry: dict | None) -> bytes:
    if entry is None:
        return struct.pack("<64sHBBIII16xI8x8xIQ", b"", 0, 0, 0, NONE, NONE, NONE, 0, 0, 0)
    name = entry["name"].encode("utf-16-le")
    return struct.pack("<64sHBBIII16xI8x8xIQ", name, len(name) + 2, entry["kind"], 1, NONE, entry["right"],
                       entry["child"], 0, entry["start"], len(entry["data"]))  # fmt: skip
