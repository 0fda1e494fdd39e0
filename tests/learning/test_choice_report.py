"""What `choose` says when a rule fails, its report as text, file and picture, and what it refuses."""

from __future__ import annotations

import json
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from test_choice_rules import Y, ridge

import varinv as vi
from varinv.learning.path import Sweep

pytestmark = pytest.mark.usefixtures("one_thread")
NOISE = 0.1


rng = np.random.default_rng(1)


def test_statuses() -> None:
    assert vi.choose(ridge, Y, vi.SURE(0.3), bounds=(3, 6), points=4).status == "at the end of the bounds"
    assert vi.choose(ridge, Y, vi.SURE(0.3), bounds=(-9, -6), points=4).status == "at the end of the bounds"
    none = vi.choose(ridge, Y, vi.Discrepancy(30.0), bounds=(-6, 4))
    assert none.status == "no root"
    assert "the residual stays below the target up to theta = 4" in none.why
    flat = vi.choose(lambda theta, y: vi.L2Squared(y) + vi.L2Squared(), Y, vi.Whiteness(), bounds=(-1, 1), points=3)
    assert flat.status == "the criterion does not depend on theta"
    end = vi.choose(ridge, Y, vi.Evidence(), bounds=(3, 6))
    assert end.status == "at the end of the bounds"
    line = vi.choose(lambda theta, y: vi.L2Squared(y) + math.exp(theta[0]) * vi.L2Squared(), Y, vi.LCurve(), (-9, -5))
    assert line.status in ("no corner", "at the end of the bounds")


def test_a_solve_that_fails_is_a_status() -> None:
    class Stuck(vi.CG):
        def step(self, problem: Any, state: Any) -> Any:
            return super().step(problem, state)._replace(x=state.x * math.nan)

    vi.CG.kinds.remove(Stuck)
    chosen = vi.choose(ridge, Y, vi.Whiteness(), bounds=(-2, 2), points=3, solver=Stuck())
    assert chosen.status == "lower solve did not converge"
    assert "not finite" in chosen.why
    assert not chosen.ok


@pytest.mark.parametrize("rule", [vi.SURE(0.3), vi.Whiteness(), vi.Discrepancy(0.3)], ids=str)
def test_nothing_is_located_by_solves_that_were_cut_short(rule: Any) -> None:
    """One iteration is no solution; with an accuracy in its place there is one."""

    def tv(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) + math.exp(theta[0]) * vi.TV(y.shape)

    short = vi.choose(tv, Y, rule, bounds=(-4, 1), points=5, solver=vi.ChambollePock(), stop=vi.iterations(1))
    assert short.status == "lower solve did not converge"
    assert "located within" not in short.why
    assert re.search(r"(\d+) of \1 solves ended without their accuracy", short.why)
    long = vi.choose(tv, Y, rule, bounds=(-4, 1), points=5, stop=vi.residual(1e-4) | vi.iterations(5000))
    assert long.status != "lower solve did not converge"


def test_report_files_and_picture(tmp_path: Any) -> None:
    chosen = vi.choose(ridge, Y, vi.SURE(0.3), bounds=(-6, 4), points=7)
    content = json.loads(chosen.save(tmp_path / "choice.json").read_text())
    assert content["theta"] == list(chosen.theta)
    assert content["status"] == "ok"
    assert len(content["curve"]) == len(chosen.curve) >= 7
    white = vi.choose(ridge, Y, vi.Whiteness(), bounds=(-6, 4), points=3)
    assert json.loads(white.save(tmp_path / "w.json").read_text())["curve"][0]["df"] is None
    again = pickle.loads(pickle.dumps(chosen))
    assert np.array_equal(again.x, chosen.x)
    assert again.curve == chosen.curve
    assert "status      ok: the least criterion, located within 0.01 of theta" in chosen.summary()
    assert chosen.problem(chosen.x) <= ridge([float(chosen.theta[0])], Y)(1.01 * chosen.x)
    assert chosen.save(tmp_path / "image.h5").stat().st_size > 0
    assert chosen.plot(tmp_path / "choice.png").axes
    assert (tmp_path / "choice.png").stat().st_size > 10_000
    with pytest.raises(ValueError, match=r"must end in \.json, \.h5"):
        chosen.save(tmp_path / "choice.txt")


