"""Conjugate gradients: the function against dense solutions and its stops; the solver on quadratic problems."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.solvers.cg import conjugate_gradients

pytestmark = pytest.mark.usefixtures("one_thread")


def system(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((12, 12))
    return M @ M.T + 0.1 * np.eye(12), rng.standard_normal(12)


@pytest.mark.parametrize("absolute", [False, True])
def test_solves_to_the_stated_tolerance_and_not_much_further(absolute: bool) -> None:
    H, b = system()
    for tol in (1e-2, 1e-6, 1e-10):
        x, size, k = conjugate_gradients(lambda p: H @ p, b, tol=tol, absolute=absolute)
        target = tol * (1 if absolute else np.linalg.norm(b))
        assert size == pytest.approx(np.linalg.norm(b - H @ x), rel=1e-6, abs=1e-13)
        assert size <= target
        one_less = conjugate_gradients(lambda p: H @ p, b, tol=tol, absolute=absolute, most=k - 1)
        assert one_less[1] > target  # it stopped at the first that satisfies it
        assert np.linalg.norm(x - np.linalg.solve(H, b)) <= size / np.linalg.eigvalsh(H)[0]


def test_each_step_minimises_over_its_krylov_space() -> None:
    """The energy ½⟨x, Hx⟩ − ⟨b, x⟩ over x0 + span(r, Hr, …), from a basis by QR."""
    H, b = system(1)
    x0 = rand(np, (12,), 4)
    r, vectors = b - H @ x0, []
    for k in range(1, 7):
        vectors.append(r if not vectors else H @ vectors[-1])
        Q = np.linalg.qr(np.array(vectors).T)[0]
        best = x0 + Q @ np.linalg.solve(Q.T @ H @ Q, Q.T @ r)
        x, _, steps = conjugate_gradients(lambda p: H @ p, b, x0, tol=0.0, most=k)
        assert steps == k
        assert np.linalg.norm(x - best) <= 1e-8 * np.linalg.norm(best)  # cond(H)·cond(basis)·1e-16


def test_a_start_that_satisfies_the_tolerance_is_returned_at_once() -> None:
    H, b = system()
    calls = []

    def apply(p: Any) -> Any:
        calls.append(1)
        return H @ p

    x0 = np.linalg.solve(H, b)
    x, size, k = conjugate_gradients(apply, b, x0, tol=1e-8)
    assert x is x0
    assert k == 0
    assert size <= 1e-8 * np.linalg.norm(b)
    assert len(calls) == 1
    x, size, k = conjugate_gradients(apply, 1e-12 * b, tol=1e-10, absolute=True)
    assert (float(abs(x).max()), k, len(calls)) == (0.0, 0, 1)
    assert conjugate_gradients(apply, 0 * b, tol=1e-8)[0].max() == 0


def test_stalls_end_with_the_best_and_say_what_is_left() -> None:
    H, b = system()
    x, size, k = conjugate_gradients(lambda p: H @ p, b, tol=0.0, most=2000)  # below what float64 can
    assert k < 500
    assert size <= 1e-10 * np.linalg.norm(b)
    singular = np.diag([2.0, 1.0, 0.0])
    x, size, k = conjugate_gradients(lambda p: singular @ p, np.array([1.0, 1.0, 0.5]), tol=1e-8)  # out of range
    assert size == pytest.approx(np.linalg.norm([1 - 2 * x[0], 1 - x[1], 0.5]))  # never below 0.5, and x stays small
    assert 0.5 <= size <= 1.5
    assert k <= 60
    x, size, k = conjugate_gradients(lambda p: -p, b, tol=1e-8)  # not positive
    assert (size, k) == (pytest.approx(np.linalg.norm(b)), 0)
    single = H.astype("float32")
    x, size, k = conjugate_gradients(lambda p: single @ p, b.astype("float32"), tol=1e-12)
    assert x.dtype == np.float32
    assert k < 500
    assert size <= 1e-4 * np.linalg.norm(b)  # eps · cond(H) = 6e-8 · 400, and some


def test_every_library_and_shape(xp: Any) -> None:
    b = rand(xp, (3, 4), 1, "float32")
    x, size, _ = conjugate_gradients(lambda p: 2.0 * p, b, tol=1e-5)
    assert x.dtype == xp.float32
    assert float(xp.max(abs(x - b / 2))) <= 1e-6
    assert isinstance(size, float)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"conjugate_gradients: tol must be at least 0, got -1"):
        conjugate_gradients(lambda p: p, np.ones(3), tol=-1.0)
    with pytest.raises(ValueError, match=r"conjugate_gradients: x0 must have shape \(3,\), got \(4,\)"):
        conjugate_gradients(lambda p: p, np.ones(3), np.ones(4), tol=1e-3)


def quadratic(seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    """A problem of three squares, its Hessian and right-hand side."""
    shape = (4, 5)
    A, D = vi.Blur(shape, rand(np, (3, 3), seed), boundary="zero"), vi.Gradient(shape)
    y, w = rand(np, shape, seed + 1), rand(np, shape, seed + 2, kind="non-negative")
    problem = vi.L2Squared(y, weight=w) @ A + 0.3 * vi.L2Squared(0.2) @ D + vi.L2Squared(y, 0.1)
    a, d = dense(A), dense(D)
    H = a.T @ (w.reshape(-1, 1) * a) + 0.3 * d.T @ d + 0.1 * np.eye(20)
    return problem, H, a.T @ (w * y).ravel() + 0.3 * d.T @ np.full(40, 0.2) + 0.1 * y.ravel()


@pytest.mark.parametrize("seed", range(3))
def test_solves_quadratic_problems_from_any_start(seed: int) -> None:
    problem, H, b = quadratic(seed)
    exact = np.linalg.solve(H, b)
    for x0 in (None, 10 * rand(np, (4, 5), 9)):
        result = vi.solve(problem, vi.CG(), x0=x0, stop=vi.residual(1e-12, every=1) | vi.iterations(100))
        assert result.why.startswith("residual")
        assert np.linalg.norm(result.x.ravel() - exact) <= 1e-9 * np.linalg.norm(exact)
        assert result.state.residual(problem, None) == pytest.approx(
            np.linalg.norm(H @ result.x.ravel() - b) / np.linalg.norm(b), abs=1e-13
        )


def test_the_solver_is_the_function() -> None:
    problem, H, b = quadratic()
    state = next(itertools.islice(vi.CG().states(problem), 7, None))
    x = conjugate_gradients(lambda p: H @ p, b, tol=0.0, most=7)[0]
    assert np.allclose(state.x.ravel(), x, rtol=1e-9)


def test_a_solved_problem_stays_solved_and_others_are_refused() -> None:
    assert vi.solve(vi.L2Squared(np.zeros(3)), vi.CG(), stop=vi.iterations(3)).x.max() == 0
    problem = vi.L2Squared(np.ones((4, 5))) + 0.1 * vi.TV((4, 5))
    with pytest.raises(ValueError, match=r"CG takes squares only, got the term L21\(0.1\) @ .*; use ChambollePock"):
        vi.solve(problem, vi.CG())
