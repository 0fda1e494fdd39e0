"""The discrepancy rule: roots known in closed form, few solves, and a status where there is no root."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq

import varinv as vi
from varinv.learning.discrepancy import find_level

pytestmark = pytest.mark.usefixtures("one_thread")


def sigmoid(theta):
    """Residual of a Tikhonov problem with one singular value: increasing, flat at both ends."""
    return 2 / (1 + math.exp(-theta))


@pytest.mark.parametrize("start", [-30.0, -1.0, 0.0, 8.0, 30.0])
@pytest.mark.parametrize("target", [1e-8, 0.3, 1.0, 1.98])
def test_level_of_a_sigmoid(start, target):
    found = find_level(sigmoid, target, start=start, bounds=(-40.0, 40.0), tol=1e-6)
    assert found.found
    assert found.theta == pytest.approx(math.log(target / (2 - target)), abs=2e-4)  # slope ≥ 0.01 there
    assert len(found.path) <= 25  # bisection of 60 units to 1e-4 alone would take 20 beyond the bracket
    assert found.value == dict(found.path)[found.theta] == sigmoid(found.theta)


def test_level_needs_few_evaluations_near_the_root():
    assert len(find_level(sigmoid, 1.5, start=0.0, bounds=(-40.0, 40.0), tol=1e-3).path) <= 6


def test_level_says_why_there_is_none():
    for f, target, text in (
        (lambda t: 2.0 + sigmoid(t), 1.0, "no root: the residual stays above the target up to log λ = -40"),
        (sigmoid, 3.0, "no root: the residual stays below the target up to log λ = 40; the noise is smaller"),
        (lambda t: 0.5 if t < 1 else 2.0, 1.0, "jumps across the target at log λ = 1"),
        (lambda t: 1.5 - 0.1 * t if t < 0 else 1.5, 1.0, "the residual falls with λ"),
    ):
        found = find_level(f, target, start=0.0, bounds=(-40.0, 40.0), most=80)
        assert not found.found
        assert text in found.why
    few = find_level(sigmoid, 1.5, start=-20.0, bounds=(-40.0, 40.0), tol=1e-9, most=4)
    assert not few.found
    assert len(few.path) == 4
    with pytest.raises(ValueError, match="the residual at log λ = 0 is nan; the solve has failed"):
        find_level(lambda t: math.nan, 1.0, start=0.0, bounds=(-1.0, 1.0))


def ridge():
    """A = diag(a), ridge λ: x = a y/(a² + λ), so that the residual is √Σ (λ y/(a² + λ))²."""
    rng = np.random.default_rng(0)
    a, y = rng.uniform(0.1, 2, 12), rng.standard_normal(12)
    return vi.Diagonal(a), y, lambda lam: float(np.linalg.norm(lam * y / (a**2 + lam)))


@pytest.mark.parametrize("tau", [1.0, 1.3])
def test_ridge_against_a_scalar_equation(tau):
    A, y, residual = ridge()
    exact = math.exp(brentq(lambda t: residual(math.exp(t)) - tau * 1.1, -30, 30))
    found = vi.discrepancy(
        lambda lam: vi.L2Squared(y) @ A + lam * vi.L2Squared(),
        1.1,
        tau=tau,
        tol=1e-5,
        stop=vi.residual(1e-9) | vi.iterations(1000),
    )
    assert found.found
    assert found.lam == pytest.approx(exact, rel=1e-3)  # first-order solves, one singular value is 0.1
    assert found.target == pytest.approx(1.1 * tau)
    assert found.residual == pytest.approx(np.linalg.norm(A(found.x) - y), rel=1e-12)
    assert found.solves == len(found.path) <= 14
    assert f"{found.solves} solves" in repr(found)


def test_penalised_at_its_weight_is_the_constrained_solution():
    """min TV with ‖x − y‖ ≤ r and min ½‖x − y‖² + λ TV have one solution where the residual is r."""
    y = np.add.outer(np.arange(8.0) > 3, np.random.default_rng(1).normal(0, 0.2, 9))
    found = vi.discrepancy(
        lambda lam: vi.L2Squared(y) + lam * vi.TV(y.shape), 1.0, tau=1.2, tol=1e-5, stop=vi.iterations(1500)
    )
    exact = vi.solve(vi.L2Ball(y, 1.2) + vi.TV(y.shape), stop=vi.iterations(3000)).x
    assert np.abs(found.x - exact).max() <= 1e-3  # Algorithm 2: the error falls like 1/k


def test_warm_starts_save_iterations():
    """Each solve begins at the image of the nearest weight: the first problem is dear, its neighbours are not."""
    y = np.random.default_rng(2).standard_normal((6, 7))
    begun = []

    class Counted(vi.ChambollePock):
        def init(self, problem, x):
            begun.append(x)
            return super().init(problem, x)

    vi.ChambollePock.kinds.remove(Counted)
    found = vi.discrepancy(lambda lam: vi.L2Squared(y) + lam * vi.TV(y.shape), 3.0, solver=Counted())
    assert found.found
    assert not begun[0].any()
    assert all(x.any() for x in begun[1:])


def test_status_where_no_weight_fits():
    y = np.array([[1.0, 2.0], [3.0, 5.0]])
    too_much = vi.discrepancy(lambda lam: vi.L2Squared(y) + lam * vi.TV(y.shape), 50.0, bounds=(1e-4, 1e4))
    assert not too_much.found
    assert "stays below the target" in too_much.why
    assert np.allclose(too_much.x, y.mean(), atol=1e-3)  # the nearest there is: the constant image, at any large weight
    unreachable = vi.discrepancy(
        lambda lam: vi.L2Squared(y) @ vi.Diagonal(0 * y) + vi.L2Squared(0, 1.0), 1.0, bounds=(1e-4, 1e4)
    )
    assert "stays above the target" in unreachable.why


def test_bad_input():
    y = np.ones(3)

    def at(lam):
        return vi.L2Squared(y) + lam * vi.L1()

    for arguments, text in (
        ({"noise": 0.0}, "discrepancy: noise must be greater than 0, got 0"),
        ({"noise": math.nan}, "noise must be finite"),
        ({"tau": 0.5}, "tau must be at least 1, got 0.5"),
        ({"bounds": (2.0, 1.0)}, r"bounds must be increasing, got \(2.0, 1.0\)"),
        ({"bounds": (0.0, 1.0)}, "bounds must be greater than 0, got 0"),
        ({"start": -1.0}, "start must be greater than 0, got -1"),
        ({"most": 0}, "most must be at least 1, got 0"),
        ({"problem_at": lambda lam: 3.0}, r"problem_at\(lam\) must return a Problem"),
        ({"problem_at": lambda lam: vi.KullbackLeibler(y) + lam * vi.L1()}, "has no L2Squared\\(y\\) with data"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.discrepancy(**({"problem_at": at, "noise": 1.0} | arguments))
    own = vi.discrepancy(
        lambda lam: vi.KullbackLeibler(y) + lam * vi.L1(), 0.5, tau=1.0, residual=lambda x: np.linalg.norm(x - y)
    )
    assert own.found
