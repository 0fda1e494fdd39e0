"""A scan from anywhere: arrays of any library, open files, any layout, tables, results of ours; distances, angles."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scan_files as files
import scipy.io

import varinv as vi
from varinv.scan import SavedResult, ScanError, ScanWarning, read

EXACT = 1e-6  # float32 of line integrals up to 2


def numbers(views: int = 24, rows: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Angles and line integrals (views, rows, columns) of a small scan."""
    m = files.made(views=views, rows=rows)
    return m.angles, m.lines


def same(scan: Any, angles: np.ndarray, lines: np.ndarray) -> None:
    assert scan.shape == lines.shape
    np.testing.assert_allclose(scan.angles, angles, atol=1e-12)
    for row in range(lines.shape[1]):
        np.testing.assert_allclose(scan.sinogram(row), lines[:, row], atol=EXACT)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scan)).sinogram(0), scan.sinogram(0))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "dask", "xarray", "zarr", "array_api_strict", "lists"])
def test_arrays_of_any_library(library: str) -> None:
    angles, lines = numbers()
    if library == "numpy":
        array: Any = lines
    elif library == "torch":
        array = pytest.importorskip("torch").tensor(lines)
    elif library == "jax":
        array = pytest.importorskip("jax").numpy.asarray(lines)  # float32
    elif library == "dask":
        array = pytest.importorskip("dask.array").from_array(lines, chunks=(5, 1, 40))
    elif library == "xarray":
        array = pytest.importorskip("xarray").DataArray(lines, dims=("a", "b", "c"))
    elif library == "zarr":
        array = pytest.importorskip("zarr").array(lines)
    elif library == "array_api_strict":
        array = pytest.importorskip("array_api_strict").asarray(lines)
    else:
        with pytest.raises(TypeError, match="source must be a file or folder name, an array"):
            read(lines.tolist())
        return
    same(read(array, angles=angles), angles, lines)
    # the number of angles says which axis they run along
    swapped = array.permute(1, 0, 2) if library == "torch" else None
    if library in ("numpy", "jax", "dask"):
        swapped = array.transpose(1, 0, 2)
    if swapped is not None:
        same(read(swapped, angles=angles), angles, lines)


def test_arrays_that_are_no_scan() -> None:
    for array in (np.zeros(5), np.zeros((2, 3, 4, 5)), np.zeros((0, 5))):
        with pytest.raises(ScanError, match=r"numpy array: expected \(angles, detectors\) or"):
            read(array)
    with pytest.raises(ScanError, match="must hold real numbers, it holds complex128"):
        read(np.zeros((5, 6), complex))
    with pytest.raises(ValueError, match="dataset and angles_dataset name arrays inside a file"):
        read(np.zeros((5, 6)), dataset="data")


def test_the_mask_of_a_masked_array_counts() -> None:
    angles, lines = numbers(rows=1)
    wrong = lines.copy()
    wrong[4, 0, 17] = 1e3
    scan = read(np.ma.masked_greater(wrong, 100), angles=angles)
    assert not scan.valid(0)[4, 17]
    assert scan.valid(0).sum() == lines.size - 1
    # interpolated along the detector: half the curvature of a blob of width 2 and height 0.5 is 0.06
    assert abs(scan.sinogram(0)[4, 17] - lines[4, 0, 17]) < 0.1


def test_only_what_is_asked_for_is_computed() -> None:
    array = pytest.importorskip("dask.array")
    angles, lines = numbers(rows=9)
    computed: list[int] = []

    def block(part: np.ndarray) -> np.ndarray:
        computed.append(part.shape[1])
        return part

    lazy = array.from_array(lines, chunks=(24, 1, 40)).map_blocks(block, meta=lines[:0])
    scan = read(lazy, angles=angles)
    looked = len(computed)
    scan.sinogram(4)
    assert len(computed) - looked == 1  # one chunk is one row


def test_xarray_with_its_coordinates(tmp_path: Path) -> None:
    xarray = pytest.importorskip("xarray")
    angles, lines = numbers()
    theta = xarray.DataArray(np.rad2deg(angles), dims="theta", attrs={"units": "degrees"})
    array = xarray.DataArray(lines.swapaxes(0, 1), dims=("z", "theta", "x"), coords={"theta": theta}, name="frames")
    same(read(array), angles, lines)
    same(read(array.chunk({"z": 1}) if hasattr(array, "chunk") else array), angles, lines)
    table = xarray.Dataset({"frames": array, "other": ("q", np.zeros(4))})
    same(read(table), angles, lines)
    twice = table.assign(more=array + 1)
    with pytest.raises(ScanError, match=r"2 arrays may hold the views; pass dataset= .*frames"):
        read(twice)
    same(read(twice, dataset="frames"), angles, lines)
    energies = array.expand_dims(energy=2)
    with pytest.raises(ScanError, match=r"4 axes, shape .*\(energy, z, theta, x\).*dataset='frames\["):
        read(energies)
    same(read(energies, dataset="[1]"), angles, lines)


