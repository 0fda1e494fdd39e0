"""What the first use of a kernel takes: which dtypes are compiled, who is told, and what time counts."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numba import types

import varinv as vi
from varinv import first_use, numba_tools
from varinv.progress import Line

ROOT = Path(__file__).resolve().parents[2]
TWINS = sorted((ROOT / "varinv").rglob("*_cpu.py"))
FLOATS = np.dtype(np.float32), np.dtype(np.float64)

SOLVE = """
import numpy as np, varinv as vi
from varinv.numba_tools import KERNELS
A = vi.Radon((24, 20), vi.ParallelBeam(np.linspace(0, 3, 9), 31))
y = A(np.ones(A.domain, np.float32))
result = vi.solve(vi.L2Squared(y) @ A + 0.1 * vi.TV(A.domain) + vi.NonNegative(), stop=vi.iterations(4))
told = {k.__name__: sorted({str(d) for key in k.known for d in key}) for k in KERNELS if "variation" in k.__module__}
print(result.compiling, result.seconds, told, sep="|")
print(result.summary())
"""


def python(code, cache, *arguments, **environment):
    ran = subprocess.run(
        [sys.executable, "-W", "error", *(["-c", code] if code else []), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_WAIT_POLICY": "passive", **environment},
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    return ran


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def first(cache):
    return python(SOLVE, cache)


def test_a_dtype_is_compiled_when_it_is_met(first):
    told = ast.literal_eval(first.stdout.splitlines()[0].split("|")[2])
    assert told["_ascend2"] == ["float32"]
    assert told["_ascend3"] == []  # no volume was there


def test_the_first_run_says_so_once_and_counts_it_apart(first):
    """Compiling takes several seconds, the run far less than one: a hundred small steps."""
    compiling, seconds, _ = first.stdout.splitlines()[0].split("|")
    assert float(compiling) > 1
    assert float(seconds) < float(compiling) / 2
    assert f"and {float(compiling):.1f} s for compiling kernels" in first.stdout
    assert first.stderr.splitlines() == [first_use.TEXT]


def test_the_second_process_reads_from_disk_and_says_nothing(first, cache):
    again = python(SOLVE, cache)
    first_time, again_time = (float(ran.stdout.split("|")[0]) for ran in (first, again))
    assert again.stderr == ""
    assert again_time < first_time / 5  # measured: a fortieth


@pytest.fixture
def notice(monkeypatch):
    monkeypatch.setattr(first_use, "PATIENCE", 0.05)
    return first_use._Notice()


def test_what_is_short_needs_no_words(notice, caplog):
    caplog.set_level(logging.INFO, "varinv")
    with notice.compiling():
        pass
    assert not caplog.messages
    for _ in range(3):
        with notice.compiling():
            threading.Event().wait(0.2)  # four times what it takes until somebody is told
    assert caplog.messages == [first_use.TEXT]


def test_the_line_is_silenced_by_logging(notice, caplog):
    caplog.set_level(logging.WARNING, "varinv")
    with notice.compiling():
        threading.Event().wait(0.2)
    assert not caplog.messages


def test_a_progress_line_shows_it_while_it_stands(notice):
    seen = []
    first_use.WATCHING.append(seen.append)
    try:
        with notice.compiling():
            threading.Event().wait(0.2)
    finally:
        first_use.WATCHING.remove(seen.append)
    assert seen == ["compiling kernels, the first time only"]
    with Line("demo") as line:
        assert line.show in first_use.WATCHING
    assert line.show not in first_use.WATCHING


def made(calls=None):
    """A kernel whose compilation is counted, and takes a while."""

    def make(function, kind):
        calls.append(kind)
        threading.Event().wait(0.1)
        return function

    signature = lambda f, g: types.void(f, numba_tools.ro(f, 1))  # noqa: E731
    pairs = ((types.float32, types.float32), (types.float64, types.float64))
    kernel = numba_tools.Compiled(lambda scale, x: scale * x, signature, pairs, make)
    numba_tools.KERNELS.remove(kernel)
    return kernel


def test_threads_that_meet_a_kernel_together_compile_it_once():
    calls, waited = [], []
    kernel = made(calls)

    def use():
        kernel(2.0, np.ones(3, np.float32))
        waited.append(first_use.compile_seconds())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert min(waited) > 0.05  # who only waits for another thread waits too: half of what compiling takes here
    kernel(2.0, np.ones(3))
    assert [kind.args[1].dtype for kind in calls] == [types.float32, types.float64]


def test_the_clock_stands_still_while_kernels_are_compiled():
    kernel, rule = made([]), vi.seconds(0.05)
    began = first_use.clock()
    assert rule(None, None, None) is None
    kernel(2.0, np.ones(3, np.float32))  # 0.1 s
    assert first_use.clock() - began < 0.05
    assert rule(None, None, None) is None


def test_another_dtype_is_an_error_that_names_the_kernel():
    with pytest.raises(TypeError, match=r"lambda.* is compiled for float32 .*, got arrays of int64"):
        made([])(2, np.ones(3, np.int64))


def test_warm_compiles_once_and_names_what_it_knows(tmp_path):
    """In a package of few kernels: all of them take a minute."""
    code = (
        "import varinv as vi, varinv.warming as w; w.PARTS['few'] = ('varinv.operators.gradient', 'varinv.linalg');"
        "print(vi.warm('few')[:2])"
    )
    forms, compiled = ast.literal_eval(python(code, tmp_path).stdout)
    assert forms == compiled == 17  # two differences and two dots in two dtypes; three that mix dtypes in three
    assert ast.literal_eval(python(code, tmp_path).stdout) == (forms, 0)
    with pytest.raises(ValueError, match="one of tomography, all, got 'cats'"):
        vi.warm("cats")


def test_what_a_kernel_compiles_stands_in_its_own_file():
    """numba's cache looks at that file alone: constants and functions from another one would change unseen."""
    assert len(TWINS) > 10
    for path in TWINS:
        foreign = borrowed(ast.parse(path.read_text()))
        assert not foreign, f"{path.relative_to(ROOT)} compiles {', '.join(sorted(foreign))} of another module"


def test_a_borrowed_constant_is_found():
    text = (
        "from varinv.a import N, M\ndef helper(x): return x + N\n@compiled(s)\ndef _k(x): return helper(x)\ndef k(x): M"
    )
    assert borrowed(ast.parse(text)) == {"N"}


def borrowed(tree):
    """Names from other modules of varinv (numba_tools apart) that compiled functions read, and those they call."""
    imported = {
        a.asname or a.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module.startswith("varinv") and "numba_tools" not in node.module
        for a in node.names
    }
    here = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, done, found = [f for f in here.values() if f.decorator_list], set(), set()
    while todo:
        function = todo.pop()
        names = {n.id for part in function.body for n in ast.walk(part) if isinstance(n, ast.Name)}
        found |= names & imported
        todo += [here[n] for n in names & set(here) - done]
        done |= names
    return found
