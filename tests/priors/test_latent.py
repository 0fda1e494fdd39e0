"""Searches in the codes of a decoder: with a linear one everything has a closed form."""

import itertools
import math

import numpy as np
import pytest
from conftest import rand
from scipy.optimize import brentq

import varinv as vi
from varinv.backend import to_numpy

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE, CODE, NOISE = (4, 5), 3, 0.5
WEIGHTS = np.linspace(0.5, 1.5, 20).reshape(SHAPE)
G = rand(np, (20, CODE), 1) / 2
Y = rand(np, SHAPE, 2)


def linear(xp=np, matrix=G, shape=SHAPE):
    """z ↦ G z of any array library."""
    matrix = xp.asarray(matrix)
    return vi.Decoder(
        lambda z: xp.reshape(matrix @ z, shape), lambda z, v: matrix.T @ xp.reshape(v, (-1,)), (matrix.shape[1],)
    )


A = vi.Diagonal(WEIGHTS)
AG = WEIGHTS.reshape(-1, 1) * G
M = AG.T @ AG / NOISE**2
B = AG.T @ Y.reshape(-1) / NOISE**2


def bent(matrix=G, shape=SHAPE):
    """z ↦ tanh(G z)."""

    def vjp(z, v):
        return matrix.T @ (v.reshape(-1) * (1 - np.tanh(matrix @ z) ** 2))

    return vi.Decoder(lambda z: np.tanh(matrix @ z).reshape(shape), vjp, (matrix.shape[1],))


# ------------------------------------------------------------------------------------------------------------ posterior


@pytest.mark.parametrize("lam", [1.0, 4.0])
def test_the_posterior_of_a_linear_decoder_has_its_closed_form(lam):
    """Mean (M + λ)⁻¹ GᵀAᵀy/s² exactly (draws in pairs); variances 1/(1 + M_ii/λ) on average over seeds."""
    fits = [vi.latent_posterior(A, Y, linear(), NOISE, lam, steps=250, samples=2, seed=s) for s in range(6)]
    expected = np.linalg.solve(M + lam * np.eye(CODE), B)
    for fit in fits:
        assert np.abs(fit.z - expected).max() <= 1e-5  # the last step of Adam: rate 0.1 × 1e-3 on what is left
    a = np.array([fit.a for fit in fits])
    found, error = a.mean(axis=0), a.std(axis=0, ddof=1) / np.sqrt(len(a))
    exact = np.sqrt(1 / (1 + np.diag(M) / lam))
    assert (np.abs(found - exact) <= 6 * error).all()  # 6 seeds: t with 5 degrees, 0.2 % each
    assert (error <= 0.1 * exact).all()  # so that the line above says something


def test_draws_have_the_mean_and_deviation_they_should():
    """Of a linear decoder: mean G z̄, variance Σ_i G_ji² a_i² + b_j² σ²."""
    fit = vi.latent_posterior(A, Y, linear(), NOISE, spread=0.3, steps=50, samples=4000)
    exact = np.sqrt(G**2 @ fit.a**2 + (0.3 * fit.b.reshape(-1)) ** 2).reshape(SHAPE)
    assert np.allclose(fit.x.reshape(-1), G @ fit.z)
    assert np.abs(fit.mean - fit.x).max() <= 5 * exact.max() / np.sqrt(4000)
    assert np.abs(fit.std / exact - 1).max() <= 5 / np.sqrt(2 * 4000)
    assert np.array_equal(fit.draw(7), fit.draw(7))
    assert not np.array_equal(fit.draw(7), fit.draw(8))


def test_the_spread_of_pixels_has_its_closed_form():
    """b_j² = 1/(1 + σ² (AᵀA)_jj/(λ s²)), by a number, an image or a decoder that returns it."""
    spread, lam = np.linspace(0.2, 0.9, 20).reshape(SHAPE), 2.0
    exact = np.sqrt(1 / (1 + spread**2 * WEIGHTS**2 / (lam * NOISE**2)))
    constant = vi.Decoder(lambda z: spread + 0 * z.sum(), lambda z, v: 0 * z, (CODE,))

    def fitted(given, seed=0):
        return vi.latent_posterior(A, Y, linear(), NOISE, lam, spread=given, steps=200, samples=2, seed=seed).b

    runs = [fitted(spread, s) for s in range(6)]
    found, error = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(6)
    assert np.mean((found - exact) ** 2) <= 4 * np.mean(error**2)  # twice the standard error, over 20 pixels together
    assert np.abs(found / exact - 1).max() <= 0.1
    assert np.allclose(fitted(constant), runs[0])


