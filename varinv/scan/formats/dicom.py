"""DICOM images, read with pydicom: one file, or a folder of slices in the order of their positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varinv.scan.errors import ScanError, afford, head
from varinv.scan.formats.common import guarded, library

DEFLATED = "1.2.840.10008.1.2.1.99"
Found = tuple[NDArray[Any], tuple[float, ...], str, str]  # array, pixel size an axis, its unit, unit of the values


def read_file(path: Path) -> Found:
    """The pixels of one file, in Hounsfield units where it says so."""
    data = _open(path, library("pydicom", path, "DICOM files"))
    with guarded(path, "DICOM file"):
        array = _values(path, data)
    return array, _spacing(data, array.ndim), "mm", _unit(data)


def read_folder(path: Path, files: list[Path]) -> Found:
    """The slices of one series, (slices, rows, columns), along the normal of their planes."""
    pydicom = library("pydicom", path, "DICOM files")
    slices = [(_open(f, pydicom, stop=True), f) for f in files]
    series = {str(getattr(d, "SeriesInstanceUID", "")) for d, _ in slices}
    sizes = {(int(d.Rows), int(d.Columns)) for d, _ in slices}
    if len(series) > 1 or len(sizes) > 1:
        raise ScanError(f"{path}: {len(series)} series of {len(sizes)} sizes in this folder; keep one of them in it")
    rows, columns = sizes.pop()
    afford(path, f"{len(files)} slices", 8 * len(files) * rows * columns)
    heights = [_height(d) for d, _ in slices]
    keys = heights if None not in heights else [float(getattr(d, "InstanceNumber", 0) or 0) for d, _ in slices]
    order = np.argsort(np.array(keys, np.float64), kind="stable")
    planes = []
    for k in order:
        data = _open(slices[k][1], pydicom)
        with guarded(slices[k][1], "DICOM file"):
            planes.append(_values(slices[k][1], data))
    steps = np.diff(np.array(keys, np.float64)[order])
    first = slices[0][0]
    usable = None not in heights and len(steps) and float(steps.min()) > 0
    step = float(np.median(steps)) if usable else float(getattr(first, "SliceThickness", 0) or 1.0)
    return np.stack(planes), (step, *_spacing(first, 2)), "mm", _unit(first)


def _open(path: Path, pydicom: Any, stop: bool = False) -> Any:
    if head(path, 132)[128:] != b"DICM":
        raise ScanError(f"{path}: not a DICOM file")
    with guarded(path, "DICOM file"):
        if str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", "")) == DEFLATED:
            raise ScanError(f"{path}: a deflated DICOM file, which may unpack to any size, is not read")
        data = pydicom.dcmread(path, stop_before_pixels=stop)
        if not stop:
            afford(path, "the image", 8 * int(data.Rows) * int(data.Columns) * int(getattr(data, "NumberOfFrames", 1)))
        return data


def _values(path: Path, data: Any) -> NDArray[Any]:
    """The stored numbers, or slope · number + intercept as float32 where the file states these."""
    array = np.asarray(data.pixel_array)
    if array.ndim not in (2, 3) or int(getattr(data, "SamplesPerPixel", 1)) != 1:
        raise ScanError(f"{path}: no grey image, its shape is {array.shape}")
    slope, intercept = (float(getattr(data, f"Rescale{n}", v)) for n, v in (("Slope", 1), ("Intercept", 0)))
    return array if (slope, intercept) == (1, 0) else (array * slope + intercept).astype(np.float32)


def _height(data: Any) -> float | None:
    """How far along the normal of its plane a slice lies."""
    try:
        place = np.array([float(v) for v in data.ImagePositionPatient])
        across = np.array([float(v) for v in data.ImageOrientationPatient])
        return float(place @ np.cross(across[:3], across[3:]))
    except (AttributeError, TypeError, ValueError):
        return None


def _spacing(data: Any, axes: int) -> tuple[float, ...]:
    between = getattr(data, "PixelSpacing", None) or getattr(data, "ImagerPixelSpacing", None) or (1.0, 1.0)
    plane = (float(between[0]), float(between[1]))
    return plane if axes == 2 else (float(getattr(data, "SliceThickness", 0) or 1.0), *plane)


def _unit(data: Any) -> str:
    said = str(getattr(data, "RescaleType", "") or "")
    return said or ("HU" if getattr(data, "Modality", "") == "CT" and hasattr(data, "RescaleIntercept") else "")
