"""Images in HDF5, TIFF and OME-Zarr: what other programs read in them."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest
import tifffile

import varinv as vi
from varinv.image_files import save_image, scale_of

MM = {"pixel_size": [0.5, 0.0125, 0.0125], "unit": "mm", "checks": ["flats fade: 3 %", "µ < 0"], "lam": 0.2}
VOLUME = np.random.default_rng(0).random((3, 40, 50), np.float32)


def test_imagej_reads_scale_unit_and_distance_of_slices(tmp_path):
    save_image(tmp_path / "x.tif", VOLUME, MM)
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        told, tags = file.imagej_metadata, file.pages[0].tags
        assert (told["unit"], told["spacing"], told["slices"], told["images"]) == ("mm", 0.5, 3, 3)
        assert tags["XResolution"].value == tags["YResolution"].value == (80, 1)  # pixels a unit
        assert tags["ResolutionUnit"].value == 1  # none: the unit stands in the description
        assert json.loads(told["Info"])["checks"] == MM["checks"]
        assert file.series[0].axes == "ZYX"
        assert np.array_equal(file.asarray(), VOLUME)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4", "u2"])
@pytest.mark.parametrize("shape", [(3, 6, 5), (6, 5), (1, 6, 5), (4, 6, 5), (6, 3), (6, 4), (7,), (3, 2, 1)])
def test_tiff_keeps_every_number(tmp_path, dtype, shape):
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    save_image(tmp_path / "x.tif", x, {"pixel_size": 0.1, "unit": "µm"})
    back = tifffile.imread(tmp_path / "x.tif")
    assert back.dtype == x.dtype
    assert np.array_equal(back.reshape(shape), x)


@pytest.mark.parametrize(("size", "unit"), [(1e-12, "m"), (1e9, "mm"), (0.0, "mm"), (float("nan"), "mm")])
def test_a_resolution_that_tiff_cannot_hold_is_left_out(tmp_path, size, unit):
    save_image(tmp_path / "x.tif", VOLUME, {"pixel_size": size, "unit": unit})
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert np.array_equal(file.asarray(), VOLUME)


def test_hdf5_carries_scale_axes_and_checks(tmp_path):
    save_image(tmp_path / "x.h5", VOLUME, MM)
    with h5py.File(tmp_path / "x.h5") as file:
        image = file["image"]
        assert list(image.attrs["pixel_size"]) == MM["pixel_size"]
        assert list(image.attrs["element_size_um"]) == [500, 12.5, 12.5]
        assert image.attrs["unit"] == "mm"
        assert [d.label for d in image.dims] == ["z", "y", "x"]
        assert list(file["checks"].asstr()) == MM["checks"]
        assert file.attrs["lam"] == 0.2


def test_checked_without_doubts_is_not_the_same_as_unchecked(tmp_path):
    save_image(tmp_path / "x.h5", VOLUME, {"checks": []})
    save_image(tmp_path / "y.h5", VOLUME, {})
    with h5py.File(tmp_path / "x.h5") as x, h5py.File(tmp_path / "y.h5") as y:
        assert x["checks"].shape == (0,)
        assert "checks" not in y


def test_text_with_zeros_and_very_long_text_are_stored(tmp_path):
    save_image(tmp_path / "x.h5", VOLUME, {"note": "a\0b", "repairs": "long " * 100_000})
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["note"] == "ab"
        assert len(file.attrs["repairs"]) == 500_000


def test_scales_are_found_inside_the_geometry():
    assert scale_of({"geometry": {"pixel_size": 0.3, "unit": "mm"}}, 2) == ([0.3, 0.3], "mm")
    assert scale_of({"pixel_size": 0.3}, 3) == ([0.3] * 3, "pixel")
    assert scale_of({"pixel_size": np.array([1.0, 2.0]), "unit": "mm"}, 2) == ([1.0, 2.0], "mm")
    assert scale_of({}, 2) == ([1.0, 1.0], "pixel")


# ------------------------------------------------------------------------------------------------------------ OME-Zarr


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", reason="zarr is not installed: pip install 'varinv[zarr]'")


@pytest.mark.parametrize("name", ["x.zarr", "x.ome.zarr"])
@pytest.mark.parametrize("shape", [(3, 600, 700), (513, 40), (5, 6), (300, 300, 9)])
def test_ome_zarr_follows_its_specification(tmp_path, zarr, name, shape):
    """NGFF 0.4: what its schema demands, and that levels lie where their transformations say."""
    x = np.random.default_rng(1).random(shape, np.float32)
    sizes = MM["pixel_size"][-x.ndim :]
    save_image(tmp_path / name, x, {**MM, "pixel_size": sizes})
    group = zarr.open_group(str(tmp_path / name), mode="r", zarr_format=2)
    (scales,) = group.attrs["multiscales"]
    assert scales["version"] == "0.4"
    assert [a["name"] for a in scales["axes"]] == list("zyx")[3 - x.ndim :]
    assert all(a["type"] == "space" and a["unit"] == "millimeter" for a in scales["axes"])
    assert np.array_equal(group["0"][...], x)
    for k, level in enumerate(scales["datasets"]):
        values = group[level["path"]]
        assert values.ndim == x.ndim
        kinds = [t["type"] for t in level["coordinateTransformations"]]
        assert kinds == ["scale", "translation"]  # exactly one scale, then at most one translation
        scale, shift = (t[t["type"]] for t in level["coordinateTransformations"])
        joined = np.divide(scale, sizes)
        assert np.allclose(shift, (joined - 1) / 2 * sizes)  # the middle of the joined pixels
        assert tuple(values.shape) == tuple(n // int(j) for n, j in zip(shape, joined, strict=True))
        even = x[tuple(slice(int(n * j)) for n, j in zip(values.shape, joined, strict=True))]
        assert values[...].mean() == pytest.approx(even.mean(), rel=1e-4)
        meta = json.loads((tmp_path / name / level["path"] / ".zarray").read_text())
        assert meta["dimension_separator"] == "/"
        assert k == 0 or max(values.shape) < max(group[str(k - 1)].shape)
    assert max(group[scales["datasets"][-1]["path"]].shape) <= 256
    assert group.attrs["varinv"]["checks"] == MM["checks"]


def test_results_save_themselves_as_zarr_and_again(tmp_path, zarr):
    result = vi.solve(vi.L2Squared(np.eye(8)), stop=vi.iterations(2))
    for _ in range(2):
        assert result.save(tmp_path / "x.ome.zarr", pixel_size=0.5) == tmp_path / "x.ome.zarr"
    assert [p.name for p in tmp_path.iterdir()] == ["x.ome.zarr"]
    group = zarr.open_group(str(tmp_path / "x.ome.zarr"), mode="r")
    assert np.array_equal(group["0"][...], result.x)
    assert group.attrs["varinv"]["why"] == result.why
    assert group.attrs["varinv"]["history"]["objective"]


def test_without_zarr_the_error_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'varinv\[zarr\]'"):
        save_image(tmp_path / "x.zarr", VOLUME, {})
    assert list(tmp_path.iterdir()) == []
