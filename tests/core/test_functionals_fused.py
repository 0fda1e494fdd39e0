"""The fused steps against the formulas they fuse; boxes; several functionals of one image in one prox."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.forms import Quadratic
from varinv.functionals.sparsity import L1, L21, Huber
from varinv.fused.steps import dual_step, primal_step, tv_descent
from varinv.fused.sweep import primal_dual_steps
from varinv.fused.table import find
from varinv.joint import Joint
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import BOUNDARIES, Gradient

INF = math.inf


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("shape", "axes", "spacing"),
    [((9,), None, 0.5), ((7, 5), None, (0.5, 2.0)), ((1, 6), None, 1.0), ((6, 1), (1,), 1.0), ((4, 3, 5), None, 1.0),
     ((4, 3, 5), (1, 2), 2.0), ((3, 4, 5), (2, 0, 1), (1.0, 2.0, 3.0)), ((1, 1), None, 1.0)],
)  # fmt: skip
def test_fused_dual_ascent_is_the_unfused_one(shape: Any, axes: Any, spacing: Any, boundary: str, dtype: str) -> None:
    K = Gradient(shape, spacing, axes, boundary)
    x, p = rand(np, shape, 1, dtype), rand(np, K.codomain, 2, dtype)
    image = rand(np, shape, 3, dtype, "non-negative") * (rand(np, shape, 4) > -1)  # some weights are 0
    for f in (L21(0.3), L21(image), Huber(0.2, 0.3, groups=True), Huber(0.2, image, groups=True), L1(0.4)):
        expected = f.prox_conj(p.astype("f8") + 0.7 * K.forward(x.astype("f8")), 0.7)
        found = dual_step(f, K, p, x, 0.7)
        assert found.dtype == x.dtype
        # a few roundings of numbers of order 3
        assert np.abs(found - expected).max() <= 30 * np.finfo(dtype).eps


def test_weights_of_the_image_are_not_those_of_a_composition() -> None:
    """The fused step asks for weights of the gradient's image only where the operator is a gradient."""
    K = Gradient((3, 2)) @ vi.Diagonal(np.full((3, 2), 2.0))
    f, x, p = L21(rand(np, (2,), 0, kind="non-negative")), rand(np, (3, 2), 1), rand(np, (3, 2), 2)
    for A, q in ((K, rand(np, (2, 3, 2), 3)), (vi.Identity((3, 2)), p)):  # vectors over axis 0: (3, 2) has 2 of them
        h = L21(0.5) if A is K else f
        assert np.allclose(dual_step(h, A, q, x, 0.3), h.prox_conj(q + 0.3 * A.forward(x), 0.3), atol=1e-14)


