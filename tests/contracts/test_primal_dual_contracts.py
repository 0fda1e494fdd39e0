"""The primal–dual family: against cvxpy, its step conditions, its bits, scales, residuals, refusals."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from primal_dual_cases import EACH, LAM, PROBLEM, SHAPE, SOLVERS, TRUTH, X0, A, B, D, a, b, ramp, state_at
from test_primal_dual import ball, data

import varinv as vi
from varinv.backend import to_numpy
from varinv.functionals.base import Functional
from varinv.linalg import norm
from varinv.phantom import shepp_logan
from varinv.problem import as_problem
from varinv.solvers.adaptive_chambolle_pock import AdaptiveChambollePock
from varinv.solvers.condat_vu import smooth

pytestmark = pytest.mark.usefixtures("one_thread")

# ----------------------------------------------------------------------------------------------- independent optima

INK = vi.Diagonal(0.3 + rand(np, SHAPE, 4, kind="non-negative")) @ vi.Blur(SHAPE, np.ones((3, 3)) / 9, "zero")
COUNTS = np.round(20 * INK(TRUTH))
x = cp.Variable(12)
TV = cp.sum(cp.norm((D @ x).reshape((2, 12), order="C"), axis=0))
CASES = {
    "tomography": (PROBLEM, 0.5 * cp.sum_squares(a @ x - b) + LAM * TV, [x >= 0]),
    "counts": (
        vi.KullbackLeibler(COUNTS, 0.1) @ (20 * INK) + vi.TV(SHAPE) + vi.NonNegative(),
        cp.sum(cp.kl_div(COUNTS.reshape(-1), 20 * dense(INK) @ x + 0.1)) + TV,
        [x >= 0],
    ),
    "outliers in a box": (
        vi.L1() @ A + 0.3 * vi.TV(SHAPE, smoothing=0.2) + vi.L2Squared(TRUTH, 0.5) + vi.Box(0.1, 0.8),
        cp.norm1(a @ x)
        + 0.3 / 0.2 * 0.5 * cp.sum(cp.huber(cp.norm((D @ x).reshape((2, 12), order="C"), axis=0), 0.2))
        + 0.25 * cp.sum_squares(x - TRUTH.reshape(-1)),
        [x >= 0.1, x <= 0.8],
    ),
}


@pytest.fixture(scope="module")
def optimum() -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: cp.Problem(cp.Minimize(objective), limits).solve(
                solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
            )
            for name, (_, objective, limits) in CASES.items()
        }


@EACH
@pytest.mark.parametrize("name", CASES)
def test_agreement_with_an_independent_optimum(solver: Any, name: str, optimum: Any) -> None:
    problem, best = CASES[name][0], optimum[name]
    result = vi.solve(problem, solver, stop=vi.iterations(3000))
    # cvxpy is right to 1e-9 or so; 3000 iterations bring every one of these far below
    assert abs(problem(result.x) - best) <= 1e-6 * abs(best)
    found = problem.gap(result.x, result.state.y)
    assert found.dual <= best * (1 + 1e-7)  # a proof, whatever the duals are
    assert found.relative <= 1e-4  # and these are worth something


@EACH
def test_default_steps_satisfy_their_condition_against_dense_norms(solver: Any) -> None:
    for problem, _, _ in CASES.values():
        terms = problem.coupled
        K = [dense(t.K) for t in terms]
        if isinstance(solver, vi.SPDHG):
            tau, blocks, _ = solver.plan(problem)
            assert sum(block.p for block in blocks) == pytest.approx(1)
            for block in blocks:
                assert tau * block.sigma * np.linalg.norm(dense(block.K), 2) ** 2 < block.p
                assert tau * block.sigma * block.K.norm() ** 2 == pytest.approx(0.99 * block.p)
            continue
        if isinstance(solver, vi.PreconditionedChambollePock):
            tau, sigma = solver.steps(problem, 0 * X0)
            scaled = [np.sqrt(np.reshape(s, -1))[:, None] * M for s, M in zip(sigma, K, strict=True)]
            assert 0.1 < np.linalg.norm(np.vstack(scaled) * np.sqrt(tau.reshape(-1)), 2) ** 2 <= 1
            continue
        if isinstance(solver, (vi.AdaptiveChambollePock, vi.RestartedChambollePock)):
            first, late = (state_at(problem, k, solver) for k in (0, 300))
            for old, new in zip(first.sigma, late.sigma, strict=True):
                assert old * first.tau == pytest.approx(new * late.tau, rel=1e-12)
            tau, sigma = first.tau, first.sigma
            if isinstance(solver, vi.AdaptiveChambollePock):  # the filter S = LLᵀ counts as Lᵀ before K
                L = np.linalg.cholesky(ramp(5, 6))
                K = [L.T @ M if isinstance(t.f, vi.L2Squared) else M for t, M in zip(terms, K, strict=True)]
        else:
            tau, sigma = solver.steps(problem)
        duals = [math.sqrt(s) * M for s, M, t in zip(sigma, K, terms, strict=True) if not smooth(t)]
        explicit = [math.sqrt(t.f.smoothness) * M for t, M in zip(terms, K, strict=True) if smooth(t)]
        L = np.linalg.norm(np.vstack(explicit), 2) ** 2 if explicit else 0.0
        coupling = np.linalg.norm(np.vstack(duals), 2) ** 2 if duals else 0.0
        if isinstance(solver, vi.CondatVu):
            assert 1 / tau - coupling >= L / 2
        elif isinstance(solver, vi.PD3O):
            assert tau * L < 2
            assert tau * coupling <= 1
        else:
            both = np.vstack([math.sqrt(s) * M for s, M in zip(sigma, K, strict=True)])
            assert 0.05 < tau * np.linalg.norm(both, 2) ** 2 <= 1


@EACH
def test_resumed_is_uninterrupted_bit_for_bit(solver: Any) -> None:
    y = rand(np, (31, 17), 1, "float32")
    R = vi.Radon((31, 17), vi.ParallelBeam(np.arange(7) / 2, 20))
    for problem in (
        vi.L2Squared(R(y)) @ R + 0.1 * vi.TV(y.shape) + vi.NonNegative(),
        vi.L2Squared(y) @ vi.Blur(y.shape, np.ones((3, 3)) / 9) + 0.1 * vi.TV(y.shape),
    ):
        straight = state_at(problem, 47, solver)
        halfway = pickle.loads(pickle.dumps(state_at(problem, 18, solver)))
        problem = pickle.loads(pickle.dumps(problem))
        resumed = state_at(problem, 29, type(solver)(**vars(solver)), resume=halfway)
        assert resumed.k == straight.k == 47
        for one, other in zip(straight, resumed, strict=True):
            parts = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
            assert all(np.asarray(p).tobytes() == np.asarray(q).tobytes() for p, q in parts)
        assert straight.x.dtype == np.float32
        assert all(q.dtype == np.float32 for q in straight.y)


@EACH
def test_the_iteration_is_free_of_scale(solver: Any) -> None:
    y = 3 * TRUTH + 0.2
    for build, power in (
        (lambda c: vi.L2Squared(c * B) @ A + 0.1 * c * vi.TV(SHAPE) + vi.NonNegative(), 1),
        (lambda c: vi.KullbackLeibler(c * y, 0.1 * c) @ INK + 0.1 * vi.TV(SHAPE) + vi.NonNegative(), 1),
        (lambda c: vi.L2Squared(B) @ (c * A) + 0.1 * c * vi.TV(SHAPE), -1),
        (lambda c: c * (vi.L2Squared(B) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()), 0),
        (lambda c: vi.L2Squared(c * y) + 0.1 * c * vi.TV(SHAPE), 1),
    ):
        reference = state_at(build(1.0), 50, solver).x
        for c in (1e-3, 1e3):
            assert norm(state_at(build(c), 50, solver).x / c**power - reference) <= 1e-9 * norm(reference)


EXACT = [
    vi.ChambollePock(gamma=0),
    *(s for s in SOLVERS if not isinstance(s, (vi.SPDHG, vi.RestartedChambollePock, vi.AdaptiveChambollePock))),
]


@pytest.mark.parametrize("solver", EXACT, ids=lambda s: type(s).__name__)
def test_the_residual_is_the_distance_of_zero_from_the_optimality_conditions(solver: Any) -> None:
    y, w, v = rand(np, SHAPE, 1), 0.5 + rand(np, SHAPE, 2, kind="non-negative"), 2 * rand(np, SHAPE, 5)
    larger = set()
    for mu, k in itertools.product((1e-4, 0.3, 30.0, 1e3), (1, 3, 8, 12)):
        problem = vi.L2Squared(y) @ vi.Diagonal(w) + vi.L2Squared(0.2 * y, mu) + vi.L2Squared(-y, 0.7) @ vi.Diagonal(v)
        previous, state = itertools.islice(solver.states(problem, y * y), k, k + 2)
        # all parts are smooth, so the subgradients are unique: f*(q) = q²/(2·weight) + q·(data)
        q, r = state.y
        p = mu * (state.x - 0.2 * y) + w * q + v * r
        d, e = q + y - w * state.x, r / 0.7 - y - v * state.x
        s, t = previous.sigma
        first = norm(p) / math.hypot(norm(w * q), norm(v * r))
        second = math.sqrt(np.sum(s * d**2 + t * e**2) / np.sum(s * (w * state.x) ** 2 + t * (v * state.x) ** 2))
        assert state.residual(problem, previous) == pytest.approx(max(first, second), rel=1e-8)
        larger.add(first > second)
    assert larger == {True, False}  # so both were looked at


def test_the_residual_of_the_stochastic_method_vanishes_at_the_solution_only() -> None:
    solver = vi.SPDHG(subsets=3)
    far, near = state_at(PROBLEM, 5, solver), state_at(PROBLEM, 3000, solver)
    assert near.residual(PROBLEM, None) <= 1e-9
    assert far.residual(PROBLEM, None) >= 1e-3
    for wrong in (near._replace(x=near.x + 0.01), near._replace(y=(near.y[0] + 0.01, near.y[1]))):
        assert wrong.residual(PROBLEM, None) >= 1e-4
    # a pair of half steps by hand, from dense matrices
    (tau, (sq, sp)), (q, p), z = vi.ChambollePock().steps(PROBLEM), (r.reshape(-1) for r in far.y), far.x.reshape(-1)
    pulled, lengths = a.T @ q + D.T @ p, np.linalg.norm(a.T @ q) ** 2 + np.linalg.norm(D.T @ p) ** 2
    first = np.linalg.norm(z - np.maximum(z - tau * pulled, 0)) / tau / math.sqrt(lengths)
    d, e = (q - data(q + sq * a @ z, sq)) / sq, (p - ball(p + sp * D @ z)) / sp
    second = math.sqrt((sq * d @ d + sp * e @ e) / (sq * np.sum((a @ z) ** 2) + sp * np.sum((D @ z) ** 2)))
    assert far.residual(PROBLEM, None) == pytest.approx(max(first, second), rel=1e-9)


@EACH
def test_the_default_stop_ends_every_run(solver: Any) -> None:
    assert vi.solve(PROBLEM, solver).why.startswith(("relative gap", "residual"))
    free = vi.L2Squared(B) @ A + vi.L2Squared(TRUTH, 0.1) @ vi.Identity(SHAPE) + vi.Huber(0.1)  # no certificate
    assert vi.solve(free, solver).why.startswith(("relative gap", "residual"))


@EACH
def test_on_other_array_libraries(solver: Any, xp: Any) -> None:
    reference = state_at(PROBLEM, 22, solver)
    there = vi.L2Squared(xp.asarray(B)) @ A + LAM * vi.TV(SHAPE) + vi.NonNegative()
    state = state_at(there, 22, solver)
    assert np.allclose(to_numpy(state.x), reference.x, rtol=1e-9, atol=1e-12)
    assert type(state.x) is type(there.coupled[0].f.y)


def test_a_wrong_balance_is_repaired() -> None:
    """Started with steps that are wrong by 100 either way: as good as from the defaults; not so without the repair."""
    y = shepp_logan(16).image((32, 32))
    R = vi.Radon((32, 32), vi.ParallelBeam(np.arange(12) * np.pi / 12, 48))
    problem = vi.L2Squared(R(y)) @ R + 0.1 * vi.TV(y.shape) + vi.NonNegative()
    best = problem(state_at(problem, 4000, vi.AdaptiveChambollePock()).x)

    def needed(factor: float, class_: Any) -> int:
        s = class_().init(problem, problem.zeros())
        s = s._replace(tau=s.tau * factor, sigma=tuple(q / factor for q in s.sigma))
        states = itertools.islice(class_().states(problem, resume=s), 2000)
        return next((state.k for state in states if problem(state.x) <= best * (1 + 1e-3)), 2000)

    right = needed(1, AdaptiveChambollePock)
    for factor in (100, 0.01):
        assert needed(factor, AdaptiveChambollePock) <= 4 * right
        assert needed(factor, vi.ChambollePock) >= 6 * right


def test_one_pass_of_spdhg_costs_one_projection() -> None:
    """Counted in rays: as many as one pair a pass, within four standard deviations of the draws."""
    rays = [0, 0]

    class Counted(vi.Radon, same_map=True):
        def forward(self, x: Any) -> Any:
            rays[0] += math.prod(self.codomain)
            return super().forward(x)

        def adjoint(self, y: Any) -> Any:
            rays[1] += math.prod(self.codomain)
            return super().adjoint(y)

    type(A).kinds.remove(Counted)
    C = Counted(SHAPE, vi.ParallelBeam(np.arange(20) / 7, 6))
    problem = vi.L2Squared(C(TRUTH)) @ C + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    solver = vi.SPDHG(subsets=10)
    first = next(solver.states(problem))
    solver.plan(problem)  # norms and steps, once
    rays[:] = 0, 0
    state_at(problem, 100, solver, resume=first)
    passes = [count / math.prod(C.codomain) for count in rays]
    assert passes[0] == passes[1]
    assert abs(passes[0] - 100) <= 4 * math.sqrt(2000 * 0.25) / 10  # 2000 fair draws of a tenth of the rays
    other = state_at(problem, 5, vi.SPDHG(subsets=10, seed=1)).x
    assert not np.array_equal(other, state_at(problem, 5, solver).x)
    assert solver.count(problem.coupled[0]) == 10
    assert vi.SPDHG(subsets=90).count(problem.coupled[0]) == 20  # never more than views


# ------------------------------------------------------------------------------------------------------- refusals


class Rough(Functional):
    """|z|^4 without a prox."""

    def __call__(self, z: Any) -> float:
        return float(np.sum(z**4))

    def grad(self, z: Any) -> Any:
        return 4 * z**3

    def __repr__(self) -> str:
        return "Rough()"


class Bent(vi.L1):
    """Declared non-convex."""

    convexity = -math.inf


Functional.kinds.remove(Rough)
Functional.kinds.remove(Bent)


@EACH
def test_what_cannot_be_solved_is_refused_by_name(solver: Any) -> None:
    who = type(solver).__name__
    for term in (vi.Problem((vi.Term(Rough(), A),)), vi.L2Squared(TRUTH) + Rough()):
        with pytest.raises(TypeError, match=rf"{who} needs a prox of every term; Rough\(\) has none"):
            vi.solve(as_problem(term), solver, x0=TRUTH)
    for term in (Bent() @ A, vi.L2Squared(TRUTH) + Bent()):
        with pytest.raises(ValueError, match=rf"{who} needs convex terms; .* is not convex"):
            vi.solve(as_problem(term), solver, x0=TRUTH)
