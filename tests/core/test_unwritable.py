"""No folder can be written, neither the package's nor a home: kernels are compiled for the process; a line says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba as nb
import pytest

import varinv
from varinv import numba_tools
from varinv.first_use import UNKEPT

# what read-only file systems answer; root is not stopped by permissions, so that the answer is given in their place
SCRIPT = """
import tempfile
def refused(*args, **named):
    raise PermissionError(13, "Permission denied")
tempfile.TemporaryFile = refused  # how numba asks whether a cache folder can be written
import numpy as np
from varinv.linalg import dot
print(dot(np.ones(7), np.arange(7.0)), dot(np.ones(3, "f4"), np.ones(3, "f4")))
"""


def test_a_process_without_a_cache_folder_computes_and_says_so_once(tmp_path: Path) -> None:
    names = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    names |= {"HOME": "/proc/fs", "XDG_CACHE_HOME": "/proc/fs", "PYTHONPATH": str(Path(varinv.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", SCRIPT], env=names, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == "21.0 3.0\n", ended.stderr
    assert ended.stderr.count(UNKEPT) == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("cannot cache function 'f': no locator available"), OSError(28, "full")]
)
def test_all_ways_to_compile_do_without(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def build(cache: dict[str, bool]) -> int:
        asked.append(cache)
        if cache:
            raise error
        return 7

    monkeypatch.setattr(numba_tools.NOTICE, "unkept", True)
    assert numba_tools.kept(build) == 7
    assert asked == [{"cache": True}, {}]


def test_other_errors_of_the_compiler_are_not_hidden() -> None:
    def build(cache: dict[str, bool]) -> Any:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        numba_tools.kept(build)
    assert nb.config.CACHE_DIR is not None
