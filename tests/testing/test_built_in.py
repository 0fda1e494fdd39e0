"""vi.testing finds nothing wrong with what is built in, and its reports read well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_functionals
import test_operators
from conftest import solver_kinds

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


def first(pairs: Any, key: Any) -> list[Any]:
    """One example of each class: the contract tests run on all of them."""
    found: dict[str, Any] = {}
    for pair in pairs:
        found.setdefault(type(key(pair)).__name__, pair)
    return list(found.values())


OPERATORS = first(test_operators.TINY, lambda K: K)
FUNCTIONALS = first((c.values for c in test_functionals.ALL), lambda c: c[0])
SOLVERS = first((e for c in solver_kinds() for e in c.examples()), lambda e: e[0])
SLOW = {"SPDHG", "ADMM", "MMGKS", "SART", "OSSART", "LBFGS", "OSEM"}  # a second or more for 3000 iterations


@pytest.mark.parametrize("K", OPERATORS, ids=lambda K: type(K).__name__)
def test_operators(K: Any) -> None:
    vi.testing.check_operator(K).raise_if_failed()


@pytest.mark.parametrize(("f", "shape"), FUNCTIONALS, ids=lambda f: type(f).__name__)
def test_functionals_(f: Any, shape: Any) -> None:
    vi.testing.check_functional(f, shape).raise_if_failed()


@pytest.mark.parametrize(("solver", "problem"), SOLVERS, ids=lambda s: type(s).__name__)
def test_solvers(solver: Any, problem: Any) -> None:
    iterations = 500 if type(solver).__name__ in SLOW else 3000
    vi.testing.check_solver(solver, problem, iterations=iterations).raise_if_failed()


def test_a_large_operator_is_judged_by_samples() -> None:
    report = vi.testing.check_operator(vi.Gradient((40, 50))).raise_if_failed()
    assert "a lower bound of σ_max by Lanczos" in str(report)


def test_a_report_is_a_value_that_reads_well() -> None:
    report = vi.testing.check_operator(vi.Gradient((3, 4)))
    assert report
    assert report.ok
    assert report.raise_if_failed() is report
    text = str(report)
    assert text.startswith("Gradient((3, 4)): ")
    assert "tests passed" in text
    assert "absolute()" in text  # said to be absent, and what it would give
    assert all(line.name and line.verdict for line in report.lines)
    assert "array(" not in text


def test_wrong_arguments_are_named() -> None:
    for check, good in (
        (vi.testing.check_operator, "LinearOperator"),
        (lambda v: vi.testing.check_functional(v, (3,)), "Functional"),
        (lambda v: vi.testing.check_solver(v, vi.L2Squared(np.ones(3))), "Solver"),
    ):
        with pytest.raises(TypeError, match=rf"takes a {good}, e\.g\. .*, got a int"):
            check(3)
    with pytest.raises(TypeError, match="takes an instance, got the class L1: pass"):
        vi.testing.check_functional(vi.L1, (3,))
    with pytest.raises(TypeError, match="takes a problem such as"):
        vi.testing.check_solver(vi.ChambollePock(), 3)
    with pytest.raises(ValueError, match=r"y must have shape \(4,\), got \(3,\)"):
        vi.testing.check_functional(vi.L2Squared(np.ones(3)), (4,))
    with pytest.raises(TypeError, match="shape must be a tuple of positive integers"):
        vi.testing.check_functional(vi.L1(), "3")
