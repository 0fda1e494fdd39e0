"""MMGKS against independent optima, its majorants, the discrepancy principle; SmoothedLq by its definition."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from scipy.optimize import minimize
from test_lsqr import bits, state_at

import varinv as vi
from varinv.functionals.base import Scaled
from varinv.linalg import norm

SHAPE = (4, 5)
pytestmark = pytest.mark.usefixtures("one_thread")


def data(seed: int) -> tuple[Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    A = vi.Diagonal(rng.uniform(0.5, 2, SHAPE)) @ vi.Blur(SHAPE, rng.uniform(size=(3, 3)), boundary="zero")
    y = A.forward(np.outer([0, 1, 1, 0], [0, 0, 1, 1, 1.0])) + 0.1 * rng.standard_normal(SHAPE)
    return A, y, rng.uniform(0.5, 1.5, SHAPE)


def newton(value: Any, grad: Any, hess: Any, x: np.ndarray) -> tuple[float, np.ndarray]:
    """scipy's trust-region Newton from x, with dense formulas written below."""
    found = minimize(value, x, jac=grad, hess=hess, method="trust-exact", options={"gtol": 1e-10, "maxiter": 2000})
    return float(found.fun), found.x


def lq(seed: int, q: float, s: float, lam: float = 0.2) -> tuple[Any, Any, Any, Any]:
    """½‖Ax − y‖²_W + λ/q Σ (|Dx|² + s²)^{q/2} (anisotropic) as a problem, and as dense value, gradient and Hessian."""
    A, y, w = data(seed)
    D = vi.Gradient(SHAPE)
    a, d, W, b = dense(A), dense(D), w.ravel(), y.ravel()

    def value(x: np.ndarray) -> float:
        return 0.5 * float(W @ (a @ x - b) ** 2) + lam / q * float(np.sum(((d @ x) ** 2 + s * s) ** (q / 2)))

    def grad(x: np.ndarray) -> np.ndarray:
        u = d @ x
        return a.T @ (W * (a @ x - b)) + lam * d.T @ (u * (u * u + s * s) ** (q / 2 - 1))

    def hess(x: np.ndarray) -> np.ndarray:
        u = d @ x
        bend = (u * u + s * s) ** (q / 2 - 2) * ((q - 1) * u * u + s * s)
        return a.T @ (W[:, None] * a) + lam * d.T @ (bend[:, None] * d)

    return vi.L2Squared(y, weight=w) @ A + lam * vi.SmoothedLq(q, s) @ D, value, grad, hess


@pytest.mark.parametrize("method", [vi.MMGKS(), vi.MMGKS(adaptive=False), vi.MMGKS(restart=5)], ids=str)
@pytest.mark.parametrize(("seed", "q"), [(0, 1.0), (1, 1.0), (2, 1.5), (3, 1.2), (4, 2.0)])
def test_convex_problems_reach_the_independent_optimum(seed: int, q: float, method: Any) -> None:
    problem, *dense_form = lq(seed, q, 0.1)
    best, exact = newton(*dense_form, np.zeros(20))
    result = vi.solve(problem, method, stop=vi.residual(1e-7) | vi.iterations(3000))
    assert result.why.startswith("residual")
    assert problem(result.x) == pytest.approx(best, rel=1e-9)  # the square of the residual, and rounding
    assert np.linalg.norm(result.x.ravel() - exact) <= 1e-4 * np.linalg.norm(exact)


@pytest.mark.parametrize("q", [0.1, 0.5])
def test_nonconvex_problems_end_at_a_minimum_that_newton_does_not_improve(q: float) -> None:
    problem, value, grad, hess = lq(0, q, 0.05, lam=0.05)
    for x0 in (None, rand(np, SHAPE, 5)):
        result = vi.solve(problem, vi.MMGKS(), x0=x0, stop=vi.residual(1e-7) | vi.iterations(3000))
        assert np.linalg.norm(grad(result.x.ravel())) <= 1e-5
        best, _ = newton(value, grad, hess, result.x.ravel())
        assert problem(result.x) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("adaptive", [True, False])
