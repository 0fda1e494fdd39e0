"""The residuals of primal–dual methods with active constraints: against dense matrices, number by number."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import rand
from primal_dual_cases import LAM, PROBLEM, SHAPE, TRUTH, X0, A, D, a, state_at
from test_primal_dual import ball, data, slope

import varinv as vi
from varinv.solvers.optimality import natural_residual

pytestmark = pytest.mark.usefixtures("one_thread")


def size(*parts: Any) -> float:
    """√Σ‖·‖²."""
    return math.sqrt(sum(float(np.sum(part**2)) for part in parts))


@pytest.mark.parametrize("solver", [vi.CondatVu(), vi.PD3O()], ids=lambda s: type(s).__name__)
def test_a_smooth_term_a_dual_term_and_an_active_constraint(solver: Any) -> None:
    L, given = solver.steps(PROBLEM)[1]
    larger, held = set(), set()
    for factor, start, k in itertools.product((1, 0.003), (0.0, 2.0), (1, 2, 4, 30)):
        solver = type(solver)(sigma=given * factor)  # a short dual step: the dual is what is missing
        tau, (_, sigma) = solver.steps(PROBLEM)
        states = list(itertools.islice(solver.states(PROBLEM, np.full(SHAPE, start)), k + 2))
        older, old, new = (s.x.reshape(-1) for s in states[k - 1 :])
        before, state = states[k:]
        x_bar = 2 * old - older  # Condat's, from the images alone
        if isinstance(solver, vi.PD3O):
            x_bar = x_bar + tau * (slope(older) - slope(old))  # Yan's
        w, u = before.y[1].reshape(-1), state.y[1].reshape(-1)
        # subgradients: of the bound in p − Kᵀy, of the ball's indicator in e + ∇x; h is taken at the image before
        p, e = (old - new) / tau, (w - u) / sigma + D @ (x_bar - new)
        gradient = slope(old)
        normal = p - gradient - D.T @ u
        assert np.all(normal <= 1e-9)
        assert np.all(abs(normal[new > 0]) <= 1e-9)
        outward, fields = (e + D @ new).reshape(2, -1), u.reshape(2, -1)
        length = np.linalg.norm(fields, axis=0)
        inside = length < LAM * (1 - 1e-9)
        assert np.all(abs(outward[:, inside]) <= 1e-9)
        cosine = np.sum(outward * fields, axis=0) / LAM
        assert np.all(cosine >= -1e-9)
        assert np.allclose(np.linalg.norm(outward, axis=0), cosine, atol=1e-9)  # along the dual, never against it
        first = size(p) / size(gradient, D.T @ u)
        second = size(math.sqrt(L) * a @ (old - new), math.sqrt(sigma) * e)
        second /= size(math.sqrt(L) * a @ new, math.sqrt(sigma) * D @ new)
        assert state.residual(PROBLEM, before) == pytest.approx(max(first, second), rel=1e-8)
        larger.add(first > second)
        held |= {("x", bool(np.any(new == 0))), ("y", bool(np.any(~inside)))}
    assert larger == {True, False}  # both were looked at
    assert held >= {("x", True), ("y", True)}


@pytest.mark.parametrize(
    "solver",
    [vi.SPDHG(subsets=3), vi.RestartedChambollePock(), vi.AdaptiveChambollePock()],
    ids=lambda s: type(s).__name__,
)
def test_the_distance_from_ones_own_proximal_steps(solver: Any) -> None:
    rng, near, larger = np.random.default_rng(0), state_at(PROBLEM, 2000, solver), set()
    x, q, p = near.x.reshape(-1), near.y[0].reshape(-1), near.y[1].reshape(-1)
    clipped = 0
    assert near.residual(PROBLEM, None) <= 1e-8
    tau, (sq, sp) = vi.ChambollePock().steps(PROBLEM) if isinstance(solver, vi.SPDHG) else (near.tau, near.sigma)
    for moved, step in itertools.product("xqp", (1e-3, 1.0, 10.0)):
        z, s, t = (
            v + step * rng.standard_normal(v.size) * (name == moved) for v, name in zip((x, q, p), "xqp", strict=True)
        )
        z, t = np.maximum(z, 0), ball(t)
        back = z - tau * (a.T @ s + D.T @ t)
        clipped += np.sum(back < 0)
        first = size(z - np.maximum(back, 0)) / tau / size(a.T @ s, D.T @ t)
        d, e = (s - data(s + sq * a @ z, sq)) / sq, (t - ball(t + sp * D @ z)) / sp
        second = size(math.sqrt(sq) * d, math.sqrt(sp) * e) / size(math.sqrt(sq) * a @ z, math.sqrt(sp) * D @ z)
        pair = near._replace(x=z.reshape(SHAPE), y=(s.reshape(A.codomain), t.reshape(2, *SHAPE)))
        assert pair.residual(PROBLEM, None) == pytest.approx(max(first, second), rel=1e-8)
        larger.add(first > second)
    assert larger == {True, False}  # both were looked at
    assert clipped > 0  # the constraint was active


def test_the_residual_of_fields_of_any_length_leaves_them_alone() -> None:
    """Terms whose adjoint is y itself, or of the other boundary; duals far outside the balls, read-only."""
    plain = vi.Problem(tuple(vi.L2Squared(TRUTH) @ vi.Identity(SHAPE) for _ in range(2)))
    G = vi.Gradient(SHAPE, boundary="periodic")
    for problem in (plain, plain + LAM * vi.TV(SHAPE), plain + LAM * vi.L21() @ G):
        terms = problem.coupled
        y = tuple(10 * rand(np, t.K.codomain, k) for k, t in enumerate(terms))
        for part in y:
            part.flags.writeable = False
        tau, sigma = 0.3, (20.0, 40.0, 70.0)[: len(terms)]  # so long that p is what is missing
        pulled = [t.K.adjoint(part) for t, part in zip(terms, y, strict=True)]
        d = [
            (part - t.f.prox_conj(part + s * t.K(X0), s)) / math.sqrt(s)
            for t, part, s in zip(terms, y, sigma, strict=True)
        ]
        long = [math.sqrt(s) * t.K(X0) for t, s in zip(terms, sigma, strict=True)]
        expected = size(sum(pulled)) / size(*pulled)
        assert expected > size(*d) / size(*long)
        assert natural_residual(problem, X0, y, tau, sigma) == pytest.approx(expected, rel=1e-12)


def test_restarts_look_at_the_distance_in_the_metric_of_the_steps() -> None:
    solver = vi.RestartedChambollePock()
    before, state = itertools.islice(solver.states(PROBLEM, np.linspace(-2, 2, 12).reshape(SHAPE)), 2)
    tau, (sq, sp) = before.tau, before.sigma
    u, v, w = (part.reshape(-1) for part in (before.u, *before.v))
    x = np.maximum(u - tau * (a.T @ v + D.T @ w), 0)
    moved = np.concatenate([x - u, data(v + sq * a @ (2 * x - u), sq) - v, ball(w + sp * D @ (2 * x - u)) - w])
    K = np.vstack([a, D])
    M = np.diag(np.repeat([1 / tau, 1 / sq, 1 / sp], [12, 30, 24]))
    M[12:, :12], M[:12, 12:] = -K, -K.T
    assert state.r == pytest.approx(math.sqrt(moved @ M @ moved), rel=1e-10)


@pytest.mark.parametrize("lam", [1.0, 30.0])
def test_an_image_without_edges_has_a_residual(lam: float) -> None:
    """∇x is 0 but for rounding at the solution, the mean: nothing may be measured by that."""
    y = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0]])
    result = vi.solve(vi.L2Squared(y) + lam * vi.TV((2, 3)), vi.ChambollePock(), stop=vi.iterations(3000))
    after = vi.ChambollePock().step(result.problem, result.state)
    assert np.abs(result.x - y.mean()).max() <= 1e-4
    assert after.residual(result.problem, result.state) <= 1e-4  # it falls like 1/k, as the image does
