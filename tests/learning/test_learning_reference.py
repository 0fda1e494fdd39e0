"""The reference problems A to D: optima, gradients, and the work that learning rules need on them."""

from __future__ import annotations

import math
from typing import Any

import learning_cases
import numpy as np
import pytest
from scipy.optimize import minimize

import varinv as vi
from varinv.learning import reference
from varinv.learning.oracle import Bilevel

pytestmark = pytest.mark.usefixtures("one_thread")


def bilevel(made: Any) -> Bilevel:
    family, pairs, theta0, _ = made
    return learning_cases.bilevel(family, pairs, theta0)


def work_to(problem: Bilevel, rule: Any, theta0: Any, best: float, gaps: Any, budget: int, size: float = 0.0) -> Any:
    """({gap: iterations at which the true loss came within it}, last state, true losses)."""
    reached, losses, exact = {}, [], None
    for state in rule.states(problem, theta0):
        exact = problem.evaluate(state.x, 1e-6, None, exact)  # not counted
        losses.append(exact.value)
        for gap in gaps:
            if gap not in reached and losses[-1] - best <= gap * (size or best):
                reached[gap] = state.work.total
        if state.why or state.work.total > budget or len(reached) == len(gaps):
            break
    return reached, state, losses


def test_problem_a_is_the_published_one() -> None:
    """F(α) of §10-A, found there by Newton's method, and the published optimum."""
    problem = bilevel(reference.problem_a())
    for log10, value in ((-1, 4.18275), (-0.5, 1.50553), (-0.25, 1.38422), (0, 1.75255), (0.5, 7.55071), (1, 61.7219)):
        found = problem.evaluate(np.array([log10 * math.log(10)]), 1e-7)
        assert 2 * found.value == pytest.approx(value, rel=3e-6)  # the six digits given
    *_, optimum = reference.problem_a()
    assert 2 * problem.evaluate(optimum.theta, 1e-8).value == pytest.approx(1.3714888338, rel=1e-8)


# asked (§13-3): 1e-3 within 2e4, 1e-5 within 4e4, corrected within 1.2e4; measured 4961 and 4694, corrected 4813 and
# 5377; the other ε₀ in benchmarks/learning_reference.py
@pytest.mark.parametrize(("line_search", "most"), [("maid", 4e4), ("corrected", 1.2e4)])
@pytest.mark.parametrize("epsilon", [1e-1, 1e-3])
def test_problem_a_from_any_accuracy(line_search: str, most: float, epsilon: float) -> None:
    family, pairs, theta0, optimum = reference.problem_a()
    problem = bilevel((family, pairs, theta0, optimum))
    rule = vi.MAID(epsilon=epsilon, delta=epsilon, alpha=2.0, line_search=line_search, tol=0.0)
    reached, state, losses = work_to(problem, rule, theta0, optimum.loss, (1e-3, 1e-5), int(most))
    assert reached[1e-3] <= min(2e4, most)
    assert reached[1e-5] <= most
    assert abs(state.x[0] / math.log(10) + 0.31492) <= 0.003
    assert 2 * losses[-1] < 1.371594  # the published result of derivative-free search with dynamic accuracy


def test_problem_a_with_200_iterations_a_solve_finds_wrong_parameters() -> None:
    """The negative baseline: a search that trusts 200 iterations per solve (published: F = 3.5277 from log₁₀α = 2)."""
    from varinv.learning.lower import minimise, smoothness

    family, [(y, truth)], _, optimum = reference.problem_a()

    def rough(log10: float) -> float:
        theta = np.array([log10 * math.log(10)])
        problem = family(theta, y)
        x = minimise(problem, 0 * y, family.mu(theta), smoothness(problem), 0.0, 200).x
        return float(np.sum((x - truth) ** 2))

    grid = np.linspace(-0.5, 2, 26)
    best = grid[np.argmin([rough(a) for a in grid])]
    assert rough(best) >= 1.02 * 2 * optimum.loss  # the published dynamic accuracy is within 1.0001


def test_problem_b_is_what_it_says() -> None:
    problem = bilevel(reference.problem_b())
    *_, optimum = reference.problem_b()
    found = problem.evaluate(np.array([-3 - math.log(2), -3.0]), 1e-8, 1e-8)
    assert np.allclose(found.slope / 6, [-3.268400, 0.640801], atol=2e-4)  # §10-B; resize differs between versions
    # the optimum anew, by BFGS
    best = minimize(
        lambda t: (lambda e: (e.value, e.slope))(problem.evaluate(t, 1e-6, 1e-6)),
        optimum.theta + np.array([0.05, -0.1]), jac=True, method="BFGS", options={"gtol": 1e-3},
    )  # fmt: skip
    assert best.fun == pytest.approx(optimum.loss, rel=1e-4)
    assert np.allclose(best.x, optimum.theta, atol=5e-3)


