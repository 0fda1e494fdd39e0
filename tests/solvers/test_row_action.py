"""SIRT, SART, OS-SART: independent optima, dense loops, consistent data; with MLEM and OSEM: starts, errors, bits."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from row_action_cases import CT, CT_SMALL, Rays, after, rays, relative
from scipy.optimize import lsq_linear

import varinv as vi
from varinv.solvers.sirt import inverse, sums

pytestmark = pytest.mark.usefixtures("one_thread")


# -------------------------------------------------------------------------------------- least squares


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("box", [None, (0.0, np.inf), (0.2, 0.7)])
@pytest.mark.parametrize("signed", [False, True])
def test_sirt_reaches_the_weighted_least_squares_optimum(weighted: bool, box: Any, signed: bool) -> None:
    A = rays(1)
    A.entries[2, 1] = 0  # an empty row, with data
    A.entries[:, :, 4] = 0  # a pixel nobody sees
    if signed:
        A = Rays(A.entries * np.sign(rand(np, A.entries.shape, 3)))
    y = A(rand(np, A.domain, 4)) + 0.3 * rand(np, A.codomain, 5)
    w = 0.1 + rand(np, A.codomain, 6, kind="non-negative") if weighted else np.ones(A.codomain)
    w[3, 3] = 0.0 if weighted else 1.0
    problem = vi.Problem((vi.L2Squared(y, w) @ A,))
    problem = problem + vi.Box(*box) if box else problem
    M = dense(A)
    rows = abs(M).sum(1)
    root = np.sqrt(w.ravel() / np.where(rows > 0, rows, np.inf))  # √R, from the matrix
    best = lsq_linear(root[:, None] * M, root * y.ravel(), box or (-np.inf, np.inf), tol=1e-14, method="bvls")
    x = after(vi.SIRT(), problem, 3000).x
    found = 0.5 * np.sum((root * (M @ x - y.ravel())) ** 2)
    assert abs(relative(found, best.cost)) <= 1e-6
    assert x[4] == (0.0 if box is None or box[0] == 0 else 0.2)  # the start, in the box
    assert vi.SIRT().minimises(problem)(x) == pytest.approx(best.cost, rel=1e-6)
    # and not that of the weights as given: the two optima are 1e-3 apart or more
    assert best.cost > 1e-3
    state = after(vi.SIRT(), problem, 3000)
    assert state.residual(problem, None) <= 1e-7


def test_the_two_least_squares_problems_differ_and_the_documentation_says_which_is_solved() -> None:
    A, y = rays(2), rand(np, (5, 4), 3)
    plain = np.linalg.lstsq(dense(A), y.ravel(), rcond=None)[0]
    rows = dense(A).sum(1)
    root = np.where(rows > 0, 1 / np.sqrt(np.where(rows > 0, rows, 1)), 0)
    scaled = np.linalg.lstsq(root[:, None] * dense(A), root * y.ravel(), rcond=None)[0]
    x = after(vi.SIRT(), vi.Problem((vi.L2Squared(y) @ A,)), 5000).x
    assert np.linalg.norm(x - scaled) <= 1e-6 * np.linalg.norm(scaled)
    assert np.linalg.norm(plain - scaled) >= 1e-2 * np.linalg.norm(scaled)


@pytest.mark.parametrize("signed", [False, True])
def test_the_relaxation_is_certified(signed: bool) -> None:
    """AᵀRA ≤ C⁻¹ against dense eigenvalues, tight to 1e-12 without signs (then 1 is an eigenvector of CAᵀRA)."""
    for seed in range(5):
        A = rays(seed)
        A = Rays(A.entries * np.sign(rand(np, A.entries.shape, 3))) if signed else A
        r, c = sums(vi.L2Squared(np.ones(A.codomain)) @ A, np.ones(A.domain))
        half = np.sqrt(np.where(c > 0, 1 / c, 0))
        M = dense(A)
        largest = np.linalg.eigvalsh(half[:, None] * (M.T * r.ravel() @ M) * half)[-1]
        assert largest <= 1 + 1e-12
        assert signed or largest >= 1 - 1e-12
    problem = vi.L2Squared(A(np.ones(6))) @ A + vi.NonNegative()
    for solver in (vi.SIRT(1.95), vi.OSSART(3, 1.95), vi.SART(1.95)):
        assert np.abs(A(after(solver, problem, 1000).x) - A(np.ones(6))).max() <= 1e-6


def sweep_by_hand(A: Rays, y: Any, w: Any, x: Any, n: int, lam: float, order: Any) -> Any:
    blocks = [list(range(s, A.codomain[0], n)) for s in order]
    columns = [np.einsum("vrp,vr->p", A.entries[b], w[b]) for b in blocks]
    C = 1 / np.max(columns, axis=0)
    for b in blocks:
        M, rows = A.entries[b], A.entries[b].sum(-1)
        x = np.maximum(x + lam * C * np.einsum("vrp,vr->p", M, w[b] / rows * (y[b] - M @ x)), 0)
    return x


def test_sweeps_are_those_of_a_dense_loop() -> None:
    A = rays(3, sparse=0.0)
    x0, y = rand(np, A.domain, 1, kind="non-negative"), rand(np, A.codomain, 2)
    w = 0.5 + rand(np, A.codomain, 3, kind="non-negative")
    problem = vi.L2Squared(y, w) @ A + vi.NonNegative()
    golden = {5: [0, 3, 1, 4, 2], 2: [0, 1]}  # ranks of frac(k/φ): 0, .618, .236, .854, .472
    for solver, n, lam in ((vi.OSSART(2, 0.7), 2, 0.7), (vi.SART(), 5, 1.0), (vi.OSSART(99, 1.3), 5, 1.3)):
        expected = sweep_by_hand(A, y, w, x0, n, lam, golden[n])
        assert np.allclose(after(solver, problem, 1, x=x0).x, expected, rtol=1e-12, atol=1e-13)
    one = after(vi.OSSART(1, 0.8), problem, 3, x=x0).x
    assert one.tobytes() == after(vi.SIRT(0.8), problem, 3, x=x0).x.tobytes()


@pytest.mark.parametrize("solver", [vi.SIRT(), vi.OSSART(4), vi.SART(), vi.SART(0.5)])
def test_consistent_data_are_explained(solver: Any) -> None:
    for A in (CT_SMALL, rays(4)):
        y = A(0.2 + rand(np, A.domain, 1, kind="non-negative"))
        state = after(solver, vi.L2Squared(y) @ A + vi.NonNegative(), 600)
        # the slowest direction of the two shrinks by 1 − 0.010 a step of SIRT(1), and subsets are no slower: 2e-3, on a
        # singular value of 0.10 of the largest and 1e-2 of the image
        assert np.linalg.norm(A(state.x) - y) <= 1e-5 * np.linalg.norm(y)


def test_column_sums_of_each_subset_would_not_do() -> None:
    """The rays (1, 2) and (2, 1): each moves the image along (1, 1) if scaled by its own columns (Andersen & Kak)."""
    A = Rays(np.array([[[1.0, 2.0]], [[2.0, 1.0]]]))
    y = A(np.array([1.0, 0.0]))
    x = np.zeros(2)
    for _ in range(200):
        for M, b in zip(A.entries, y, strict=True):
            x = x + (M.T / M.T.sum(1, keepdims=True)) @ ((b - M @ x) / M.sum(1))
    assert np.linalg.norm(A(x) - y) > 0.3  # theirs never explains the data
    x = after(vi.SART(), vi.L2Squared(y) @ A + vi.NonNegative(), 200).x
    assert np.linalg.norm(A(x) - y) <= 1e-8


# -------------------------------------------------------------------------- what all of them promise

SOLVERS = [vi.SIRT(1.2), vi.OSSART(3), vi.SART(), vi.MLEM(), vi.OSEM(4)]


def problem_for(solver: Any, y: Any) -> vi.Problem:
    f = vi.KullbackLeibler(y, 0.1) if isinstance(solver, (vi.MLEM, vi.OSEM)) else vi.L2Squared(y)
    return f @ CT + vi.NonNegative()


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_resumed_is_uninterrupted_bit_for_bit(solver: Any) -> None:
    y = rand(np, CT.codomain, 1, "float32", kind="non-negative")
    problem = problem_for(solver, y)
    straight, halfway = after(solver, problem, 11), after(solver, problem, 4)
    resumed = after(solver, problem_for(solver, y), 7, resume=pickle.loads(pickle.dumps(halfway)))
    assert resumed.k == straight.k == 11
    assert straight.x.dtype == np.float32
    assert resumed.x.tobytes() == straight.x.tobytes()


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_every_library_gives_the_numbers_of_numpy(solver: Any, xp: Any) -> None:
    y = rand(np, CT.codomain, 1, kind="non-negative")
    expected = after(solver, problem_for(solver, y), 5)
    for dtype, tol in (("float64", 1e-12), ("float32", 1e-4)):
        there = xp.asarray(y.astype(dtype), dtype=getattr(xp, dtype))
        state = after(solver, problem_for(solver, there), 5)
        assert state.x.dtype == there.dtype
        assert np.allclose(np.asarray(vi.backend.to_numpy(state.x)), expected.x, rtol=tol, atol=tol)
        assert isinstance(state.residual(problem_for(solver, there), None), float)


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)
def test_units_cancel(solver: Any) -> None:
    """Data, or the operator, in other units: the same image in other units, and the same residual."""
    y = 0.1 + rand(np, CT.codomain, 1, kind="non-negative")

    def run(a: float, b: float) -> Any:
        f = vi.KullbackLeibler(a * y, 0.1 * a) if isinstance(solver, (vi.MLEM, vi.OSEM)) else vi.L2Squared(a * y)
        problem = f @ (b * CT) + vi.NonNegative()
        state = after(solver, problem, 6)
        return state.x * b / a, state.residual(problem, None)

    x, residual = run(1, 1)
    for a, b in ((1e4, 1), (1, 1e-4), (1e-3, 1e3)):
        other, same = run(a, b)
        assert np.allclose(other, x, rtol=1e-10, atol=1e-12)
        assert same == pytest.approx(residual, rel=1e-8)


def test_nothing_to_do() -> None:
    zero = Rays(np.zeros((2, 2, 3)))
    for solver in (vi.SIRT(), vi.OSSART(2), vi.SART()):
        state = after(solver, vi.L2Squared(np.ones((2, 2))) @ zero + vi.NonNegative(), 3, x=np.arange(3.0))
        assert state.x.tolist() == [0, 1, 2]
        assert state.residual(vi.L2Squared(np.ones((2, 2))) @ zero + vi.NonNegative(), None) == 0
    for solver in (vi.MLEM(), vi.OSEM(2)):
        assert after(solver, vi.KullbackLeibler(np.zeros((2, 2))) @ zero + vi.NonNegative(), 3).x.tolist() == [0] * 3
        dark = vi.KullbackLeibler(np.zeros((5, 4))) @ rays(1) + vi.NonNegative()
        assert after(solver, dark, 30).x.max() <= 1e-12  # no counts: no image


def test_what_they_cannot_solve_is_refused() -> None:
    A, y = CT, np.ones(CT.codomain)
    signed = vi.Gradient((4, 5))
    tv, data = 0.1 * vi.TV(CT.domain), vi.L2Squared(y) @ A
    counts = vi.KullbackLeibler(y) @ A
    blur = vi.L2Squared(np.ones((4, 5))) @ vi.Blur((4, 5), np.ones((3, 3)))
    for solver, problem, words in (
        (vi.SIRT(), data + tv, "SIRT: the problem must be L2Squared"),
        (vi.SART(), counts, "SART: the problem must be L2Squared"),
        (vi.OSSART(), data + vi.L1(0.1), r"OSSART takes Box or NonNegative\(\) beside the data"),
        (vi.SIRT(), data + vi.L2Squared(np.ones(CT.domain)), "SIRT takes Box"),
        (vi.SART(), blur, r"no subset\(indices\)"),
        (vi.OSSART(), blur, r"no subset\(indices\)"),
        (vi.MLEM(), data, "MLEM: the problem must be KullbackLeibler"),
        (vi.MLEM(), counts + tv, "MLEM: the problem must be KullbackLeibler"),
        (vi.OSEM(), counts + vi.Box(0, 2), r"OSEM takes NonNegative\(\) beside the counts"),
        (vi.MLEM(), vi.KullbackLeibler(np.ones((2, 4, 5))) @ signed, "must have no negative entry"),
        (vi.MLEM(), vi.KullbackLeibler(np.ones((2, 2))) @ Rays(np.zeros((2, 2, 3))), "4 measurements count something"),
    ):
        problem = problem if isinstance(problem, vi.Problem) else vi.Problem((problem,))
        with pytest.raises((ValueError, TypeError), match=words):
            solver.init(problem, problem.zeros())
    vi.OSSART(1).init(vi.Problem((blur,)), np.zeros((4, 5)))  # one subset needs no views
    start = np.ones(CT.domain)
    start[2:4, 3] = [0, -1]
    with pytest.raises(ValueError, match="2 of 72 pixels are not: a zero stays zero; leave x0 out"):
        vi.solve(vi.KullbackLeibler(y, 0.1) @ A, vi.MLEM(), x0=start)
    for bad in (0.0, 2.0, -1.0):
        with pytest.raises(ValueError, match="relaxation must be"):
            vi.SIRT(bad)
    for kind in (vi.OSSART, vi.OSEM):
        with pytest.raises(ValueError, match="subsets must be at least 1"):
            kind(0)
    assert inverse(np.array([0.0, 2.0])).tolist() == [0, 0.5]
