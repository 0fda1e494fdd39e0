"""Which files of a folder are projections, flats and darks: the names that laboratories and beamlines give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from varinv.scan import ScanError, ScanWarning, layout, read


def n(stem: str, count: int, start: int = 0) -> list[str]:
    return [f"{stem}{start + k:04d}.tif" for k in range(count)]


RUNNING = n("s_flat_", 5) + n("s_", 20, 5) + n("s_flat_", 5, 25) + n("s_dark_", 5, 30)
AROUND = n("FlatBefore/img_", 5) + n("FlatAfter/img_", 5) + n("DarkFields/img_", 3)

# files, (views, flats, darks), views before each flat
LAYOUTS = {
    "sample open_cell_foam": (n("open_cell_foam_", 10) + n("flat_", 1), (10, 1, 0), None),
    "sample white_oak": (n("white_oak_", 10) + n("flat_", 1) + n("dark_", 1), (10, 1, 1), None),
    "whitefield in one word": ([*n("p_", 10), "whitefield_0.tif", "darkfield_0.tif"], (10, 1, 1), None),
    "Tomo, Flat_Before": (n("Tomo/t_", 10) + n("Flat_Before/f_", 2) + n("Dark_Before/d_", 1), (10, 2, 1), [0, 0]),
    "FlatBefore, FlatAfter": (n("Projections/img_", 30) + AROUND, (30, 10, 3), [0] * 5 + [30] * 5),
    "neutrons": (n("fe/fe_10s_", 20) + n("ob/OB_10s_", 5) + n("dc/DC_10s_", 4), (20, 5, 4), None),
    "neutrons in one folder": (n("fe_", 20) + n("ob_", 5) + n("di_", 4), (20, 5, 4), None),
    "Open Beam, Dark Image": (n("s/x_", 20) + n("Open Beam/x_", 5) + n("Dark Image/x_", 4), (20, 5, 4), None),
    "projections alone in a folder": (n("tiffs/raw_", 20) + n("flat_", 1) + n("dark_", 1), (20, 1, 1), None),
    "flats numbered by view": ([*n("s_", 90), "refHST0000.tif", "refHST0090.tif", "darkend0000.tif"], (90, 2, 1),
                               [0, 90]),
    "one running number": (RUNNING, (20, 10, 5), [0] * 5 + [20] * 5),
    "sample flat_iron": (n("flat_iron_", 20) + n("flat_", 2), (20, 2, 0), None),
    "sample dark_chocolate": (n("dark_chocolate_", 20) + n("flat_", 2) + n("dark_", 2), (20, 2, 2), None),
    "sample di_caprio": (n("di_caprio_", 30) + n("ob_", 3) + n("di_", 3), (30, 3, 3), None),
    "folder open_cell above": (n("open_cell/Tomo/x_", 30) + n("open_cell/Flat/x_", 2), (30, 2, 0), None),
    "sample open in all folders": (n("Tomo/open_", 30) + n("Flat/open_", 2) + n("Dark/open_", 3), (30, 2, 3), None),
    "sample open_pit beside Open Beam": (n("open_pit/open_pit_", 30) + n("Open Beam/open_pit_", 3), (30, 3, 0), None),
    "folder white_oak": (n("white_oak/img_", 30) + n("flat/img_", 3), (30, 3, 0), None),
    "flats below the projections": (n("x_", 10) + n("flats/f", 3) + n("recon/s", 20), (10, 3, 0), None),
    "flats two folders down": (n("Tomo/i_", 30) + n("refs/flats/f_", 5) + n("refs/darks/d_", 4), (30, 5, 4), None),
    "sample and sample_flat": (n("s1_", 30) + n("s1_flat_", 3) + n("s1_dark_", 2), (30, 3, 2), None),
    "sample white and white_flat": (n("white_", 30) + n("white_flat_", 3) + n("white_dark_", 2), (30, 3, 2), None),
    "sample flat_white_coffee": (n("flat_white_coffee_", 30) + n("flat_", 3) + n("dark_", 2), (30, 3, 2), None),
    "flat_pre, flat_post": (n("p_", 30) + n("flat_pre_", 2) + n("flat_post_", 2), (30, 4, 0), [0, 0, 30, 30]),
    "sample_open_beam": (n("img_", 30) + n("sampleA_open_beam_", 5), (30, 5, 0), None),
    "I0": (n("img_", 30) + n("I0_", 5), (30, 5, 0), None),
    "gain and offset": ([*n("proj_", 30), "gain.tif", "offset.tif"], (30, 1, 1), None),
    "darks for flats": (n("img_", 30) + n("flat_", 3) + n("dark_for_flat_", 2), (30, 3, 2), None),
    "corrected for flats": (n("flat_corrected_", 30) + n("flat_", 3), (30, 3, 0), None),
    "a few frames at 0 and 180": (n("0_degree/x", 2) + n("180_degree/x", 2) + n("tomo/x", 30), (30, 0, 0), None),
    "an overview above": ([*n("Tomo/x_", 30), "overview.tif", *n("Flats/f", 3)], (30, 3, 0), None),
    # these must stay as they are: the word separates nothing
    "only white": (n("white_", 30), (30, 0, 0), None),
    "only open_cell": (n("open_cell_", 30), (30, 0, 0), None),
    "only bright_star": (n("ob/bright_star_", 30), (30, 0, 0), None),
    "only numbers": ([f"{k:02d}.tif" for k in range(12)], (12, 0, 0), None),
}  # fmt: skip


def touched(folder: Path, files: list[str]) -> Path:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize("kind", LAYOUTS)
def test_names_that_are_written(kind: str, tmp_path: Path) -> None:
    files, counts, at = LAYOUTS[kind]
    notes: list[str] = []
    found = layout.sort(touched(tmp_path, files), (".tif",), None, notes)  # a warning would be an error
    assert (len(found.frames), len(found.flats), len(found.darks)) == counts
    assert (None if found.flats_at is None else found.flats_at.tolist()) == at
    assert any("no flats or darks by their names" in text for text in notes) == (counts[1:] == (0, 0))
    assert found.frames == sorted(found.frames)


DOUBTFUL = {
    "open beside flat": (
        n("open_", 30) + n("flat_", 2) + n("dark_", 2),
        (30, 2, 2),
        "would be flats; taken as the proj",
    ),
    "df beside dark": (n("df_", 30) + n("dark_", 2) + n("flat_", 2), (30, 2, 2), "would be darks; taken as the proj"),
    "only flats": (n("flat_", 30), (30, 0, 0), "all frames are called flat_0000"),
    "a preview": ([*n("x_", 30), "preview.tif"], (30, 0, 0), r"left out beside x_0000.tif … \(30\): preview.tif \(1\)"),
    "two parts": (n("part_a_", 30) + n("part_b_", 30), (60, 0, 0), "frames under several names"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_doubtful_names_warn(kind: str, tmp_path: Path) -> None:
    files, counts, text = DOUBTFUL[kind]
    with pytest.warns(ScanWarning, match=text):
        found = layout.sort(touched(tmp_path, files), (".tif",), None, [])
    assert (len(found.frames), len(found.flats), len(found.darks)) == counts


def test_the_number_of_angles_settles_doubts(tmp_path: Path) -> None:
    files = touched(tmp_path, n("white_", 12) + n("dark_", 10))
    with pytest.raises(ScanError, match=r"no projections: by their names all frames are flats or darks \(white_0000"):
        layout.sort(files, (".tif",), None, [])
    assert len(layout.sort(files, (".tif",), 12, []).frames) == 12
    (tmp_path / "two").mkdir()
    two = touched(tmp_path / "two", n("a/proj/x", 10) + n("b/proj/x", 11))
    with pytest.raises(ScanError, match=r"several of its folders.*b/proj \(11 frames\), a/proj \(10 frames\)"):
        layout.sort(two, (".tif",), None, [])
    assert layout.sort(two, (".tif",), 10, []).folder == two / "a" / "proj"


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ScanError, match=r"no TIFF frames.*looked for \.tif, \.tiff.*notes\.txt"):
        read(tmp_path)


def test_a_scan_with_flats_before_and_after(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    level = {"Tomo/t": 2000, "Flat_Before/f": 9000, "Flat_After/f": 8000, "Dark_Before/d": 100}
    for name, value in level.items():
        for k in range(10 if name == "Tomo/t" else 2):
            place = tmp_path / f"{name}_{k:03d}.tif"
            place.parent.mkdir(exist_ok=True)
            tifffile.imwrite(place, (value + rng.random((3, 16))).astype(np.uint16))
    scan = read(tmp_path, angles=np.arange(10) * 0.3)
    assert scan.raw.flats is not None
    assert scan.raw.flats_at is not None
    assert scan.raw.darks_at is not None
    np.testing.assert_array_equal(scan.raw.flats_at, [0, 0, 10, 10])
    np.testing.assert_array_equal(scan.raw.darks_at, [0, 0])
    flats = scan.raw.flats.read(np.arange(4), slice(0, 1))[:, 0, 0]
    assert flats.tolist() == [9000, 9000, 8000, 8000]
    flat = 8900 - 1000 * (np.arange(10) + 0.5) / 10  # the beam fades while the views are taken
    np.testing.assert_allclose(scan.sinogram(1), np.repeat(np.log(flat / 1900)[:, None], 16, axis=1), atol=1e-6)
    assert "frames from the folder Tomo" in scan.report
    assert "of 4, 2 before the first view" in scan.report


def test_the_error_says_which_rule_found_no_flats(tmp_path: Path) -> None:
    for k in range(12):
        tifffile.imwrite(tmp_path / f"white_oak_{k}.tif", np.full((3, 16), 9000 + k, np.uint16))
    with pytest.raises(
        ScanError, match=r"counts without flats.*no flats or darks by their names: no word such as flat"
    ):
        read(tmp_path, angles=np.arange(12) * 0.2).sinogram()


def test_a_folder_of_sinograms(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((5, 12, 16)).astype(np.float32)  # (rows, views, columns)
    for k, row in enumerate(rows):
        tifffile.imwrite(tmp_path / f"sino_{k:03d}.tif", row)
    scan = read(tmp_path, angles=np.arange(12) * 0.2)
    assert scan.shape == (12, 5, 16)
    np.testing.assert_array_equal(scan.sinogram(3), rows[3])
    np.testing.assert_array_equal(scan.sinogram(rows=slice(1, 5, 2)), rows[1:5:2])
    picked = np.array([7, 0, 7])
    np.testing.assert_array_equal(scan.raw.frames.read(picked, slice(2)), rows[:2, picked].swapaxes(0, 1))


def test_images_taken_for_sinograms_by_the_number_of_angles_alone_warn(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for k in range(5):
        tifffile.imwrite(tmp_path / "run" / f"x_{k}.tif", np.zeros((12, 16), np.float32))
    with pytest.warns(ScanWarning, match="taken as the sinogram of one detector row: 5 rows of 12 views"):
        assert read(tmp_path / "run", angles=np.arange(12) * 0.2).shape == (12, 5, 16)


STACK = (np.random.default_rng(0).random((10, 4, 32)) * 1000).astype("u2")


@pytest.mark.parametrize("kind", ["imagej", "shaped", "one page a frame"])
def test_a_stack_under_one_directory_entry(kind: str, tmp_path: Path) -> None:
    options = {"imagej": {"imagej": True, "metadata": {"axes": "ZYX"}, "truncate": True}, "shaped": {"truncate": True}}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, **options.get(kind, {}))  # type: ignore[arg-type]
    scan = read(path)
    assert scan.shape == (10, 4, 32)
    np.testing.assert_array_equal(scan.raw.frames.read(np.array([9, 0, 4]), slice(1, 3)), STACK[[9, 0, 4], 1:3])
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ScanError, match=r"a\.tif.*(truncated|not a readable TIFF)"):
        read(path)


def test_a_compressed_page_that_promises_more_frames_is_refused(tmp_path: Path) -> None:
    description = "ImageJ=1.53\nimages=10\nslices=10\n"
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], compression="zlib", description=description, metadata=None)
    with pytest.raises(ScanError, match="promises 10 frames and holds one page"):
        read(path)


def test_one_page_is_a_sinogram_where_the_angles_fit_an_axis(tmp_path: Path) -> None:
    lines = np.random.default_rng(0).random((12, 16)).astype(np.float32)
    for k, page in enumerate((lines, lines.T)):
        tifffile.imwrite(tmp_path / f"{k}.tif", page)
        scan = read(tmp_path / f"{k}.tif", angles=np.arange(12) * 0.2)
        assert scan.shape == (12, 1, 16)
        np.testing.assert_array_equal(scan.sinogram(), lines)
