"""Broken files and wrong arguments: each error names the file or argument and the fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scan_files as files
import scipy.io

from varinv.scan import ScanError, ScanWarning, read


def bad(kind: str, folder: Path) -> Path:
    """One broken file of each kind."""
    m, path = files.made(), folder / "broken.h5"
    if kind == "npy header":
        np.save(folder / "broken.npy", np.zeros((4, 5)))
        path = folder / "broken.npy"
        path.write_bytes(path.read_bytes().replace(b"(4, 5)", b"(40,5)"))
    elif kind == "npz damaged":
        path = folder / "broken.npz"
        path.write_bytes(b"PK\x03\x04" + bytes(100))
    elif kind == "npz object":
        path = folder / "broken.npz"
        np.savez(path, data=np.array([None, 1], object))
    elif kind == "npy complex":
        path = folder / "broken.npy"
        np.save(path, np.zeros((4, 5), complex))
    elif kind == "empty file":
        path.write_bytes(b"")
    elif kind == "unknown":
        path = folder / "broken.xyz"
        path.write_bytes(b"hello")
    elif kind == "flat size":
        files.exchange(path, m, data_white=m.flats[:, :, :-1])
    elif kind == "angles NaN":
        files.exchange(path, m, theta=np.where(np.arange(files.VIEWS) == 3, np.nan, 1.0))
    elif kind == "unit":
        files.exchange(path, m, units="gon")
    elif kind == "soft link":
        files.exchange(path, m, data=None, axes=None)
        with h5py.File(path, "a") as file:
            file["exchange/data"] = h5py.SoftLink("/measurement/frames")
    elif kind == "external target":
        path = files.nxtomo(folder / "broken.nxs", m, "external")
        with h5py.File(folder / "broken_frames.h5", "a") as file:
            del file["raw/data"]
    elif kind == "virtual source":
        path = files.nxtomo(folder / "broken.nxs", m, "virtual")
        (folder / "broken_frames.h5").unlink()
    elif kind == "image keys":
        path = files.nxtomo(folder / "broken.nxs", m)
        with h5py.File(path, "a") as file:
            file["entry/instrument/detector/image_key"][:] = 1
    elif kind == "other layout":
        with h5py.File(path, "w") as file:
            file["frames"] = np.zeros((3, 4))
    elif kind == "distances":
        path = files.helsinki(folder / "broken.mat", distanceSourceOrigin=600.0)[0]
    elif kind == "mat without":
        path = folder / "broken.mat"
        scipy.io.savemat(path, {"image": np.zeros((5, 5))})
    elif kind == "mat damaged":
        path = folder / "broken.mat"
        scipy.io.savemat(path, {"sino": np.random.default_rng(0).normal(size=(50, 50))}, do_compression=True)
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "no tiff":
        path = folder / "broken"
        path.mkdir()
    elif kind == "tiff damaged":
        path = files.tiffs(folder / "broken", m)
        (path / "frame_3.tif").write_bytes(b"II*\x00" + bytes(40))
    else:
        assert kind == "nothing"
        path = folder / "broken.h5"
    return path


BAD = {
    "npy header": r"promises shape \(40, 5\).* 1600 bytes, but 160 follow",
    "npz damaged": r"damaged \.npz",
    "npz object": r"pickled Python objects",
    "npy complex": r"real numbers, it holds complex128",
    "empty file": r"not an HDF5 file: is empty",
    "unknown": r"not a known scan format",
    "flat size": r"data_white has shape \(3, 3, 39\), which does not fit frames of \(3, 40\)",
    "angles NaN": r"1 of 24 angles are NaN",
    "unit": r"unknown unit 'gon'",
    "soft link": r"soft link to /measurement/frames, which is missing",
    "external target": r"external link to /raw/data in broken_frames\.h5, which is not there",
    "virtual source": r"virtual dataset and 1 of its sources are missing .*broken_frames\.h5",
    "image keys": r"marks none of \d+ frames as a projection",
    "other layout": r"no known layout, and 0 arrays may hold the views; pass dataset= .* it holds frames \(3, 4\)",
    "distances": r"600 mm exceeds distanceSourceDetector 550 mm",
    "mat without": r"no variable looks like a sinogram .* image \(5, 5\)",
    "mat damaged": r"not a readable MATLAB file",
    "no tiff": r"no TIFF frames in this folder",
    "tiff damaged": r"frame_3\.tif",
    "nothing": r"no such file or folder",
}


@pytest.mark.parametrize("kind", BAD)
def test_broken_files_name_themselves_and_the_fault(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=BAD[kind]) as caught:
        read(bad(kind, tmp_path))
    assert "broken" in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value", "error", "text"),
    [
        ("angles", np.zeros((4, 2)), ValueError, r"angles must be one-dimensional, got shape \(4, 2\)"),
        ("angles", np.linspace(0, 180, 24), ValueError, r"look like degrees"),
        ("angles", [0.0, np.nan], ValueError, r"angles has 1 NaN"),
        ("angles", np.linspace(0, 3, 23), ScanError, r"23 angles for 24 views"),
        ("angles", "nowhere.txt", ScanError, r"nowhere\.txt: no such file of angles"),
        ("flats", np.zeros((2, 3, 41)), ValueError, r"flats.* \(n, 3, 40\), got \(2, 3, 41\)"),
        ("darks", "nowhere.npy", ScanError, r"nowhere\.npy: no such file or folder"),
        ("axis", "middle", TypeError, r"axis must be a real number"),
        ("axis", np.inf, ValueError, r"axis must be finite"),
        ("pixel_size", 0, ValueError, r"pixel_size must be greater than 0"),
        ("pixel_size", -1.0, ValueError, r"pixel_size must be greater than 0"),
        ("kind", "absorption", ValueError, r"kind must be one of 'counts', .*, got 'absorption'"),
        ("distances", 5.0, TypeError, r"distances must be two numbers, \(source to axis, axis to detector\)"),
        ("distances", (5.0, -1.0), ValueError, r"axis to detector, not source to detector\) must be greater than 0"),
        ("links", "all", ValueError, r"links must be 'folder' or 'any'"),
        ("dataset", 3, TypeError, r"dataset must be the name of an array in the file, got 3"),
        ("flats", -1, ValueError, r"flats, the level of the beam as a number, must be above 0"),
        ("angles", "0:180", ScanError, r"start:stop:count in degrees"),
        ("angles", "0:180:0", ValueError, r"expected start:stop:count in degrees"),
        ("angles", np.zeros(24), ScanError, r"all 24 angles are equal"),
        ("angles", np.linspace(0, 1e30, 24), ScanError, r"no sample turns so far"),
    ],
)
def test_arguments_are_checked(argument: str, value: Any, error: type, text: str, tmp_path: Path) -> None:
    path = files.exchange(tmp_path / "a.h5", files.made())
    with pytest.raises(error, match=text):
        read(path, **{argument: value})


def test_arguments_override_the_file(tmp_path: Path) -> None:
    m = files.made()
    path = files.exchange(tmp_path / "a.h5", m, data_white=2 * m.flats, theta=np.zeros(files.VIEWS))
    scan = read(path, angles=m.angles, flats=m.flats[0], axis=11.5, pixel_size=0.3)
    np.testing.assert_allclose(scan.sinogram(2), m.lines[:, 2], atol=1e-6)  # float32
    np.testing.assert_array_equal(scan.angles, m.angles)
    assert (scan.geometry.axis, scan.geometry.spacing) == (11.5, 0.3)
    for nothing in (3.0, None, ["a.h5"], np.float64(1)):
        with pytest.raises(TypeError, match="source must be a file or folder name, an array, or an open HDF5"):
            read(nothing)


def test_gaps_in_the_numbering_of_frames_warn(tmp_path: Path) -> None:
    m = files.made(views=12)
    folder = files.tiffs(tmp_path / "stack", m)
    (folder / "frame_7.tif").unlink()
    with (
        pytest.warns(ScanWarning, match="missing from the numbering: 7") as caught,
        pytest.raises(ScanError, match="12 angles for 11"),
    ):
        read(folder)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore::varinv.ScanWarning")  # changed numbers may look like another kind
@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_damaged_bytes_raise_nothing_but_scan_errors(version: str, tmp_path: Path) -> None:
    path, _ = files.helsinki(tmp_path / "a.mat", version)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused: list[str] = []
    for k in range(60):
        content = bytearray(whole)
        if k % 2:
            content = content[: rng.integers(len(content))]
        else:
            content[rng.integers(len(content))] = rng.integers(256)
        path.write_bytes(content)
        try:
            read(path).sinogram()
        except ScanError as error:
            refused.append(str(error))
    assert all("a.mat" in text for text in refused)
    assert len(refused) >= 20  # nearly every cut and some of the changed bytes; others change a number only
