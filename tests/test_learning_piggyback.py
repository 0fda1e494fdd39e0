"""Piggyback: saddle problems and their adjoints by one primal–dual iteration, certificates, hypergradients, MAID."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

import varinv as vi
from varinv.learning.losses import supervised
from varinv.learning.lower import gradient, hessian, smoothness
from varinv.learning.oracle import Bilevel

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (7, 6)
BLUR = vi.Blur(SHAPE, np.outer([1.0, 2.0, 1.0], [1.0, 1.0, 0.5]) / 10)


def images(count: int) -> list[Any]:
    rng = np.random.default_rng(0)
    truths = [np.cumsum(rng.standard_normal(SHAPE), axis=0) / 3 for _ in range(count)]
    return [(x + 0.1 * rng.standard_normal(SHAPE), x) for x in truths]


def bilevel(family: Any, pairs: Any, theta0: Any, lower: Any) -> Bilevel:
    return Bilevel(family=family, cases=supervised(pairs, None), theta0=theta0, lower=lower)


def families() -> list[Any]:
    huber = vi.families.HuberTV
    taps = np.array([[[-1.0, 1.0]], [[0.5, -1.2]], [[0.3, -0.8]]]) + 0.0
    experts = vi.families.FieldOfExperts(SHAPE, (3, 1, 2))
    long = vi.families.FieldOfExperts(SHAPE, (1, 3, 1))
    return [
        pytest.param(huber(SHAPE), np.array([-2.0, -1.0]), id="isotropic"),
        pytest.param(huber(SHAPE, ridge=None, isotropic=False), np.array([-2.0, -1.5, -1.0]), id="anisotropic"),
        pytest.param(huber(SHAPE, BLUR, smoothing=0.2, ridge=0.3), np.array([-2.0]), id="blur"),
        pytest.param(experts, experts.theta0(taps, 0.2, 0.2), id="two-tap filters"),
        pytest.param(long, long.theta0(np.array([[[0.5], [-1.0], [0.6]]]), 0.2, 0.2), id="three-tap filter"),
    ]


@pytest.mark.parametrize(("family", "theta"), families())
def test_hypergradient_against_differences_and_conjugate_gradients(family: Any, theta: Any) -> None:
    """Relative 1e-5 to central differences of the loss, 1e-7 to the implicit hypergradient (both solved to 1e-10)."""
    pairs = images(2)
    problem, implicit = (bilevel(family, pairs, theta, lower) for lower in (vi.Piggyback(), None))
    found = problem.grad(theta)
    assert np.allclose(found, implicit.grad(theta), rtol=0, atol=1e-7 * np.abs(found).max())
    if hasattr(family, "gradient"):  # no |Dx| is near the kink at ν, where the derivative has two values
        nu = family._parameters(theta)[1]
        for sample in problem.evaluate(theta, 1e-8).samples:
            z = family.gradient(sample.solutions[0].x)
            n = np.sqrt((z * z).sum(axis=0)) if family.isotropic else abs(z)
            assert np.abs(n - nu).min() > 1e-4
            assert (n > nu).any()
            assert (n < nu).any()  # and both sides occur
    h = 1e-5  # Δx of some 1e-5: no |Dx| crosses ν; errors of h² and 1e-10/h
    differences = [(problem(theta + h * e) - problem(theta - h * e)) / (2 * h) for e in np.eye(theta.size)]
    assert np.abs(found - differences).max() <= 1e-5 * np.abs(differences).max()


@pytest.mark.parametrize(("family", "theta"), families()[:4])
def test_certificates_hold_and_every_step_is_counted(family: Any, theta: Any) -> None:
    """‖x − x̂‖ ≤ ‖∇h(x)‖/μ against L-BFGS and Newton's method; the residual of the adjoint against dense Hessians."""
    [(y, truth)] = images(1)
    problem = family(theta, y)
    mu, L, piggy = family.mu(theta), smoothness(problem), vi.Piggyback()
    best = minimize(
        lambda x: (problem(x.reshape(SHAPE)), gradient(problem, x.reshape(SHAPE)).ravel()),
        y.ravel(), jac=True, method="L-BFGS-B", options={"gtol": 1e-12, "ftol": 0.0, "maxiter": 5000},
    ).x.reshape(SHAPE)  # fmt: skip
    for _ in range(10):
        H = np.stack([problem.hvp(best, e.reshape(SHAPE)).ravel() for e in np.eye(best.size)])
        best = best - np.linalg.solve(H, gradient(problem, best).ravel()).reshape(SHAPE)
    assert np.linalg.norm(gradient(problem, best)) <= 1e-11
    for epsilon in (1.0, 1e-2, 1e-6):
        for x in (0 * y, 10 * y):
            low = piggy.minimise(problem, x, mu, L, epsilon, 5000)
            assert low.reached
            assert np.linalg.norm(low.x - best) <= low.error + 1e-11
            assert low.error <= epsilon
            assert np.allclose(low.slope, gradient(problem, low.x), atol=1e-14)
    late = piggy.minimise(problem, 10 * y, mu, L, 1e-12, 13)
    assert (late.reached, late.iterations <= 14) == (False, True)
    assert np.linalg.norm(late.x - best) <= late.error
    assert piggy.minimise(problem, y, mu, L, np.inf, 5000).iterations == 1
    b = best - truth
    found = piggy.solve_adjoint(problem, best, b, None, 1e-9, 5000)
    assert found.residual <= 1e-9
    assert np.allclose(found.q.ravel(), np.linalg.solve(H, b.ravel()), atol=1e-9 / mu)
    assert np.linalg.norm(hessian(problem, best)(found.q) - b) == pytest.approx(found.residual)
    assert piggy.solve_adjoint(problem, best, b, found.q, 1e-9, 5000).iterations == 1  # warm
    nothing = piggy.solve_adjoint(problem, best, b, found.q, 1.01 * np.linalg.norm(b), 5000)
    assert (nothing.iterations, nothing.q.any()) == (0, False)


