"""Piggyback: saddle problems and their adjoints by one primal–dual iteration, certificates, hypergradients, MAID."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from learning_cases import bilevel, images
from scipy.optimize import minimize, minimize_scalar

import varinv as vi
from varinv.learning import reference
from varinv.learning.lower import gradient, hessian, smoothness

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (7, 6)
BLUR = vi.Blur(SHAPE, np.outer([1.0, 2.0, 1.0], [1.0, 1.0, 0.5]) / 10)


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
    pairs = images(2 if theta.size < 10 else 1)
    problem, implicit = (bilevel(family, pairs, theta, lower=lower) for lower in (vi.Piggyback(), None))
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
            # with y = ∇f(Kx) the gap of g = ½‖x − a‖² proves exactly that: √(2 gap/μ), and no less otherwise
            if family.mu(theta) == 1.0 and epsilon > 1e-6 and isinstance(family, vi.families.HuberTV):
                gap = problem.gap(low.x, tuple(t.f.grad(t.K.forward(low.x)) for t in problem.coupled))
                assert low.error == pytest.approx(np.sqrt(2 * (gap.primal - gap.dual) / mu), rel=1e-6)
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


@pytest.mark.parametrize("isotropic", [True, False])
def test_ten_iterations_against_dense_matrices(isotropic: bool) -> None:
    """Algorithm 3 of Chambolle & Pock (2011) and its derivative, written out with D, ∇²f and inverses as matrices."""
    [(y, truth)] = images(1)
    family, theta = vi.families.HuberTV(SHAPE, ridge=0.5, isotropic=isotropic), np.array([-1.0, -1.5])
    problem, (weight, delta), n = family(theta, y), np.exp(theta), y.size
    D = np.stack([family.gradient.forward(e.reshape(SHAPE)).ravel() for e in np.eye(n)], axis=1)
    mu, f = 1.5, delta / weight  # of g = ½‖x − y‖² + ¼‖x‖², of f*
    nu = 2 * np.sqrt(mu * f) / family.gradient.norm()
    tau, sigma = nu / (2 * mu), nu / (2 * f)

    def lengths(z: Any) -> Any:
        return np.tile(np.hypot(*z.reshape(2, -1)), 2) if isotropic else abs(z)

    def slope(z: Any) -> Any:
        return weight * z / np.maximum(lengths(z), delta)

    x = x_bar = 0 * y.ravel()
    p = slope(D @ x)
    for _ in range(10):
        v = (p + sigma * D @ x_bar) / (1 + sigma * f)  # prox of σ(f/2)‖·‖² in the ball of radius λ
        p = v / np.maximum(lengths(v) / weight, 1)
        old, x = x, (x - tau * (D.T @ p) + tau * y.ravel()) / (1 + tau * mu)
        x_bar = x + (x - old) / (1 + nu)
    low = vi.Piggyback().minimise(problem, 0 * y, mu, smoothness(problem), 0.0, 12)
    assert low.iterations == 12  # the gradient at the start, ten steps, the gradient at the end
    assert np.allclose(low.x.ravel(), x, atol=1e-13)

    z, h = D @ x, 1e-6
    H = np.stack([(slope(z + h * e) - slope(z - h * e)) / (2 * h) for e in np.eye(z.size)], axis=1)
    P = H @ np.linalg.inv(sigma * np.eye(z.size) + H)
    X = X_bar = 0 * x  # X is −q
    Y, b = 0 * p, (truth - y).ravel()
    for _ in range(10):
        Y = P @ (Y + sigma * D @ X_bar)
        old, X = X, (X - tau * (D.T @ Y) - tau * b) / (1 + tau * mu)
        X_bar = X + (X - old) / (1 + nu)
    found = vi.Piggyback().solve_adjoint(problem, low.x, truth - y, None, 1e-12, 12)
    assert found.iterations == 12
    assert np.allclose(-found.q.ravel(), X, atol=1e-8)  # h² and rounding/h in H


def test_what_is_returned_is_the_best_point_seen() -> None:
    """Where rounding ends the progress, more iterations never give a larger error."""
    [(y, truth)] = images(1)
    family, theta = vi.families.HuberTV(SHAPE), np.array([-1.0, -1.5])
    problem, mosts = family(theta, y), range(12, 600, 33)  # every third look
    L = smoothness(problem)
    errors = [vi.Piggyback().minimise(problem, y, 1.0, L, 0.0, m).error for m in mosts]
    residuals = [vi.Piggyback().solve_adjoint(problem, truth, y, None, 0.0, m).residual for m in mosts]
    assert max(np.diff(errors)) <= 0
    assert max(np.diff(residuals)) <= 0
    assert errors[-1] <= 1e-13 >= residuals[-1] / 10
    endless = vi.Piggyback().minimise(problem, y, 1.0, L, 0.0, 10**6)
    assert endless.iterations < 10**4  # it sees that nothing is gained
    assert not endless.reached


PHOTOGRAPHS = reference.photographs(24)[:2]


def loss_by_scipy(noisy: Any, log_weight: float, nu: float) -> float:
    """½‖x̂ − x*‖² for Huber's total variation written out in NumPy and minimised by L-BFGS: no code of ours."""
    weight = np.exp(log_weight)

    def objective(flat: Any) -> Any:
        x = flat.reshape(noisy.shape)
        dy, dx = np.diff(x, axis=1, append=x[:, -1:]), np.diff(x, axis=2, append=x[:, :, -1:])
        n = np.hypot(dy, dx)
        value = 0.5 * ((x - noisy) ** 2).sum() + weight * np.where(n < nu, n * n / (2 * nu), n - nu / 2).sum()
        slope, wy, wx = x - noisy, weight * dy / np.maximum(n, nu), weight * dx / np.maximum(n, nu)
        slope = slope - wy - wx
        slope[:, 1:] += wy[:, :-1]
        slope[:, :, 1:] += wx[:, :, :-1]
        return value, slope.ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-9, "ftol": 0.0, "maxcor": 30}
    x = minimize(objective, noisy.ravel(), jac=True, method="L-BFGS-B", options=options).x
    return 0.5 * float(((x.reshape(noisy.shape) - PHOTOGRAPHS) ** 2).sum())


