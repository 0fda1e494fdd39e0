"""Flat and dark correction, repairs and their count, air, stripes, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scan_files as files

from varinv.scan import ScanError, read
from varinv.scan.levels import normalise_air

ROW = 1


def scan_of(folder: Path, m: files.Made, **extra: Any) -> Any:
    return read(files.exchange(folder / "a.h5", m, **extra))


def test_dead_and_hot_pixels_are_interpolated_and_counted(tmp_path: Path) -> None:
    m = files.made()
    m.data[:, ROW, 9], m.flats[:, ROW, 9], m.darks[:, ROW, 9] = 0, 0, 0  # dead
    m.data[:, ROW, 21], m.flats[:, ROW, 21], m.darks[:, ROW, 21] = 65535, 65535, 65535  # stuck
    m.data[:, ROW, 30] *= 4  # hot after the flats were taken
    m.data[:, ROW, 35] = 15000.0  # stuck after the flats were taken, at a plausible level
    scan = scan_of(tmp_path, m)
    found, valid = scan.sinogram(ROW), scan.valid(ROW)
    broken = [9, 21, 30, 35]
    assert scan.repairs(ROW) == (
        "dead or hot pixels interpolated: 4 (" + ", ".join(f"row 1 column {c}" for c in broken) + ")",
    )
    assert not valid[:, broken].any()
    assert valid.sum() == valid.size - 4 * files.VIEWS
    good = np.delete(np.arange(files.COLUMNS), broken)
    np.testing.assert_allclose(found[:, good], m.lines[:, ROW, good], atol=1e-6)  # float32
    # between its neighbours a Gaussian of width 2 and height 1 departs from a line by at most |p''|/2 = 1/8
    assert np.abs(found - m.lines[:, ROW]).max() < 0.125 * 1.01
    assert scan.repairs(0) == ()
    assert "rows: dead or hot pixels interpolated: 4" in scan.report
    assert "dead or hot" in str(scan)


def test_single_measurements_are_interpolated_and_counted(tmp_path: Path) -> None:
    m = files.made()
    m.data[3, ROW, 10], m.data[5, ROW, 30], m.data[5, ROW, 0] = np.nan, np.inf, np.nan
    m.data[7, ROW, 20] = 0.0  # below the dark
    scan = scan_of(tmp_path, m)
    found, valid = scan.sinogram(ROW), scan.valid(ROW)
    assert scan.repairs(ROW) == (
        "NaN or infinite measurements interpolated: 3",
        "non-positive transmissions interpolated: 1",
    )
    assert np.isfinite(found).all()
    assert sorted(zip(*np.where(~valid), strict=True)) == [(3, 10), (5, 0), (5, 30), (7, 20)]
    assert found[3, 10] == pytest.approx((found[3, 9] + found[3, 11]) / 2, abs=1e-6)
    assert found[5, 0] == found[5, 1]


def test_a_lost_view_is_interpolated_between_its_neighbours_in_angle(tmp_path: Path) -> None:
    m = files.made()
    order = np.random.default_rng(1).permutation(files.VIEWS)
    m.data[12] = np.nan
    scan = scan_of(tmp_path, m, data=m.data[order], theta=np.rad2deg(m.angles[order]))
    at = int(np.flatnonzero(order == 12)[0])
    found = scan.sinogram(ROW)[np.argsort(order)]
    np.testing.assert_allclose(found[12], (found[11] + found[13]) / 2, atol=1e-6)
    assert scan.repairs(ROW) == (
        "NaN or infinite measurements interpolated: 40",
        f"views without a usable measurement interpolated: 1 (view {at})",
    )
    assert (scan.weight(ROW)[at] == 0).all()


def test_bad_flats_and_darks_are_dropped(tmp_path: Path) -> None:
    m = files.made()
    flats = np.concatenate([m.flats, m.flats, m.flats])
    flats[4] = m.darks[0]  # beam off
    flats[6, :, 17] = 60000  # a cosmic ray
    darks = np.concatenate([m.darks, m.flats[:1], m.darks])  # shutter open
    scan = scan_of(tmp_path, m, data_white=flats, data_dark=darks)
    np.testing.assert_allclose(scan.sinogram(ROW), m.lines[:, ROW], atol=1e-6)  # the median takes no harm
    assert scan.repairs(ROW) == (
        "darks dropped (level far from the others, beam off or on): 1 (frame 2)",
        "flats dropped (level far from the others, beam off or on): 1 (frame 4)",
    )
    assert sum("flats dropped" in r for r in scan.repairs(rows=slice(None))) == 1  # once, not once a row


def test_a_beam_that_was_off_is_refused(tmp_path: Path) -> None:
    m, rng = files.made(), np.random.default_rng(0)
    off = [100 + rng.normal(0, 2, (n, files.ROWS, files.COLUMNS)) for n in (files.VIEWS, 3, 3)]
    scan = scan_of(tmp_path, m, data=off[0], data_white=off[1], data_dark=off[2])
    with pytest.raises(ScanError, match=r"a\.h5: row 0: the flats are no brighter than the darks"):
        scan.sinogram()


def test_counts_without_flats_need_air(tmp_path: Path) -> None:
    m = files.made(views=30, columns=64, axis=31.0)
    smooth = 3000 * np.exp(-m.lines) * (1 + 0.2 * np.sin(np.arange(30)))[:, None, None]  # a flickering beam
    scan = scan_of(tmp_path, m, data=smooth.astype(np.uint16), data_white=None, data_dark=None)
    with pytest.raises(ScanError, match=r"counts without flats; pass flats= .* using\(air=True\)"):
        scan.sinogram()
    found = scan.using(air=True)
    # counts are rounded down: one count in 3000 · 0.8 · e^-1.91 of them is 2.8e-3
    np.testing.assert_allclose(found.sinogram(ROW), m.lines[:, ROW], atol=2.8e-3)
    assert found.repairs(ROW) == ("views set to 0 in air: 30",)


def test_air_is_left_alone_where_the_object_fills_the_detector() -> None:
    rng, u = np.random.default_rng(0), np.arange(100.0)
    air = np.full((20, 100), 0.3) + 0.001 * u + rng.normal(0, 0.002, (20, 100))
    wide = 1.5 + 0.1 * rng.normal(size=(20, 1)) + np.exp(-((u - 50) ** 2) / 2000)
    flat, n = normalise_air(air + np.exp(-((u - 50) ** 2) / 200), np.log(2))
    assert n == 20
    # the median of 4 values has a standard deviation of 0.57 · 0.002; 4 of them over 20 views
    assert np.abs(flat[:, [0, -1]]).max() < 4 * 0.002 + 4 * 0.0012
    same, n = normalise_air(wide, np.log(2))
    assert n == 0
    np.testing.assert_array_equal(same, wide)
    # an object that touches one edge in a few views: that edge is not used there
    touching = air + np.exp(-((u - 50) ** 2) / 200)
    touching[:4] += 1.5 / (1 + np.exp(-(u - 92)))
    part, n = normalise_air(touching, np.log(2))
    assert n == 20
    assert np.abs(part[:4, :4]).max() < 4 * 0.002 + 4 * 0.0012
    assert part[0, -1] > 1.4  # the object is not subtracted


def test_stripes_are_removed_and_reported(tmp_path: Path) -> None:
    m = files.made(views=60, columns=160, axis=80.0)
    m.lines[:] = files.blobs(m.angles, 160, 80.0, ((12.0, -8.0, 20.0), (-15.0, 20.0, 15.0)))[:, None]
    gain = 1 + 0.05 * np.random.default_rng(0).normal(size=160)  # the response drifted after the flats
    m.data[:] = (m.flats[0] - m.darks[0]) * gain * np.exp(-m.lines) + m.darks[0]
    scan = scan_of(tmp_path, m)
    before, after = (np.abs(s.sinogram(ROW) - m.lines[:, ROW]).mean() for s in (scan, scan.using(stripes=9)))
    assert after < 0.6 * before  # the median over 9 columns leaves about 1.25/√9 = 0.42 of white stripes
    assert "rows with stripes removed (window of 9 columns): 1 (row 1)" in scan.using(stripes=9).repairs(ROW)


def test_weights_are_counts_with_mean_one(tmp_path: Path) -> None:
    m = files.made()
    m.data[3, ROW, 10] = np.nan
    scan = scan_of(tmp_path, m)
    weight = scan.weight(ROW)
    assert weight.dtype == np.float32
    assert weight.mean() == pytest.approx(1, abs=1e-6)
    assert weight[3, 10] == 0
    expected = np.where(np.isfinite(m.data[:, ROW]), m.data[:, ROW] - m.darks[0, ROW], 0)
    np.testing.assert_allclose(weight, expected / expected.mean(), rtol=1e-6)
    np.save(tmp_path / "lines.npy", m.lines)
    assert (read(tmp_path / "lines.npy", angles=m.angles).weight(ROW) == 1).all()


def test_line_integrals_with_holes(tmp_path: Path) -> None:
    m = files.made(rows=1)
    lines = m.lines[:, 0].copy()
    lines[:, 7], lines[:, 8], lines[4], lines[9, 20] = np.inf, -np.inf, np.nan, np.nan
    np.save(tmp_path / "a.npy", lines)
    scan = read(tmp_path / "a.npy", angles=m.angles)
    assert np.isfinite(scan.sinogram()).all()
    assert scan.repairs() == (
        "dead or hot pixels interpolated: 2 (row 0 column 7, row 0 column 8)",
        "NaN or infinite measurements interpolated: 1",
        "views without a usable measurement interpolated: 1 (view 4)",
    )
    np.save(tmp_path / "b.npy", np.where(np.arange(40) < 37, np.nan, lines))
    with pytest.raises(ScanError, match=r"b\.npy: row 0: only 69 of 960 measurements are usable"):
        read(tmp_path / "b.npy").sinogram()


def test_noise_free_and_constant_data_are_not_repaired(tmp_path: Path) -> None:
    m = files.made(rows=1, columns=64, axis=31.5)
    u = np.arange(64) - 31.5
    disc = 0.1 * np.sqrt(np.maximum(20.0**2 - u**2, 0)) * np.ones((files.VIEWS, 1))  # every column is constant
    data = (m.flats[0] - m.darks[0]) * np.exp(-disc)[:, None] + m.darks[0]
    scan = scan_of(tmp_path, m, data=data)
    np.testing.assert_allclose(scan.sinogram(), disc, atol=1e-6)
    assert scan.repairs() == ()


def test_results_are_the_callers_own(tmp_path: Path) -> None:
    m = files.made()
    np.save(tmp_path / "a.npy", m.lines)
    scan = read(tmp_path / "a.npy")
    first = scan.sinogram(2)
    first[:] = 0
    np.testing.assert_allclose(scan.sinogram(2), m.lines[:, 2], atol=1e-6)