def test_open_hdf5(tmp_path: Path) -> None:
    angles, lines = numbers()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/frames"] = lines
        file["scan/rotation_angle"] = np.rad2deg(angles)
        file["scan/rotation_angle"].attrs["units"] = "deg"
    with h5py.File(tmp_path / "a.h5") as file:
        for source in (file, file["scan"], file["scan/frames"]):
            same(read(source), angles, lines)
    for path in (tmp_path / "a.h5", str(tmp_path / "a.h5")):
        same(read(path), angles, lines)
        same(read(path, dataset="scan/frames", angles_dataset="scan/rotation_angle"), angles, lines)
    exchange = files.exchange(tmp_path / "b.h5", files.made())
    with h5py.File(exchange) as file:
        np.testing.assert_array_equal(read(file).sinogram(0), read(exchange).sinogram(0))
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        array = file.create_dataset("a", data=lines)
        with pytest.raises(ScanError, match=r"an HDF5 file in memory; pass the array itself"):
            read(array)


def test_any_layout_of_hdf5(tmp_path: Path) -> None:
    angles, lines = numbers()
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["deep/er/counts"] = lines.swapaxes(0, 1)
        file["theta"] = np.rad2deg(angles)
        file["theta"].attrs["units"] = "degrees"
        file["small"] = np.zeros((2, 3))
    same(read(path), angles, lines)  # the second axis has as many entries as there are angles
    with h5py.File(path, "a") as file:
        file["second"] = lines
        file["tilt"] = np.deg2rad(np.arange(24.0))
        file["spectrum"] = np.stack([lines, 2 * lines], 1)
    with pytest.raises(ScanError, match=r"a\.h5: no known layout, and 2 arrays may hold .*pass dataset="):
        read(path)
    assert "theta, tilt may hold them: pass angles_dataset=" in read(path, dataset="second").report
    same(read(path, dataset="second", angles_dataset="theta"), angles, lines)
    with pytest.raises(ScanError, match=r"4 axes, shape \(24, 2, 3, 40\); .* as dataset='spectrum\["):
        read(path, dataset="spectrum")
    same(read(path, dataset="spectrum[:, 1]", angles=angles), angles, 2 * lines)
    for wrong, words in (("spectrum[:, 2]", "index 2 of axis 1 is outside"), ("spectrum[a]", "nothing called"),
                         ("spectrum[1:2]", "expected numbers and colons"), ("nothing", "nothing called 'nothing'"),
                         ("deep", "not a dataset")):  # fmt: skip
        with pytest.raises(ScanError, match=words):
            read(path, dataset=wrong)
    np.save(tmp_path / "a.npy", lines)
    with pytest.raises(ScanError, match=r"a\.npy: dataset and angles_dataset name arrays inside a file"):
        read(tmp_path / "a.npy", dataset="x")


def test_zarr(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    angles, lines = numbers()
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("scan/frames", data=lines, chunks=(24, 1, 40))
    group.create_array("scan/angles", data=angles)
    for source in (tmp_path / "a.zarr", group, group["scan"]):
        same(read(source), angles, lines)
    same(read(tmp_path / "a.zarr", dataset="scan/frames", angles_dataset="scan/angles"), angles, lines)
    same(read(group["scan/frames"], angles=angles), angles, lines)
    same(read(tmp_path / "a.zarr" / "scan" / "frames", angles=angles), angles, lines)
    with pytest.raises(ScanError, match="no nothing in this zarr group; it holds scan/"):
        read(group, dataset="nothing")


def test_one_image_sinograms(tmp_path: Path) -> None:
    angles, lines = numbers(rows=1)
    image = lines[:, 0]
    tables: dict[str, tuple[str, dict[str, Any]]] = {
        "commas.csv": (",", {}), "blanks.txt": (" ", {}), "semicolons.csv": (";", {}), "tabs.tsv": ("\t", {}),
        "heading.csv": (",", {"header": ",".join("abcd"), "comments": ""}), "comment.txt": (" ", {"header": "a b"}),
        "no_suffix": (" ", {}),
    }  # fmt: skip
    for name, (mark, options) in tables.items():
        for stored in (image, image.T):
            np.savetxt(tmp_path / name, stored, delimiter=mark, **options)
            same(read(tmp_path / name, angles=angles), angles, lines)
    columns = np.column_stack([np.rad2deg(angles), image])
    np.savetxt(tmp_path / "own.csv", columns, delimiter=",", header="theta [deg]" + ",x" * 40, comments="")
    same(read(tmp_path / "own.csv"), angles, lines)
    for stored, name in ((image, "a.nxs"), (image.T, "b.nxs")):
        with h5py.File(tmp_path / name, "w") as file:
            group = file.create_group("entry/plot")
            file["entry"].attrs["NX_class"], group.attrs["NX_class"] = "NXentry", "NXdata"
            group["data"], group["rotation_angle"] = stored, angles
            group["rotation_angle"].attrs["units"] = "rad"
        same(read(tmp_path / name), angles, lines)
    with (tmp_path / "ragged.csv").open("w") as file:
        file.write("1,2,3\n4,5\n")
    with pytest.raises(ScanError, match=r"ragged\.csv: not a table of numbers with equally long lines"):
        read(tmp_path / "ragged.csv")


def test_matlab_cells_and_structures(tmp_path: Path) -> None:
    angles, lines = numbers()
    cells = np.empty(3, object)
    for k in range(3):
        cells[k] = lines[:, k]
    scipy.io.savemat(tmp_path / "a.mat", {"sino": cells, "angleRad": angles, "inner": {"image": lines[:, 1]}})
    with h5py.File(tmp_path / "b.mat", "w", userblock_size=512) as file:
        for k in range(3):
            file[f"#refs#/{k}"] = lines[:, k].T
        made = file.create_dataset("sino", (1, 3), h5py.ref_dtype)
        made[0] = [file[f"#refs#/{k}"].ref for k in range(3)]
        made.attrs["MATLAB_class"] = np.bytes_("cell")
        file["angleRad"] = angles[None]
        file["inner/image"] = lines[:, 1].T
    with (tmp_path / "b.mat").open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(128))
    for name in ("a.mat", "b.mat"):
        with pytest.raises(ScanError, match=r"3 variables look like a sinogram .* pass dataset= .*sino\{2\}"):
            read(tmp_path / name)
        same(read(tmp_path / name, dataset="sino{2}"), angles, lines[:, 1:2])
        same(read(tmp_path / name, dataset="inner.image"), angles, lines[:, 1:2])
        with pytest.raises(ScanError, match=r"no numeric variable other; the file holds"):
            read(tmp_path / name, dataset="other")