def test_the_picture_marks_what_was_chosen() -> None:
    """A point at theta and its criterion, a colour bar beside an image, failed solves, one axis of theta for both."""
    image = np.add.outer(np.arange(8.0) > 3, np.zeros(8)) + 0.1 * rng.standard_normal((8, 8))
    family = vi.families.TV((8, 8))
    one = vi.choose(vi.families.TV((8, 8), smoothing=0.1), image, vi.SURE(NOISE), bounds=(-5, 1), points=5)
    many = vi.choose(family, image, vi.SURE(NOISE), bounds=[(-5, 1), (-4, -1)])
    for chosen in (one, many):
        figure = chosen.plot()
        panels = {ax.get_title(): ax for ax in figure.axes}
        upper, lower = panels[vi.SURE.criterion], panels["residual ‖A x − y‖"]
        (marked,) = (line for line in upper.lines if line.get_marker() == "o")
        k = min(range(len(chosen.curve)), key=lambda k: chosen.curve[k].criterion)
        assert marked.get_xydata().tolist() == [[k + 1 if chosen is many else chosen.theta[0], chosen.value]]
        assert upper.get_legend().get_texts()[0].get_text().startswith("chosen")
        assert lower.get_xlabel() == ("evaluation" if chosen is many else "theta (natural logarithm)")
        assert upper.get_shared_x_axes().joined(upper, lower)
        assert [ax for ax in figure.axes if ax.get_ylabel() == "grey value"]
        assert figure.get_suptitle().endswith(chosen.status)


def test_the_noise_level_is_estimated_from_images() -> None:
    image = np.add.outer(np.sin(np.arange(64) / 9), np.arange(64) > 30) + 0.2 * rng.standard_normal((64, 64))
    family = vi.families.TV((64, 64), smoothing=0.05)
    chosen = vi.choose(family, image, vi.Discrepancy(), bounds=(-4, 1))
    assert chosen.noise == pytest.approx(0.2, rel=0.1)  # median of 1024 wavelet coefficients: 4 % standard deviation
    with pytest.raises(
        ValueError, match=r"SURE: the noise level can be estimated from images only \(A = I\).*behind Dia"
    ):
        vi.choose(ridge, Y, vi.SURE(), bounds=(-6, 4))


def test_solves_that_fail_in_a_part_of_the_bounds() -> None:
    """NaN above theta = 0: the choice is made below, and the report says how many solves failed."""

    class Stuck(vi.CG):
        def step(self, problem: Any, state: Any) -> Any:
            found = super().step(problem, state)
            return found._replace(x=found.x * math.nan) if problem.terms[-1].f.weight > 1 else found

    vi.CG.kinds.remove(Stuck)
    grid = [-3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.5, 1.0]
    for rule in (vi.SURE(0.3), vi.GCV(), vi.Whiteness(), vi.HoldOut(every=3), vi.LCurve()):
        chosen = vi.choose(ridge, Y, rule, bounds=(-3, 1), points=grid, solver=Stuck(), refine=False)
        assert chosen.theta[0] < 0
        assert np.isfinite(chosen.x).all()
        assert "2 of 8 solves ended without their accuracy, none of them beside it" in chosen.why
        assert [p.theta for p in chosen.curve if not p.reached] == [0.5, 1.0]
        assert chosen.plot().axes
    for rule in (vi.Discrepancy(0.3), vi.Evidence()):
        assert vi.choose(ridge, Y, rule, (0.5, 3), solver=Stuck()).status == "lower solve did not converge"


