"""Choosing without the truth: rules against the oracle, against closed forms and dense matrices, and every refusal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar

import varinv as vi
from varinv.learning.choose import choose_from
from varinv.learning.lower import hessian
from varinv.learning.path import Sweep
from varinv.learning.reference import photographs
from varinv.learning.rules_curve import Corner, curvature
from varinv.learning.rules_residual import whiteness

pytestmark = pytest.mark.usefixtures("one_thread")
NOISE = 0.1


# ---------------------------------------------------------------------------------------------- the six photographs


@pytest.fixture(scope="module", params=range(6))
def crop(request: Any) -> Any:
    """(truth, sweep, weights, oracle): every other weight of benchmarks/choice_rules.py; rules share these solves."""
    truths = photographs(64)
    noise = NOISE * np.random.default_rng(0).standard_normal(truths.shape)
    x = truths[request.param]
    sweep = Sweep(vi.families.TV((64, 64), smoothing=0.01, isotropic=False), x + noise[request.param])
    thetas = [float(t) for t in np.log(np.geomspace(0.01, 0.5, 25))[4:20:2]]  # 0.019 … 0.19: the oracle is inside
    best = max(thetas, key=lambda t: vi.psnr(sweep.at(t).x, x, data_range=1.0))
    return x, sweep, thetas, best


# asked for (bilevel specification, section 13.10); measured on all six: SURE ≤ 0.05, EDP ≤ 0.18, whiteness ≤ 0.35 dB
@pytest.mark.parametrize(
    ("rule", "asked"),
    [(vi.SURE(NOISE), 0.15), (vi.Discrepancy(NOISE, corrected=True), 0.6), (vi.Whiteness(), 0.6)],
)
def test_loss_against_the_oracle(crop: Any, rule: Any, asked: float) -> None:
    x, sweep, thetas, best = crop
    chosen = choose_from(sweep, rule, thetas)
    assert chosen.status == "ok"
    assert vi.psnr(sweep.at(best).x, x, data_range=1.0) - vi.psnr(chosen.x, x, data_range=1.0) <= asked


def test_the_discrepancy_is_met(crop: Any) -> None:
    _, sweep, thetas, _ = crop
    chosen = choose_from(sweep, vi.Discrepancy(NOISE, tau=1.02), thetas)
    assert chosen.status == "ok"
    assert chosen.noise == NOISE
    assert np.sum((chosen.x - sweep.y) ** 2) == pytest.approx(1.02**2 * 64**2 * NOISE**2, rel=0.01)


def test_sure_estimates_the_error_and_its_degrees_of_freedom_are_those_of_the_hessian(crop: Any) -> None:
    x, sweep, _, best = crop
    point = vi.SURE(NOISE).point(sweep, best, NOISE)
    fit = sweep.at(best)
    error = np.sum((fit.x - x) ** 2)
    assert abs(point.criterion - error) <= 0.2 * error  # asked for; one probe, measured 0.07 at most
    v, _, _ = vi.conjugate_gradients(hessian(fit.problem, fit.x), sweep.probe, tol=1e-6, most=2000)
    assert point.df == pytest.approx(np.vdot(sweep.probe, v), rel=0.05)  # no finite difference there


# ------------------------------------------------------------------------------------------ ridge: all in closed form

rng = np.random.default_rng(1)
a = rng.uniform(0.1, 2.0, (6, 5))
Y = a * rng.standard_normal((6, 5)) + 0.3 * rng.standard_normal((6, 5))
SHRINK = np.exp


def ridge(theta: Any, y: Any) -> Any:
    """½‖a x − y‖² + ½ e^θ‖x‖²: S = diag(a²/(a² + λ)), so that signs as probes give its trace exactly."""
    return vi.L2Squared(y) @ vi.Diagonal(a) + math.exp(theta[0]) * vi.L2Squared()


def parts(theta: float) -> tuple[float, float, float]:
    """(‖r‖², tr S, tr S²)."""
    s = a**2 / (a**2 + math.exp(theta))
    return float(np.sum(((1 - s) * Y) ** 2)), float(np.sum(s)), float(np.sum(s**2))


def formula(name: str, theta: float, sigma: float = 0.3) -> float:
    r2, df, df2 = parts(theta)
    m = Y.size
    return {
        "sure": r2 - m * sigma**2 + 2 * sigma**2 * df,
        "gcv": m * r2 / (m - df) ** 2,
        "robust": m * r2 / (m - df) ** 2 * (0.2 + 0.8 * df2 / m),
    }[name]


@pytest.mark.parametrize(
    ("rule", "name"), [(vi.SURE(0.3), "sure"), (vi.GCV(), "gcv"), (vi.GCV(robust=0.2), "robust")], ids=str
)
def test_minima_of_ridge_in_closed_form(rule: Any, name: str) -> None:
    chosen = vi.choose(ridge, Y, rule, bounds=(-6, 4), points=15, tol=1e-7)
    exact = minimize_scalar(lambda t: formula(name, t), bounds=(-6, 4), method="bounded", options={"xatol": 1e-6})
    assert chosen.ok
    assert chosen.theta[0] == pytest.approx(exact.x, abs=0.03)  # located within 0.01, twice that at most
    for p in chosen.curve:  # gradients to 1e-7, errors to 1e-7/e^-6: differences of linear maps are exact
        assert p.criterion == pytest.approx(formula(name, p.theta), rel=1e-3, abs=1e-3)
        assert (p.residual**2, p.df) == pytest.approx(parts(p.theta)[:2], rel=1e-3)
    assert [p.theta for p in chosen.curve] == sorted(p.theta for p in chosen.curve)


def test_edp_of_ridge() -> None:
    chosen = vi.choose(ridge, Y, vi.Discrepancy(0.3, corrected=True), bounds=(-6, 4))
    r2, df, _ = parts(float(chosen.theta[0]))
    assert chosen.ok
    assert r2 == pytest.approx(
        0.3**2 * (Y.size - df), rel=5e-3
    )  # the residual is met to 1e-3, its square to twice that


@pytest.mark.parametrize("noise", [None, 0.3])
def test_evidence_is_the_largest_marginal_likelihood(noise: float | None) -> None:
    """y ~ N(0, σ² + a² σ²/λ), maximised by brute force over λ and, where it is not given, σ."""

    def minus(v: Any) -> float:
        variance = (math.exp(2 * v[1]) if noise is None else noise**2) * (1 + a**2 / math.exp(v[0]))
        return float(np.sum(np.log(variance) + Y**2 / variance))

    exact = minimize(minus, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    chosen = vi.choose(ridge, Y, vi.Evidence(noise), bounds=(-8, 6))
    assert chosen.ok
    assert chosen.theta[0] == pytest.approx(exact.x[0], abs=0.02)  # the fixed point stops at steps of 1e-3
    assert chosen.noise == pytest.approx(math.exp(exact.x[1]) if noise is None else noise, rel=0.02)


def test_weights_whiten() -> None:
    """Measurements of another accuracy: the same choice as for data and operator divided by it; weight 0 is no data."""
    w = rng.uniform(0.5, 4.0, Y.shape)
    w[0, :2] = 0.0

    def weighted(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y, w) @ vi.Diagonal(a) + math.exp(theta[0]) * vi.L2Squared()

    s = w * a**2 / (w * a**2 + SHRINK(-1.0))
    sweep = Sweep(weighted, Y)
    point = vi.SURE(0.3).point(sweep, -1.0, 0.3)
    assert sweep.m == Y.size - 2
    assert point.residual**2 == pytest.approx(np.sum(w * ((1 - s) * Y) ** 2), rel=1e-3)
    assert point.df == pytest.approx(np.sum(s), rel=1e-3)


def test_hold_out_of_ridge_with_two_rows() -> None:
    """x is seen by both rows of A: the fit to one predicts the other, in closed form."""
    y = np.array([[1.0, -2.0, 0.5, 3.0], [1.2, -1.7, 0.9, 2.2]])
    A = vi.Matrix(np.concatenate([np.eye(4), np.eye(4)]))

    def family(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y.reshape(8)) @ A + math.exp(theta[0]) * vi.L2Squared()

    rule = vi.HoldOut(every=2, axis=0, folds=1)
    flat = y.reshape(8)
    rows = Sweep(lambda theta, z: family(theta, z), flat)
    out = np.repeat([0.0, 1.0], 4)
    point = rule.point(rows, -1.0, [(rows.masked(1 - out), out)])
    x = y[0] / (1 + math.exp(-1.0))
    assert point.criterion == pytest.approx(np.mean((x - y[1]) ** 2), rel=1e-3)
    assert point.residual == pytest.approx(np.linalg.norm(x - y[0]), rel=1e-3)


@pytest.mark.parametrize(("axis", "folds"), [(None, 3), (0, 3), (1, 1)])
def test_hold_out_masks(axis: int | None, folds: int) -> None:
    masks = vi.HoldOut(every=3, axis=axis, folds=folds).masks(np.zeros((7, 9)))
    assert len(masks) == folds
    assert all(set(np.unique(m)) == {0.0, 1.0} for m in masks)
    if folds == 3:
        assert np.array_equal(sum(masks), np.ones((7, 9)))  # each measurement is held out once
    if axis is not None:
        assert all((m == m.take([0], axis=1 - axis)).all() for m in masks)


def test_curvature_of_circle_and_line() -> None:
    """A circle of radius 2 run counter-clockwise has κ = 1/2, clockwise −1/2; a line has none."""
    for sign in (1, -1):
        points = [Corner(t, 2 * math.cos(sign * t), 2 * math.sin(sign * t), True) for t in (0.28, 0.3, 0.325)]
        assert curvature(*points) == pytest.approx(sign / 2, rel=5e-3)  # third derivatives times spacing
    assert curvature(*(Corner(t, 3 * t, -t, True) for t in (0.0, 0.4, 1.0))) == pytest.approx(0, abs=1e-12)
    assert math.isnan(curvature(*(Corner(t, 1.0, 1.0, True) for t in (0.0, 0.4, 1.0))))


def test_l_curve_has_its_corner_between_signal_and_noise() -> None:
    """Singular values 1 and 1e-3, signal in the first and noise in the second: λ between their squares' scales."""
    A, y = vi.Diagonal(np.array([1.0, 1e-3])), np.array([1.0, 1e-2])

    def family(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) @ A + math.exp(theta[0]) * vi.L2Squared()

    def exact(t: float) -> tuple[float, float]:
        s = np.array([1.0, 1e-6])
        x = np.array([1.0, 1e-5]) / (s + math.exp(t))
        return 0.5 * math.log(sum(((np.sqrt(s) * x) - y) ** 2)), math.log(0.5 * float(x @ x))

    grid = np.linspace(-16, 1, 400)
    rho, eta = np.array([exact(t) for t in grid]).T
    r1, e1 = np.gradient(rho, grid), np.gradient(eta, grid)
    kappa = (r1 * np.gradient(e1, grid) - np.gradient(r1, grid) * e1) / (r1**2 + e1**2) ** 1.5
    best = grid[5:-5][np.argmax(kappa[5:-5])]
    stop = vi.residual(1e-10) | vi.iterations(50)
    chosen = vi.choose(family, y, vi.LCurve(), bounds=(-16, 1), points=35, stop=stop)
    assert chosen.ok
    assert chosen.theta[0] == pytest.approx(best, abs=0.75)  # points are 0.5 apart
    tried = [p.theta for p in chosen.curve]
    cut = tried[tried.index(chosen.theta[0]) - 1 :]  # now it is the first point that has a curvature
    first = vi.choose(family, y, vi.LCurve(), bounds=(cut[0], cut[-1]), points=cut, stop=stop)
    assert (first.theta[0], first.status) == (chosen.theta[0], "at the end of the bounds")
    assert math.isnan(chosen.curve[0].criterion)
    assert math.isnan(chosen.curve[-1].criterion)


def test_whiteness_of_known_residuals() -> None:
    delta = np.zeros((4, 8))
    delta[1, 2] = 3.0
    assert whiteness(delta, (0, 1)) == pytest.approx(1 / 32)  # flat spectrum: the least there is
    assert whiteness(np.ones((4, 8)), (0, 1)) == pytest.approx(1.0)  # one frequency
    assert whiteness(np.stack([np.eye(8)[3], np.ones(8)]), (1,)) == pytest.approx((1 / 8 + 1) / 2)
    assert whiteness(np.zeros((4, 8)), (0, 1)) == 1.0