def test_a_prior_of_codes_that_is_given():
    """−log p = ½⟨z, P z⟩: mean (M + P)⁻¹ b."""
    P = np.diag([0.5, 2.0, 5.0])
    fit = vi.latent_posterior(A, Y, linear(), NOISE, score=lambda z: P @ z, steps=400, samples=2)
    assert np.abs(fit.z - np.linalg.solve(M + P, B)).max() <= 1e-5
    exact = 1 / np.sqrt(np.diag(M) + np.diag(P))
    assert (
        np.abs(fit.a / exact - 1).max() <= 0.3
    )  # one seed; a varies by less than 10 % × √6 = 24 % from seed to seed, see above


def test_what_the_data_do_not_see_stays_uncertain():
    """Half of a smooth image is hidden: its deviation there is larger."""
    i, j = np.indices((8, 8))
    bumps = [np.exp(-((i - r) ** 2 + (j - c) ** 2) / 2) for r in (1, 3, 5, 7) for c in (1, 3, 5, 7)]
    decoder = bent(np.stack(bumps, -1).reshape(64, 16), (8, 8))
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    K = vi.Subsampling((8, 8), mask)
    truth = decoder(rand(np, (16,), 3))
    fit = vi.latent_posterior(K, K(truth) + 0.05 * rand(np, K.codomain, 4), decoder, 0.05)
    assert fit.std[:, 6:].mean() >= 3 * fit.std[:, :4].mean()
    assert np.sqrt(np.mean(((fit.mean - truth) / fit.std) ** 2)) <= 3  # errors are of the size the map says


# --------------------------------------------------------------------------------------------------------------- search


def on_the_sphere(radius):
    """argmin ½‖AG z − y‖² over ‖z‖ = radius: (H + μ) z = b with the multiplier above −λ_min(H)."""
    H, b = AG.T @ AG, AG.T @ Y.reshape(-1)
    low = -np.linalg.eigvalsh(H)[0]
    mu = brentq(lambda m: np.linalg.norm(np.linalg.solve(H + m * np.eye(CODE), b)) - radius, low + 1e-9, low + 1e3)
    return np.linalg.solve(H + mu * np.eye(CODE), b)


def test_a_linear_decoder_on_the_sphere():
    result = vi.latent_search(A, Y, linear(), steps=300, restarts=3)
    z, expected = result.notes["z"], on_the_sphere(math.sqrt(CODE))
    assert np.linalg.norm(z) == pytest.approx(math.sqrt(CODE), rel=1e-9)
    assert np.abs(z - expected).max() <= 1e-2  # the last steps are 4e-4
    least = 0.5 * np.sum((AG @ expected - Y.reshape(-1)) ** 2)
    assert least * (1 - 1e-12) <= result.state.misfit <= least * (1 + 1e-4)
    assert np.allclose(result.x.reshape(-1), G @ z)  # image and code of the same, the best, iterate
    free = vi.latent_search(A, Y, linear(), steps=300, sphere=False)
    assert np.abs(free.notes["z"] - np.linalg.lstsq(AG, Y.reshape(-1), rcond=None)[0]).max() <= 1e-2


def test_a_code_that_exists_is_found_and_one_that_does_not_is_reported():
    z = rand(np, (CODE,), 5)
    z *= math.sqrt(CODE) / np.linalg.norm(z)
    y = A(bent()(z))
    found = vi.latent_search(A, y, bent(), restarts=4, steps=200)
    assert found.notes["fits"]
    assert "; fits: data residual" in found.why
    assert np.abs(found.x - bent()(z)).max() <= 0.02
    lost = vi.latent_search(A, y + 2, bent(), noise=0.1)
    assert not lost.notes["fits"]
    assert "no code found fits" in lost.why
    r = np.linalg.norm(A(lost.x) - y - 2) / (0.1 * np.sqrt(20))
    assert lost.notes["data_residual"] == pytest.approx(r)


def test_rows_keep_their_lengths_and_the_best_is_kept():
    rows = vi.Decoder(lambda z: (z**2).reshape(2, 3), lambda z, v: 2 * z * v.reshape(2, 3), (2, 3))
    start = rand(np, (2, 3), 6)
    solver = vi.LatentSearch(rows, steps=20, start=start)
    misfits = []
    K, y = vi.Identity((2, 3)), rand(np, (2, 3), 7)
    for s in itertools.islice(solver.states(vi.Problem((vi.L2Squared(y) @ K,))), 21):
        assert np.allclose(np.linalg.norm(s.z, axis=-1), np.linalg.norm(start, axis=-1))
        misfits.append(0.5 * np.sum((s.image - y) ** 2))
        assert s.misfit == pytest.approx(min(misfits))
        assert np.allclose(s.x, rows(s.best))


