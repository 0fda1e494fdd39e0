"""The command line on the embedded scan: what it writes, what it says, how it fails, what Ctrl-C leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import varinv as vi
from varinv.cli import app
from varinv.scan import demo

SCAN = str(demo.path())
SHORT = [
    "--views",
    "::12",
    "--bin",
    "4",
    "--weight",
    "5",
    "--iterations",
    "40",
]  # 15 views of 64 bins: a tenth of a second


def call(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def image(path):
    with h5py.File(path) as f:
        return f["image"][()]


def reconstruct(path, *args):
    done = call("reconstruct", SCAN, "-o", path, *SHORT, *args)
    assert done.exit_code == 0, done.output
    return image(path)


def test_info_says_what_is_in_the_scan():
    done = call("info", SCAN)
    assert done.exit_code == 0
    said = [
        "Data Exchange, 180 views of 3 x 256",
        "angles 0 to 179 degrees",
        "flats: 10, darks: 10",
        "axis at column 131.",
        "dead or hot pixels interpolated: 2",
        "transmission",
        "99.22 % measured",
    ]
    for words in said:
        assert words in done.stdout


def test_version():
    assert call("--version").stdout == f"varinv {vi.__version__}\n"


def test_help_is_plain_text():
    done = call("reconstruct", "--help")
    assert "A:B:STEP" in done.stdout  # not an emoji
    assert done.exit_code == call("-h").exit_code == 0


def test_hdf5_holds_image_geometry_settings_reason_and_repairs(tmp_path):
    out = tmp_path / "x.h5"
    x = reconstruct(out)
    assert (x.shape, x.dtype) == ((64, 64), np.float32)
    with h5py.File(out) as f:
        assert f.attrs["why"] == "40 iterations"
        assert f.attrs["varinv_version"] == vi.__version__
        assert "dead or hot pixels interpolated: 2" in f.attrs["repairs"]
        assert dict(f["settings"].attrs)["weight"] == 5
        g = f["geometry"]
        assert g.attrs["type"] == "ParallelBeam"
        assert g.attrs["pixel_size"] == g.attrs["spacing"] == 4
        assert g.attrs["axis"] == pytest.approx(
            (demo.AXIS - 1.5) / 4, abs=0.3 / 4
        )  # the estimate is good to 0.3 column
        assert np.allclose(g["angles"], np.deg2rad(np.arange(0, 180, 12)))
        assert f["history/gap"].shape == f["history/k"].shape
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.h5", "x.png"]  # no part files


def test_tiff_holds_the_same_image_and_its_description(tmp_path):
    x = reconstruct(tmp_path / "x.h5")
    done = call("reconstruct", SCAN, "-o", tmp_path / "y.tif", *SHORT)
    assert done.exit_code == 0
    with tifffile.TiffFile(tmp_path / "y.tif") as f:
        assert np.array_equal(f.asarray(), x)
        words = json.loads(f.imagej_metadata["Info"])
    assert words["geometry"]["detectors"] == 64
    assert words["why"] == "40 iterations"


def test_the_summary_says_how_the_axis_was_found_and_why_the_solver_stopped(tmp_path):
    done = call("reconstruct", SCAN, "-o", tmp_path / "x.h5", *SHORT)
    assert "estimated" in done.stdout
    assert "stopped     40 iterations" in done.stdout
    assert f"{tmp_path / 'x.png'}" in done.stdout
    assert "given" in call("reconstruct", SCAN, "-o", tmp_path / "x.h5", *SHORT, "--axis", demo.AXIS).stdout


def test_options_do_what_they_say(tmp_path):
    out = tmp_path / "x.h5"
    x = reconstruct(out)
    assert reconstruct(out, "--size", 50).shape == (50, 50)
    assert reconstruct(out, "--pixel-size", 8).shape == (32, 32)
    assert reconstruct(out, "--size", 40, "--pixel-size", 5).shape == (40, 40)
    # p(θ, −u) belongs to the image turned by 180°, p(−θ, u) to the one with top and bottom exchanged; measured 38.9 dB
    # (40 iterations, and the axis between two pixels), but 22.9 dB for the image as it stands
    assert vi.psnr(reconstruct(out, "--flip")[::-1, ::-1], x) > 32
    assert vi.psnr(reconstruct(out, "--reverse")[::-1], x) > 32
    good, bad = (reconstruct(out, "--axis", demo.AXIS + d) for d in (0, 6))
    truth = demo.truth(1).reshape(64, 4, 64, 4).mean((1, 3))
    assert vi.psnr(good, truth) > vi.psnr(bad, truth) + 2  # 6 columns are 1.5 bins: blurred edges
    assert not np.array_equal(reconstruct(out, "--counts"), x)
    assert vi.psnr(reconstruct(out, "--prior", "none", "--weight", "auto"), truth) < vi.psnr(x, truth)


def test_stacks_slice_by_slice_and_as_a_volume(tmp_path):
    out = tmp_path / "x.h5"
    stack = reconstruct(out, "--rows", "0:3")
    assert stack.shape == (3, 64, 64)
    assert np.array_equal(stack[1], reconstruct(out, "--rows", "1"))  # λ is that of the middle row, here row 1
    with h5py.File(out) as f:
        assert list(f["rows"]) == [1]
    volume = reconstruct(out, "--rows", "all", "--volume")
    assert volume.shape == (3, 64, 64)
    assert not np.allclose(volume, stack, atol=1e-4)  # coupled across slices: another problem


@pytest.mark.study
def test_auto_finds_a_weight_that_is_nearly_the_best(tmp_path):
    args = ["--views", "::6", "--bin", "2", "--iterations", "300"]
    done = call("reconstruct", SCAN, "-o", tmp_path / "x.h5", *args)
    assert done.exit_code == 0
    assert done.stdout.count("held-out residual") >= 8
    truth = demo.truth(1).reshape(128, 2, 128, 2).mean((1, 3))
    chosen = vi.psnr(image(tmp_path / "x.h5"), truth)
    for weight in (0.1, 1, 10, 100):
        call("reconstruct", SCAN, "-o", tmp_path / "y.h5", *args, "--weight", weight)
        # weights are half a decade apart, and held-out views are noisy: within 1.5 dB of the best of a coarse search
        assert chosen > vi.psnr(image(tmp_path / "y.h5"), truth) - 1.5


def test_an_existing_file_is_replaced_in_one_go(tmp_path):
    out = tmp_path / "x.h5"
    out.write_bytes(b"old")
    assert reconstruct(out).shape == (64, 64)


ERRORS = {
    "missing file": (["reconstruct", "absent.h5", "-o", "OUT/x.h5"], "absent.h5"),
    "unknown suffix": (["reconstruct", SCAN, "-o", "OUT/x.bmp"], ".bmp"),
    "missing folder": (["reconstruct", SCAN, "-o", "OUT/absent/x.h5"], "absent"),
    "weight": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--weight", "lots"], "lots"),
    "negative weight": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--weight", "-1"], "weight"),
    "views": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--views", "1:2:3:4"], "1:2:3:4"),
    "no views": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--views", "500:"], "views"),
    "too few views": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--views", ":6"], "at least 10"),
    "rows": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--rows", "7:9"], "7:9"),
    "bin": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--bin", "0"], "bin"),
    "columns": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--columns", "9:2"], "9:2"),
    "prior": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--prior", "tvv"], "tvv"),
    "pixel size": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--pixel-size", "-2"], "-2"),
    "gap": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--gap", "0"], "gap"),
    "unknown option": (["reconstruct", SCAN, "-o", "OUT/x.h5", "--wieght", "1"], "wieght"),
    "no output": (["reconstruct", SCAN], "output"),
    "angles": (["info", SCAN, "--angles", "absent.txt"], "absent.txt"),
    "demo": (["demo", "nothing", "--out", "OUT"], "nothing"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_message_and_code_2(tmp_path, name, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    args, words = ERRORS[name]
    done = call(*[a.replace("OUT", str(tmp_path)) for a in args])
    assert done.exit_code == 2
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_error_itself():
    done = call("info", "absent.h5", "--debug")
    assert isinstance(done.exception, vi.ScanError)


def test_a_warning_is_one_line(tmp_path):
    done = call("reconstruct", SCAN, "-o", tmp_path / "x.h5", "--views", ":60:4", "--prior", "none", "--bin", "4")
    assert done.exit_code == 0
    assert "\nwarning: fbp: " in f"\n{done.stderr}"  # the first use of kernels may have said its line before


def test_ctrl_c_leaves_complete_files_and_code_130(tmp_path):
    """A solve that would take minutes is interrupted once it runs."""
    # the handler is set here because a shell that starts tests in the background makes its children ignore Ctrl-C
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import varinv.tomography.job as job; solve = job.solve\n"
        "def started(*a, progress, **k):\n"
        "    def show(i, r): print('solving', flush=True) if i == 5 else None; progress(i, r)\n"
        "    return solve(*a, progress=show, **k)\n"
        "job.solve = started\n"
        "from varinv.cli import main; main()"
    )
    args = ["reconstruct", SCAN, "-o", str(tmp_path / "x.h5"), "--weight", "5", "--gap", "1e-12"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *args, "--iterations", "1000000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "solving\n"
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, error
    assert "stopped     interrupted after" in out
    assert np.isfinite(image(tmp_path / "x.h5")).all()
    with h5py.File(tmp_path / "x.h5") as f:
        assert f.attrs["why"].startswith("interrupted")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.h5", "x.png"]


def test_ctrl_c_between_slices_keeps_those_that_are_done(tmp_path, monkeypatch):
    import varinv.tomography.job as job

    measured, calls = job.measured, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 4:  # the middle row for λ, rows 0 and 1, then this
            raise KeyboardInterrupt
        return measured(*args)

    monkeypatch.setattr(job, "measured", interrupted)
    done = call("reconstruct", SCAN, "-o", tmp_path / "x.h5", *SHORT, "--rows", "all")
    assert done.exit_code == 130
    assert image(tmp_path / "x.h5").shape == (2, 64, 64)
    with h5py.File(tmp_path / "x.h5") as f:
        assert list(f["rows"]) == [0, 1]


def test_demo_reaches_its_figures(tmp_path):
    from varinv.tomography.demonstration import demonstrate

    said = []
    found = demonstrate("tv", tmp_path / "out", 6, said.append)
    assert abs(found.axis_error) <= 0.3  # the promise of `make demo`
    assert found.psnr_tv > found.psnr_fbp + 8  # measured 37.7 dB against 24.9 dB with the Hann filter
    assert found.psnr_tv > 36
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "comparison.png", "reconstruction.h5", "reconstruction.png"]  # fmt: skip
    assert any(line.startswith("stopped") for line in said)


def test_the_input_is_never_replaced(tmp_path):
    copy = tmp_path / "scan.h5"
    copy.write_bytes(demo.path().read_bytes())
    for out in (copy, tmp_path / "." / "scan.h5"):
        found = call("reconstruct", copy, "-o", out, "--prior", "none")
        assert found.exit_code == 2
        assert "would replace the input" in found.output
    assert copy.read_bytes() == demo.path().read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--size", "1000000", "--prior", "none"], "needs about"),
        (["--stripes", "100000"], "stripes must be at most the 256 columns"),
        (["--prior", "none", "--weight", "3"], "no meaning with --prior none"),
        (["--axis", "9999"], "--axis 9999 lies more than a detector width outside"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, words):
    found = call("reconstruct", SCAN, "-o", tmp_path / "x.h5", *options)
    assert found.exit_code == 2
    assert words in found.output.replace("\n", " ")
