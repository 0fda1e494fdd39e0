"""Families: every sensitivity and hypergradient against differences, for every A; constants; data of regressions."""

from __future__ import annotations

import gzip
import math
import pickle
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.functionals.cross_entropy import CrossEntropy
from varinv.learning import reference
from varinv.learning.losses import supervised
from varinv.learning.lower import gradient, smoothness
from varinv.learning.oracle import Bilevel
from varinv.linalg import dot

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (8, 6)
RNG = np.random.default_rng(0)
RADON = vi.Radon(SHAPE, vi.ParallelBeam(np.linspace(0, math.pi, 7, endpoint=False), 11))
BLUR = vi.Blur(SHAPE, RNG.uniform(size=(3, 3)) / 5)
TAPS = RNG.standard_normal((2, 3, 2)) / 2
GUIDE = np.cumsum(RNG.uniform(size=SHAPE), axis=0) / 4


def cases() -> list[Any]:
    """(family, theta, y): every family, with A = I, blur and Radon where it takes an operator."""
    found: list[Any] = []
    for name, A, ridge in (("identity", None, 0.0), ("blur", BLUR, 0.3), ("radon", RADON, 0.3)):
        y = RNG.standard_normal(SHAPE if A is None else A.codomain)
        tv = vi.families.TV(SHAPE, A, ridge=None if A is not None else 0.0)
        experts = vi.families.FieldOfExperts(SHAPE, TAPS.shape, A, ridge)
        for family, theta in (
            (tv, tv.theta(weight=0.3, smoothing=0.2, **({"ridge": 0.3} if A is not None else {}))),
            (vi.families.TV(SHAPE, A, smoothing=0.3, ridge=ridge, isotropic=False), np.array([-1.0])),
            (vi.families.HuberTV(SHAPE, A, ridge=ridge), np.array([-1.0, -0.5])),
            (vi.families.WeightMap(SHAPE, (4, 2), A, 0.2, ridge), RNG.standard_normal(6) - 1),
            (vi.families.WeightMap(SHAPE, 1, A, 0.2, ridge), RNG.standard_normal(48) - 1),
            (experts, experts.theta0(TAPS, 0.3, 0.2) + 0.1 * RNG.standard_normal(17)),
            (vi.families.Graph(vi.GraphLaplacian(GUIDE, 2, 0.1, "maxdeg"), A, ridge), np.array([-1.0, -1.5, -2.0])),
            (vi.families.Sobolev(SHAPE, A, ridge, boundary="reflect"), np.array([-1.0, 1.3])),
            (vi.families.Sobolev(SHAPE, A, ridge, scale=2.0, axes=(1,)), np.array([-1.0, -0.7])),
        ):
            found.append(pytest.param(family, theta, y, id=f"{type(family).__name__}-{theta.size}-{name}"))
    Z, V = RNG.standard_normal((12, 4)), RNG.standard_normal((9, 4))
    labels = np.eye(3)[RNG.integers(0, 3, 12)]
    for per, p in (("all", 1), ("class", 3), ("coefficient", 12)):
        theta = RNG.standard_normal(p) - 1
        found.append(pytest.param(vi.families.Logistic(Z, V, 3, per), theta, labels, id=f"Logistic-{per}"))
    ridge = vi.families.Ridge(Z, V, 2, "class")
    found.append(pytest.param(ridge, np.array([-1.0, 0.0]), RNG.standard_normal((12, 2)), id="Ridge"))
    family, [(y, _)], theta0, _ = reference.problem_d()
    found.append(pytest.param(family, theta0, y, id="Quadratic"))
    return found


@pytest.mark.parametrize(("family", "theta", "y"), cases())
def test_sensitivity_against_central_differences(family: Any, theta: Any, y: Any) -> None:
    """§13-1: ∂θ⟨∇h(x, θ), q⟩ to 1e-5, at points that are no solutions; it pickles; μ and L enclose the Hessian."""
    rng = np.random.default_rng(1)
    problem = family(theta, y)
    x, q = rng.standard_normal(problem.domain), rng.standard_normal(problem.domain)
    h = 1e-5
    differences = [
        dot(gradient(family(theta + h * e, y), x) - gradient(family(theta - h * e, y), x), q) / (2 * h)
        for e in np.eye(theta.size)
    ]
    found = np.asarray(family.sensitivity(theta, y, x, q))
    scale = np.abs(differences).max()
    assert np.abs(found - differences).max() <= 1e-6 * scale  # asked 1e-5; measured up to 1e-8 (h² and rounding/h)
    again = pickle.loads(pickle.dumps(family))
    assert np.array_equal(np.asarray(again.sensitivity(theta, y, x, q)), found)
    assert "[" not in repr(family)
    columns = np.stack([problem.hvp(x, e.reshape(x.shape)).ravel() for e in np.eye(x.size)])
    eigenvalues = np.linalg.eigvalsh((columns + columns.T) / 2)
    L = family.smoothness(theta) if hasattr(family, "smoothness") else smoothness(problem)
    assert family.mu(theta) <= eigenvalues[0] * (1 + 1e-9)
    assert eigenvalues[-1] <= L * (1 + 1e-9)
    assert family.values(theta)


