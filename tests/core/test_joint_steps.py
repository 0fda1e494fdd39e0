"""The bound of a sum of terms, the ramp filter as a step, and the steps that come of both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from primal_dual_cases import PROBLEM, SHAPE, A, B, a, b, ramp, state_at

import varinv as vi
from varinv.fused.steps import dual_step
from varinv.operators.norms import _where_sum_reaches, krylov_bound
from varinv.operators.spectrum import Spectrum
from varinv.solvers.step_sizes import joint_steps

pytestmark = pytest.mark.usefixtures("one_thread")

SPECTRA = {
    "flat top": np.ones(200),
    "dense top": np.linspace(0, 1, 200),
    "one above": np.r_[1.0, np.linspace(0, 0.5, 199)],
    "two above": np.r_[1.0, 1.0, np.linspace(0, 0.9, 198)],
    "hidden": np.r_[1.0, np.full(199, 1e-6)],
}


def symmetric(values: np.ndarray, seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((values.size, values.size)))
    return (q * values) @ q.T


@pytest.mark.parametrize("name", SPECTRA)
def test_the_bound_holds_and_is_as_tight_as_asked(name: str) -> None:
    """The one direction v that the function draws is random to matrices turned at random."""
    for seed in range(40):
        M = symmetric(SPECTRA[name], seed)
        bound = krylov_bound(lambda x, M=M: M @ x, np.zeros(200), ratio=1.05, most=100)
        assert 1 - 1e-9 <= bound <= 1.05 * (1 + 1e-9)


@pytest.mark.parametrize("chance", [1e-2, 1e-6])
def test_the_chance_is_that_of_a_start_almost_orthogonal(chance: float) -> None:
    """With |⟨z, v⟩| above the quantile that `chance` means the bound holds at every step; far below, it cannot know."""
    n = 200
    v = np.random.default_rng(0).standard_normal(n)
    v /= np.linalg.norm(v)
    q, _ = np.linalg.qr(np.column_stack([v, np.random.default_rng(1).standard_normal((n, n - 1))]))
    v, w = q[:, 0], q[:, 1]
    quantile = chance * np.sqrt(np.pi / (2 * n))
    for overlap, holds in ((1.01 * quantile, True), (1e-11, False)):
        z = overlap * v + np.sqrt(1 - overlap**2) * w
        rest = np.eye(n) - np.outer(z, z)
        M = np.outer(z, z) + 0.5 * rest @ symmetric(np.linspace(0, 1, n), 2) @ rest
        bounds = [krylov_bound(lambda x, M=M: M @ x, np.zeros(n), ratio=1.0, most=k) for k in range(1, 12)]
        assert (min(bounds) >= 1) == holds


def test_the_bound_at_its_edges() -> None:
    assert krylov_bound(lambda x: 0 * x, np.zeros((2, 3))) == 0
    assert krylov_bound(lambda x: 2 * x, np.zeros((2, 3))) == pytest.approx(2, rel=1.1e-6)  # 1e-6 is added
    assert krylov_bound(lambda x: 3 * x, np.zeros(1)) == pytest.approx(3, rel=1.1e-6)
    M = np.diag([1.0, 2.0, 5.0])
    assert 5 * (1 - 1e-12) <= krylov_bound(lambda x: M @ x, np.zeros(3)) <= 5 * (1 + 2e-4)  # the bisection ends at 1e-4
    assert krylov_bound(lambda x: M @ x, np.zeros(3), known=5.0) == 5
    assert krylov_bound(lambda x: 2 * x, np.zeros((2, 3)), known=2.0) == 2
    for n in range(2, 50):  # a direction in float32 has the length 1 less 1e-7, or more
        assert krylov_bound(lambda x: x, np.zeros(n, np.float32)) >= 1


@pytest.mark.parametrize("limit", [1.5, 30.0, 1e12])
def test_the_sum_of_the_polynomials_is_reached(limit: float) -> None:
    """p_j(λ) = det(λ − T_j)/(b_1 … b_j), T_j the matrix of the first j steps; at the bound, and not 1e-4 below."""
    a, b = [1.0, 2.0, 0.5], [0.5, 0.3, 0.8]
    T = np.diag(a) + np.diag(b[:2], 1) + np.diag(b[:2], -1)
    theta = float(np.linalg.eigvalsh(T)[-1])

    def total(value: float) -> float:
        return sum((np.linalg.det(value * np.eye(j) - T[:j, :j]) / np.prod(b[:j])) ** 2 for j in range(4))

    found = _where_sum_reaches(limit, a, b, theta)
    assert total(found) >= limit * (1 - 1e-12)
    assert found <= theta * (1 + 1e-4) or total(found / (1 + 1e-4)) <= limit


WEIGHT = 0.2 + rand(np, A.codomain, 7, kind="non-negative")


@pytest.mark.parametrize("weight", [1.0, 0.7, WEIGHT], ids=["1", "0.7", "array"])
@pytest.mark.parametrize("rho", [1.0, 1.9])
def test_a_filtered_step_is_the_exact_maximiser(weight: Any, rho: float) -> None:
    f, q, x = vi.L2Squared(B, weight), rand(np, A.codomain, 5), rand(np, SHAPE, 6)
    filtered = A.preconditioner()
    new = dual_step(f, A, q, x, filtered.times(0.8), rho)
    w = np.broadcast_to(weight, A.codomain).reshape(-1)
    v = np.sqrt(w / w.max())
    back = np.linalg.inv(0.8 * v[:, None] * ramp(5, 6) * v)
    # of ⟨p, Ax⟩ − |p|²/2w − ⟨p, b⟩ − ½(p − q)ᵀ back (p − q)
    best = np.linalg.solve(np.diag(1 / w) + back, a @ x.reshape(-1) - b + back @ q.reshape(-1))
    expected = q.reshape(-1) + rho * (best - q.reshape(-1))
    assert np.abs(new.reshape(-1) - expected).max() <= 1e-12 * np.abs(expected).max() * np.linalg.cond(back)


def test_a_filter_of_one_is_a_number() -> None:
    f, q, x = vi.L2Squared(B), rand(np, A.codomain, 5), rand(np, SHAPE, 6)
    ones = Spectrum(np.ones_like(A.preconditioner().weights), A.preconditioner().axes)
    np.testing.assert_allclose(dual_step(f, A, q, x, ones.times(0.3), 1.9), dual_step(f, A, q, x, 0.3, 1.9), rtol=1e-13)


def test_the_ramp_flattens_the_spectrum_of_tomography() -> None:
    """n‖·‖/trace of AᵀA and of AᵀSA: a third is modest (328 and 40 were measured at 256² from 60 views)."""
    R = vi.Radon((32, 32), vi.ParallelBeam(np.arange(20) * np.pi / 20, 48))
    r, S = dense(R), ramp(20, 48)
    spread = [M.shape[0] * np.linalg.norm(M, 2) / np.trace(M) for M in (r.T @ r, r.T @ S @ r)]
    assert spread[1] < spread[0] / 3


PROBLEMS = {
    "tomography": PROBLEM,
    "weighted": vi.L2Squared(B, WEIGHT) @ A + 0.3 * vi.TV(SHAPE),
    "scaled, twice": 2 * (vi.L2Squared(B) @ (3 * A)) + vi.L2Squared(B) @ A + 0.3 * vi.TV(SHAPE),
    "a weight of 0": vi.L2Squared(B, np.where(WEIGHT > 0.5, WEIGHT, 0.0)) @ A + 0.3 * vi.TV(SHAPE),
    "blur": vi.L2Squared(B[:3, :4]) @ vi.Blur(SHAPE, np.ones((3, 3)) / 9) + 0.3 * vi.TV(SHAPE),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_tau_is_right_for_all_terms_together(name: str) -> None:
    problem = PROBLEMS[name]
    tau, sigma, filters = joint_steps(problem)
    total = np.zeros((12, 12))
    for t, s, S in zip(problem.coupled, sigma, filters, strict=True):
        K = dense(t.K)
        w = np.broadcast_to(getattr(t.f, "weight", 1.0), t.K.codomain).reshape(-1) if S else None
        between = np.eye(len(K)) if w is None else np.sqrt(w / w.max())[:, None] * ramp(5, 6) * np.sqrt(w / w.max())
        total += s * K.T @ between @ K
    largest = np.linalg.norm(total, 2)
    assert 0.99 / 1.2 * (1 - 1e-9) <= tau * largest <= 0.99 * (1 + 1e-9)
    summed = sum(s * np.linalg.norm(dense(t.K), 2) ** 2 for t, s in zip(problem.coupled, sigma, strict=True))
    if not any(filters):
        assert tau * summed >= 0.99 * (1 - 0.03)  # never shorter than by the sum of the bounds, 1 % large at most each
    expected = {"a weight of 0": 0, "blur": 0, "scaled, twice": 2}.get(name, 1)
    assert sum(S is not None for S in filters) == expected


def test_the_sum_of_the_bounds_is_taken_where_it_is_less() -> None:
    """Both terms are multiples of the identity: the sum is exact, and what Lanczos adds for rounding, 1e-6, is not."""
    one = vi.Identity(SHAPE)
    tau, sigma, _ = joint_steps(vi.L2Squared(B[:3, :4]) @ one + vi.L1() @ (2 * one))
    assert tau * (sigma[0] + 4 * sigma[1]) == pytest.approx(0.99, rel=1e-12)


def test_few_pixels_have_the_same_steps_in_float32() -> None:
    """Lanczos comes to its end on 12 pixels; in float32 it would not notice, and end 3e-3 above."""
    K, prior = vi.Blur(SHAPE, np.ones((3, 3)) / 9), 0.3 * vi.TV(SHAPE)
    single, double = (joint_steps(vi.L2Squared(B[:3, :4].astype(d)) @ K + prior) for d in ("float32", "float64"))
    assert single.tau == pytest.approx(double.tau, rel=1e-9)


def test_operators_that_are_zero_have_steps_too() -> None:
    with pytest.warns(vi.GeometryWarning, match="beside the detector"):
        nothing = vi.Radon(SHAPE, vi.ParallelBeam([0.1], 6, axis=400.0))  # the detector is far beside the image
    beside, seen = vi.L2Squared(np.ones(nothing.codomain)) @ nothing, vi.L2Squared(B) @ A
    flat = vi.L21() @ (0 * vi.Gradient(SHAPE))
    for problem in (beside + vi.NonNegative(), beside + vi.TV(SHAPE), seen + flat, beside + flat):
        tau, sigma, _ = joint_steps(problem)
        assert np.all(np.isfinite([tau, *sigma]))
        assert min(tau, *sigma) > 0


@pytest.mark.parametrize(
    ("name", "weight"), [("tomography", 1.0), ("weighted", float(WEIGHT.max())), ("scaled, twice", 2.0)]
)
def test_sigma_is_three_times_the_weight_and_other_terms_weigh_half(name: str, weight: float) -> None:
    """‖AᵀSA‖ comes from three power steps on a constant: never above, and here not 1 % below."""
    problem = PROBLEMS[name]
    _, sigma, _ = joint_steps(problem)
    data, variation = problem.coupled[0], problem.coupled[-1]
    assert sigma[0] == pytest.approx(3 * weight, rel=1e-12)
    v = np.sqrt(np.broadcast_to(data.f.weight, data.K.codomain).reshape(-1) / weight)
    K = dense(data.K)
    size = np.linalg.norm(K.T @ (v[:, None] * ramp(5, 6) * v) @ K, 2)
    assert 0.495 <= sigma[-1] * variation.K.norm() ** 2 / (3 * weight * size) <= 0.5 * (1 + 1e-9)


@pytest.mark.parametrize("name", ["weighted", "scaled, twice"])
def test_what_is_found_with_filters_is_proved(name: str) -> None:
    problem = PROBLEMS[name] + vi.Box(0.0, 2.0)
    state = state_at(problem, 2000, vi.AdaptiveChambollePock())
    assert problem.gap(state.x, state.y).relative <= 1e-9


def test_a_stack_of_slices_is_filtered_slice_by_slice() -> None:
    R = vi.Radon((2, *SHAPE), A.geometry)
    q, x, y = rand(np, R.codomain, 1), rand(np, R.domain, 2), rand(np, R.codomain, 3)
    whole = dual_step(vi.L2Squared(y), R, q, x, R.preconditioner(), 1.9)
    for k in range(2):
        one = dual_step(vi.L2Squared(y[k]), A, q[k], x[k], A.preconditioner(), 1.9)
        np.testing.assert_allclose(whole[k], one, rtol=1e-12, atol=1e-14)