@pytest.mark.parametrize("rule", [vi.Discrepancy(0.1), vi.Evidence()], ids=str)
def test_a_residual_that_is_nan_is_a_status(rule: Any, monkeypatch: Any) -> None:
    """Searches that step from one residual to the next end there, at the best they had."""
    at = Sweep.at

    def broken(self: Any, theta: float, *more: Any) -> Any:
        fit = at(self, theta, *more)
        return fit._replace(r=fit.r * math.nan) if theta < -0.9 else fit

    monkeypatch.setattr(Sweep, "at", broken)
    chosen = vi.choose(ridge, Y, rule, bounds=(-6, 4))
    assert chosen.status == "lower solve did not converge"
    assert "the residual at theta = -1 is nan" in chosen.why
    assert len(chosen.curve) == 1


def test_few_iterations_are_a_solve_that_did_not_converge(monkeypatch: Any) -> None:
    from varinv.learning import path

    monkeypatch.setattr(path, "LOWER", 2)
    for rule in (vi.SURE(0.3), vi.Whiteness(), vi.Evidence(), vi.Discrepancy(0.3)):
        chosen = vi.choose(ridge, Y, rule, bounds=(-6, 4), points=5, tol=1e-9)
        assert chosen.status == "lower solve did not converge", rule
        assert not all(p.reached for p in chosen.curve)
    edges = vi.choose(  # no gradient, no proof: as `solve` does it, to a residual
        lambda theta, y: vi.L2Squared(y) + math.exp(theta[0]) * vi.TV(Y.shape), Y, vi.SURE(0.3), (-3, 0), points=3
    )
    assert edges.status == "lower solve did not converge"


def test_bounds_may_be_arrays() -> None:
    pairs = vi.choose(ridge, Y, vi.SURE(0.3), bounds=(-6, 4), points=5)
    for bounds in (np.array([-6.0, 4.0]), [np.float64(-6), np.array(4.0)]):
        assert vi.choose(ridge, Y, vi.SURE(0.3), bounds=bounds, points=5).theta == pairs.theta
    box = vi.choose(ridge, Y, vi.SURE(0.3), bounds=np.array([[-6.0, 4.0]]))
    assert box.theta[0] == pytest.approx(pairs.theta[0], abs=0.05)  # one of several parameters, by its gradient


