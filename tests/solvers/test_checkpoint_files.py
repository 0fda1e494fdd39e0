"""Checkpoint files: damage is noticed, no pickle, failing writes lose nothing, states of any make."""

from __future__ import annotations

import json
import math
import os
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import rand
from resume import digest

import varinv as vi
from varinv.solvers import archive
from varinv.solvers.base import Solver

SHAPE = (6, 5)
Y = rand(np, SHAPE, 1)
A = vi.Diagonal(0.5 + rand(np, SHAPE, 2, kind="non-negative"))
PROBLEM = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()

pytestmark = pytest.mark.usefixtures("one_thread")


def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for i in rng.integers(len(whole), size=60):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << rng.integers(8)]) + whole[i + 1 :])
        try:
            header, arrays = archive.read(path)
        except ValueError:
            noticed += 1
        else:  # padding and the times of the archive's members hold nothing
            path.write_bytes(whole)
            assert (header, [a.tobytes() for a in arrays]) == (
                archive.read(path)[0],
                [a.tobytes() for a in archive.read(path)[1]],
            )
    assert noticed >= 30
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", b"an image", whole + b"x" * 70000):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"checkpoint: .*run.npz is (no checkpoint or is )?damaged"):
            vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)
        assert path.read_bytes() == damaged  # nobody's file is overwritten
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match="is no checkpoint or is damaged"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)


def test_no_pickle_is_written_or_read(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
        header = json.loads(file["header"].tobytes())
    assert header["problem"] == repr(PROBLEM)
    np.savez(path, header=np.array([{}], dtype=object), checksum=np.zeros(32))
    with pytest.raises(ValueError, match="is no checkpoint or is damaged"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)


def test_another_format_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.npz"
    vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)
    monkeypatch.setattr(archive, "FORMAT", "varinv checkpoint 2")
    with pytest.raises(
        ValueError, match=r"is a varinv checkpoint 1 of varinv .*, this version reads varinv checkpoint 2"
    ):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)


