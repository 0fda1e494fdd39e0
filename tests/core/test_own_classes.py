"""Classes of a user's own, end to end: the same images, proofs, solvers and errors as with the built-in ones."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from page import page

import varinv as vi
from varinv.certificate import NoCertificate
from varinv.forms import Magnitudes, Quadratic, length
from varinv.linalg import dot, norm
from varinv.metrics import relative_error

pytestmark = pytest.mark.usefixtures("one_thread")
P = page()


@dataclass(frozen=True, eq=False)
class Lengths(vi.Functional):
    """Σ w |p_i|: value, prox and conjugate by hand, as a user would write them."""

    w: float = 1.0

    def __call__(self, p: Any) -> float:
        return self.w * float(np.sum(length(p)))

    def prox(self, p: Any, step: Any) -> Any:
        n = length(p)
        return np.maximum(n - step * self.w, 0) / np.where(n > 0, n, 1) * p

    def conj(self, q: Any) -> float:
        return 0.0 if float(np.max(length(q))) <= self.w * (1 + 1e-12) else math.inf


class LengthsAsForm(Lengths):
    def form(self) -> Magnitudes:
        return Magnitudes(self.w, groups=True)


@dataclass(frozen=True, eq=False)
class Above(vi.Functional):
    """x ≥ 0."""

    separable = True

    def __call__(self, x: Any) -> float:
        return 0.0 if float(np.min(x)) >= 0 else math.inf

    def prox(self, x: Any, step: Any) -> Any:
        return np.maximum(x, 0)

    def conj(self, q: Any) -> float:
        return 0.0 if float(np.max(q)) <= 0 else math.inf


class AboveAsForm(Above):
    def form(self) -> Quadratic:
        return Quadratic(lo=0.0)


TRUTH, A, Y = P.truth, P.A, P.sinogram
TV = 0.3 * vi.TV(TRUTH.shape)
FIELD = vi.Gradient(TRUTH.shape)
NOISY = TRUTH + 0.2 * rand(np, TRUTH.shape, 3)
# name → (built-in problem, with what it says of itself, with value, prox, conj and grad alone)
TABLE = {
    "data term": (
        vi.L2Squared(Y) @ A + TV + vi.NonNegative(),
        P.SquaresAsForm(Y) @ A + TV + vi.NonNegative(),
        P.Squares(Y) @ A + TV + vi.NonNegative(),
    ),
    "data term, total and lifted": (
        vi.L2Squared(Y) @ A + TV + vi.NonNegative(),
        P.SquaresLifted(Y) @ A + TV + vi.NonNegative(),
        P.Squares(Y) @ A + TV + vi.NonNegative(),
    ),
    "denoising": (vi.L2Squared(NOISY) + 0.1 * vi.TV(TRUTH.shape), P.SquaresAsForm(NOISY) + 0.1 * vi.TV(TRUTH.shape),
                  P.Squares(NOISY) + 0.1 * vi.TV(TRUTH.shape)),
    "total variation": (
        vi.L2Squared(Y) @ A + TV + vi.NonNegative(),
        vi.L2Squared(Y) @ A + LengthsAsForm(0.3) @ FIELD + vi.NonNegative(),
        vi.L2Squared(Y) @ A + Lengths(0.3) @ FIELD + vi.NonNegative(),
    ),
    "x ≥ 0": (
        vi.L2Squared(Y) @ A + TV + vi.NonNegative(), vi.L2Squared(Y) @ A + TV + AboveAsForm(),
        vi.L2Squared(Y) @ A + TV + Above(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_what_says_what_it_is_is_proved_as_fast_as_the_built_in(name: str) -> None:
    ours, own = (vi.solve(p, stop=vi.gap(1e-3) | vi.iterations(3000)) for p in TABLE[name][:2])
    print(f"{name}: {own.state.k} iterations, built-in {ours.state.k}; {own.why}")
    assert ours.why.startswith("relative gap")
    assert own.why.startswith("relative gap")
    assert own.state.k <= 1.5 * ours.state.k
    assert own.problem.gap(own.x, own.state.y).dual <= TABLE[name][0](ours.x) * (1 + 1e-9)  # no false bound


@pytest.mark.parametrize("name", TABLE)
def test_value_prox_conj_and_grad_alone_give_the_same_image(name: str) -> None:
    ours, _, plain = TABLE[name]
    solver = vi.ChambollePock()
    best, x = (vi.solve(p, solver, stop=vi.iterations(1000)).x for p in (ours, plain))
    assert relative_error(x, best) <= 1e-3


@pytest.mark.parametrize("name", TABLE)
def test_without_them_a_gap_is_proved_or_the_error_names_the_method(name: str) -> None:
    plain = TABLE[name][2]
    try:
        result = vi.solve(plain, stop=vi.gap(1e-3) | vi.iterations(3000))
    except NoCertificate as error:
        text = str(error)
        assert "form()" in text
        assert any(word in text for word in ("Squares", "Above"))
        print(name, ":", text)
    else:
        print(name, ":", result.why, result.state.k)
        assert result.why.startswith("relative gap")
        assert name in ("denoising", "total variation")  # conj is enough: the data term knows the rest
    # without a rule, the run ends by its residual
    assert vi.solve(plain, stop=None).why.startswith(("relative gap", "residual"))


SQUARE_SOLVERS = [vi.CG(), vi.CGLS(), vi.LSQR(), vi.SIRT()]


@pytest.mark.parametrize("solver", SQUARE_SOLVERS, ids=lambda s: type(s).__name__)
def test_least_squares_solvers_take_an_own_square_by_its_form(solver: Any) -> None:
    ours, own = (
        vi.solve(vi.Problem((f(Y) @ A,)), solver, stop=vi.iterations(30)) for f in (vi.L2Squared, P.SquaresAsForm)
    )
    assert relative_error(own.x, ours.x) <= 1e-12  # the same formulas on the same numbers
    if isinstance(solver, (vi.CG, vi.CGLS, vi.LSQR)):
        assert norm(A(own.x) - Y) <= 0.2 * norm(Y)  # and it is solved: noise of 0.3 in data of about 10
    with pytest.raises(ValueError, match=r"Squares.*form\(\)"):
        vi.solve(vi.Problem((P.Squares(Y) @ A,)), solver, stop=vi.iterations(30))


def test_a_typo_in_an_own_method_is_the_users_own_error() -> None:
    class Misspelt(P.Squares):  # type: ignore[misc,name-defined]
        def conj(self, q: Any) -> float:
            return dot(q, self.z)  # type: ignore[attr-defined,no-any-return]

        prox, grad, __call__ = P.Squares.prox, P.Squares.grad, P.Squares.__call__

    vi.Functional.kinds.remove(Misspelt)
    problem = Misspelt(NOISY) + 0.1 * vi.TV(TRUTH.shape)
    with pytest.raises(AttributeError, match="'Misspelt' object has no attribute 'z'"):
        vi.solve(problem, stop=vi.gap(1e-3))


# ------------------------------------------------------------------------ subclasses that override, and what they lose


class Doubled(vi.L2Squared):
    """½ Σ 2|z − y − 1|²: value, prox, conj and grad of its own."""

    def __call__(self, z: Any) -> float:
        return float(np.sum((z - self.y - 1) ** 2))

    def prox(self, z: Any, step: Any) -> Any:
        return (z + 2 * step * (self.y + 1)) / (1 + 2 * step)

    def conj(self, q: Any) -> float:
        return float(np.sum(q * q) / 4 + np.sum(q * (self.y + 1)))

    def grad(self, z: Any) -> Any:
        return 2 * (z - self.y - 1)


class Portfolio(vi.Box):
    """0 ≤ x ≤ hi and Σ x ≤ 1."""

    separable = False

    def __call__(self, x: Any) -> float:
        good = float(np.min(x)) >= 0 and float(np.max(x)) <= self.hi + 1e-12 and float(np.sum(x)) <= 1 + 1e-9
        return 0.0 if good else math.inf

    def prox(self, x: Any, step: Any) -> Any:
        clipped = np.clip(x, 0, self.hi)
        if np.sum(clipped) <= 1:
            return clipped
        low, high = 0.0, float(np.max(x))
        for _ in range(100):
            t = (low + high) / 2
            low, high = (t, high) if np.sum(np.clip(x - t, 0, self.hi)) > 1 else (low, t)
        return np.clip(x - high, 0, self.hi)


class Firm(vi.L21):
    """Σ w|p_i| + ½|p_i|²: the prox alone is overridden, with the value and conjugate it belongs to."""

    def __call__(self, p: Any) -> float:
        return vi.L21.__call__(self, p) + dot(p, p) / 2

    def prox(self, p: Any, step: Any) -> Any:
        return vi.L21.prox(self, p / (1 + step), step / (1 + step))


class Counts(vi.KullbackLeibler):
    """Kullback–Leibler in which each count weighs twice: value, gradient and prox."""

    def __call__(self, z: Any) -> float:
        return 2 * vi.KullbackLeibler.__call__(self, z)

    def grad(self, z: Any) -> Any:
        return 2 * vi.KullbackLeibler.grad(self, z)

    def prox(self, z: Any, step: Any) -> Any:
        return vi.KullbackLeibler.prox(self, z, 2 * step)


class Softer(vi.Huber):
    """Twice the Huber function, by value, prox and gradient: behind the gradient, a smoothed total variation."""

    def __call__(self, z: Any) -> float:
        return 2 * vi.Huber.__call__(self, z)

    def prox(self, z: Any, step: Any) -> Any:
        return vi.Huber.prox(self, z, 2 * step)

    def grad(self, z: Any) -> Any:
        return 2 * vi.Huber.grad(self, z)


SHAPE = (4, 5)
D = dense(vi.Gradient(SHAPE))
U = cp.Variable(20)
SMALL = rand(np, SHAPE, 1)
LENGTHS = cp.norm(cp.vstack([D[:20] @ U, D[20:] @ U]), axis=0)
R = vi.Radon(SHAPE, vi.ParallelBeam(np.arange(6) * np.pi / 6 + 0.1, 8))
COUNTS = np.round(4 * R(np.abs(SMALL)))
OVERRIDES = {
    "L2Squared": (
        Doubled(SMALL) + 0.5 * vi.TV(SHAPE) + vi.NonNegative(),
        lambda: (cp.sum_squares(U - SMALL.ravel() - 1) + 0.5 * cp.sum(LENGTHS), [U >= 0]),
    ),
    "Box": (
        vi.L2Squared(SMALL) @ vi.Diagonal(np.full(SHAPE, 0.5)) + 0.1 * vi.TV(SHAPE) + Portfolio(0.0, 0.3),
        lambda: (0.5 * cp.sum_squares(0.5 * U - SMALL.ravel()) + 0.1 * cp.sum(LENGTHS),
                 [U >= 0, U <= 0.3, cp.sum(U) <= 1]),
    ),
    "L21": (
        vi.L2Squared(SMALL) + Firm(0.4) @ vi.Gradient(SHAPE),
        lambda: (0.5 * cp.sum_squares(U - SMALL.ravel()) + 0.4 * cp.sum(LENGTHS) + 0.5 * cp.sum_squares(D @ U), []),
    ),
    "KullbackLeibler": (
        Counts(COUNTS, 0.5) @ R + 0.6 * vi.TV(SHAPE) + vi.NonNegative(),
        lambda: (2 * cp.sum(cp.kl_div(COUNTS.ravel(), dense(R) @ U + 0.5)) + 0.6 * cp.sum(LENGTHS), [U >= 0]),
    ),
    "Huber": (
        vi.L2Squared(SMALL) + Softer(0.3, 0.4, groups=True) @ vi.Gradient(SHAPE),
        lambda: (0.5 * cp.sum_squares(U - SMALL.ravel()) + 0.4 / 0.3 * cp.sum(cp.huber(LENGTHS, 0.3)), []),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRIDES)
def test_a_subclass_that_overrides_is_itself_and_not_its_parent(name: str) -> None:
    problem, oracle = OVERRIDES[name]
    objective, limits = oracle()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cp.Problem(cp.Minimize(objective), limits).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
        )
    for solver in (None, vi.ChambollePock()):
        x = vi.solve(problem, solver, stop=vi.residual(1e-9) | vi.iterations(6000)).x
        # a residual of 1e-9 times conditions of some 100; cvxpy's own image is good to about 1e-6
        assert relative_error(x, np.reshape(U.value, SHAPE)) <= 1e-4


def test_what_a_subclass_loses_is_said() -> None:
    for f, name in ((Doubled(SMALL), "hvp"), (Counts(COUNTS, 0.5), "lifted"), (Firm(0.4), "conj")):
        assert not hasattr(f, name)
        with pytest.raises(
            AttributeError, match=rf"{type(f).__name__} overrides .*define {name} in {type(f).__name__}"
        ):
            getattr(f, name)
        assert f.form() is None


for _c in (Lengths, LengthsAsForm, Above, AboveAsForm, Doubled, Portfolio, Firm, Counts, Softer):
    vi.Functional.kinds.remove(_c)