def test_bad_input() -> None:
    nan = Y.copy()
    nan[0, 0] = math.nan

    def shrinking(theta: Any, y: Any) -> Any:
        n = 4 if theta[0] < 0 else 5
        return vi.L2Squared(y.ravel()[:6]) @ vi.Matrix(np.ones((6, n))) + vi.L2Squared()

    good = {"family": ridge, "y": Y, "rule": vi.SURE(0.3), "bounds": (-6, 4)}
    for change, text in (
        ({"family": 3}, "choose: family must be a callable family"),
        ({"family": vi.families.TV}, "choose: family must be a callable family"),
        ({"family": lambda theta, y: 3}, "must return a Problem such as"),
        ({"family": lambda theta, y: vi.KullbackLeibler(abs(y)) + vi.L1()}, "has 0 least-squares terms with data"),
        ({"y": nan}, "choose: y has 1 NaN or infinite of 30 values"),
        ({"rule": vi.SURE}, r"rule must be an instance, got the class SURE; write SURE\("),
        ({"rule": "sure"}, "rule must be a rule such as SURE.*got 'sure'"),
        ({"bounds": (4, -6)}, r"bounds must increase, got \(4, -6\)"),
        ({"bounds": None}, r"bounds must be \(low, high\) in theta"),
        ({"bounds": (1, 1)}, r"bounds must increase, got \(1, 1\)"),
        ({"bounds": (math.nan, 1)}, "bounds must be finite, got nan"),
        ({"bounds": ("a", 1)}, "bounds must be a real number, got 'a'"),
        ({"bounds": [np.array([-6, 4]), np.array([-6, 4])], "rule": vi.GCV()}, "several parameters are chosen by SURE"),
        ({"bounds": [(-6, 4), (4, 4)]}, r"bounds must increase, got \(4, 4\)"),
        ({"bounds": (-1, 800)}, r"the family overflows where theta is 800; natural logarithms"),
        ({"family": lambda theta, y: vi.L2Squared(y.reshape(30)) + vi.L2Squared()}, r"y has shape \(6, 5\).*\(30,\)"),
        ({"family": shrinking, "y": Y.ravel()[:6]}, r"changed the shape of its unknown from \(5,\) to \(4,\)"),
        ({"y": Y.ravel()[:6] * math.inf}, "y has 6 NaN or infinite of 6 values"),
        ({"y": "scan.h5"}, "y must be a real array"),
        ({"bounds": (1, 2, 3)}, r"bounds must be \(low, high\) in theta"),
        ({"bounds": (-math.inf, 0)}, "bounds must be finite"),
        ({"points": 2}, "points must be at least 3, got 2"),
        ({"points": [0.0, 2.0, 1.0]}, "points must be at least 3 increasing values"),
        ({"points": [0.0, 2.0, 5.0]}, r"points must lie within the bounds \(-6, 4\)"),
        ({"tol": 0.0}, "tol must be greater than 0"),
        ({"bounds": [(-6, 4), (-6, 4)], "rule": vi.GCV()}, r"several parameters are chosen by SURE.*got GCV\(\)"),
        ({"bounds": [(-6, 4), (-6, 4)], "theta0": [0.0]}, "theta0 must have 2 entries"),
        ({"bounds": [(-6, 4), (-6, 4)], "theta0": [0.0, 5.0]}, "theta0 must lie within the bounds"),
        ({"rule": vi.LCurve(), "points": 4}, "the curvature needs at least 5 points, got 4"),
        ({"rule": vi.Whiteness(axes=(2,))}, r"Whiteness: axes must lie in -2\.\.1"),
        ({"rule": vi.HoldOut(every=20, axis=1)}, "HoldOut: one in 20 of shape .* along axis 1 leaves"),
        (
            {"rule": vi.Evidence(), "family": lambda theta, y: vi.L2Squared(y) + math.exp(theta[0]) * vi.L1()},
            "Evidence: the prior must be e\\^theta",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.choose(**(good | change))


@pytest.mark.parametrize("kind", [vi.SURE, vi.Discrepancy, vi.Evidence])
def test_noise_levels_are_positive_numbers_or_known(kind: Any) -> None:
    for noise, text in (
        (0.0, "greater than 0, got 0"),
        (-1, "got -1"),
        (math.nan, "finite, got nan"),
        (math.inf, "finite, got inf"),
        ("a", "a real number, got 'a'"),
        (np.ones(3), r"a real number, got an array of shape \(3,\)"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"{kind.__name__}: noise must be .*{text}"):
            kind(noise=noise)
    if kind is not vi.Evidence:  # which estimates it
        with pytest.raises(ValueError, match=rf"{kind.__name__}: the noise level can be estimated from images only"):
            vi.choose(ridge, Y, kind(), bounds=(-6, 4))
        with pytest.raises(ValueError, match="is estimated as 0; pass"):
            vi.choose(lambda theta, y: vi.L2Squared(y) + vi.L2Squared(), np.zeros((8, 8)), kind(), bounds=(-6, 4))


def test_options_out_of_range() -> None:
    for make, text in (
        (lambda: vi.Discrepancy(0.1, tau=0.9), "Discrepancy: tau must be at least 1"),
        (lambda: vi.GCV(robust=0), "GCV: robust must be between 0 and 1"),
        (lambda: vi.HoldOut(every=1), "HoldOut: every must be at least 2"),
        (lambda: vi.HoldOut(every=2, folds=3), "folds must be at most every = 2, got 3"),
        (lambda: vi.Discrepancy(0.1, tol=0.0), "Discrepancy: tol must be greater than 0"),
        (lambda: vi.Evidence(nullity=-1), "Evidence: nullity must be at least 0"),
        (lambda: vi.HoldOut(axis=0.5), "HoldOut: axis must be an integer"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            make()