def test_archives_by_name(tmp_path: Path) -> None:
    angles, lines = numbers()
    np.savez(tmp_path / "a.npz", first=lines, second=2 * lines, turned=angles)
    with pytest.raises(ScanError, match=r"holds first, second, turned; pass dataset="):
        read(tmp_path / "a.npz")
    same(read(tmp_path / "a.npz", dataset="second", angles_dataset="turned"), angles, 2 * lines)


def test_results_of_ours(tmp_path: Path) -> None:
    data = np.random.default_rng(0).random((9, 7))
    result = vi.solve(vi.L2Squared(data), stop=vi.iterations(3))
    pytest.importorskip("zarr")
    for name in ("a.h5", "a.tif", "a.zarr"):
        result.save(tmp_path / name, weight=0.1, geometry={"spacing": 0.2, "angles": np.arange(5.0)})
        found = read(tmp_path / name)
        assert isinstance(found, SavedResult)
        np.testing.assert_array_equal(found.x, result.x)
        assert (found.why, found.settings["weight"]) == ("3 iterations", 0.1)
        assert found.settings["geometry"]["spacing"] == 0.2
        assert found.settings["varinv_version"] == vi.__version__
        assert repr(found) == f"SavedResult({name!r}, 9 x 7 float64, '3 iterations')"
        np.testing.assert_array_equal(found.history["objective"], [row["objective"] for row in result.history])
    same(read(tmp_path / "a.h5", dataset="image", kind="line integrals", angles=np.arange(9) / 3),
         np.arange(9) / 3, result.x[:, None])  # fmt: skip


def test_angles_in_words() -> None:
    _, lines = numbers(views=24, rows=1)
    for text, start, stop in (("0:360:24", 0, 360), (" -90 : 90.0 :24", -90, 90), ("1e1:-1.7e2:24", 10, -170)):
        expected = np.deg2rad(start + (stop - start) / 24 * np.arange(24))  # without the end
        np.testing.assert_allclose(read(lines, angles=text).angles, expected, atol=1e-12)
    with pytest.raises(ScanError, match="23 angles for 24 views"):
        read(lines, angles="0:360:23")
    np.testing.assert_allclose(read(lines, angles=[0.1 * k for k in range(24)]).angles, 0.1 * np.arange(24))


def test_distances_make_a_fan_of_any_source(tmp_path: Path) -> None:
    angles, lines = numbers(views=24, rows=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        g = read(lines, angles=angles, distances=(300, 200), pixel_size=0.5).geometry
    assert isinstance(g, vi.FanBeam)
    assert (g.source_to_axis, g.axis_to_detector, g.spacing, g.detectors) == (300, 200, 0.5, 40)
    with pytest.warns(ScanWarning, match=r"distances 300 and 200 are taken in columns; pass pixel_size="):
        read(lines, angles=angles, distances=(300, 200))
    with pytest.warns(ScanWarning, match=r"detector, 20 wide, is seen under 157 degrees; are the units"):
        read(lines, angles=angles, distances=(1, 1), pixel_size=0.5)
    path = files.tiffs(tmp_path / "stack", files.made())
    with pytest.warns(ScanWarning, match=r"3 detector rows and distances are a cone beam: only the middle row, 1,"):
        scan = read(path, distances=(300.0, 200.0), pixel_size=0.1)
    assert isinstance(scan.geometry, vi.FanBeam)
    assert "cone beam" in scan.report
    helsinki, _ = files.helsinki(tmp_path / "a.mat")
    assert read(helsinki, distances=(400, 100)).geometry.source_to_axis == 400  # the file says millimetres
