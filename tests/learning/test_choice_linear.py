"""Rules against formulas that share nothing with them: leave-one-out, restricted likelihood, soft thresholds."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from conftest import dense
from scipy.optimize import minimize
from skimage.restoration import estimate_sigma

import varinv as vi
from varinv.learning.losses import stein
from varinv.learning.noise import estimate
from varinv.learning.path import Sweep

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(7)
SHAPE = (4, 3)
A = vi.Blur(SHAPE, rng.uniform(0.1, 1, (3, 3)), boundary="zero")
M = dense(A)
Y = A(rng.standard_normal(SHAPE)) + 0.2 * rng.standard_normal(SHAPE)
W = rng.uniform(0.5, 2, SHAPE)
W[1, 2] = 0.0


def blurred(theta: Any, y: Any) -> Any:
    return vi.L2Squared(y) @ A + math.exp(theta[0]) * vi.L2Squared()


def weighted(theta: Any, y: Any) -> Any:
    return vi.L2Squared(y, W) @ A + math.exp(theta[0]) * vi.L2Squared()


def smoother(theta: float, w: np.ndarray) -> np.ndarray:
    """S of the whitened data √w y for ridge."""
    K = np.sqrt(w.ravel())[:, None] * M
    return K @ np.linalg.solve(K.T @ K + math.exp(theta) * np.eye(12), K.T)


@pytest.mark.parametrize("family", [blurred, weighted])
def test_leaving_out_each_measurement_once_is_allens_press(family: Any) -> None:
    """Mean over the m that count of (r_i/(1 − S_ii))² (Allen 1974), whichever measurement is in which fold."""
    w = W if family is weighted else np.ones(SHAPE)
    chosen = vi.choose(family, Y, vi.HoldOut(every=12, folds=12), bounds=(-3, 1), points=3, tol=1e-6, refine=False)
    for p in chosen.curve:
        S = smoother(p.theta, w)
        r = (S - np.eye(12)) @ (np.sqrt(w) * Y).ravel()
        press = np.sum((r / (1 - np.diag(S))) ** 2) / np.sum(w > 0)
        assert p.criterion == pytest.approx(press, rel=1e-3)  # proved: images to 1e-6 ‖Aᵀy‖/e^-3 = 2e-4


@pytest.mark.parametrize("axis", [0, 1, None])
def test_held_out_rows_are_not_seen(axis: int | None) -> None:
    """One in three is left out of the normal equations; the fit to the others predicts it."""
    rule = vi.HoldOut(every=3, axis=axis)
    (out,) = rule.masks(Y)
    chosen = vi.choose(blurred, Y, rule, bounds=(-6, 2), points=5, tol=1e-8, refine=False)
    W_kept = np.diag(1 - out.ravel())
    for p in chosen.curve:
        x = np.linalg.solve(M.T @ W_kept @ M + math.exp(p.theta) * np.eye(12), M.T @ W_kept @ Y.ravel())
        r = M @ x - Y.ravel()
        assert p.criterion == pytest.approx(np.mean(r[out.ravel() == 1] ** 2), rel=1e-5)
        assert p.residual == pytest.approx(np.linalg.norm(r[out.ravel() == 0]), rel=1e-5, abs=1e-5)
    assert chosen.solves == len(chosen.curve) + 1  # and one with all of the data, at the end
    full = np.linalg.solve(M.T @ M + np.exp(chosen.theta[0]) * np.eye(12), M.T @ Y.ravel())
    assert np.abs(chosen.x.ravel() - full).max() <= 1e-4  # proved: 1e-8 ‖Aᵀy‖/e^-6


def test_pixels_are_left_out_at_random() -> None:
    def masks(seed: int) -> np.ndarray:
        return vi.HoldOut(every=5, seed=seed).masks(np.zeros((40, 40)))[0]

    assert np.array_equal(masks(0), masks(0))
    assert abs(np.mean(masks(0) * masks(1)) - 1 / 25) <= 0.015  # independent: 0.04 ± 0.005
    # no lattice: each shift by up to five pixels keeps a fifth of them, within four standard deviations
    for shift in range(1, 6):
        assert abs(np.mean(masks(0) * np.roll(masks(0), shift, 1)) - 1 / 25) <= 0.02


def test_degrees_of_freedom_do_not_feel_a_loose_tolerance() -> None:
    """Solves at t and 0 are refined until the difference is known to a hundredth of m, whatever `tol` is."""
    for tol in (0.5, 1e-6):
        sweep = Sweep(blurred, Y, tol=tol)
        b = sweep.probe.ravel()
        for theta in (-4.0, -1.0):
            # both solves may err by SHARE·m = 0.12
            assert sweep.freedom(theta, 0.2) == pytest.approx(b @ smoother(theta, np.ones(SHAPE)) @ b, abs=0.24)


# ---------------------------------------------------------------------------------------------- soft thresholds


def lasso(theta: Any, y: Any) -> Any:
    """x = soft(y, e^θ); each proximal step halves the distance to it."""
    return vi.L2Squared(y) + vi.L1(math.exp(theta[0]))


def soft(y: np.ndarray, t: float) -> np.ndarray:
    return np.sign(y) * np.maximum(np.abs(y) - t, 0)


Z = np.where(rng.uniform(size=(30, 30)) < 0.3, 3.0, 0.0) + 0.5 * rng.standard_normal((30, 30))
EXACT: dict[str, Any] = {"solver": vi.ProximalGradient(tau=1.0), "stop": vi.iterations(45)}


def test_sure_of_soft_thresholds_is_a_difference_along_the_probe() -> None:
    """Where S depends on the data the step of the difference shows: t = 2σ/m^0.3 (Deledalle et al. 2014)."""
    sigma, m = 0.5, Z.size
    t = 2 * sigma / m**0.3
    sweep = Sweep(lasso, Z, **EXACT)
    for theta in (-1.0, 0.0, 0.5):
        x, moved = soft(Z, math.exp(theta)), soft(Z + t * sweep.probe, math.exp(theta))
        df = np.sum(sweep.probe * (moved - x)) / t
        point = vi.SURE(sigma).point(sweep, theta, sigma)
        assert point.df == pytest.approx(df, rel=1e-9)
        assert point.criterion == pytest.approx(np.sum((x - Z) ** 2) - m * sigma**2 + 2 * sigma**2 * df, rel=1e-9)
        # the exact divergence counts what is above the threshold (Donoho & Johnstone 1995); one probe of signs and
        # thresholds crossed within ±t: 3 % of m at most
        assert abs(df - np.sum(np.abs(Z) > math.exp(theta))) <= 0.03 * m


def test_the_seed_is_that_of_the_probe() -> None:
    one, same, other = (Sweep(lasso, Z, seed=seed).probe for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert abs(np.mean(one * other)) <= 4 / math.sqrt(Z.size)
    assert set(np.unique(one)) == {-1.0, 1.0}


def test_no_degrees_of_freedom_left_is_a_residual_below_the_target() -> None:
    """A target of 0 is read as a residual that is too small, not divided by."""

    def double(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) + vi.L2Squared(2 * y)  # x = 1.5 y, df = 1.5 m

    point = vi.Discrepancy(0.5, corrected=True).point(Sweep(double, Z, tol=1e-9), 0.0, 0.5)
    assert point.df == pytest.approx(1.5 * Z.size)
    assert point.criterion == 0
    chosen = vi.choose(lasso, Z, vi.Discrepancy(0.5, corrected=True), bounds=(-30, 2), **EXACT)
    x = soft(Z, math.exp(chosen.theta[0]))
    df = chosen.curve[[p.theta for p in chosen.curve].index(chosen.theta[0])].df
    assert chosen.ok
    assert np.sum((x - Z) ** 2) == pytest.approx(0.25 * (Z.size - df), rel=3e-3)  # 1e-3 of its root


# -------------------------------------------------------------------------------------------------------- L-curve


def central(v: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivatives inside."""
    with np.errstate(invalid="ignore"):
        return (v[2:] - v[:-2]) / (2 * h), (v[2:] - 2 * v[1:-1] + v[:-2]) / h**2


