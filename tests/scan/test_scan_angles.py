"""Units and numbers of angles: what is taken, what is reported, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scan_files as files

from varinv.scan import ScanError, ScanWarning, read
from varinv.scan.angles import load, match, to_radians

HALF = np.linspace(0, 180, 24, endpoint=False)


@pytest.mark.parametrize(
    ("values", "unit", "expected", "said"),
    [
        (HALF, "degrees", np.deg2rad(HALF), ""),
        (HALF, "deg", np.deg2rad(HALF), ""),
        (np.deg2rad(HALF), "rad", np.deg2rad(HALF), ""),
        (np.deg2rad(HALF), None, np.deg2rad(HALF), "taken as radians"),
        (HALF, None, np.deg2rad(HALF), "taken as degrees"),
        (HALF - 90, None, np.deg2rad(HALF - 90), "taken as degrees"),
        (np.linspace(16740, 16919.5, 360), "degree", np.deg2rad(np.linspace(16740, 16919.5, 360)), ""),
        ([10.0], "degrees", [np.deg2rad(10)], ""),
    ],
)
def test_units(values: np.ndarray, unit: str | None, expected: np.ndarray, said: str) -> None:
    notes: list[str] = []
    np.testing.assert_allclose(to_radians(values, unit, "file", notes), expected)
    assert said in " ".join(notes)
    assert bool(notes) == bool(said)


@pytest.mark.parametrize(
    ("values", "unit", "factor", "said"),
    [
        # half and full turns in radians under the label degrees are taken as radians
        (np.deg2rad(HALF), "degrees", 1, "taken as radians"),
        (np.deg2rad(2 * HALF), "degrees", 1, "taken as radians"),
        (np.linspace(0, np.pi, 24), "deg", 1, "taken as radians"),
        # another short span might be a wedge: kept, but said
        (np.linspace(0, 2, 30), "degrees", np.pi / 180, "kept as degrees"),
        (np.linspace(0, 11, 30), None, 1, "more than a turn"),
        (np.linspace(0, 47.123, 30), None, np.pi / 180, "no usual scan"),
    ],
)
def test_implausible_units_warn_and_are_on_record(values: np.ndarray, unit: str, factor: float, said: str) -> None:
    notes: list[str] = []
    with pytest.warns(ScanWarning, match=said):
        found = to_radians(values, unit, "file", notes)
    np.testing.assert_allclose(found, values * factor)
    assert len(notes) == 1


def test_surplus_angles_at_the_ends_are_reduced_to_one() -> None:
    # as an instrument wrote it: 10 frames before and 10 after the scan; the last position is off by 1e-4
    scan = np.append(np.arange(-88.2, 89, 2.0), [89.8, 91.7999])
    found = match(np.concatenate([[-88.2] * 10, scan, [91.8] * 10]), len(scan), "", "file", notes := [])
    np.testing.assert_array_equal(found, scan)
    assert notes == [f"{len(scan) + 20} angles for {len(scan)} views: 10 repeats before and 10 after dropped"]
    with pytest.raises(ScanError, match=rf"111 angles \({len(scan)} without repeats at the ends\) for 50 views"):
        match(np.concatenate([[-88.2] * 10, scan, [91.8] * (101 - len(scan))]), 50, "", "file", [])
    with pytest.raises(ScanError, match="9 angles for 10 views"):
        match(np.arange(9.0), 10, "", "file", [])
    # equal angles inside the scan, or with the right number, are the scan's own business
    twice = np.repeat(np.arange(5.0), 2)
    np.testing.assert_array_equal(match(twice, 10, "", "file", []), twice)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0\n60\n120\n", np.deg2rad([0, 60, 120])),
        ("# in radians\n0 1 2\n", [0, 1, 2]),
        ("angle (deg)\n0\n1\n2\n", np.deg2rad([0, 1, 2])),
        ("0, 1, 2", [0, 1, 2]),
        ("\ufeff0;60;120", np.deg2rad([0, 60, 120])),
    ],
)
def test_text_files(text: str, expected: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "angles.txt").write_text(text, "utf-8")
    np.testing.assert_allclose(load(tmp_path / "angles.txt", []), expected)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0\n1\ntwo\n", "line 3 is not a number: 'two'"),
        ("# nothing\n", "no angles"),
        ("0 1\n2 3\n", "2 numbers a line"),
        ("0\nnan\n1", "1 of 3 angles are NaN"),
        ("__import__('os')", "no angles"),
    ],
)
def test_faulty_text_files(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "angles.txt").write_text(text)
    with pytest.raises(ScanError, match=rf"angles\.txt: {fault}"):
        load(tmp_path / "angles.txt", [])


def test_npy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "angles.npy", HALF[:, None])
    np.testing.assert_allclose(load(tmp_path / "angles.npy", []), np.deg2rad(HALF))
    np.save(tmp_path / "angles.npy", np.zeros((2, 3)))
    with pytest.raises(ScanError, match=r"one-dimensional, the file has shape \(2, 3\)"):
        load(tmp_path / "angles.npy", [])


def test_shuffled_views_give_shuffled_rows_and_the_same_axis(tmp_path: Path) -> None:
    m = files.made(views=60, columns=64, axis=29.2)
    order = np.random.default_rng(0).permutation(60)
    plain = read(files.exchange(tmp_path / "a.h5", m))
    mixed = read(files.exchange(tmp_path / "b.h5", m, data=m.data[order], theta=np.rad2deg(m.angles[order])))
    np.testing.assert_array_equal(mixed.sinogram(1), plain.sinogram(1)[order])
    np.testing.assert_array_equal(mixed.geometry.angles, plain.geometry.angles[order])
    assert abs(mixed.axis - plain.axis) < 1e-9  # the same numbers in the same order after sorting
    assert abs(plain.axis - 29.2) < 0.05  # no noise
