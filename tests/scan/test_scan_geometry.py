"""Whatever is chosen from a scan, its geometry says where things are; the rotation axis is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scan_files as files

from varinv.scan import ScanError, read
from varinv.scan.axis import estimate

SPOT = (9.0, -6.0, 4.0)  # x, y, width in columns of the file


def spot_scan(folder: Path, axis: float = 52.6, columns: int = 96, views: int = 40) -> Any:
    """A scan of one Gaussian blob: the centroid of each view lies where its geometry puts the point (x, y)."""
    angles = np.linspace(0.3, 0.3 + np.pi, views, endpoint=False)
    lines = 0.02 * files.blobs(angles, columns, axis, (SPOT,))  # thin: binning transmissions or lines is the same
    flats = np.full((1, 1, columns), 1e4)
    files.exchange(folder / "spot.h5", files.Made(angles, (1e4 * np.exp(-lines))[:, None], flats, flats * 0, lines))
    return read(folder / "spot.h5", axis=axis)


def miss(scan: Any, mirrored: bool = False) -> float:
    """The largest distance, in columns of the file, between a view's centroid and what the geometry says."""
    g, p = scan.geometry, scan.sinogram().astype(float)
    x = -SPOT[0] if mirrored else SPOT[0]
    where = (p * np.arange(g.detectors)).sum(1) / p.sum(1)
    says = g.axis + (x * np.cos(g.angles) + SPOT[1] * np.sin(g.angles)) / g.spacing
    return float(np.abs(where - says).max() * g.spacing)


CHOICES = {
    "all": lambda s: s,
    "views": lambda s: s.views(slice(1, None, 3)),
    "mask": lambda s: s.views(np.arange(s.shape[0]) % 5 == 2),
    "backwards": lambda s: s.views(slice(None, None, -1)),
    "bin 2": lambda s: s.bin(2),
    "bin 5": lambda s: s.bin(5),  # 96 columns: one is dropped
    "bin 2 bin 3": lambda s: s.bin(2).bin(3),
    "crop": lambda s: s.crop(11, 95),
    "crop bin": lambda s: s.crop(9, 94).bin(3),
    "bin crop": lambda s: s.bin(3).crop(3, 31),
    "bin crop bin views": lambda s: s.bin(2).crop(3, 47).bin(3).views(slice(None, 20)),
    "flip twice": lambda s: s.flip().crop(5, 90).flip(),
}
MIRRORED = {
    "reverse flip": lambda s: s.flip(),
    "flip crop bin": lambda s: s.flip().crop(2, 85).bin(4),
    "crop flip bin": lambda s: s.crop(11, 96).flip().bin(3),
    "bin flip crop": lambda s: s.bin(3).flip().crop(1, 29),
    "flip axis": lambda s: s.flip().crop(2, 90).using(axis=s.flip().crop(2, 90).axis),
}


@pytest.mark.parametrize("name", [*CHOICES, *MIRRORED])
def test_data_and_geometry_stay_in_step(name: str, tmp_path: Path) -> None:
    scan = (CHOICES | MIRRORED)[name](spot_scan(tmp_path))
    g = scan.geometry
    assert scan.sinogram().shape == scan.valid().shape == scan.weight().shape == g.shape == (len(g.angles), g.detectors)
    # the blob (width 4) ends 4 widths from the edges in every choice: a tail of 6e-5 at 30 columns moves the
    # centroid by less than 0.02; an axis wrong by half a bin is off by 0.5 or more
    if name in CHOICES:
        assert miss(scan) < 0.02
    else:  # mirrored columns show the mirror image (−x at −θ): u → −u
        p = scan.sinogram().astype(float)
        where = (p * np.arange(g.detectors)).sum(1) / p.sum(1)
        says = g.axis - (SPOT[0] * np.cos(g.angles) + SPOT[1] * np.sin(g.angles)) / g.spacing
        assert np.abs(where - says).max() * g.spacing < 0.02


