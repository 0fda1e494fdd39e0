"""ADMM and linearised ADMM: dense loops, closed forms, independent optima, inner accuracy, penalties."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.functionals.sparsity import L21
from varinv.linalg import norm
from varinv.operators.symbol import gram_symbol, multiply
from varinv.problem import as_problem
from varinv.solvers import admm

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (4, 5)
BOTH = [vi.ADMM(), vi.LinearisedADMM()]
Y = rand(np, SHAPE, 1)
A = vi.Diagonal(rand(np, SHAPE, 2, kind="non-negative") + 0.2) @ vi.Blur(
    SHAPE, np.arange(1.0, 10).reshape(3, 3) / 30, boundary="zero"
)
PERIODIC = vi.Blur(SHAPE, [[0.1, 0.3, 0.2], [0.0, 0.5, 0.1]])


def periodic_tv(lam: float) -> Any:
    return L21(lam) @ vi.Gradient(SHAPE, boundary="periodic")


def after(solver: Any, problem: Any, k: int, **start: Any) -> Any:
    return next(itertools.islice(solver.states(as_problem(problem), **start), k, None))


def shrink(v: np.ndarray, t: float) -> np.ndarray:
    length = np.sqrt((v**2).sum(0))
    return v * np.maximum(1 - t / np.maximum(length, 1e-300), 0)


@pytest.mark.parametrize("fourier", [False, True])
def test_steps_are_those_of_a_dense_loop(fourier: bool) -> None:
    """The paper's three lines with a dense solve; the TV term first, so that the order of the duals shows."""
    K, D = (PERIODIC, vi.Gradient(SHAPE, boundary="periodic")) if fourier else (A, vi.Gradient(SHAPE))
    w = 1.0 if fourier else 0.5 + rand(np, SHAPE, 3, kind="non-negative")
    problem = L21(0.3) @ D + vi.L2Squared(Y, w) @ K + vi.NonNegative()
    M, G, rho, own, alpha = dense(K), dense(D), 0.7, 1.9, 1.3
    W = np.diag(np.broadcast_to(w, SHAPE).ravel())
    H = M.T @ W @ M + rho * G.T @ G + own * np.eye(20)
    x = rand(np, SHAPE, 4).ravel()
    z, z0, p, p0 = G @ x, x, np.zeros(40), np.zeros(20)
    solver = vi.ADMM(rho=(rho, own), adapt=0, accuracy=0.0, relaxation=alpha)
    for state in itertools.islice(solver.states(problem, rand(np, SHAPE, 4)), 1, 6):
        u = np.linalg.solve(H, M.T @ W @ Y.ravel() + G.T @ (rho * z - p) + own * z0 - p0)
        ahead, ahead0 = alpha * G @ u + (1 - alpha) * z, alpha * u + (1 - alpha) * z0
        z = shrink((ahead + p / rho).reshape(2, 20), 0.3 / rho).ravel()
        z0 = np.maximum(ahead0 + p0 / own, 0)
        p, p0 = p + rho * (ahead - z), p0 + own * (ahead0 - z0)
        # accuracy 0: conjugate gradients go on to rounding
        for found, expected in ((state.u, u), (state.x, z0), (state.y[0], p), (state.w[1], p0)):
            assert np.abs(found.ravel() - expected).max() <= 1e-10
        assert np.abs(state.y[1].ravel() - W @ (M @ u - Y.ravel())).max() <= 1e-10
    before = next(itertools.islice(solver.states(problem, rand(np, SHAPE, 4)), 4, None))
    balance = M.T @ state.y[1].ravel() + G.T @ p + p0
    size = np.sqrt(sum(norm(g) ** 2 for g in (M.T @ state.y[1].ravel(), G.T @ p, p0)))
    apart = rho * norm(G @ u - z) ** 2 + own * norm(u - z0) ** 2
    there = rho * norm(G @ u) ** 2 + own * norm(u) ** 2 + norm(p) ** 2 / rho + norm(p0) ** 2 / own
    expected = max(norm(balance) / size, np.sqrt(apart / there))
    assert state.residual(problem, before) == pytest.approx(expected, rel=1e-8)


