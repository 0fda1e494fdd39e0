"""LSQR, the hybrid method and the misfit rule: dense solutions, warm starts, choices of the weight, bits."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import lsqr as scipy_lsqr

import varinv as vi
from varinv.linalg import norm

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (5, 4)


@pytest.fixture(scope="module")
def A() -> Any:
    return vi.Radon(SHAPE, vi.ParallelBeam([0.0, 0.5, 1.1, 1.7, 2.3, 2.9], 8))


def state_at(solver: Any, problem: Any, k: int, **start: Any) -> Any:
    return next(itertools.islice(solver.states(problem, **start), k, None))


def bits(state: Any) -> Any:
    if isinstance(state, tuple):
        return [bits(part) for part in state]
    return state.tobytes() if isinstance(state, np.ndarray) else state


@pytest.mark.parametrize("damp", [0.0, 0.3])
def test_the_iterates_are_scipys(A: Any, damp: float) -> None:
    """scipy's LSQR on the whitened dense matrix, damped by the norm where ours has a term."""
    y, w = rand(np, A.codomain, 1), 0.5 + rand(np, A.codomain, 2, kind="non-negative")
    root = np.sqrt(w).ravel()
    problem = vi.Problem((vi.L2Squared(y, weight=w) @ A,))
    problem = problem + damp**2 * vi.L2Squared() if damp else problem
    for k in (1, 2, 3, 8):
        theirs = scipy_lsqr(root[:, None] * dense(A), root * y.ravel(), damp, atol=0, btol=0, conlim=0, iter_lim=k)[0]
        assert np.allclose(state_at(vi.LSQR(), problem, k).x.ravel(), theirs, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_warm_and_cold_starts_minimise_the_same_objective(A: Any, seed: int) -> None:
    """With damping (and a centre that is not zero) by the dense normal equations: a peer penalised the change."""
    y, centre = rand(np, A.codomain, seed), rand(np, SHAPE, seed + 1)
    M = dense(A)
    for c in (0.0, centre):
        problem = vi.L2Squared(y) @ A + 2.0 * vi.L2Squared(c)
        right = M.T @ y.ravel() + 2 * (np.zeros(SHAPE) + c).ravel()
        exact = np.linalg.solve(M.T @ M + 2 * np.eye(20), right).reshape(SHAPE)
        for x0 in (None, 10 * rand(np, SHAPE, 7), exact):
            result = vi.solve(problem, vi.LSQR(), x0=x0, stop=vi.residual(1e-12, every=1) | vi.iterations(100))
            assert np.abs(result.x - exact).max() <= 1e-9 * np.abs(exact).max()  # cond(MᵀM + 2I) is about 70
            assert result.why.startswith("residual")
            gradient = (M.T @ M + 2 * np.eye(20)) @ result.x.ravel() - right
            assert np.linalg.norm(gradient) <= 1e-10 * np.linalg.norm(right)  # what the residual claims


def test_several_squares_and_rank_deficiency(A: Any) -> None:
    y = rand(np, SHAPE, 4)
    problem = vi.L2Squared(y) @ vi.Blur(SHAPE, np.ones((3, 3)) / 9) + 0.1 * vi.L2Squared(0.3) @ vi.Gradient(SHAPE)
    x = vi.solve(problem, vi.LSQR(), stop=vi.residual(1e-13) | vi.iterations(300)).x
    same = vi.solve(problem, vi.CG(), stop=vi.residual(1e-13) | vi.iterations(300)).x
    assert problem(x) <= problem(same) * (1 + 1e-10)
    K = vi.Subsampling((6,), np.array([True, False, True, True, False, False]))
    least = vi.solve(vi.L2Squared(np.array([1.0, 2.0, 3.0])) @ K, vi.LSQR(), stop=vi.iterations(50)).x
    assert np.allclose(least, [1, 0, 2, 3, 0, 0])  # least norm, and it stays there


def test_misfit_stops_at_the_first_iterate_within_the_noise(A: Any) -> None:
    truth, w = rand(np, SHAPE, 3, kind="non-negative"), 0.5 + rand(np, A.codomain, 2, kind="non-negative")
    noise = 0.1 * rand(np, A.codomain, 4)
    y, delta = A(truth) + noise, float(np.sqrt(np.sum(w * noise**2)))
    problem = vi.Problem((vi.L2Squared(y, weight=w) @ A,))
    root = np.sqrt(w).ravel()
    for method in (vi.CGLS(), vi.LSQR(), vi.CG(), vi.ProximalGradient(), vi.ChambollePock()):
        result = vi.solve(problem, method, stop=vi.misfit(delta, factor=1.05) | vi.iterations(3000))
        assert result.why.startswith("misfit"), method
        misfits = [np.linalg.norm(root * (dense(A) @ x.ravel() - y.ravel()))
                   for x in (result.x, state_at(method, problem, result.state.k - 1).x)]  # fmt: skip
        assert misfits[0] <= 1.05 * delta < misfits[1]
        assert result.history[-1]["misfit"] == pytest.approx(misfits[0], rel=1e-9)
    assert vi.solve(problem, vi.CGLS(), stop=vi.misfit(delta, every=4) | vi.iterations(30)).state.k % 4 == 0
    with pytest.raises(ValueError, match=r"misfit: .* has no L2Squared\(y\) with data"):
        vi.solve(vi.KullbackLeibler(abs(y), 0.1) @ A, stop=vi.misfit(1.0))
    for bad in ({"noise": 0}, {"noise": 1, "factor": 0.5}):
        with pytest.raises(ValueError, match="misfit: "):
            vi.misfit(**bad)


def test_warm_starts_are_judged_like_cold_ones(A: Any) -> None:
    """A start near the solution: its residual is small at once, and not 1 by definition."""
    problem = vi.Problem((vi.L2Squared(rand(np, A.codomain, 6)) @ A,))
    for method in (vi.CGLS(), vi.LSQR(), vi.CG()):
        x = state_at(method, problem, 30).x
        assert method.init(problem, x).residual(problem, None) <= 1e-9


# ------------------------------------------------------------------------------------------------------ the hybrid


def hybrid_problem(seed: int = 0, n: int = 30) -> tuple[Any, np.ndarray, np.ndarray, float]:
    """A blur with singular values down to 1e-3, 2 % noise: dense matrix, data, noise norm."""
    t = np.arange(n) * 30 / n
    kernel = np.exp(-0.5 * ((np.arange(9) - 4) / 1.5) ** 2)
    K = vi.Blur((n,), kernel / kernel.sum(), boundary="reflect")
    truth = np.where((t > 8) & (t < 19), 1.0, 0.2)
    noise = 0.02 * np.random.default_rng(seed).standard_normal(n)
    return K, K(truth) + noise, truth, float(np.linalg.norm(noise))


def tikhonov(M: np.ndarray, y: np.ndarray, mu: float) -> np.ndarray:
    return np.linalg.solve(M.T @ M + mu * np.eye(M.shape[1]), M.T @ y)


def gcv(M: np.ndarray, y: np.ndarray, mu: float) -> float:
    """As the projected problem counts at the end: one residual more than there are columns."""
    H = M @ np.linalg.solve(M.T @ M + mu * np.eye(M.shape[1]), M.T)
    return float(np.sum((y - H @ y) ** 2) / (M.shape[1] + 1 - np.trace(H)) ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_in_the_whole_space_it_minimises_gcv(A: Any, seed: int) -> None:
    M = dense(A)
    y = A(rand(np, SHAPE, seed)) + 0.5 * rand(np, A.codomain, seed + 1)
    problem = vi.Problem((vi.L2Squared(y) @ A,))
    s = state_at(vi.HybridLSQR(), problem, 20)
    grid = np.logspace(-6, 4, 101)
    values = [gcv(M, y.ravel(), mu) for mu in grid]
    assert 0 < np.argmin(values) < 100  # a minimum inside
    start = np.log(grid[np.argmin(values)])
    best = minimize_scalar(lambda t: gcv(M, y.ravel(), np.exp(t)), bounds=(start - 0.3, start + 0.3), method="bounded")
    assert np.log(s.mu) == pytest.approx(best.x, abs=1e-3)  # scipy's own tolerance is 1e-5, of a flat minimum
    assert np.allclose(s.x.ravel(), tikhonov(M, y.ravel(), s.mu), atol=1e-8)
    assert s.residual(problem, None) <= 1e-10


@pytest.mark.parametrize("seed", range(3))
def test_it_settles_where_lsqr_fits_the_noise(seed: int) -> None:
    K, y, truth, _ = hybrid_problem(seed, 120)
    problem = vi.Problem((vi.L2Squared(y) @ K,))
    hybrid = [norm(s.x - truth) for s in itertools.islice(vi.HybridLSQR().states(problem), 50)]
    plain = [norm(s.x - truth) for s in itertools.islice(vi.LSQR().states(problem), 50)]
    assert plain[-1] >= 3 * min(plain)  # semi-convergence
    assert hybrid[-1] <= 1.3 * min(plain)  # and none here
    result = vi.solve(problem, vi.HybridLSQR(), stop=vi.small_change(1e-3) | vi.iterations(50))
    assert result.why.startswith("relative change")
    assert norm(result.x - truth) <= 1.3 * min(plain)


def test_given_the_noise_the_discrepancy_is_met() -> None:
    K, y, _, delta = hybrid_problem(1)
    w = np.linspace(0.5, 2, 30)
    problem = vi.Problem((vi.L2Squared(y, weight=w) @ K,))
    s = state_at(vi.HybridLSQR(noise=1.5 * delta, factor=1.02), problem, 30)
    assert np.sqrt(np.sum(w * (K(s.x) - y) ** 2)) == pytest.approx(1.53 * delta, rel=1e-6)
    root = np.sqrt(w)
    assert np.allclose(s.x, tikhonov(root[:, None] * dense(K), root * y, s.mu), atol=1e-8)


def test_each_step_is_tikhonov_in_its_krylov_space() -> None:
    K, y, _, _ = hybrid_problem(2)
    M, vectors = dense(K), []
    for k in range(1, 7):
        vectors.append(M.T @ y if not vectors else M.T @ (M @ vectors[-1]))
        V = np.linalg.qr(np.array(vectors).T)[0]
        s = state_at(vi.HybridLSQR(), vi.Problem((vi.L2Squared(y) @ K,)), k)
        assert np.allclose(s.x, V @ tikhonov(M @ V, y, s.mu), atol=1e-6)
        assert (len(s.V), len(s.U)) == (k, k + 1)


def test_resumed_is_uninterrupted_bit_for_bit(A: Any) -> None:
    problem = vi.Problem((vi.L2Squared(rand(np, A.codomain, 4)) @ A,))
    for method in (vi.LSQR(), vi.HybridLSQR(), vi.HybridLSQR(noise=1.0)):
        halfway = pickle.loads(pickle.dumps(state_at(method, problem, 5)))
        assert bits(state_at(method, problem, 6, resume=halfway)) == bits(state_at(method, problem, 11))


def test_every_library(A: Any, xp: Any) -> None:
    problem = vi.Problem((vi.L2Squared(rand(xp, A.codomain, 7, dtype="float32")) @ A,))
    for method in (vi.LSQR(), vi.HybridLSQR()):
        assert vi.solve(problem, method, stop=vi.iterations(5)).x.dtype == xp.float32


def test_solved_problems_stay_solved_and_others_are_refused(A: Any) -> None:
    for method in (vi.LSQR(), vi.HybridLSQR()):
        assert vi.solve(vi.L2Squared(np.zeros(A.codomain)) @ A, method, stop=vi.iterations(3)).x.max() == 0
        x = rand(np, SHAPE, 5)
        problem = vi.Problem((vi.L2Squared(A(x)) @ A,))
        assert np.isfinite(vi.solve(problem, method, stop=vi.iterations(300)).x).all()
    assert np.allclose(vi.solve(problem, vi.LSQR(), x0=x, stop=vi.iterations(300)).x, x, atol=1e-10)
    with pytest.raises(ValueError, match=r"LSQR takes squares only, got the term Box"):
        vi.solve(problem + vi.Box(0, 1), vi.LSQR())
    with pytest.raises(ValueError, match=r"HybridLSQR: the problem must be L2Squared\(y\) @ A and nothing else"):
        vi.solve(problem + vi.L2Squared(), vi.HybridLSQR())
    with pytest.raises(ValueError, match="HybridLSQR starts from zero"):
        vi.solve(problem, vi.HybridLSQR(), x0=x)


@pytest.mark.parametrize("solver", [vi.LSQR(), vi.CGLS(), vi.SIRT(), vi.ChambollePock()], ids=repr)
def test_a_noise_level_that_nothing_fits_ends_the_run_and_is_named(solver) -> None:
    rng = np.random.default_rng(0)
    M, y = abs(rng.standard_normal((30, 8))), rng.standard_normal(30)
    least = float(np.linalg.norm(M @ np.linalg.lstsq(M, y, rcond=None)[0] - y))
    for noise in (0.5 * least, 1e-30):
        result = vi.solve(vi.L2Squared(y) @ vi.Matrix(M), solver, stop=vi.misfit(noise) | vi.iterations(20000))
        assert "falls no more and is above" in result.why
        assert least * (1 - 1e-9) <= result.history[-1]["misfit"] <= 1.01 * least  # slow methods: 1e-4 in each half
    reach = 1.05 if isinstance(solver, vi.SIRT) else 1.001  # SIRT minimises a weighted norm, whose least is elsewhere
    slow = vi.misfit(reach * least) | vi.iterations(20000)  # reached late, but reached
    assert "≤" in vi.solve(vi.L2Squared(y) @ vi.Matrix(M), solver, stop=slow).why
