"""The demos of learning run with --small and print what they promise."""

import re

import pytest
from test_demos import output


def decibels(words: str) -> list[float]:
    return [float(d) for d in re.findall(r"([\d.]+) dB", words.splitlines()[-1])]


@pytest.mark.study
# measured with --small (noise is seeded):
# 20.1, 26.4, 26.5, 26.6 dB; 23.1, 27.6 dB; 20.1, 25.8, 26.4 dB; 20.0, 25.2, 24.9 dB
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("denoise_tv_maid", lambda noisy, learned, blind, grid: min(learned, blind) >= grid - 0.5 and grid > noisy + 5),
        ("ct_tv_maid", lambda fbp, learned: learned >= fbp + 3),
        ("denoise_weightmap_maid", lambda noisy, flat, found: found >= flat + 0.3 and flat > noisy + 5),
        ("denoise_experts_maid", lambda noisy, tv, experts: experts >= noisy + 4 and tv >= noisy + 4),
    ],
)
def test_demo(name, kept, tmp_path):
    words = output(name, tmp_path)
    assert kept(*decibels(words))
    loss, low, high = map(float, re.search(r"^loss +(\S+), proved in \[(\S+), (\S+)\]$", words, re.M).groups())
    assert low <= loss <= high


@pytest.mark.study
def test_the_demo_of_choosing_predicts_unseen_views(tmp_path):
    words = output("ct_choose_tv", tmp_path)
    held, best, fbp = map(float, re.search(r"held-out (\S+), best of seven (\S+), FBP (\S+)$", words, re.M).groups())
    assert held <= 1.02 * best
    assert held < fbp
