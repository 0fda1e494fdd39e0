"""Where a run does not converge on classes of one's own, it says which check looks for the fault; and only there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from conftest import solver_kinds

import varinv as vi
from varinv.solvers import doubt as module
from varinv.solvers.doubt import suspicion

SHAPE = (4, 5)
RNG = np.random.default_rng(0)
M = np.abs(RNG.standard_normal((15, 20)))
Y = M @ np.abs(RNG.standard_normal(20)) + 0.1 * RNG.standard_normal(15)


class Mine(vi.LinearOperator):
    """A matrix of images, with an adjoint that is right or not."""

    domain, codomain = SHAPE, (15,)

    def __init__(self, adjoint: Any) -> None:
        self.W = adjoint

    def forward(self, x: Any) -> Any:
        return M @ x.reshape(-1)

    def adjoint(self, y: Any) -> Any:
        return (self.W @ y).reshape(SHAPE)

    def norm(self) -> float:
        return float(np.linalg.norm(M, 2))


class Smooth(vi.Functional):
    """½‖z‖², with a gradient that is right or points the other way."""

    smoothness = 1.0  # type: ignore[assignment]

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def __call__(self, z: Any) -> float:
        return 0.5 * float((z * z).sum())

    def grad(self, z: Any) -> Any:
        return self.sign * z


vi.LinearOperator.kinds.remove(Mine)
vi.Functional.kinds.remove(Smooth)

# what is often wrong: the order of the axes, the direction of one of them, the sign
WRONG = {"axes": M.T.reshape(4, 5, 15).transpose(1, 0, 2).reshape(20, 15), "flipped": M.T[::-1], "sign": -M.T}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_adjoint_is_pointed_at(fault: str) -> None:
    for problem in (
        vi.L2Squared(Y) @ Mine(WRONG[fault]) + 0.1 * vi.TV(SHAPE),
        2.0 * vi.L2Squared(Y) @ (Mine(WRONG[fault]) @ vi.Identity(SHAPE)) + vi.TV(SHAPE, smoothing=0.1),
    ):
        result = vi.solve(problem, stop=vi.residual(1e-5) | vi.iterations(1500))
        assert "run vi.testing.check_operator of Mine" in result.notes["doubt"]
        assert f"doubt       {result.notes['doubt']}" in result.summary()


def test_a_right_adjoint_is_not() -> None:
    for problem in (vi.L2Squared(Y) @ Mine(M.T) + 0.1 * vi.TV(SHAPE), vi.Problem((vi.L2Squared(Y) @ Mine(M.T),))):
        result = vi.solve(problem)
        assert "doubt" not in result.notes
        assert "doubt" not in result.summary()


def test_functionals_and_solvers_are_named_as_well() -> None:
    class MySolver(vi.ProximalGradient):
        pass

    MySolver.kinds.remove(MySolver)
    problem = vi.L2Squared(Y) @ vi.Matrix(M) + 100.0 * Smooth(-1.0) @ vi.Identity((20,))
    words = vi.solve(problem, MySolver(backtracking=False), stop=vi.iterations(2000)).notes["doubt"]
    assert "vi.testing.check_functional of Smooth" in words
    assert "vi.testing.check_solver of MySolver" in words
    assert "check_operator" not in words


@pytest.mark.parametrize("stop", [None, vi.iterations(150), vi.residual(1e-12) | vi.iterations(300)], ids=str)
def test_no_example_of_a_solver_looks_wrong(stop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures alone, as if every class were a user's own."""
    found: list[tuple[Any, str]] = []

    def noted(rule: Any, rows: Any, finite: bool) -> str:
        found.append((rule, words := suspicion(rule, rows, finite)))
        return words

    monkeypatch.setattr(module, "suspicion", noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in solver_kinds():
            for solver, problem in kind.examples():
                vi.solve(problem, solver, stop=stop)
                assert not found[-1][1], (solver, problem, found[-1])
    assert len(found) > 40  # of 52 today


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"k": 0, "objective": 9.0}, {"k": 200, "objective": 20.0}], "rose"),
        ([{"k": 0, "objective": 9.0}, {"k": 99, "objective": 20.0}], ""),  # too early to say
        ([{"k": 0, "objective": 9.0}, {"k": 200, "objective": 4.0, "lower_bound": 1.0}], "lower bound"),
        ([{"k": 0, "objective": 9.0}, {"k": 200, "objective": 4.0, "lower_bound": 3.0}], ""),
        ([{"k": 0, "objective": 9.0}, {"k": 200, "objective": 1e-9, "lower_bound": 0.0}], ""),  # an optimum of 0
        ([{"k": 1, "residual": 0.5}, {"k": 200, "residual": 0.4}], "residual"),
        ([{"k": 1, "residual": 0.5}, {"k": 200, "residual": 0.2}], ""),
        ([{"k": 200, "residual": 0.5}], ""),  # one figure shows no course
        ([], ""),
    ],
)
def test_what_looks_wrong(rows: Any, word: str) -> None:
    found = suspicion(vi.residual(1e-5) | vi.iterations(200), rows, True)
    assert word in found
    assert bool(found) == bool(word)