# ------------------------------------------------------------------------------------------------------------- contract


def test_every_library(xp):
    y = xp.asarray(Y)
    K = vi.Diagonal(xp.asarray(WEIGHTS))
    result = vi.latent_search(K, y, linear(xp), steps=5)
    plain = vi.latent_search(A, Y, linear(), steps=5)
    assert np.allclose(to_numpy(result.x), plain.x, atol=1e-10)
    fit = vi.latent_posterior(K, y, linear(xp), NOISE, spread=0.2, steps=5, samples=3)
    assert fit.std.dtype == y.dtype
    assert np.allclose(
        to_numpy(fit.std), vi.latent_posterior(A, Y, linear(), NOISE, spread=0.2, steps=5, samples=3).std
    )


@pytest.mark.parametrize("kind", [vi.LatentSearch, vi.VBLE])
def test_resumed_equals_uninterrupted(kind):
    for solver, problem in kind.examples():
        whole = next(itertools.islice(solver.states(problem), 6, None))
        half = next(itertools.islice(solver.states(problem), 3, None))
        again = next(itertools.islice(solver.states(problem, resume=half), 3, None))
        assert whole.x.tobytes() == again.x.tobytes()
        assert whole.z.tobytes() == again.z.tobytes()


def test_check_finds_a_wrong_transpose():
    assert bent().check(rand(np, (CODE,), 8)) <= 1e-6
    wrong = vi.Decoder(bent().function, lambda z, v: G.T @ v.reshape(-1), (CODE,))
    assert wrong.check(2 * rand(np, (CODE,), 8)) >= 1e-2


def test_a_torch_decoder(xp):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    layer = torch.nn.Linear(CODE, 20, bias=False).double().eval()
    layer.weight.data = torch.tensor(G)
    decoder = vi.torch_decoder(lambda z: torch.tanh(layer(z)).reshape(SHAPE), (CODE,))
    z, v = rand(np, (CODE,), 9), rand(np, SHAPE, 10)
    assert np.allclose(to_numpy(decoder(xp.asarray(z))), bent()(z))
    found = decoder.back(xp.asarray(z), xp.asarray(v))
    assert np.allclose(to_numpy(found), bent().back(z, v))
    assert not getattr(found, "requires_grad", False)
    with pytest.raises(ValueError, match="training mode"):
        vi.torch_decoder(torch.nn.Linear(2, 2), (2,))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vi.Decoder(3, np.sin, (2,)), TypeError, r"function must be callable as function\(z\), got 3"),
        (lambda: vi.Decoder(np.sin, np.sin, (0,)), ValueError, r"latent\[0\] must be at least 1, got 0"),
        (lambda: linear()(np.ones(4)), ValueError, r"z must have shape \(3,\), got \(4,\)"),
        (lambda: vi.Decoder(np.sin, lambda z, v: v, (3,)).back(np.ones(3), np.ones(2)), ValueError, "result of vjp"),
        (lambda: vi.Decoder(lambda z: z * np.nan, np.sin, (3,))(np.ones(3)), ValueError, "decoded image has 3 NaN"),
        (lambda: vi.latent_search(3, Y, linear()), TypeError, "A must be a LinearOperator, got 3"),
        (lambda: vi.latent_search(A, Y, np.sin), TypeError, "decoder must be a Decoder"),
        (lambda: vi.latent_search(A, Y, linear(), restarts=0), ValueError, "restarts must be at least 1, got 0"),
        (lambda: vi.latent_search(A, Y, linear(), start=np.ones(2)), ValueError, r"start must have shape \(3,\)"),
        (
            lambda: vi.latent_search(vi.Identity((2,)), Y[0, :2], linear()),
            ValueError,
            r"got an array of shape \(4, 5\)",
        ),
        (lambda: vi.latent_posterior(A, Y, linear(), 0.0), ValueError, "noise must be greater than 0, got 0"),
        (lambda: vi.latent_posterior(A, Y, linear(), 1.0, spread=-1), ValueError, "spread must be at least 0, got -1"),
        (lambda: vi.latent_posterior(A, Y, linear(), 1.0, score=3), TypeError, "score must be callable"),
        (lambda: vi.latent_posterior(3, Y, linear(), 1.0), TypeError, "A must be a LinearOperator, got 3"),
        (
            lambda: vi.solve(vi.L2Squared(Y) @ A + vi.L1(), vi.LatentSearch(linear())),
            ValueError,
            "must be L2Squared.* and nothing else",
        ),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
