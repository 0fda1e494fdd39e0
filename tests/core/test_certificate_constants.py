"""Certificates of terms whose infimum is not 0, and of optima that are 0."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


class Raised(vi.Functional):
    """f + c: a term whose infimum is not 0."""

    def __init__(self, f: Any, c: float) -> None:
        self.f, self.c = f, c
        self.prox, self.prox_conj, self.feasible = f.prox, f.prox_conj, f.feasible

    def __call__(self, z: Any) -> float:
        return float(self.f(z)) + self.c

    def conj(self, q: Any) -> float:
        return float(self.f.conj(q)) - self.c


vi.Functional.kinds.remove(Raised)  # it is of this file only


A = vi.Radon((4, 5), vi.ParallelBeam(np.arange(3.0), 5))


DATA = np.arange(15.0).reshape(3, 5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])  # charbonnier: an infimum above 0 of its own
@pytest.mark.parametrize("data", [vi.L2Squared(DATA), vi.KullbackLeibler(DATA, 0.5)], ids=repr)
def test_a_constant_raises_the_bound_by_itself(data: Any, smoothing: float) -> None:
    """min (P + c) = min P + c, below 0 as well."""
    first, prior = data @ A, 0.3 * vi.TV((4, 5), smoothing=smoothing, kind="charbonnier")
    problem = first + vi.Term(Raised(prior.f, 0.0), prior.K) + vi.NonNegative()
    states = list(itertools.islice(vi.ChambollePock().states(problem), 0, 400, 40))
    assert math.isfinite(problem.gap(states[-1].x, states[-1].y).dual)
    for c, state in itertools.product((-300.0, 3.0), states):
        raised = first + vi.Term(Raised(prior.f, c), prior.K) + vi.NonNegative()
        plain, found = problem.gap(state.x, state.y).dual, raised.gap(state.x, state.y).dual
        assert found == pytest.approx(plain + c, rel=1e-9, abs=1e-9)


def test_a_look_changes_no_dual() -> None:
    """The adjoint of an identity is the dual itself: what is summed must not be written there."""
    first, second = np.array([0.3, -0.2, 0.5]), np.array([-0.1, 0.2, 0.1])
    first.flags.writeable = second.flags.writeable = False
    bounds = []
    for K in (vi.Identity((3,)), vi.Diagonal(np.ones(3))):  # the latter's is a new array
        problem = vi.L2Squared([1.0, -2.0, 3.0]) @ K + vi.L2Squared(0.5) @ K + vi.NonNegative()
        bounds.append(problem.gap(np.ones(3), (first, second)).dual)
    assert math.isfinite(bounds[0])
    assert bounds[0] == bounds[1]


COUNTS = vi.KullbackLeibler([1.5])  # 2 · 1.5 is where the bound of ⟨c, x⟩ is sharp
SHARP = [vi.L2Squared([0.0]), vi.L2Squared([0.0], [2.0]), COUNTS, 0.3 * COUNTS]


@pytest.mark.parametrize("data", SHARP, ids=repr)
def test_no_more_is_charged_than_the_solution_may_hold_and_no_less(data: Any) -> None:
    """f(x) + 20|x − 3| over x ≥ 0 is least at 3, the most that f(3) allows."""
    problem = data @ vi.Identity((1,)) + vi.L1(20.0, y=[3.0]) @ vi.Identity((1,)) + vi.NonNegative()
    x, optimum = np.full(1, 3.0), data(np.full(1, 3.0))
    duals = [problem.gap(x, (data.grad(x), np.full(1, r))).dual for r in np.linspace(-20, 20, 41)]
    assert max(duals) == pytest.approx(optimum, rel=1e-12)


def test_charges_in_float32_are_not_rounded_down() -> None:
    """1/5.125 is, by 3.7e-8, and nothing else: 4e-7 of a charge of 63 would be missing in ½(5.125x)² + 100|x − 3|."""
    assert float(np.float32(1 / 5.125)) * 5.125 < 1
    K, r = vi.Matrix(np.array([[5.125]])), np.full(1, -100.0, np.float32)
    problem = vi.L2Squared([0.0]) @ K + vi.L1(100.0, y=[3.0]) @ vi.Identity((1,)) + vi.NonNegative()
    found = problem.gap(np.full(1, 3.0), (np.full(1, 15.375, np.float32), r))
    assert found.primal == 15.375**2 / 2
    assert found.dual <= found.primal * (1 + 1e-12)


def test_a_bound_that_needs_no_image_is_kept_where_the_objective_is_infinite() -> None:
    problem = COUNTS @ vi.Identity((1,)) + vi.NonNegative()
    assert problem.gap(np.zeros(1), (np.zeros(1),))[:2] == (math.inf, 0.0)


def test_unseen_pixels_may_be_as_bright_as_the_dimmest_seen_allows() -> None:
    """½(x₁/10 − 1)² + |x₂ − x₁| over x ≥ 0 is 0 at (10, 10): what x₂ is charged with is 10 as well, not ⟨c, x⟩ = 1."""
    A, variation = vi.Matrix(np.array([[0.1, 0.0]])), vi.TV((2,), isotropic=False)
    problem = vi.L2Squared([1.0]) @ A + variation + vi.NonNegative()
    for s in np.linspace(-1, 1, 21):
        assert problem.gap(np.full(2, 10.0), (np.array([-1.0]), np.array([[s, 0.0]]))).dual <= 1e-15


def test_data_of_weight_0_are_passed_over() -> None:
    data, prior = vi.L2Squared(DATA) @ A, 0.3 * vi.TV((4, 5)) + vi.NonNegative()
    duals = tuple(np.ones(t.K.codomain) for t in (data + prior).coupled)
    plain = (data + prior).gap(np.ones((4, 5)), duals).dual
    assert (vi.L2Squared(DATA, 0.0) @ A + data + prior).gap(np.ones((4, 5)), (duals[0], *duals)).dual == plain


def test_a_constant_does_not_shrink_the_bound_of_the_solution() -> None:
    """½x² + |x − 3| + c over x ≥ 0 is least at x = 1: 2.5 + c; T = 0 would have it at x = 0."""
    for c in (-10.0, 0.0, 10.0):
        far = vi.Term(Raised(vi.L1(y=[3.0]), c), vi.Identity((1,)))
        problem = vi.L2Squared([0.0]) @ vi.Matrix(np.ones((1, 1))) + far + vi.NonNegative()
        for q in np.linspace(-1, 2, 13):
            found = problem.gap(np.ones(1), (np.array([q]), -np.ones(1)))
            assert found.dual <= 2.5 + c + 1e-9
        assert found.primal == 2.5 + c
        exact = problem.gap(np.ones(1), (np.ones(1), -np.ones(1)))
        assert exact.dual == pytest.approx(2.5 + c, abs=1e-9)


def test_rounding_at_an_optimum_of_zero_is_no_wrong_adjoint() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(4, 5)) + 0.5
    y = A(truth)
    counts, squares = vi.KullbackLeibler(y) @ A, vi.L2Squared(y) @ A
    for d in np.logspace(-10, -7, 40):  # true values are 1e-20 and more, rounding is some 1e-15
        assert counts(truth * (1 + d)) >= 0
    for problem in (counts + vi.NonNegative(), squares + vi.Box(0, 2)):
        state = vi.ChambollePock().init(problem, truth)
        vi.gap(1e-9, best=1e-14)(problem, None, state)  # above the objective, but by rounding: raises nothing
        with pytest.raises(ValueError, match="exceeds the objective"):
            vi.gap(1e-9, best=1e-3)(problem, None, state)


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_charge_of_negative_pixels_is_whole(weight: float) -> None:
    """Exact data of one bright pixel: ⟨c, x⟩ = T and ⟨v, x⟩ = −T·max(−v/c): nothing of the charge may be missing.

    The optimum is 0, as no value is below and the truth has it: no bound may exceed it.
    """
    M = np.array([[1.0, 2.0], [3.0, 0.5], [0.5, 1.0]])
    truth = np.array([2.0, 0.0])
    y = M @ truth
    grid = np.stack(np.meshgrid(np.linspace(0, 4, 81), np.linspace(0, 4, 81)), -1) @ M.T
    assert np.min(0.5 * weight * np.sum((grid - y) ** 2, -1)) == 0  # by trial of 81² images
    problem = weight * vi.L2Squared(y) @ vi.Matrix(M) + vi.NonNegative()
    bounds = []
    for q in np.random.default_rng(0).standard_normal((200, 3)):
        v, c = M.T @ q, M.T @ np.ones(3)
        if v[0] / c[0] < min(v[1] / c[1], 0.0):  # the bright pixel is the one that is charged
            bounds.append(problem.gap(truth, (q,)).dual)
    assert len(bounds) > 20
    assert max(bounds) <= 1e-12 * float(y @ y)
    assert max(bounds) >= -1e-12 * float(y @ y)  # and 0 is what they prove