@pytest.mark.study
def test_problem_b_costs_about_the_same_from_any_accuracy() -> None:
    """§13-4, -5, -6."""
    family, pairs, theta0, optimum = reference.problem_b()
    problem = bilevel((family, pairs, theta0, optimum))
    cost = {}
    for epsilon in (10.0, 1.0, 0.1, 1e-3, 1e-5):
        rule = vi.MAID(epsilon=epsilon, delta=epsilon, alpha=0.06, line_search="maid")
        reached, _, losses = work_to(problem, rule, theta0, optimum.loss, (1e-2,), 700)
        cost[epsilon] = reached[1e-2]  # measured 266, 225, 222, 275, 298; asked ≤ 700
        assert sorted(losses, reverse=True) == losses  # monotone
    assert max(cost.values()) <= 2 * min(cost.values())  # asked over six decades; measured 1.34
    # against fixed accuracy: from some θ on nothing is certified at 0.1, short of where adaptive accuracy comes
    fixed = vi.learn(
        family, pairs, theta0, vi.MAID(epsilon=0.1, delta=0.1, alpha=0.06, line_search="maid", adaptive=False)
    )
    assert fixed.why.startswith("fixed accuracy: no step is certified")
    assert problem.evaluate(fixed.theta, 1e-6).value > 1.001 * optimum.loss
    # against HOAG: asked ≤ 0.6 of every schedule; measured 0.26 of the best
    for schedule in ("geometric", "quadratic", "cubic"):
        reached, _, _ = work_to(problem, vi.HOAG(0.1, schedule), theta0, optimum.loss, (1e-2,), 2000)
        assert cost[0.1] <= 0.6 * reached[1e-2]
    # the corrected search goes on to where the weight is right
    learned = vi.learn(family, pairs, theta0, vi.MAID(epsilon=0.1, delta=0.1, alpha=0.06, budget=700))
    truth = pairs[0][1]
    assert learned.loss <= 1.001 * optimum.loss
    assert math.exp(learned.theta[0]) == pytest.approx(0.1088 / 2, rel=0.03)
    mean = np.mean([vi.psnr(x, t, data_range=1.0) for x, t in zip(learned.apply(pairs[0][0]), truth, strict=True)])
    assert mean >= 25.65


@pytest.mark.study
def test_problem_c_at_equal_work() -> None:
    """§13-7 at 600 iterations (3000 in the benchmark): a field of 67 parameters, MAID against HOAG.

    Measured: MAID 2.30, corrected 2.01, HOAG geometric 3.75 (its best schedule); 0.5 dB is a factor of 0.89.
    """
    made = reference.problem_c()
    _, [(y, truth)], theta0, _ = made
    problem = bilevel(made)
    assert np.sum((y - truth) ** 2) / 12 == pytest.approx(5.0717, abs=2e-3)
    assert problem.evaluate(theta0, 1e-3).value / 6 == pytest.approx(21.8106, rel=1e-3)
    found = {}
    for name, rule in (
        ("maid", vi.MAID(0.1, 0.1, 0.06, line_search="maid", budget=600)),
        ("corrected", vi.MAID(0.1, 0.1, 0.06, refine=0.5, budget=600)),
        ("hoag", vi.HOAG(0.1, "geometric", budget=600)),
    ):
        state = next(s for s in rule.states(problem, theta0) if s.why)
        found[name] = problem.evaluate(state.best.theta, 1e-2).value / 6
    assert found["maid"] <= 0.89 * found["hoag"]
    assert found["corrected"] <= found["maid"]


def test_problem_d_certified() -> None:
    """§13-8: ω-test on, within 30 % of 300/883/1423 iterations to gaps of 1e-1/1e-2/1e-3 of max(f*, 1); monotone."""
    family, pairs, theta0, optimum = reference.problem_d()
    problem = bilevel((family, pairs, theta0, optimum))
    assert problem(theta0) == pytest.approx(3.609, abs=5e-4)
    assert optimum.loss == pytest.approx(0.0050, abs=5e-5)
    rule = vi.MAID(
        epsilon=0.1,
        delta=0.1,
        alpha=1 / 4,
        eta=0.5,
        armijo=0.1,
        relax=1.1,
        cap=None,
        certified=True,
        line_search="maid",
    )
    reached, _, losses = work_to(problem, rule, theta0, optimum.loss, (1e-1, 1e-2, 1e-3), 3000, size=1.0)
    for gap, published in ((1e-1, 300), (1e-2, 883), (1e-3, 1423)):
        assert reached[gap] <= 1.3 * published
    assert sorted(losses, reverse=True) == losses


def test_problem_a_by_hoag() -> None:
    """§13-9: 1e-3 within 8000 iterations (measured 1342); afterwards it need not stay there."""
    made = reference.problem_a()
    reached, _, _ = work_to(bilevel(made), vi.HOAG(0.1, "quadratic"), made[2], made[3].loss, (1e-3,), 8000)
    assert reached[1e-3] <= 8000
