"""Formats of instruments, each read by the well-kept library of its field (the extra `formats`)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from varinv.scan import names
from varinv.scan.angles import Angles
from varinv.scan.errors import ScanError, head, warn
from varinv.scan.frames import Frames, Loaded, Raw

Reader = Callable[[Path, Angles | None, list[str]], Raw]
FRAMES = {  # suffix of the files of a folder of frames: the module that opens them
    **dict.fromkeys((".fits", ".fit", ".fts"), "fits"),
    ".edf": "edf",
    ".xrm": "xradia",
}
TITLES = {"fits": "FITS", "edf": "EDF", "xradia": "Zeiss"}
OTHERS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"\x89HDF", b"MATLAB", b"PK\x03\x04", b"\x93NUMPY")
IMAGES = "an image, not a scan: read_image opens it as an array with its pixel size"


def reader_of(path: Path, start: bytes) -> Reader | None:
    """Who reads a file that begins so, by its content first, then by its suffix; None: none of these formats."""
    if start[128:132] == b"DICM" or start[344:348] in (b"n+1\0", b"ni1\0") or start.startswith(b"ObjectType = Image"):
        raise ScanError(f"{path}: {IMAGES}")
    if start and path.name.lower().endswith((".nii", ".nii.gz", ".mha", ".mhd", ".dcm")):
        raise ScanError(f"{path}: {IMAGES}")
    module = _module(path.suffix.lower(), start)
    return None if module is None else importlib.import_module(f"varinv.scan.formats.{module}").read


def settings_in(folder: Path) -> tuple[Path, Reader] | None:
    """The one file of settings (.xtekct, SkyScan .log) in a folder of frames, and its reader.

    Logs of reconstructions (`_rec.log`) do not count.  A folder of DICOM slices is refused: it holds images.
    """
    try:
        files = [f for f in sorted(folder.iterdir()) if f.is_file() and not f.name.startswith(".")]
    except OSError as error:
        raise ScanError(f"{folder}: cannot be listed ({error.strerror})") from None
    known = any(f.suffix.lower() in (".tif", ".tiff", *FRAMES) for f in files)
    if files and not known and all(head(f, 132)[128:] == b"DICM" for f in files[:3]):
        raise ScanError(f"{folder}: {IMAGES}")
    texts = [f for f in files if f.suffix.lower() in (".xtekct", ".log") and not f.stem.endswith("_rec")]
    found = [f for f in texts if _module(f.suffix.lower(), head(f)) in ("nikon", "skyscan")]
    if len(found) != 1:
        return None
    reader = reader_of(found[0], head(found[0]))
    return None if reader is None else (found[0], reader)


def layout_of(file: Any) -> Callable[[Any, Path, Angles | None, list[str]], Raw] | None:
    """Who reads this open HDF5 file by the layout of an instrument or a program; None: none of these."""
    from varinv.scan.formats import area_detector, hyperspy

    if hyperspy.is_hyperspy(file):
        return hyperspy.read
    return area_detector.read if area_detector.is_area_detector(file) else None


def _module(suffix: str, start: bytes) -> str | None:
    if start.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return "xradia"
    if start.startswith(b"SIMPLE  ="):
        return "fits"
    if start.startswith(OTHERS):
        return None
    if start[208:211] == b"MAP" or (suffix in (".mrc", ".mrcs", ".st", ".ali", ".rec", ".preali") and len(start) > 256):
        return "mrc"
    if start.lstrip().startswith(b"{") and (suffix == ".edf" or b"EDF_" in start or b"Dim_1" in start):
        return "edf"
    if start.lstrip(b"\xef\xbb\xbf\r\n ").lower().startswith(b"[xtekct]") or suffix == ".xtekct":
        return "nikon"
    if start.lstrip(b"\xef\xbb\xbf\r\n ").startswith(b"[System]") and (suffix == ".log" or b"SkyScan" in start):
        return "skyscan"
    return {".edf": "edf", ".fits": "fits", ".fit": "fits", ".fts": "fits"}.get(suffix) if start else None


def alike(suffix: str) -> tuple[str, ...]:
    """All suffixes of the same format."""
    return tuple(s for s, module in FRAMES.items() if module == FRAMES[suffix])


def degrees_in(files: list[Path], views: int) -> list[float] | None:
    """The angles that files of single frames state themselves, one a view, where the format has them."""
    module = FRAMES.get(files[0].suffix.lower())
    if module != "xradia":
        return None
    found = [a for f in files for a in importlib.import_module(f"varinv.scan.formats.{module}").degrees(f)]
    return found if len(found) == views and len(set(found)) > 1 else None


def open_frames(files: list[Path], path: Path, notes: list[str], slots: list[names.Slot] | None) -> tuple[str, Frames]:
    """Frames in files of their own: the name of the format, and all frames of all files; one error lists the faults."""
    name = FRAMES[files[0].suffix.lower()]
    module = importlib.import_module(f"varinv.scan.formats.{name}")
    places: list[Any] = []
    faults: list[str] = []
    usual = None
    for file in files:
        try:
            found, size, dtype = module.look(file)
        except ScanError as error:
            if "pip install" in str(error):
                raise
            faults.append(str(error).replace(str(file), file.name))
            continue
        usual = usual or (size, dtype)
        if (size, dtype) != usual:
            faults.append(f"{file.name} has shape {size} of {dtype}, the others {usual[0]} of {usual[1]}")
        places += found
    if faults or usual is None:
        raise ScanError(f"{path}: {'; '.join(faults[:12])}{' …' if faults[12:] else ''}")
    gaps = names.gaps(names.read_numbers(files) if slots is None else slots)
    if gaps:
        warn(path, f"missing from the numbering: {gaps}", notes)
    return TITLES[name], Loaded(tuple(places), *usual, module.load)
