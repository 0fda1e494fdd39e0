"""Flats that do not fit, beams narrower than the camera, useless rows, scans that ended early, steps of others."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_scan_faults_views import ANGLES, AXIS, BODIES, COLUMNS, DARK, VIEWS, counts, phantom, scan_of, told

from varinv.scan import ScanError, ScanWarning, read

# files as odd as these leave doubt what their numbers are, too; that is tested elsewhere
doubtful = pytest.mark.filterwarnings("ignore:.*taken as counts:varinv.scan.ScanWarning")


def nxtomo(folder: Path, lines: np.ndarray, course: Any, flats: list[tuple[int, int]], seed: int | None) -> Any:
    """An NXtomo scan of a beam of that course; `flats`: after how many views how many were taken."""
    rng = np.random.default_rng(seed)
    dark = (lambda: DARK + np.zeros(COLUMNS)) if seed is None else lambda: rng.normal(DARK, 2, COLUMNS)
    frames, keys = [dark() for _ in range(5)], [2] * 5

    def add(expected: np.ndarray, key: int) -> None:
        frames.append((expected if seed is None else rng.poisson(expected)) + dark())
        keys.append(key)

    for v in range(VIEWS + 1):
        for _ in range(dict(flats).get(v, 0)):
            add(20000 * course(v) * np.ones(COLUMNS), 1)
        if v < VIEWS:
            add(20000 * course(v + 0.5) * np.exp(-lines[v]), 0)
    theta = np.zeros(len(keys))
    theta[np.array(keys) == 0] = np.rad2deg(ANGLES)
    with h5py.File(folder / "scan.nxs", "w") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        entry["definition"] = "NXtomo"
        entry["instrument/detector/data"] = np.array(frames)[:, None].astype("f4" if seed is None else "u2")
        entry["instrument/detector/image_key"] = keys
        entry["sample/rotation_angle"] = theta
        entry["sample/rotation_angle"].attrs["units"] = "degrees"
    return read(folder / "scan.nxs", axis=AXIS)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("flats", [[(0, 8), (VIEWS, 8)], [(0, 4), (50, 4), (VIEWS, 4)], [(0, 1), (VIEWS, 1)]])
def test_flats_before_and_after_are_interpolated_in_time(
    name: str, seed: int | None, flats: list[tuple[int, int]], tmp_path: Path
) -> None:
    lines = phantom(name)
    scan = nxtomo(tmp_path, lines, lambda v: 1 - 0.3 * v / VIEWS, flats, seed)
    assert told(scan) == []
    bias = np.median(scan.sinogram() - lines, axis=1)
    assert np.abs(bias).max() < 0.03  # asked; ±0.16 with the mean of all flats
    assert f"flats interpolated in time (level changes by 43 %), groups: {len(flats)}" in scan.report
    assert scan.valid().all()


def test_flats_that_agree_are_averaged_all(tmp_path: Path) -> None:
    """Interpolation would use half of them at the ends of the scan: noise √2 times that of the mean."""
    lines = phantom("foam")
    scan = nxtomo(tmp_path, lines, lambda v: 1.0, [(0, 8), (VIEWS, 8)], 1)
    assert told(scan) == []
    assert scan.repairs() == ()
    flats = scan.raw.flats.read(np.arange(16), slice(0, 1))[:, 0].mean(0)
    darks = scan.raw.darks.read(np.arange(5), slice(0, 1))[:, 0].mean(0)
    views = scan.raw.frames.read(np.arange(VIEWS), slice(0, 1))[:, 0]
    np.testing.assert_allclose(scan.sinogram(), -np.log((views - darks) / (flats - darks)), atol=1e-5)  # float32


def test_a_group_taken_without_beam_is_dropped(tmp_path: Path) -> None:
    lines = phantom("foam")
    scan = nxtomo(tmp_path, lines, lambda v: 1.0 if v < VIEWS else 1e-3, [(0, 4), (VIEWS, 4)], None)
    assert scan.repairs() == ("flats dropped (taken without beam): 4 (frame 4, frame 5, frame 6, frame 7)",)
    np.testing.assert_allclose(scan.sinogram(), lines, atol=1e-4)  # float32 counts


def test_flats_of_unknown_order_that_differ_are_doubted(tmp_path: Path) -> None:
    flats = counts(np.zeros((10, COLUMNS)), 1)
    flats[5:] = DARK + 0.9 * (flats[5:] - DARK)
    said = told(scan_of(tmp_path, counts(phantom("foam")), flats=flats))
    assert len(said) == 1
    assert "the flats differ in level by 1" in said[0]
    assert "line integrals may be off by ±0.05" in said[0]
    flats = counts(np.zeros((10, COLUMNS)), 1)
    flats[3, 50] = 60000
    struck = scan_of(tmp_path, counts(phantom("foam")), flats=flats)
    assert told(struck) == []
    assert struck.repairs() == ("flats with struck pixels, the median taken: 1",)


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "swapped": ({"flats": np.full((3, COLUMNS), DARK), "darks": np.full((3, COLUMNS), 9000)}, "are brighter .* exch"),
    "off": ({"flats": np.full((3, COLUMNS), DARK)}, "no brighter than the darks"),
    "empty": ({"flats": np.zeros((3, COLUMNS))}, "hold nothing but 0"),
}


@doubtful
@pytest.mark.parametrize("fault", UNFIT)
def test_flats_of_no_use_are_refused_by_name(fault: str, tmp_path: Path) -> None:
    content, says = UNFIT[fault]
    with pytest.raises(ScanError, match=rf"scan\.npz: row 0: the .*{says}"):
        scan_of(tmp_path, counts(phantom("foam")), **content).sinogram()


def test_counts_without_sign_that_were_read_with_one(tmp_path: Path) -> None:
    lines = phantom("ellipses")
    # air at 64 500 ± 254: a part of it is below −1000 when read with a sign, the rest between that and 0
    bright = {"data": counts(lines, 0, 64400), "flats": counts(np.zeros((5, COLUMNS)), 1, 64400)}
    right = scan_of(tmp_path, **bright).sinogram()
    wrapped = {k: v.astype("u2").view("i2") for k, v in bright.items()}
    np.savez(tmp_path / "w.npz", **wrapped, darks=np.full((5, COLUMNS), DARK, "i2"), angles=ANGLES, axis=AXIS)
    scan = read(tmp_path / "w.npz")
    said = told(scan)
    assert said
    assert all("negative counts down to -" in s and "65536 was added" in s for s in said)
    np.testing.assert_array_equal(scan.sinogram(), right)
    np.savez(tmp_path / "f.npz", **{k: v.astype("f4") for k, v in wrapped.items()},
             darks=np.full((5, COLUMNS), DARK), angles=ANGLES, axis=AXIS)  # fmt: skip
    with pytest.raises(ScanError, match=r"the flats are negative .* convert them, numbers\.astype\('uint16'\)"):
        read(tmp_path / "f.npz").sinogram()


# ------------------------------------------------------------------------------------------------- what is not there


@doubtful
@pytest.mark.parametrize("lit", [8, 50, 90])
@pytest.mark.parametrize("seed", [None, 1])
def test_a_beam_narrower_than_the_camera(lit: int, seed: int | None, tmp_path: Path) -> None:
    lines, first = phantom("foam"), 64 - lit // 2
    beam = np.zeros(COLUMNS)
    beam[first : first + lit] = 20000
    rng = np.random.default_rng(9)
    noise = (lambda shape: rng.normal(0, 2, shape)) if seed is not None else np.zeros
    data, flats = counts(lines, seed, beam), counts(np.zeros((10, COLUMNS)), seed, beam)
    scan = scan_of(
        tmp_path, data + noise(data.shape), dtype="f4", flats=flats + noise(flats.shape),
        darks=DARK + noise((10, COLUMNS)),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cropped = scan.crop(first, first + lit)
        assert cropped.valid().all()
        tolerance = 1e-3 if seed is None else 5 * np.exp(1) / np.sqrt(20000)  # five deviations at the peak of 2
        assert np.abs(cropped.sinogram() - lines[:, first : first + lit]).max() < tolerance
        assert not np.delete(scan.valid(), np.arange(first, first + lit), axis=1).any()
    assert f"columns outside the beam, not used: {COLUMNS - lit} (row 0: lit columns {first} to {first + lit - 1})" in (
        scan.report
    )


def test_a_useless_row_does_not_take_the_others_along(tmp_path: Path) -> None:
    lines = phantom("foam")
    beam = np.full((4, COLUMNS), 20000.0)
    beam[2] = 0
    rng = np.random.default_rng(0)

    def frames(expected: np.ndarray) -> np.ndarray:
        return (rng.poisson(expected) + rng.normal(DARK, 2, expected.shape)).astype("u2")

    np.savez(
        tmp_path / "s.npz", data=frames(beam * np.exp(-lines)[:, None]), flats=frames(beam + np.zeros((8, 1, 1))),
        darks=frames(np.zeros((8, 4, COLUMNS))), angles=ANGLES, axis=AXIS,
    )  # fmt: skip
    scan = read(tmp_path / "s.npz")
    with pytest.raises(ScanError, match=r"s\.npz: row 2: the flats are no brighter than the darks"):
        scan.sinogram(2)
    assert scan.good_rows() == (0, 1, 3)
    with pytest.warns(ScanWarning, match=r"1 rows cannot be corrected and are 0, nowhere valid: 2 \(row 2: the flats"):
        every = scan.sinogram(rows=slice(None))
    assert (every[2] == 0).all()
    valid, weight = scan.valid(rows=slice(None)), scan.weight(rows=slice(None))
    assert valid.all((1, 2)).tolist() == [True, True, False, True]
    assert (weight[2] == 0).all()
    np.testing.assert_array_equal(every[3], scan.sinogram(3))
    assert "1 rows cannot be corrected" in scan.report
    with pytest.raises(ScanError, match="row 2"):
        scan.sinogram(rows=slice(2, 3))


@doubtful
@pytest.mark.parametrize("left", [0.0, np.nan])
@pytest.mark.parametrize("kept", [119, 90, 1])
def test_a_scan_that_ended_early_is_cut(left: float, kept: int, tmp_path: Path) -> None:
    data = counts(phantom("foam"))
    data[kept:] = left
    data[0, :3] = left  # a dark pixel here and there is no empty frame
    with pytest.warns(ScanWarning, match=rf"the last {120 - kept} of 120 frames are empty .* cut to the first {kept}"):
        scan = scan_of(tmp_path, data, dtype="f4", angles=ANGLES)
    assert scan.shape == (kept, 1, COLUMNS)
    assert len(scan.angles) == kept
    assert "frames are empty" in scan.report
    if kept > 1:
        assert scan.sinogram().shape == scan.geometry.shape
    data[:] = left
    assert scan_of(tmp_path, data, dtype="f4", angles=ANGLES).shape[0] == VIEWS  # nothing to cut to: refused later


# ---------------------------------------------------------------------------------------------------- steps of others


def test_steps_on_sinograms_run_in_order_on_whole_rows_when_asked_for(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, counts(phantom("foam")))
    calls: list[tuple[Any, ...]] = []

    def double(lines: np.ndarray, angles: np.ndarray) -> np.ndarray:
        calls.append((lines.shape, lines.dtype, angles.shape))
        lines *= 2  # a step may use its copy
        return lines

    def mean_away(lines: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return lines - lines.mean(axis=1, keepdims=True)

    plain = scan.sinogram()
    other = scan.using(process=[double, mean_away])
    assert calls == []
    expected = 2 * plain - (2 * plain).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(other.sinogram(), expected, atol=1e-5)  # float32
    assert calls == [((VIEWS, COLUMNS), np.float32, (VIEWS,))]
    part = other.views(slice(0, 30)).crop(20, 60)  # steps see all views and columns, whatever is kept
    np.testing.assert_allclose(part.sinogram(), expected[:30, 20:60], atol=1e-5)
    np.testing.assert_array_equal(other.using(process=()).sinogram(), plain)


def test_steps_on_projections_see_several_rows(tmp_path: Path) -> None:
    lines = phantom("foam")[:, None] * np.array([0.2, 0.4, 0.6, 0.8])[:, None]
    np.savez(
        tmp_path / "s.npz", data=20000 * np.exp(-lines), flats=np.full((2, 4, COLUMNS), 20000.0), angles=ANGLES,
        axis=AXIS,
    )  # fmt: skip
    scan = read(tmp_path / "s.npz")
    shapes = []

    def blur_rows(transmissions: np.ndarray, angles: np.ndarray) -> np.ndarray:
        shapes.append(transmissions.shape)
        padded = np.pad(transmissions, ((0, 0), (1, 1), (0, 0)), mode="edge")
        return (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3

    other = scan.using(process=blur_rows, stage="projections", margin=1)
    expected = -np.log(np.exp(-lines[:, 0:3]).mean(1))
    np.testing.assert_allclose(other.sinogram(1), expected, atol=1e-5)
    assert shapes == [(VIEWS, 3, COLUMNS)]
    np.testing.assert_allclose(other.sinogram(rows=slice(1, 3))[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda x, a: x[1:], r"must return real numbers of shape \(120, 128\), got float32 of shape \(119, 128\)"),
        (lambda x, a: x + 1j, r"must return real numbers .* got complex64"),
        (lambda x, a: np.where(x > 1, np.nan, x), r"returned \d+ of 15360 values that are not finite"),
        (lambda x, a: 1 / 0, r"ZeroDivisionError: division by zero"),
    ],
)
def test_steps_that_return_what_they_should_not_are_named(step: Any, says: str, tmp_path: Path) -> None:
    step.__qualname__ = "my_filter"
    scan = scan_of(tmp_path, counts(phantom("foam"))).using(process=step)
    with pytest.raises(ScanError, match=f"process step my_filter:? {says}"):
        scan.sinogram()


def test_arguments_of_using_are_checked(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, counts(phantom("foam")))
    with pytest.raises(TypeError, match=r"process must be a callable, process\(lines, angles\)"):
        scan.using(process="remove_stripes")
    with pytest.raises(ValueError, match="stage must be one of 'sinogram', 'projections'"):
        scan.using(stage="slices")
    with pytest.raises(TypeError, match=r"air must be .* in each of the 120 views, got"):
        scan.using(air=np.ones(7))
    with pytest.raises(ValueError, match="levels of air must be positive"):
        scan.using(air=np.zeros(VIEWS))


def test_a_ring_filter_of_algotom(tmp_path: Path) -> None:
    """The example of docs/scans.md."""
    removal = pytest.importorskip("algotom.prep.removal", reason="algotom is not installed")
    lines = phantom("ellipses")
    gain = 1 + 0.1 * np.random.default_rng(0).normal(size=COLUMNS)
    scan = scan_of(tmp_path, counts(lines, 0, 10000 * gain))

    def without_rings(sinogram: np.ndarray, angles: np.ndarray) -> np.ndarray:
        return removal.remove_stripe_based_sorting(sinogram, 9)

    before, after = (np.abs(s.sinogram() - lines).mean() for s in (scan, scan.using(process=without_rings)))
    assert after < 0.7 * before  # the median over 9 columns leaves 1.25/√9 of white stripes, and the noise


def test_the_row_corrected_last_is_remembered_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from varinv.scan import correct

    calls = []
    whole = correct.correct
    monkeypatch.setattr(correct, "correct", lambda *a, **k: calls.append(a[4]) or whole(*a, **k))
    data = np.stack([counts(phantom("foam")), counts(phantom("grains"))], axis=1)
    flats = np.full((3, 2, COLUMNS), 10100.0)
    scan = scan_of(tmp_path, data, flats=flats, darks=np.full((3, 2, COLUMNS), DARK))
    first = scan.sinogram(0)
    first[:] = 7  # the caller's own
    assert (scan.sinogram(0) != 7).all()
    scan.valid(0)
    scan.weight(0)
    assert calls == [0]
    other = scan.sinogram(1)
    assert (other != scan.sinogram(0)).any()
    np.testing.assert_array_equal(
        scan.using(air=True).sinogram(0), read(tmp_path / "scan.npz").using(air=True).sinogram(0)
    )
    assert calls == [0, 1, 0, 0, 0]
