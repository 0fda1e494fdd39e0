"""The course of a run: which iterations have a row, what the figures are, and what they cost."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.solvers.base import last, until
from varinv.solvers.watch import change

SHAPE = (6, 5)
Y = rand(np, SHAPE, 1)
PROBLEM = vi.L2Squared(Y) @ vi.Identity(SHAPE) + 0.1 * vi.TV(SHAPE) + vi.NonNegative()

pytestmark = pytest.mark.usefixtures("one_thread")


class Counted(vi.LinearOperator):
    """The identity, counting what is asked of it."""

    domain = codomain = SHAPE

    def __init__(self) -> None:
        self.forwards = self.adjoints = 0

    def forward(self, x: Any) -> Any:
        self.forwards += 1
        return x

    def adjoint(self, y: Any) -> Any:
        self.adjoints += 1
        return y

    def norm(self) -> float:
        return 1.0

    def absolute(self) -> vi.LinearOperator:
        return self


vi.LinearOperator.kinds.remove(Counted)


def test_figures_are_those_of_their_iteration() -> None:
    states = list(itertools.islice(vi.ChambollePock().states(PROBLEM), 60))
    for rule in (vi.iterations(57), vi.residual(1e-30) | vi.iterations(57), vi.gap(1e-30) | vi.iterations(57)):
        rows = vi.solve(PROBLEM, vi.ChambollePock(), stop=rule).history
        assert {0, 10, 20, 30, 40, 50, 57} <= {row["k"] for row in rows} <= {0, 1, 10, 20, 30, 40, 50, 57}
        for row in rows:
            k = row["k"]
            assert row["objective"] == PROBLEM(states[k].x)
            assert set(row) <= {"k", "seconds", "memory", "objective", "change", "gap", "lower_bound", "residual"}
            if k:
                assert row["change"] == pytest.approx(
                    np.linalg.norm(states[k].x - states[k - 1].x) / np.linalg.norm(states[k].x), rel=1e-12
                )
            else:
                assert "change" not in row
            assert ("gap" in row) == (k % 10 == 0 and isinstance(getattr(rule, "a", None), vi.gap))
    # a figure that was not read at an iteration is not repeated there
    rows = vi.solve(PROBLEM, stop=vi.gap(1e-30, every=4) | vi.residual(1e-30, every=6) | vi.iterations(30)).history
    assert [row["k"] for row in rows if "gap" in row] == [0, 4, 8, 12, 16, 20, 24, 28]
    assert [row["k"] for row in rows if "residual" in row] == [1, 6, 12, 18, 24, 30]


@pytest.mark.parametrize(
    ("solver", "rule", "gone"),
    [
        (vi.AdaptiveChambollePock(), vi.residual(1e-30) | vi.iterations(30), True),
        (vi.AdaptiveChambollePock(), vi.gap(1e-30) | vi.iterations(30), True),
        (vi.AdaptiveChambollePock(), vi.iterations(30), True),
        (vi.AdaptiveChambollePock(), vi.small_change(1e-30) | vi.iterations(30), False),
        (vi.AdaptiveChambollePock(), vi.iterations(30) | (lambda problem, previous, state: None), False),
        (vi.ChambollePock(), vi.residual(1e-30) | vi.iterations(30), False),
    ],
    ids=["residual", "gap", "a number of steps", "change", "a function", "residual of differences"],
)
def test_the_state_before_is_let_go_where_no_rule_reads_it(solver: Any, rule: Any, gone: bool) -> None:
    """Only then: a row has the same figures, change included."""
    held: dict[int, Any] = {}

    def watch(state: Any) -> dict[str, bool]:
        held[state.k] = weakref.ref(state.y[0])
        return {"gone": held[state.k - 1]() is None} if state.k else {}

    rows = vi.solve(PROBLEM, solver, stop=rule, observe=watch).history
    by_k = {row["k"]: row for row in rows}
    assert [by_k[k]["gone"] for k in (10, 20, 30)] == [gone] * 3
    states = dict(zip(range(31), solver.states(PROBLEM), strict=False))
    for k in (10, 20, 30):
        assert by_k[k]["change"] == pytest.approx(change(states[k - 1], states[k]), rel=1e-12)


def test_a_long_run_has_few_rows() -> None:
    ks = [row["k"] for row in vi.solve(PROBLEM, stop=vi.iterations(3000)).history]
    assert ks[:5] == [0, 10, 20, 30, 40]
    assert ks[-1] == 3000
    assert max(np.diff(ks)) <= 600  # k/5
    assert len(ks) <= 100


def test_recording_costs_at_most_a_tenth_and_shares_what_the_gap_computes() -> None:
    def count(run: Any) -> tuple[int, int]:
        K = Counted()
        run(vi.L2Squared(Y) @ K + 0.1 * vi.TV(SHAPE) + vi.NonNegative())
        return K.forwards, K.adjoints

    rule = vi.iterations(200)
    bare = count(lambda p: last(until(p, vi.ChambollePock().states(p), rule)))
    recorded = count(lambda p: vi.solve(p, vi.ChambollePock(), stop=rule))
    assert recorded[1] == bare[1]
    assert bare[0] < recorded[0] <= 1.1 * bare[0] + 2  # the first and the last row
    rule = vi.gap(1e-30) | vi.iterations(200)
    bare = count(lambda p: last(until(p, vi.ChambollePock().states(p), rule)))
    assert count(lambda p: vi.solve(p, vi.ChambollePock(), stop=rule)) == bare


def test_memory_is_the_largest_resident_size_in_bytes() -> None:
    from pathlib import Path

    rows = vi.solve(PROBLEM, stop=vi.iterations(20)).history
    found = [row["memory"] for row in rows]
    assert found == sorted(found)
    status = Path("/proc/self/status")
    if status.exists():  # Linux says the same elsewhere
        kilobytes = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]
        assert found[-1] == pytest.approx(1024 * int(kilobytes), rel=0.02)  # pages counted in another way
    image = np.ones(found[-1] // 8 // 4)  # a quarter of that, and touched
    assert vi.solve(PROBLEM, stop=vi.iterations(0)).history[-1]["memory"] >= max(found[-1], image.nbytes)


def test_functionals_without_a_value_have_a_history_without_objective() -> None:
    class Bare(vi.L1):
        prox, prox_conj, separable = vi.L1.prox, vi.L1.prox_conj, True  # a value of its own takes its parent's away

        def __call__(self, x: Any) -> float:
            raise NotImplementedError("known by its prox alone")

    vi.Functional.kinds.remove(Bare)
    rows = vi.solve(vi.L2Squared(Y) + Bare(0.1), stop=vi.iterations(20)).history
    assert [row["k"] for row in rows] == [0, 10, 20]
    assert all("objective" not in row for row in rows)
    assert "change" in rows[-1]


def test_custom_rules_and_observations_have_their_rows() -> None:
    class Every3(vi.small_change):
        def __call__(self, problem: Any, previous: Any, state: Any) -> str | None:
            if state.k % 3 == 0:
                self.readings = {"third": state.k / 3}
            return None

    rows = vi.solve(
        PROBLEM, stop=Every3(1.0) | vi.iterations(12), observe=lambda s: {"even": 1} if s.k % 4 == 0 else None
    )
    assert [(r["k"], r.get("third"), r.get("even"), "objective" in r) for r in rows.history] == [
        (0, 0, 1, True), (3, 1, None, False), (4, None, 1, False), (6, 2, None, False), (8, None, 1, False),
        (9, 3, None, False), (10, None, None, True), (12, 4, 1, True),
    ]  # fmt: skip
