"""Phantoms: areas, line integrals against numerical ones, orientation, reproducibility."""

import math

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.data import shepp_logan_phantom

from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.phantom import Ellipse, Phantom, disc, lines, random_ellipses, shepp_logan

TURNED = Phantom([Ellipse(1.5, a=9.0, b=3.0, x=6.0, y=4.0, angle=0.4)])


def test_mass_of_an_ellipse_is_its_area_times_its_value():
    image = TURNED.image((64, 60), supersampling=8)
    # 8×8 points a pixel leave a boundary error of about (points on the edge)^½ / points: 0.06 % here
    assert image.sum() == pytest.approx(1.5 * math.pi * 27, rel=2e-3)


def test_row_zero_is_at_the_top_and_the_ellipse_turns_counter_clockwise():
    image = TURNED.image((64, 60))
    rows, columns = np.indices(image.shape)
    y, x = (63 / 2 - rows), (columns - 59 / 2)
    centre = ((image * x).sum() / image.sum(), (image * y).sum() / image.sum())
    assert centre == pytest.approx((6.0, 4.0), abs=0.05)  # a twentieth of a pixel: the error of 4×4 points
    xy = (image * (x - 6) * (y - 4)).sum() / image.sum()
    assert xy == pytest.approx((81 - 9) / 4 * math.sin(0.4) * math.cos(0.4), rel=0.02)  # second moment, a²/4 and b²/4


def test_pixel_size_scales_lengths():
    small = disc(3.0, x=1.0, y=2.0).image((20, 20))
    assert np.array_equal(small, disc(1.5, x=0.5, y=1.0).image((20, 20), pixel_size=0.5))


@pytest.mark.parametrize(
    "geometry",
    [
        ParallelBeam(np.array([0.3, 5.0, -2.0]), 40, 0.9, axis=17.3),
        FanBeam(np.array([0.3, 5.0, -2.0]), 40, 1.7, 60.0, 40.0, axis=17.3),
        FanBeam(np.array([1.0]), 40, 1.2, 60.0, 0.0),
    ],
    ids=["parallel", "fan", "fan, detector on the axis"],
)
def test_line_integrals_against_points_along_each_ray(geometry):
    """Independent: walk from source to detector in small steps with the definitions of the geometry's docstring."""
    expected = np.zeros(geometry.shape)
    e = TURNED.ellipses[0]
    k = np.arange(geometry.detectors)
    s = np.linspace(0, 1, 40001)[:, None]
    for i, t in enumerate(geometry.angles):
        side, ahead = np.array([np.cos(t), np.sin(t)]), np.array([-np.sin(t), np.cos(t)])
        v = (k - geometry.axis)[:, None] * geometry.spacing
        if isinstance(geometry, FanBeam):
            start = np.broadcast_to(-geometry.source_to_axis * ahead, (len(k), 2))
            end = geometry.axis_to_detector * ahead + v * side
            end = start + 2 * (end - start)  # past the detector: the test's object may lie behind it
        else:
            start, end = v * side - 80 * ahead, v * side + 80 * ahead
        for j in range(len(k)):
            x, y = (start[j] + s * (end[j] - start[j])).T
            p = (x - e.x) * np.cos(e.angle) + (y - e.y) * np.sin(e.angle)
            q = (y - e.y) * np.cos(e.angle) - (x - e.x) * np.sin(e.angle)
            inside = (p / e.a) ** 2 + (q / e.b) ** 2 <= 1
            expected[i, j] = e.value * inside.mean() * np.linalg.norm(end[j] - start[j])
    got = TURNED.line_integrals(geometry)
    assert got.max() > 8  # the rays do meet the ellipse (its short chord is 1.5 × 6 = 9)
    # steps of 200/40000 with two ends: 1.5 × 0.005 × 2 = 0.015
    assert np.abs(got - expected).max() < 0.015


def test_wide_bins_are_means_of_their_rays():
    fine = ParallelBeam(np.array([0.2, 1.2]), 60, 1.0)
    wide = ParallelBeam(fine.angles, 20, 3.0)
    mean = TURNED.line_integrals(fine).reshape(2, 20, 3).mean(-1)
    assert np.allclose(TURNED.line_integrals(wide, rays_per_bin=3), mean, rtol=0, atol=1e-12)
    assert np.abs(TURNED.line_integrals(wide) - mean).max() > 0.1  # one ray a bin is something else


def test_opposite_fan_rays_are_the_same_line():
    """(β, γ) and (β + π − 2γ, −γ) measure one line: what the short-scan weights rely on."""
    gamma = math.atan(5 * 1.2 / 100)
    here = FanBeam(np.array([0.4]), 11, 1.2, 60.0, 40.0)
    there = FanBeam(np.array([0.4 + math.pi - 2 * gamma]), 11, 1.2, 60.0, 40.0)
    a, b = TURNED.line_integrals(here)[0, 10], TURNED.line_integrals(there)[0, 0]
    assert a > 1
    assert a == pytest.approx(b, rel=1e-10)
    assert lines(here)[1][0, 10] == pytest.approx(-lines(there)[1][0, 0], rel=1e-12)


def test_shepp_logan_is_the_known_picture():
    ours, theirs = shepp_logan(200).image((400, 400)), shepp_logan_phantom()
    # scikit-image rounds its ellipses to another pixel here and there: compare where both are flat over 3×3 pixels
    flat = np.all([maximum_filter(f, 3) - minimum_filter(f, 3) < 1e-9 for f in (ours, theirs)], axis=0)
    assert flat.mean() > 0.85
    assert np.abs(ours - theirs)[flat].max() <= 0.5 / 255 + 1e-9  # theirs is stored in 8 bits
    assert ours.min() > -1e-12
    assert ours.max() == pytest.approx(1.0)


def test_sums_and_multiples():
    both = disc(3.0) + 2 * disc(1.0, x=1.0)
    expected = disc(3.0).image((9, 9)) + 2 * disc(1.0, x=1.0).image((9, 9))
    assert np.allclose(both.image((9, 9)), expected, atol=1e-14)


def test_random_ellipses_repeat_and_stay_inside():
    a, b = random_ellipses(3, radius=30), random_ellipses(3, radius=30)
    assert a.ellipses == b.ellipses
    assert a.ellipses != random_ellipses(4, radius=30).ellipses
    image = a.image((64, 64))
    assert len(a.ellipses) == 13
    assert image.min() >= 0
    assert image.max() <= 1 + 1e-12
    rows, columns = np.indices(image.shape)
    assert image[np.hypot(rows - 31.5, columns - 31.5) > 31].max() == 0


def test_like_gives_the_library_and_dtype(xp):
    one = xp.zeros((2,), dtype=xp.float32)
    image = disc(2.0).image((5, 6), like=one)
    assert image.dtype == xp.float32
    assert type(image) is type(one)
    assert disc(2.0).line_integrals(ParallelBeam(np.array([0.1]), 4), like=one).dtype == xp.float32


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: disc(0.0), r"ellipses\[0\].a must be greater than 0, got 0"),
        (lambda: disc(1.0, value=math.nan), r"ellipses\[0\].value must be finite"),
        (lambda: disc(1.0).image((4, 4, 4)), "shape must have 2 entries"),
        (lambda: disc(1.0).image((4, 4), pixel_size=0), "pixel_size must be greater than 0"),
        (lambda: disc(1.0).image((4, 4), supersampling=0), "supersampling must be at least 1"),
        (lambda: shepp_logan(-1), "radius must be greater than 0"),
    ],
)
def test_errors_name_the_argument(call, words):
    with pytest.raises(ValueError, match=words):
        call()
