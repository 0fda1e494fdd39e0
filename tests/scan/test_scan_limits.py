"""How much memory a process may use: the machine's, its container's, what its user left it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from varinv import limits

GB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A false system: proc and control groups in a folder, a machine of 64 GB."""
    monkeypatch.setattr(limits, "PROC", tmp_path / "proc")
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(limits, "_machine", lambda: 64 * GB)
    monkeypatch.setattr(limits, "_rlimits", lambda: iter(()))
    (tmp_path / "proc").mkdir()

    def write(groups: str, **files: int | str) -> None:
        (tmp_path / "proc" / "cgroup").write_text(groups)
        for name, value in files.items():
            place = tmp_path / "groups" / name.replace("__", "/").replace("_DOT_", ".")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{value}\n")

    return write


def test_without_groups_it_is_the_machine(system):
    system("")
    assert limits.memory_limit() == 64 * GB


def test_the_least_of_all_groups_above(system):
    system("0::/a/b\n", a__memory_DOT_max=3 * GB, a__b__memory_DOT_max="max", memory_DOT_max=9 * GB)
    assert limits.memory_limit() == 3 * GB


def test_a_container_sees_its_group_as_the_root(system):
    system("0::/\n", memory_DOT_max=2 * GB)
    assert limits.memory_limit() == 2 * GB


def test_version_one(system):
    system("5:cpu:/x\n4:memory:/x\n", memory__x__memory_DOT_limit_in_bytes=GB, cpu__x__memory_DOT_limit_in_bytes=5)
    assert limits.memory_limit() == GB


def test_ulimit_counts():
    pytest.importorskip("resource", reason="this system has no such limits")
    script = (
        "import resource; from varinv.scan.errors import room\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)); print(room())"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert 0 < int(found.stdout) < 1.5 * GB  # half of 3 GB less what the process has taken