@pytest.mark.parametrize(("family", "theta", "y"), cases())
def test_hypergradient_against_central_differences(family: Any, theta: Any, y: Any) -> None:
    """§13-1: of the whole loss, lower level and adjoint solved to 1e-10 of their start; relative error ≤ 1e-5.

    Entry by entry up to three parameters, beyond that along a random direction and the hypergradient itself.
    """
    rng = np.random.default_rng(2)
    if hasattr(family, "loss"):
        codomain = family.loss(y[:9] if y.ndim == 2 else y).K.codomain if y.ndim == 2 else (100,)
        truth = np.eye(3)[rng.integers(0, 3, 9)] if codomain == (9, 3) else rng.standard_normal(codomain)
    else:
        truth = rng.standard_normal(family(theta, y).domain)
    case = supervised([(y, truth)], getattr(family, "loss", None))
    problem = Bilevel(family=family, cases=case, theta0=theta)
    found = problem.grad(theta)
    along = np.eye(theta.size) if theta.size <= 3 else np.stack([rng.standard_normal(theta.size), found])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    h = 1e-4
    differences = np.array([(problem(theta + h * e) - problem(theta - h * e)) / (2 * h) for e in along])
    assert np.abs(along @ found - differences).max() <= 1e-5 * np.abs(differences).max()


def test_cross_entropy_is_scipys() -> None:
    from scipy.special import log_softmax

    rng = np.random.default_rng(4)
    z, labels = 5 * rng.standard_normal((7, 4)), np.eye(4)[rng.integers(0, 4, 7)]
    assert CrossEntropy(labels)(z) == pytest.approx(-np.sum(labels * log_softmax(z, axis=1)) / 7, rel=1e-13)
    assert np.isfinite(CrossEntropy(labels)(1e4 * z))
    with pytest.raises(ValueError, match="labels must be rows that sum to 1"):
        CrossEntropy(2 * labels)


def test_digits_by_logistic_regression(data: Any) -> None:
    """The MNIST experiment in small: penalties per class on 300 digits; the loss falls, the accuracy does not."""
    with gzip.open(data / "tables_logreg" / "digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")[:500]
    Z, labels = table[:, :-1] / 16, np.eye(10)[table[:, -1].astype(int)]
    family = vi.families.Logistic(Z[:300], Z[300:], 10)
    pairs, theta0 = [(labels[:300], labels[300:])], np.full(10, -3.0)
    learned = vi.learn(family, pairs, theta0, vi.MAID(budget=1500))
    start = vi.learn(family, pairs, theta0, stop=vi.iterations(0))
    before, after = (family.predict(found.apply(labels[:300])).argmax(1) for found in (start, learned))
    truth = labels[300:].argmax(1)
    assert learned.loss <= 0.8 * learned.history[1]["loss"]
    assert (after == truth).mean() >= (before == truth).mean() >= 0.8


def test_parameters_out_of_range() -> None:
    tv, y = vi.families.TV, np.ones(SHAPE)
    for call, error, text in (
        (lambda: tv(SHAPE, smoothing=0.0), ValueError, "TV: smoothing must be greater than 0, got 0"),
        (lambda: tv(SHAPE, ridge=-1.0), ValueError, "TV: ridge must be at least 0, got -1"),
        (lambda: tv(SHAPE, A=3), TypeError, "TV: A must be a LinearOperator or None for the identity, got 3"),
        (lambda: vi.families.WeightMap(SHAPE, 3), ValueError, r"blocks of \(3, 3\) must divide the shape \(8, 6\)"),
        (lambda: vi.families.WeightMap(SHAPE).start_at(0.0), ValueError, "weight must be greater than 0, got 0"),
        (lambda: vi.families.WeightMap(SHAPE)(np.full(48, 900.0), y), ValueError, "theta reaches 900; natural log"),
        (lambda: vi.families.FieldOfExperts(SHAPE, (2, 3, 3, 3)), ValueError, r"filters must be \(K, \*size\)"),
        (lambda: vi.families.FieldOfExperts(SHAPE, (2, 3, 3)).theta0(TAPS), ValueError, r"taps must have shape"),
        (lambda: vi.families.Graph(vi.Gradient(SHAPE)), TypeError, "laplacian must be a GraphLaplacian"),
        (lambda: vi.families.Sobolev(SHAPE, RADON.T), ValueError, r"Sobolev: A takes images \(7, 11\)"),
        (lambda: vi.families.Logistic(np.ones((3, 2)), np.ones((3, 3)), 2), ValueError, "features has 2 columns"),
        (lambda: vi.families.Logistic(np.ones((3, 2)), np.ones((3, 2)), 2, "row"), ValueError, "per must be "),
        (lambda: vi.families.Quadratic(np.ones((3, 2)), np.ones((3, 1))), ValueError, "must have full column rank"),
        (lambda: vi.families.Quadratic(np.eye(3), np.ones((2, 1))), ValueError, "B has 3 rows, C has 2"),
        (lambda: vi.families.Quadratic(np.eye(3), np.eye(3)).theta(a=1.0), TypeError, "theta is the vector itself"),
    ):  # fmt: skip
        with pytest.raises(error, match=text):
            call()
