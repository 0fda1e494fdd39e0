"""The order of frames by the numbers in their names, and the angles that names state."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from varinv.scan import ScanWarning, names, read

RNG = np.random.default_rng(1)
CLOCK = [f"s_2024-01-0{1 + k // 10}_23-5{k % 10}-00" for k in range(20)]
NIGHT = [f"s_2024010{1 + k // 10}_{235950 + k if k < 10 else k - 10:06d}_x" for k in range(20)]

# names in the right order, and the first and last angle in degrees that they state (None: none)
RIGHT = {
    "signs and decimals": ([f"p_{v}" for v in np.arange(-12.5, 13, 2.5)], (-12.5, 12.5)),
    "plus and deg": ([f"img_{v:+07.2f}deg" for v in range(0, 180, 3)], (0, 177)),
    "minus and plus, deg": ([f"img_{v:+07.2f}deg" for v in range(-90, 90, 3)], (-90, 87)),
    "angle and index": ([f"a{0.5 * k:.1f}_{k:03d}" for k in range(20)], (0, 9.5)),
    "one decimal for all, index": ([f"a1.5_{k:03d}" for k in range(20)], None),
    "decimals of varying width": ([f"a_{v:g}" for v in np.arange(-60, 61, 1.5)], (-60, 60)),
    "hyphen without the others": ([f"img{v}" for v in (-30, -15, 0, 15, 30)], (-30, 30)),
    "m and p for signs": ([f"proj_{'m' if v < 0 else 'p'}{abs(v):03d}" for v in range(-60, 61, 3)], (-60, 60)),
    "decimals over a turn": ([f"proj_{v / 2:06.2f}" for v in range(720)], (0, 359.5)),
    "rounded decimals over half a turn": ([f"proj_{v:06.2f}" for v in np.linspace(0, 180, 362)], (0, 180)),
    "even whole numbers over half a turn": ([f"proj_{v:03d}" for v in range(0, 180, 2)], (0, 178)),
    "theta from 0 to 179": ([f"theta_{v:03d}" for v in range(180)], (0, 179)),
    "golden angles, deg": ([f"x_{k:04d}_{k * 111.246 % 360:.3f}deg" for k in range(20)], (0, 313.674)),
    "radians": ([f"scan_{v:.4f}rad" for v in np.linspace(0, 3.1416, 40)], (0, 180)),
    "date, run, index, exposure": ([f"20240101_run3_{k}_0.{RNG.integers(100, 999)}s" for k in range(20)], None),
    "temperature before the index": ([f"temp_{20 + RNG.normal():.2f}_img_{k:04d}" for k in range(20)], None),
    "hyphen as separator": ([f"s-{k:04d}" for k in range(20)], None),
    "blank and hyphen": ([f"s -{k:04d}" for k in range(20)], None),
    "midnight with hyphens": (CLOCK, None),
    "midnight": (NIGHT, None),
    "midnight behind the date of the experiment": ([f"20231231_{name}" for name in NIGHT], None),
    "whole numbers all behind a hyphen": ([f"exp1_-{k}-{RNG.uniform(0.1, 0.9):.3f}s" for k in range(17, 160)], None),
    "point as separator": ([f"run1.{k}" for k in range(20)], None),
    "point and zeros": ([f"run1.{k:04d}" for k in range(20)], None),
    "without zeros": ([f"raw_{k}" for k in range(20)], None),
    "an index from 1 called tilt": ([f"tilt_{k:03d}" for k in range(1, 121)], None),
    "heights": ([f"z_{v:.1f}" for v in np.linspace(0, 180, 181)], None),
    "index 0 to 179": ([f"proj_{v:03d}" for v in range(180)], None),
}


def shuffled(right: list[str]) -> list[Path]:
    return [Path("/scan") / f"{right[k]}.tif" for k in RNG.permutation(len(right))]


@pytest.mark.parametrize("kind", RIGHT)
def test_order_and_angles_of_names(kind: str) -> None:
    right, ends = RIGHT[kind]
    notes: list[str] = []
    found = names.order(shuffled(right), Path("/scan"), notes)  # a warning would be an error
    assert [f.stem for f in found.files] == right
    angles = names.stated_angles(found, notes)
    if ends is None:
        assert angles is None
        assert any("may be an index or degrees" in n for n in notes) == (kind == "index 0 to 179")
    else:
        assert angles is not None
        np.testing.assert_allclose(np.rad2deg(angles[[0, -1]]), ends, atol=0.001)  # radians were written with 4 digits
        assert "angles from the names of the frames" in notes[-1]


DOUBTFUL = {
    "two runs that count alike": ([f"run{k // 10}_{k % 10}" for k in range(20)], "no number in the names is another"),
    "two counts against each other": ([f"x_{k:04d}_{20 - k:03d}" for k in range(20)], "order the frames differently"),
    "the same number twice": (["x_1", "x_01", "x_2"], "several frames"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_doubtful_orders_warn(kind: str) -> None:
    right, text = DOUBTFUL[kind]
    notes: list[str] = []
    with pytest.warns(ScanWarning, match=text):
        found = names.order(shuffled(right), Path("/scan"), notes)
    assert [f.stem for f in found.files][-1] == right[-1]
    assert len(notes) == 1


def written(folder: Path, right: list[str], first: int = 1000) -> Path:
    folder.mkdir()
    for k, name in enumerate(right):
        tifffile.imwrite(folder / f"{name}.tif", np.full((2, 8), first + k, np.uint16))
    return folder


def test_a_folder_is_read_in_that_order_with_those_angles(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [f"img_{v:+07.2f}deg" for v in range(-90, 90, 3)])
    scan = read(path)
    np.testing.assert_array_equal(scan.raw.frames.read(np.arange(60), slice(0, 1))[:, 0, 0], 1000 + np.arange(60))
    np.testing.assert_allclose(np.rad2deg(scan.angles), np.arange(-90, 90, 3))
    assert "angles from the names of the frames: -90 to 87 degrees" in scan.report
    (path / "angles.txt").write_text("# deg\n" + "\n".join(str(2 * k) for k in range(60)))
    assert abs(read(path).angles[-1] - np.deg2rad(118)) < 1e-12  # a file beside them counts more
    given = np.linspace(0, 1, 60)
    np.testing.assert_array_equal(read(path, angles=given).angles, given)


def test_numbers_left_out_are_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a", [f"s_2024_{k:03d}_1.5s" for k in range(20) if k not in (7, 12)])
    with pytest.warns(ScanWarning, match="missing from the numbering: 7, 12$"):
        read(path)
    path = written(tmp_path / "b", [f"p_{v / 2}" for v in range(-20, 20) if v != 3])
    with pytest.warns(ScanWarning, match=r"missing from the numbering: 1\.5$"):
        read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(written(tmp_path / "c", [f"s_{k:03d}" for k in range(0, 40, 2)]))
