"""The options that say what a file holds, through the whole command."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

import varinv as vi
from varinv import phantom
from varinv.cli import app

VIEWS, N = 48, 40
ANGLES = np.linspace(0, 2 * np.pi, VIEWS, endpoint=False)
FAN = vi.FanBeam(ANGLES, N, 0.5, 60.0, 30.0)


def call(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def truth():
    """Line integrals of a fan beam, in units of its pitch."""
    return np.asarray(phantom.disc(4.0, 0.2, x=2.0).line_integrals(FAN))


@pytest.fixture
def file(tmp_path, truth):
    with h5py.File(tmp_path / "scan.h5", "w") as f:
        f["entry/first"] = truth.astype("f4")[:, None]
        f["entry/second"] = 2 * truth.astype("f4")[:, None]
        f["turned"] = np.rad2deg(ANGLES)
    return tmp_path / "scan.h5"


def image(path):
    with h5py.File(path) as f:
        return f["image"][()]


def reconstructed(file, out, *more):
    pitch = ["--pitch", 0.5, "--distances", "60,30", "--kind", "line-integrals", "--axis", (N - 1) / 2]
    done = call("reconstruct", file, "-o", out, "--prior", "none", *pitch, *more)
    assert done.exit_code == 0, done.output
    return image(out)


def test_the_named_arrays_are_read(file, tmp_path):
    out = tmp_path / "x.h5"
    assert call("info", file, "--kind", "line-integrals").exit_code == 2  # two arrays, none is named
    names = ["--dataset", "entry/first", "--angles-dataset", "turned"]
    first = reconstructed(file, out, *names)
    second = reconstructed(file, out, "--dataset", "entry/second", "--angles-dataset", "turned")
    np.testing.assert_allclose(second, 2 * first, atol=1e-5)
    assert first.max() == pytest.approx(0.2, rel=0.15)  # the fan, the pitch and the unit reach the image


def test_angles_in_words_are_those_of_the_file(file, tmp_path):
    out = tmp_path / "x.h5"
    stated = reconstructed(file, out, "--dataset", "entry/first", "--angles-dataset", "turned")
    worded = reconstructed(file, out, "--dataset", "entry/first", "--angles", f"0:360:{VIEWS}")
    np.testing.assert_allclose(worded, stated, atol=1e-5)


def test_the_kind_decides_about_the_logarithm(truth, tmp_path):
    np.save(tmp_path / "x.npy", np.exp(-truth))
    given = ["--angles", f"0:360:{VIEWS}", "--distances", "60,30", "--pitch", 0.5]
    done = call("info", tmp_path / "x.npy", "--kind", "transmission", *given)
    assert done.exit_code == 0
    assert f"line integrals {truth.min():.4g} to {truth.max():.4g}" in done.stdout
    done = call("info", tmp_path / "x.npy", "--kind", "emission", *given)
    assert f"to {np.exp(-truth.min()):.4g}" in done.stdout
    assert call("info", tmp_path / "x.npy", "--kind", "photographs", *given).exit_code == 2


def test_links_out_of_the_folder_need_a_word(file, tmp_path):
    (tmp_path / "inner").mkdir()
    with h5py.File(tmp_path / "inner" / "master.h5", "w") as f:
        f["data"] = h5py.ExternalLink("../scan.h5", "entry/first")
    names = ["--kind", "line-integrals", "--dataset", "data", "--angles", f"0:360:{VIEWS}"]
    done = call("info", tmp_path / "inner" / "master.h5", *names)
    assert done.exit_code == 2
    assert "--links any" in done.stderr
    assert call("info", tmp_path / "inner" / "master.h5", *names, "--links", "any").exit_code == 0