def test_linearised_steps_are_those_with_z_written_out() -> None:
    problem = vi.L2Squared(Y) @ A + 0.3 * vi.TV(SHAPE) + vi.Box(-0.1, 0.8)
    M, G, tau, rho = dense(A), dense(vi.Gradient(SHAPE)), 0.05, (1.3, 0.6)
    x, zs, ps = rand(np, SHAPE, 4).ravel(), [np.zeros(20), np.zeros(40)], [np.zeros(20), np.zeros(40)]
    zs = [M @ x, G @ x]  # y = 0 and ȳ = 0: as if z = Kx
    for state in itertools.islice(vi.LinearisedADMM(tau, rho).states(problem, rand(np, SHAPE, 4)), 1, 6):
        slope = M.T @ (ps[0] + rho[0] * (M @ x - zs[0])) + G.T @ (ps[1] + rho[1] * (G @ x - zs[1]))
        x = np.clip(x - tau * slope, -0.1, 0.8)
        v = [M @ x + ps[0] / rho[0], G @ x + ps[1] / rho[1]]
        zs = [(rho[0] * v[0] + Y.ravel()) / (rho[0] + 1), shrink(v[1].reshape(2, 20), 0.3 / rho[1]).ravel()]
        ps = [r * (b - c) for r, b, c in zip(rho, v, zs, strict=True)]
        for found, expected in ((state.x, x), (state.y[0], ps[0]), (state.y[1], ps[1])):
            assert np.abs(found.ravel() - expected).max() <= 1e-12
    # p and d of the last step, from the state before it: 0 ∈ ∂g(x) + Kᵀy + p, 0 ∈ ∂f*(y) − Kx + d
    before = after(vi.LinearisedADMM(tau, rho), problem, 4, x=rand(np, SHAPE, 4))
    d = [(a.ravel() - b.ravel()) / r for a, b, r in zip(before.y, state.y, rho, strict=True)]
    older = after(vi.LinearisedADMM(tau, rho), problem, 3, x=rand(np, SHAPE, 4))
    back = [2 * a - b for a, b in zip(before.y, older.y, strict=True)]
    p = (before.x - state.x).ravel() / tau + sum(
        K.T @ (b - c).ravel() for K, b, c in zip((M, G), state.y, back, strict=True)
    )
    size = np.sqrt(sum(norm(K.T @ b) ** 2 for K, b in zip((M, G), ps, strict=True)))
    apart = sum(r * norm(a) ** 2 for r, a in zip(rho, d, strict=True))
    there = sum(r * norm(K @ x) ** 2 + norm(b) ** 2 / r for r, K, b in zip(rho, (M, G), ps, strict=True))
    expected = max(norm(p) / size, np.sqrt(apart / there))
    assert state.residual(problem, before) == pytest.approx(expected, rel=1e-9)
    dual_alone = state.residual(problem, before._replace(x=state.x, y_bar=state.y))  # p = 0: d is what is left
    assert dual_alone == pytest.approx(np.sqrt(apart / there), rel=1e-9)


def test_the_symbol_is_the_spectrum_of_the_gram_matrix() -> None:
    D = vi.Gradient(SHAPE, spacing=(0.5, 2.0), boundary="periodic")
    row = vi.Blur(SHAPE, [1.0, 2.0])
    for K in (PERIODIC, D, -0.5 * PERIODIC, PERIODIC @ row, PERIODIC + row, D @ PERIODIC, vi.Identity(SHAPE)):
        assert K.shift_invariant()
        gram = dense(K).T @ dense(K)
        assert np.abs(multiply(Y, gram_symbol(K, Y)).ravel() - gram @ Y.ravel()).max() <= 1e-12 * np.abs(gram).max()
    for K in (vi.Gradient(SHAPE), vi.Diagonal(Y), PERIODIC @ vi.Diagonal(Y), vi.Blur(SHAPE, [1.0], "zero") + PERIODIC):
        assert not K.shift_invariant()


