"""TIFF stacks: a folder of frames in natural order, or one file of many pages."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, load, match
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.frames import Raw, TIFFFrames
from varinv.scan.kinds import kind_of

SUFFIXES = (".tif", ".tiff")
FLAT = re.compile(r"(^|[^a-z])(flat|white|open|ff|bright)s?([^a-z]|$)", re.IGNORECASE)
DARK = re.compile(r"(^|[^a-z])(dark|df)s?([^a-z]|$)", re.IGNORECASE)
ANGLES = ("angles.txt", "theta.txt", "angles.csv", "angles.npy", "theta.npy", "angle.txt")
Page = tuple[Path, int, tuple[int, ...], Any, int | None]


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that reads digits as numbers: raw_2 before raw_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p), "") if p.isdigit() and len(p) < 20 else (1, 0, p.lower()) for p in parts]


def read_tiff(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """A folder of frames (flats and darks by their names, angles.txt beside them) or a file of pages."""
    nothing: list[Path] = []
    files, flats, darks = ([path], nothing, nothing) if path.is_file() else _sort(path, notes)
    frames = open_stack(files, path, notes)
    if angles is None and path.is_dir():
        beside = [path / name for name in ANGLES if (path / name).is_file()]
        if beside:
            notes.append(f"angles from {beside[0].name}")
            angles = load(beside[0], notes)
    if angles is not None:
        angles = match(angles, frames.shape[0], "in this stack", path, notes)
    references = [open_stack(f, path, notes) if f else None for f in (flats, darks)]
    counts = frames.dtype.kind in "bui" or references[0] is not None
    return Raw(path, "TIFF stack", frames, angles, references[0], references[1], kind_of(counts))


def _sort(folder: Path, notes: list[str]) -> tuple[list[Path], list[Path], list[Path]]:
    """Projections, flats and darks of a folder; projections may be alone in its only folder of TIFF files."""
    here = _tiffs(folder)
    flats = [f for f in here if FLAT.search(f.stem)]
    darks = [f for f in here if DARK.search(f.stem)]
    files = [f for f in here if f not in flats and f not in darks]
    if not files:
        inner = [d for d in sorted(folder.iterdir()) if d.is_dir() and _tiffs(d)]
        if len(inner) == 1:
            notes.append(f"frames from the folder {inner[0].name}")
            files = _tiffs(inner[0])
    if not files:
        others = sorted(f.name for f in folder.iterdir() if f.is_file())[:6]
        raise ScanError(f"{folder}: no TIFF frames in this folder; name a file in it ({', '.join(others) or 'empty'})")
    for name, found in (("flats", flats), ("darks", darks)):
        if found:
            notes.append(f"{name} by their names: {', '.join(f.name for f in found[:3])}{' …' if found[3:] else ''}")
    return files, flats, darks


def _tiffs(folder: Path) -> list[Path]:
    try:
        found = [f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()]
    except OSError as error:
        raise ScanError(f"{folder}: cannot be listed ({error.strerror})") from None
    return sorted(found, key=natural)


def open_stack(files: list[Path], path: Path, notes: list[str]) -> TIFFFrames:
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
    gaps = _gaps(files)
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
    except ScanError:
        raise
    except Exception as error:  # tifffile raises many kinds on damaged files
        raise ScanError(f"{file.name} is not a readable TIFF file ({error})") from None
    return found


def _gaps(files: list[Path]) -> str:
    """The numbers left out of a numbered sequence whose usual step is known."""
    found = [re.findall(r"\d+", f.stem) for f in files]
    if len(files) < 3 or not all(found):
        return ""
    numbers = [int(f[-1]) for f in found if len(f[-1]) < 12]
    if len(numbers) != len(files) or any(b <= a for a, b in pairwise(numbers)):
        return ""
    step = Counter(b - a for a, b in pairwise(numbers)).most_common(1)[0][0]
    holes: list[int] = []
    for a, b in pairwise(numbers):
        holes += range(a + step, b, step)[:9]
    return f"{', '.join(map(str, holes[:8]))}{' …' if len(holes) > 8 else ''}" if holes else ""
