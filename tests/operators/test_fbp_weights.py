"""How much views and rays count in FBP, and what is said about the arcs that nobody measured."""

import numpy as np
import pytest

from varinv.operators.fbp import fbp
from varinv.operators.fbp_weights import MissingArcWarning, coverage, fan_weights
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.radon import Radon
from varinv.phantom import disc

N = 129
HALF, TURN = np.arange(180) * np.pi / 180, np.arange(360) * np.pi / 180
SHORT = np.arange(0, np.pi + 2 * np.atan(100 * 1.5 / 250), np.pi / 180)  # half a turn and the angle of the fan below


def fan(angles, detectors=200, axis=None):
    return FanBeam(angles, detectors, 1.5, 150.0, 100.0, axis)


def degrees(*values):
    return np.deg2rad(np.asarray(values, dtype=float))


def test_views_weigh_half_the_gap_to_both_neighbours():
    share = np.rad2deg(coverage(degrees(0, 100, 30, 60, 135, 10), np.pi).share)
    assert share == pytest.approx([(45 + 10) / 2, 37.5, 25, 35, 40, 15])


def test_views_seen_twice_share_their_arc():
    share = np.rad2deg(coverage(degrees(0, 45, 90, 135, 45, 225, 405), np.pi).share)
    assert share == pytest.approx([45, 45 / 4, 45, 45, 45 / 4, 45 / 4, 45 / 4])


@pytest.mark.parametrize("period", [np.pi, 2 * np.pi])
@pytest.mark.parametrize("seed", range(5))
def test_all_the_views_together_weigh_one_period(period, seed):
    angles = np.random.default_rng(seed).uniform(-20, 20, 60)
    found = coverage(angles, period)
    assert found.missing == []  # 60 random views: a fall by 3 among the four largest gaps has odds below 1 in 1000
    assert found.share.sum() == pytest.approx(period, rel=1e-12)


def test_a_missing_arc_is_nobodys_weight():
    found = coverage(degrees(*range(61)) + 3, np.pi)
    assert np.rad2deg(found.share) == pytest.approx(np.ones(61))  # both ends as well: not 60 each
    assert np.rad2deg(found.missing[0]) == pytest.approx([60.5 + np.rad2deg(3) - 180, 119])
    two = coverage(degrees(*range(50), *range(80, 140)), np.pi)
    assert sorted(np.rad2deg(length) for _, length in two.missing) == pytest.approx([30, 40])


@pytest.mark.parametrize(
    "g",
    [fan(TURN), fan(SHORT), fan(SHORT[::-1] - 9), fan(TURN[:290]), fan(TURN, axis=90.0), fan(TURN, 105, axis=15.0)],
    ids=["full", "short", "short, backwards", "290°", "axis off centre", "half the object"],
)
def test_every_line_of_a_fan_counts_once(g):
    """Σ_θ Δθ (w(θ, γ) + w(θ, −γ)) = 2π: each of the two directions of each line is met once."""
    weights = np.zeros(2 * g.detectors)  # bin g.axis + j at place g.detectors + j, 0 beyond the detector
    first = round(g.detectors - g.axis)
    weights[first : first + g.detectors] = fan_weights(g, 1.0)[0][:, 1:-1].sum(axis=0)
    both = weights + weights[::-1] if g.axis % 1 else weights[1:] + weights[:0:-1]
    seen = both[both > 0]
    assert len(seen) >= g.detectors
    # sums over views one degree apart of weights that are smooth: measured 8e-6, at the outermost five rays of the
    # short scan, where the transition is shorter than a degree, 9e-4
    assert seen[5:-5] == pytest.approx(2 * np.pi, rel=3e-5)
    assert seen == pytest.approx(2 * np.pi, rel=3e-3)


# --------------------------------------------------------------------------------------------------- incomplete scans


@pytest.mark.parametrize(
    ("g", "words"),
    [
        (ParallelBeam(HALF[:61], 150), r"119° of the 180° needed have no view \(60.5° to 179.5°\)"),
        (ParallelBeam(HALF[::-1][:61] + 40 * np.pi, 150), r"119° of the 180° needed"),
        (ParallelBeam(np.concatenate([HALF[:50], HALF[80:140]]), 150), r"70° .*49.5° to 79.5°, 139.5° to 179.5°"),
        (ParallelBeam(HALF[:1], 150), "179° of the 180° needed"),
        (fan(TURN[:180]), r"cover 180°, .* fan 241.7°: 61.67° have no view \(179.5° to 241.2°\)"),
        (fan(TURN[:1]), "240.7° have no view"),
    ],
    ids=str,
)
def test_incomplete_scans_warn_and_name_the_missing_arc(g, words):
    with pytest.warns(MissingArcWarning, match=words):
        x = fbp(Radon((N, N), g, 1.0), disc(40.0).line_integrals(g))
    assert np.isfinite(x).all()


def test_two_blocked_arcs_of_a_fan_that_see_each_other_are_no_loss():
    blocked = (TURN > 1.0) & (TURN < 1.5)
    g = fan(TURN[~blocked])
    x = fbp(Radon((N, N), g, 1.0), disc(45.0).line_integrals(g))  # a warning would fail this test
    assert x[N // 2, N // 2] == pytest.approx(1, abs=5e-3)
