"""Images that are no scans, and HDF5 files of HyperSpy and areaDetector."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from varinv.scan import ScanError, ScanWarning, read, read_image

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)  # (slices, rows, columns)


def dicom(path: Path, plane: np.ndarray, height: float, **changes: Any) -> Path:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, f"1.2.{int(height * 10) + 500}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data: Dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    content = {
        "Modality": "CT", "SeriesInstanceUID": "1.2.3", "SOPClassUID": CTImageStorage, "SOPInstanceUID": "1.2.4",
        "Rows": plane.shape[0], "Columns": plane.shape[1], "PixelSpacing": [0.5, 0.25], "SliceThickness": 3,
        "ImagePositionPatient": [0, 0, height], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 1, "RescaleSlope": 1, "RescaleIntercept": -1024, **changes,
    }  # fmt: skip
    for name, value in content.items():
        setattr(data, name, value)
    data.PixelData = plane.astype("<i2").tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def test_dicom(tmp_path: Path) -> None:
    found = read_image(dicom(tmp_path / "one.dcm", VOLUME[0], 0))
    np.testing.assert_array_equal(found.array, VOLUME[0] - 1024.0)
    assert found[1:] == ((0.5, 0.25), "mm", "HU")
    with pytest.raises(ScanError, match=r"one\.dcm: an image, not a scan: read_image opens it"):
        read(tmp_path / "one.dcm")
    (tmp_path / "series").mkdir()
    for k in (2, 0, 3, 1):  # the names are no order: the positions are
        dicom(tmp_path / "series" / f"IM{7 * k % 4}", VOLUME[k], 2.5 * k - 10)
    found = read_image(tmp_path / "series")
    np.testing.assert_array_equal(found.array, VOLUME - 1024.0)
    assert found.pixel_size == (2.5, 0.5, 0.25)
    with pytest.raises(ScanError, match="series: an image, not a scan"):
        read(tmp_path / "series")
    dicom(tmp_path / "series" / "other", VOLUME[0], 0, SeriesInstanceUID="9.9")
    with pytest.raises(ScanError, match="2 series"):
        read_image(tmp_path / "series")


def test_a_deflated_dicom_file_is_refused(tmp_path: Path) -> None:
    """The library unpacks all of it before anything can be checked."""
    path = dicom(tmp_path / "one.dcm", VOLUME[0], 0)
    plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    data = path.read_bytes()
    at = data.index(plain)
    group = data.index(b"\x02\x00\x00\x00UL\x04\x00") + 8
    longer = int.from_bytes(data[group : group + 4], "little") + 2
    data = (
        data[:group] + longer.to_bytes(4, "little") + data[group + 4 : at - 2] + b"\x16\0" + deflated + data[at + 20 :]
    )
    path.write_bytes(data)
    with pytest.raises(ScanError, match="deflated DICOM file, which may unpack to any size"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_stands_as_dicom_does(name: str, tmp_path: Path) -> None:
    import nibabel

    # x to the left and y backwards: the stored axes are those of DICOM, and the affine says so
    affine = np.diag([-0.25, -0.5, 2.5, 1.0])
    nibabel.save(nibabel.Nifti1Image(VOLUME.transpose(2, 1, 0), affine), tmp_path / name)
    found = read_image(tmp_path / name)
    np.testing.assert_array_equal(found.array, VOLUME)
    assert found[1:] == ((2.5, 0.5, 0.25), "mm", "")


def mha(path: Path, data: bytes, **changes: Any) -> Path:
    lines = {"ObjectType": "Image", "NDims": 3, "DimSize": "6 5 4", "ElementSpacing": "0.25 0.5 2.5", "ElementType":
             "MET_SHORT", "BinaryDataByteOrderMSB": "True", **changes, "ElementDataFile": "LOCAL"}  # fmt: skip
    path.write_bytes("".join(f"{k} = {v}\n" for k, v in lines.items()).encode() + data)
    return path


def test_metaimage(tmp_path: Path) -> None:
    data = VOLUME.astype(">i2").tobytes()
    for packed in (False, True):
        found = read_image(mha(tmp_path / "a.mha", zlib.compress(data) if packed else data, CompressedData=packed))
        np.testing.assert_array_equal(found.array, VOLUME)
        assert found[1:] == ((2.5, 0.5, 0.25), "mm", "")
    for fault, text in (
        ({"DimSize": "6 5 40"}, "truncated: 240 bytes of 2400"),
        ({"DimSize": "6 five 4"}, "damaged or unknown MetaImage header"),
        ({"ElementType": "MET_OTHER"}, "damaged or unknown MetaImage header"),
        ({"DimSize": "600000 500000 40"}, "GiB"),
        ({"CompressedData": "True"}, "damaged compressed data"),
    ):
        with pytest.raises(ScanError, match=rf"a\.mha: .*{text}"):
            read_image(mha(tmp_path / "a.mha", data, **fault))


def test_a_compressed_bomb_is_unpacked_no_further_than_promised(tmp_path: Path) -> None:
    import tracemalloc

    path = mha(tmp_path / "a.mha", zlib.compress(bytes(1 << 28)), CompressedData=True)
    tracemalloc.start()
    assert read_image(path).array.shape == (4, 5, 6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 22  # the file has 256 KiB, and the volume 240 bytes


def test_tiff_and_npy(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", VOLUME.astype(np.uint16), imagej=True, resolution=(40, 40),
                     metadata={"axes": "ZYX", "unit": "um"})  # fmt: skip
    found = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(found.array, VOLUME)
    np.testing.assert_allclose(found.pixel_size, 0.025e-3)
    np.save(tmp_path / "a.npy", VOLUME)
    assert read_image(tmp_path / "a.npy")[1:] == ((1.0, 1.0, 1.0), "pixel", "")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ScanError, match=r"a\.txt: not a DICOM, NIfTI"):
        read_image(tmp_path / "a.txt")
    with pytest.raises(ScanError, match="no such file"):
        read_image(tmp_path / "none")
    with pytest.raises(TypeError, match="must be a file or folder name"):
        read_image(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["a.dcm", "a.nii", "a.nii.gz", "a.mha", "a.tif", "a.npy"])
def test_cut_and_struck_images_are_one_error_with_their_name(kind: str, tmp_path: Path) -> None:
    import nibabel

    path, rng = tmp_path / kind, np.random.default_rng(0)
    if kind == "a.dcm":
        dicom(path, VOLUME[0], 0)
    elif kind.startswith("a.nii"):
        nibabel.save(nibabel.Nifti1Image(VOLUME.transpose(2, 1, 0), np.eye(4)), path)
    elif kind == "a.mha":
        mha(path, VOLUME.astype(">i2").tobytes())
    elif kind == "a.tif":
        tifffile.imwrite(path, VOLUME[0])
    else:
        np.save(path, VOLUME)
    whole, errors = path.read_bytes(), 0
    for trial in range(40):
        damaged = bytearray(whole)
        if trial < 20:
            damaged = damaged[: len(whole) * trial // 20]
        else:
            for place in rng.integers(0, len(whole), 12):
                damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            assert read_image(path).array.ndim in (2, 3)
        except ScanError as error:
            errors += path.name in str(error)
    assert errors >= 18  # 20 are cut


# ------------------------------------------------------------------------------------------------------------ HDF5


BEAM = 9000 - 50 * np.abs(np.arange(16) - 8)  # brighter in the middle; the object takes up to a half of it
OBJECT = np.exp(-np.exp(-((np.arange(16) - 8 - np.linspace(-2, 2, 12)[:, None]) ** 2) / 4))
FRAMES = np.repeat((BEAM * OBJECT)[:, None], 5, axis=1).astype(np.uint16)
FRAMES[:, 2] += 7  # rows differ
TILTS = -60 + 10.0 * np.arange(12)


def hyperspy(path: Path, data: np.ndarray = FRAMES, names: int = 1, tilts: bool = False, unit: str = "degrees") -> Path:
    with h5py.File(path, "w") as file:
        for k in range(names):
            group = file.create_group(f"Experiments/series {k}")
            group["data"] = data
            axes = [("tilt", unit, 10.0, -60.0, True), ("y", "nm", 0.4, 0.0, False), ("x", "nm", 0.4, 0.0, False)]
            for j, (name, of, scale, offset, navigate) in enumerate(axes[: data.ndim]):
                group.create_group(f"axis-{j}").attrs.update(
                    {"name": name, "units": of, "scale": scale, "offset": offset, "navigate": navigate}
                )
            if tilts:
                group["metadata/Tomography/tilts"] = TILTS + 1
    return path


def test_hyperspy(tmp_path: Path) -> None:
    scan = read(hyperspy(tmp_path / "a.hspy"))
    np.testing.assert_array_equal(scan.raw.frames.read(np.arange(12), slice(None)), FRAMES)
    np.testing.assert_allclose(np.rad2deg(scan.angles), TILTS)
    assert (scan.unit, round(scan.spacing, 9)) == ("nm", 0.4)
    stated = read(hyperspy(tmp_path / "b.hspy", tilts=True, unit=""))
    np.testing.assert_allclose(np.rad2deg(stated.angles), TILTS + 1)
    with pytest.raises(ScanError, match=r"2 experiments \(series 0, series 1\); pass dataset="):
        read(hyperspy(tmp_path / "c.hspy", names=2))
    with h5py.File(hyperspy(tmp_path / "d.hspy"), "a") as file:
        file["Experiments/series 0/axis-1"].attrs["navigate"] = True
    with pytest.raises(ScanError, match="has the axes tilt 12, y 5, x 16"):
        read(tmp_path / "d.hspy")


def area(path: Path, frames: np.ndarray = FRAMES, **lists: Any) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("entry").attrs["NX_class"] = "NXentry"
        file["entry/data/data"] = frames
        file["entry/data"].attrs["NX_class"] = "NXdata"
        for name, values in {"NDArrayUniqueId": np.arange(12), "Sample_Rotary": np.arange(12) * 15.0, **lists}.items():
            file[f"entry/instrument/NDAttributes/{name}"] = values
    return path


def test_area_detector(tmp_path: Path) -> None:
    scan = read(area(tmp_path / "a.h5"))
    np.testing.assert_array_equal(scan.raw.frames.read(np.arange(12), slice(None)), FRAMES)
    np.testing.assert_allclose(np.rad2deg(scan.angles), np.arange(12) * 15.0)
    keys = np.array([2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1])
    frames = np.where((keys == 2)[:, None, None], 100, np.where((keys == 1)[:, None, None], BEAM, FRAMES))
    keyed = read(area(tmp_path / "b.h5", frames, image_key=keys))
    np.testing.assert_array_equal(keyed.raw.frames.read(np.array([0, 6, 7]), slice(None)), FRAMES[[2, 9, 10]])
    np.testing.assert_allclose(np.rad2deg(keyed.angles), 15.0 * np.array([2, 3, 4, 5, 6, 7, 9, 10]))
    assert keyed.raw.flats_at is not None
    assert keyed.raw.flats_at.tolist() == [0, 6, 8]  # views taken before each flat
    with pytest.warns(ScanWarning, match="3 frames were lost"):
        read(area(tmp_path / "c.h5", NDArrayUniqueId=[0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14]))
    two = read(area(tmp_path / "d.h5", theta_readback=np.arange(12) * 15.1))
    assert "may be the angles: pass angles=" in two.report


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(version: str, tmp_path: Path) -> None:
    import zarr

    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    for name, step in (("s0", 1), ("s1", 2)):
        data = FRAMES[None, :, None, ::step, ::step]
        group.create_array(name, data=data)
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "tczyx"]
    levels = [{"path": f"s{k}", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 2.0, 2.0]}]}
              for k in range(2)]  # fmt: skip
    said = {"multiscales": [{"version": version, "axes": axes, "datasets": levels}]}
    group.attrs.update(said if version == "0.4" else {"ome": said})
    scan = read(tmp_path / "a.zarr", angles=np.arange(12) * 0.2)
    assert scan.shape == FRAMES.shape
    np.testing.assert_array_equal(scan.raw.frames.read(np.array([3, 4, 11]), slice(1, 3)), FRAMES[[3, 4, 11], 1:3])
    assert (scan.unit, scan.spacing) == ("mm", 0.002)
    assert read(tmp_path / "a.zarr", dataset="s1", angles=np.arange(12) * 0.2).shape == (12, 3, 8)
    said["multiscales"][0]["datasets"] = []
    group.attrs.update(said if version == "0.4" else {"ome": said})
    with pytest.raises(ScanError, match=r"a\.zarr: damaged OME-Zarr metadata"):
        read(tmp_path / "a.zarr")
