"""Operators of users: four members are enough; a subclass that maps otherwise keeps none of its parent's formulas."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from test_operators import TINY

import varinv as vi
from varinv.backend import library
from varinv.learning.noise import noise_level
from varinv.operators.base import Adjoint, LinearOperator
from varinv.solvers.forward_backward import strength
from varinv.solvers.least_squares import Square

SHAPE = (6, 5)
Y = rand(np, SHAPE, 1)
HOLE = (rand(np, SHAPE, 2, kind="non-negative") > 0.3) * 1.0


@pytest.fixture(autouse=True)
def _register_of_the_package():
    """Classes of these tests leave the register: the contract tests must not ask them for examples."""
    before = list(LinearOperator.kinds)
    yield
    LinearOperator.kinds[:] = before


class Masked(vi.Gradient):
    """Differences that cost nothing where the mask is 0."""

    def forward(self, x: Any) -> Any:
        return HOLE * super().forward(x)

    def adjoint(self, y: Any) -> Any:
        return super().adjoint(HOLE * y)


LinearOperator.kinds.remove(Masked)


class Turned(vi.LinearOperator):
    """The image turned by a quarter, weighted: no more than an operator needs."""

    def __init__(self, d: Any) -> None:
        self.d, self.domain, self.codomain = d, tuple(d.shape), tuple(d.shape)[::-1]

    def forward(self, x: Any) -> Any:
        return (self.d * x).T

    def adjoint(self, y: Any) -> Any:
        return self.d * y.T


LinearOperator.kinds.remove(Turned)


def twice(K: Any, **settings: Any) -> Any:
    """K as an instance of a subclass that maps x to 2 K x."""

    def forward(self: Any, x: Any) -> Any:
        return 2 * type(K).forward(self, x)

    def adjoint(self: Any, y: Any) -> Any:
        return 2 * type(K).adjoint(self, y)

    kind: Any = type("Twice", (type(K),), {"forward": forward, "adjoint": adjoint}, **settings)
    kind = dataclasses.dataclass(frozen=True, eq=False, repr=False)(kind)
    return kind(**{f.name: getattr(K, f.name) for f in dataclasses.fields(K)})


def test_a_masked_gradient_gives_its_own_image() -> None:
    """Against the same operator composed of built-in ones, which share no step with it."""
    K = Masked(SHAPE)
    composed = vi.Diagonal(np.stack([HOLE, HOLE])) @ vi.Gradient(SHAPE)
    problem, same = (vi.L2Squared(Y) + vi.L21(0.3) @ A for A in (K, composed))
    plain = vi.solve(vi.L2Squared(Y) + vi.L21(0.3) @ vi.Gradient(SHAPE), stop=vi.gap(1e-10)).x
    expected = vi.solve(same, stop=vi.gap(1e-10)).x
    found = vi.solve(problem, stop=vi.gap(1e-10))
    # the objective is 1-strongly convex: ½‖x − x*‖² ≤ gap, 1e-10 of some 10
    assert np.linalg.norm(found.x - expected) <= 1e-4
    assert np.linalg.norm(plain - expected) > 0.1


@pytest.mark.parametrize("K", TINY, ids=repr)
def test_a_subclass_with_another_map_keeps_no_formula_of_its_parent(K: Any) -> None:
    D = twice(K)
    M = dense(D)
    np.testing.assert_allclose(M, 2 * dense(K), atol=1e-12 * (1 + abs(M).max()))
    true = np.linalg.norm(M, 2)
    assert true * (1 - 1e-13) <= D.norm() <= 1.06 * true + 1e-300  # the docstring says 5 % on most spectra
    if type(K) is not Adjoint:  # whose .T is the operator it holds
        assert D.T.norm() == D.norm()
    assert (3 * D).norm() == 3 * D.norm()
    assert D.form() is D.absolute() is D.isometry() is D.coisometry() is D.diagonal() is D.views() is None
    assert D.preconditioner() is D.scan_geometry() is D.reads() is D.writes() is None
    assert D.pseudoinverse(np.zeros(D.codomain), 1e-10) is None
    assert not D.shift_invariant()
    assert not D.fresh
    for ask in (lambda: D.subset([0]), lambda: D.restricted(0, [0])):
        with pytest.raises(TypeError, match=r"has no views|does not act entry by entry"):
            ask()


@pytest.mark.parametrize(
    "K",
    [vi.Diagonal(1 + abs(Y)), vi.Blur(SHAPE, [1.0, 3.0, 1.0]), vi.Radon(SHAPE, vi.ParallelBeam([0.1, 0.9, 2.0], 8))],
    ids=repr,
)
def test_pseudo_inverse_filter_and_fbp_of_a_subclass(K: Any) -> None:
    D, y = twice(K), rand(np, K.codomain, 3)
    exact = (np.linalg.pinv(dense(D), rcond=1e-9) @ y.ravel()).reshape(SHAPE)
    np.testing.assert_allclose(D.pinv(y), exact, atol=1e-6 * abs(exact).max())  # conjugate gradients
    tikhonov = np.linalg.solve(dense(D).T @ dense(D) + np.eye(30), dense(D).T @ y.ravel()).reshape(SHAPE)
    np.testing.assert_allclose(vi.spectral(D, y, vi.filters.tikhonov(1.0)), tikhonov, atol=1e-10)
    with pytest.raises(TypeError, match="must be a Radon or AstraRadon operator"):
        vi.fbp(D, y)
    same = twice(K, same_map=True)  # (it lies: all that its parent says is believed)
    assert (same.views(), same.shift_invariant(), same.diagonal() is None) == (
        K.views(),
        K.shift_invariant(),
        K.diagonal() is None,
    )


def test_one_of_the_pair_alone_is_refused_with_words() -> None:
    class Half(vi.Gradient):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

    K = Half(SHAPE)
    text = (
        r"Half overrides forward, so that adjoint of Gradient may not hold any more: define adjoint in Half, "
        r"or write adjoint = Gradient\.adjoint there if it still does"
    )
    for ask in (
        lambda: K.adjoint(K(Y)),
        lambda: K.T(K(Y)),
        K.norm,
        lambda: vi.solve(vi.L21(0.1) @ K + vi.L2Squared(Y)),
    ):
        with pytest.raises(AttributeError, match=text):
            ask()

    class Kept(Half):
        adjoint = vi.Gradient.adjoint

    assert np.array_equal(Kept(SHAPE).adjoint(K(Y)), 2 * vi.Gradient(SHAPE).adjoint(vi.Gradient(SHAPE)(Y)))


def test_mixins_and_later_subclasses() -> None:
    class Negative:
        """A mixin that says what the sign does."""

        def forward(self, x: Any) -> Any:
            return -super().forward(x)  # type: ignore[misc]

        def adjoint(self, y: Any) -> Any:
            return -super().adjoint(y)  # type: ignore[misc]

    class NegativeBlur(Negative, vi.Blur):
        pass

    class Later(NegativeBlur):
        """Maps as its parent does, and says less."""

    class Says(NegativeBlur):
        def norm(self) -> float:
            return 7.0

        shift_invariant = vi.Blur.shift_invariant

    for kind in (NegativeBlur, Later):
        K: Any = kind(SHAPE, [1.0, 2.0])
        assert K.absolute() is None
        assert not K.shift_invariant()
        assert 3 * (1 - 1e-13) <= K.norm() <= 3.15
    K = Says(SHAPE, [1.0, 2.0])
    assert (K.norm(), K.shift_invariant(), K.absolute()) == (7.0, True, None)

    class Counted(vi.Blur, same_map=True):
        def forward(self, x: Any) -> Any:
            return super().forward(x)

    class Again(Counted):
        pass

    class Other(Counted):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

        def adjoint(self, y: Any) -> Any:
            return 2 * super().adjoint(y)

    assert Again(SHAPE, [1.0, 2.0]).norm() == vi.Blur(SHAPE, [1.0, 2.0]).norm()
    assert Again(SHAPE, [1.0, 2.0]).shift_invariant()
    assert Other(SHAPE, [1.0, 2.0]).norm() >= 6 * (1 - 1e-13)
    assert not Other(SHAPE, [1.0, 2.0]).shift_invariant()


def test_four_members_are_enough(xp: Any) -> None:
    K = Turned(xp.asarray(np.array(1 + abs(Y))))
    assert (1 + abs(Y)).max() * (1 - 1e-13) <= K.norm() <= 1.05 * (1 + abs(Y)).max()
    y = K(rand(xp, SHAPE, 4))
    result = vi.solve(vi.L2Squared(y) @ K + 0.05 * vi.TV(SHAPE) + vi.Box(-9, 9), stop=vi.gap(1e-6))
    assert "gap" in result.why
    assert library(result.x) == library(y)


def test_a_norm_without_negative_entries_is_certified() -> None:
    class Positive(Turned):
        def absolute(self) -> Any:
            return self

    K, Z = Positive(abs(Y)), Positive(0 * Y)
    assert abs(Y).max() * (1 - 1e-13) <= K.norm() <= 1.01 * abs(Y).max()
    assert (Z.norm(), Turned(0 * Y).norm()) == (0.0, 0.0)
    assert Turned(np.full((1, 1), -3.0)).norm() == pytest.approx(3, rel=1e-5)


def test_shift_invariant_operators_commute_with_shifts() -> None:
    asked = [K for K in TINY if K.shift_invariant()]
    kinds = {type(K).__name__ for K in asked}
    assert {"Identity", "Blur", "Gradient", "ConvolutionBank", "Sobolev"} <= kinds
    for K in asked:
        x = rand(np, K.domain, 5)
        axes = tuple(range(-x.ndim, 0))
        moved = K(np.roll(x, (1,) * x.ndim, axes))
        expected = np.roll(K(x), (1,) * x.ndim, axes)
        assert np.linalg.norm(moved - expected) <= 1e-12 * K.norm() * np.linalg.norm(x), K


def test_what_acts_entry_by_entry_says_so() -> None:
    d, I = vi.Diagonal(1 + Y), vi.Identity(SHAPE)
    for K in (d, 2 * d, d.T, d @ I, d + I, -I, d - 2 * d @ d):
        assert np.abs(dense(K) - np.diag(np.broadcast_to(K.diagonal(), SHAPE).ravel())).max() <= 1e-14
        part = K.restricted(-2, [4, 1])
        assert np.array_equal(part(Y[[4, 1]]), K(Y)[[4, 1]])
    for K in (vi.Gradient(SHAPE), d @ vi.Blur(SHAPE, [1.0]), I + vi.Blur(SHAPE, [1.0])):
        assert K.diagonal() is None


def test_isometries_are_strongly_convex_and_multiples_of_the_identity_show_images() -> None:
    """What solvers and rules once asked of the class Identity alone."""
    W, D = vi.Wavelet(SHAPE, "db2", levels=1), vi.Diagonal(1 + Y)
    for K, mu in ((2 * W, 4.0), (vi.Identity(SHAPE), 1.0), (D, 0.0), (twice(W), 0.0)):
        assert strength(vi.L2Squared(0 * Y) @ K + vi.L1(0.1)) == (pytest.approx(mu, rel=1e-12), 0.0)
    image = rand(np, (64, 64), 6)  # white noise of standard deviation 1
    I = vi.Identity((64, 64))
    for K in (I, 2 * I, -I, None):
        assert noise_level("SURE", None, image, Square(image, 1.0, K, None)) == noise_level(
            "SURE", None, image, Square(image, 1.0, None, None)
        )
    for K in (vi.Diagonal(1 + abs(image)), twice(I), vi.Blur((64, 64), [1.0, 1.0])):
        with pytest.raises(ValueError, match="can be estimated from images only"):
            noise_level("SURE", None, image, Square(image, 1.0, K, None))