def test_selections_are_slices_of_the_whole(tmp_path: Path) -> None:
    scan = spot_scan(tmp_path)
    whole, by3 = scan.sinogram(), scan.bin(3).sinogram()
    np.testing.assert_array_equal(scan.crop(11, 95).sinogram(), whole[:, 11:95])
    np.testing.assert_array_equal(scan.bin(3).crop(3, 31).sinogram(), by3[:, 3:31])
    np.testing.assert_array_equal(scan.flip().sinogram(), whole[:, ::-1])
    np.testing.assert_array_equal(scan.flip().crop(11, 95).sinogram(), whole[:, ::-1][:, 11:95])
    np.testing.assert_array_equal(scan.bin(3).flip().crop(3, 31).sinogram(), by3[:, ::-1][:, 3:31])
    np.testing.assert_array_equal(scan.flip().bin(5).sinogram(), scan.crop(1, 96).bin(5).sinogram()[:, ::-1])
    np.testing.assert_array_equal(scan.views(slice(4, 30, 7)).sinogram(), whole[4:30:7])


def test_reverse_turns_the_angles(tmp_path: Path) -> None:
    scan = spot_scan(tmp_path)
    np.testing.assert_array_equal(scan.reverse().geometry.angles, -scan.geometry.angles)
    np.testing.assert_array_equal(scan.reverse().sinogram(), scan.sinogram())
    np.testing.assert_array_equal(scan.reverse().views(slice(3, 9)).angles, -scan.angles[3:9])


def test_bins_average_transmissions_of_counts_and_line_integrals_as_they_are(tmp_path: Path) -> None:
    m = files.made()
    counts = read(files.exchange(tmp_path / "a.h5", m)).bin(4)
    pairs = m.lines[:, 2].reshape(files.VIEWS, 10, 4)
    np.testing.assert_allclose(counts.sinogram(2), -np.log(np.exp(-pairs).mean(-1)), atol=1e-6)
    np.save(tmp_path / "a.npy", m.lines)
    lines = read(tmp_path / "a.npy", angles=m.angles, axis=files.AXIS, pixel_size=0.5).bin(4)
    np.testing.assert_allclose(lines.sinogram(2), pairs.mean(-1), atol=1e-6)
    assert lines.geometry.spacing == 2.0
    assert lines.geometry.axis == pytest.approx((files.AXIS - 1.5) / 4)


def test_a_bin_with_a_bad_column_is_not_valid(tmp_path: Path) -> None:
    m = files.made()
    m.data[5, 0, 13] = np.nan
    scan = read(files.exchange(tmp_path / "a.h5", m)).bin(4)
    assert np.argwhere(~scan.valid()).tolist() == [[5, 3]]
    assert np.argwhere(scan.weight() == 0).tolist() == [[5, 3]]
    # the bin is repaired, not poisoned: a wrong column of four by at most |p''|/2 = 1/8 of height 1/2
    assert abs(scan.sinogram()[5, 3] - m.lines[5, 0, 12:16].mean()) < 0.05


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: s.bin(0), ValueError, "k must be at least 1, got 0"),
        (lambda s: s.bin(2.0), TypeError, "k must be an integer, got 2.0"),
        (lambda s: s.bin(97), ValueError, "97 columns a bin, but there are only 96"),
        (lambda s: s.crop(5, 5), ValueError, "0 <= a < b <= 96, got 5 and 5"),
        (lambda s: s.crop(-4, 50), ValueError, "got -4 and 50"),
        (lambda s: s.crop(0, 97), ValueError, "got 0 and 97"),
        (lambda s: s.views(slice(40, None)), ValueError, "leaves no views of 40"),
        (lambda s: s.views([50]), IndexError, "for 40 views"),
        (lambda s: s.views(np.ones(7, bool)), IndexError, "for 40 views"),
        (lambda s: s.sinogram(1), ValueError, "row 1 is outside the 1 rows"),
        (lambda s: s.sinogram(rows=3), TypeError, "rows must be a slice"),
        (lambda s: s.sinogram(rows=slice(3, 9)), ValueError, "selects none of 1 rows"),
        (lambda s: s.using(stripes=-1), ValueError, "stripes must be at least 0"),
        (lambda s: s.using(air="yes"), TypeError, "air must be True or False"),
        (lambda s: s.using(axis=np.nan), ValueError, "axis must be finite"),
    ],
)
def test_wrong_choices_say_what_was_expected(call: Any, error: type, text: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=text):
        call(spot_scan(tmp_path))


# ------------------------------------------------------------------------------------------------------------- axis

SPOTS = tuple((x, y, w) for x, y, w in np.random.default_rng(3).uniform([-30, -30, 2], [30, 30, 6], (12, 3)))