def test_the_rate_is_that_of_algorithm_3() -> None:
    """‖x_k − x̂‖² falls like (1 + ν)^{−k} (Chambolle & Pock 2011, Theorem 3): a step that is wrong needs more."""
    family, theta, [(y, _)] = vi.families.HuberTV(SHAPE), np.array([-1.0, -5.0]), images(1)
    problem = family(theta, y)
    nu = 2 * np.sqrt(np.exp(-4.0) / 8)  # 2√(μ_g μ_f*)/‖D‖ with μ_f* = ν/λ
    low = vi.Piggyback().minimise(problem, 0 * y, 1.0, smoothness(problem), 1e-8, 5000)
    # from a gradient of ‖x₀ − x̂‖ L at most to 1e-8, and a tenth more for the looks
    bound = 2 * np.log(smoothness(problem) * np.linalg.norm(y) / 1e-8) / np.log(1 + nu)
    assert low.iterations <= 1.1 * bound + 11


def test_maid_with_piggyback_finds_the_best_weight_and_smoothing() -> None:
    """Within 1 % of the best of a grid (steps 0.5 and 1): the loss is flat along the smoothing."""
    pairs, family, theta0 = images(2), vi.families.HuberTV(SHAPE), np.array([-5.0, -1.0])
    implicit = bilevel(family, pairs, theta0, None)
    grid = [np.array([a, b]) for a in np.linspace(-4.5, -1.5, 7) for b in np.linspace(-4, 0, 5)]
    best = min(implicit.evaluate(t, 1e-3).value for t in grid)
    learned = vi.learn(family, pairs, theta0, vi.MAID(budget=1500), lower=vi.Piggyback())
    reached = implicit.evaluate(learned.theta, 1e-6).value
    assert reached <= 1.01 * best
    assert learned.certificate["lower"] <= reached <= learned.certificate["upper"]
    assert learned.certificate["certified"]
    assert reached < 0.9 * implicit.evaluate(theta0, 1e-3).value


def test_bad_input_of_piggyback() -> None:
    pairs, theta = images(1), np.array([-2.0, -1.0])

    def learn(family: Any, lower: Any = vi.Piggyback()) -> Any:  # noqa: B008
        return vi.learn(family, pairs, theta, lower=lower, mu=1.0)

    data, huber, D = vi.L2Squared(pairs[0][0]), vi.Huber(0.1), vi.Gradient(SHAPE)
    for call, error, text in (
        (lambda: learn(vi.families.HuberTV(SHAPE), 3), TypeError, r"learn: lower must be Piggyback\(\) or None, got 3"),
        (lambda: learn(lambda t, y: data @ BLUR + huber @ D), ValueError, "not strongly convex; add a ridge such as"),
        (lambda: learn(lambda t, y: data + vi.Huber(0.1, groups=True) + huber @ D), TypeError,
         "must be separable and have one prox together"),
        (lambda: vi.families.HuberTV(SHAPE, smoothing=0.0), ValueError, "smoothing must be greater than 0, got 0"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()
    with pytest.raises(TypeError, match="must be smooth .* take Huber or Charbonnier"):
        vi.Piggyback().minimise(data + vi.TV(SHAPE), pairs[0][0], 1.0, 9.0, 1e-3, 10)
