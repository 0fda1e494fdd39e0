"""Rectangular parts and fields of stacked unknowns; norms of rows and stacks made of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.backend import to_numpy

SHAPE = (3, 4, 5)
REGIONS = [
    1,
    -1,
    slice(1, 3),
    (slice(None), 2),
    (0, slice(-2, None), slice(1, 2)),
    (slice(0, 3),),
    (-2, 1),
    (..., 2),
    (0, ..., slice(1, 3)),
    ...,
    (1, 2, ..., slice(0, 4)),
]


@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_is_indexing(xp, region):
    x = rand(xp, SHAPE, 0)
    K = vi.Restriction(SHAPE, region)
    y = K(x)
    np.testing.assert_array_equal(to_numpy(y), to_numpy(x)[region])
    filled = np.zeros(SHAPE)
    filled[region] = to_numpy(y)
    np.testing.assert_array_equal(to_numpy(K.T(y)), filled)
    assert K.norm() == 1.0
    assert K.absolute() is K
    np.testing.assert_array_equal(K.reads(), filled != 0)
    np.testing.assert_array_equal(K.T.writes(), filled != 0)
    assert (K.writes(), K.T.reads()) == (None, None)
    assert (K.isometry(), K.coisometry(), K.T.isometry(), K.T.coisometry()) == (None, 1, 1, None)


def test_a_mask_stands_for_its_bounding_box(xp):
    mask = np.zeros((5, 6), dtype=bool)
    mask[1, 4] = mask[3, 2] = True
    x = rand(np, (5, 6), 1)
    np.testing.assert_array_equal(vi.Restriction((5, 6), xp.asarray(mask))(x), x[1:4, 2:5])


def test_repr_is_short():
    assert repr(vi.Part((3, 8, 8), 0)) == "Restriction((3, 8, 8), [0])"
    assert repr(vi.Part((3, 8, 8), slice(1, None))) == "Restriction((3, 8, 8), [1:3])"
    assert repr(vi.Restriction((3, 8, 8), (..., 2))) == "Restriction((3, 8, 8), [:, :, 2])"
    assert repr(vi.Restriction((4,), slice(None))) == "Restriction((4,), [:])"


def test_results_are_no_views():
    for K in (vi.Restriction((3, 4), slice(0, 2)), vi.Part((1, 4), 0), vi.Restriction((3, 4), slice(None))):
        x, y = np.ones(K.domain), np.ones(K.codomain)
        assert not np.shares_memory(K(x), x)
        assert not np.shares_memory(K.T(y), y)


def top(K):
    return float(np.linalg.norm(dense(K), 2))


def test_norm_of_rows_and_stacks():
    """√(a² + b²) where two operators read (or write) different entries, max(a, b) where both; reached by real rows."""
    G = vi.Gradient((6, 7), boundary="periodic")
    x, v = vi.Part((3, 6, 7), 0), vi.Part((3, 6, 7), slice(1, None))
    row = G @ x - v
    assert row.norm() == pytest.approx(math.hypot(G.norm(), 1), rel=1e-12)  # the rule itself
    assert top(row) == pytest.approx(row.norm(), rel=1e-9)  # G Gᵀ + I: the bound is the norm
    # an unknown (3, n): three columns of one row, the same operator thrice
    D = [vi.Diagonal(rand(np, (5,), k)) @ vi.Part((3, 5), k) for k in range(3)]
    three = D[0] + D[1] - 2 * D[2]
    bound = math.sqrt(D[0].norm() ** 2 + D[1].norm() ** 2 + 4 * D[2].norm() ** 2)
    assert three.norm() == pytest.approx(bound, rel=1e-12)
    assert three.norm() >= top(three)
    up, down = vi.Part((2, 6, 7), 0).T, vi.Part((2, 6, 7), 1).T
    stack = up @ vi.Blur((6, 7), [1.0, -1.0]) + down @ vi.Identity((6, 7))
    assert stack.norm() == pytest.approx(math.hypot(1, 2 * math.cos(math.pi / 14)), rel=1e-9)  # |1 − e^iξ|, 7 pixels
    assert top(stack) == pytest.approx(stack.norm(), rel=1e-9)  # KᵀK + I: the bound is the norm
    block = up @ vi.Blur((6, 7), [1.0, -1.0]) @ up.T + down @ (-3 * vi.Identity((6, 7))) @ down.T
    assert block.norm() == pytest.approx(3, rel=1e-12)
    assert block.norm() == pytest.approx(top(block), rel=1e-12)
    assert (row.T).norm() == row.norm()


def test_overlapping_rows_keep_the_sum():
    a, b = vi.Restriction((4, 3), slice(0, 2)), vi.Restriction((4, 3), slice(1, 3))
    assert (a - b).norm() == 2.0  # rows 0:2 and 1:3 share row 1
    assert (a - b).norm() >= top(a - b)
    assert (a - vi.Restriction((4, 3), slice(2, 4))).norm() == pytest.approx(math.sqrt(2))
    odd = np.arange(6).reshape(2, 3) % 2 == 1
    S = vi.Subsampling((2, 3), odd) - vi.Subsampling((2, 3), ~odd)
    assert S.norm() == pytest.approx(math.sqrt(2))
    assert top(S) == pytest.approx(S.norm())
    # what hides behind an adjoint: the image of aᵀ is known, that of a composition's left factor too
    assert (a.T @ a - b.T @ vi.Identity((2, 3)) @ b).norm() == 2.0


def test_terms_on_fields_of_one_unknown():
    """min ½|x₀ − y|² + ½|x₁|² + ½|x₀ − x₁|²: closed form x₀ = 2y/3, x₁ = y/3."""
    y = rand(np, (4, 5), 3)
    shape = (2, 4, 5)
    a, b = vi.Part(shape, 0), vi.Part(shape, 1)
    problem = vi.L2Squared(y) @ a + vi.L2Squared() @ b + vi.L2Squared() @ (a - b)
    x = vi.solve(problem, stop=vi.residual(1e-12) | vi.iterations(4000)).x
    np.testing.assert_allclose(x, np.stack([2 * y / 3, y / 3]), atol=1e-8)


@pytest.mark.parametrize(
    ("region", "error", "text"),
    [
        (5, ValueError, r"Restriction: region\[0\] must lie in -3..2, got 5"),
        ((0, 1, 2), ValueError, "region keeps a single number"),
        ((0, 0, 0, 0), ValueError, r"at most 3 entries for shape \(3, 4, 5\), got 4"),
        (slice(2, 1), ValueError, r"region\[0\] = slice\(2, 1, None\) keeps nothing of an axis of length 3"),
        ((0, slice(0, 4, 2)), ValueError, r"region\[1\] must have step 1, got step 2; use Downsampling"),
        (slice(0.5, 2), TypeError, r"region\[0\] must have integer bounds, got slice\(0.5, 2, None\)"),
        (1.0, TypeError, r"region\[0\] must be an integer or a slice, got 1.0"),
        ("all", TypeError, r"region\[0\] must be an integer or a slice, got 'all'"),
        (True, TypeError, r"region\[0\] must be an integer or a slice, got True"),
        ([0, 1], TypeError, "slices, integers or a boolean mask, got an array of shape .* use Subsampling"),
        (np.ones((3, 4), dtype=bool), ValueError, r"the mask must have shape \(3, 4, 5\), got \(3, 4\)"),
        (np.zeros((3, 4, 5), dtype=bool), ValueError, r"the mask of shape \(3, 4, 5\) keeps no pixel"),
    ],
)
def test_refuses(region, error, text):
    with pytest.raises(error, match=text):
        vi.Restriction(SHAPE, region)


def test_part_is_one_axis_only():
    with pytest.raises(TypeError, match=r"index must be an integer or a slice along axis 0, got \(0, 1\); see Restri"):
        vi.Part(SHAPE, (0, 1))
