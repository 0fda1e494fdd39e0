"""Algorithms around a denoiser: with linear ones each has a closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.backend import to_numpy
from varinv.priors.common import smooth_start

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (3, 4)
WEIGHTS = np.linspace(0.5, 2, 12).reshape(SHAPE)
A = vi.Diagonal(WEIGHTS)
Y = rand(np, SHAPE, 1)
C = np.linspace(0.3, 1.5, 12).reshape(SHAPE)  # the variances of a Gaussian prior


def gaussian(x, sigma):
    """The best denoiser of images ~ N(0, diag C): C(C + σ²)⁻¹ x, the prox of σ²·½⟨x, C⁻¹x⟩."""
    return C / (C + sigma**2) * x


def soft(x, sigma):
    """The prox of σ²|·|."""
    return vi.L1().prox(x, sigma**2)


def after(problem, solver, n, x0=None):
    return next(itertools.islice(solver.states(problem, x0), n, None))


@pytest.mark.parametrize(
    "solver", [vi.ProximalGradient(), vi.FISTA(), vi.ADMM(), vi.ADMM(adapt=0), vi.ChambollePock()], ids=repr
)
def test_an_exact_prox_as_a_denoiser_gives_the_classical_solution(solver):
    for lam in (0.2, 1.0):
        plugged = after(vi.L2Squared(Y) @ A + vi.PnP(soft, lam=lam), solver, 1500).x
        expected = np.sign(Y) * np.maximum(np.abs(WEIGHTS * Y) - lam, 0) / WEIGHTS**2  # separable: soft(Aᵀy, λ)/a²
        assert np.abs(plugged - expected).max() <= 1e-6
        ridge = after(vi.L2Squared(Y) @ A + vi.PnP(gaussian, lam=lam), solver, 1500).x
        assert np.abs(ridge - WEIGHTS * Y / (WEIGHTS**2 + lam / C)).max() <= 1e-6


def test_red_reaches_its_equation():
    sigma, lam = 0.4, 0.3
    x = after(vi.L2Squared(Y) @ A + vi.RED(gaussian, sigma, lam, lipschitz=1.0), vi.FISTA(), 1500).x
    assert np.abs(x - WEIGHTS * Y / (WEIGHTS**2 + lam / (C + sigma**2))).max() <= 1e-6


def test_hqs_with_one_level_alternates_to_its_fixed_point():
    """u = (AᵀA + ρ)⁻¹(Aᵀy + ρ x), x = C/(C + σ²) u: a linear system; λ of PnP multiplies ρ."""
    noise, sigma, weight = 0.2, 0.5, 0.23
    for lam in (1.0, 3.0):
        state = after(vi.L2Squared(Y) @ A + vi.PnP(gaussian, lam=lam), vi.HQS(noise, (sigma,), weight), 3000)
        rho, d = weight * lam * noise**2 / sigma**2, C / (C + sigma**2)
        u = WEIGHTS * Y / (WEIGHTS**2 + rho - rho * d)
        assert np.abs(state.u - u).max() <= 1e-5  # its inner solves stop at 1e-6 of their right-hand side
        assert np.abs(state.x - d * u).max() <= 1e-5


def test_drp_reaches_its_closed_form():
    """R(s) = C h/(h²C + v) s restores H x + noise of variance v best; then AᵀA u − Aᵀy + λ r HᵀH(u − R H u) = 0."""
    h, v, relax, weight = np.linspace(1.0, 0.4, 12).reshape(SHAPE), 0.1, 0.3, 0.7
    gain = C * h / (h * h * C + v)
    solver = vi.DRP(lambda s: gain * s, vi.Diagonal(h), relax, weight)
    state = after(vi.Problem((vi.L2Squared(Y) @ A,)), solver, 4000)
    u = WEIGHTS * Y / (WEIGHTS**2 + weight * relax * h * h * (1 - gain * h))
    assert np.abs(state.u - u).max() <= 1e-6
    assert np.abs(state.x - gain * h * u).max() <= 1e-6  # what is returned is R(H u)


def test_drp_solves_its_second_step_by_conjugate_gradients():
    """12 unknowns: 12 inner steps give the exact solution of (AᵀA + λHᵀH) u = Aᵀy + λHᵀH z, here with R = 0, z = 0."""
    h = np.linspace(1.0, 0.4, 12).reshape(SHAPE)
    solver = vi.DRP(lambda s: 0 * s, vi.Diagonal(h), 1.0, 0.7, inner=12)
    state = after(vi.Problem((vi.L2Squared(Y) @ A,)), solver, 1)
    exact = WEIGHTS * Y / (WEIGHTS**2 + 0.7 * h * h)
    assert np.abs(state.u - exact).max() <= 1e-9 * np.abs(exact).max()  # a condition number of 7 and 12 steps


def test_red_diff_takes_its_own_noise_away():
    """A denoiser that always returns one image: u − D(u) − σε is x − D, whatever the noise was."""
    problem = vi.L2Squared(Y) @ A + vi.PnP(lambda x, sigma: np.full(SHAPE, 0.3))
    one, two = (after(problem, vi.REDDiff((0.5, 0.2), 0.4, seed=seed), 20, np.zeros(SHAPE)).x for seed in (0, 1))
    assert np.abs(one - two).max() <= 1e-9  # rounding of (x + σε − D)/σ − ε, 20 steps of at most 0.02


def test_red_diff_is_right_on_average():
    """E g = λσ²/(C + σ²) x + Aᵀ(Ax − y): the mean of 50 seeds lies within 3 standard errors of its zero."""
    sigma, lam = 0.5, 0.4
    problem = vi.L2Squared(Y) @ A + vi.PnP(gaussian)
    expected = WEIGHTS * Y / (WEIGHTS**2 + lam * sigma**2 / (C + sigma**2))
    runs = []
    for seed in range(50):
        states = vi.REDDiff((sigma,), lam, rate=0.01, seed=seed).states(problem, expected + 0.1)
        runs.append(np.mean([s.x for s in itertools.islice(states, 300, 600)], axis=0))
    mean, error = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(50)
    assert (np.abs(mean - expected) <= 3 * error).mean() >= 0.95  # 12 pixels: each lies inside with 99.7 %
    limit = np.sqrt(12 + 3 * np.sqrt(24))  # χ² with 12 degrees, 3 deviations
    assert np.linalg.norm((mean - expected) / error) <= limit
    twice = [vi.restore(A, Y, gaussian, 0.1, "red-diff", steps=5, seed=3).x for _ in range(2)]
    assert np.array_equal(*twice)


def test_ddnm_fits_exact_data(xp):
    mask = np.random.default_rng(0).random((6, 8)) < 0.5
    image = rand(xp, (6, 8), 2)

    def shrink(x, sigma):
        return x / (1 + sigma**2)

    for K in (vi.Subsampling((6, 8), mask), vi.Downsampling((6, 8), 2)):
        y = K(image)
        result = vi.restore(K, y, shrink, 0.0, "ddnm")
        assert np.abs(to_numpy(K(result.x) - y)).max() <= 1e-6
        assert result.notes["data_residual"] <= 1e-6


def test_ddnm_with_noise_has_the_variance_it_promises():
    """A = I, D = x exact (a flat prior known to be y's mean): every u must be N(x, σ'²), whatever the data bring in."""
    shape, noise = (200, 200), 0.3
    truth = np.full(shape, 2.0)
    y = truth + noise * np.random.default_rng(1).standard_normal(shape)
    problem = vi.L2Squared(y) @ vi.Identity(shape) + vi.PnP(lambda x, sigma: truth)
    solver = vi.DDNM(noise, sigmas=(1.0, 0.6, 0.25, 0.1))
    for state, sigma in zip(solver.states(problem, truth), (1.0, 0.6, 0.25, 0.1), strict=False):
        # 40 000 pixels: the standard deviation is known to 1/√80000 = 0.35 %, so 2 % is five of these and more
        assert (state.u - truth).std() == pytest.approx(sigma, rel=0.02)
    with pytest.raises(ValueError, match="singular values of A must all be equal"):
        vi.restore(A, Y, gaussian, 0.1, "ddnm")


def test_ddnm_keeps_the_variance_of_what_is_not_measured():
    """Fresh and kept noise of a share η and √(1 − η²): unseen pixels of u are N(D, σ'²) after every step."""
    shape = (200, 200)
    mask = np.zeros(shape, bool)
    mask[0, 0] = True  # one pixel is seen, 39 999 are not: their deviation is known to 0.35 %, 2 % is five of these
    K = vi.Subsampling(shape, mask)
    problem = vi.L2Squared(np.array([0.0])) @ K + vi.PnP(lambda x, sigma: np.zeros(shape))
    levels = (1.0, 0.6, 0.25, 0.1)
    for state, sigma in zip(vi.DDNM(sigmas=levels, eta=0.6).states(problem, np.zeros(shape)), levels, strict=False):
        assert state.u[1:].std() == pytest.approx(sigma, rel=0.02)


def test_the_smooth_start_fits_and_fills(xp):
    x = xp.asarray(np.add.outer(np.arange(8.0), 2 * np.arange(9.0)))
    mask = np.random.default_rng(3).random((8, 9)) < 0.6
    K = vi.Subsampling((8, 9), mask)
    filled = to_numpy(smooth_start(K, K(x)))
    rough = np.where(mask, to_numpy(x), to_numpy(x)[mask].mean())  # holes filled by the mean
    assert np.linalg.norm(filled - to_numpy(x)) <= 0.5 * np.linalg.norm(rough - to_numpy(x))
    assert np.abs(filled - to_numpy(x))[mask].max() <= 0.01  # 1e-4 of differences of up to 23


def test_the_best_iterate_is_returned_when_a_run_goes_astray():
    calls = []

    def breaks(x, sigma):
        calls.append(1)
        return 40.0 * x if len(calls) > 5 else gaussian(x, sigma)

    result = vi.restore(A, Y, breaks, 0.05, "pnp", steps=8)
    assert "best iterate" in result.why
    assert result.notes["returned_iterate"] <= 5
    assert result.notes["data_residual"] == pytest.approx(np.linalg.norm(A(result.x) - Y) / (0.05 * np.sqrt(12)))
    calls.clear()

    def dies(batch, level):
        calls.append(1)
        return batch * np.nan if len(calls) > 3 else 0.9 * batch

    network = vi.Network(dies, sigma="argument")
    result = vi.restore(A, Y, network, 0.05, "hqs")
    assert result.why.startswith("the network broke down after iteration 3: Network returned NaN or infinite")
    assert np.isfinite(result.x).all()
    calls.extend([1] * 9)
    with pytest.raises(ValueError, match="returned NaN"):  # in the first step there is nothing to return
        vi.restore(A, Y, network, 0.05, "hqs")


def test_options_for_plain_denoisers():
    """image= scales a denoiser made for 0…1; average= and tile= as in Network."""
    scaled = vi.restore(A, 1000 * Y, gaussian, 50.0, "pnp", steps=30, image=(0, 1000), x0=np.zeros(SHAPE)).x
    plain = vi.restore(A, Y, gaussian, 0.05, "pnp", steps=30, x0=np.zeros(SHAPE)).x
    assert np.allclose(scaled, 1000 * plain, rtol=1e-9)
    network = vi.Network(lambda b: b, sigma="none", image=(0, 2))
    assert vi.restore(A, Y, network, 0.1, "hqs", steps=1, average=True).solver is not None


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"method": "magic"}, ValueError, "method must be one of hqs, pnp, .* got 'magic'"),
        ({"noise": -1}, ValueError, "noise must be at least 0, got -1"),
        ({"noise": 0.0, "method": "pnp"}, ValueError, "method 'pnp' takes its strength from the noise, got 0"),
        ({"method": "drp"}, ValueError, "method 'drp' needs H"),
        ({"y": np.zeros((4, 3))}, ValueError, r"y must have shape \(3, 4\), got \(4, 3\); it looks transposed"),
        ({"denoiser": 3}, TypeError, r"denoiser must be callable as denoiser\(x, sigma\), got 3"),
        ({"A": 3}, TypeError, "A must be a LinearOperator, got 3"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
    ],
)
def test_restore_refuses(change, error, text):
    arguments = {"A": A, "y": Y, "denoiser": gaussian, "noise": 0.1, **change}
    with pytest.raises(error, match=text):
        vi.restore(**arguments)