def test_l_curve_stays_where_there_are_logarithms() -> None:
    """Thresholds above max |y| leave x = 0 and no ln R; the others have ρ and η in closed form."""
    z = np.where(Z > 1.5, 10.0, 0.0) + 0.02 * np.cos(np.arange(900.0)).reshape(30, 30)
    high = math.log(np.abs(z).max())
    chosen = vi.choose(lasso, z, vi.LCurve(), bounds=(-7, high + 2), points=45, **EXACT)
    grid = np.array([p.theta for p in chosen.curve])
    with np.errstate(divide="ignore"):
        rho = np.array([math.log(np.linalg.norm(soft(z, math.exp(t)) - z)) for t in grid])
        eta = np.log(np.array([np.abs(soft(z, math.exp(t))).sum() for t in grid]))
    known = grid < high

    (r1, r2), (e1, e2) = central(rho, grid[1] - grid[0]), central(eta, grid[1] - grid[0])
    with np.errstate(invalid="ignore"):
        kappa = (r1 * e2 - r2 * e1) / (r1**2 + e1**2) ** 1.5
    found = np.array([p.criterion for p in chosen.curve])[1:-1]
    inside = known[:-2] & known[1:-1] & known[2:]
    assert np.allclose(found[inside], kappa[inside], rtol=1e-6, atol=1e-9)
    assert np.isnan(found[~inside]).all()
    assert kappa[inside].max() <= 0
    assert chosen.status == "no corner"  # thresholds bend the other way: no point of a guessed logarithm is one


