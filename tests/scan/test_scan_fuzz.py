"""Mutated files of every format, read in a process of its own: no crash, no hang, no error but ScanError."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def fuzzer() -> Any:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["npy", "npz", "exchange", "nexus", "tiff", "mat5", "mat73", "table"])
def test_mutants_are_read_or_refused(kind: str, fuzzer: Any) -> None:
    """Fifty a format; benchmarks/fuzz_readers.py has gone over many thousands."""
    answers = list(fuzzer.fuzz(kind, 50, seed=7))
    assert len(answers) == 50
    assert {a for a in answers if a.startswith(fuzzer.FAULTS)} == set()
    counted = Counter(a.split()[0] for a in answers)
    assert counted["refused"] >= 5  # the mutants are damaged
    assert counted["read"] >= 2  # and not beyond recognition


def test_the_fuzzer_sees_faults(fuzzer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ends, and one that does not answer, are no successes."""
    worker = fuzzer.Worker()
    path = tmp_path / "a.npy"
    fuzzer.npy(path)
    assert worker.ask(path) == "read"
    assert worker.ask(tmp_path) == "refused"  # a folder without frames
    monkeypatch.setattr(fuzzer, "WALL", 0.0)  # no answer can come in no time
    assert worker.ask(path) == "hang"
    monkeypatch.setattr(fuzzer, "WALL", 30)
    assert worker.ask(path) == "read"  # started again
    worker.close()
