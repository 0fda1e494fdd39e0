"""Proximal gradient and FISTA: independent optima, rates, certificates, steps, bits."""

from __future__ import annotations

import functools
import itertools
import pickle
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.linalg import norm
from varinv.solvers import forward_backward

SHAPE = (4, 5)
pytestmark = pytest.mark.usefixtures("one_thread")


def state_at(solver: Any, problem: Any, k: int, **start: Any) -> Any:
    return next(itertools.islice(solver.states(problem, **start), k, None))


def operator(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    kernel = rng.uniform(size=(3, 3)) + 3 * np.eye(3)[1][:, None] * np.eye(3)[1]  # condition about 10
    return vi.Diagonal(rng.uniform(0.5, 2, SHAPE)) @ vi.Blur(SHAPE, kernel, boundary="zero")


@functools.cache
def problems(seed: int = 0) -> dict[str, tuple[Any, float]]:
    """Problems with the optimum that CLARABEL finds for their dense form."""
    A, rng = operator(seed), np.random.default_rng(seed)
    y = A.forward(rng.uniform(size=SHAPE)) + rng.standard_normal(SHAPE)
    a, b, x = dense(A), y.reshape(-1), cp.Variable(20)
    G = dense(vi.Gradient(SHAPE)) @ x
    fit, counts = 0.5 * cp.sum_squares(a @ x - b), np.round(2 * np.maximum(y, 0))
    tv = vi.TV(SHAPE, isotropic=False, smoothing=0.1)  # cp.huber(z, M) is 2M|z| - M² beyond M, z² below
    edges = cp.sum(cp.huber(G, 0.1)) / 0.2
    data = vi.L2Squared(y) @ A
    kl = cp.sum(cp.kl_div(counts.reshape(-1), a @ x + 0.1))
    found = {
        "ridge": (data + vi.L2Squared(0.3, 0.2), fit + 0.1 * cp.sum_squares(x - 0.3), []),
        "lasso": (data + vi.L1(0.3), fit + 0.3 * cp.norm1(x), []),
        "nonnegative": (data + vi.NonNegative(), fit, [x >= 0]),
        "denoising": (vi.L2Squared(y) + 0.3 * tv, 0.5 * cp.sum_squares(x - b) + 0.3 * edges, []),
        "edges in a box": (data + 0.2 * tv + vi.Box(0.1, 0.8), fit + 0.2 * edges, [x >= 0.1, x <= 0.8]),
        "counts": (vi.KullbackLeibler(counts, 0.1) @ A + vi.NonNegative(), kl, [x >= 0]),
        "counts and edges": (
            vi.KullbackLeibler(counts, 0.1) @ A + 0.2 * tv + vi.L1(0.1) + vi.NonNegative(),
            kl + 0.2 * edges + 0.1 * cp.norm1(x),
            [x >= 0],
        ),
    }
    result = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, (problem, objective, limits) in found.items():
            result[name] = (problem, cp.Problem(cp.Minimize(objective), limits).solve(solver=cp.CLARABEL))
    return result


SOLVERS = {
    "proximal gradient": (vi.ProximalGradient(), 20000),
    "proximal gradient, backtracking": (vi.ProximalGradient(backtracking=True), 20000),
    "fista": (vi.FISTA(), 3000),
    "fista, no restart": (vi.FISTA(restart=False), 10000),
    "fista, backtracking": (vi.FISTA(backtracking=True), 3000),
    "fista, backtracking, no restart": (vi.FISTA(backtracking=True, restart=False), 10000),
}


@pytest.mark.parametrize("name", problems())
@pytest.mark.parametrize("solver", SOLVERS)
def test_reaches_an_independent_optimum(name: str, solver: str) -> None:
    problem, best = problems()[name]
    method, most = SOLVERS[solver]
    result = vi.solve(problem, method, stop=vi.residual(1e-7) | vi.iterations(most))
    assert problem(result.x) == pytest.approx(best, rel=1e-6)  # CLARABEL: 1e-8, for counts 2e-7
    assert result.why.startswith("residual")


def lasso(seed: int = 0) -> tuple[Any, np.ndarray, np.ndarray]:
    A, y = operator(seed), rand(np, SHAPE, seed)
    return vi.L2Squared(y) @ A + vi.L1(0.3), dense(A), y.ravel()


def test_the_iterates_are_the_papers() -> None:
    """Beck & Teboulle's (4.1)–(4.3) in NumPy, and forward–backward, on a lasso."""
    problem, a, b = lasso()
    A = problem.coupled[0].K
    L = A.norm() ** 2

    def soft(v: np.ndarray) -> np.ndarray:
        return np.sign(v) * np.maximum(abs(v) - 0.3 / L, 0)

    x, z, t, plain = np.zeros(20), np.zeros(20), 1.0, np.zeros(20)
    for k in range(1, 31):
        new, later = soft(z - a.T @ (a @ z - b) / L), (1 + np.sqrt(1 + 4 * t * t)) / 2
        x, z, t = new, new + (t - 1) / later * (new - x), later
        plain = soft(plain - a.T @ (a @ plain - b) / L)
        if k in (1, 2, 3, 10, 30):
            ours = state_at(vi.FISTA(restart=False), problem, k).x.ravel()
            assert np.allclose(ours, x, atol=1e-12)
            assert np.allclose(state_at(vi.ProximalGradient(), problem, k).x.ravel(), plain, atol=1e-12)


def test_the_strongly_convex_iterates_are_those_of_the_recursion() -> None:
    """t⁺ = ½(1 − q t² + √((1 − q t²)² + 4t²)), β = (t − 1)(1 − q t⁺)/(t⁺(1 − q)), q = μ/L, gradient steps of 1/L."""
    a, b = dense(operator(1)), rand(np, (20,), 1)
    problem = vi.Problem((vi.L2Squared(b.reshape(SHAPE)) @ operator(1),))
    L, mu = operator(1).norm() ** 2, np.linalg.svd(a, compute_uv=False)[-1] ** 2
    q, t, x, old = mu / L, 0.0, np.zeros(20), np.zeros(20)
    for _ in range(25):
        later = (1 - q * t**2 + np.sqrt((1 - q * t**2) ** 2 + 4 * t**2)) / 2
        z = x + (t - 1) * (1 - q * later) / (later * (1 - q)) * (x - old)
        x, old, t = z - a.T @ (a @ z - b) / L, x, later
    assert np.allclose(state_at(vi.FISTA(mu=mu, restart=False), problem, 25).x.ravel(), x, atol=1e-12)


def test_rates() -> None:
    """Beck & Teboulle, Theorem 4.4; Chambolle & Pock (2016), Theorem 4.10: (1 + √q)(1 − √q)^k L‖x₀ − x*‖²/2."""
    problem, a, b = lasso()
    L = problem.coupled[0].K.norm() ** 2
    star = vi.solve(problem, vi.FISTA(), stop=vi.residual(1e-12) | vi.iterations(5000)).x
    for k, s in enumerate(itertools.islice(vi.FISTA(restart=False).states(problem), 200)):
        assert problem(s.x) - problem(star) <= 2 * L * norm(star) ** 2 / (k + 1) ** 2 + 1e-12
    smoothed = vi.Problem((vi.L2Squared(b.reshape(SHAPE)) @ operator(0),))
    exact, mu = np.linalg.solve(a.T @ a, a.T @ b), np.linalg.svd(a, compute_uv=False)[-1] ** 2
    root = np.sqrt(mu / L)
    for k, s in enumerate(itertools.islice(vi.FISTA(mu=mu, restart=False).states(smoothed), 400)):
        excess = np.linalg.norm(a @ (s.x.ravel() - exact)) ** 2 / 2
        assert excess <= (1 + root) * (1 - root) ** k * L * norm(exact) ** 2 / 2 + 1e-12
        if k == 0:
            assert excess > 0.01  # and not because it starts there
    first, last = (problem(state_at(vi.ProximalGradient(), problem, k).x) for k in (0, 40))
    values = [problem(s.x) for s in itertools.islice(vi.ProximalGradient().states(problem), 41)]
    assert all(np.diff(values) <= 1e-13 * first)
    assert last < first


def test_momentum_with_changing_steps_keeps_the_estimate() -> None:
    """t'² − t' = t² (s/s')(1 − q' t') with q' = μ s', as the proof of the rate needs; β from its next line."""
    from varinv.solvers.fista import momentum

    for mu_f, mu_g in ((0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.1, 0.2)):
        for old, new in ((0.5, 0.5), (0.5, 0.9), (0.9, 0.3)):
            t = 1.3
            later, beta = momentum(t, old, new, mu_f, mu_g)
            s_old, s, mu = old / (1 + old * mu_g), new / (1 + new * mu_g), mu_f + mu_g
            assert later**2 - later == pytest.approx(t**2 * s_old / s * (1 - mu * s * later))
            a = (1 - new * mu_f) / new  # weights of the quadratics at z and at x: a t'β = (a − μ(t' − 1))(t − 1)
            assert a * later * beta == pytest.approx((a - mu * (later - 1)) * (t - 1))


@pytest.mark.parametrize("name", ["lasso", "nonnegative", "edges in a box", "counts", "ridge"])
def test_the_gap_certifies(name: str) -> None:
    problem, best = problems()[name]
    for s in itertools.islice(vi.FISTA().states(problem), 0, 200, 20):
        gap = problem.gap(s.x, s.y)
        assert gap.dual <= best * (1 + 1e-6)
    assert gap.relative <= 1e-3
    result = vi.solve(problem, vi.FISTA(), stop=vi.gap(1e-4) | vi.iterations(3000))
    assert result.why.startswith("relative gap")
    assert problem(result.x) <= best * (1 + 2e-4)


def test_the_distance_to_the_solution_is_bounded() -> None:
    for name in ("ridge", "denoising", "edges in a box"):
        problem, _ = problems()[name]
        a = dense(operator(0))
        mu = {"ridge": 0.2, "denoising": 1.0}.get(name, np.linalg.svd(a, compute_uv=False)[-1] ** 2)
        star = vi.solve(problem, vi.FISTA(), stop=vi.residual(1e-13) | vi.iterations(3000)).x
        tau = vi.FISTA().init(problem, star).tau
        for k in (3, 10, 30):
            x = state_at(vi.FISTA(), problem, k).x
            bound = forward_backward.distance(problem, x, mu, tau)
            assert norm(x - star) <= bound * (1 + 1e-9)
            assert bound <= 100 * (1 + 1 / (tau * mu)) * norm(x - star)  # no more than the condition number too large


def test_the_bound_is_exact_where_one_step_solves_the_problem() -> None:
    y, x = 2 * rand(np, SHAPE, 1), rand(np, SHAPE, 2)
    problem = vi.L2Squared(y) @ vi.Identity(SHAPE) + vi.Box(-0.2, 0.5)
    assert forward_backward.distance(problem, x, 1.0, 1.0) == pytest.approx(norm(x - np.clip(y, -0.2, 0.5)), rel=1e-12)
    free = vi.Problem((vi.L2Squared(y) @ vi.Identity(SHAPE),))
    assert forward_backward.distance(free, x, 1.0, 0.3) == pytest.approx(norm(x - y), rel=1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_resumed_is_uninterrupted_bit_for_bit(solver: str) -> None:
    method, _ = SOLVERS[solver]
    for name in ("edges in a box", "counts"):
        problem, _ = problems()[name]
        straight = state_at(method, problem, 40)
        halfway = pickle.loads(pickle.dumps(state_at(method, problem, 17)))
        assert pickle.dumps(state_at(method, problem, 23, resume=halfway)) == pickle.dumps(straight)


def test_the_iteration_is_free_of_scale() -> None:
    A, y = operator(2), rand(np, SHAPE, 2)
    for method in (vi.ProximalGradient(), vi.FISTA(), vi.FISTA(backtracking=True)):
        for build, power in (
            (lambda c: vi.L2Squared(c * y) @ A + vi.L1(0.1 * c), 1),
            (lambda c: vi.L2Squared(y) @ (c * A) + vi.L1(0.1 * c), -1),
            (lambda c: vi.KullbackLeibler(c * abs(y), 0.1 * c) @ A + vi.L1(0.1) + vi.NonNegative(), 1),
        ):
            reference = state_at(method, build(1.0), 30)
            for c in (2.0**-10, 2.0**10):  # powers of two: the branches of backtracking see the same bits
                found = state_at(method, build(c), 30)
                assert norm(found.x / c**power - reference.x) <= 1e-10 * norm(reference.x)
                assert found.residual(build(c), None) == pytest.approx(reference.residual(build(1.0), None), rel=1e-6)


def test_every_library(xp: Any) -> None:
    A = vi.Gradient((3, 4))
    problem = vi.L2Squared(rand(xp, A.codomain, 1, "float32")) @ A + vi.L1(0.1)
    for method in (vi.ProximalGradient(), vi.FISTA(backtracking=True)):
        result = vi.solve(problem, method, stop=vi.iterations(5))
        assert result.x.dtype == xp.float32
        assert np.isfinite(result.state.residual(problem, None))


def test_a_problem_without_a_smooth_term_is_its_prox() -> None:
    y = rand(np, SHAPE, 3)
    for method in (vi.ProximalGradient(), vi.FISTA()):
        x = vi.solve(vi.L2Squared(y) + vi.L1(0.4), method, stop=vi.iterations(3)).x
        assert np.allclose(x, np.sign(y) * np.maximum(abs(y) - 0.4, 0), atol=1e-12)


def test_one_term_behind_a_coisometry_keeps_its_prox_and_its_dual() -> None:
    """ℓ1 of orthonormal wavelet coefficients, and of a known subset: against CLARABEL, with a certificate."""
    shape = (4, 4)
    A = vi.Blur(shape, rand(np, (3, 3), 1) + 3, boundary="zero")
    y, a = rand(np, shape, 2), dense(A)
    for K in (vi.Wavelet(shape, "haar", 1), 2.0 * vi.Subsampling(shape, rand(np, shape, 3) > 0)):
        problem = vi.L2Squared(y) @ A + 0.3 * vi.L1() @ K
        x, M = cp.Variable(16), dense(K)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            objective = 0.5 * cp.sum_squares(a @ x - y.ravel()) + 0.3 * cp.norm1(M @ x)
            best = cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
        for method in (vi.FISTA(), vi.FISTA(backtracking=True)):
            result = vi.solve(problem, method, stop=vi.residual(1e-7) | vi.iterations(5000))
            assert problem(result.x) == pytest.approx(best, rel=1e-6)
            fit, q = result.state.y
            assert np.abs(q).max() <= 0.3 * (1 + 1e-9)  # the subgradient of 0.3 |·|, and the optimality condition:
            assert norm(A.T(fit) + K.T(q)) <= 1e-5 * norm(A.T(y))


def test_what_cannot_be_solved_is_refused() -> None:
    y = np.ones(SHAPE)
    for method in (vi.ProximalGradient(), vi.FISTA()):
        name = type(method).__name__
        with pytest.raises(TypeError, match=rf"{name} needs a gradient .*; L21\(0.1\) @ Gradient.* smooth it .*Chamb"):
            vi.solve(vi.L2Squared(y) @ operator(0) + 0.1 * vi.TV(SHAPE), method)
        with pytest.raises(ValueError, match=rf"{name}: KullbackLeibler.* is NaN or infinite at the start image"):
            vi.solve(vi.KullbackLeibler(y) @ operator(0), method)
        with pytest.raises(ValueError, match=rf"{name}: tau=10 must stay below ./L = "):
            vi.solve(vi.L2Squared(y) @ vi.Identity(SHAPE), type(method)(tau=10))
        with pytest.raises(ValueError, match=rf"{name}: backtracking=False needs a term-wise L or tau"):
            vi.solve(vi.KullbackLeibler(y, 0.1) @ operator(0), type(method)(backtracking=False))
        assert vi.solve(vi.KullbackLeibler(y) @ operator(0), method, x0=y, stop=vi.iterations(5)).x.shape == SHAPE
    with pytest.raises(ValueError, match=r"FISTA: mu=5 exceeds 1, the largest second derivative there is"):
        vi.solve(vi.L2Squared(y) @ vi.Identity(SHAPE), vi.FISTA(mu=5.0))
