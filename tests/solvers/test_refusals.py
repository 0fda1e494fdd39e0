"""A refusal is an exception of its own; what a user's class does wrong is an error, and never "not suited"."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.certificate import NoCertificate
from varinv.solvers.base import Unsuited

Y = np.array([1.0, 2.0, 0.5])
A = vi.Matrix(np.array([[1.0, 0.2, 0.0], [0.0, 1.0, 0.3], [0.4, 0.0, 1.0]]))


class Square(vi.Functional):
    """½‖z‖² with a proximal map."""

    def __call__(self, z: Any) -> float:
        return 0.5 * float((z * z).sum())

    def prox(self, z: Any, step: Any) -> Any:
        return z / (1 + step)


class Typo(Square):
    def conj(self, y: Any) -> float:
        return 0.5 * float((y * y).summ())


class WrongValue(Square):
    def conj(self, y: Any) -> float:
        raise ValueError("my own mistake")


class NoNorm(vi.LinearOperator):
    """An operator whose `norm` holds a mistake."""

    domain = codomain = (3,)

    def __init__(self, error: Exception) -> None:
        self.error = error

    def forward(self, x: Any) -> Any:
        return x

    def adjoint(self, y: Any) -> Any:
        return y

    def norm(self) -> float:
        raise self.error


for kind in (Square, Typo, WrongValue):
    vi.Functional.kinds.remove(kind)
vi.LinearOperator.kinds.remove(NoNorm)


@pytest.mark.parametrize(
    ("f", "error", "words"), [(Typo(), AttributeError, "summ"), (WrongValue(), ValueError, "my own mistake")]
)
def test_a_mistake_in_a_conjugate_is_seen(f: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as seen:
        vi.solve(vi.L2Squared(Y) @ A + f @ A + vi.Box(0, 9))
    assert not isinstance(seen.value, NoCertificate)


@pytest.mark.parametrize("error", [TypeError("my own mistake"), ValueError("my own mistake")])
def test_a_mistake_in_a_norm_is_seen(error: Exception) -> None:
    for problem in (vi.L2Squared(Y) @ A + vi.L1() @ NoNorm(error), vi.Huber() @ NoNorm(error) + vi.NonNegative()):
        with pytest.raises(type(error), match=r"^my own mistake$"):
            vi.solve(problem)


def test_refusals_are_told_from_mistakes() -> None:
    tv, counts = 0.1 * vi.TV((3,)), vi.KullbackLeibler(Y)
    for solver, problem in (
        (vi.CGLS(), vi.L2Squared(Y) @ A + tv),
        (vi.CG(), vi.L2Squared(Y) @ A + tv),
        (vi.FISTA(), vi.L2Squared(Y) @ A + tv),
        (vi.FISTA(), counts @ A + vi.NonNegative()),  # infinite at the start
        (vi.LBFGS(), vi.L2Squared(Y) @ A + tv),
        (vi.ChambollePock(), vi.L2Squared(Y) @ A + vi.LogSum() @ A),
        (vi.CondatVu(), vi.L2Squared(Y) @ A + vi.LogSum() @ A),
        (vi.MMGKS(), vi.L2Squared(Y) @ A + tv),
        (vi.MLEM(), vi.L2Squared(Y) @ A),
    ):
        with pytest.raises(Unsuited) as seen:
            vi.solve(problem, solver)
        assert isinstance(seen.value, TypeError)  # both, as callers caught one or the other before
        assert isinstance(seen.value, ValueError)


def test_the_summary_says_which_method_would_give_the_proof() -> None:
    lacking = vi.solve(vi.L2Squared(Y) @ A + Square() @ A + vi.Box(0, 9))
    assert "gap" not in lacking.history[-1]
    words = r"proof       none: Square\(\) has no conjugate; a method conj"
    assert re.search(words, lacking.summary())
    free = vi.solve(vi.L2Squared(Y) @ A + 0.1 * vi.TV((3,)))
    assert free.notes["proof"].startswith("none: nothing bounds the solution")
    for proved in (vi.solve(vi.L2Squared(Y) @ A + 0.1 * vi.TV((3,)) + vi.NonNegative()), vi.solve(vi.L2Squared(Y) @ A)):
        assert "proof" not in proved.notes
        assert "proof  " not in proved.summary()
    # a rule that was named is the user's: nothing is said of another
    assert "proof" not in vi.solve(vi.L2Squared(Y) @ A + Square() @ A, stop=vi.iterations(3)).notes
