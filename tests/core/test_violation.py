"""By how much constraints are missed, and that the summary of a run says it."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")
INDICATORS = [e for kind in (vi.L2Ball, vi.L1Ball, vi.Simplex, vi.Box) for e in kind.examples()]


@pytest.mark.parametrize(("f", "shape"), INDICATORS, ids=repr)
def test_a_violation_is_0_in_the_set_and_grows_with_the_distance(f: Any, shape: Any) -> None:
    z = np.random.default_rng(0).standard_normal(shape) - 3
    inside = f.prox(z, 1.0)
    assert f.violation(inside) <= 1e-12  # rounding
    assert f(z) == math.inf
    # the way to the nearest point is straight: half of it is half as far
    assert f.violation(z) == pytest.approx(2 * f.violation((z + inside) / 2), rel=1e-9)


@pytest.mark.parametrize(
    ("f", "z", "expected"),
    [
        (vi.L2Ball([1.0, 0.0], 2.0), [1.0, 3.0], 0.5),
        (vi.L2Ball([3.0, 4.0], 0.0), [3.0, 5.0], 0.2),
        (vi.L1Ball(2.0), [5.0, 0.0], 1.5),
        (vi.Simplex(total=2.0), [5.0, 0.0], 1.5),
        (vi.Box(-1, 2), [2.0, 3.0], 1 / math.sqrt(8)),
        (vi.NonNegative(), [-3.0, 4.0], 0.75),
        (vi.NonNegative(), [-3.0, 0.0], 3.0),
    ],
)
def test_violations_by_hand(f: Any, z: list[float], expected: float) -> None:
    for dtype in ("float32", "float64"):
        assert f.violation(np.array(z, dtype)) == pytest.approx(expected, rel=1e-12)


def test_the_summary_says_that_a_radius_is_out_of_reach() -> None:
    """Data (1, −1) beside the line x(1, 1): √2 away from it, for a radius of 0.5."""
    A = vi.Matrix(np.ones((2, 1)))
    problem = vi.L2Ball([1.0, -1.0], 0.5) @ A + 0.1 * vi.L1()
    result = vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(50))
    missed = re.search(
        r"^missed      L2Ball\(\(2,\) data, radius=0.5\) by ([\d.]+) of its size$", result.summary(), re.M
    )
    assert missed
    distance = np.linalg.norm(A(result.x) - [1.0, -1.0])
    assert float(missed[1]) == pytest.approx(distance / 0.5 - 1, rel=0.03)  # two digits
    assert float(missed[1]) >= 1.8  # √2/0.5 − 1
    reached = vi.solve(vi.L2Ball([1.0, -1.0], 2.0) @ A + 0.1 * vi.L1(), vi.ChambollePock(), stop=vi.iterations(50))
    assert "missed" not in reached.summary()