def test_solvers_refuse_other_problems():
    for solver in (vi.HQS(0.1), vi.DDNM(), vi.REDDiff()):
        with pytest.raises(ValueError, match=r"must be L2Squared\(y\) @ A \+ PnP\(denoiser\), got"):
            vi.solve(vi.L2Squared(Y) @ A + vi.L1(), solver)
    with pytest.raises(ValueError, match="the data term must have weight 1, got 2"):
        vi.solve(2 * vi.L2Squared(Y) @ A + vi.PnP(soft), vi.HQS(0.1))
    with pytest.raises(ValueError, match=r"DRP: H must act on images of shape \(3, 4\), got Identity\(\(2,\)\)"):
        vi.solve(vi.L2Squared(Y) @ A, vi.DRP(soft, vi.Identity((2,))))
    with pytest.raises(ValueError, match="REDDiff: rate must be greater than 0, got 0"):
        vi.REDDiff(rate=0)


@pytest.mark.parametrize("solver", [vi.HQS, vi.DDNM, vi.REDDiff, vi.DRP])
def test_resumed_equals_uninterrupted(solver):
    for s, problem in solver.examples():
        whole = after(problem, s, 4)
        half = after(problem, s, 2)
        again = next(itertools.islice(s.states(problem, resume=half), 2, None))
        assert whole.x.tobytes() == again.x.tobytes()
