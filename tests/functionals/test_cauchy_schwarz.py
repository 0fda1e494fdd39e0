"""Cauchy–Schwarz regularisers: polynomials, zero sets, scales, and what they recover."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import models_discrete

pytestmark = pytest.mark.usefixtures("one_thread")


def S(x, j):
    return (x**j).sum()


C = vi.Blur((4, 5), np.array([[0.1, 0.5], [0.3, -0.2]]))
POLYNOMIALS = [
    (vi.Binary, lambda x: x.size * S(x, 4) - S(x, 2) ** 2, lambda x: x.size * S(x, 4)),
    (vi.OneSidedBinary, lambda x: S(x, 2) * S(x, 4) - S(x, 3) ** 2, lambda x: S(x, 2) * S(x, 4)),
    (vi.Ternary, lambda x: S(x, 2) * S(x, 6) - S(x, 4) ** 2, lambda x: S(x, 2) * S(x, 6)),
    (
        lambda invariant: vi.Eigenvector(C, invariant),
        lambda x: S(x, 2) * S(C(x), 2) - (x * C(x)).sum() ** 2,
        lambda x: S(x, 2) * S(C(x), 2),
    ),
    (vi.Orthogonal, lambda x: 5 * S(x.T @ x, 2) - S(x, 2) ** 2, lambda x: 5 * S(x.T @ x, 2)),
]


@pytest.mark.parametrize(("make", "polynomial", "size"), POLYNOMIALS, ids=["bin", "osb", "ter", "eig", "orth"])
def test_polynomials_and_their_scale_free_forms(make, polynomial, size):
    for seed in range(20):
        x = 10.0 ** (seed % 5 - 2) * rand(np, (4, 5), seed)
        plain, free = make(invariant=False), make(invariant=True)
        assert plain(x) == pytest.approx(polynomial(x), rel=1e-9)
        assert free(x) == pytest.approx(polynomial(x) / size(x), rel=1e-9)
        assert 0 <= free(x) <= 1
        assert free(-3 * x) == pytest.approx(free(x), rel=1e-12)
        assert abs((free.grad(x) * x).sum()) <= 1e-12  # degree 0: no slope along x itself
        d, h = rand(np, (4, 5), seed + 50), 1e-5 * abs(x).max()
        for f in (plain, free):
            slope = (f(x + h * d) - f(x - h * d)) / (2 * h)
            assert slope == pytest.approx((f.grad(x) * d).sum(), rel=1e-6, abs=1e-6 * np.linalg.norm(f.grad(x)))
    for f in (plain, free):
        zero = np.zeros((4, 5))
        assert f(zero) == 0 == abs(f.grad(zero)).max() == abs(f.hvp(zero, x)).max()
        assert f.grad(x.astype("f4")).dtype == np.float32


def test_zero_sets_and_only_those():
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.standard_normal((6, 4)))
    symmetric = vi.Diagonal(np.array([1.0, 2.0, 2.0, 5.0]))
    for f, inside, outside in (
        (vi.Binary(), rng.choice([-0.3, 0.3], 30), rng.choice([-0.3, 0.3, 0.2], 30)),
        (vi.OneSidedBinary(), rng.choice([0, 7.0], 30), rng.choice([-7.0, 7.0], 30)),
        (vi.Ternary(), rng.choice([-2.0, 0, 2.0], 30), rng.choice([0, 1.0, 2.0], 30)),
        (vi.Eigenvector(symmetric), np.array([0, 3.0, -1.0, 0]), np.array([1.0, 1.0, 0, 0])),
        (vi.Orthogonal(), 5 * q, rng.standard_normal((6, 4))),
    ):
        assert f(inside) <= 1e-28  # differences are squared: rounding is squared too
        assert f(outside) > 1e-3
        assert abs(f.grad(inside)).max() <= 1e-12
    binary = vi.OneSidedBinary()
    near = np.where(np.arange(30) < 12, 0.0, 1.0) + 1e-9 * rng.standard_normal(30)
    assert 0 < binary(near) < 1e-16  # without cancellation: 1 − cos² of an angle of 1e-9


def test_exact_recovery_from_few_measurements():
    """A fast part of E14: a few trials above the threshold of success, and below it."""
    for kind, rows, low, high in (("bin", 80, 4, 4), ("osb", 80, 4, 4), ("ter", 60, 0, 1)):
        wins = models_discrete.successes(kind, rows, trials=4, steps=1000)
        print(f"E14 {kind} M={rows}: {wins}/4")
        assert low <= wins <= high


def test_bad_input():
    with pytest.raises(TypeError, match="Eigenvector: C must be a LinearOperator, got 3"):
        vi.Eigenvector(3)
    with pytest.raises(ValueError, match="C must keep the shape"):
        vi.Eigenvector(vi.Gradient((3, 4)))
    with pytest.raises(ValueError, match=r"a matrix is expected, got shape \(3,\)"):
        vi.Orthogonal()(np.ones(3))
    with pytest.raises(ValueError, match=r"the image must have shape \(4, 5\), got \(5, 4\)"):
        vi.Eigenvector(C) + vi.L2Squared(np.ones((5, 4)))
    assert dense(C).shape == (20, 20)
