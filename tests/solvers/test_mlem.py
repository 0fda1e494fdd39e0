"""MLEM and OSEM: independent optima of the likelihood, numbers of counts, consistent counts with any subsets."""

from __future__ import annotations

import itertools
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from row_action_cases import CT_SMALL, Rays, after, rays, relative

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


def kl_optimum(A: Any, y: Any, b: float) -> float:
    x = cp.Variable(int(np.prod(A.domain)))
    found = cp.Problem(cp.Minimize(cp.sum(cp.kl_div(y.ravel(), dense(A) @ x + b))), [x >= 0])
    return float(found.solve(solver=cp.CLARABEL, tol_gap_rel=1e-10, tol_gap_abs=1e-10, tol_feas=1e-10))


@pytest.mark.parametrize("background", [0.0, 0.7])
@pytest.mark.parametrize("seed", [1, 2])
def test_mlem_reaches_the_kl_optimum_and_never_rises(background: float, seed: int) -> None:
    A = rays(seed)
    A.entries[:, :, 4] = 0  # a pixel nobody sees
    A.entries[2, 1] = 0  # a ray that sees nothing
    x = 3 * rand(np, A.domain, seed, kind="non-negative")
    y = np.random.default_rng(seed).poisson(A(x) + background).astype(float)
    y[2, 1] = 0.0 if background == 0 else 2.0
    problem = vi.KullbackLeibler(y, background) @ A + vi.NonNegative()
    best = kl_optimum(A, y, background)
    values = [problem(s.x) for s in itertools.islice(vi.MLEM().states(problem), 0, 40)]
    assert all(b <= a * (1 + 1e-14) for a, b in itertools.pairwise(values))
    # pixels that end at 0 get there like 1/k or k^-2 at worst: 20000 cheap steps
    result = vi.solve(problem, vi.MLEM(), stop=vi.residual(1e-9) | vi.iterations(20000))
    assert relative(problem(result.x), best) <= 1e-6
    assert problem(result.x) >= best * (1 - 1e-7)  # the tolerance of the other solver
    assert result.x[4] == 0
    gap = problem.gap(result.x, result.state.y)
    assert gap.dual <= best * (1 + 1e-7)
    assert gap.relative <= 1e-4
    assert vi.solve(problem, vi.MLEM(), stop=vi.gap(1e-2) | vi.iterations(20000)).why.startswith("relative gap")
    assert (vi.KullbackLeibler(y, background) @ A)(result.x) == pytest.approx(problem(result.x))
    implied = after(vi.MLEM(), vi.Problem((vi.KullbackLeibler(y, background) @ A,)), 7).x
    assert implied.tobytes() == after(vi.MLEM(), problem, 7).x.tobytes()


def test_mlem_keeps_the_number_of_counts() -> None:
    """Σ_j x_j (Aᵀ1)_j = Σ y after every step without background; and one step by hand."""
    A, y = rays(5), 5 * rand(np, (5, 4), 1, kind="non-negative")
    problem = vi.Problem((vi.KullbackLeibler(y) @ A,))
    M, start = dense(A), 0.5 + rand(np, A.domain, 2, kind="non-negative")
    states = list(itertools.islice(vi.MLEM().states(problem, start), 4))
    for s in states[1:]:
        assert s.x @ M.sum(0) == pytest.approx(y.sum(), rel=1e-13)
    assert np.allclose(states[1].x, start / M.sum(0) * (M.T @ (y.ravel() / (M @ start))), rtol=1e-13)
    first = next(vi.MLEM().states(problem)).x
    assert np.allclose(first, y.sum() / M.sum(), rtol=1e-13)  # a uniform start with the right sum
    b = 0.2 * y.mean()
    first = next(vi.MLEM().states(vi.Problem((vi.KullbackLeibler(y, b) @ A,)))).x
    assert np.allclose(M @ first.ravel() @ np.ones(20), y.sum() - 20 * b, rtol=1e-13)
    A.entries[:, :, 2] = 0  # seen by nobody: as it was
    for solver in (vi.MLEM(), vi.OSEM(2)):
        kept = after(solver, vi.Problem((vi.KullbackLeibler(y) @ Rays(A.entries),)), 3, x=start).x
        assert kept[2] == start[2]
        assert after(solver, vi.Problem((vi.KullbackLeibler(y) @ Rays(A.entries),)), 3).x[2] == 0


@pytest.mark.parametrize(("subsets", "background"), [(1, 0.4), (2, 0.0), (5, 0.4), (50, 0.0)])
def test_osem_explains_consistent_counts_with_any_subsets(subsets: int, background: float) -> None:
    for A in (rays(4), CT_SMALL):
        x = 0.3 + rand(np, A.domain, 2, kind="non-negative")
        y = A(x) + background
        problem = vi.KullbackLeibler(y, background) @ A + vi.NonNegative()
        distance = [np.inf]
        for s in itertools.islice(vi.OSEM(subsets).states(problem), 1, 500):
            if s.k < 10:  # the distance of its proof falls with every sweep
                c = np.max([dense(p.K).sum(0) for p in vi.solvers.sirt.split(problem.terms[0], subsets)], axis=0)
                u, v = x.ravel(), s.x.ravel()
                distance.append(c @ (u * np.log(u / v) + v - u))
                assert distance[-1] <= distance[-2] + 1e-12
        assert np.linalg.norm(A(s.x) + background - y) <= 1e-3 * np.linalg.norm(y)  # 0.99^500 on 0.1


def test_column_sums_of_each_subset_would_not_do_for_counts() -> None:
    """The rays (1, 2) and (2, 1) as subsets: Hudson & Larkin's ratio moves both pixels by one factor for ever."""
    A = Rays(np.array([[[1.0, 2.0]], [[2.0, 1.0]]]))
    y = A(np.array([1.0, 3.0]))
    x = np.ones(2)
    for _ in range(200):
        for M, b in zip(A.entries, y, strict=True):
            x = x / M.sum(0) * (M.T @ (b / (M @ x)))
    assert np.linalg.norm(A(x) - y) > 0.3
    x = after(vi.OSEM(2), vi.KullbackLeibler(y) @ A + vi.NonNegative(), 200).x
    assert np.linalg.norm(A(x) - y) <= 1e-8