def test_a_step_is_looked_up_by_both_forms() -> None:
    """An entry for a pair of forms gets both; one for any operator gets the operator itself."""
    D, f, square = Gradient((4, 3)), L21(0.3), vi.L2Squared(rand(np, (2, 4, 3), 1), 0.7)
    for role in ("ascent", "value", "pull", "moved"):
        assert find(role, f, D)[1:] == (f.form(), D.form())  # type: ignore[index]
        assert find(role, f, vi.Identity((2, 4, 3))) is None
    assert find("ascent", square, D)[2] is D  # type: ignore[index]
    x, q = rand(np, (4, 3), 2), rand(np, (2, 4, 3), 3)
    assert np.allclose(dual_step(square, D, q, x, 0.3), square.prox_conj(q + 0.3 * D(x), 0.3), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fused_steps_are_the_unfused_ones(dtype: str) -> None:
    shape, eps = (7, 5), 30 * np.finfo(dtype).eps
    x, g, y = (rand(np, shape, i, dtype) for i in range(3))
    w = rand(np, shape, 3, dtype, "non-negative")
    I, D = vi.Identity(shape), Gradient(shape, (0.5, 2.0))
    p = rand(np, D.codomain, 4, dtype)
    square, lo = vi.L2Squared(y, 0.7), np.full(shape, -0.2, dtype)
    for f in (None, vi.NonNegative(), vi.Box(-0.3, 0.4), vi.Box(lo, lo + 1), square, vi.L2Squared(y, w), vi.L2Squared(),
              Joint((square, vi.Box(-0.3, 0.4))), Joint((square, square)), Joint((square,), L1(0.1)),
              Joint((square, vi.Box(lo, lo + 1)))):  # fmt: skip
        for operators, duals in (
            ([], []),
            ([I], [g]),
            ([I, D], [g, p]),
            ([D, I], [p, g]),
            ([D], [p]),
            ([D, D], [p, p]),
        ):
            slope = sum((K.adjoint(a) for K, a in zip(operators, duals, strict=True)), start=0 * x)
            plain = x - 0.3 * slope if f is None else f.prox(x - 0.3 * slope, 0.3)
            new, bar = primal_step(f, operators, duals, x, 0.3, 0.8)
            assert np.abs(new - plain).max() <= eps
            assert np.abs(bar - (plain + 0.8 * (plain - x))).max() <= eps
        broken = g.copy()
        broken[0, 0] = np.nan  # a box does not hide what went wrong
        assert np.isnan(primal_step(f, [I, D], [broken, p], x, 0.3, 0.8)[0][0, 0])
    for f in (
        square,
        vi.L2Squared(y, w),
        vi.L2Squared(0.3),
        vi.Box(-0.3, 0.4),
        Joint((square, vi.Box(-0.3, 0.4))),
        L1(0.4),
    ):
        K, plain = vi.Diagonal(w), f.prox_conj(g + 0.4 * (w * x), 0.4)
        for rho in (1.0, 1.7):
            assert np.abs(dual_step(f, K, g, x, 0.4, rho) - (g + rho * (plain - g))).max() <= eps


@pytest.mark.parametrize("f", [L21(0.3), L1(0.3), Huber(0.2, 0.3, groups=True), Huber(0.2, 0.3)], ids=repr)
@pytest.mark.parametrize("kind", ["none", "number", "weights", "box"])
def test_several_iterations_are_the_formulas(f: Any, kind: str) -> None:
    shape = (7, 5)
    y, u, w = rand(np, shape, 1), rand(np, shape, 2), rand(np, shape, 3, kind="non-negative")
    D = Gradient(shape, (0.5, 2.0))
    p = rand(np, D.codomain, 4)
    g = {"none": None, "number": vi.L2Squared(y, 0.7), "weights": vi.L2Squared(y, w), "box": vi.Box(-0.2, 0.3)}[kind]
    tau, sigma, rho, most = 0.1, 0.4, 1.9, 3
    expected_u, q = u, p
    for _ in range(most):
        back = expected_u - tau * D.adjoint(q)
        x = back if g is None else g.prox(back, tau)
        z = f.prox_conj(q + sigma * D.forward(2 * x - expected_u), sigma)
        expected_u, q = expected_u + rho * (x - expected_u), q + rho * (z - q)
    done, duals = 0, (p,)
    while done < most:
        new, u, duals, made = primal_dual_steps(g, [f @ D], duals, u, tau, [sigma], rho, most - done)
        assert 1 <= made <= most - done
        done += made
    for found, exact in ((new, x), (u, expected_u), (duals[0], q)):
        assert np.abs(found - exact).max() <= 1e-13  # a few roundings of numbers of order 3, each step stretched by ρ


def test_box_takes_infinite_and_array_bounds_and_refuses_empty_ones() -> None:
    z = np.array([-3.0, 0.5, 4.0])
    assert np.array_equal(vi.Box(-INF, 1).prox(z, 1.0), [-3, 0.5, 1])
    assert np.array_equal(vi.Box([-INF, 0, 0], INF).prox(z, 1.0), z)
    f = vi.Box([-INF, 0.0, 1.0], [0.0, INF, 2.0])
    assert f.conj(np.array([2.0, -1.0, 3.0])) == 6.0
    assert f.conj(np.array([-1.0, 0.0, 0.0])) == f.conj(np.array([0.0, 1.0, 0.0])) == INF
    assert np.array_equal(f.feasible(np.array([-1.0, 1.0, -5.0])), [0, 0, -5])
    for lo, hi, words in ((1, 0, "lo must not exceed hi, got lo=1.0, hi=0.0"), (INF, INF, "lo must not be inf"),
                          (-INF, -INF, "hi must not be -inf"), (math.nan, 1, "lo must be finite, got nan"),
                          ([0.0, math.nan], 1, "lo has NaN"), ([0.0], [1.0, 2.0], r"hi must have shape \(1,\)"),
                          (np.zeros(2), np.array([1.0, -1.0]), "lo must not exceed hi")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            vi.Box(lo, hi)


def test_joint_minimises_on_a_grid() -> None:
    """f(z) + (z − v)²/2t and qz − f(z), entry by entry, against a grid of spacing 1e-3."""
    grid = np.arange(-4, 4, 1e-3)
    parts = [((vi.L2Squared(1.0, 0.5), vi.L2Squared(-2.0, 2.0)), L1(0.7), (vi.Box(-0.4, 3.0),)),
             ((vi.L2Squared(0.3),), Huber(0.2, 1.5), ()), ((), L1(0.7), (vi.Box(-1.0, 3.0),)),
             ((), None, (vi.Box(0.5, 1),))]  # fmt: skip
    for squares, rest, boxes in parts:
        f = Joint((*squares, *boxes), rest)
        cost = np.array([0.0 * g for g in grid])
        for s in squares:
            cost += 0.5 * s.weight * (grid - s.y) ** 2
        cost += 0 if rest is None else np.array([rest(np.array([g])) for g in grid])
        for box in boxes:
            cost = np.where((grid >= box.lo - 1e-9) & (grid <= box.hi + 1e-9), cost, INF)
        for v in (-3.0, -0.1, 0.2, 1.7):
            assert abs(f.prox(np.array([v]), 0.6)[0] - grid[np.argmin(cost + (grid - v) ** 2 / 1.2)]) <= 1.5e-3
            assert abs(f.conj(np.array([v])) - np.max(v * grid - cost)) <= 1e-2  # slope × spacing


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_slope_that_nobody_holds_is_written_over(dtype: str) -> None:
    """x' takes the place of Aᵀq where A makes a new array; where A gives q itself, q stays."""
    shape, D = (33, 6), Gradient((33, 6))
    x, g, y, p = (rand(np, s, i, dtype) for i, s in enumerate((shape, shape, shape, D.codomain)))
    for lo in (-INF, 0.1):
        settings = (p, D.form(), Quadratic(y, 0.7, lo, INF), 0.8)
        there = g.copy()
        new, bar = tv_descent(x, 0.3, there, *settings, True)
        kept = tv_descent(x, 0.3, g, *settings)
        assert np.shares_memory(new, there)
        assert not np.shares_memory(kept[0], g)
        # one sum in another order: a few roundings of numbers of order 3
        assert max(np.abs(a - b).max() for a, b in zip((new, bar), kept, strict=True)) <= 30 * np.finfo(dtype).eps
        frozen = g.copy()
        frozen.flags.writeable = False
        assert not np.shares_memory(tv_descent(x, 0.3, frozen, *settings, True)[0], frozen)
    before = g.tobytes()
    primal_step(vi.L2Squared(y), [vi.Identity(shape), D], [g, p], x, 0.3, 1.0)
    assert g.tobytes() == before


def test_fresh_operators_make_new_arrays() -> None:
    assert all(hasattr(vi, name) for name in vi.__all__)  # operators register when they are imported
    fresh = {k for k in LinearOperator.kinds if k.fresh and k.__module__.startswith("varinv.")}
    assert fresh == {vi.Radon}, "add the others below"
    for K in itertools.islice(vi.Radon.examples(), 7):
        for apply, shape in ((K.forward, K.domain), (K.adjoint, K.codomain)):
            given = rand(np, shape, 0)
            one, two = apply(given), apply(given)
            assert not np.shares_memory(one, given)
            assert not np.shares_memory(one, two)