def test_closed_forms() -> None:
    y, d = rand(np, SHAPE, 1), rand(np, SHAPE, 2, kind="non-negative") + 0.7
    D, I = vi.Diagonal(d), vi.Identity(SHAPE)
    soft = np.sign(y) * np.maximum(abs(y) - 0.4, 0)
    for problem, exact in (
        (vi.L2Squared(y) @ D + vi.L2Squared(0.0, 0.5), d * y / (d**2 + 0.5)),
        (vi.L2Squared(y) @ D, y / d),
        (vi.L2Squared(y) + vi.L1(0.4), soft),
        (vi.L2Squared(y) + vi.L1(0.4) @ I, soft),
        (vi.L2Squared(y) @ I + vi.L1(0.4) @ I, soft),
        (vi.L2Squared(y) @ I + vi.Box(-0.2, 0.5), np.clip(y, -0.2, 0.5)),
        (vi.L2Squared(y, 1e-4) + vi.NonNegative() @ I, np.maximum(y, 0)),
        (vi.L2Squared(3 * y) + vi.L2Ball(y, 0.5), y + 0.5 * y / norm(y)),
        (vi.L2Squared(y) + 1e3 * vi.TV(SHAPE), np.full(SHAPE, y.mean())),
        (vi.L2Squared(y) + periodic_tv(1e3), np.full(SHAPE, y.mean())),
        (vi.L2Squared(y) @ vi.Diagonal(np.zeros(SHAPE)) + vi.L2Squared(y), y),
        (vi.L1(0.3) @ D, np.zeros(SHAPE)),
        (vi.L2Squared(y) + vi.Box(-0.2, 0.5), np.clip(y, -0.2, 0.5)),
        (vi.L2Squared(y) @ D + vi.L2Squared(0.0, 0.5) + vi.NonNegative(), np.maximum(d * y / (d**2 + 0.5), 0)),
        (vi.L1(0.3) + vi.L2Squared(y, 2.0) + vi.NonNegative(), np.maximum(y - 0.15, 0)),
        (vi.L2Squared(y) + 0 * vi.TV(SHAPE), y),
    ):
        for solver in BOTH:
            stop = vi.residual(1e-10, every=1) | vi.iterations(5000)
            result = vi.solve(problem, solver, x0=rand(np, SHAPE, 9), stop=stop)
            # a residual of 1e-10 relative to terms of up to 1e3 times those of the data
            assert np.abs(result.x - exact).max() <= 1e-7, (problem, result.why)
            assert isinstance(solver, vi.LinearisedADMM) or result.why.startswith("residual"), problem


def cases() -> Iterator[Any]:
    a, G, P = dense(A), dense(vi.Gradient(SHAPE)), dense(vi.Gradient(SHAPE, boundary="periodic"))
    x, y = cp.Variable(20), Y.ravel()
    counts = np.round(4 * np.abs(Y))
    w = 0.2 + rand(np, SHAPE, 3, kind="non-negative")

    def tv(D: Any) -> Any:
        return cp.sum(cp.norm((D @ x).reshape((2, 20), order="C"), axis=0))

    yield vi.L2Squared(Y, w) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative(), x, (
        0.5 * cp.sum_squares(cp.multiply(np.sqrt(w.ravel()), a @ x - y)) + 0.1 * tv(G)), [x >= 0]  # fmt: skip
    yield vi.L2Squared(Y) @ PERIODIC + periodic_tv(0.1), x, (
        0.5 * cp.sum_squares(dense(PERIODIC) @ x - y) + 0.1 * tv(P)), []  # fmt: skip
    yield vi.L1() @ A + 0.3 * vi.TV(SHAPE) + vi.L2Squared(Y, 0.2), x, (
        cp.norm1(a @ x) + 0.3 * tv(G) + 0.1 * cp.sum_squares(x - y)), []  # fmt: skip
    yield vi.KullbackLeibler(counts, 0.3) @ A + 0.2 * vi.TV(SHAPE) + vi.NonNegative(), x, (
        cp.sum(cp.kl_div(counts.ravel(), a @ x + 0.3)) + 0.2 * tv(G)), [x >= 0]  # fmt: skip
    yield vi.L2Ball(Y, 2.0) @ A + vi.TV(SHAPE), x, tv(G), [cp.norm(a @ x - y) <= 2.0]


