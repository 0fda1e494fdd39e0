"""What a killed run leaves beside its checkpoint is cleared away, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import varinv as vi
from varinv.solvers.archive import MARK, _here

pytestmark = pytest.mark.usefixtures("one_thread")
PROBLEM = vi.L2Squared(np.ones((8, 8))) + 0.1 * vi.TV((8, 8))


def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def part(name: str, process: int, here: str = "") -> str:
    return f".{name}.{here or _here()}-{process}-{'0a' * 16}{MARK}"


def test_only_rests_of_dead_runs_of_this_file_and_machine_go(tmp_path: Path) -> None:
    gone = part("run.npz", dead())
    kept = [
        part("run.npz", os.getpid()),  # a thread of this process may be writing it
        part("run.npz", os.getppid()),  # a run that lives
        part("run.npz", dead(), here="elsewhere"),  # nobody here knows whether that one lives
        part("run2.npz", dead()),
        ".run-backup01.npz",
        ".run.npz.backup",
        f".run.npz.notes{MARK}",
    ]
    for name in (gone, *kept):
        (tmp_path / name).touch()
    vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=tmp_path / "run.npz")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*kept, "run.npz"])


def test_a_name_is_no_pattern(tmp_path: Path) -> None:
    for name in ("precious.npz", part("precious.npz", dead()), ".precious-abcdefgh.npz"):
        (tmp_path / name).touch()
    before = sorted(p.name for p in tmp_path.iterdir())
    for name in ("*.npz", "[a-z].npz", "a(b.npz"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=tmp_path / name)
        (tmp_path / name).unlink()
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        vi.solve(PROBLEM, stop=vi.iterations(3), checkpoint=tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())
