"""Images and volumes that are no scans: slices to simulate from, truths to compare with."""

from __future__ import annotations

import math
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from varinv import check
from varinv.scan import layout, names, npy
from varinv.scan.errors import ScanError, afford, head
from varinv.scan.formats import dicom
from varinv.scan.formats.common import guarded, library
from varinv.scan.hdf5 import LENGTHS
from varinv.scan.tiff import SUFFIXES, open_stack

ELEMENTS = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip


class Image(NamedTuple):
    """An image (rows, columns) or a volume (slices, rows, columns), and the lengths of its pixels.

    `values` names the unit of the numbers where the file states it: "HU" (Hounsfield units), else "".
    """

    array: NDArray[Any]
    pixel_size: tuple[float, ...]  # one an axis
    unit: str  # of pixel_size: "mm" where the file states lengths, else "pixel"
    values: str = ""


def read_image(path: str | os.PathLike[str]) -> Image:
    """Open an image or a volume that is no scan: DICOM, NIfTI, MetaImage, TIFF or .npy.

    Row 0 is at the top and, in medical images, at the front of the patient; columns run from the patient's right to
    the left, slices upwards, as DICOM stores them.  Hounsfield units stay Hounsfield units: the attenuation is
    μ(water) (1 + HU/1000).

    Parameters
    ----------
    path : a file (.dcm, .nii, .nii.gz, .mha, .mhd, .tif, .npy; the content decides), or a folder of DICOM slices or of
        TIFF files.

    Raises
    ------
    ScanError
        A file that is missing, damaged or of another kind; a library that is missing, with the command to install it.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> place = pathlib.Path(tempfile.mkdtemp()) / "truth.npy"
    >>> np.save(place, np.eye(4))
    >>> read_image(place).array.shape, read_image(place).pixel_size
    ((4, 4), (1.0, 1.0))
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"read_image: path must be a file or folder name, got {check.describe(path)}")
    path = Path(path)
    if not path.exists():
        raise ScanError(f"{path}: no such file or folder")
    if path.is_dir():
        return _folder(path)
    start, name = head(path), path.name.lower()
    if start[128:132] == b"DICM":
        return Image(*dicom.read_file(path))
    if name.endswith((".nii", ".nii.gz")) or start[344:348] in (b"n+1\0", b"ni1\0"):
        return _nifti(path)
    if start.startswith((b"ObjectType", b"NDims")):
        return _meta(path)
    if start.startswith(b"\x93NUMPY"):
        array = npy.load_npy(path)
        return Image(array, (1.0,) * array.ndim, "pixel")
    if start[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return _tiff([path], path)
    raise ScanError(f"{path}: not a DICOM, NIfTI, MetaImage (.mha), TIFF or .npy image; it begins with {start[:16]!r}")


def _folder(path: Path) -> Image:
    files = sorted((f for f in path.iterdir() if f.is_file() and not f.name.startswith(".")), key=names.natural)
    slices = [f for f in files if head(f, 132)[128:] == b"DICM"]
    if slices:
        return Image(*dicom.read_folder(path, slices))
    pages = [g.files for g in layout.gather(path, SUFFIXES) if g.folder == path]
    if pages:
        return _tiff(names.order(pages[0], path, []).files, path)
    raise ScanError(f"{path}: no DICOM slices and no TIFF files in this folder")


def _tiff(files: list[Path], path: Path) -> Image:
    frames = open_stack(files, path, [])
    afford(path, "the image", math.prod(frames.shape) * frames.dtype.itemsize)
    array = frames.read(np.arange(frames.shape[0]), slice(None))
    width, unit = _resolution(files[0])
    array = array[0] if len(array) == 1 else array
    return Image(array, (width,) * array.ndim, unit)


def _resolution(file: Path) -> tuple[float, str]:
    """Pixel size in mm as ImageJ writes it, else 1 pixel."""
    import tifffile

    with guarded(file, "TIFF file"), tifffile.TiffFile(file) as tiff:
        said = (tiff.imagej_metadata or {}).get("unit", "")
        tag = tiff.pages.first.tags.get("XResolution")
        if said.replace("\\u00B5", "µ") in LENGTHS and tag is not None and tag.value[0] > 0:
            return LENGTHS[said.replace("\\u00B5", "µ")] * tag.value[1] / tag.value[0], "mm"
    return 1.0, "pixel"


def _nifti(path: Path) -> Image:
    nibabel = library("nibabel", path, "NIfTI files")
    with guarded(path, "NIfTI file"):
        found = nibabel.as_closest_canonical(nibabel.load(path))
        afford(path, "the volume", 8 * math.prod(found.shape))
        if len(found.shape) != 3:
            raise ScanError(f"{path}: a volume has three axes, this file has shape {found.shape}")
        plain = tuple(found.dataobj.slope_inter if hasattr(found.dataobj, "slope_inter") else (1, 0)) == (1, 0)
        values = np.asarray(found.dataobj) if plain else np.asarray(found.dataobj, np.float32)
        sizes = tuple(float(s) for s in found.header.get_zooms()[:3])
        unit = found.header.get_xyzt_units()[0]
    scale = LENGTHS.get({"meter": "m", "micron": "um"}.get(unit, unit), 1.0)
    array = np.ascontiguousarray(values[::-1, ::-1].transpose(2, 1, 0))  # x to the left, y backwards, as DICOM
    return Image(array, tuple(scale * s for s in sizes[::-1]), "mm")


def _meta(path: Path) -> Image:
    """MetaImage: lines `name = value` up to ElementDataFile, then the numbers, here (LOCAL) or in another file."""
    raw = head(path, 1 << 16)
    stop = raw.find(b"\n", raw.find(b"ElementDataFile"))
    if b"ElementDataFile" not in raw or stop < 0:
        raise ScanError(f"{path}: damaged MetaImage header: no ElementDataFile")
    lines = [line.partition("=") for line in raw[:stop].decode("latin-1").splitlines()]
    found = {name.strip(): value.strip() for name, _, value in lines}
    try:
        shape = tuple(int(n) for n in found["DimSize"].split())[::-1]
        dtype = np.dtype(ELEMENTS[found["ElementType"]])
        sizes = tuple(float(s) for s in found.get("ElementSpacing", "1 " * len(shape)).split())[::-1]
    except (KeyError, ValueError) as error:
        raise ScanError(f"{path}: damaged or unknown MetaImage header ({error})") from None
    msb = found.get("BinaryDataByteOrderMSB", found.get("ElementByteOrderMSB", "False")).lower() == "true"
    need = math.prod(shape) * dtype.itemsize
    if not shape or min(shape) < 1 or len(sizes) != len(shape) or int(found.get("ElementNumberOfChannels", 1)) != 1:
        raise ScanError(f"{path}: a MetaImage of shape {shape} and spacing {sizes} is not read")
    afford(path, "the volume", 2 * need)
    file = found["ElementDataFile"]
    source = path if file == "LOCAL" else path.parent / Path(file).name
    if not source.is_file():
        raise ScanError(f"{path}: its numbers are in {file}, which is not beside it")
    with source.open("rb") as stream:
        stream.seek(stop + 1 if source == path else 0)
        data = _plain(path, stream, need) if found.get("CompressedData", "").lower() == "true" else stream.read(need)
    if len(data) < need:
        raise ScanError(f"{path}: truncated: {len(data)} bytes of {need}")
    array = np.frombuffer(data, dtype.newbyteorder(">" if msb else "<")).reshape(shape)
    return Image(array.astype(dtype), sizes, "mm")


def _plain(path: Path, stream: Any, need: int) -> bytes:
    """As many bytes as are promised, and no more, out of a compressed stream."""
    try:
        return zlib.decompressobj().decompress(stream.read(), need)
    except zlib.error as error:
        raise ScanError(f"{path}: damaged compressed data ({error})") from None
