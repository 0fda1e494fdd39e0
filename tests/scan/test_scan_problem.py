"""From a scan to an operator and a problem: fields, pixels, weights, and the documentation's snippets on real scans."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv import phantom
from varinv.operators.grid import Grid
from varinv.scan import ScanWarning, demo, read

DOCS = Path(__file__).resolve().parents[2] / "docs"


def arrays(folder: Path, geometry: Any, lines: Any, **more: Any) -> Any:
    path = folder / "lines.npz"
    np.savez(path, data=lines.astype(np.float32), angles=geometry.angles, axis=geometry.axis, **more)
    return read(path)


@pytest.fixture(scope="module")
def tooth(data: Path) -> Any:
    return vi.read(data / "ct_tooth_parallel_h5" / "tooth.h5")


def test_the_field_is_what_the_detector_sees() -> None:
    half, turn = np.arange(60) * np.pi / 60, np.arange(60) * np.pi / 30
    for g, size, pixel, expected in (
        (vi.ParallelBeam(half, 50, 2.0), None, None, (50, 2.0)),
        (vi.ParallelBeam(half, 50, 2.0), 100, None, (100, 1.0)),
        (vi.ParallelBeam(half, 50, 2.0), None, 0.5, (200, 0.5)),
        (vi.ParallelBeam(half, 50, 2.0), 10, 0.5, (10, 0.5)),
        (vi.ParallelBeam(half, 50, 1.0, axis=10.0), None, None, (50, 1.0)),  # half a turn: one side is not measured
        (vi.ParallelBeam(turn, 50, 1.0, axis=10.0), None, None, (79, 1.0)),
        (vi.ParallelBeam(turn, 50, 1.0, axis=10 + np.sin(turn)), None, None, (79, 1.0)),
        (vi.FanBeam(turn, 50, 1.5, 100.0, 50.0), None, None, (50, 1.0)),
    ):
        grid = Grid.covering(g, pixel, size=size)
        assert (grid.shape[0], grid.pixel_size) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_grey_values_do_not_depend_on_bins(tmp_path: Path, k: int) -> None:
    g = vi.ParallelBeam(np.arange(90) * np.pi / 90, 120)
    scan = arrays(tmp_path, g, phantom.disc(35.0, 0.02, x=8.0).line_integrals(g)).bin(k)
    A = scan.operator()
    assert A.domain == (120 // k, 120 // k)
    assert A.pixel_size == k
    n = A.domain[0]
    i, j = np.indices((n, n)) * k - (n - 1) / 2 * k
    inside = np.hypot(i, j - 8.0) < 30
    for image in (vi.fbp(A, scan.sinogram()), vi.solve(scan.problem(), stop=vi.iterations(200)).x):
        assert image[inside].mean() == pytest.approx(0.02, rel=0.02)
        assert abs(image[np.hypot(i, j - 8.0) > 40].mean()) < 2e-4


def test_the_problem_leaves_repaired_measurements_out(tmp_path: Path) -> None:
    g = vi.ParallelBeam(np.arange(90) * np.pi / 90, 120)
    lines = phantom.disc(35.0, 0.02, x=8.0).line_integrals(g)
    lines[7, 33] = lines[50, 60:62] = np.nan
    scan = arrays(tmp_path, g, lines)
    problem = scan.problem(lam=0.3)
    data, tv, positive = problem.terms
    assert (np.asarray(data.f.weight) == 0).sum() == 3
    assert repr(tv) == repr(0.3 * vi.TV((120, 120)))
    assert repr(positive) == repr(vi.NonNegative())
    assert len(scan.problem(prior="none").terms) == 2
    assert scan.problem(counts=True).terms[0].f.weight.shape == g.shape


def test_the_rule_for_lambda_does_not_depend_on_units(tmp_path: Path) -> None:
    """Line integrals three times as large and lengths five times: the same image but for its unit."""
    g = vi.ParallelBeam(np.arange(60) * np.pi / 60, 80)
    lines = phantom.random_ellipses(4, 30.0).line_integrals(g)
    images = []
    for scale, unit in ((1.0, 1.0), (3.0, 5.0)):
        scan = arrays(tmp_path, g, scale * lines, pixel_size=unit)
        images.append(vi.solve(scan.problem(weight=2.0), vi.ChambollePock(), stop=vi.iterations(150)).x * unit / scale)
    assert np.linalg.norm(images[1] - images[0]) <= 1e-4 * np.linalg.norm(images[0])  # float32, 150 steps


def test_a_grid_smaller_than_the_object_is_warned_of(tmp_path: Path) -> None:
    g = vi.ParallelBeam(np.arange(90) * np.pi / 90, 120)
    scan = arrays(tmp_path, g, phantom.disc(35.0, 0.02, x=8.0).line_integrals(g))
    with pytest.warns(
        ScanWarning, match=r"\d+% of the data of row 0 lie on rays that miss the image of \(60, 60\) pixels"
    ):
        scan.problem(size=60, pixel_size=1.0)
    scan.problem(size=90, pixel_size=1.0)  # the object ends inside: a warning would fail this test
    scan.problem(size=40)


def test_wrong_values(tmp_path: Path) -> None:
    g = vi.ParallelBeam(np.arange(30) * np.pi / 30, 60)
    scan = arrays(tmp_path, g, phantom.disc(15.0).line_integrals(g))
    for call, words in (
        (lambda: scan.problem(prior="tgv2"), "prior must be one of tv, none, got 'tgv2'"),
        (lambda: scan.problem(lam=-1), "lam must be at least 0, got -1"),
        (lambda: scan.operator(size=0), "operator: size must be at least 1"),
        (lambda: scan.operator(pixel_size=0), "operator: pixel_size must be greater than 0"),
        (lambda: scan.using(axis=[1.0, 2.0]), r"one column, or one for each of 30 views, got \(2,\)"),
        (lambda: read(scan.raw.path, axis=np.full(30, 900.0)), "axis=900 lies more than a detector width"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


CHOICES = {
    "views": lambda s: s.views(slice(3, None, 2)),
    "bin": lambda s: s.bin(3),
    "crop bin flip": lambda s: s.crop(6, 114).bin(2).flip(),
    "views, bin, set again": lambda s: (t := s.views(slice(3, 43)).bin(2)).using(axis=t.axis),
    "flip, set again": lambda s: (t := s.flip().crop(4, 100)).using(axis=t.axis),
}


@pytest.mark.parametrize("name", CHOICES)
def test_an_axis_a_view_follows_every_choice(tmp_path: Path, name: str) -> None:
    """A blob stays where the geometry puts it, in every view, as in test_scan_geometry."""
    angles = np.arange(60) * np.pi / 60
    axis = 58 + np.linspace(-4, 4, 60) + np.random.default_rng(0).uniform(-1, 1, 60)
    g = vi.ParallelBeam(angles, 120, axis=axis)
    lines = phantom.disc(3.0, 0.02, x=9.0, y=-6.0).line_integrals(g, rays_per_bin=9)
    scan = CHOICES[name](arrays(tmp_path, g, lines))
    assert np.allclose(read(tmp_path / "lines.npz", axis=axis).axis, axis)
    g, p = scan.geometry, scan.sinogram().astype(float)
    where = (p * np.arange(g.detectors)).sum(1) / p.sum(1)
    u = (9 * np.cos(g.angles) - 6 * np.sin(g.angles)) / g.spacing
    says = g.axes - u if "flip" in name else g.axes + u
    assert np.abs(where - says).max() * g.spacing < 0.1  # three columns a bin: measured 0.07; jitter 1, drift 8
    assert "view by view" in str(scan)


def test_the_tooth_after_bins_is_a_tooth(tooth: Any) -> None:
    """Enamel, the brightest 1 % of the tooth, is about 0.0088 per column (README); pixels of 1 made this image black.

    Four columns to a pixel average it with its neighbours: measured 0.00886 unbinned, 0.0080 here.
    """
    scan = tooth.bin(4)
    for A in (vi.Radon((148, 148), scan.geometry), scan.operator()):
        x = vi.fbp(A, scan.sinogram(0), "hann")
        assert np.percentile(x[x > 0.004], 99) == pytest.approx(0.0088, rel=0.12)
        assert abs(np.median(x)) < 2e-4  # most of it is air
    result = vi.solve(scan.views(slice(0, None, 3)).problem(), stop=vi.gap(1e-3) | vi.iterations(400))
    assert np.percentile(result.x[result.x > 0.004], 99) == pytest.approx(0.0088, rel=0.12)
    assert result.misfit[0] < 0.05
    assert "look at" not in result.summary()


def test_right_scans_raise_no_warning(data: Path) -> None:
    """Their operators cover them: no data beside the grid, a misfit of a few per cent (pytest fails on warnings)."""
    htc = vi.read(data / "ct_htc2022_fan_ta" / "htc2022_ta_sparse_example.mat").bin(4)
    embedded = vi.read(demo.path()).views(slice(None, None, 6)).bin(2)
    for scan in (htc, embedded):
        result = vi.solve(scan.problem(), stop=vi.gap(1e-2) | vi.iterations(200))
        assert result.misfit[0] < 0.05
        assert "look at" not in result.summary()


def test_the_snippet_of_the_documentation(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    script = re.search(r"```python\n(.*?)```", (DOCS / "scans.md").read_text(), re.S)[1]  # type: ignore[index]
    monkeypatch.chdir(data / "ct_tooth_parallel_h5")
    names: dict[str, Any] = {}
    exec(compile(script, "scans.md", "exec"), names)
    for image in (names["image"], names["result"].x):
        assert np.percentile(image[image > 0.004], 99) == pytest.approx(0.0088, rel=0.12)
    assert "tooth.h5" in capsys.readouterr().out
