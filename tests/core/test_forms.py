"""What forms compute, against the formulas they stand for: sums, the bound of a total, the best raised dual."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.forms import Quadratic

INF = math.inf
N = 4
W = rand(np, (N,), 5, kind="non-negative") + 0.1
SOME = np.array([0.5, 0.0, 2.0, 0.0])  # two measurements that do not count
Y = rand(np, (N,), 6)

FORMS = {
    "number": Quadratic(0.3, 0.7),
    "data": Quadratic(Y, 2.0),
    "weights": Quadratic(Y, W, hi=0.9),
    "some": Quadratic(Y, SOME, lo=-0.8),
    "both": Quadratic(-0.4, 1.5, lo=-0.9, hi=0.8),
    "box": Quadratic(lo=-0.5, hi=1.2),
    "bounds": Quadratic(lo=np.full(N, -0.6), hi=INF),
}


def value(f: Quadratic, z: np.ndarray) -> float:
    return float(np.sum(0.5 * f.weight * (z - f.y) ** 2)) if np.all((f.lo <= z) & (z <= f.hi)) else INF


@pytest.mark.parametrize(("a", "b"), list(itertools.product(FORMS, FORMS)))
def test_a_and_b_is_their_sum_up_to_a_constant(a: str, b: str) -> None:
    f, g = FORMS[a], FORMS[b]
    points = [2 * rand(np, (N,), seed) for seed in range(12)] + [np.full(N, v) for v in np.linspace(-1.0, 1.4, 25)]
    apart = np.array([value(f, z) + value(g, z) for z in points])
    together = np.array([value(f & g, z) for z in points])
    assert np.array_equal(apart < INF, together < INF)
    inside = apart < INF
    assert np.sum(inside) > 0
    away = apart[inside] - together[inside]
    assert np.ptp(away) <= 1e-13 * max(np.max(apart[inside]), 1.0)  # a few roundings


@pytest.mark.parametrize("f", [Quadratic(0.3, 0.7), Quadratic(Y, 2.0), Quadratic(Y, W), Quadratic(Y, SOME)])
@pytest.mark.parametrize("most", [0.0, 0.7, 30.0])
def test_total_is_the_largest_sum_of_what_is_that_cheap(f: Quadratic, most: float) -> None:
    """Lagrange: z = y + c/w is extremal, with value ½ c² Σ 1/w; the sum is then reached, not only bounded."""
    q, weight, y = np.zeros(N), np.broadcast_to(f.weight, N), np.broadcast_to(f.y, N)
    used = weight > 0
    c = math.sqrt(2 * most / np.sum(1 / weight[used]))
    z = y[used] + c / weight[used]
    assert 0.5 * np.sum(weight[used] * (z - y[used]) ** 2) == pytest.approx(most)
    assert f.total(most, q) == pytest.approx(max(np.sum(z), 0.0), rel=1e-13)


@pytest.mark.parametrize("lam", [1.0, 0.2, 3.0])
def test_total_of_counts_holds_and_is_no_larger_than_it_says(lam: float) -> None:
    y = np.array([1.0, 0.0, 3.0, 7.0])
    f = lam * vi.KullbackLeibler(y, 0.1)
    for stretch in (1.0, 2.0, 5.0, 100.0):  # 2y is where u − y + y log(y/u) ≥ u/2 − y log 2 is an equality
        z = np.maximum(stretch * y - 0.1, 0.0)
        assert f.total(f(z)) >= np.sum(z)
    at = f(np.maximum(2 * y - 0.1, 0.0))
    assert f.total(at) <= np.sum(2 * y) + 0.21  # 2·0.1 of the background where y = 0, and rounding


def dearer(a: float, b: float) -> float:
    """A price as certificates charge it: convex, positively homogeneous."""
    return 0.4 * a + 1.5 * max(0.9 * a - b, 0.0)


@pytest.mark.parametrize("f", [Quadratic(-0.3, 0.7), Quadratic(Y, 2.0), Quadratic(Y, W), Quadratic(Y, SOME)])
@pytest.mark.parametrize("seed", range(3))
def test_lifted_is_the_best_raised_dual_of_squares(f: Quadratic, seed: int) -> None:
    used = np.broadcast_to(f.weight, N) > 0
    q = 2 * rand(np, (N,), seed) * used
    w, y = np.broadcast_to(f.weight, N)[used], np.broadcast_to(f.y, N)[used]

    def dual(alpha: float, t: float) -> float:
        raised = alpha * (q[used] + t)
        return float(-0.5 * np.sum(raised**2 / w) - raised @ y - dearer(alpha, alpha * t))

    grid = [dual(a, t) for a in np.linspace(0, 1, 101) for t in np.linspace(0, 0.9, 91)]
    found = f.lifted(q, dearer, 0.9)
    assert max(grid) - 1e-6 <= found <= max(grid) + 1e-2  # the search is good to 1e-5 of need; slope × spacing


@pytest.mark.parametrize("lam", [1.0, 0.2, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_lifted_is_the_best_raised_dual_of_counts(lam: float, seed: int) -> None:
    f = lam * vi.KullbackLeibler(np.array([1.0, 0.0, 3.0, 7.0]), 0.1)
    q = lam * np.minimum(rand(np, (N,), seed), 0.9)

    def dual(t: float) -> float:
        theta = t / (1 + t)
        return float(-f.conj((1 - theta) * q + theta * lam) - dearer(1 - theta, theta * lam))

    best = max(dual(t) for t in np.linspace(0, 0.9 / lam, 2001))
    assert f.lifted(q, dearer, 0.9) == pytest.approx(best, abs=2e-3 * max(lam, 1 / lam))  # slope × spacing


class Plain(vi.Functional):
    """½ |z − 1|², and no weight of its own: `Scaled` carries λ."""

    def __call__(self, z: Any) -> float:
        return float(np.sum((z - 1) ** 2)) / 2

    def form(self) -> Quadratic:
        return Quadratic(1.0, 1.0)


vi.Functional.kinds.remove(Plain)  # it is of this file only


def test_a_multiple_says_so_in_its_form() -> None:
    assert (2.5 * Plain()).form() == Quadratic(1.0, 2.5)
    assert (0 * Plain()).form() is None or (0 * Plain()).form().flat
