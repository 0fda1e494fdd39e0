"""The algebra of problems: sums, compositions, weights; what stays primal; errors that name the shapes."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.functionals.base import Term
from varinv.functionals.sparsity import L1, L21
from varinv.joint import Joint, combine
from varinv.operators.gradient import Gradient

SHAPE = (3, 4)
D = vi.Diagonal(np.arange(1.0, 13).reshape(SHAPE))
Y = rand(np, SHAPE, 1)
X = rand(np, SHAPE, 2)


def test_values_are_what_the_formulas_say() -> None:
    f, g, tv = vi.L2Squared(Y), L1(0.5), vi.TV(SHAPE)
    data, sparse = 0.5 * np.sum((D.values * X - Y) ** 2), 0.5 * np.abs(X).sum()
    dx = np.vstack([np.diff(X, axis=0), np.zeros((1, 4))])
    dy = np.hstack([np.diff(X, axis=1), np.zeros((3, 1))])
    total = np.sqrt(dx**2 + dy**2).sum()
    for problem, expected in (
        (f @ D + g, data + sparse),
        (g + f @ D, data + sparse),
        (f @ D + 0.3 * tv, data + 0.3 * total),
        (0.3 * tv + f @ D, data + 0.3 * total),
        (tv + f @ D + g, data + sparse + total),
        (2 * (f @ D + 0.3 * tv + g), 2 * (data + 0.3 * total + sparse)),
        (2 * (f @ D) + tv, 2 * data + total),
        ((2 * f) @ D + tv, 2 * data + total),
        (sum([f @ D, g, tv]), data + sparse + total),
        (sum([tv, f @ D]), data + total),
        (sum([f @ D + g, tv]), data + sparse + total),
        (sum([f @ D]), data),
        ((f @ D + g) + (tv + tv), data + sparse + 2 * total),
        ((f + g) @ D, data + 0.5 * np.abs(D.values * X).sum()),
        ((f @ vi.Identity(SHAPE)) @ D + 0 * tv, data),
        (0 * g + f @ D, data),
    ):
        assert isinstance(problem, vi.Problem)
        assert np.isclose(problem(X), expected, rtol=1e-13)
        assert np.isclose(pickle.loads(pickle.dumps(problem))(X), expected, rtol=1e-13)
    assert (f @ D)(X) == pytest.approx(data, rel=1e-13)
    assert repr(f @ D + 0.3 * tv + vi.NonNegative()) == (
        "L2Squared((3, 4) data) @ Diagonal((3, 4)) + L21(0.3) @ Gradient((3, 4)) + NonNegative()"
    )


def test_single_precision_sums_in_double() -> None:
    y = np.full((300, 300), 0.1, "f4")
    exact = 0.5 * 90000 * (1 - float(np.float32(0.1))) ** 2
    assert vi.Problem((vi.Term(vi.L2Squared(y)),))(np.ones((300, 300), "f4")) == pytest.approx(exact, rel=1e-12)


def test_what_cannot_be_added_or_multiplied_says_so() -> None:
    p = vi.L2Squared(Y) + vi.TV(SHAPE)
    for bad in (lambda: p + 3, lambda: 3 + p, lambda: vi.TV(SHAPE) + Y, lambda: vi.L1() + "x", lambda: 3 + vi.TV(SHAPE),
                lambda: 3 + vi.L1(), lambda: Y * vi.TV(SHAPE), lambda: Y * p, lambda: vi.L1() @ Y, lambda: p @ 3,
                lambda: vi.TV(SHAPE) @ Y, lambda: p + None, lambda: vi.Term(3), lambda: "2" * vi.L1()):  # fmt: skip
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(ValueError, match="lam must be at least 0, got -2"):
        -2 * p
    with pytest.raises(TypeError, match=r"a term needs a Functional, got 3"):
        vi.Term(3)  # type: ignore[arg-type]


def test_shapes_that_do_not_fit_are_refused_with_both() -> None:
    with pytest.raises(ValueError, match=r"must have shape \(3, 4\), got \(4, 3\); it looks transposed") as error:
        vi.L2Squared(Y.T.copy()) @ D
    assert "Diagonal((3, 4)) maps (3, 4) to (3, 4)" in str(error.value)
    with pytest.raises(ValueError, match=r"\(3, 4\), got \(4, 3\); it looks transposed"):
        vi.L2Squared(Y.T.copy()) + vi.TV(SHAPE)
    with pytest.raises(ValueError, match=r"share one image, got shapes \(3, 4\) .* and \(4, 3\)"):
        vi.L2Squared(Y) @ D + vi.TV((4, 3))
    with pytest.raises(ValueError, match=r"must have shape \(3, 4\), got \(2, 6\)"):
        vi.L2Squared(Y) + vi.L2Squared(np.ones((2, 6)))  # no operator fixes the image: the data do
    with pytest.raises(ValueError, match=r"weight must have shape \(3, 4\), got \(4, 3\)"):
        vi.TV(SHAPE, weight=np.ones((4, 3)))
    p = vi.L2Squared(Y) + vi.TV(SHAPE)
    with pytest.raises(ValueError, match=r"x must have shape \(3, 4\), got \(4, 3\); it looks transposed"):
        p(X.T)
    with pytest.raises(ValueError, match=r"gap: the dual of .* must have shape \(2, 3, 4\), got \(2, 12\)"):
        p.gap(X, (np.zeros((2, 12)),))  # the fused kernel would read as many numbers and not see it
    with pytest.raises(ValueError, match="gap: one dual array a term behind an operator, 1, got 2"):
        p.gap(X, (np.zeros((2, 3, 4)),) * 2)
    for bad in (vi.L1() + vi.NonNegative(), vi.Problem(())):
        with pytest.raises(ValueError, match="no term fixes the shape of the image"):
            bad.zeros()


def test_gradient_and_hessian_against_differences() -> None:
    smooth = vi.L2Squared(Y) @ D + 0.3 * vi.TV(SHAPE, smoothing=0.2) + 0.1 * vi.Huber(0.5) @ D + vi.L2Squared(Y, 2.0)
    d, h = rand(np, SHAPE, 5), 1e-5
    slope = (smooth(X + h * d) - smooth(X - h * d)) / (2 * h)
    assert slope == pytest.approx(float(np.sum(smooth.grad(X) * d)), rel=1e-8)  # h² and rounding/h
    bend = (smooth.grad(X + h * d) - smooth.grad(X - h * d)) / (2 * h)
    assert np.allclose(bend, smooth.hvp(X, d), rtol=1e-6, atol=1e-7)
    with pytest.raises(TypeError, match=r"L21\(1\) has no gradient; smooth it"):
        (vi.L2Squared(Y) + vi.TV(SHAPE)).grad(X)
    with pytest.raises(TypeError, match=r"L1.* has no second derivative"):
        (vi.L2Squared(Y) + vi.L1()).hvp(X, X)


IMAGE_TERMS = [
    vi.L2Squared(Y), vi.L2Squared(Y, np.abs(Y)), vi.NonNegative(), vi.Box(-1, 0.7), L1(0.4),
    vi.KullbackLeibler(np.abs(Y)), vi.L2Ball(Y, 9.0), L21(0.3), vi.Huber(0.2),
]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_combination_splits_without_losing_a_term(count: int) -> None:
    """simple + coupled is the sum of the terms, and the joint prox beats every candidate."""
    for parts in itertools.combinations(IMAGE_TERMS, count):
        problem = sum(parts, start=vi.L2Squared(Y) @ D + vi.TV(SHAPE))
        x = np.clip(np.abs(Y), 0.01, 0.7)  # where all of them are finite
        split = (problem.simple(x) if problem.simple is not None else 0.0) + sum(t(x) for t in problem.coupled)
        assert np.isfinite(split)
        assert split == pytest.approx(
            sum((f(x) for f in parts), start=(vi.L2Squared(Y) @ D + vi.TV(SHAPE))(x)), rel=1e-12
        )
        assert sum(t.K.domain == SHAPE for t in problem.coupled) == len(problem.coupled) <= 2 + count - 1
        f = problem.simple
        assert f is not None
        v = 1.5 * rand(np, SHAPE, 9)
        p = f.prox(v, 0.8)
        cost = f(p) + np.sum((p - v) ** 2) / 1.6
        rng = np.random.default_rng(count)
        for scale in np.logspace(-4, 0, 12):
            other = p + scale * np.where(rng.uniform(size=SHAPE) < 0.5, rng.standard_normal(SHAPE), x - p)
            assert f(other) + np.sum((other - v) ** 2) / 1.6 >= cost - 1e-12 * abs(cost)


def together(functionals: Any) -> Any:
    """`combine` on functionals of the image itself."""
    simple, left = combine(map(Term, functionals))
    return simple, tuple(t.f for t in left)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_term_has_one_place(count: int) -> None:
    """Boxes have no value inside, so a sum of values does not show one that is gone; terms that are not convex push
    them aside."""
    known = [*IMAGE_TERMS, vi.L0(0.1), vi.LogSum(0.2, 0.3)]
    for parts in itertools.combinations(known, count):
        simple, left = together(parts)
        held = () if simple is None else simple.parts if isinstance(simple, Joint) else (simple,)
        assert sorted(map(id, (*held, *left))) == sorted(map(id, parts))


def test_what_stays_primal() -> None:
    nonneg, square, group, ball = vi.NonNegative(), vi.L2Squared(Y), L21(0.3), vi.L2Ball(Y, 1.0)
    assert together([]) == (None, ())
    assert together([nonneg]) == (nonneg, ())
    assert together([square]) == (square, ())
    joint, left = together([square, nonneg, vi.L1()])
    assert (len(joint.parts), left) == (3, ())
    boxes, left = together([vi.Box(-1, 2), nonneg, vi.Box(-3.0, np.full(SHAPE, 1.5))])
    assert isinstance(boxes, Joint)
    box = boxes.form()
    assert (float(box.lo), float(box.hi.min()), left) == (0.0, 1.5, ())
    assert together([nonneg, group])[1] == (group,)  # clipping a group's prox would not be the prox of the sum
    assert together([vi.L2Squared(Y, np.abs(Y)), ball])[1] == (ball,)
    assert together([square, ball])[1] == ()
    problem = nonneg + vi.L2Ball(Y, 9.0) + 0.1 * vi.TV(SHAPE)
    assert [type(t.K) for t in problem.coupled] == [Gradient, vi.Identity]
    with pytest.raises(ValueError, match=r"both Box\(2, 3\) and Box\(0, 1\): it cannot be"):
        vi.Box(2, 3) + nonneg + vi.Box(0, 1) + vi.TV(SHAPE)


def test_zeros_follow_the_data(xp: Any) -> None:
    y = rand(xp, SHAPE, 1, "float32")
    zeros = (vi.TV(SHAPE) + vi.L2Squared(y)).zeros()
    assert type(zeros) is type(y) or isinstance(zeros, np.ndarray)
    assert (zeros.dtype, tuple(zeros.shape)) == (y.dtype, SHAPE)
    assert vi.TV(SHAPE).__add__(vi.NonNegative()).zeros().dtype == np.float64
