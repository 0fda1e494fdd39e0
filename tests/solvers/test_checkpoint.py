"""Checkpoints: the same bits as an uninterrupted run, the rules' memory, refusal of another run's file."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import rand
from resume import digest, run, runs

import varinv as vi
from varinv.solvers.rules import leaves
from varinv.solvers.watch import recall

SHAPE = (6, 5)
Y = rand(np, SHAPE, 1)
A = vi.Diagonal(0.5 + rand(np, SHAPE, 2, kind="non-negative"))
PROBLEM = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", runs())
def test_resumed_is_uninterrupted(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    straight = run(name, 23, None)
    for n in (0, 5, 16, 23):  # each call goes on where the one before it ended
        resumed = run(name, n, path)
        assert resumed.state.k == n
    assert type(resumed.state) is type(straight.state)
    assert digest(resumed.state) == digest(straight.state)
    # and the course of the run: what is recorded on the grid
    mine, theirs = ({r["k"]: r.get("objective") for r in x.history if r["k"] % 10 == 0} for x in (resumed, straight))
    assert mine == theirs


def test_the_number_of_threads_does_not_matter(tmp_path: Path) -> None:
    def start(threads: int, *args: Any) -> subprocess.Popen[str]:
        env = dict(os.environ, PYTHONPATH=str(Path(vi.__file__).parents[1]))
        env |= {f"{name}_NUM_THREADS": str(threads) for name in ("NUMBA", "OMP", "OPENBLAS")}
        command = [sys.executable, Path(__file__).parents[1] / "helpers" / "resume.py", *map(str, args)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)

    def read(process: subprocess.Popen[str]) -> dict[str, str]:
        words, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        found: dict[str, str] = json.loads(words)
        return found

    straight, first = start(1, 25), start(1, 12, tmp_path)
    read(first)
    resumed = read(start(2, 25, tmp_path))
    assert resumed == read(straight)
    assert len(resumed) >= 5


def test_the_same_rule_ends_at_the_same_iteration_with_the_same_words(tmp_path: Path) -> None:
    for i, rule in enumerate((
        vi.gap(1e-4, every=7), vi.residual(1e-4), vi.small_change(1e-4), vi.gap(1e-3) & vi.residual(1e-3), None,
    )):  # fmt: skip
        straight = vi.solve(PROBLEM, stop=rule)
        n = straight.state.k
        assert n > 20
        for k in (n // 3, n - 1):
            path = tmp_path / f"{i}-{k}.npz"
            killed(k, path, every=7, stop=rule)
            resumed = vi.solve(PROBLEM, stop=rule, checkpoint=path)
            assert (resumed.state.k, resumed.why) == (n, straight.why)
            assert digest(resumed.state) == digest(straight.state)
            strip = [[{k: v for k, v in r.items() if k not in ("seconds", "memory")} for r in x.history]
                     for x in (resumed, straight)]  # fmt: skip
            assert strip[0] == strip[1]
        again = vi.solve(PROBLEM, stop=rule, checkpoint=path)  # a finished run stays finished
        assert (again.state.k, again.why, len(again.history)) == (n, straight.why, len(resumed.history))


class Killed(BaseException):
    pass


def killed(k: int, path: Path, every: int = 1, problem: Any = PROBLEM, **settings: Any) -> None:
    """A run that ends like a killed one at iteration k: nothing after it is done."""

    def stop(now: int, _: Any) -> None:
        if now == k:
            raise Killed

    with pytest.raises(Killed):
        vi.solve(problem, progress=stop, checkpoint=vi.Checkpoint(path, every=every), **settings)


def test_a_looser_or_tighter_rule(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    first = vi.solve(PROBLEM, stop=vi.gap(1e-2), checkpoint=path)
    best = first.history[-1]["lower_bound"]
    looser = vi.solve(PROBLEM, stop=vi.gap(1e-1), checkpoint=path)
    assert looser.state.k == first.state.k  # it holds already
    further = vi.solve(PROBLEM, stop=vi.gap(1e-4), checkpoint=path)
    assert digest(further.state) == digest(vi.solve(PROBLEM, stop=vi.iterations(further.state.k)).state)
    assert further.history[: len(first.history) - 1] == first.history[:-1]
    assert all(row["lower_bound"] >= best for row in further.history[len(first.history) :])
    assert [r["k"] for r in further.history] == sorted({r["k"] for r in further.history})
    assert [r["seconds"] for r in further.history] == sorted(r["seconds"] for r in further.history)


def test_seconds_and_lower_bounds_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    vi.solve(PROBLEM, stop=vi.seconds(0.2), checkpoint=path)
    second = vi.solve(PROBLEM, stop=vi.seconds(0.2) | vi.iterations(10**9), checkpoint=path)
    assert second.why == "0.2 seconds"
    assert second.seconds >= 0.2
    assert second.history[-1]["k"] == second.state.k
    old = [{"rule": "gap", "bound": 1.0, "best": 5.0}, {"rule": "seconds", "spent": 3.0}]
    rule = vi.gap(1e-2, bound=1.0) | vi.gap(1e-2, bound=2.0) | vi.gap(1e-2) | vi.seconds(9)
    recall(rule, old, same=False)
    assert [leaf.best for leaf in leaves(rule)[:3]] == [5.0, -math.inf, -math.inf]  # each under its own assumption
    assert leaves(rule)[3].spent_now() == 3.0


def variants() -> dict[str, tuple[Any, dict[str, Any], str]]:
    """One change each → what the refusal names."""
    tv = 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    data, one = vi.L2Squared(Y), Y.copy()
    one[2, 3] = np.nextafter(one[2, 3], 9)
    solver = vi.ChambollePock()
    return {
        "one bit of the data": (vi.L2Squared(one) @ A + tv, {}, r"data of term 1 was \(6, 5\) float64 \w+, is"),
        "dtype": (vi.L2Squared(Y.astype("f4")) @ A + tv, {}, r"data of term 1 was \(6, 5\) float64 .* float32"),
        "weight": (2 * data @ A + tv, {}, "weight of term 1 was 1.0, is 2.0"),
        "lam": (data @ A + 0.2 * vi.TV(SHAPE) + vi.NonNegative(), {}, "weight of term 2 was 0.1, is 0.2"),
        "operator": (data @ vi.Identity(SHAPE) + tv, {}, "operator of term 1 was .*Diagonal.*, is .*Identity"),
        "inside": (data @ vi.Diagonal(2 * A.values) + tv, {}, "operator of term 1: values was"),
        "kind": (vi.L1(1.0) @ A + tv, {}, "functional of term 1 was .*L2Squared, is .*L1"),
        "terms": (data @ A + 0.1 * vi.TV(SHAPE), {}, "number of terms was 3, is 2"),
        "bounds": (data @ A + 0.1 * vi.TV(SHAPE) + vi.Box(0, 2), {}, "hi of term 3 was inf, is 2"),
        "solver": (PROBLEM, {"solver": vi.ChambollePock(gamma=0)}, "solver.gamma was None, is 0"),
        "start": (PROBLEM, {"solver": solver, "x0": Y}, r"start image was None, is \(6, 5\) float64"),
    }  # fmt: skip


@pytest.mark.parametrize("name", variants())
def test_another_run_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    vi.solve(PROBLEM, vi.ChambollePock(), stop=vi.iterations(3), checkpoint=path)
    before = path.read_bytes()
    problem, settings, words = variants()[name]
    solver = vi.ChambollePock()
    with pytest.raises(ValueError, match=f"belongs to another run: .*{words}"):
        vi.solve(problem, **({"solver": solver} | settings), stop=vi.iterations(3), checkpoint=path)
    assert path.read_bytes() == before
    assert vi.solve(PROBLEM, vi.ChambollePock(), stop=vi.iterations(5), checkpoint=path).state.k == 5


def test_what_functions_and_objects_hold_is_seen() -> None:
    from varinv.solvers.fingerprint import fingerprint

    def scaled(c: float) -> Callable[[Any], Any]:
        return lambda x: c * x

    class Own(vi.Functional):
        def __init__(self, f: Any) -> None:
            self.f = f

        def __call__(self, x: Any) -> float:
            return 0.0

    vi.Functional.kinds.remove(Own)
    marks = [
        fingerprint(vi.Problem((vi.Term(Own(f), A),)), vi.CGLS(), None)
        for f in (scaled(1.0), scaled(1.0), scaled(2.0), lambda x: x, {"a": [Y]}, {"a": [2 * Y]}, np.float32(2), {1, 2})
    ]
    assert marks[0] == marks[1]
    assert len({json.dumps(m) for m in marks}) == len(marks) - 1
    R = vi.Radon((5, 4), vi.ParallelBeam([0.0, 1.0], 7))
    before = fingerprint(vi.Problem((vi.L2Squared(np.ones((2, 7))) @ R,)), vi.CGLS(), None)
    R.norm(), R(np.ones((5, 4))), R.T
    assert fingerprint(vi.Problem((vi.L2Squared(np.ones((2, 7))) @ R,)), vi.CGLS(), None) == before
    assert "operator of term 1: geometry.angles" in before


def test_every_library(xp: Any, tmp_path: Path) -> None:
    y = rand(xp, SHAPE, 1, "float32")
    problem = vi.L2Squared(y) + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    for n in (3, 9):
        result = vi.solve(problem, stop=vi.iterations(n), checkpoint=tmp_path / "run.npz")
    straight = vi.solve(problem, stop=vi.iterations(9))
    assert type(result.x) is type(y)
    assert result.x.dtype == y.dtype
    assert digest(result.state) == digest(straight.state)


def test_what_a_checkpoint_refuses() -> None:
    for call, words in (
        (lambda: vi.Checkpoint(3), "path must be a path, got 3"),
        (lambda: vi.Checkpoint("a.npz", every=0), "every must be at least 1, got 0"),
        (lambda: vi.Checkpoint("a.npz", every=2.5), "every must be an integer"),
        (lambda: vi.Checkpoint("a.npz", seconds=-1), "seconds must be at least 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            call()


def test_the_period_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from varinv.solvers import checkpoint

    written: list[int] = []
    original = checkpoint.write
    monkeypatch.setattr(
        checkpoint,
        "write",
        lambda p, h, a: (written.append(h["tree"]["dict"]["state"]["fields"]["k"]), original(p, h, a)),
    )
    vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=vi.Checkpoint(tmp_path / "a.npz", every=8))
    assert written == [0, 8, 16, 24, 30]
    written.clear()
    vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=tmp_path / "b.npz")
    assert written == [0, 30]  # a minute has not passed
    written.clear()
    with warnings.catch_warnings():
        vi.solve(PROBLEM, stop=vi.iterations(300), checkpoint=vi.Checkpoint(tmp_path / "c.npz", seconds=0))
    assert 2 <= len(written) < 150  # writing is kept to a tenth of the time
