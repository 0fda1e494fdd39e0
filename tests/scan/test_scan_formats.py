"""Every format gives the line integrals it was made from, reads only what is needed, and refuses what is broken."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scan_files as files
import scipy.io
import tifffile

from varinv.scan import ScanError, mat5, read

# float32 of line integrals up to 4: half a unit in the last place is 2.4e-7
EXACT = 1e-6
# frames stored as float32: relative 6e-8 in counts of 1e4, through the logarithm of transmissions down to e^-3
SINGLE = 5e-6


def written(kind: str, folder: Path, m: files.Made) -> Any:
    """The same scan in one of the formats, opened."""
    if kind == "exchange":
        return read(files.exchange(folder / "a.h5", m))
    if kind == "exchange, radians":
        return read(files.exchange(folder / "a.h5", m, units="radians"))
    if kind == "exchange, y:theta:x":
        return read(files.exchange(folder / "a.h5", m, axes="y:theta:x", data=m.data.swapaxes(0, 1)))
    if kind == "exchange, second axis counts":
        return read(files.exchange(folder / "a.h5", m, axes=None, data=m.data.swapaxes(0, 1)))
    if kind.startswith("nxtomo"):
        return read(files.nxtomo(folder / "a.nxs", m, kind.split(", ")[1]))
    if kind == "tiff":
        return read(files.tiffs(folder / "stack", m))
    if kind == "tiff, compressed":
        return read(files.tiffs(folder / "stack", m, compression="zlib"))
    if kind == "tiff, big-endian":
        return read(files.tiffs(folder / "stack", m, byteorder=">"))
    if kind == "tiff, arguments":
        stack = files.tiffs(folder / "stack", m)
        for name in ("flats", "darks", "frames"):
            (folder / name).mkdir()
            for file in stack.glob(f"{name[:-1]}_*"):
                file.rename(folder / name / file.name)
        (stack / "angles.txt").rename(folder / "theta.txt")
        return read(folder / "frames", angles=folder / "theta.txt", flats=folder / "flats", darks=folder / "darks")
    if kind == "tiff, pages":
        tifffile.imwrite(folder / "a.tif", m.data, photometric="minisblack")
        return read(folder / "a.tif", angles=m.angles, flats=m.flats, darks=m.darks)
    if kind == "npy":
        np.save(folder / "a.npy", m.data)
        np.save(folder / "f.npy", m.flats)
        return read(folder / "a.npy", angles=m.angles, flats=folder / "f.npy", darks=m.darks)
    assert kind == "npz"
    np.savez_compressed(folder / "a.npz", data=m.data, angles=m.angles, flats=m.flats, darks=m.darks, unit="nothing")
    return read(folder / "a.npz")


KINDS = [
    "exchange", "exchange, radians", "exchange, y:theta:x", "exchange, second axis counts", "nxtomo, here",
    "nxtomo, external", "nxtomo, virtual", "tiff", "tiff, compressed", "tiff, big-endian", "tiff, arguments",
    "tiff, pages", "npy", "npz",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_format_gives_the_line_integrals_it_was_made_from(kind: str, tmp_path: Path) -> None:
    m = files.made()
    scan = written(kind, tmp_path, m)
    tolerance = SINGLE if kind.startswith("tiff") else EXACT
    assert scan.shape == (files.VIEWS, files.ROWS, files.COLUMNS)
    np.testing.assert_allclose(scan.angles, m.angles, atol=1e-9)  # angles.txt has 12 digits
    for row in range(files.ROWS):
        found = scan.sinogram(row)
        assert found.dtype == np.float32
        assert found.shape == scan.geometry.shape
        np.testing.assert_allclose(found, m.lines[:, row], atol=tolerance)
    everything = scan.sinogram(rows=slice(0, None, 2))
    np.testing.assert_allclose(everything, m.lines[:, ::2].swapaxes(0, 1), atol=tolerance)
    assert scan.valid(rows=slice(None)).all()
    assert scan.repairs(rows=slice(None)) == ()
    again = pickle.loads(pickle.dumps(scan))  # a scan can be sent to other processes
    np.testing.assert_array_equal(again.sinogram(1), scan.sinogram(1))


@pytest.mark.parametrize("version", ["v5", "v7.3"])
def test_helsinki_layout(version: str, tmp_path: Path) -> None:
    path, sinogram = files.helsinki(tmp_path / "a.mat", version)
    scan = read(path)
    np.testing.assert_allclose(scan.sinogram(), sinogram, atol=EXACT)
    g = scan.geometry
    assert (g.detectors, g.spacing, g.source_to_axis, g.axis_to_detector, g.axis) == (12, 0.2, 410, 140, 5.5)
    np.testing.assert_allclose(g.angles, np.deg2rad(5.0 * np.arange(7)))
    assert scan.unit == "mm"


def test_lengths_are_converted_and_reported(tmp_path: Path) -> None:
    path, _ = files.helsinki(tmp_path / "cm.mat", distanceUnit="cm", distanceSourceOrigin=41.0,
                             distanceSourceDetector=55.0, pixelSizePost=0.02)  # fmt: skip
    g = read(path).geometry
    assert (g.source_to_axis, round(g.spacing, 12)) == (410, 0.2)
    scan = read(files.nxtomo(tmp_path / "a.nxs", files.made(), pixel=650.0))
    assert scan.unit == "mm"
    assert abs(scan.geometry.spacing - 0.65) < 1e-12
    assert "650 um: lengths are in mm" in scan.report


@pytest.mark.parametrize("units", ["anglesRad", "angleDeg"])
def test_matlab_variables(units: str, tmp_path: Path) -> None:
    m = files.made(rows=1)
    angles = m.angles + 93 * np.pi  # turns of offset are no fault
    stored = angles if "Rad" in units else np.rad2deg(angles)
    scipy.io.savemat(tmp_path / "a.mat", {"sinoRD": 1e3 * m.lines[:, 0].T, units: stored[:, None], "Detectors": 40})
    scan = read(tmp_path / "a.mat")
    np.testing.assert_allclose(scan.sinogram(), 1e3 * m.lines[:, 0], rtol=1e-6)
    np.testing.assert_allclose(scan.angles, angles)
    assert "is (detectors, angles)" in scan.report
    assert "scale of the line integrals is arbitrary" in scan.report


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_v5_is_read_as_scipy_reads_it(compressed: bool, tmp_path: Path) -> None:
    content: dict[str, Any] = {
        "a": np.arange(24.0).reshape(2, 3, 4), "b": np.arange(5, dtype=np.uint16), "c": np.float32([[1.5, -2]]),
        "d": np.int64(-7), "text": "Tommi Heikkilä", "inner": {"x": np.eye(3), "name": "mm", "deep": {"y": 3.0}},
        "passed_over": np.array([1j]), "cells": np.array([1, "two"], object),
    }  # fmt: skip
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=compressed)
    found = mat5.load(tmp_path / "a.mat")
    expected = scipy.io.loadmat(tmp_path / "a.mat", squeeze_me=True)
    for name in "abcd":
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == np.asarray(content[name]).dtype
    assert (found["text"], found["inner"]["name"]) == ("Tommi Heikkilä", "mm")
    np.testing.assert_array_equal(found["inner"]["x"], np.eye(3))
    assert found["inner"]["deep"]["y"] == 3
    assert found["passed_over"] is None


def test_line_integrals_of_any_order_and_type_read_the_same(tmp_path: Path) -> None:
    lines = files.made(rows=1).lines[:, 0].astype(np.float16)
    for k, stored in enumerate((lines, lines.astype(">f8"), np.asfortranarray(lines), lines.astype(np.float32))):
        np.save(tmp_path / f"{k}.npy", stored)
        scan = read(tmp_path / f"{k}.npy")
        np.testing.assert_array_equal(scan.sinogram(), lines.astype(np.float32))
    with pytest.raises(ScanError, match=r"no angles; pass angles="):
        _ = scan.geometry


def test_only_the_asked_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    get = h5py.Dataset.__getitem__

    def counting(self: Any, key: Any, *rest: Any) -> Any:
        found = get(self, key, *rest)
        counted.append(np.asarray(found).size)
        return found

    m = files.made(rows=9)
    scan = read(files.exchange(tmp_path / "a.h5", m))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    scan.sinogram(4)
    # one row of the views, of 3 flats and of 2 darks
    assert sum(counted) == (files.VIEWS + 3 + 2) * files.COLUMNS
    counted.clear()
    scan.views(slice(0, None, 6)).sinogram(rows=slice(2, 4))
    # all views of these rows, since repairs compare views
    assert sum(counted) == (files.VIEWS + 3 + 2) * 2 * files.COLUMNS


def test_a_promised_giant_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("exchange/data", (1 << 20, 1 << 20, 1 << 20), "u2", chunks=(1, 4, 16))
        file["exchange/data_white"] = np.ones((1, 1))
        with pytest.raises(ScanError, match="no number of it was ever written"):
            read(tmp_path / "a.h5")
        data[0, 0, :16] = 1
        del file["exchange/data_white"]
    scan = read(tmp_path / "a.h5").using(air=True)
    with pytest.raises(ScanError, match=r"a\.h5: a sinogram of 1 rows needs .* GiB"):
        scan.sinogram()
    with pytest.raises(ScanError, match=r"one detector row of all views needs"):
        scan.crop(0, 2).sinogram()
    # a sparse file of 2 TiB whose rows are small is no problem
    with h5py.File(tmp_path / "b.h5", "w") as file:
        big = file.create_dataset("exchange/data", (16, 1 << 30, 64), "u2", chunks=(16, 1, 64))
        big[:, 5] = 7000 - 500 * np.exp(-((np.arange(64) - 30.0) ** 2) / 50)
    found = read(tmp_path / "b.h5").using(air=True).sinogram(5)
    assert abs(float(found.max()) + np.log(6500 / 7000)) < 1e-3  # counts are whole: 0.5/7000