def test_the_objective_never_rises_and_every_step_is_that_of_the_majorant(adaptive: bool) -> None:
    """Each iterate against a dense minimisation of the majorant over the span of the gradients seen so far."""
    problem, _, grad, _ = lq(1, 0.5, 0.1)
    A, y, w = data(1)
    a, d, W = dense(A), dense(vi.Gradient(SHAPE)), w.ravel()
    states = list(itertools.islice(vi.MMGKS(adaptive=adaptive).states(problem, rand(np, SHAPE, 3)), 12))
    values = [problem(s.x) for s in states]
    assert all(np.diff(values) <= 1e-12 * values[0])
    seen = [states[0].x.ravel()]
    for before, after in itertools.pairwise(states):
        x = before.x.ravel()
        seen.append(grad(x))
        V = np.linalg.qr(np.array(seen).T)[0]
        u, full = d @ x, 0.1 ** (0.5 - 2)
        weight = 0.2 * (u * u + 0.01) ** (0.25 - 1) if adaptive else np.full(40, 0.2 * full)
        target = 0 * u if adaptive else u - u * (u * u + 0.01) ** (0.25 - 1) / full
        rows = np.vstack([np.sqrt(W)[:, None] * a @ V, np.sqrt(weight)[:, None] * d @ V])
        right = np.concatenate([np.sqrt(W) * y.ravel(), np.sqrt(weight) * target])
        expected = V @ np.linalg.lstsq(rows, right, rcond=None)[0]
        assert np.allclose(after.x.ravel(), expected, rtol=1e-6, atol=1e-8)


def test_a_restart_bounds_the_basis_and_keeps_the_image() -> None:
    problem, *_ = lq(0, 1.0, 0.1)
    for s, after in itertools.pairwise(itertools.islice(vi.MMGKS(restart=4).states(problem), 30)):
        assert len(after.V) <= 4
        assert problem(after.x) <= problem(s.x) * (1 + 1e-12) or s.k == 0
        V = np.array([v.ravel() for v in after.V])
        assert np.allclose(V @ V.T, np.eye(len(V)), atol=1e-12)
        assert np.allclose(after.x.ravel(), after.z @ V, atol=1e-12)


@pytest.mark.parametrize(("q", "adaptive"), [(1.0, True), (1.0, False), (2.0, True)])
def test_the_discrepancy_principle(q: float, adaptive: bool) -> None:
    """‖Ax − y‖_W is what was asked, and x minimises the problem with the λ found."""
    problem, *_ = lq(2, q, 0.1, lam=1.0)
    A, y, w = data(2)
    noise = 0.5 * float(np.sqrt(np.sum(w * y**2)))
    method = vi.MMGKS(adaptive=adaptive, noise=noise, factor=1.02)
    result = vi.solve(problem, method, stop=vi.residual(1e-7) | vi.iterations(3000))
    assert result.why.startswith("residual")
    misfit = float(np.sqrt(np.sum(w * (A(result.x) - y) ** 2)))
    assert misfit == pytest.approx(1.02 * noise, rel=1e-6)
    lam = result.state.lam
    same, *dense_form = lq(2, q, 0.1, lam=lam)
    assert same(result.x) == pytest.approx(newton(*dense_form, np.zeros(20))[0], rel=1e-6)
    # λ is free of the weight it stands for
    again = vi.solve(problem.terms[0] + 7.0 * problem.terms[1], method, stop=vi.residual(1e-7) | vi.iterations(3000))
    assert again.state.lam == pytest.approx(lam / 7, rel=1e-4)


def test_isotropic_and_several_terms() -> None:
    """Against CG on the squares, and against FISTA for a smoothed total variation."""
    A, y, _ = data(3)
    square = vi.L2Squared(y) @ A + 0.3 * vi.L2Squared(0.1) @ vi.Gradient(SHAPE) + 0.1 * vi.L2Squared(y)
    x = vi.solve(square, vi.MMGKS(), stop=vi.iterations(20)).x
    assert norm(x - vi.solve(square, vi.CG(), stop=vi.iterations(40)).x) <= 1e-8 * norm(x)
    for term in (
        vi.TV(SHAPE, smoothing=0.1),
        vi.Charbonnier(0.1, groups=True) @ vi.Gradient(SHAPE),
        Scaled(2.0, vi.Charbonnier(0.1)) @ vi.Gradient(SHAPE),
    ):
        problem = vi.L2Squared(y) @ A + 0.2 * term + 0.1 * vi.L2Squared(0.2) + 0.05 * vi.Huber(0.1)
        ours = vi.solve(problem, vi.MMGKS(), stop=vi.residual(1e-8) | vi.iterations(2000))
        best = problem(vi.solve(problem, vi.FISTA(), stop=vi.residual(1e-9) | vi.iterations(20000)).x)
        assert problem(ours.x) == pytest.approx(best, rel=1e-10)


