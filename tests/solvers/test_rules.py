"""What rules know of their own end, and what a run says of how it ended: data, not words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.progress import Line
from varinv.solvers.rules import Rule

A = vi.Diagonal(np.array([1.0, 2.0, 0.5]))
PROBLEM = vi.L2Squared(np.array([1.0, -2.0, 3.0])) @ A + 0.1 * vi.TV((3,)) + vi.NonNegative()


class Never(Rule):
    """A rule of one's own that says nothing of an end."""

    def __call__(self, problem: Any, previous: Any, state: Any) -> str | None:
        return None


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        (vi.iterations(5), 5),
        (vi.iterations(0), 0),
        (vi.gap(1e-4) | vi.iterations(7) | vi.iterations(9), 7),
        (vi.iterations(5) & vi.iterations(9), 9),
        (vi.iterations(5) & vi.gap(1e-4), None),  # the gap decides: such a run took 140 iterations
        (vi.iterations(5) & vi.gap(1e-4) | vi.iterations(200), 200),
        ((vi.iterations(5) | vi.gap(1e-4)) & (vi.residual(1e-3) | vi.iterations(8)), 8),
        (Never() | vi.iterations(4), 4),
        (vi.iterations(4) & (lambda problem, previous, state: "mine"), None),
        (vi.seconds(3.0), None),
    ],
)
def test_the_limit_is_the_iteration_at_which_a_rule_stops_at_the_latest(rule: Any, limit: int | None) -> None:
    assert rule.limit == limit
    if limit is not None:
        assert vi.solve(PROBLEM, stop=rule).state.k <= limit


def test_the_progress_line_shows_that_limit_and_no_other() -> None:
    shown = []
    line = Line("solve", delay=-1.0)
    line.display, line.show = object(), lambda words, done=None: shown.append((words, done))  # type: ignore[method-assign,assignment]
    for rule in (vi.iterations(5) & vi.gap(1e-4), vi.iterations(8) | vi.gap(1e-4), vi.iterations(0)):
        line.advance(rule)(4, {})
    assert shown == [("iteration 4", None), ("iteration 4 of at most 8", 0.5), ("iteration 4 of at most 0", 1.0)]


class Broken(vi.LinearOperator):
    """The identity until its third adjoint, which ends in a fault."""

    domain = codomain = (3,)

    def __init__(self, fault: Any) -> None:
        self.fault, self.count = fault, 0

    def forward(self, x: Any) -> Any:
        return x

    def adjoint(self, y: Any) -> Any:
        self.count += 1
        if self.count == 3 and isinstance(self.fault, BaseException):
            raise self.fault
        return y * self.fault if self.count == 3 else y

    def norm(self) -> float:
        return 1.0


vi.LinearOperator.kinds.remove(Broken)


def test_how_a_run_ended_is_data() -> None:
    def run(fault: Any, stop: Any) -> Any:
        return vi.solve(vi.L2Squared(np.ones(3)) @ Broken(fault) + vi.NonNegative(), vi.ChambollePock(), stop=stop)

    ended = run(KeyboardInterrupt(), vi.iterations(9))
    assert (ended.interrupted, ended.finite) == (True, True)
    ended = run(math.nan, vi.iterations(9))
    assert (ended.interrupted, ended.finite) == (False, False)
    # a reason of one's own that begins with the same words is no interruption
    ended = run(1.0, lambda problem, previous, state: "interrupted by my rule" if state.k == 4 else None)
    assert (ended.why, ended.interrupted, ended.finite) == ("interrupted by my rule", False, True)
