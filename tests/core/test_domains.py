"""Problems without a solution are called so: where bounds tell it before a run, else by the reason of the run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (4, 4)
ONES = np.ones(SHAPE)
PAIRS: list[tuple[Any, Any, bool]] = [  # (f, g, whether their domains meet)
    (vi.Box(0, 1), vi.Box(2, 3), False),
    (vi.Box(0, 2), vi.Box(2, 3), True),
    (vi.Box(0 * ONES, 1), vi.Box(0.5, 3 * ONES), True),
    (vi.Box(0, np.where(np.eye(4) > 0, -0.0, 1.0)), vi.Box(0.1, 1), False),
    (vi.KullbackLeibler(ONES), vi.Box(-1, -0.02), False),
    (vi.KullbackLeibler(ONES, 0.5), vi.Box(-1, -0.02), True),
    (3.0 * vi.KullbackLeibler(ONES, 0.5 * ONES), vi.Box(-1, -0.6), False),
    (vi.Simplex(), vi.Box(0, 1 / 16), True),
    (vi.Simplex(), vi.Box(0, 0.06), False),
    (vi.Simplex(axis=0), vi.Box(0.25, 1), True),
    (vi.Simplex(axis=0), vi.Box(0.3, 1), False),
    (vi.Simplex(), vi.Box(-2, -1), False),
    (vi.L1Ball(4.0), vi.Box(0.25, 9), True),
    (vi.L1Ball(4.0), vi.Box(-9 * ONES, -0.3), False),
    (vi.L2Ball(ONES, 4.0), vi.Box(2, 3), True),
    (vi.L2Ball(ONES, 3.9), vi.Box(2, 3), False),
    (vi.Known(ONES, np.eye(4) > 0), vi.Box(0, 1), True),
    (vi.Known(ONES, np.eye(4) > 0), vi.Box(0, 0.5), False),
    (vi.Box(-1, 0), vi.NonNegative(), True),
]


@pytest.mark.parametrize(("f", "g", "meet"), PAIRS, ids=repr)
def test_domains_that_do_not_meet_are_found_at_once(f: Any, g: Any, meet: bool) -> None:
    for a, b in ((f, g), (g, f)):
        if meet:
            assert len((a + b + 0.1 * vi.TV(SHAPE)).terms) == 3
            continue
        with pytest.raises(ValueError, match=r"^no image satisfies both ") as error:
            a + b + 0.1 * vi.TV(SHAPE)
        assert repr(f) in str(error.value)
        assert repr(g) in str(error.value)


def test_behind_the_same_operator_as_well() -> None:
    A = vi.from_scipy(np.random.default_rng(0).standard_normal((6, 16)), SHAPE)
    assert vi.Box(0, 1) @ A + vi.Box(2, 3) @ vi.from_scipy(np.eye(16), SHAPE)  # other values: nothing is decided
    with pytest.raises(ValueError, match="no image satisfies both"):
        vi.Box(0, 1) @ A + vi.Box(2, 3) @ A


def test_a_functional_of_ones_own_says_its_bounds() -> None:
    class Mine(vi.Functional):
        def __call__(self, z: Any) -> float:
            return 0.0 if float(z.min()) >= 7 else math.inf

        def prox(self, z: Any, step: Any) -> Any:
            return np.maximum(z, 7.0)

        def bounds(self) -> tuple[float, float]:
            return 7.0, math.inf

    vi.Functional.kinds.remove(Mine)
    with pytest.raises(ValueError, match="at least 7 and at most 1"):
        Mine() + vi.Box(0, 1)


@pytest.mark.parametrize("limit", [1e-5, 1.0])
def test_bounds_of_the_image_bound_the_data(limit: float) -> None:
    A = vi.from_scipy(np.random.default_rng(0).random((6, 16)), SHAPE)
    hopeless = vi.KullbackLeibler(np.ones(6)) @ A + vi.Box(-1, -limit) + 0.1 * vi.TV(SHAPE)
    with pytest.raises(ValueError, match=r"^solve: no image within the bounds of this problem satisfies Kullback"):
        vi.solve(hopeless)
    with pytest.raises(ValueError, match=r"^solve: no image within the bounds of this problem satisfies L2Ball"):
        vi.solve(vi.L2Ball(-np.ones(6), 1.0) @ A + vi.NonNegative() + 0.1 * vi.TV(SHAPE))
    assert "infinite" not in vi.solve(vi.L2Ball(-np.ones(6), 3.0) @ A + vi.NonNegative() + 0.1 * vi.TV(SHAPE)).why


SOLVERS = [None, vi.ChambollePock(), vi.ADMM(), vi.AdaptiveChambollePock(), vi.CondatVu(), vi.PD3O()]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_no_run_has_converged_with_an_infinite_objective(solver: Any) -> None:
    """Data (1, −1) beside the line x (1, 1): √2 away from it, for a radius of 0.5; nothing tells so before."""
    problem = vi.L2Ball([1.0, -1.0], 0.5) @ vi.Matrix([[1.0], [1.0]]) + 0.1 * vi.L1()
    for stop in (None, vi.small_change(1e-4) | vi.iterations(4000), vi.iterations(200)):
        result = vi.solve(problem, solver, stop=stop)
        assert "but the objective is infinite: L2Ball((2,) data, radius=0.5) @ Matrix" in result.why
        assert result.why.endswith("of its size: no feasible point was found")
        assert "missed      L2Ball" in result.summary()
        assert problem(result.x) == math.inf


def test_counts_below_the_background_are_named_with_their_distance() -> None:
    kl = vi.KullbackLeibler([3.0, 4.0], background=1.0)
    assert kl.violation(np.array([-1.0, 5.0])) == 0
    assert kl.violation(np.array([-4.0, 5.0])) == pytest.approx(3 / 5)


def test_a_functional_without_a_distance_is_named_as_infinite() -> None:
    class Open(vi.Functional):
        """0 below 1; the solver is told nothing of it."""

        smoothness = 1.0  # type: ignore[assignment]

        def __call__(self, z: Any) -> float:
            return 0.0 if float(z.max()) < 1 else math.inf

        def grad(self, z: Any) -> Any:
            return 0 * z

    vi.Functional.kinds.remove(Open)
    result = vi.solve(vi.L2Squared(3 * ONES) + Open(), vi.ProximalGradient(), stop=vi.small_change(1e-6))
    assert result.why.startswith("relative change")
    assert result.why.endswith("but the objective is infinite: Open() is infinite: no feasible point was found")
    assert "missed      Open() infinite" in result.summary()


def test_what_is_missed_by_rounding_is_no_contradiction() -> None:
    """A constraint behind an operator is met in the limit only: the run converges, and the summary says by how much."""
    A = vi.from_scipy(np.random.default_rng(1).standard_normal((8, 16)), SHAPE)
    result = vi.solve(vi.L2Ball(np.ones(8), 0.5) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative(), stop=vi.residual(1e-5))
    assert result.why.startswith("residual")
    assert "infinite" not in result.why