def test_maid_with_piggyback_learns_the_weight() -> None:
    """From weights 80 times too small and 37 times too large to the optimum of a search that shares no code."""
    noisy = PHOTOGRAPHS + 0.1 * np.random.default_rng(0).standard_normal(PHOTOGRAPHS.shape)
    family = vi.families.HuberTV(vi.Gradient(noisy.shape, axes=(1, 2)), smoothing=0.02)
    best = minimize_scalar(lambda t: loss_by_scipy(noisy, t, 0.02), bracket=(-3, -2), options={"xtol": 1e-5})
    pairs, implicit = [(noisy, PHOTOGRAPHS)], bilevel(family, [(noisy, PHOTOGRAPHS)], np.zeros(1))
    # the losses of the starts over that of the optimum: the weight matters
    for start, before, line_search in ((-7.0, 3.7, "corrected"), (1.0, 22.0, "maid")):
        assert loss_by_scipy(noisy, start, 0.02) >= before * best.fun
        rule = vi.MAID(line_search=line_search, budget=5000)
        learned = vi.learn(
            family, pairs, [start], rule, lower=vi.Piggyback(),
            observe=lambda s: {"true": implicit.evaluate(s.x, 1e-6).value},
        )  # fmt: skip
        assert learned.theta[0] == pytest.approx(best.x, abs=1e-3)  # the search's own accuracy is some 1e-4
        assert learned.loss == pytest.approx(best.fun, rel=1e-6)  # second order in that
        assert learned.certificate["certified"]
        true = [row["true"] for row in learned.history]  # known to 1e-6 ‖∇g‖, 2e-6 at the end
        assert max(np.diff(true)) <= 4e-6
        for row in learned.history[-3:]:
            assert row["lower"] - 2e-6 <= row["true"] <= row["upper"] + 2e-6
        # the same rule, and solvers of the same order: measured 1.1 times the work of gradients and CG
        assert learned.certificate["work"] <= 1.6 * vi.learn(family, pairs, [start], rule).certificate["work"]


def test_maid_with_piggyback_learns_weight_and_smoothing() -> None:
    """Judged by the loss, as the smoothing is hardly determined: BFGS on accurate losses, within 1e-3."""
    noisy = PHOTOGRAPHS + 0.1 * np.random.default_rng(0).standard_normal(PHOTOGRAPHS.shape)
    family, theta0 = vi.families.HuberTV(vi.Gradient(noisy.shape, axes=(1, 2))), np.array([-7.0, -5.0])
    implicit = bilevel(family, [(noisy, PHOTOGRAPHS)], theta0)
    found = minimize(
        lambda t: (lambda e: (e.value, e.slope))(implicit.evaluate(t, 1e-6, 1e-6)),
        [-3.0, -3.5], jac=True, method="BFGS", options={"gtol": 1e-4},
    )  # fmt: skip
    learned = vi.learn(family, [(noisy, PHOTOGRAPHS)], theta0, vi.MAID(budget=1500), lower=vi.Piggyback())
    assert implicit.evaluate(learned.theta, 1e-6).value <= 1.001 * found.fun  # measured 1.00007; the start: 3.8 times
    assert learned.theta[0] == pytest.approx(found.x[0], abs=0.03)  # 3 % of the weight


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
    with pytest.raises(TypeError, match=r"must be smooth .* take Huber or Charbonnier"):
        vi.Piggyback().minimise(data + vi.TV(SHAPE), pairs[0][0], 1.0, 9.0, 1e-3, 10)
