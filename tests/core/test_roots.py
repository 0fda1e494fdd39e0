"""The guarded search for roots where Newton alone runs away."""

from __future__ import annotations

from typing import Any

import numpy as np

from varinv.roots import increasing_root


def test_where_newton_leaves_the_interval_it_is_halved() -> None:
    c = np.array([-70.0, 0.0, 3.0, 41.0, 99.0])

    def g(x: Any) -> Any:  # from further than 1.4 off, Newton's steps for the arctangent grow for ever
        return np.arctan(x - c), 1 / (1 + (x - c) ** 2)

    found = increasing_root(g, -100.0, 100.0, np.full(5, -90.0), np.ones(5))
    assert np.allclose(found, c, rtol=1e-14, atol=1e-14)


def test_where_the_slope_vanishes_it_is_halved() -> None:
    c = np.array([-0.7, 0.2, 0.9])

    def g(x: Any) -> Any:  # flat but at the root's side: no slope to follow
        return np.sign(x - c) * (x - c) ** 2, 0 * x

    found = increasing_root(g, -1.0, 1.0, np.zeros(3), np.ones(3))
    assert np.allclose(found, c, atol=1e-7)  # the square is below eps there


def test_roots_at_an_end() -> None:
    one = np.ones(3)
    assert np.all(increasing_root(lambda x: (x + 5, one), -1.0, 1.0, 0 * one, one) == -1)
    assert np.all(increasing_root(lambda x: (x - 5, one), -1.0, 1.0, 0 * one, one) == 1)
