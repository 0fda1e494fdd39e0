"""Ctrl-C at random times: exit code 130, whole files or none; also while kernels compile."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from varinv.interrupts import Interrupts
from varinv.scan import demo

# a shell that starts tests in the background makes its children ignore Ctrl-C: the handler is set here; "ready" is
# printed before the command and its imports begin
SCRIPT = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from varinv.__main__ import main\n"
    "print('ready', flush=True)\n"
    "main()"
)


def started(folder, *options, **environment):
    args = ["reconstruct", str(demo.path()), "-o", str(folder / "x.h5"), "--views", "::6", "--bin", "2", *options]
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", **environment}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def whole(folder) -> bool:
    """What lies there is complete; whether there is an image."""
    names = sorted(p.name for p in folder.iterdir())
    assert names in ([], ["x.h5"], ["x.h5", "x.png"], ["old.h5"]), names
    if "x.h5" in names:
        with h5py.File(folder / "x.h5") as file:
            assert np.isfinite(file["image"][()]).all()
            assert file.attrs["why"]
    if "x.png" in names:
        assert (folder / "x.png").read_bytes()[-8:-4] == b"IEND"
    return "x.h5" in names


def interrupted(process, after: float):
    try:
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        return (*process.communicate(timeout=120), process.returncode)
    finally:
        process.kill()


@pytest.mark.parametrize("seed", range(4))
def test_at_random_times(tmp_path, seed):
    """Imports, reading, the search for the weight, the solve: a run of minutes, stopped in its first five seconds."""
    process = started(tmp_path, "--gap", "1e-12", "--iterations", "1000000")
    out, error, code = interrupted(process, random.Random(seed).uniform(0.0, 5.0))
    assert code == 130, (out, error)
    assert "Traceback" not in error
    if not whole(tmp_path):
        assert error == "" or "nothing was written" in error  # silent where even the command was not there yet


@pytest.mark.parametrize("seed", range(3))
def test_while_kernels_compile(tmp_path, seed):
    """An empty cache: most of the first ten seconds are compiling."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "out").mkdir()
    process = started(tmp_path / "out", "--weight", "3", NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    out, error, code = interrupted(process, random.Random(100 + seed).uniform(2.0, 8.0))
    assert code == 130, (out, error)
    assert "Traceback" not in error
    whole(tmp_path / "out")


def test_while_files_are_written_they_are_finished(tmp_path):
    script = SCRIPT.replace(
        "main()",
        "import os, varinv.image_files as f; write = f._write_hdf5\n"
        "def slow(*a): os.kill(os.getpid(), signal.SIGINT); write(*a)\n"
        "f._write_hdf5 = slow; main()",
    )
    args = ["reconstruct", str(demo.path()), "-o", str(tmp_path / "x.h5"), "--views", "::12", "--bin", "4"]
    done = subprocess.run(
        [sys.executable, "-c", script, *args, "--prior", "none"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert whole(tmp_path)
    assert (tmp_path / "x.png").exists()
    assert "written" in done.stdout


def test_what_a_callback_swallows_is_heard_later():
    watch = Interrupts()
    with pytest.raises(KeyboardInterrupt):
        watch._press(2, None)
    with pytest.raises(KeyboardInterrupt):
        watch.again()


def test_held_blocks_are_not_cut():
    watch, done = Interrupts(), []

    def work() -> None:
        with watch.held():
            watch._press(2, None)
            done.append("finished")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["finished"]
    watch = Interrupts()
    with watch.held(quietly=True):
        watch._press(2, None)
        watch.again()  # nothing is raised inside
    assert watch.asked == 1
