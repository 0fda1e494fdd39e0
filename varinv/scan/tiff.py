"""TIFF files: frames in pages, or in one page where ImageJ or tifffile wrote a stack under one directory entry."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan import arrays, names
from varinv.scan.angles import Angles, match
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.frames import Raw, TIFFFrames
from varinv.scan.kinds import kind_of
from varinv.scan.names import Slot, natural

__all__ = ["SUFFIXES", "natural", "open_stack", "read_tiff"]

SUFFIXES = (".tif", ".tiff")
Page = tuple[Path, int, tuple[int, ...], Any, int | None]


def read_tiff(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """A file of pages; one page is a sinogram where the angles fit one of its axes."""
    frames = open_stack([path], path, notes)
    if frames.shape[0] == 1 and angles is not None and len(angles) > 1 and len(angles) in frames.shape[1:]:
        notes.append(f"one image with {len(angles)} angles: a sinogram")
        page = frames.read(np.zeros(1, np.intp), slice(None))[0]
        return arrays.build(path, "TIFF sinogram", page, angles, notes)
    if angles is not None:
        angles = match(angles, frames.shape[0], "in this stack", path, notes)
    return Raw(path, "TIFF stack", frames, angles, kind=kind_of(frames.dtype.kind in "bui"))


def open_stack(files: list[Path], path: Path, notes: list[str], slots: list[Slot] | None = None) -> TIFFFrames:
    """All pages of these files, their headers checked; one error lists every frame that does not fit."""
    pages: list[Page] = []
    faults: list[str] = []
    for file in files:
        try:
            pages += _pages(file)
        except ScanError as error:
            faults.append(str(error))
    kinds = Counter((p[2], np.dtype(p[3]).newbyteorder("=")) for p in pages)
    if kinds:
        (size, dtype), _ = kinds.most_common(1)[0]
        for file, k, shape, kind, _ in pages:
            where = file.name + (f" page {k}" if k else "")
            if shape != size:
                faults.append(f"{where} has shape {shape}, the others {size}")
            elif np.dtype(kind).newbyteorder("=") != dtype:
                faults.append(f"{where} is {np.dtype(kind)}, the others {dtype}")
        if len(size) != 2 or dtype.kind not in "buif":
            faults.append(f"frames must be grey images of real numbers, they have shape {size} and type {dtype}")
    gaps = names.gaps(names.read_numbers(files) if slots is None else slots)
    if faults or not pages:
        missing = [f"missing from the numbering: {gaps}"] if gaps else []
        faults = [*faults, *missing] or ["no pages"]
        more = f" … and {len(faults) - 12} more" if len(faults) > 12 else ""
        raise ScanError(f"{path}: {'; '.join(faults[:12])}{more}")
    if gaps:
        warn(path, f"missing from the numbering: {gaps}", notes)
    orders = {np.dtype(p[3]).str for p in pages}
    dtype = np.dtype(orders.pop()) if len(orders) == 1 else dtype
    afford(path, "one frame", size[0] * size[1] * dtype.itemsize)
    mapped = not orders  # mixed byte orders: let the decoder sort it out
    return TIFFFrames(tuple((f, k, at if mapped else None) for f, k, _, _, at in pages), (size[0], size[1]), dtype)


def _pages(file: Path) -> list[Page]:
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            length = tiff.filehandle.size
            found: list[Page] = []
            for k, page in enumerate(tiff.pages):
                ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=False)]
                if not ends or max(ends) > length:
                    raise ScanError(f"{file.name} is truncated: {length} bytes of {max(ends, default=0)}")
                kind = np.dtype(f"{tiff.byteorder}{page.dtype.char}") if page.dtype is not None else np.dtype("V1")
                plain = page.is_memmappable and page.is_contiguous
                found.append((file, k, tuple(page.shape), kind, page.dataoffsets[0] if plain else None))
            if not found:
                raise ScanError(f"{file.name} holds no image")
            if len(found) == 1:
                found = _unfold(file, tiff, found[0], length)
    except ScanError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise ScanError(f"{file.name} is not a readable TIFF file ({error})") from None
    return found


def _unfold(file: Path, tiff: Any, page: Page, length: int) -> list[Page]:
    """The frames of a file with one directory entry for all of them, as ImageJ writes beyond 4 GiB; or a refusal."""
    count = _promised(tiff.pages[0], page[2])
    if count == 1:
        return [page]
    _, _, size, kind, offset = page
    if offset is None or len(size) != 2:
        raise ScanError(f"{file.name} promises {count} frames and holds one page that is compressed or no grey image; "
                        "save it again as one page a frame")  # fmt: skip
    each = math.prod(size) * np.dtype(kind).itemsize
    if offset + count * each > length:
        raise ScanError(f"{file.name} is truncated: it promises {count} frames, {offset + count * each} bytes, and "
                        f"has {length}")  # fmt: skip
    return [(file, k, size, kind, offset + k * each) for k in range(count)]


def _promised(page: Any, size: tuple[int, ...]) -> int:
    """How many frames the description of the only page promises (ImageJ: images=N; tifffile: a shape)."""
    text = str(page.description or "")
    found = re.search(r"^images=(\d+)\s*$", text, re.MULTILINE) if text.startswith("ImageJ=") else None
    if found:
        return max(int(found.group(1)), 1)
    if text.startswith('{"shape"'):
        try:
            shape = tuple(int(n) for n in json.loads(text)["shape"])
        except (ValueError, KeyError, TypeError):
            return 1
        whole, one = math.prod(shape), math.prod(size)
        return whole // one if one and whole % one == 0 else 1
    return 1
