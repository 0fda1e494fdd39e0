"""Zeiss (Xradia) .txrm and .xrm files, read with olefile.

A compound file with a stream for each image (`ImageData1/Image1` …, a hundred to a folder) and for each list of
settings (`ImageInfo/…`).  Distances are in mm, pixel sizes in µm.  The pitch on the detector is the stated pixel (at
the axis, behind the optics) times the magnification of the beam.  Angles are taken to rise as ours do; `reverse` the
scan where the image is mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles, match, to_radians
from varinv.scan.errors import ScanError, afford, warn
from varinv.scan.formats.common import cone, guarded, library
from varinv.scan.frames import AnyArray, ArrayFrames, Loaded, Raw
from varinv.scan.kinds import kind_of

TYPES = {2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 10: "<f4", 11: "<f8"}
ZONE_PLATE = 0.08  # µm: below this pixel the optics is a zone plate, and the beam parallel
Where = tuple[str, str, tuple[int, int]]  # stream, type, size


def read(path: Path, angles: Angles | None, notes: list[str]) -> Raw:
    """Projections, angles, the reference image as flat, distances and pixel size."""
    olefile = library("olefile", path, "Zeiss .txrm and .xrm files")
    with guarded(path, "Zeiss file"), path.open("rb") as file, olefile.OleFileIO(file) as ole:
        if not ole.exists("ImageInfo/ImageWidth"):
            raise ScanError(f"{path}: a compound file without ImageInfo: not of a Zeiss X-ray microscope")
        columns, rows = (_whole(ole, f"ImageInfo/Image{w}", path) for w in ("Width", "Height"))
        kind = _type(path, _whole(ole, "ImageInfo/DataType", path))
        size = (rows, columns)
        views = _views(ole, path, rows * columns * kind.itemsize, notes)
        flat = _flat(ole, path, size, kind, notes)
        stated = _floats(ole, "ImageInfo/Angles").astype(np.float64)
        shifts = _floats(ole, "alignment/X-Shifts").astype(np.float64)
        spacing, unit, distances = _lengths(ole, path, notes)
    if distances is not None:
        cone(path, rows, notes)
    if len(shifts) and np.abs(shifts).max() > 0.5:
        warn(path, f"the file states shifts of the frames of up to {np.abs(shifts).max():.3g} columns, which are not "
                   "applied", notes)  # fmt: skip
    if angles is None and len(stated):
        angles = to_radians(stated[:views], "degrees", path, notes)
    if angles is not None:
        angles = match(angles, views, "in this file", path, notes)
    places = tuple((path, (_stream(k), kind.str, size)) for k in range(views))
    frames = Loaded(places, size, kind.newbyteorder("="), load)
    return Raw(path, "Zeiss", frames, angles, flat, kind=kind_of(kind.kind in "bui" or flat is not None),
               spacing=spacing, unit=unit, distances=distances)  # fmt: skip


def look(path: Path) -> tuple[list[tuple[Path, Where]], tuple[int, int], np.dtype[Any]]:
    """The one image of an .xrm file in a folder of them: where it is, its size and type."""
    olefile = library("olefile", path, "Zeiss .txrm and .xrm files")
    with guarded(path, "Zeiss file"), path.open("rb") as file, olefile.OleFileIO(file) as ole:
        columns, rows = (_whole(ole, f"ImageInfo/Image{w}", path) for w in ("Width", "Height"))
        kind = _type(path, _whole(ole, "ImageInfo/DataType", path))
        views = _views(ole, path, rows * columns * kind.itemsize, [])
    size = (rows, columns)
    return [(path, (_stream(k), kind.str, size)) for k in range(views)], size, kind.newbyteorder("=")


def degrees(path: Path) -> list[float]:
    """The angles that an .xrm file states for its images."""
    olefile = library("olefile", path, "Zeiss .txrm and .xrm files")
    with guarded(path, "Zeiss file"), path.open("rb") as file, olefile.OleFileIO(file) as ole:
        return [float(a) for a in _floats(ole, "ImageInfo/Angles")]


def load(path: Path, places: list[Where]) -> Iterator[AnyArray]:
    """These images of the file."""
    import olefile

    with guarded(path, "Zeiss file"), path.open("rb") as file, olefile.OleFileIO(file) as ole:
        for stream, kind, size in places:
            yield _image(ole, stream, kind, size)


def _image(ole: Any, stream: str, kind: str, size: tuple[int, int]) -> AnyArray:
    data = ole.openstream(stream).read()
    need = math.prod(size) * np.dtype(kind).itemsize
    if len(data) < need:
        raise ScanError(f"{stream} holds {len(data)} bytes of {need}")
    return np.frombuffer(data, kind, math.prod(size)).reshape(size)


def _stream(k: int) -> str:
    return f"ImageData{k // 100 + 1}/Image{k + 1}"


def _views(ole: Any, path: Path, each: int, notes: list[str]) -> int:
    """How many images are there and whole; a scan that was stopped is a warning."""
    afford(path, "one frame", each)
    planned = _whole(ole, "ImageInfo/NoOfImages", path)
    size = path.stat().st_size
    views = 0
    while views < planned and ole.exists(_stream(views)):
        held = ole.get_size(_stream(views))
        if held < each or held > size:
            raise ScanError(f"{path}: {_stream(views)} holds {held} bytes of {each}: damaged or truncated")
        views += 1
    if not views:
        raise ScanError(f"{path}: it holds no image")
    if views < planned:
        warn(path, f"{views} of {planned} images are there: a scan that was stopped", notes)
    return views


def _flat(ole: Any, path: Path, size: tuple[int, int], kind: Any, notes: list[str]) -> ArrayFrames | None:
    if not ole.exists("ReferenceData/Image"):
        notes.append("no reference image in the file: no flats")
        return None
    stated = _floats(ole, "ReferenceData/DataType", "<u4")
    kind = _type(path, int(stated[0])) if len(stated) else kind
    if ole.get_size("ReferenceData/Image") < math.prod(size) * kind.itemsize:
        warn(path, f"the reference image is smaller than {size}: not used; pass flats=", notes)
        return None
    notes.append("the reference image of the file is the flat")
    return ArrayFrames(_image(ole, "ReferenceData/Image", kind.str, size)[None].astype(kind.newbyteorder("=")))


def _lengths(ole: Any, path: Path, notes: list[str]) -> tuple[float, str, tuple[float, float] | None]:
    """The pitch on the detector, its unit, and source to axis, axis to detector."""
    pixel = _floats(ole, "ImageInfo/PixelSize")
    if not len(pixel) or not (math.isfinite(pixel[0]) and pixel[0] > 0):
        return 1.0, "pixel", None
    near, far = (np.abs(_floats(ole, f"ImageInfo/{n}RADistance")) for n in ("Sto", "Dto"))
    known = [float(v[0]) for v in (near, far) if len(v) and np.isfinite(v[0]) and v[0] > 0]
    width = float(pixel[0]) / 1000
    if len(known) < 2 or pixel[0] < ZONE_PLATE:
        notes.append(f"pixel size {pixel[0]:g} µm, a parallel beam: lengths are in mm")
        return width, "mm", None
    if any(np.ptp(v[v > 0]) > 1e-3 * v[0] for v in (near, far)):
        warn(path, "the distances differ between the frames: those of the first are taken", notes)
    notes.append(f"pixel size {pixel[0]:g} µm at the axis, source {known[0]:g} mm before it, detector {known[1]:g} mm "
                 "behind it")  # fmt: skip
    return width * (known[0] + known[1]) / known[0], "mm", (known[0], known[1])


def _type(path: Path, code: int) -> np.dtype[Any]:
    if code not in TYPES:
        raise ScanError(f"{path}: data type {code} is not known (5 is uint16, 10 float32)")
    return np.dtype(TYPES[code])


def _floats(ole: Any, stream: str, kind: str = "<f4") -> AnyArray:
    """A list of numbers, empty where the stream is not there."""
    if not ole.exists(stream):
        return np.zeros(0, kind)
    data = ole.openstream(stream).read()
    return np.frombuffer(data, kind, len(data) // np.dtype(kind).itemsize)


def _whole(ole: Any, stream: str, path: Path) -> int:
    found = _floats(ole, stream, "<u4")
    if not len(found) or not 0 < found[0] < 1 << 24:
        raise ScanError(f"{path}: {stream} is {'missing' if not len(found) else f'{found[0]}, which is implausible'}")
    return int(found[0])
