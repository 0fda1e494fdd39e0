"""The demos of plugged denoisers and decoders run with --small, with the stored network or without it."""

import re

import pytest
from test_demos import output


def numbers(line):
    return [float(v) for v in re.findall(r"-?[\d.]+\d", line)]


@pytest.mark.study
def test_the_table_of_families(tmp_path):
    words = output("restoration_network_table", tmp_path).splitlines()
    network = "DnCNN" in words[0]
    rows = {line[:11].strip(): numbers(line[12:]) for line in words[2:]}
    assert set(rows) == {"inpainting", "deblurring", "super-res."}
    for task, (start, _, hqs, *_) in rows.items():
        if network or task != "inpainting":  # measured on this tiny image: 2.2, 1.0, 3.4 dB above the start
            assert hqs >= start + 0.7


def test_tomography(tmp_path):
    line = output("ct_network_hqs", tmp_path).splitlines()[-1]
    fbp, _, hqs, admm = map(float, re.findall(r"([\d.]+) dB", line))
    assert min(hqs, admm) >= fbp + 4  # 7.2 and 8.0 dB with the network, 5.7 and 6.7 without


def test_the_uncertainty_map(tmp_path):
    _, seen, hidden = output("uncertainty_decoder_vble", tmp_path).splitlines()
    (sure, _), (unsure, error) = numbers(seen), numbers(hidden)
    assert unsure >= 1.5 * sure  # 2.9
    assert unsure / 2 <= error <= 2 * unsure  # 1.2
