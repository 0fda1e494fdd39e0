"""Projections of volumes: against exact integrals, the two-dimensional projector, and themselves on another path."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest

import varinv as vi
from varinv.operators import volume_columns_cpu as columns
from varinv.operators.volume_radon_cpu import split
from varinv.phantom import ellipsoids

N, VIEWS = 64, 32
TURN = np.arange(VIEWS) * 2 * np.pi / VIEWS
PARTS = (
    (1.0, 25.0, 20.0, 23.0, 0.0, 0.0, 0.0, 0.3),
    (-0.6, 7.0, 10.0, 8.0, 6.0, -2.0, 3.0, 0.8),
    (0.5, 6.0, 6.0, 5.0, -10.0, 4.0, -6.0, 0.0),
    (0.4, 6.0, 5.0, 7.0, 2.0, 9.0, 8.0, 1.2),
    (0.5, 5.0, 5.0, 5.0, -3.0, -10.0, 0.0, 0.0),
)
CIRCLE = vi.ConeBeam(TURN, (80, 96), 1.5, 200.0, 100.0)
FLAT = vi.Laminography(TURN, (80, 96))


def rolled(views, angle):
    """The detector turned in its own plane."""
    c, s = math.cos(angle), math.sin(angle)
    return dataclasses.replace(views, u=c * views.u + s * views.v, v=c * views.v - s * views.u)


def radon(shape, geometry, pixel_size=1.0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", vi.UncoveredWarning)
        return vi.Radon(shape, geometry, pixel_size)


SCANS = {  # and the error that the phantom's voxels and linear interpolation make, a little above what was measured
    "circular": (CIRCLE, 0.0195),
    "half-fan": (dataclasses.replace(CIRCLE, axis=20.0), 0.0195),
    "curved": (dataclasses.replace(CIRCLE, curved=True), 0.0195),
    "helical": (dataclasses.replace(CIRCLE, rise=20.0), 0.021),
    "turned": (rolled(CIRCLE.views(), math.radians(3)), 0.021),
    "tilted": (CIRCLE.views().turned("x", math.radians(20)), 0.021),
    "parallel": (FLAT, 0.0165),
    "parallel, tilt 30°": (dataclasses.replace(FLAT, tilt=math.radians(30)), 0.0195),
    "steep": (CIRCLE.views().turned("x", math.radians(80)), 0.0225),
}


@pytest.fixture(scope="module")
def volume():
    return ellipsoids(PARTS).volume((N, N, N)).astype(np.float32)


@pytest.mark.parametrize("name", SCANS)
def test_exact_integrals(name, volume):
    geometry, limit = SCANS[name]
    exact = ellipsoids(PARTS).line_integrals(geometry)
    error = np.linalg.norm(radon(volume.shape, geometry)(volume) - exact) / np.linalg.norm(exact)
    print(f"\n{name}: {error:.4f} (limit {limit})", end="")
    assert error <= limit


def test_second_order_for_smooth_objects():
    """Gaussians, whose integral along a line at distance r is σ√(2π) exp(−r²/2σ²)."""
    errors = []
    views = CIRCLE[:8].views()
    p, d = views.rays()
    d = d / np.linalg.norm(d, axis=-1, keepdims=True)
    r2 = np.sum(p * p, axis=-1) - np.sum(p * d, axis=-1) ** 2
    i = (np.arange(N) - (N - 1) / 2) ** 2
    for sigma in (2.0, 4.0):
        x = np.exp(-(i[:, None, None] + i[None, :, None] + i) / (2 * sigma**2))
        exact = sigma * math.sqrt(2 * math.pi) * np.exp(-r2 / (2 * sigma**2))
        errors.append(np.linalg.norm(radon((N, N, N), CIRCLE[:8])(x) - exact) / np.linalg.norm(exact))
    assert errors[1] <= 5e-3
    assert errors[0] >= 3.4 * errors[1]  # four times in the limit


def test_middle_row_is_the_fan():
    x = np.random.default_rng(0).random((33, 40, 37), np.float32)
    for curved in (False, True):
        angles = TURN[:16]
        cone = vi.ConeBeam(angles, (5, 61), 1.5, 120.0, 60.0, axis=28.3, curved=curved)
        fan = vi.FanBeam(angles, 61, 1.5, 120.0, 60.0, axis=28.3, curved=curved)
        got, expected = radon(x.shape, cone)(x)[:, 2], vi.Radon(x.shape[1:], fan, 1.0)(x[16])
        assert np.abs(got - expected).max() <= 1e-6 * expected.max()  # float32
        one = vi.Radon((1, *x.shape[1:]), fan.views(), 1.0)(x[16:17])[:, 0]
        assert np.abs(one - expected).max() <= 1e-6 * expected.max()


def test_no_tilt_is_a_stack():
    x = np.random.default_rng(0).random((12, 20, 17), np.float32)
    got = vi.Radon(x.shape, vi.Laminography(TURN, (12, 30), axis=13.2), 1.0)(x)
    expected = vi.Radon(x.shape, vi.ParallelBeam(TURN, 30, axis=13.2), 1.0)(x)
    assert np.abs(got.transpose(1, 0, 2) - expected).max() <= 1e-6 * expected.max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_paths_agree(dtype):
    """Rays one by one, columns in lanes and columns one by one are one operator."""
    from varinv.operators.volume_rays_cpu import adjoint_rays, project_rays

    rng = np.random.default_rng(0)
    for pitch in (0.5, 0.9, 1.5, 1.9, 3.0):  # rows nearer and farther apart than voxels: all branches of the lanes
        geometry = vi.ConeBeam(TURN[:7], (37, 29), (pitch, 1.5), 90.0, 45.0, rise=9.0)
        rays = radon((23, 26, 30), geometry, (4.0, 1.0, 1.0) if pitch == 3.0 else 1.0).rays
        found, upright, others = split(rays)
        assert others.size == 0
        x, y = rng.random(rays.shape).astype(dtype), rng.random(rays.views.projections).astype(dtype)
        projections = [np.zeros(rays.views.projections, dtype) for _ in range(3)]
        columns.project_upright(x, rays, found, upright, projections[0])
        columns.project_upright(x, rays, found, upright, projections[1], lanes=False)
        project_rays(x, rays, upright, projections[2])
        volumes = [np.zeros(rays.shape, dtype) for _ in range(3)]
        columns.adjoint_upright(y, rays, found, upright, volumes[0])
        columns.adjoint_upright(y, rays, found, upright, volumes[1], lanes=False)
        adjoint_rays(y, rays, upright, volumes[2])
        limit = 1e-6 if dtype == np.float32 else 1e-12
        for a, b in ((projections[0], projections[1:]), (volumes[0], volumes[1:])):
            for other in b:
                assert np.linalg.norm(a - other) <= limit * np.linalg.norm(other)


def centre(projection):
    """(row, column) of the middle of what is seen."""
    weight = projection / projection.sum()
    rows, columns_ = np.indices(projection.shape)
    return np.array([(weight * rows).sum(), (weight * columns_).sum()])


BALL = (4.0, -6.0, 5.0)


def test_each_parameter_moves_a_ball():
    """Where the middle of a small blob falls, by the geometry of a pinhole, for both signs of every parameter."""
    s, i, j = np.indices((48, 48, 48))
    x, y, z = j - 23.5 - BALL[0], 23.5 - i - BALL[1], 23.5 - s - BALL[2]
    blob = np.exp(-(x * x + y * y + z * z) / (2 * 1.2**2))
    place, R, D, du, dv = np.array(BALL), 400.0, 600.0, 1.5, 1.3
    base = {"axis": 39.5, "row": 34.5, "rise": 0.0}
    for sign in (-1, 1):
        for change in (
            {},
            {"axis": 39.5 + sign * 6.3},
            {"row": 34.5 + sign * 4.7},
            {"rise": sign * np.array([3.0, 7.0])},
        ):
            given = base | change
            for curved in (False, True):
                angles = np.array([0.3, 2.1])
                g = vi.ConeBeam(
                    angles, (70, 80), (dv, du), R, D - R, given["axis"], given["row"], given["rise"], curved
                )
                got = radon(blob.shape, g)(blob)
                for q, t in enumerate(angles):
                    height = given["rise"] if np.ndim(given["rise"]) == 0 else given["rise"][q]
                    side = place[0] * math.cos(t) + place[1] * math.sin(t)
                    depth = R + place[1] * math.cos(t) - place[0] * math.sin(t)
                    u = D * math.atan(side / depth) if curved else D * side / depth
                    far = D / math.hypot(depth, side) if curved else D / depth
                    v = (place[2] - height) * far
                    expected = given["row"] - v / dv, given["axis"] + u / du
                    assert np.abs(centre(got[q]) - expected).max() <= 0.02
        tilted = vi.Laminography([0.3, 2.1], (70, 80), tilt=sign * 0.4, axis=37.0, row=33.0)
        got = radon(blob.shape, tilted)(blob)
        for q, t in enumerate((0.3, 2.1)):
            side = place[0] * math.cos(t) + place[1] * math.sin(t)
            ahead = place[1] * math.cos(t) - place[0] * math.sin(t)
            v = -(place[2] * math.cos(sign * 0.4) + ahead * math.sin(sign * 0.4))
            assert np.abs(centre(got[q]) - (33.0 + v, 37.0 + side)).max() <= 0.02
        views = vi.ConeBeam([0.3], (70, 80), (du, du), R, D - R).views()
        straight = centre(radon(blob.shape, views)(blob)[0]) - (34.5, 39.5)
        turned = centre(radon(blob.shape, rolled(views, sign * 0.2))(blob)[0]) - (34.5, 39.5)
        c, s_ = math.cos(sign * 0.2), math.sin(sign * 0.2)
        assert np.abs(turned - (c * straight[0] - s_ * straight[1], s_ * straight[0] + c * straight[1])).max() <= 0.02


def test_bits_do_not_depend_on_threads():
    import numba

    most = numba.get_num_threads()
    if most == 1:
        pytest.skip("one thread is available: NUMBA_NUM_THREADS=3 compares three")
    rng = np.random.default_rng(0)
    x = rng.random((20, 30, 28), np.float32)
    for geometry in (CIRCLE[:9], CIRCLE[:9].views().turned("x", 0.3)):
        A = radon(x.shape, geometry)
        y = rng.random(A.codomain, np.float32)
        found = set()
        try:
            for threads in (1, min(2, most), most, most):
                numba.set_num_threads(threads)
                found.add(A(x).tobytes() + A.T(y).tobytes())
        finally:
            numba.set_num_threads(most)
        assert len(found) == 1


def test_views_taken_apart():
    A = radon((12, 14, 13), CIRCLE[:6])
    x = np.random.default_rng(0).random(A.domain)
    assert A.views() == -3
    np.testing.assert_array_equal(A.subset([4, 1])(x), A(x)[[4, 1]])
    assert A.subset([4, 1]).norm() <= A.norm() * 1.06


def test_wide_pixels_leave_no_voxel_unread():
    A = radon((16, 16, 16), vi.ConeBeam(TURN[:3], (8, 8), 6.2, 100.0, 50.0))
    assert A.rays.parts == (5, 5)  # 6.2 / 1.5 voxels
    assert (A.T(np.ones(A.codomain)) > 0).all()


def test_covering_and_the_warning():
    """The measured case of a truncated object: 36 slices of half height."""
    geometry = vi.ConeBeam(np.arange(60) * np.pi / 30, (60, 80), 1.5, 130.0, 65.0)
    grid = vi.Grid.covering(geometry, 1.0, radius=26.0)
    assert (grid.shape, grid.pixel_size) == ((72, 52, 52), 1.0)
    with pytest.warns(vi.UncoveredWarning, match="the detector sees 72 slices, the volume has 40"):
        short = vi.Radon((40, 52, 52), geometry, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        A = vi.Radon(grid.shape, geometry, grid.pixel_size)
        short.subset([0, 3])
    cylinder = ellipsoids([(1.0, 20.0, 20.0, 1e4), (0.5, 6.0, 6.0, 1e4, 8.0)])
    y = cylinder.line_integrals(geometry).astype(np.float32)
    truth = cylinder.volume((1, 52, 52))[0]
    errors = []
    for operator, skip in ((A, 16), (short, 0)):
        x = vi.solve(vi.L2Squared(y) @ operator + vi.NonNegative(), vi.SIRT(), stop=vi.iterations(40)).x
        errors.append(np.linalg.norm(x[skip] - truth) / np.linalg.norm(truth))
    print(f"\nslice 0 of 40: {errors[0]:.3f} within 72, {errors[1]:.3f} alone", end="")
    assert errors[0] <= 0.12
    assert errors[1] > 10 * errors[0]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CIRCLE.views().rotated(2 * np.eye(3)), "orthogonal 3 × 3"),
        (lambda: vi.Views([[0.0, 0, 0]], [[1.0, 0, 0]], [[2.0, 0, 0]], (2, 2), [[0, -9.0, 0]]), "parallel.* view 0"),
        (lambda: vi.Views([[0.0, 0, np.nan]], [[1.0, 0, 0]], [[0, 0, 1.0]], (2, 2), [[0, -9.0, 0]]), "NaN.*view 0"),
        (lambda: vi.Views([[0.0, 0, 0]], [[1.0, 0, 0]], [[0, 0, 1.0]], (2, 2)), "exactly one of source and direction"),
        (lambda: vi.ConeBeam([0.0, 90.0, 180.0], (2, 2), 1.0, 9.0, 1.0), "degrees"),
        (lambda: vi.ConeBeam([0.0, 1.0], (2, 2), 1.0, 9.0, 1.0, rise=[1.0]), "one height for each of 2 angles, got 1"),
        (lambda: vi.Laminography([0.0, 1.0], (2, 2), tilt=30.0), "quarter of a turn"),
        (lambda: radon((9, 9), CIRCLE), r"needs a volume of shape \(slices, rows, columns\), got \(9, 9\)"),
        (lambda: vi.fbp(radon((9, 9, 9), CIRCLE), np.zeros((32, 80, 96))), "scan of volumes.*SIRT"),
        (lambda: radon((9, 500, 9), CIRCLE), "the source is inside the volume .* view 0"),
    ],
)  # fmt: skip
def test_refusals(make, text):
    with pytest.raises((TypeError, ValueError), match=text):
        make()


def test_geometries_as_vectors_and_matrices():
    """ASTRA's vectors and camera matrices lead back to the same rays; subsets, joins and turns fit."""
    for geometry in (dataclasses.replace(CIRCLE, axis=41.0, row=30.0, rise=5.0), dataclasses.replace(FLAT, tilt=0.3)):
        views = geometry[:4].views()
        again = vi.Views.from_astra(views.to_astra())
        np.testing.assert_array_equal(again.to_astra()["Vectors"], views.to_astra()["Vectors"])
        back = vi.Views.from_matrices(views.to_matrices(), views.shape, float(np.linalg.norm(views.u[0])))
        for a, b in zip(views.rays(), back.rays(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
        P, pixel = views.to_matrices()[2], views.pixels()[2, 7, 11]
        w = P @ [*pixel, 1.0]
        np.testing.assert_allclose(w[:2] / w[2], (11, 7), atol=1e-9)
        both = views[:2].concat(views[[2, 3]])
        np.testing.assert_array_equal(both.detector, views.detector)
        np.testing.assert_allclose(
            views.turned("z", 0.2).detector, dataclasses.replace(geometry, angles=TURN + 0.2)[:4].views().detector,
            atol=1e-9,
        ) if geometry.__class__ is vi.Laminography else None  # fmt: skip
        x = np.random.default_rng(0).random((9, 9, 9))
        moved = radon(x.shape, views.shifted((0.0, 0.0, 1.0)))(np.pad(x[1:], ((0, 1), (0, 0), (0, 0))))
        inner = np.pad(x[1:], ((1, 0), (0, 0), (0, 0)))
        np.testing.assert_allclose(moved, radon(x.shape, views)(inner), atol=1e-9)
