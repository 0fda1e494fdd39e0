"""A start image changes the path of a least-squares solver, not what it minimises (a fault that a peer had)."""

import numpy as np
import pytest
from conftest import dense, rand
from proof import SHAPE, radon

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("solver", [vi.CGLS(), vi.LSQR(), vi.CG()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("weighted", [False, True])
def test_warm_and_cold_minimise_the_same_objective(solver, weighted) -> None:
    A = radon(9)
    y = A(rand(np, SHAPE, 1, kind="non-negative")) + 0.3 * rand(np, A.codomain, 2)
    w = 0.5 + rand(np, A.codomain, 3, kind="non-negative") if weighted else np.ones(A.codomain)
    problem = vi.Problem((vi.L2Squared(y, w) @ A,))
    root = np.sqrt(w).ravel()
    exact = np.linalg.lstsq(root[:, None] * dense(A), root * y.ravel(), rcond=None)[0].reshape(SHAPE)
    for x0 in (None, 10 * rand(np, SHAPE, 4), exact):
        x = vi.solve(problem, solver, x0=x0, stop=vi.iterations(40)).x
        # 20 distinct singular values: exact after 20 steps but for rounding, times a condition of some 30
        assert np.abs(x - exact).max() <= 1e-8


@pytest.mark.parametrize("solver", [vi.LSQR(), vi.CG()], ids=lambda s: type(s).__name__)
def test_damped_least_squares_keep_their_damping(solver) -> None:
    """A warm start that damped the correction x − x0 in the place of x would end elsewhere."""
    A = radon(7)
    y = A(rand(np, SHAPE, 5, kind="non-negative"))
    problem = vi.L2Squared(y) @ A + 3.0 * vi.L2Squared()
    M = dense(A)
    exact = np.linalg.solve(M.T @ M + 3 * np.eye(20), M.T @ y.ravel()).reshape(SHAPE)
    for x0 in (None, 10 * rand(np, SHAPE, 6)):
        assert np.abs(vi.solve(problem, solver, x0=x0, stop=vi.iterations(40)).x - exact).max() <= 1e-8
