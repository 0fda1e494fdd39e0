"""Several parameters by the gradient of Stein's estimate: closed forms, weights, differences, and every status."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from scipy.optimize import minimize

import varinv as vi
from varinv.learning import oracle, several
from varinv.learning.losses import unsupervised

pytestmark = pytest.mark.usefixtures("one_thread")

rng = np.random.default_rng(1)
LEFT = np.arange(40) < 20
Y = rng.standard_normal((8, 40)) * np.where(LEFT, 0.6, 2.0) + 0.5 * rng.standard_normal((8, 40))
GAIN = rng.uniform(0.5, 1.5, (8, 40))
W = rng.uniform(0.5, 4.0, (8, 40))
W[0, :5] = 0.0


def halves(theta: Any) -> np.ndarray:
    return np.where(LEFT, math.exp(theta[0]), math.exp(theta[1])) + np.zeros((8, 40))


def ridges(theta: Any, y: Any) -> Any:
    """½‖x − y‖² + ½ Σ λ x², λ = e^θ₀ on the left half and e^θ₁ on the right."""
    return vi.L2Squared(0 * y, halves(theta)) + vi.L2Squared(y)  # the data are the term of y, not the first


def accurate(theta: Any, y: Any) -> Any:
    """The same behind an operator, measurements of different accuracy."""
    return vi.L2Squared(y, W) @ vi.Diagonal(GAIN) + vi.L2Squared(0 * y, halves(theta))


def sure(theta: Any, w: Any, a: Any, sigma: float) -> tuple[float, float]:
    """(SURE, df) of whitened data in closed form: S is diagonal, so that signs give its trace exactly."""
    s = w * a**2 / (w * a**2 + halves(theta))
    risk = np.sum(w * ((1 - s) * Y) ** 2) - np.sum(w + 0 * s > 0) * sigma**2 + 2 * sigma**2 * np.sum(s)
    return float(risk), float(np.sum(s))


def test_each_half_finds_its_minimum() -> None:
    chosen = vi.choose(ridges, Y, vi.SURE(0.5), bounds=[(-5, 5), (-5, 5)], theta0=[1.0, -4.0])
    for theta, half in zip(chosen.theta, (Y[:, :20], Y[:, 20:]), strict=True):
        mean = np.mean(half**2)  # s = 1/(1+λ) minimises (1−s)² mean + 2σ² s: s = 1 − σ²/mean
        assert math.exp(theta) == pytest.approx(0.25 / (mean - 0.25), rel=0.02)  # the gradient is zero to 1e-3
    assert chosen.ok
    assert chosen.summary().count("exp(theta[") == 2
    for p in chosen.curve:
        risk, df = sure(p.theta, 1.0, 1.0, 0.5)
        assert p.criterion == pytest.approx(risk, rel=1e-3, abs=0.1)  # of mσ² = 80
        assert p.df == pytest.approx(df, rel=1e-3)


def test_an_array_of_weights_whitens() -> None:
    """σ is that of a measurement of weight 1, and weight 0 is no data: as for one parameter."""
    chosen = vi.choose(accurate, Y, vi.SURE(0.7), bounds=[(-6, 5), (-6, 5)], mu=0.003)
    best = minimize(lambda t: sure(t, W, GAIN, 0.7)[0], [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-6})
    assert chosen.ok
    assert chosen.theta == pytest.approx(best.x, abs=0.03)  # 3 % of the parameters
    risk, df = sure(chosen.theta, W, GAIN, 0.7)
    last = chosen.curve[[p.theta for p in chosen.curve].index(tuple(chosen.theta))]
    assert (last.criterion, last.df) == (pytest.approx(risk, abs=0.01 * Y.size * 0.49), pytest.approx(df, rel=1e-3))
    x = W * GAIN * Y / (W * GAIN**2 + halves(chosen.theta))
    assert last.residual == pytest.approx(math.sqrt(np.sum(W * (GAIN * x - Y) ** 2)), rel=1e-3)


def test_weights_that_depend_on_theta_are_refused() -> None:
    def family(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y, W + math.exp(theta[0])) + vi.L2Squared()

    for bounds in ((-1, 1), [(-1, 1), (-1, 1)]):
        with pytest.raises(ValueError, match="says how accurate each measurement is and must not depend on theta"):
            vi.choose(family, Y, vi.SURE(0.5), bounds)


def test_a_weight_for_every_pixel() -> None:
    """36 parameters: the estimate falls from the best constant weight; other numbers of bounds are refused."""
    y = np.add.outer(np.arange(6.0) > 2, np.zeros(6)) + 0.2 * rng.standard_normal((6, 6))
    family = vi.families.WeightMap((6, 6), smoothing=0.05)
    flat = vi.choose(vi.families.TV((6, 6), smoothing=0.05), y, vi.SURE(0.2), bounds=(-6, 1))
    start = [float(flat.theta[0])] * 36
    chosen = vi.choose(family, y, vi.SURE(0.2), bounds=[(-7, 1)] * 36, theta0=start)
    assert chosen.theta.shape == (36,)
    assert chosen.value < chosen.curve[0].criterion
    assert chosen.status in ("ok", "at the end of the bounds")
    assert set(chosen.values) == {"least weight", "mean weight", "largest weight"}
    for bounds in ((-7, 1), [(-7, 1)], [(-7, 1)] * 6):
        with pytest.raises(ValueError, match="WeightMap has 36 parameters, got theta an array of shape"):
            vi.choose(family, y, vi.SURE(0.2), bounds=bounds)


@pytest.mark.parametrize(
    ("family", "bounds", "said"),
    [
        (
            vi.families.TV((3, 3)),
            (-8, 2),
            r"choose: TV has 2 parameters \(weight, smoothing\), so bounds must be a list of 2 pairs \(low, high\), "
            r"got 1, or fix one in the family, such as families.TV\(…, smoothing=0.01\)$",
        ),
        (vi.families.Sobolev((3, 3)), (-8, 2), r"2 parameters \(weight, order\), .* 2 pairs \(low, high\), got 1$"),
        (
            vi.families.TV((3, 3), smoothing=0.1),
            [(-8, 2), (-8, 2)],
            r"1 parameter \(weight\), so bounds must be 1 pair \(low, high\), got 2$",
        ),
    ],
)
def test_the_number_of_bounds_is_that_of_the_parameters(family: Any, bounds: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        vi.choose(family, np.ones((3, 3)), vi.SURE(0.5), bounds=bounds)


def test_the_gradient_is_that_of_the_estimate() -> None:
    """In closed form for ridges behind an operator; against differences where S depends on the data."""
    theta = np.array([-0.4, 0.7])
    data = unsupervised([Y], 0.5, vi.Diagonal(GAIN), 0)

    def family(theta: Any, y: Any) -> Any:
        return vi.L2Squared(y) @ vi.Diagonal(GAIN) + vi.L2Squared(0 * y, halves(theta))

    slope = oracle.Bilevel(family=family, cases=data, theta0=theta, mu=0.5).grad(theta)
    lam, a = halves(theta), GAIN**2
    each = 2 * lam**2 * a / (a + lam) ** 3 * Y**2 - 2 * 0.25 * lam * a / (a + lam) ** 2  # d/dθ of (1−s)² y² + 2σ² s
    assert slope == pytest.approx([np.sum(each[:, LEFT]), np.sum(each[:, ~LEFT])], rel=1e-6)

    blur = vi.Blur((9, 8), rng.uniform(0, 0.2, (3, 3)))
    tv = vi.families.TV((9, 8), A=blur, ridge=0.1)
    y = blur(rng.uniform(size=(9, 8))) + 0.1 * rng.standard_normal((9, 8))
    problem = oracle.Bilevel(family=tv, cases=unsupervised([y], 0.1, blur, 0), theta0=np.array([-3.0, -2.0]))
    at, h = problem.theta0, 1e-4
    slopes = [(problem(at + h * e) - problem(at - h * e)) / (2 * h) for e in np.eye(2)]
    assert problem.grad(at) == pytest.approx(slopes, rel=1e-5)


def test_learning_without_truths_asks_a_plain_family_for_its_operator() -> None:
    learned = vi.learn(accurate, [Y], np.zeros(2), noise=0.7, mu=0.003, stop=vi.iterations(8))
    assert learned.loss == pytest.approx(sure(learned.theta, W, GAIN, 0.7)[0], abs=0.01 * Y.size * 0.49)
    assert learned.loss < sure([0.0, 0.0], W, GAIN, 0.7)[0]


# -------------------------------------------------------------------------------------------------------- statuses


def test_both_ends_of_the_bounds_are_named() -> None:
    inside = vi.choose(ridges, Y, vi.SURE(0.5), bounds=[(-5, 5), (-5, 5)]).theta
    for low, high, name in (
        ((-5, inside[1] + 1), (5, 5), "theta[1]"),  # SURE falls towards smaller theta[1]
        ((-5, -5), (inside[0] - 1, 5), "theta[0]"),
    ):
        beyond = vi.choose(ridges, Y, vi.SURE(0.5), bounds=list(zip(low, high, strict=True)))
        assert beyond.status == "at the end of the bounds"
        assert name in beyond.why
        assert ("theta[0]" in beyond.why) != ("theta[1]" in beyond.why)
        assert min(abs(beyond.theta[int(name[6])] - b) for b in (low + high)) < 1e-9


def test_few_evaluations_are_a_search_that_did_not_converge(monkeypatch: Any) -> None:
    monkeypatch.setattr(several, "MOST", 2)
    chosen = vi.choose(ridges, Y, vi.SURE(0.5), bounds=[(-5, 5), (-5, 5)], theta0=[4.0, -4.0])
    assert chosen.status == "search did not converge"
    assert not chosen.ok


def test_failed_solves_are_a_status(monkeypatch: Any) -> None:
    family = vi.families.TV((8, 8))
    y = rng.standard_normal((8, 8))
    monkeypatch.setattr(oracle, "LOWER", 2)
    chosen = vi.choose(family, y, vi.SURE(0.5), bounds=[(-5, 2), (-5, 0)])
    assert chosen.status == "lower solve did not converge"
    assert "did not reach its accuracy" in chosen.why
    assert not all(p.reached for p in chosen.curve)


def test_the_best_evaluation_is_kept(monkeypatch: Any) -> None:
    """Whatever the search does last."""

    class Astray:
        success, message = True, ""

    def search(risk: Any, x: Any, **options: Any) -> Any:
        for theta in ([3.0, 3.0], [0.5, -2.0], [4.0, 0.0]):
            risk(np.array(theta))
        return Astray()

    monkeypatch.setattr(scipy.optimize, "minimize", search)
    chosen = vi.choose(ridges, Y, vi.SURE(0.5), bounds=[(-5, 5), (-5, 5)])
    assert chosen.theta.tolist() == [0.5, -2.0]
    assert chosen.value == min(p.criterion for p in chosen.curve)
    assert chosen.status == "search did not converge"  # the gradient is not small there, whatever the search says
