"""Ordered subsets: the parts sum to the whole, cost their share, and are visited far apart."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.linalg import norm
from varinv.solvers.subsets import join, split, subsets, visits

pytestmark = pytest.mark.usefixtures("one_thread")

ANGLES = np.linspace(0, math.pi, 13, endpoint=False)
BEAM = vi.ParallelBeam(ANGLES, 9, axis=3.7)
FAN = vi.FanBeam(ANGLES[:7], 8, 1.5, 20.0, 6.0)
A, F, S = vi.Radon((6, 5), BEAM), vi.Radon((6, 5), FAN), vi.Radon((3, 6, 5), BEAM)


def counts(K: Any) -> np.ndarray:
    return np.round(20 * rand(np, K.codomain, 3, kind="non-negative"))


def weights(K: Any) -> np.ndarray:
    return rand(np, K.codomain, 4, kind="non-negative") + 0.1


TERMS = [
    vi.L2Squared(counts(A), weights(A)) @ A,
    vi.L2Squared(counts(S), 2.0) @ S,
    vi.L2Squared(counts(F)) @ (-0.5 * F),
    vi.L2Squared() @ (A + 2 * A),
    vi.L2Squared(counts(A)) @ (vi.Diagonal(weights(A)) @ A),
    vi.L2Squared(counts(A)) @ (A @ vi.Blur((6, 5), np.ones((3, 3)) / 9)),
    vi.KullbackLeibler(counts(A), weights(A)) @ A,
    0.3 * (vi.KullbackLeibler(counts(S), 0.2) @ S),
    vi.L1(weights(S)) @ S,
    vi.Huber(0.4, weights(F)) @ F,
]


@pytest.mark.parametrize("term", TERMS, ids=repr)
def test_the_parts_sum_to_the_whole(term: Any) -> None:
    x = rand(np, term.K.domain, 1, kind="non-negative") + 0.1
    for n in (1, 2, 5, 7):
        for order in ("interleaved", "consecutive"):
            parts = subsets(term, n, order)
            assert len(parts) == n
            assert sum(t(x) for t in parts) == pytest.approx(term(x), rel=1e-13)  # the same summands in another order
            if hasattr(term.f, "grad"):
                whole = term.grad(x)
                assert norm(sum(t.grad(x) for t in parts) - whole) <= 1e-13 * norm(whole)
            # every ray stands in exactly one part, so all parts together cost one projection
            assert sum(math.prod(t.K.codomain) for t in parts) == math.prod(term.K.codomain)
            for t in parts:
                assert t.K.norm() >= np.linalg.norm(dense(t.K), 2) * (1 - 1e-13)
            assert subsets(term, n, order) is parts  # remembered, with what they have computed


def test_the_views_of_a_part_are_interleaved() -> None:
    first = subsets(TERMS[0], 4, "consecutive")[1]
    assert np.array_equal(first.f.y, counts(A)[1::4])
    assert np.array_equal(first.f.weight, weights(A)[1::4])
    assert np.array_equal(dense(first.K), dense(A).reshape(13, 9, 30)[1::4].reshape(-1, 30))
    volume = subsets(TERMS[1], 4, "consecutive")[1]
    assert np.array_equal(volume.f.y, counts(S)[:, 1::4])
    single = vi.L2Squared(counts(A).astype("float32")) @ A
    assert subsets(single, 2)[0].f.y.dtype == np.float32


def test_astra_is_split_like_radon() -> None:
    pytest.importorskip("astra")
    parts = subsets(vi.L2Squared() @ vi.AstraRadon((6, 5), BEAM), 3)
    ours = subsets(vi.L2Squared() @ A, 3)
    x = rand(np, (6, 5), 1)
    for t, o in zip(parts, ours, strict=True):
        assert norm(t.K(x) - o.K(x)) <= 1e-5 * norm(o.K(x))  # ASTRA computes in float32


def test_successive_subsets_are_far_apart() -> None:
    for n in (1, 2, 3, 8, 12, 60, 360):
        order = visits(n)
        assert sorted(order) == list(range(n))
        steps = [abs(b - a) for a, b in itertools.pairwise(order)]
        if n >= 8:  # views half a turn apart are the same line: 0.38 of the circle is the golden step, less one rank
            assert min(min(s, n - s) for s in steps) >= 0.3 * n - 1
            first = np.sort(order[: n // 4]) / n  # a quarter of the visits leaves no wide hole
            holes = np.diff(np.append(first, first[0] + 1))
            assert holes.max() <= 2.7 / (n // 4)  # three-distance theorem: at most φ² of the mean, ranks add one
    parts = subsets(vi.L2Squared() @ A, 5)
    assert [t.K.geometry.angles[0] for t in parts] == [ANGLES[s] for s in visits(5)]


def test_what_cannot_be_split_is_refused() -> None:
    for term in (vi.L2Squared() @ vi.Blur((6, 5), np.ones((3, 3))), vi.L2Squared(np.ones((6, 5))), vi.TV((6, 5))):
        with pytest.raises(TypeError, match="cannot be split by views: its operator has no subset"):
            subsets(vi.problem.as_problem(term).terms[0], 2)
    with pytest.raises(TypeError, match="is not a sum over entries"):
        subsets(vi.L2Ball(counts(A), 1.0) @ A, 2)
    with pytest.raises(ValueError, match="n must be at most the number of views 13, got 14"):
        subsets(TERMS[0], 14)
    with pytest.raises(ValueError, match="n must be at least 1"):
        subsets(TERMS[0], 0)
    with pytest.raises(ValueError, match="order must be one of interleaved, consecutive, got 'random'"):
        subsets(TERMS[0], 2, "random")


def test_part_of_a_long_scan_does_not_look_like_degrees() -> None:
    turning = np.arange(50) * 1.9416  # radians, many turns; every tenth view is more than a turn from the next
    whole = vi.Radon((2, 2), vi.ParallelBeam(turning, 5))
    assert np.array_equal(whole.subset(range(0, 50, 10)).geometry.angles, turning[::10])
    with pytest.raises(ValueError, match="look like degrees"):
        vi.ParallelBeam(turning[::10], 5)


def test_duals_are_split_and_joined() -> None:
    for shape, axis in (((7, 3), 0), ((2, 7, 3), 1)):
        R = vi.Radon((4, 4) if axis == 0 else (2, 4, 4), vi.ParallelBeam(np.arange(7) / 3, 3))
        term, y = (vi.L2Squared() @ R), rand(np, shape, 1)
        for n in (1, 3, 7):
            parts = split(term, y, n)
            assert np.array_equal(join(term, parts), y)
            if n == 3:
                assert np.array_equal(parts[0], np.take(y, range(visits(3)[0], 7, 3), axis=axis))
