"""What somebody's operators, functionals, denoisers and rules return is checked; what cannot be is said at the end.

benchmarks/injected_faults.py is the whole study; here a share of it, and what the sentences say.
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import varinv as vi

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import injected_faults as faults

pytestmark = pytest.mark.usefixtures("one_thread")
Y = np.random.default_rng(0).random((5, 6))
BLUR = vi.Blur((5, 6), [[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.1, 0.1]])


def test_a_share_of_the_study() -> None:
    found, bad = faults.study(seed=5, share=0.04)
    assert sum(found.values()) > 150
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("none", r"Spoilt returned None.*is a return missing\?|Spoilt\.adjoint returned None, .*is a return missing\?"),
        ("list", r"Spoilt\.adjoint returned .*expected an array of shape \(5, 6\) and dtype float64"),
        ("scalar", r"Spoilt\.adjoint returned 0\.5, expected an array of shape \(5, 6\)"),
        ("ints", r"Spoilt\.adjoint returned an array of dtype int64, expected real floating values like float64"),
        ("complex", r"Spoilt\.adjoint returned an array of dtype complex128"),
        ("short", r"Spoilt\.adjoint returned an array of shape \(29,\), expected an array of shape \(5, 6\)"),
        ("masked", r"masked array"),
    ],
)
def test_results_are_checked_where_they_enter(fault: str, words: str) -> None:
    operator = faults.Spoilt(BLUR, adjoint=faults.FAULTS[fault])
    with pytest.raises((TypeError, ValueError), match=words):
        vi.solve(vi.L2Squared(Y) @ operator + 0.1 * vi.TV((5, 6)), stop=vi.iterations(20))


@pytest.mark.parametrize("fault", faults.HARMLESS)
def test_what_means_the_same_is_taken(fault: str) -> None:
    operator = faults.Spoilt(BLUR, forward=faults.FAULTS[fault], adjoint=faults.FAULTS[fault])
    problem = vi.L2Squared(Y) @ operator + 0.1 * vi.TV((5, 6)) + vi.NonNegative()
    x = vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(50)).x
    straight = vi.solve(vi.L2Squared(Y) @ BLUR + 0.1 * vi.TV((5, 6)) + vi.NonNegative(), vi.ChambollePock(),
                        stop=vi.iterations(50)).x  # fmt: skip
    assert x.dtype == np.float64
    assert np.abs(x - straight).max() <= (1e-5 if fault == "float32" else 0)


@pytest.mark.parametrize("side", ["forward", "adjoint"])
@pytest.mark.parametrize("fault", ["negated", "zero"])
def test_a_claim_on_a_wrong_adjoint_says_so(side: str, fault: str) -> None:
    operator = faults.Spoilt(BLUR, **{side: faults.FAULTS[fault]})
    result = vi.solve(
        vi.L2Squared(Y) @ operator + vi.Box(0, 1), vi.FISTA(), stop=vi.small_change(1e-5) | vi.iterations(5000)
    )
    assert "relative change" in result.why
    assert ", but Spoilt" in result.why
    assert result.why.endswith("this may be another image than asked for")


class Smooth(vi.Functional):
    """½ c ‖z‖², with parts that are right or wrong."""

    smoothness = 2.0  # type: ignore[assignment]

    def __init__(self, grad: float = 2.0, prox: float = 2.0) -> None:
        self.g, self.p = grad, prox

    def __call__(self, z: Any) -> Any:
        return (z * z).sum()  # a number of NumPy counts

    def grad(self, z: Any) -> Any:
        return self.g * z

    def prox(self, z: Any, step: Any) -> Any:
        return z / (1 + self.p * step)


vi.Functional.kinds.remove(Smooth)


@pytest.mark.parametrize(
    ("mine", "solver", "words"),
    [
        (Smooth(), vi.FISTA(), ""),
        (Smooth(), vi.ChambollePock(), ""),
        (Smooth(grad=0.5), vi.FISTA(), "grad is not the gradient of its value"),
        (Smooth(grad=0.0), vi.FISTA(), "grad is not the gradient of its value"),
        (Smooth(prox=0.1), vi.ChambollePock(), "prox is not that of its value"),
        (Smooth(prox=20.0), vi.ChambollePock(), "prox is not that of its value"),
    ],
    ids=str,
)
def test_a_claim_on_a_wrong_functional_says_so(mine: Any, solver: Any, words: str) -> None:
    A = vi.from_scipy(np.random.default_rng(1).standard_normal((20, 30)), (5, 6))
    problem = vi.L2Squared(Y) + mine @ A
    why = vi.solve(problem, solver, stop=vi.small_change(1e-5) | vi.iterations(5000)).why
    assert why.startswith("relative change")
    assert (words in why) if words else (", but" not in why)


def test_numbers_are_numbers() -> None:
    class Vector(Smooth):
        def __call__(self, z: Any) -> Any:
            return z * z

    vi.Functional.kinds.remove(Vector)
    with pytest.raises(TypeError, match=r"Vector\(\) returned an array of shape \(5, 6\).*expected a real number"):
        vi.solve(vi.L2Squared(Y) + Vector(), vi.FISTA(), stop=vi.iterations(20))


@pytest.mark.parametrize("answer", [True, 1, 0, np.ones(3), 0.5, ()], ids=repr)
def test_a_rule_answers_with_text_or_none(answer: Any) -> None:
    def mine(problem: Any, previous: Any, state: Any) -> Any:
        return answer if state.k > 3 else None

    for stop in (mine, vi.iterations(20) | mine, vi.iterations(2) & mine):
        with pytest.raises(TypeError, match=r"the rule mine returned .*the reason to stop as text, or None to go on"):
            vi.solve(vi.L2Squared(Y) + 0.1 * vi.TV((5, 6)), stop=stop)


@pytest.mark.parametrize("answer", [None, False, "", np.False_], ids=repr)
def test_a_rule_that_has_no_reason_goes_on(answer: Any) -> None:
    def mine(problem: Any, previous: Any, state: Any) -> Any:
        return answer

    problem = vi.L2Squared(Y) + 0.1 * vi.TV((5, 6))
    assert vi.solve(problem, stop=vi.iterations(4) | mine).why == "4 iterations"
    assert vi.solve(problem, stop=(vi.iterations(2) & mine) | vi.iterations(6)).why == "6 iterations"


@pytest.mark.parametrize("name", ["observe", "progress"])
def test_what_is_called_must_be_callable(name: str) -> None:
    for value in (5, "text", object):
        if name == "progress" and value is object:
            continue
        with pytest.raises(TypeError, match=f"solve: {name} must be"):
            vi.solve(vi.L2Squared(Y), stop=vi.iterations(2), **{name: value})


def test_solve_is_typed() -> None:
    assert typing.get_type_hints(vi.solve)["return"] is vi.Result


@pytest.mark.parametrize("solver", [vi.FISTA(), vi.HadamardGradient(), vi.ADMM()], ids=repr)
def test_nan_from_the_first_call_on_is_an_error_or_said(solver: Any) -> None:
    operator = faults.Spoilt(BLUR, forward=faults.FAULTS["nan"], adjoint=faults.FAULTS["nan"])
    problem = vi.Problem((vi.L2Squared(Y) @ operator,))
    try:
        result = vi.solve(problem, solver, stop=vi.iterations(20))
    except ValueError as error:
        assert re.search(r"NaN or infinite.*; Spoilt\.\w+ gives NaN", str(error))  # noqa: PT017 - either end is right
    else:
        assert np.isfinite(result.x).all()
        assert "Spoilt.forward gives NaN or infinite values for a finite image" in result.why
