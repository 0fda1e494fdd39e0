"""Certified norms: always an upper bound, and close where that is promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from varinv.operators.base import LinearOperator, Scaled, Sum
from varinv.operators.blur import Blur
from varinv.operators.elementary import Diagonal, Identity
from varinv.operators.gradient import Gradient
from varinv.operators.norms import collatz_wielandt
from varinv.operators.sampling import Downsampling, Subsampling

ROUNDING = 1 - 1e-12  # the dense singular value is rounded too


@dataclass(frozen=True, eq=False, repr=False)
class _Matrix(LinearOperator):
    """A matrix as an operator, for these tests alone."""

    M: Any

    @property
    def domain(self):
        return (self.M.shape[1],)

    @property
    def codomain(self):
        return (self.M.shape[0],)

    def forward(self, x):
        return self.M @ x

    def adjoint(self, y):
        return self.M.T @ y

    def norm(self):
        return collatz_wielandt(self)

    def absolute(self):
        return self


LinearOperator.kinds.remove(_Matrix)  # no part of the package: the contract tests must not ask it for examples


def top(M):
    return float(np.linalg.svd(M, compute_uv=False)[0])


# rows and columns of zeros, entries over thirty decades: everything short of under- and overflow of the squares
entries = st.one_of(st.just(0.0), st.floats(1e-15, 1e15, allow_subnormal=False))
matrices = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=7), elements=entries)


@settings(max_examples=300, deadline=None)
@given(matrices)
def test_never_below_the_norm(M):
    bound = collatz_wielandt(_Matrix(M))
    assert bound >= top(M) * ROUNDING
    assert math.isfinite(bound)
    assert (bound == 0) == (not M.any())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 30))
def test_within_one_percent_for_positive_matrices(seed, rows, columns):
    """Entries in [0.1, 1]: MᵀM contracts the Hilbert metric by at least ((1 − 0.1)/(1 + 0.1))² a step; 30 steps."""
    M = np.random.default_rng(seed).uniform(0.1, 1, (rows, columns))
    assert top(M) * ROUNDING <= collatz_wielandt(_Matrix(M)) <= 1.01 * top(M)


def test_rounding_is_on_the_safe_side():
    """Rank one: ‖uvᵀ‖² = ‖u‖²‖v‖², exact as a fraction; the first quotient is it, but for its rounding."""
    rng = np.random.default_rng(0)
    for _ in range(30):
        u, v = rng.integers(1, 1000, (2, 5)) / 64  # products are exact in float64
        exact = sum(Fraction(a) ** 2 for a in u) * sum(Fraction(b) ** 2 for b in v)
        assert Fraction(collatz_wielandt(_Matrix(np.outer(u, v)))) ** 2 >= exact


def test_zero_rows_and_columns():
    M = np.array([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, 0.0, 0.0]])
    assert 5 * ROUNDING <= collatz_wielandt(_Matrix(M)) <= 5 * 1.005
    assert collatz_wielandt(_Matrix(np.zeros((3, 2)))) == 0


def test_reducible_matrices():
    """Two blocks that do not see each other: the larger one counts, whichever comes first."""
    for a, b in ((1.0, 3.0), (3.0, 1.0), (1e-9, 2.0), (2.0, 2.0)):
        M = np.zeros((4, 4))
        M[:2, :2], M[2:, 2:] = a, b
        assert 2 * max(a, b) * ROUNDING <= collatz_wielandt(_Matrix(M)) <= 2 * max(a, b) * 1.005
    shift = np.eye(6, k=1)  # nilpotent: every eigenvalue is 0, the norm is 1
    assert ROUNDING <= collatz_wielandt(_Matrix(shift)) <= 1 + 2e-6
    triangle = np.tril(np.ones((8, 8)))
    assert top(triangle) * ROUNDING <= collatz_wielandt(_Matrix(triangle)) <= 1.005 * top(triangle)


def test_more_steps_only_sharpen():
    M = np.random.default_rng(3).uniform(size=(40, 30)) ** 6
    bounds = [collatz_wielandt(_Matrix(M), ratio=1.0, most=n) for n in (1, 2, 4, 8, 16)]
    assert all(a >= b for a, b in pairwise(bounds))
    assert bounds[-1] >= top(M) * ROUNDING


def test_power_iteration_would_be_wrong():
    """Why not the usual way: it is below the norm after the ten steps others take."""
    K = Gradient((12, 12))
    x = rand(np, K.domain, 0)
    for _ in range(10):
        x = K.T(K(x))
        x = x / np.linalg.norm(x)
    assert np.linalg.norm(K(x)) < 0.99 * K.norm()
    assert K.norm() >= top(dense(K)) * ROUNDING


COMPOSED = [
    Gradient((4, 5)) @ Diagonal(rand(np, (4, 5), 0)),
    Gradient((4, 5)).T @ Gradient((4, 5)),
    Downsampling((4, 6), 2) @ Blur((4, 6), rand(np, (3, 4), 1), "reflect"),
    Subsampling((4, 6), rand(np, (4, 6), 2) > 0) @ Blur((4, 6), rand(np, (3, 4), 3, kind="non-negative"), "zero"),
    Identity((4, 6)) + Blur((4, 6), rand(np, (3, 2), 4, kind="non-negative")),
    Identity((4, 6)) - Blur((4, 6), rand(np, (3, 2), 5)),
    -2.5 * Gradient((3, 4), boundary="periodic"),
    0 * Gradient((3, 4)),
    (Identity((5,)) + Diagonal(np.arange(5.0))).T,
    Diagonal(np.zeros(4)) + Diagonal(np.zeros(4)),
    # they read, or write, one entry in common: √(‖A‖² + ‖B‖²) is too little
    Subsampling((4,), np.array([True, True, False, False])) + Subsampling((4,), np.array([False, True, True, False])),
    (Subsampling((4,), np.arange(4) < 2) + Subsampling((4,), np.arange(4) % 2 == 0)).T,
]


@pytest.mark.parametrize("K", COMPOSED, ids=repr)
def test_composed_bounds(K):
    assert K.norm() >= top(dense(K)) * ROUNDING


def test_sums_of_non_negative_operators_are_sharp():
    """‖A‖ + ‖B‖ overshoots where the two act on different pixels; Collatz–Wielandt does not."""
    K = Diagonal([1.0, 0.0, 0.0]) + Diagonal([0.0, 2.0, 0.0])
    assert isinstance(K, Sum)
    assert 2 * ROUNDING <= K.norm() <= 2 * (1 + 2e-6)
    assert Scaled(-3.0, K).norm() == 3 * K.norm()


def test_no_bound_by_magnitudes_for_signed_sums():
    """Entries that cancel: the sum of the bounds is kept, certified though loose."""
    K = Identity((3,)) - Identity((3,))
    assert K.absolute() is None
    assert K.norm() == 2.0


def test_absolute_is_never_self_with_negative_entries():
    for K in (
        Diagonal([1.0, -1.0]),
        Blur((4,), [1.0, -1.0]),
        -1.0 * Identity((2,)),
        Downsampling((4,), 2, [1.0, -2.0]),
    ):
        assert K.absolute() is not K
        assert dense(K).min() < 0


def test_norms_of_operators_that_hold_foreign_arrays(xp):
    """The certificate runs where the operator's own arrays are."""
    d = np.array([0.5, 2.0, 0.0])
    K = Identity((3,)) + Diagonal(xp.asarray(d))
    assert 3 * ROUNDING <= K.norm() <= 3 * 1.005


def test_norm_is_found_once():
    asked = []

    class Watched(_Matrix):
        norm = LinearOperator.norm

        def absolute(self):
            asked.append(self)
            return self

    LinearOperator.kinds.remove(Watched)
    K = Watched(np.ones((3, 2)))
    assert K.norm() == K.norm() == (2 * K).norm() / 2
    assert len(asked) == 1
