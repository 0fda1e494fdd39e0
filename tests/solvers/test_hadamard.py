"""Gradient descent on w∘w − u∘u: least squares, the bias towards least ℓ1 norm against a linear program, bits."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import rand
from scipy.optimize import linprog

import varinv as vi
from varinv.linalg import norm

pytestmark = pytest.mark.usefixtures("one_thread")


def state_at(problem: Any, k: int, solver: Any, **start: Any) -> Any:
    return next(itertools.islice(solver.states(problem, **start), k, None))


def underdetermined(seed: int) -> tuple[Any, np.ndarray, float]:
    """8 measurements of 16 entries, 2 of them not zero: operator, data, and the least ℓ1 norm of an interpolant."""
    rng = np.random.default_rng(seed)
    a, truth = rng.standard_normal((8, 16)), np.zeros(16)
    truth[rng.permutation(16)[:2]] = [1.0, -0.7]
    y = a @ truth
    return vi.Matrix(a), y, linprog(np.ones(32), A_eq=np.hstack([a, -a]), b_eq=y, bounds=(0, None)).fun


@pytest.mark.parametrize("seed", range(2))
def test_tends_to_the_interpolant_of_least_l1_norm(seed: int) -> None:
    A, y, best = underdetermined(seed)
    problem = vi.Problem((vi.L2Squared(y) @ A,))
    excess = []
    for alpha in (1.0, 1e-1, 1e-2):
        x = vi.solve(problem, vi.HadamardGradient(alpha), stop=vi.residual(1e-5) | vi.iterations(2500)).x
        assert norm(A(x) - y) <= 2e-2 * norm(y)  # an interpolant each time, or nearly
        excess.append(np.abs(x).sum() / best - 1)
    assert excess[2] <= 0.01  # the excess falls about like α: 0.6, 0.07, 0.005
    assert all(b <= a / 3 for a, b in itertools.pairwise(excess))
    plain = np.abs(vi.solve(problem, vi.CGLS(), stop=vi.iterations(30)).x).sum()
    assert plain / best - 1 >= 0.3  # least ℓ2 norm is another image


def test_the_iterates_are_gradient_descent_on_the_factors() -> None:
    A, y, _ = underdetermined(0)
    a, L = A.values, A.norm() ** 2
    w = u = np.full(16, 0.1 * np.sqrt(np.abs(a.T @ y).max() / L))
    problem = vi.Problem((vi.L2Squared(y) @ A,))
    for s in itertools.islice(vi.HadamardGradient(0.1).states(problem), 20):
        assert np.allclose(s.x, w * w - u * u, atol=1e-13)
        g = a.T @ (a @ (w * w - u * u) - y)
        eta = 1 / (8 * L * np.max(w * w + u * u) + 4 * np.abs(g).max())
        w, u = w - 2 * eta * w * g, u + 2 * eta * u * g
    values = [problem(s.x) for s in itertools.islice(vi.HadamardGradient().states(problem), 2000)]
    assert all(np.diff(values) <= 1e-15 * values[0])


@pytest.mark.parametrize("seed", range(3))
def test_reaches_the_least_squares_solution(seed: int) -> None:
    """Overdetermined and inconsistent, weighted: against dense least squares."""
    rng = np.random.default_rng(seed)
    a, y, w = rng.standard_normal((12, 6)), rng.standard_normal(12), rng.uniform(0.5, 1.5, 12)
    root = np.sqrt(w)
    exact = np.linalg.lstsq(root[:, None] * a, root * y, rcond=None)[0]
    problem = vi.Problem((vi.L2Squared(y, weight=w) @ vi.Matrix(a),))
    for x0 in (None, rand(np, (6,), 7)):
        x = vi.solve(problem, vi.HadamardGradient(1.0), x0=x0, stop=vi.residual(3e-5) | vi.iterations(3000)).x
        assert problem(x) == pytest.approx(problem(exact), rel=1e-6)


def test_bits_libraries_scales_and_refusals(xp: Any) -> None:
    A, y, _ = underdetermined(1)
    problem = vi.Problem((vi.L2Squared(y) @ A,))
    method = vi.HadamardGradient()
    halfway = pickle.loads(pickle.dumps(state_at(problem, 9, method)))
    resumed, straight = state_at(problem, 11, method, resume=halfway), state_at(problem, 20, method)
    assert [np.asarray(v).tobytes() for v in resumed] == [np.asarray(v).tobytes() for v in straight]
    for c in (2.0**-10, 2.0**10):
        scaled = state_at(vi.Problem((vi.L2Squared(c * y) @ A,)), 20, method)
        assert np.allclose(scaled.x, c * straight.x, rtol=1e-10)
    single = vi.L2Squared(xp.asarray(y.astype("f4"))) @ vi.Matrix(xp.asarray(A.values.astype("f4")))
    assert vi.solve(single, method, stop=vi.iterations(3)).x.dtype == xp.float32
    assert vi.solve(vi.L2Squared(0 * y) @ A, method, stop=vi.iterations(3)).x.max() == 0
    with pytest.raises(ValueError, match=r"HadamardGradient: the problem must be L2Squared\(y\) @ A and nothing else"):
        vi.solve(problem + vi.NonNegative(), method)
    with pytest.raises(ValueError, match="HadamardGradient: alpha must be greater than 0, got 0"):
        vi.HadamardGradient(0)
