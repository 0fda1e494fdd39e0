"""`scan.check()`: the table, the command, refusals, and tests that cannot be computed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from typer.testing import CliRunner

import varinv as vi
from varinv import phantom
from varinv.cli import app
from varinv.scan import demo, read
from varinv.scan.checks import Check, Checks, doubts, run
from varinv.scan.checks.parabola import vertex

VERDICTS = ("ok", "doubt", "wrong", "not decidable")


@pytest.fixture(scope="module")
def scan():
    return read(demo.path())


@pytest.fixture
def wrong(tmp_path):
    """The embedded scan with its axis ten columns off."""
    return read(demo.path(), axis=demo.AXIS + 10)


def test_a_right_scan_has_a_table_without_doubts(scan):
    table = scan.check()
    assert isinstance(table, Checks)
    assert table.row == demo.ROWS // 2
    assert all(isinstance(c, Check) and c.verdict in VERDICTS for c in table)
    assert table.rows == table.table
    assert len({c.name for c in table}) == len(table) >= 20
    assert table.doubtful == ()
    assert doubts(scan) == []


def test_printed_it_is_aligned(scan):
    head, *lines = str(scan.check(0)).splitlines()
    lines = [line for line in lines if not line.startswith("- ")]
    place = head.index("verdict")
    assert all(line[place:] in VERDICTS for line in lines)
    assert head.startswith("row 0")


def test_exact_symmetries_are_named_with_their_consequence(scan):
    said = {c.name: c.remedy for c in scan.check() if c.verdict == "not decidable"}
    assert "mirrored" in said["sense of rotation"]
    assert "scales the image" in said["unit of length"]


def test_the_centre_of_mass_gives_the_axis(wrong):
    """Ludwig's condition of order one: within a tenth of a column here."""
    found = next(c for c in wrong.check() if c.name == "axis by centre of mass")
    assert found.verdict == "doubt"
    assert found.figure == pytest.approx(10, abs=0.1)
    assert "wrong axis" in found.remedy
    assert f"column {demo.AXIS:.2f}" in found.remedy


def test_doubts_are_sentences_and_cheap(wrong):
    doubts(wrong)  # compiles
    start = time.process_time()
    said = doubts(wrong)
    assert time.process_time() - start < 2.0  # 0.1 s on the machine it was written on
    assert any("wrong axis" in text and "limit" in text for text in said)


def test_a_scan_that_cannot_be_corrected_is_one_line(tmp_path):
    np.save(tmp_path / "counts.npy", np.full((40, 64), 100, np.uint16))
    scan = read(tmp_path / "counts.npy", angles=np.arange(40) * np.pi / 40)
    (only,) = scan.check()
    assert only.verdict == "wrong"
    assert "flats" in only.remedy
    assert len(doubts(scan)) == 1


def test_a_test_that_fails_is_a_line_and_not_an_error(scan, monkeypatch):
    def broken(s):
        raise ZeroDivisionError("planted")
        yield

    monkeypatch.setattr(run, "TESTS", (broken, *run.TESTS))
    table = scan.check()
    assert len(table) > 20
    assert [str(c) for c in table.doubtful] == ["broken: could not be computed (ZeroDivisionError: planted)"]


def test_doubts_never_raises():
    assert "could not be computed" in doubts(object())[0]


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 64), (64, 1), (30, 8), (7, 200)])
@pytest.mark.parametrize("with_angles", [True, False])
def test_small_and_empty_scans(shape, with_angles, tmp_path):
    """No test fails on them, and nothing is claimed of zeros."""
    np.save(tmp_path / "x.npy", np.zeros(shape))
    scan = read(tmp_path / "x.npy", angles=np.arange(shape[0]) * np.pi / shape[0] if with_angles else None)
    assert [str(c) for c in scan.check() if "could not" in c.remedy] == []


def test_without_angles_what_needs_none_is_tested(tmp_path):
    g = vi.ParallelBeam(np.arange(90) * np.pi / 90, 128)
    lines = phantom.random_ellipses(5, 50.0).line_integrals(g)
    lines += 0.01 * lines.max() * np.random.default_rng(0).standard_normal(lines.shape)
    np.save(tmp_path / "x.npy", lines)
    table = read(tmp_path / "x.npy").check()
    assert {c.verdict for c in table} == {"ok", "not decidable"}
    shuffled = lines[np.random.default_rng(1).permutation(90)]
    np.save(tmp_path / "y.npy", shuffled)
    assert any("shuffled" in c.remedy for c in read(tmp_path / "y.npy").check().doubtful)


def test_the_vertex_of_three_misfits():
    """Views whose misfit is 1 + (place − 0.4)², give or take a hundredth: the vertex within three errors."""
    draw = np.random.default_rng(0)
    left, here, right = (1 + (p - 0.4) ** 2 + 0.01 * draw.standard_normal(60) for p in (-1, 0, 1))
    place, error = vertex(left, here, right)
    assert 0 < error < 0.02
    assert abs(place - 0.4) <= 3 * error
    assert vertex(here, here, here) is None


def test_the_command(tmp_path):
    done = CliRunner().invoke(app, ["check", str(demo.path())])
    assert done.exit_code == 0, done.output
    assert "mass of the views" in done.output
    done = CliRunner().invoke(app, ["check", str(demo.path()), "--axis", "140", "--row", "0"])
    assert done.exit_code == 1, done.output
    assert "wrong axis" in done.output
    done = CliRunner().invoke(app, ["check", str(tmp_path / "nothing.h5")])
    assert done.exit_code == 2
    done = CliRunner().invoke(app, ["check", str(demo.path()), "--row", "9"])
    assert done.exit_code == 2