# ------------------------------------------------------------------------------------------------- evidence, noise


@pytest.mark.parametrize("noise", [None, 0.4])
def test_evidence_with_unseen_images_is_the_restricted_likelihood(noise: float | None) -> None:
    """Prior ½λ‖l x‖² with l = 0 in ν entries: y_i ~ N(0, σ²(1 + 1/(λ l²))) in the others, which alone count."""
    l = np.concatenate([np.zeros(4), rng.uniform(0.3, 3, 36)])
    y = np.where(l > 0, rng.standard_normal(40) / np.where(l > 0, l, 1), 5.0) + 0.4 * rng.standard_normal(40)

    def family(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) + math.exp(theta[0]) * vi.L2Squared() @ vi.Diagonal(l)

    def minus(v: Any) -> float:
        variance = (math.exp(2 * v[1]) if noise is None else noise**2) * (1 + 1 / (math.exp(v[0]) * l[4:] ** 2))
        return float(np.sum(np.log(variance) + y[4:] ** 2 / variance))

    exact = minimize(minus, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000})
    chosen = vi.choose(family, y, vi.Evidence(noise, nullity=4), bounds=(-12, 8), tol=1e-7)
    assert chosen.ok
    assert chosen.theta[0] == pytest.approx(exact.x[0], abs=0.02)  # the fixed point stops at steps of 1e-3
    if noise is None:
        assert chosen.noise == pytest.approx(math.exp(exact.x[1]), rel=0.02)


def test_the_noise_of_an_image_by_an_independent_program(xp: Any) -> None:
    """Wavelets of PyWavelets in scikit-image, a quarter of the details; and what there is to find."""
    image = np.add.outer(np.sin(np.arange(121) / 9), np.arange(60) > 30) + 0.2 * rng.standard_normal((121, 60))
    found = estimate(xp.asarray(image))
    assert found == pytest.approx(float(estimate_sigma(image)), rel=0.1)  # the two differ by 2.5 %: four of it
    assert found == pytest.approx(0.2, rel=0.08)  # 1.8 % in 200 draws: four of it
    padded = np.zeros((200, 200))
    padded[:121, :60] = image
    assert estimate(xp.asarray(padded)) == pytest.approx(found, rel=0.1)  # zeros around it do not count
    assert estimate(xp.ones((3, 1))) == 0  # and no details are no noise


def test_the_noise_of_a_stack_is_estimated_slice_by_slice() -> None:
    stack = 0.2 * rng.standard_normal((3, 64, 64)) + np.add.outer(10 * np.arange(3.0), np.zeros((64, 64)))
    chosen = vi.choose(lasso, stack, vi.SURE(), bounds=(-4, 0), points=3, refine=False, **EXACT)
    assert chosen.noise == pytest.approx(0.2, rel=0.07)  # 2.5 % each in 200 draws, three of them


def test_sure_counts_only_what_is_measured() -> None:
    """An entry of weight 0 is no measurement: m is 11 of 12, also in the step t = 2σ/m^0.3."""
    _, risk = stein(Y, A, 0.2, random.Random(0), W)
    assert risk.m == 11
    assert risk.step == pytest.approx(2 * 0.2 / 11**0.3, rel=1e-12)
