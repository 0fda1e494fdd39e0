"""Geometries for other toolboxes: ASTRA projects with ours; CIL, ODL and TIGRE by their published formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv import phantom

ANGLES = np.array([0.1, 0.7, 1.9, 2.6, 4.4])
MOVING = np.array([9.0, 9.5, 10.2, 9.9, 8.8])
FAN = {"spacing": 1.3, "source_to_axis": 40.0, "axis_to_detector": 25.0}
BEAMS = {
    "parallel": vi.ParallelBeam(ANGLES, 21, 0.8),
    "parallel, axis": vi.ParallelBeam(ANGLES, 21, 0.8, 8.3),
    "parallel, axis a view": vi.ParallelBeam(ANGLES, 21, 0.8, MOVING),
    "fan": vi.FanBeam(ANGLES, 21, **FAN),
    "fan, axis": vi.FanBeam(ANGLES, 21, **FAN, axis=8.3),
    "fan, axis a view": vi.FanBeam(ANGLES, 21, **FAN, axis=MOVING),
}
CURVED = vi.FanBeam(ANGLES, 21, **FAN, axis=8.3, curved=True)
FIXED = [name for name in BEAMS if "view" not in name]


def lines(points: Any, others: Any) -> tuple[Any, Any]:
    """The lines through two points each as (normal direction modulo π as a double angle, signed distance)."""
    d = others - points
    d /= np.linalg.norm(d, axis=-1, keepdims=True)
    normal = np.stack([d[..., 1], -d[..., 0]], axis=-1)
    return normal, (normal * points).sum(-1)


def ours(g: Any) -> tuple[Any, Any]:
    theta, u = phantom.lines(g)
    theta = theta + 0 * u
    return np.stack([np.cos(theta), np.sin(theta)], axis=-1), u + 0 * theta


def assert_same_lines(found: tuple[Any, Any], g: Any) -> None:
    """Equal normals and distances, up to a common sign; ray by ray."""
    sign = np.sign((found[0] * ours(g)[0]).sum(-1))
    assert np.abs(found[0] * sign[..., None] - ours(g)[0]).max() < 1e-12
    assert np.abs(found[1] * sign - ours(g)[1]).max() < 1e-11  # rounding of lengths of 40


@pytest.mark.parametrize("g", BEAMS.values(), ids=BEAMS)
def test_astra_there_and_back(g: Any) -> None:
    again = type(g).from_astra(g.to_astra())
    assert again.shape == g.shape
    assert np.abs(np.exp(1j * again.angles) - np.exp(1j * g.angles)).max() < 1e-12
    for name in ("spacing", "axis", *(("source_to_axis", "axis_to_detector") if isinstance(g, vi.FanBeam) else ())):
        assert np.allclose(getattr(again, name), getattr(g, name), rtol=1e-12, atol=1e-12), name
    assert isinstance(again.axis, float) == isinstance(g.axis, float)


@pytest.mark.parametrize("g", BEAMS.values(), ids=BEAMS)
def test_astra_projects_the_same_rays(g: Any) -> None:
    """Through ASTRA alone, with what `to_astra` gives: as near to Radon as AstraRadon's own tests ask."""
    astra = pytest.importorskip("astra")
    x = phantom.disc(6.0, x=2.0, y=-1.0).image((24, 20)).astype(np.float32)
    fan = isinstance(g, vi.FanBeam)
    volume = astra.create_vol_geom(24, 20)
    projector = astra.create_projector("line_fanflat" if fan else "linear", g.to_astra(), volume)
    index, y = astra.create_sino(x, projector)
    astra.data2d.delete(index)
    astra.projector.delete(projector)
    expected = phantom.disc(6.0, x=2.0, y=-1.0).line_integrals(g)
    assert np.linalg.norm(y - expected) < 0.06 * np.linalg.norm(expected)  # 12 pixels wide; a bin off: 0.13
    if not fan:
        assert np.abs(y - vi.Radon((24, 20), g, 1.0)(x)).max() < 1e-4


def test_astras_own_vectors_are_understood() -> None:
    astra = pytest.importorskip("astra")
    given = astra.create_proj_geom("fanflat", 1.3, 21, ANGLES, 40.0, 25.0)
    g = vi.FanBeam.from_astra(astra.geom_postalignment(given, 2.25))
    assert g.axis == pytest.approx(10 - 2.25, abs=1e-9)
    assert repr(vi.FanBeam.from_astra(given)) == repr(BEAMS["fan"])
    half = vi.FanBeam.from_astra(vi.FanBeam(ANGLES, 21, 1.3, 40.0, 25.0).to_astra(unit=0.5))
    assert (half.spacing, half.source_to_axis) == (2.6, 80.0)


