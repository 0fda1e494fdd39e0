"""The dual of total variation that takes up what x ≥ 0 forbids: nearer to feasible, in its balls, a valid bound."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv import certificate_repair
from varinv.certificate_repair import can_repair, repaired

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (5, 6)
BLUR = vi.Blur(SHAPE, np.ones((3, 3)) / 9)
TRUTH = np.pad(np.ones((2, 3)), ((1, 2), (2, 1)))
Y = BLUR(TRUTH) + 0.05 * rand(np, SHAPE, 1)
WEIGHT = 0.5 + rand(np, SHAPE, 2, kind="non-negative")


def variation(weight: Any) -> Any:
    return 0.02 * vi.TV(SHAPE, weight=weight)


def shortfall(term: Any, s: np.ndarray, v: np.ndarray) -> float:
    return 0.5 * float(np.sum(np.minimum(v + term.K.adjoint(s), 0) ** 2))


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["number", "image"])
def test_the_field_stays_in_its_balls_and_comes_near_the_best(weight: Any, monkeypatch: Any) -> None:
    term, D = variation(weight), dense(vi.Gradient(SHAPE))
    v, start = 0.02 * rand(np, SHAPE, 3), term.f.feasible(0.02 * rand(np, (2, *SHAPE), 4))
    radius = (0.02 * (np.ones(SHAPE) if weight is None else weight)).reshape(-1)
    q = cp.Variable((2, 30))
    missing = cp.sum_squares(cp.neg(v.reshape(-1) + D.T @ cp.reshape(q, (60,), order="C"))) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = cp.Problem(cp.Minimize(1e4 * missing), [cp.norm(q, axis=0) <= radius]).solve(solver=cp.CLARABEL) / 1e4
    s = repaired(term, start, v)
    assert np.all(np.sqrt(np.sum(s**2, axis=0)).reshape(-1) <= radius * (1 + 1e-14))
    # Beck & Teboulle (2009), Theorem 4.4: 2L‖s⁰ − s*‖²/(k + 1)² above the best after k steps; L = ‖D‖² ≤ 8, and two
    # points of the balls are at most 2‖radius‖ apart
    slack = 2 * 8 * 4 * float(radius @ radius) / 31**2
    assert best - 1e-9 <= shortfall(term, s, v) <= best + slack
    monkeypatch.setattr(certificate_repair, "STEPS", 3000)
    assert shortfall(term, repaired(term, start, v), v) == pytest.approx(
        best, rel=1e-3, abs=1e-9
    )  # rate of the theorem


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["number", "image"])
def test_the_steps_are_those_of_beck_and_teboulle(weight: Any) -> None:
    """Their FISTA with a constant step 1/‖D‖², written with matrices."""
    term, D = variation(weight), dense(vi.Gradient(SHAPE))
    v, start = 0.02 * rand(np, SHAPE, 3), term.f.feasible(0.02 * rand(np, (2, *SHAPE), 4))
    radius = (0.02 * (np.ones(SHAPE) if weight is None else weight)).reshape(-1)
    x = y = start.reshape(-1)
    t = 1.0
    for _ in range(certificate_repair.STEPS):
        z = (y - D @ np.minimum(v.reshape(-1) + D.T @ y, 0) / term.K.norm() ** 2).reshape(2, -1)
        old, x = x, (z / np.maximum(1, np.linalg.norm(z, axis=0) / radius)).reshape(-1)
        old_t, t = t, (1 + np.sqrt(1 + 4 * t**2)) / 2
        y = x + (old_t - 1) / t * (x - old)
    # rounding of 30 steps, each 1e-16 of numbers of 0.03; one momentum or step that differs makes 1e-4
    np.testing.assert_allclose(repaired(term, start, v).reshape(-1), x, rtol=0, atol=1e-14)


def test_only_what_ends_at_the_border_is_repaired() -> None:
    assert can_repair(vi.TV(SHAPE))
    assert not can_repair(vi.TV(SHAPE, isotropic=False))
    assert not can_repair(vi.TV(SHAPE, smoothing=0.1))
    assert not can_repair(vi.L21() @ vi.Gradient(SHAPE, boundary="periodic"))
    assert not can_repair(vi.TV((1, 1)))


def test_a_single_pixel_has_a_certificate() -> None:
    """Its total variation is 0, the gradient's norm too: ½(x − 2)² over x ≥ 0."""
    problem = vi.L2Squared(np.full((1, 1), 2.0)) @ vi.Identity((1, 1)) + vi.TV((1, 1)) + vi.NonNegative()
    result = vi.solve(problem)
    assert result.x[0, 0] == pytest.approx(2, rel=1e-4)


def test_bounds_hold_at_every_iterate_and_for_any_duals() -> None:
    problem = vi.L2Squared(Y) @ BLUR + variation(None) + vi.NonNegative()
    far = next(itertools.islice(vi.AdaptiveChambollePock().states(problem), 20000, None))
    optimum = problem(far.x)
    for state in itertools.islice(vi.AdaptiveChambollePock().states(problem), 1, 100):
        assert problem.gap(state.x, state.y).dual <= optimum * (1 + 1e-12)
    for seed in range(30):
        duals = tuple(0.1 * rand(np, t.K.codomain, seed) for t in problem.coupled)
        assert problem.gap(far.x, duals).dual <= optimum * (1 + 1e-12)


def test_deblurring_is_proved_early(monkeypatch: Any) -> None:
    """A blur sees fast changes badly, so that v is far from its limit there: without the repair, less is proved."""
    shape = (48, 48)
    t = np.arange(9) - 4.0
    B = vi.Blur(shape, np.exp(-(t[:, None] ** 2 + t**2) / 8) / 25)
    image = np.kron(rand(np, (6, 6), 1, kind="non-negative"), np.ones((8, 8)))
    y = B(image) + 0.01 * rand(np, shape, 2)
    problem = vi.L2Squared(y) @ B + 0.003 * vi.TV(shape) + vi.NonNegative()
    result = vi.solve(problem, stop=vi.gap(1e-2) | vi.iterations(4000))
    assert result.gap <= 1e-2
    monkeypatch.setattr(certificate_repair, "STEPS", 0)
    assert problem.gap(result.x, result.state.y).relative > 2e-2  # at least twice as far: the repair is worth its price
