"""`solve` and what it returns: a reason for every stop, rules, broken runs, files."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from conftest import rand

import varinv as vi
from varinv import image_files
from varinv.image_files import save_image
from varinv.solvers.rules import Rule

SHAPE = (6, 5)
Y = rand(np, SHAPE, 1)
PROBLEM = vi.L2Squared(Y) @ vi.Identity(SHAPE) + 0.1 * vi.TV(SHAPE) + vi.NonNegative()


class Faulty(vi.LinearOperator):
    """The identity until its n-th adjoint; then NaN, or Ctrl-C."""

    domain = codomain = SHAPE

    def __init__(self, n: int, fault: Any = math.nan) -> None:
        self.n, self.fault, self.count = n, fault, 0

    def forward(self, x: Any) -> Any:
        return x

    def adjoint(self, y: Any) -> Any:
        self.count += 1
        if self.count == self.n and isinstance(self.fault, BaseException):
            raise self.fault
        return y * self.fault if self.count == self.n else y

    def norm(self) -> float:
        return 1.0


vi.LinearOperator.kinds.remove(Faulty)  # it is of this file only


def test_every_stop_has_its_reason() -> None:
    for rule, words in (
        (vi.iterations(7), "7 iterations"),
        (vi.iterations(0), "0 iterations"),
        (vi.gap(1e-2), r"relative gap [\d.e-]+ ≤ 0.01"),
        (vi.residual(1e-2), r"residual [\d.e-]+ ≤ 0.01"),
        (vi.small_change(1e-2), r"relative change [\d.e-]+ ≤ 0.01"),
        (vi.seconds(0.0), "0 seconds"),
        (vi.gap(1e-9) | vi.iterations(5), "5 iterations"),
        (vi.iterations(5) & vi.iterations(9), "5 iterations and 9 iterations"),
        (vi.gap(1e-2) & vi.residual(1e-2), r"relative gap [\d.e-]+ ≤ 0.01 and residual [\d.e-]+ ≤ 0.01"),
        ((vi.residual(1e-3) & vi.gap(1e-3)) | vi.iterations(4000), r"residual .* and relative gap .*"),
        (lambda problem, previous, state: "my reason" if state.k == 3 else None, "my reason"),
        (vi.iterations(2) & (lambda p, previous, state: "mine" if state.k >= 4 else None), "2 iterations and mine"),
        (None, r"relative gap [\d.e-]+ ≤ 0.0001"),
    ):
        result = vi.solve(PROBLEM, stop=rule)
        assert re.fullmatch(words, result.why), (rule, result.why)
        assert result.why in result.summary()
        assert f"iterations  {result.state.k} in" in result.summary()
        assert f"{result.state.k} iterations: {result.why}" in repr(result)


def test_a_rule_is_fresh_in_every_solve() -> None:
    for rule in (
        vi.gap(1e-3),
        vi.residual(1e-3) | vi.iterations(5000),
        vi.small_change(1e-4),
        vi.seconds(30) | vi.gap(1e-3),
    ):
        before = repr(rule)
        first, second = vi.solve(PROBLEM, stop=rule), vi.solve(PROBLEM, stop=rule)
        assert repr(rule) == before  # what it remembers belongs to one run
        assert first.state.k == second.state.k > 0
        assert first.x.tobytes() == second.x.tobytes()
        assert first.why == second.why
    assert vi.gap(1e-3).best == -math.inf
    assert isinstance(vi.gap(1.0) | vi.iterations(2), Rule)


def test_rules_are_evaluated_where_they_say() -> None:
    result = vi.solve(PROBLEM, stop=vi.gap(1e-15, every=7) | vi.iterations(900))
    ks = [row["k"] for row in result.history]
    assert ks[:4] == [0, 7, 14, 21]
    assert all(k % 7 == 0 for k in ks[:-1])
    assert ks[-1] == result.state.k  # the last iterate always has its row
    assert max(np.diff(ks)) <= 90  # k/10
    assert len(ks) >= 20
    history = vi.solve(PROBLEM, stop=vi.gap(1e-6) | vi.iterations(3000)).history
    bounds = [row["lower_bound"] for row in history]
    assert bounds == sorted(bounds)
    rule, state = vi.gap(1e-9, every=1), vi.solve(PROBLEM, stop=vi.gap(1e-3)).state
    rule(PROBLEM, None, state)
    good = rule.readings["lower_bound"]
    rule(PROBLEM, state, state._replace(y=tuple(0 * y for y in state.y), k=2 * state.k))
    assert rule.readings["lower_bound"] == good > 0  # the best seen: zero duals prove only 0
    assert [row["seconds"] for row in history] == sorted(row["seconds"] for row in history)


def test_a_missing_certificate() -> None:
    free = vi.L2Squared(Y) @ vi.Identity(SHAPE) + 0.1 * vi.TV(SHAPE)
    with pytest.raises(ValueError, match="no certificate: nothing bounds the solution"):
        vi.solve(free, stop=vi.gap(1e-3))
    assert vi.solve(free).why.startswith("residual")
    # a non-negative image and an operator with signs: at the zero duals of the start a bound would be finite
    signed = vi.L2Squared(Y) @ vi.Diagonal(Y) + vi.NonNegative()
    assert "gap" not in vi.solve(signed).why
    state = type("Bare", (), {"k": 0, "x": Y})()
    with pytest.raises(ValueError, match=r"gap: Bare carries no dual; stop with small_change"):
        vi.gap(1e-3)(PROBLEM, None, state)
    with pytest.raises(ValueError, match=r"residual: Bare has none; stop with small_change"):
        vi.residual(1e-3)(PROBLEM, state, state)


@pytest.mark.parametrize("n", [3, 25])
@pytest.mark.parametrize("rule", [vi.iterations(100), vi.iterations(28), vi.small_change(1e-30)])
def test_a_nan_ends_the_run_with_a_finite_iterate(n: int, rule: Any) -> None:
    """Also where the rule stops between two checks, and where a box could hide it."""
    for extra in (None, vi.NonNegative()):
        problem = vi.L2Squared(Y) @ Faulty(n) + vi.L2Squared(Y, 0.1)
        result = vi.solve(problem if extra is None else problem + extra, vi.ChambollePock(), stop=rule)
        assert np.isfinite(result.x).all()
        assert result.state.k < n
        assert result.why.startswith("not finite at iteration ")
        assert f"the iterate of iteration {result.state.k}, which was finite, is returned" in result.why
        assert int(result.why.split()[4].rstrip(";")) >= n


def test_ctrl_c_returns_the_last_iterate() -> None:
    problem = vi.L2Squared(Y) @ Faulty(13, KeyboardInterrupt())
    result = vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(100))
    assert (result.why, result.interrupted, result.state.k) == ("interrupted after 12 iterations", True, 12)
    assert np.isfinite(result.x).all()
    assert not vi.solve(PROBLEM, stop=vi.iterations(1)).interrupted


def test_observations_go_into_the_history() -> None:
    result = vi.solve(PROBLEM, stop=vi.iterations(3), observe=lambda s: {"psnr": 10.0 + s.k})
    assert [(row["k"], row["psnr"]) for row in result.history] == [(k, 10.0 + k) for k in range(4)]
    result = vi.solve(PROBLEM, stop=vi.iterations(2), observe=lambda s: float(s.k))
    assert [row["observed"] for row in result.history] == [0.0, 1.0, 2.0]
    assert [row["k"] for row in vi.solve(PROBLEM, stop=vi.iterations(2), observe=lambda s: None).history] == [0, 2]
    assert result.gap is None
    assert "observed    2" in result.summary()


def test_what_solve_refuses() -> None:
    for call, words in (
        (lambda: vi.solve(3), "problem must be a Problem such as .*, got 3"),
        (lambda: vi.solve(vi.Problem(())), "problem must be a Problem"),
        (lambda: vi.solve(PROBLEM, vi.ChambollePock), "solver must be a Solver such as"),
        (lambda: vi.solve(PROBLEM, stop=3), "stop must be a rule such as .*, got 3"),
        (lambda: vi.solve(PROBLEM, x0=Y.T), r"x0 must have shape \(6, 5\), got \(5, 6\); it looks transposed"),
        (lambda: vi.solve(PROBLEM, x0=Y * math.nan), "x0 has 30 NaN or infinite"),
        (lambda: vi.solve(PROBLEM, x0=Y + 1j), "x0 must be a real array"),
        (lambda: vi.solve(PROBLEM, x0="zeros"), "x0 must be a real array"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_solve_keeps_library_and_dtype(xp: Any, dtype: str) -> None:
    reference = None
    for shape in ((9,), (5, 4), (3, 4, 2)):
        y = rand(xp, shape, 1, dtype)
        weight = rand(xp, shape, 2, dtype, "non-negative")
        problem = vi.L2Squared(y) @ vi.Diagonal(weight) + 0.1 * vi.TV(shape, weight=weight) + vi.NonNegative()
        result = vi.solve(problem, x0=y, stop=vi.gap(1e-2) | vi.iterations(60))
        assert (result.x.dtype, tuple(result.x.shape)) == (y.dtype, shape)
        assert type(result.x) is type(y)
        reference = vi.solve(
            vi.L2Squared(rand(np, shape, 1)) @ vi.Diagonal(rand(np, shape, 2, kind="non-negative"))
            + 0.1 * vi.TV(shape, weight=rand(np, shape, 2, kind="non-negative")) + vi.NonNegative(),
            x0=rand(np, shape, 1), stop=vi.gap(1e-2) | vi.iterations(60))  # fmt: skip
        if reference.state.k == result.state.k:
            assert np.abs(np.asarray(result.x) - reference.x).max() <= (1e-4 if dtype == "float32" else 1e-12)
        else:
            assert dtype == "float32"


def test_single_precision_claims_nothing_below_1e_6() -> None:
    y = Y.astype("f4")
    problem = vi.L2Squared(y) + 0.1 * vi.TV(SHAPE)
    result = vi.solve(problem, stop=vi.gap(1e-12) | vi.iterations(20000))
    assert result.why == "relative gap 1.0e-06 ≤ 1e-06"


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".tif", ".TIFF"])
def test_save_and_read_back(tmp_path: Path, suffix: str) -> None:
    result = vi.solve(PROBLEM, stop=vi.gap(1e-3), observe=lambda s: {"psnr": 1.0})
    path = result.save(tmp_path / f"image{suffix}", pixel_size=0.5, note="µ-CT", angles=np.arange(3.0))
    assert [p.name for p in tmp_path.iterdir()] == [f"image{suffix}"]  # and no partial file
    if suffix.startswith(".h"):
        with h5py.File(path) as file:
            assert np.array_equal(file["image"][()], result.x)
            words = dict(file.attrs)
            assert np.array_equal(file["angles"][()], [0, 1, 2])
            assert [*file["history/gap"][()]][-1] == result.gap
            assert len(file["history/k"]) == len(result.history)
    else:
        assert np.array_equal(tifffile.imread(path), result.x)
        with tifffile.TiffFile(path) as file:
            words = json.loads(file.imagej_metadata["Info"])
        assert words["angles"] == [0, 1, 2]
    assert (words["why"], words["note"], words["pixel_size"]) == (result.why, "µ-CT", 0.5)
    assert (words["iterations"], words["varinv_version"]) == (result.state.k, vi.__version__)
    assert words["problem"] == repr(PROBLEM)


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = vi.solve(PROBLEM, stop=vi.iterations(1))
    with pytest.raises(ValueError, match=r"must end in .*\.tif.*, got 'image.png'"):
        result.save(tmp_path / "image.png")
    with pytest.raises(FileNotFoundError, match=r"the folder .*missing does not exist"):
        result.save(tmp_path / "missing" / "image.h5")
    before = result.save(tmp_path / "image.tif").read_bytes()

    def broken(path: Path, *rest: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    for name in ("_write_hdf5", "_write_tiff"):
        monkeypatch.setattr(image_files, name, broken)
    for name in ("image.tif", "other.h5"):
        with pytest.raises(OSError, match="disk full"):
            result.save(tmp_path / name)
    assert [p.name for p in tmp_path.iterdir()] == ["image.tif"]
    assert (tmp_path / "image.tif").read_bytes() == before  # the older file is untouched


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 6, 5), (4, 6, 5), (6, 5, 3), (8, 6, 5)])
def test_stacks_of_any_length_stay_grey_in_tiff(tmp_path, shape) -> None:
    x = np.arange(float(np.prod(shape)), dtype=np.float32).reshape(shape)
    save_image(tmp_path / "x.tif", x, {})
    with tifffile.TiffFile(tmp_path / "x.tif") as file:
        assert np.array_equal(file.asarray().reshape(shape), x)
        assert file.pages[0].photometric.name == "MINISBLACK"
        assert len(file.pages) == shape[0]