def test_a_file_of_an_older_version_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its classes have moved, or have other fields: it does not load, and the error names the version that wrote it."""
    path = tmp_path / "run.npz"
    with monkeypatch.context() as older:
        older.setattr(vi, "__version__", "0.0.7")
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=path)
        header, arrays = archive.read(path)
        moved = tmp_path / "moved.npz"
        marks = {name: value.replace("varinv.", "varinv.before.") for name, value in header["fingerprint"].items()}
        archive.write(moved, {**header, "fingerprint": marks, "version": "0.0.7"}, arrays)
        fewer = tmp_path / "fewer.npz"
        del header["tree"]["dict"]["state"]["fields"]["tau"]
        archive.write(fewer, {**header, "version": "0.0.7"}, arrays)
    with pytest.raises(ValueError, match=r"written by varinv 0.0.7, belongs to another run: functional of term 1 was"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=moved)
    with pytest.raises(ValueError, match=r"fewer.npz was written by varinv 0.0.7, and this version has no \w+State"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=fewer)


# ------------------------------------------------------------------------------------------------------ failing writes


def full(path: Path, size: int) -> Any:
    """Iterations from 10 on meet a disk that takes only so many bytes of a file."""

    def limit(k: int, _: Any) -> None:
        if k == 10:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


@pytest.mark.parametrize("size", [0, 1000, 4000])
def test_a_full_disk_leaves_the_file_before_and_the_run_goes_on(size: int, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.warns(
            RuntimeWarning, match=r"could not be replaced at iteration 10 .* the file before it is intact"
        ):
            result = vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=vi.Checkpoint(path, every=1),
                              progress=full(path, size))  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    straight = vi.solve(PROBLEM, stop=vi.iterations(30))
    assert digest(result.state) == digest(straight.state)  # nothing is lost
    assert result.notes["checkpoint"].startswith("not written at iteration 30: ")
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]
    resumed = vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=path)
    assert digest(resumed.state) == digest(straight.state)
    assert not resumed.notes


def test_a_read_only_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start it is an error before any work; later it is a warning."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "run.npz"
    user, nobody = os.geteuid(), pwd.getpwnam("nobody").pw_uid

    def lock(k: int, _: Any) -> None:
        if k == 10:
            folder.chmod(0o555)
            if user == 0:  # root writes anywhere
                os.seteuid(nobody)

    def unlock() -> None:
        os.seteuid(user)
        folder.chmod(0o755)

    try:
        with pytest.warns(RuntimeWarning, match="could not be replaced at iteration 10 .*Permission denied"):
            result = vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=vi.Checkpoint(path, every=1), progress=lock)
        assert result.state.k == 30
        before = path.read_bytes()
        with pytest.raises(PermissionError, match=r"checkpoint: .*run.npz cannot be written .*name another file"):
            vi.solve(PROBLEM, stop=vi.iterations(40), checkpoint=path)
        assert path.read_bytes() == before
        unlock()
        resumed = vi.solve(PROBLEM, stop=vi.iterations(40), checkpoint=path)
        assert digest(resumed.state) == digest(vi.solve(PROBLEM, stop=vi.iterations(40)).state)
        lock(10, None)
        assert vi.solve(PROBLEM, stop=vi.iterations(40), checkpoint=path).state.k == 40  # finished: nothing to write
    finally:
        unlock()
        shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match=r"checkpoint: .* cannot be written .*does not exist"):
        vi.solve(PROBLEM, checkpoint="/nowhere/run.npz")


def test_ctrl_c_keeps_the_last_iterate(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    def press(k: int, _: Any) -> None:
        if k == 13:
            raise KeyboardInterrupt

    result = vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=path, progress=press)
    assert result.interrupted
    ks: list[int] = []
    resumed = vi.solve(PROBLEM, stop=vi.iterations(30), checkpoint=path, progress=lambda k, _: ks.append(k))
    assert ks[0] == 13  # not from the file of a minute ago
    assert digest(resumed.state) == digest(vi.solve(PROBLEM, stop=vi.iterations(30)).state)


def test_an_iterate_that_is_not_finite_is_never_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"

    class Late(Solver):
        """x halves until iteration 14; then it is NaN."""

        def init(self, problem: Any, x: Any) -> Any:
            return LateState(x, 0)

        def step(self, problem: Any, state: Any) -> Any:
            return LateState(state.x / 2 if state.k < 13 else state.x * math.nan, state.k + 1)

    Solver.kinds.remove(Late)
    result = vi.solve(PROBLEM, Late(), x0=Y, stop=vi.iterations(99), checkpoint=vi.Checkpoint(path, every=1))
    assert result.why.startswith("not finite")
    header, arrays = archive.read(path)
    assert all(np.isfinite(a).all() for a in arrays)
    assert header["tree"]["dict"]["state"]["fields"]["k"] == 13


class LateState(NamedTuple):
    x: Any
    k: int


class Holds(NamedTuple):
    x: Any
    k: int
    part: Any = None


class Holder(Solver):
    def __init__(self, part: Any) -> None:
        self.part = part

    def init(self, problem: Any, x: Any) -> Any:
        return Holds(x, 0, self.part)

    def step(self, problem: Any, state: Any) -> Any:
        return state._replace(k=state.k + 1)


Solver.kinds.remove(Holder)


@pytest.mark.parametrize(
    "part",
    [
        (1, 2.5, -0.0, math.inf, None, True, "text"),
        [np.float32(0.1), np.int64(7), np.array(3.0), np.zeros((0, 3), "f4")],
        {"a": (Holds(np.arange(3), 1), [()])},
        np.asfortranarray(rand(np, (4, 3), 1)),
        rand(np, (8, 6), 1)[::2, ::3],
        np.array([True, False]),
        10**30,
        1e-320,
    ],
)
def test_states_of_any_make(part: Any, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    for n in (1, 2):
        state = vi.solve(PROBLEM, Holder(part), stop=vi.iterations(n), checkpoint=path).state
    assert state.k == 2
    same(state.part, part)


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
        assert a.flags.c_contiguous == b.flags.c_contiguous or not b.flags.forc
    elif isinstance(a, (tuple, list)):
        for x, y in zip(a, b, strict=True):
            same(x, y)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        same(list(a.values()), list(b.values()))
    else:
        assert repr(a) == repr(b)


@pytest.mark.parametrize("part", [object(), {1: 2}, np.array([None]), {1, 2}])
def test_other_states_are_refused_before_any_work(part: Any, tmp_path: Path) -> None:
    if isinstance(part, np.ndarray):
        solver, words = Holder(part), "array of objects|is an array"
    else:
        solver, words = Holder(part), r"checkpoint: run\['state'\]\.part is .*holds arrays, numbers, text"
    with pytest.raises(TypeError, match=words):
        vi.solve(PROBLEM, solver, stop=vi.iterations(3), checkpoint=tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())


def test_killed_runs_resume_to_the_same_bits() -> None:
    """Three by SIGKILL at random moments; the benchmark does fifty over every solver."""
    script = Path(__file__).parents[2] / "benchmarks" / "checkpoint_kills.py"
    env = dict(os.environ, PYTHONPATH=str(Path(vi.__file__).parents[1]))
    done = subprocess.run([sys.executable, script, "3"], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 runs" in done.stdout