@pytest.mark.parametrize("axis", [58.0, 63.5, 71.37])
@pytest.mark.parametrize("case", ["half turn", "end included", "uneven", "full turn", "full turn, few", "turns"])
def test_the_axis_of_a_parallel_scan_is_found(axis: float, case: str) -> None:
    rng = np.random.default_rng(0)
    angles = {
        "half turn": np.linspace(-1, np.pi - 1, 120, endpoint=False),
        "end included": np.linspace(0, np.pi, 121),
        "uneven": np.sort(rng.uniform(0, np.pi, 200)),
        "full turn": np.linspace(0, 2 * np.pi, 181),
        "full turn, few": np.linspace(0, 2 * np.pi, 45, endpoint=False),
        "turns": np.linspace(0, np.pi, 120, endpoint=False) + 93 * np.pi,
    }[case]
    lines = files.blobs(angles, 128, axis, SPOTS)
    noisy = lines + rng.normal(0, 0.02 * lines.max(), lines.shape) + 0.3  # air is not 0
    order = rng.permutation(len(angles))
    # measured over seeds: 0.24 at worst from half a turn (no opposite views to compare), 0.02 from a full turn
    allowed = 0.05 if case.startswith("full") else 0.35
    assert abs(estimate([noisy[order]], angles[order], fan=False) - axis) < allowed
    assert abs(estimate([lines], angles, fan=False) - axis) < 0.05  # without noise: 0.03 for uneven angles


def test_the_axis_is_found_where_the_object_nearly_fills_the_detector() -> None:
    angles, axis, radius = np.linspace(0, np.pi, 150, endpoint=False), 133.7, 118.0
    disc = 2 * np.sqrt(np.maximum(1 - ((np.arange(256) - axis) / radius) ** 2, 0))
    lines = disc + 0.1 * files.blobs(angles, 256, axis, [(2 * x, 2 * y, w) for x, y, w in SPOTS])
    # measured 0.01; an estimate that leans to the middle (127.5), as with the mean taken away, is off by 6
    assert abs(estimate([lines], angles, fan=False) - axis) < 0.1


def test_the_axis_of_a_fan_beam_is_found_from_a_full_turn() -> None:
    angles, axis, source, columns = np.linspace(0, 2 * np.pi, 180, endpoint=False), 66.4, 300.0, 128
    u, c, s = np.arange(columns) - axis, np.cos(angles)[:, None], np.sin(angles)[:, None]
    total = np.zeros((180, columns))
    for x, y, w in SPOTS:  # exact: the distance of the spot from the ray through u on a detector at the axis
        across, along = u * c - source * s, u * s + source * c  # from the source to the detector column
        distance = (across * (y + source * c) - along * (x - source * s)) / np.hypot(across, along)
        total += np.exp(-(distance**2) / (2 * w**2))
    assert abs(estimate([total], angles, fan=True) - axis) < 0.1  # no noise; a parabola through half columns
    with pytest.raises(ScanError, match="fan beam can only be found from a full turn"):
        estimate([total[:90]], angles[:90], fan=True)


def test_an_axis_is_not_invented(tmp_path: Path) -> None:
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    noise = np.random.default_rng(0).normal(size=(90, 128))
    with pytest.raises(ScanError, match="prefer no rotation axis"):
        estimate([noise], angles, fan=False)
    with pytest.raises(ScanError, match=r"cover 120 degrees; .* half a turn"):
        estimate([noise[:60]], angles[:60], fan=False)
    np.save(tmp_path / "a.npy", noise[:60])
    scan = read(tmp_path / "a.npy", angles=angles[:60])
    assert scan.geometry.axis == 63.5
    assert "rotation axis assumed at the middle of the detector: the views cover 120 degrees" in scan.report
    with pytest.raises(ScanError, match=r"a\.npy: the views cover 120"):
        scan.find_axis()


def test_the_axis_is_estimated_once_from_all_views(tmp_path: Path) -> None:
    angles = np.linspace(0, np.pi, 120, endpoint=False)
    np.save(tmp_path / "a.npy", files.blobs(angles, 128, 71.37, SPOTS))
    scan = read(tmp_path / "a.npy", angles=angles)
    few = scan.views(slice(0, 5)).crop(10, 120).bin(2)
    assert abs(few.axis - ((71.37 - 10) - 0.5) / 2) < 0.08
    assert scan.shared is few.shared
    assert scan.axis == scan.find_axis()
    assert "rotation axis at column 71.3" in scan.report
    assert scan.using(axis=60).geometry.axis == 60
    assert few.using(axis=20).using(air=False).geometry.axis == 20
