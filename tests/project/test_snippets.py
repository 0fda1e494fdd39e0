"""Scripts of README and docs that read a scan run as printed on real scans, and their images are right."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.scan import demo

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("VARINV_DATA", ROOT.parent / "shared" / "data"))
TOOTH = "ct_tooth_parallel_h5/tooth.h5"
DISC = "ct_htc2022_fan_ta/solid_disc_subsample73_v73.mat"


def snippet(page: str) -> str:
    """The first script of a page that reads a scan."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)
    return next(b for b in blocks if "vi.read(" in b)


def run(page: str, scan: str, folder: Path, monkeypatch: pytest.MonkeyPatch, coarser: str = "") -> dict[str, Any]:
    """What the names of the script stand for in the end; its file name is replaced, nothing else.

    coarser : what follows `vi.read(…)`, so that the test takes seconds.
    """
    path = DATA / scan
    if not path.exists():
        pytest.skip(f"{scan} is not there (VARINV_DATA or ../shared/data)")
    monkeypatch.chdir(folder)
    text, count = re.subn(r'vi\.read\("[^"]+"\)', f"vi.read({str(path)!r}){coarser}", snippet(page))
    assert count == 1
    found: dict[str, Any] = {}
    exec(compile(text, page, "exec"), found)
    return found


def test_the_page_of_scans_reconstructs_a_tooth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("docs/scans.md", TOOTH, tmp_path, monkeypatch)
    assert found["A"].pixel_size == 4.0  # the detector's columns are 1, four a bin
    for x in (found["image"], found["result"].x):
        # enamel is about 0.0088 per column (README of the scan): the upper per cent of the image, blurred by four
        # columns a bin; a wrong pixel size would be a factor of four off
        assert 0.006 < np.percentile(x, 99) < 0.012
    assert found["result"].misfit[0] < 0.05  # 1 % of noise, and what 148 pixels cannot show of 640 columns
    again = vi.fbp(vi.Radon((148, 148), found["scan"].geometry), found["sinogram"])
    assert np.percentile(again, 99) == pytest.approx(np.percentile(found["image"], 99), rel=0.1)


def test_the_first_script_reconstructs_a_disc_of_a_fan_beam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("README.md", DISC, tmp_path, monkeypatch, ".bin(4)")
    assert found["A"].pixel_size == pytest.approx(4 * 0.2 / (553.74 / 410.66))  # the pitch at the axis
    x = found["result"].x
    n = x.shape[0] // 2
    middle = x[n - 10 : n + 10, n - 10 : n + 10]
    # acrylic: 0.0409 per mm, times 0.83 to 0.84 for the hardening of the beam; 30° of views leave 10 %
    assert 0.9 * 0.034 < np.median(middle) < 1.1 * 0.034
    assert found["result"].misfit[0] < 0.1
    assert "stopped" in capsys.readouterr().out


def test_the_page_of_checks_finds_nothing_in_the_scan_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(snippet("docs/checks.md"), "docs/checks.md", "exec"), {})
    assert "ok" in capsys.readouterr().out
    assert not vi.read(demo.path()).check().doubtful


def test_the_page_of_stacks_fills_a_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the embedded scan: three rows where the page has six hundred, and every twelfth view."""
    pytest.importorskip("zarr")
    few = f"{str(demo.path())!r}).views(slice(None, None, 12)).bin(4)"
    code = snippet("docs/volumes.md").replace('"scan.h5")', few)
    code = code.replace("slice(200, 800)", "slice(0, 3)").replace("[100]", "[1]")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(compile(code, "docs/volumes.md", "exec"), found)
    assert "all slabs done" in capsys.readouterr().out
    truth = demo.truth(1).reshape(64, 4, 64, 4).mean((1, 3))
    assert vi.psnr(np.asarray(found["some"]), truth) > 30  # 15 views: 36.0 measured, filtered back-projection 23.2
