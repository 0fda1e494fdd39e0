"""L-BFGS: independent optima with and without boxes, textbook directions, non-convex terms, bits."""

from __future__ import annotations

import itertools
import pickle
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from scipy.optimize import minimize

import varinv as vi
from varinv.solvers.lbfgs import LBFGSState, direction

SHAPE = (4, 5)
pytestmark = pytest.mark.usefixtures("one_thread")


def state_at(problem: Any, k: int, solver: Any = None, **start: Any) -> Any:
    return next(itertools.islice((solver or vi.LBFGS()).states(problem, **start), k, None))


def operator(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return vi.Diagonal(rng.uniform(0.2, 2, SHAPE)) @ vi.Blur(SHAPE, rng.uniform(size=(3, 3)), boundary="zero")


def cases(seed: int) -> dict[str, tuple[Any, float]]:
    """Problems with the optimum that CLARABEL finds for their dense form."""
    A, rng = operator(seed), np.random.default_rng(seed)
    y = A.forward(rng.uniform(size=SHAPE)) + rng.standard_normal(SHAPE)
    a, b, x = dense(A), y.reshape(-1), cp.Variable(20)
    G = dense(vi.Gradient(SHAPE)) @ x
    fit, counts = 0.5 * cp.sum_squares(a @ x - b), np.round(2 * np.maximum(y, 0))
    tv, edges = vi.TV(SHAPE, isotropic=False, smoothing=0.1), cp.sum(cp.huber(G, 0.1)) / 0.2
    kl = cp.sum(cp.kl_div(counts.reshape(-1), a @ x + 0.1))
    low = rng.uniform(-0.5, 0.2, SHAPE)
    found = {
        "squares": (vi.L2Squared(y) @ A + 0.2 * vi.L2Squared(0.3), fit + 0.1 * cp.sum_squares(x - 0.3), []),
        "edges": (vi.L2Squared(y) @ A + 0.2 * tv, fit + 0.2 * edges, []),
        "nonnegative": (vi.L2Squared(y) @ A + 0.05 * vi.L2Squared() + vi.NonNegative(),
                        fit + 0.025 * cp.sum_squares(x), [x >= 0]),
        "box of images": (vi.L2Squared(y) @ A + 0.2 * tv + vi.Box(low, 0.8), fit + 0.2 * edges,
                          [x >= low.reshape(-1), x <= 0.8]),
        "two boxes": (vi.L2Squared(y) @ A + 0.2 * tv + vi.Box(-1, 0.5) + vi.NonNegative(), fit + 0.2 * edges,
                      [x >= 0, x <= 0.5]),
        "counts": (vi.KullbackLeibler(counts, 0.1) @ A + 0.1 * tv + vi.NonNegative(), kl + 0.1 * edges, [x >= 0]),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: (p, cp.Problem(cp.Minimize(f), limits).solve(solver=cp.CLARABEL))
            for name, (p, f, limits) in found.items()
        }


@pytest.mark.parametrize("seed", range(2))
def test_reaches_an_independent_optimum(seed: int) -> None:
    for name, (problem, best) in cases(seed).items():
        for method, x0 in ((vi.LBFGS(), None), (vi.LBFGS(memory=3), 1 + rand(np, SHAPE, 5, kind="non-negative"))):
            result = vi.solve(problem, method, x0=x0, stop=vi.residual(1e-7) | vi.iterations(1000))
            assert result.why.startswith("residual"), (name, method)
            assert problem(result.x) == pytest.approx(best, rel=1e-6), (name, method)
            assert result.state.k <= 400


def test_the_direction_is_that_of_the_dense_bfgs_formula() -> None:
    """H from the recursive definition H⁺ = VᵀHV + ρssᵀ, V = I − ρysᵀ, on all entries and on the free ones."""
    rng = np.random.default_rng(0)
    Q = rng.standard_normal((6, 6))
    s = [rng.standard_normal(6) for _ in range(3)]
    y, g = [(Q @ Q.T + np.eye(6)) @ a for a in s], rng.standard_normal(6)
    for free in (None, np.array([1.0, 1, 0, 1, 0, 1])):
        mask = np.ones(6) if free is None else free
        pairs = [(mask * a, mask * b) for a, b in zip(s, y, strict=True) if (mask * a) @ (mask * b) > 0]
        H = pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1]) * np.eye(6)
        gamma = H[0, 0]
        for a, b in pairs:
            V = np.eye(6) - np.outer(b, a) / (a @ b)
            H = V.T @ H @ V + np.outer(a, a) / (a @ b)
        state = LBFGSState(0 * g, g, 1.0, tuple(s), tuple(y), 1.0)
        assert np.allclose(direction(state, free), -H @ (mask * g) - gamma * (1 - mask) * g)


