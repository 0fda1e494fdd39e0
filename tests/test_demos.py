"""Every demo runs with --small and prints the numbers it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMOS = Path(__file__).resolve().parents[1] / "demos"

# least gain in PSNR over the input or the direct inversion, and largest gap, of each docstring; the gains measured with
# --small are 8.7, 7.5 and 4.3 dB (CT, denoising, deblurring): the noise is seeded, so that only rounding changes them
PROMISED = {
    "ct_tv_chambolle_pock": (7.0, 1e-2),
    "denoise_tv_chambolle_pock": (6.0, 1e-4),
    "deblur_tv_chambolle_pock": (2.0, 1e-3),
}


def test_every_demo_is_held_to_something():
    assert {p.stem for p in DEMOS.glob("*.py")} >= set(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_demo(name, tmp_path):
    script = DEMOS / f"{name}.py"
    assert len(script.read_text().splitlines()) <= 80  # one screen: what a demo is for
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(script), "--small"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    before, after = map(float, re.search(r"PSNR +\w+ ([\d.]+) dB, TV ([\d.]+) dB", ran.stdout).groups())
    gain, gap = PROMISED[name]
    assert after - before >= gain
    assert float(re.search(r"^gap +([\d.e+-]+)$", ran.stdout.splitlines()[-1])[1]) <= gap
    assert not list(tmp_path.iterdir())  # a demo leaves nothing behind
