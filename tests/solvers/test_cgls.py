"""Conjugate gradients for least squares: against dense solutions, by its optimality at every step."""

import itertools

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.operators.matrix import Matrix


@pytest.fixture(scope="module")
def A():
    return vi.Radon((5, 4), vi.ParallelBeam([0.0, 0.5, 1.1, 1.7, 2.3, 2.9], 8))


def state_at(problem, k, **start):
    return next(itertools.islice(vi.CGLS().states(problem, **start), k, None))


@pytest.mark.parametrize("weighted", [False, True])
def test_reaches_the_least_squares_solution(A, weighted):
    y = rand(np, A.codomain, 1)
    w = 0.5 + rand(np, A.codomain, 2, kind="non-negative") if weighted else np.ones(A.codomain)
    root = np.sqrt(w).ravel()
    exact = np.linalg.lstsq(root[:, None] * dense(A), root * y.ravel(), rcond=None)[0]
    problem = vi.Problem((vi.L2Squared(y, weight=w if weighted else 1.0) @ A,))
    # 20 distinct singular values: exact after 20 steps but for rounding (cond(A) is 27)
    assert np.allclose(state_at(problem, 25).x.ravel(), exact, rtol=1e-10, atol=1e-12)


def test_each_step_is_the_best_in_its_krylov_space(A):
    y = rand(np, A.codomain, 3)
    M, b = dense(A), y.ravel()
    vectors = [M.T @ b]
    for k in range(1, 6):
        basis = np.linalg.qr(np.array(vectors).T)[0]
        best = basis @ np.linalg.lstsq(M @ basis, b, rcond=None)[0]
        x = state_at(vi.Problem((vi.L2Squared(y) @ A,)), k).x.ravel()
        assert np.linalg.norm(x - best) <= 1e-10 * np.linalg.norm(best)  # rounding of six steps
        vectors.append(M.T @ (M @ vectors[-1]))


def test_from_zero_it_tends_to_the_solution_of_least_norm():
    K = vi.Subsampling((6,), np.array([True, False, True, True, False, False]))
    x = state_at(vi.Problem((vi.L2Squared(np.array([1.0, 2.0, 3.0])) @ K,)), 5).x
    assert np.allclose(x, [1, 0, 2, 3, 0, 0])


def test_resumed_equals_uninterrupted(A):
    problem = vi.Problem((vi.L2Squared(rand(np, A.codomain, 4)) @ A,))
    state = state_at(problem, 3)
    assert state_at(problem, 7).x.tobytes() == state_at(problem, 4, resume=state).x.tobytes()


def test_a_start_image_is_used_and_a_solved_problem_stays_solved(A):
    x = rand(np, A.domain, 5)
    problem = vi.Problem((vi.L2Squared(A(x)) @ A,))
    result = vi.solve(problem, vi.CGLS(), x0=x, stop=vi.iterations(3))
    assert np.allclose(result.x, x, atol=1e-10)
    assert vi.solve(vi.L2Squared(np.zeros(A.codomain)) @ A, vi.CGLS(), stop=vi.iterations(2)).x.max() == 0


def test_the_residual_rule_stops_it(A):
    result = vi.solve(vi.L2Squared(rand(np, A.codomain, 6)) @ A, vi.CGLS(), stop=vi.residual(1e-6, every=1))
    assert result.why.startswith("residual")


def test_every_library(A, xp):
    y = rand(xp, A.codomain, 7, dtype="float32")
    result = vi.solve(vi.L2Squared(y) @ A, vi.CGLS(), stop=vi.iterations(5))
    assert result.x.dtype == xp.float32


@pytest.mark.parametrize("extra", [vi.NonNegative(), 0.1 * vi.TV((5, 4))])
def test_other_problems_are_refused(A, extra):
    with pytest.raises(ValueError, match="CGLS: the problem must be"):
        vi.solve(vi.L2Squared(np.ones(A.codomain)) @ A + extra, vi.CGLS())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_solved_to_rounding_the_image_stays_to_the_bit(dtype: str) -> None:
    """Further steps would follow rounding; data outside the range leave a residual that never vanishes."""
    rng = np.random.default_rng(0)
    a = rng.uniform(size=(30, 8)).astype(dtype)
    y = rng.standard_normal(30).astype(dtype)
    problem = vi.Problem((vi.L2Squared(y) @ Matrix(a),))
    states = list(itertools.islice(vi.CGLS().states(problem), 121))
    assert [s.k for s in states] == list(range(121))
    assert all(np.array_equal(s.x, states[60].x) for s in states[60:])  # 8 steps are exact, but for rounding
    best = np.linalg.lstsq(a.astype(float), y.astype(float), rcond=None)[0]
    assert np.linalg.norm(states[-1].x - best) <= 200 * np.finfo(dtype).eps * np.linalg.norm(best)  # condition about 15
