"""A folder of frames: which files are projections, flats and darks, in which order, at which angles."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from varinv.scan import formats, layout, names, tiff
from varinv.scan.angles import Angles, load, match, to_radians
from varinv.scan.errors import ScanError, warn
from varinv.scan.frames import Frames, Raw, Turned
from varinv.scan.kinds import kind_of

ANGLES = re.compile(r"(^|[^a-z])(angles?|thetas?|rotation_angles?)([^a-z].*)?\.(txt|csv|dat|npy)$", re.IGNORECASE)
USUAL = ("angles.txt", "theta.txt", "angles.csv", "angles.npy", "theta.npy", "angle.txt")


def read_folder(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Frames in the order of their names, flats and darks by words, angles from a file beside or from the names."""
    beside_them = formats.settings_in(path)
    if beside_them is not None:
        place, reader = beside_them
        notes.append(f"settings from {place.name} in this folder")
        return reader(place, angles, notes)
    suffixes = _suffixes(path)
    beside = _angle_files(path, path)
    if angles is None and beside:
        angles = _load(beside, notes)
    found = layout.sort(path, suffixes, None if angles is None else len(angles), notes)
    if angles is None and found.folder != path:
        beside = _angle_files(found.folder, path)
        angles = _load(beside, notes) if beside else None
    named = found.named
    if angles is None and named is not None:
        angles = names.stated_angles(named, notes)
    what, frames = open_frames(found.frames, path, notes, None if named is None else named.slots)
    if angles is None and (inside := formats.degrees_in(found.frames, frames.shape[0])) is not None:
        notes.append("angles from the files of the frames")
        angles = to_radians(np.array(inside), "degrees", path, notes)
    if _sinograms(found, frames, angles):
        text = (
            f"each file is taken as the sinogram of one detector row: {frames.shape[0]} rows of {frames.shape[1]} views"
        )
        if _called_sinograms(found):
            notes.append(text)
        else:
            warn(path, text, notes)
        frames = Turned(frames)
    if angles is not None:
        angles = match(angles, frames.shape[0], "in this stack", path, notes)
    flats, darks = (open_frames(f, path, notes)[1] if f else None for f in (found.flats, found.darks))
    counts = frames.dtype.kind in "bui" or flats is not None
    return Raw(path, f"{what} stack", frames, angles, flats, darks, kind_of(counts),
               flats_at=found.flats_at, darks_at=found.darks_at)  # fmt: skip


def references(path: Path, notes: list[str]) -> Frames | None:
    """Flats or darks that an argument names: a folder of frames, or a file of a known format; None: no such file."""
    if path.is_dir():
        suffixes = _suffixes(path)
        files = [f for g in layout.gather(path, suffixes) for f in g.files if f.parent == path]
        if not files:
            raise ScanError(f"{path}: no frames in this folder (looked for {', '.join(suffixes)})")
        return open_frames(names.order(files, path, notes).files, path, notes)[1]
    if path.suffix.lower() in (*tiff.SUFFIXES, *formats.FRAMES):
        return open_frames([path], path, notes)[1]
    return None


def open_frames(
    files: list[Path], path: Path, notes: list[str], slots: list[names.Slot] | None = None
) -> tuple[str, Frames]:
    """The name of the format and the frames of these files."""
    if files[0].suffix.lower() in tiff.SUFFIXES:
        return "TIFF", tiff.open_stack(files, path, notes, slots)
    return formats.open_frames(files, path, notes, slots)


def _suffixes(path: Path) -> tuple[str, ...]:
    """TIFF where there are TIFF files, else the most frequent suffix among the other formats of frames."""
    groups = layout.gather(path, (*tiff.SUFFIXES, *formats.FRAMES))
    count: Counter[str] = Counter()
    for g in groups:
        count[g.files[0].suffix.lower()] += len(g.files)
    if not count or any(s in count for s in tiff.SUFFIXES):
        return tiff.SUFFIXES
    return formats.alike(count.most_common(1)[0][0])


def _sinograms(found: layout.Sorted, frames: Frames, angles: Angles | None) -> bool:
    """Are these images sinograms, one a detector row: as many lines as angles, and not as many files?"""
    if angles is None or frames.shape[1] != len(angles):
        return False
    return frames.shape[0] != len(angles) or _called_sinograms(found)


def _called_sinograms(found: layout.Sorted) -> bool:
    return bool({"sino", "sinogram"} & {*layout.words(found.frames[0].stem), *layout.words(found.folder.name)})


def _angle_files(folder: Path, root: Path) -> list[Path]:
    """Files of angles in this folder, the usual names first."""
    try:
        found = sorted(f for f in folder.iterdir() if ANGLES.search(f.name) and f.is_file())
    except OSError as error:
        raise ScanError(f"{root}: {folder} cannot be listed ({error.strerror})") from None
    return sorted(found, key=lambda f: USUAL.index(f.name.lower()) if f.name.lower() in USUAL else len(USUAL))


def _load(files: list[Path], notes: list[str]) -> Angles:
    others = f" ({', '.join(f.name for f in files[1:3])} left aside)" if files[1:] else ""
    notes.append(f"angles from {files[0].name}{others}")
    return load(files[0], notes)