def test_it_converges_faster_than_any_line_and_the_objective_falls() -> None:
    """A quadratic in 20 unknowns: superlinear with full memory, and never up."""
    problem, _ = cases(0)["squares"]
    values = [problem(s.x) for s in itertools.islice(vi.LBFGS(memory=40).states(problem), 60)]
    assert all(np.diff(values) <= 1e-13 * values[0])
    assert values[45] - values[-1] <= 1e-13 * values[0]
    assert state_at(problem, 60, vi.LBFGS(memory=40)).residual(problem, None) <= 1e-9


def test_nonconvex_terms_end_at_a_critical_point() -> None:
    y = operator(0).forward(rand(np, SHAPE, 1, kind="non-negative"))
    problem = vi.L2Squared(y) @ operator(0) + 0.3 * vi.SmoothedLq(0.4, 0.05) @ vi.Gradient(SHAPE)
    for extra in (None, vi.NonNegative()):
        full = problem if extra is None else problem + extra
        result = vi.solve(full, vi.LBFGS(), stop=vi.residual(1e-7) | vi.iterations(3000))
        assert result.why.startswith("residual")
        bounds = None if extra is None else [(0, None)] * 20
        again = minimize(lambda v: problem(v.reshape(SHAPE)), result.x.ravel(), bounds=bounds, method="L-BFGS-B",
                         jac=lambda v: problem.grad(v.reshape(SHAPE)).ravel())  # fmt: skip
        assert again.fun >= full(result.x) * (1 - 1e-9)  # scipy finds nothing lower from here


def test_resumed_is_uninterrupted_bit_for_bit() -> None:
    for name in ("edges", "counts", "box of images"):
        problem, _ = cases(0)[name]
        straight = state_at(problem, 25)
        halfway = pickle.loads(pickle.dumps(state_at(problem, 11)))
        resumed = state_at(problem, 14, resume=halfway)
        for a, b in zip(resumed, straight, strict=True):
            for p, q in zip(*((v if isinstance(v, tuple) else (v,)) for v in (a, b)), strict=True):
                assert np.asarray(p).tobytes() == np.asarray(q).tobytes()


def test_every_library_and_scale(xp: Any) -> None:
    y = rand(xp, (3, 4), 1, "float32")
    for c in (1e-3, 1.0, 1e3):
        problem = vi.L2Squared(c * y) + 0.1 * c * vi.TV((3, 4), smoothing=0.1 * c) + vi.NonNegative()
        result = vi.solve(problem, vi.LBFGS(), stop=vi.iterations(30))
        assert result.x.dtype == xp.float32
        assert result.state.residual(problem, None) <= 1e-4  # float32


def test_solved_problems_stay_solved_and_others_are_refused() -> None:
    y = np.ones(SHAPE)
    assert vi.solve(vi.L2Squared(0 * y) + vi.NonNegative(), vi.LBFGS(), stop=vi.iterations(3)).x.max() == 0
    with pytest.raises(TypeError, match=r"LBFGS needs a gradient of every term but boxes; L21\(0.1\) @ Gradient"):
        vi.solve(vi.L2Squared(y) + 0.1 * vi.TV(SHAPE), vi.LBFGS())
    with pytest.raises(TypeError, match=r"LBFGS needs a gradient of every term but boxes; L1\(1\) has none"):
        vi.solve(vi.L2Squared(y) + vi.L1(), vi.LBFGS())
    with pytest.raises(TypeError, match=r"LBFGS needs a gradient of every term but boxes; Box.* @ Gradient"):
        vi.solve(vi.L2Squared(y) + vi.Box(-1, 1) @ vi.Gradient(SHAPE), vi.LBFGS())
    with pytest.raises(
        ValueError, match=r"LBFGS: KullbackLeibler.* is NaN or infinite at the start image; give another"
    ):
        vi.solve(vi.KullbackLeibler(y) @ vi.Identity(SHAPE), vi.LBFGS())
