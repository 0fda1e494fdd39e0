"""The primal–dual family: each against its paper's iteration in dense matrices."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from primal_dual_cases import LAM, PROBLEM, SHAPE, TRUTH, X0, A, B, D, a, b, ramp, state_at, x0

import varinv as vi
from varinv.linalg import norm
from varinv.solvers.subsets import indices, visits

pytestmark = pytest.mark.usefixtures("one_thread")

# ----------------------------------------------------------------------------- the papers' formulas in dense matrices


def data(q: np.ndarray, s: Any) -> np.ndarray:
    """prox of s·f* for f = ½|· − b|²."""
    return (q - s * b) / (1 + s)


def ball(p: np.ndarray) -> np.ndarray:
    """Projection of each vector of a field onto the ball of radius λ."""
    length = np.linalg.norm(p.reshape(2, -1), axis=0)
    return (p.reshape(2, -1) / np.maximum(1, length / LAM)).reshape(-1)


def slope(x: np.ndarray) -> np.ndarray:
    return a.T @ (a @ x - b)


def agree(solver: Any, oracle: Any, count: int) -> None:
    """The first images of a solver and of an oracle, to rounding."""
    states = itertools.islice(solver.states(PROBLEM, X0), 1, count + 1)
    for state, expected in zip(states, oracle, strict=False):
        assert norm(state.x.reshape(-1) - expected) <= 1e-11 * norm(expected), state.k
    assert state.k == count


def test_condat_vu_is_its_paper() -> None:
    tau, (_, sigma) = vi.CondatVu().steps(PROBLEM)

    def paper() -> Any:  # Condat (2013), Algorithm 3.1, from (x0, the first dual step)
        x, p = x0, ball(sigma * D @ x0)
        while True:
            new = np.maximum(x - tau * (slope(x) + D.T @ p), 0)
            p = ball(p + sigma * D @ (2 * new - x))
            x = new
            yield x

    agree(vi.CondatVu(), paper(), 30)


def test_pd3o_is_its_paper() -> None:
    tau, (_, sigma) = vi.PD3O().steps(PROBLEM)

    def paper() -> Any:  # Yan (2018), equation (4), in its variables z and s
        s = ball(sigma * D @ (x0 - tau * slope(x0)))
        z = x0 - tau * slope(x0) - tau * D.T @ s
        while True:
            x = np.maximum(z, 0)
            yield x
            s = ball(s - tau * sigma * D @ (D.T @ s) + sigma * D @ (2 * x - z - tau * slope(x)))
            z = x - tau * slope(x) - tau * D.T @ s

    agree(vi.PD3O(), paper(), 30)


def test_the_adaptive_method_is_relaxed_and_balanced() -> None:
    def oracle() -> Any:
        first = vi.AdaptiveChambollePock().init(PROBLEM, X0)
        tau, (sq, sp), S = first.tau, first.sigma, ramp(5, 6)
        u, v, w = x0, 0 * b, np.zeros(24)
        mark, turns = (u, v, w), {10: 0, 13: 1, 16: 2, 20: 3, 25: 4, 31: 5, 39: 6, 48: 7, 60: 8}  # 10, 12.5, 15.6, …
        for k in range(1, 71):
            x = np.maximum(u - tau * (a.T @ v + D.T @ w), 0)
            back = np.linalg.inv(sq * S)  # of the metric: q minimises f*(q) − ⟨q, a x̄⟩ + ½(q − v)ᵀ back (q − v)
            q = np.linalg.solve(np.eye(30) + back, back @ v + a @ (2 * x - u) - b)
            p = ball(w + sp * D @ (2 * x - u))
            yield x
            u, v, w = u + 1.9 * (x - u), v + 1.9 * (q - v), w + 1.9 * (p - w)
            if k in turns:
                dx, dq, dp = x - mark[0], v - mark[1], w - mark[2]
                ratio = math.sqrt((dx @ dx / tau) / (dq @ dq / sq + dp @ dp / sp))
                assert 0.01 < ratio < 100
                change = ratio ** (0.5 * 0.95 ** turns[k])
                tau, sq, sp, mark = tau * change, sq / change, sp / change, (x, v, w)

    agree(vi.AdaptiveChambollePock(), oracle(), 70)


def test_the_restarted_method_is_anchored_reflected_and_restarted() -> None:
    restarts = []

    def oracle() -> Any:
        tau, (sq, sp) = vi.ChambollePock().steps(PROBLEM)
        z = z0 = np.concatenate([x0, 0 * b, np.zeros(24)])
        K, j, first, before = np.vstack([a, D]), 0, 0.0, 0.0
        for k in range(200):
            u, v, w = z[:12], z[12:42], z[42:]
            x = np.maximum(u - tau * (a.T @ v + D.T @ w), 0)
            q, p = data(v + sq * a @ (2 * x - u), sq), ball(w + sp * D @ (2 * x - u))
            yield x
            new = np.concatenate([x, q, p])
            inverse = np.concatenate([np.full(12, 1 / tau), np.full(30, 1 / sq), np.full(24, 1 / sp)])
            M = np.diag(inverse)
            M[12:, :12], M[:12, 12:] = -K, -K.T
            r = math.sqrt((new - z) @ M @ (new - z))
            if j % 8 == 0:
                first = r if j == 0 else first
                if j and (r <= 0.2 * first or (r <= 0.8 * first and r > before) or j >= 0.36 * k):
                    gone = inverse * (new - z0) ** 2
                    ratio = min(max(math.sqrt(gone[:12].sum() / gone[12:].sum()), 0.01), 100)
                    change = ratio ** (0.5 * 0.95 ** len(restarts))
                    tau, sq, sp, j, z, z0 = tau * change, sq / change, sp / change, 0, new, new
                    restarts.append(k)
                    continue
                before = r
            z = (j + 1) / (j + 2) * (2 * new - z) + z0 / (j + 2)
            j += 1

    agree(vi.RestartedChambollePock(), oracle(), 90)
    assert len(restarts) >= 4


def test_preconditioned_steps_are_sums_of_magnitudes() -> None:
    _, (sq, sp) = vi.ChambollePock(gamma=0).steps(PROBLEM)
    share = sq * A.norm() ** 2 / a.sum(axis=0).mean()
    rows = a.sum(axis=1)
    sq = share / np.where(rows > 0, rows, np.inf)
    T = 0.99 / (share * a.sum(axis=0) + sp * vi.Gradient(SHAPE).norm() ** 2)

    def paper() -> Any:  # Pock & Chambolle (2011), equation (4) with (10)
        x, x_bar, q, p = x0, x0, 0 * b, np.zeros(24)
        while True:
            q, p = np.where(rows > 0, data(q + sq * (a @ x_bar), sq), 0), ball(p + sp * D @ x_bar)
            new = np.maximum(x - T * (a.T @ q + D.T @ p), 0)
            x, x_bar = new, 2 * new - x
            yield x

    agree(vi.PreconditionedChambollePock(), paper(), 30)


def test_spdhg_is_its_paper() -> None:
    solver = vi.SPDHG(subsets=3, seed=5)
    tau, blocks, draws = solver.plan(PROBLEM)
    assert [block.p for block in blocks] == [1 / 6] * 3 + [1 / 2]
    assert draws == 6
    views = indices(5, 3)
    rows = [np.concatenate([np.arange(6 * k, 6 * k + 6) for k in views[s]]) for s in visits(3)]

    def paper() -> Any:  # Algorithm 1, with z = Kᵀy from scratch in every step; the last x of each pass
        x, q, p = x0, 0 * b, np.zeros(24)
        z_bar = 0 * x0
        for k in itertools.count():
            draw = random.Random((5 << 48) + k)
            for _ in range(6):
                x = np.maximum(x - tau * z_bar, 0)
                i = min(int(6 * draw.random()), 3)  # 0, 1, 2: a subset, 3 to 5: the gradient
                before = a.T @ q + D.T @ p
                if i < 3:
                    r, s = rows[i], blocks[i].sigma
                    q = q.copy()
                    q[r] = (q[r] + s * a[r] @ x - s * b[r]) / (1 + s)
                else:
                    p = ball(p + blocks[3].sigma * D @ x)
                after = a.T @ q + D.T @ p
                z_bar = after + (after - before) / blocks[i].p
            yield x

    agree(solver, paper(), 20)
    state = state_at(PROBLEM, 20, solver)
    pulled = A.adjoint(state.y[0]) + vi.Gradient(SHAPE).adjoint(state.y[1])
    assert norm(state.z - pulled) <= 1e-12 * norm(pulled)


def test_impossible_steps_are_refused() -> None:
    for solver, text in (
        (vi.CondatVu(tau=1.0), r"CondatVu: tau=1, sigma=None give 1/τ − Σσ‖K‖² = .*, below L/2 = "),
        (vi.CondatVu(tau=0.01, sigma=1e4), r"CondatVu: tau=0.01, sigma=10000.0 give"),
        (vi.PD3O(tau=1.0), r"PD3O: tau=1, sigma=None give τL = .* \(below 2 is needed\)"),
        (vi.PD3O(tau=0.01, sigma=(1e4,)), r"PD3O: tau=0.01, .* \(at most 1\); the iteration may diverge"),
        (vi.CondatVu(sigma=(1.0, 2.0)), "CondatVu: sigma needs 1 numbers, one a term in the dual, got 2"),
        (vi.PD3O(sigma=(1.0, 2.0)), "PD3O: sigma needs 1 numbers, one a term in the dual, got 2"),
    ):
        with pytest.raises(ValueError, match=text):
            vi.solve(PROBLEM, solver)
    for solver in (vi.CondatVu(sigma=0.1), vi.CondatVu(tau=0.01), vi.PD3O(sigma=(0.1,)), vi.PD3O(tau=0.01)):
        solver.steps(PROBLEM)  # either step alone makes the other fit
    for make in (vi.CondatVu, vi.PD3O):
        with pytest.raises(ValueError, match=f"{make.__name__}: tau must be greater than 0, got 0"):
            make(tau=0)
        with pytest.raises(TypeError, match=f"{make.__name__}: sigma must be a real number"):
            make(sigma="a")
    with pytest.raises(ValueError, match="SPDHG: subsets must be at least 1, got 0"):
        vi.SPDHG(subsets=0)
    with pytest.raises(TypeError, match=r"is not a sum over pixels; use ChambollePock, or compose it with Identity"):
        vi.solve(vi.L2Squared(B) @ A + vi.L2Ball(TRUTH, 1.0), vi.PreconditionedChambollePock())