@pytest.mark.parametrize("case", list(cases()), ids=["ct", "fourier", "l1", "counts", "ball"])
@pytest.mark.parametrize("solver", BOTH, ids=["admm", "linearised"])
def test_agreement_with_an_independent_optimum(case: Any, solver: Any) -> None:
    problem, _, objective, limits = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = {"tol_gap_rel": 1e-11, "tol_gap_abs": 1e-11, "tol_feas": 1e-11}
        best = cp.Problem(cp.Minimize(objective), limits).solve(solver=cp.CLARABEL, **exact)
    result = vi.solve(problem, solver, stop=vi.residual(1e-9) | vi.iterations(6000))
    value = sum(t(result.x) for t in problem.terms if not isinstance(t.f, vi.L2Ball))
    assert abs(value - best) <= 1e-6 * best
    for t in problem.terms:
        if isinstance(t.f, vi.L2Ball):
            assert norm(t.K(result.x) - t.f.y) <= t.f.radius * (1 + 1e-7)
        elif t.K is None:
            assert np.isfinite(t(result.x))  # constraints of the image hold exactly
    if isinstance(problem.simple, vi.Box):
        gap = problem.gap(result.x, result.state.y)
        assert gap.dual <= best * (1 + 1e-9)
        assert gap.relative <= 1e-4


class OnlyProx(vi.Functional):
    """What a denoiser is: a prox and nothing else."""

    def __call__(self, x: Any) -> float:
        return 0.0

    def prox(self, x: Any, step: Any) -> Any:
        return x / (1 + 0.5 * step)  # of x²/4


vi.Functional.kinds.remove(OnlyProx)  # it is of this file only


def test_a_functional_needs_a_prox_and_nothing_else() -> None:
    problem = vi.L2Squared(Y) @ A + OnlyProx()
    exact = np.linalg.solve(dense(A).T @ dense(A) + 0.5 * np.eye(20), dense(A).T @ Y.ravel())
    for solver in (*BOTH, vi.ADMM(rho=0.8, adapt=0)):
        result = vi.solve(problem, solver, stop=vi.residual(1e-9) | vi.iterations(3000))
        assert np.abs(result.x.ravel() - exact).max() <= 1e-7
    assert vi.solve(problem, vi.ADMM()).why.startswith("residual")  # the default stop does without a certificate


def test_inner_errors_are_summable_and_follow_the_outer_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []

    def spy(H: Any, r: Any, **options: Any) -> Any:
        d, _, k = solve(H, r, **options)
        found.append((norm(r), norm(r - H(d)), k))
        return d, _, k

    solve = admm.conjugate_gradients
    monkeypatch.setattr(admm, "conjugate_gradients", spy)
    problem = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    after(vi.ADMM(accuracy=0.3, adapt=30), problem, 200)
    sizes = np.array([f[0] for f in found])
    scale = sizes[:31].max()
    for k, (size, left, inner) in enumerate(found):
        assert left <= 0.3 * size * (1 + 1e-9)
        assert left <= scale * (k + 1) ** -1.2 * (1 + 1e-9)
        assert inner >= 1 or size == 0
    assert sizes[-1] <= 1e-6 * sizes[0]
    # the envelope binds where the outer iteration is slow: early numbers, late in the count
    found.clear()
    late = after(vi.ADMM(), problem, 3)._replace(k=1000)
    vi.ADMM(accuracy=0.9).step(as_problem(problem), late)
    assert 0.1 * found[-1][0] > late.scale * 1001**-1.2 >= found[-1][1]
    found.clear()
    after(vi.ADMM(accuracy=0.3, adapt=30), problem, 200)
    # and it pays: fewer inner steps than solving each system to 1e-8
    loose = sum(f[2] for f in found)
    found.clear()
    after(vi.ADMM(accuracy=1e-8, adapt=30), problem, 200)
    assert loose <= 0.5 * sum(f[2] for f in found)


def test_the_penalty_adapts_and_then_rests() -> None:
    """From penalties 1e4 off in both directions it comes back, and is constant after `adapt`."""
    problem = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE)
    best = vi.solve(problem, vi.ADMM(), stop=vi.residual(1e-10) | vi.iterations(3000)).x
    good = vi.ADMM().penalties(as_problem(problem))[0]
    for factor in (1e-4, 1e4):
        states = list(itertools.islice(vi.ADMM(rho=factor * good, adapt=100).states(problem), 0, 300))
        rhos = [s.rho[0] for s in states]
        assert len(set(rhos[100:])) == 1
        assert 1e-2 * good <= rhos[-1] <= 1e2 * good
        stuck = after(vi.ADMM(rho=factor * good, adapt=0), problem, 299)
        assert stuck.rho == (factor * good,)
        assert norm(states[-1].x - best) <= 1e-2 * norm(stuck.x - best)
