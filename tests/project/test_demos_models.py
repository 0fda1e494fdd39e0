"""The demos of space-variant TV, graphLa, Sobolev terms, stabilisers and discrete tomography keep their promises."""

from __future__ import annotations

import re

import pytest
from test_demos import output


def numbers(text, pattern):
    return [tuple(map(float, found.groups())) for found in re.finditer(pattern, text, re.M)]


@pytest.mark.study
def test_weights_of_a_first_image(tmp_path):
    words = output("ct_spacevariant_tv_chambolle_pock", tmp_path)
    assert float(re.search(r"^ratio .* ([\d.]+)$", words, re.M)[1]) <= 0.8  # 0.53 measured
    assert "FBP weights help less: True" in words


@pytest.mark.study
def test_graph_of_a_first_image(tmp_path):
    words = output("ct_graph_laplacian_cg", tmp_path)
    rows = numbers(words, r"([\d.]+) dB, graphLa ([\d.]+) dB, residual/noise ([\d.]+)")
    assert len(rows) == 2
    for before, after, ratio in rows:
        assert after - before >= 2  # 8.2 and 6.0 measured
        assert ratio == pytest.approx(1.01, rel=2e-3)


def test_coloured_noise(tmp_path):
    words = output("denoise_sobolev_chambolle_pock", tmp_path)
    assert float(re.search(r"^gain +([\d.]+) dB$", words, re.M)[1]) >= 2.5  # 3.6 measured


def test_stabilised_inverse(tmp_path):
    rows = numbers(output("deblur_stabilised_cg", tmp_path), r"C +(-?[\d.]+) ")
    (hundred,), (three,), (filtered,), _ = rows
    assert hundred >= 5
    assert max(three, filtered) <= hundred / 5


def test_two_grey_levels(tmp_path):
    words = output("ct_discrete_lbfgs", tmp_path)
    rows = numbers(words, r"wrong pixels ([\d.]+), distance from two levels ([\d.e+-]+)")
    fbp, tv, both = rows
    assert both[0] <= fbp[0] / 3
    assert both[0] <= 1.1 * tv[0]
    assert both[1] <= tv[1] / 2