def test_resumed_is_uninterrupted_bit_for_bit() -> None:
    problem, *_ = lq(0, 0.5, 0.1)
    for method in (vi.MMGKS(restart=6), vi.MMGKS(noise=0.5)):
        straight = state_at(method, problem, 20)
        halfway = pickle.loads(pickle.dumps(state_at(method, problem, 9)))
        assert bits(state_at(method, problem, 11, resume=halfway)) == bits(straight)


def test_every_library(xp: Any) -> None:
    A = vi.Gradient((3, 4))
    problem = vi.L2Squared(rand(xp, A.codomain, 1, "float32")) @ A + 0.1 * vi.SmoothedLq(0.5, 0.1)
    result = vi.solve(problem, vi.MMGKS(restart=3), stop=vi.iterations(6))
    assert result.x.dtype == xp.float32
    single = np.asarray(result.x)
    again = vi.L2Squared(rand(np, A.codomain, 1, "float32").astype(float)) @ A + 0.1 * vi.SmoothedLq(0.5, 0.1)
    assert np.allclose(single, vi.solve(again, vi.MMGKS(restart=3), stop=vi.iterations(6)).x, atol=1e-4)


def test_what_cannot_be_solved_is_refused() -> None:
    _, y, _ = data(0)
    with pytest.raises(TypeError, match=r"MMGKS needs squares .*; L21\(1\) @ Gradient.* has none: smooth it"):
        vi.solve(vi.L2Squared(y) + vi.TV(SHAPE), vi.MMGKS())
    with pytest.raises(TypeError, match=r"MMGKS needs squares .*; Box|NonNegative"):
        vi.solve(vi.L2Squared(y) + vi.NonNegative(), vi.MMGKS())
    with pytest.raises(ValueError, match=r"MMGKS: noise chooses the weight of a regulariser, and .* has none"):
        vi.solve(vi.L2Squared(y), vi.MMGKS(noise=1.0))
    with pytest.raises(ValueError, match=r"MMGKS: restart must be at least 2, got 1"):
        vi.MMGKS(restart=1)
    with pytest.raises(ValueError, match=r"SmoothedLq: q must be between 0 and 2, got 3"):
        vi.SmoothedLq(3.0, 0.1)


MAJORISED = [vi.SmoothedLq(0.3, 0.2), vi.SmoothedLq(1.0, 0.5, 2.0), vi.Charbonnier(0.2), vi.Huber(0.4, 1.5)]


@pytest.mark.parametrize("f", [*MAJORISED, vi.Charbonnier(0.2, groups=True), vi.Huber(0.4, groups=True)], ids=str)
def test_quadratic_weights_majorise(f: Any) -> None:
    """f(u) ≤ f(z) + ½⟨ω, u² − z²⟩, with equality and equal slope at z."""
    for i in range(30):
        z, u = (10.0 ** (i % 4 - 2) * rand(np, (2, 6), seed) for seed in (i, i + 100))
        w = f.quadratic_weight(z)
        assert f(u) <= f(z) + 0.5 * float(np.sum(w * (u * u - z * z))) + 1e-12 * f(z)
        assert np.allclose(f.grad(z), w * z)


def test_smoothed_lq_is_what_it_says() -> None:
    z = rand(np, (7,), 1)
    assert vi.SmoothedLq(1.0, 0.3, 2.0)(z) == pytest.approx(vi.Charbonnier(0.3, 2.0)(z))
    assert vi.SmoothedLq(2.0, 0.3)(z) == pytest.approx(0.5 * np.sum(z * z) + 7 * 0.045)
    assert vi.SmoothedLq(0.5, 1e-9)(z) == pytest.approx(2 * np.sum(np.sqrt(abs(z))))
    f = vi.SmoothedLq(0.5, 0.3)
    grid = np.linspace(0, 3, 30001)
    bend = f.hvp(grid, np.ones_like(grid))
    assert bend.min() == pytest.approx(f.convexity, rel=1e-6)  # the least second derivative, by a grid
    assert bend.max() == pytest.approx(f.smoothness)
    assert (f.convex, vi.SmoothedLq(1.0, 0.3).convex) == (False, True)