def test_beams_of_astra_that_are_none_of_ours() -> None:
    vectors = BEAMS["fan, axis"].to_astra()["Vectors"]

    def changed(columns: Any, by: float, rows: Any = slice(None)) -> dict[str, Any]:
        new = vectors.copy()
        new[rows, columns] += by
        return {"type": "fanflat_vec", "DetectorCount": 21, "Vectors": new}

    for given, words in (
        ({"type": "cone"}, "type must be parallel, fanflat .* got 'cone'"),
        (changed(0, 3.0), "the source stands beside"),
        (changed(slice(4, 6), 0.5, 0), "changes from view to view|stands beside"),
        ({"type": "fanflat_vec", "DetectorCount": 21, "Vectors": vectors * [1, 1, 1, 1, -1, -1]}, "other way round"),
        (BEAMS["parallel"].to_astra(), "parallel beam; use ParallelBeam.from_astra"),
    ):
        with pytest.raises(ValueError, match=words):
            vi.FanBeam.from_astra(given)
    with pytest.raises(ValueError, match=r"is a fan; use FanBeam\.from_astra"):
        vi.ParallelBeam.from_astra(BEAMS["fan"].to_astra())
    with pytest.raises(ValueError, match="the rays are not along"):
        vi.ParallelBeam.from_astra({"type": "parallel_vec", "DetectorCount": 3, "Vectors": np.ones((2, 6))})


@pytest.mark.parametrize("name", FIXED)
def test_cil(name: str) -> None:
    """CIL turns source and detector by minus its angle (its plugin hands −angles to ASTRA)."""
    g = BEAMS[name]
    d = g.to_cil()
    create, count, pitch = d["create"], d["panel"]["num_pixels"], d["panel"]["pixel_size"]
    bins = np.array(create["detector_position"]) + ((np.arange(count) - (count - 1) / 2) * pitch)[:, None] * np.array(
        create["detector_direction_x"]
    )
    if isinstance(g, vi.FanBeam):
        starts = np.broadcast_to(create["source_position"], bins.shape)
    else:
        starts = bins - np.array(create["ray_direction"])
    assert d["angles"]["angle_unit"] == "radian"
    turn = -d["angles"]["angles"]
    matrices = np.stack([np.stack([np.cos(turn), -np.sin(turn)], -1), np.stack([np.sin(turn), np.cos(turn)], -1)], -2)
    assert_same_lines(lines(starts @ np.swapaxes(matrices, 1, 2), bins @ np.swapaxes(matrices, 1, 2)), g)


@pytest.mark.parametrize("g", [*(BEAMS[n] for n in FIXED), CURVED], ids=[*FIXED, "curved"])
def test_odl(g: Any) -> None:
    """Source at −R e_y, detector at d e_y, turned by the angle; curved: d e_y + r (sin φ, cos φ − 1)."""
    d = g.to_odl()
    detector, fan = d["detector"], d.get("fan")
    cell = (detector["max_pt"] - detector["min_pt"]) / detector["shape"]
    place = detector["min_pt"] + (np.arange(detector["shape"]) + 0.5) * cell
    zero = np.zeros_like(place)
    if fan is None:
        bins, starts = np.stack([place, zero], -1), np.stack([place, zero - 1], -1)
    else:
        r, far = fan["det_curvature_radius"], fan["det_radius"]
        bins = np.stack([place, zero + far], -1)
        if r is not None:
            bins = np.stack([r * np.sin(place), far + r * (np.cos(place) - 1)], -1)
        starts = np.stack([zero, zero - fan["src_radius"]], -1)
    t = d["angles"]
    matrices = np.stack([np.stack([np.cos(t), -np.sin(t)], -1), np.stack([np.sin(t), np.cos(t)], -1)], -2)
    assert_same_lines(lines(starts @ np.swapaxes(matrices, 1, 2), bins @ np.swapaxes(matrices, 1, 2)), g)


@pytest.mark.parametrize("g", BEAMS.values(), ids=BEAMS)
def test_tigre(g: Any) -> None:
    """Source (DSO, 0), bins (DSO − DSD, (k − n/2 + ½) d + offset), turned by the angle."""
    d = g.to_tigre((30, 24), 0.5)
    count, pitch = d["nDetector"][1], d["dDetector"][1]
    offset = np.broadcast_to(np.atleast_2d(d["offDetector"]), (5, 2))[:, 1:]
    across = (np.arange(count)[None] - count / 2 + 0.5) * pitch + offset
    bins = np.stack([np.full_like(across, d["DSO"] - d["DSD"]), across], -1)
    starts = np.stack([np.full_like(across, d["DSO"]), across if d["mode"] == "parallel" else 0 * across], -1)
    a = d["angles"]
    matrices = np.stack([np.stack([np.cos(a), -np.sin(a)], -1), np.stack([np.sin(a), np.cos(a)], -1)], -2)
    assert_same_lines(lines(starts @ np.swapaxes(matrices, 1, 2), bins @ np.swapaxes(matrices, 1, 2)), g)
    assert d["sVoxel"] == (0.5, 15.0, 12.0)
    assert d["DSO"] > math.hypot(15, 12) / 2  # outside the image


def test_what_a_toolbox_cannot_do_is_refused_by_name() -> None:
    moving = BEAMS["fan, axis a view"]
    for call, words in (
        (CURVED.to_astra, "ASTRA has no curved detector"),
        (CURVED.to_cil, "CIL has no curved detector"),
        (lambda: CURVED.to_tigre((4, 4)), "TIGRE has no curved detector"),
        (moving.to_cil, "CIL: an axis that moves"),
        (moving.to_odl, "ODL: an axis that moves"),
        (vi.ParallelBeam(ANGLES[::-1], 5).to_odl, "ODL's angles must rise"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
