"""The lower level, its adjoint, hypergradients: what is proved of them holds, and is not far from what is true."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from learning_cases import bilevel, images

import varinv as vi
from varinv.learning import reference
from varinv.learning.lower import convexity, hessian, minimise, smoothness, solve_adjoint

pytestmark = pytest.mark.usefixtures("one_thread")


def newton(problem: Any, x: np.ndarray) -> np.ndarray:
    """The minimiser by damped Newton steps on dense Hessians: an optimum that does not come from the solver."""
    for _ in range(60):
        H = np.stack([problem.hvp(x, e.reshape(x.shape)).ravel() for e in np.eye(x.size)])
        d, t = np.linalg.solve(H, problem.grad(x).ravel()).reshape(x.shape), 1.0
        while problem(x - t * d) > problem(x) and t > 1e-3:
            t /= 2
        x = x - t * d
    return x


def test_the_lower_level_keeps_its_certificate() -> None:
    """‖x − x̂‖ ≤ ‖∇h(x)‖/μ, x̂ by Newton's method, at every accuracy and start; the rate is that of acceleration."""
    family = vi.families.TV((7, 6), ridge=0.2)
    (y, _), *_ = images(1)
    for theta in (np.array([-2.0, -2.0]), np.array([0.0, -4.0])):
        problem = family(theta, y)
        mu, L = family.mu(theta), smoothness(problem)
        assert mu == 1.2 == convexity(problem)
        best = newton(problem, y)
        assert np.linalg.norm(problem.grad(best)) <= 1e-12
        for epsilon, x in itertools.product((1.0, 1e-2, 1e-5), (0 * y, y, 10 * y)):
            low = minimise(problem, x, mu, L, epsilon, 5000)
            assert low.reached
            assert low.error <= epsilon
            assert np.linalg.norm(low.x - best) <= low.error
            assert np.allclose(low.slope, problem.grad(low.x), atol=1e-13)
            # ‖x_k − x̂‖² ≤ (1 − √κ)^k (L/μ)(1 + √κ)‖x_0 − x̂‖², then ‖∇h‖ ≤ L‖x − x̂‖
            kappa, far = mu / L, np.linalg.norm(x - best)
            bound = (
                2 * math.log(max(L / mu * math.sqrt(L / mu * 2) * far / epsilon, 1)) / -math.log(1 - math.sqrt(kappa))
            )
            assert low.iterations <= bound + 2
        late = minimise(problem, 10 * y, mu, L, 1e-8, 7)
        assert (late.iterations, late.reached) == (7, False)
        assert np.linalg.norm(late.x - best) <= late.error  # valid although not reached


def test_rounding_ends_the_lower_level_early() -> None:
    family = vi.families.TV((7, 6))
    (y, _), *_ = images(1)
    problem = family(np.array([-2.0, -2.0]), y.astype("f4"))
    low = minimise(problem, 0 * y.astype("f4"), 1.0, smoothness(problem), 1e-12, 100000)
    assert not low.reached
    assert low.iterations < 1000  # 100 + 10/√κ after the last gain
    assert low.error < 1e-4  # and float32 has given what it has
    assert low.x.dtype == np.float32


def test_the_adjoint_is_zero_where_nothing_is_asked() -> None:
    family = vi.families.TV((7, 6))
    (y, x), *_ = images(1)
    problem = family(np.array([-2.0, -2.0]), y)
    b = x - y
    H = hessian(problem, y)
    found = solve_adjoint(problem, y, b, 5 * y, 1.01 * np.linalg.norm(b), 100)  # the start must not come back
    assert found.iterations == 0
    assert not found.q.any()
    assert found.residual == pytest.approx(np.linalg.norm(b))
    found = solve_adjoint(problem, y, b, None, 1e-9, 1000)
    assert np.linalg.norm(H(found.q) - b) <= 1e-9
    assert solve_adjoint(problem, y, b, found.q, 1e-9, 1000).iterations == 0  # warm


def test_bounds_enclose_the_loss_and_omega_the_error() -> None:
    """U_low ≤ f ≤ U_up, |f − f̂| ≤ slack + bend, ‖z − ∇f‖ ≤ ω on 200 draws of (θ, ε, δ) in A (§13-2) and D."""
    tv = vi.families.TV(vi.Gradient((5, 30), axes=(1,)), smoothing=0.05, ridge=None, isotropic=False)
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.uniform(size=(5, 6)), 5, axis=1)
    family, pairs, theta0, _ = reference.problem_d()
    tightest: dict[str, list[float]] = {"omega": [], "corrected": []}
    for problem, centre in (
        (bilevel(tv, [(truth + 0.1 * rng.standard_normal(truth.shape), truth)], np.zeros(2)), np.array([-1.0, -1.0])),
        (bilevel(family, pairs, theta0), theta0),
    ):
        for _ in range(100):
            theta = centre + rng.standard_normal(centre.shape)
            exact = problem.evaluate(theta, 1e-10, 1e-10)
            epsilon, delta = 10 ** rng.uniform(-4, 0, 2)
            rough = problem.evaluate(theta, epsilon, delta)
            rounding = 1e-9 * exact.value
            assert rough.lower <= exact.value + rounding
            assert rough.upper >= exact.value - rounding
            assert abs(rough.corrected - exact.value) <= rough.slack + rough.bend + rounding
            error = np.linalg.norm(rough.slope - exact.slope)
            assert error <= rough.omega + 1e-7
            tightest["omega"].append(error / rough.omega)
            tightest["corrected"].append(abs(rough.corrected - exact.value) / (rough.slack + rough.bend))
    assert max(tightest["omega"]) >= 1e-3  # bounds that something comes near; the paper's own are 10 to 1e4 above
    assert max(tightest["corrected"]) >= 1e-3


def test_central_differences_in_theta_up_to_16_parameters() -> None:
    tv = vi.families.TV((7, 6))
    pairs = images(2)
    theta = np.array([-2.0, -2.5])
    by_hand = bilevel(tv, pairs, theta).grad(theta)
    assert np.allclose(bilevel(lambda t, y: tv(t, y), pairs, theta).grad(theta), by_hand, rtol=1e-6)

    def many(t: Any, y: Any) -> Any:
        return tv(t[:2], y)

    assert np.allclose(bilevel(many, pairs, np.full(16, -2.0)).grad(np.full(16, -2.0))[2:], 0, atol=1e-12)
    with pytest.raises(TypeError, match=r"has 17 parameters; above 16 it needs a method sensitivity\(theta, y, x, q\)"):
        bilevel(many, pairs, np.full(17, -2.0)).grad(np.full(17, -2.0))


def test_a_penalty_on_theta_is_added() -> None:
    theta = np.array([-2.0, -2.5])
    plain = bilevel(vi.families.TV((7, 6)), images(1), theta)
    added = bilevel(vi.families.TV((7, 6)), images(1), theta, penalty=vi.L2Squared(np.array([-1.0, 0.0]), 0.3))
    assert added(theta) == pytest.approx(plain(theta) + 0.15 * (1 + 6.25))
    assert np.allclose(added.grad(theta), plain.grad(theta) + 0.3 * np.array([-1.0, -2.5]))
