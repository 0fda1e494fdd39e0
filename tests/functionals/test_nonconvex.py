"""Penalties that are not convex, against brute force on a grid and the closed forms of the literature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_problem import together

import varinv as vi
from varinv.functionals.nonconvex import Penalty
from varinv.joint import Joint

pytestmark = pytest.mark.usefixtures("one_thread")

GRID = np.unique(np.concatenate([np.arange(-4, 4, 5e-5), [0.0]]))  # 0 itself counts for ℓ0
COARSE = np.unique(np.concatenate([GRID[::8], [0.0]]))

# φ as the papers print it: numpy one-liners, none of the package's code
PHI: dict[str, tuple[Any, Callable[[np.ndarray], np.ndarray]]] = {
    "l0": (vi.L0(), lambda z: (z != 0).astype(float)),
    "l1/2": (vi.Lp(0.5), lambda z: np.sqrt(np.abs(z))),
    "l2/3": (vi.Lp(2 / 3), lambda z: np.abs(z) ** (2 / 3)),
    "l0.9": (vi.Lp(0.9), lambda z: np.abs(z) ** 0.9),
    "log": (vi.LogSum(0.3), lambda z: np.log(1 + np.abs(z) / 0.3)),
    "log wide": (vi.LogSum(2.0), lambda z: np.log(1 + np.abs(z) / 2)),
    "cauchy": (vi.Cauchy(0.2), lambda z: np.log(1 + z**2 / 0.04)),
    "cauchy wide": (vi.Cauchy(1.5), lambda z: np.log(1 + z**2 / 2.25)),
    "mcp": (vi.MCP(1.0, 3.0), lambda z: np.where(np.abs(z) <= 3, np.abs(z) - z**2 / 6, 1.5)),
    "mcp steep": (vi.MCP(0.8, 0.4), lambda z: np.where(np.abs(z) <= 0.32, 0.8 * np.abs(z) - z**2 / 0.8, 0.128)),
    "scad": (
        vi.SCAD(0.5, 3.7),
        lambda z: np.select(
            [np.abs(z) <= 0.5, np.abs(z) <= 1.85],
            [0.5 * np.abs(z), (3.7 * np.abs(z) - z**2 - 0.25) / 5.4],
            0.25 * 4.7 / 2,
        ),
    ),
    "scad steep": (
        vi.SCAD(1.0, 1.2),
        lambda z: np.select(
            [np.abs(z) <= 1, np.abs(z) <= 1.2], [np.abs(z), (2.4 * np.abs(z) - z**2 - 1) / 0.4], 2.2 / 2
        ),
    ),
    "cel0": (vi.CEL0(0.3, 1.0), lambda z: 0.3 - 0.5 * np.maximum(math.sqrt(0.6) - np.abs(z), 0) ** 2),
    "cel0 steep": (vi.CEL0(0.3, 2.0), lambda z: 0.3 - 2 * np.maximum(math.sqrt(0.6) / 2 - np.abs(z), 0) ** 2),
}


def excess(f: Any, phi: Any, u: float, t: float, grid: np.ndarray = GRID) -> tuple[float, float]:
    """Distance of the prox from the best grid point, and its cost above that point's."""
    cost = 0.5 * (grid - u) ** 2 + t * phi(grid)
    p = f.prox(np.array([u]), t)
    value = 0.5 * (p[0] - u) ** 2 + t * float(phi(p)[0])
    return abs(float(p[0]) - grid[np.argmin(cost)]), value - float(cost.min())


@pytest.mark.parametrize("name", PHI)
def test_each_threshold_is_the_minimiser_on_a_grid(name: str) -> None:
    """Experiment E13: within 1e-3 of a grid of spacing 5e-5, at t = 0.3, and 0.4 for CEL0, seven u, both signs."""
    f, phi = PHI[name]
    assert np.abs(f._phi(np.abs(GRID)) - phi(GRID)).max() <= 1e-12  # the φ of the docstring
    assert np.isclose(f(np.array([1.3, -0.2])), float(phi(np.array([1.3, -0.2])).sum()), rtol=1e-12)
    for u in (-3.1, -1.2, -0.45, 0.0, 0.21, 0.87, 2.6):
        distance, cost = excess(f, phi, u, 0.4 if "cel0" in name else 0.3)
        assert distance <= 1e-3
        assert cost <= 1e-12


@pytest.mark.parametrize("name", PHI)
@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(u=st.floats(-3.9, 3.9), t=st.floats(0.01, 8.0))
def test_no_grid_point_costs_less(name: str, u: float, t: float) -> None:
    """Any u and t: the cost is judged, as near a tie two far points are equally good."""
    assert excess(*PHI[name], u, t, COARSE)[1] <= 1e-12


def test_half_and_two_thirds_are_the_published_closed_forms() -> None:
    """Xu et al. (2012) and Cao et al. (2013), in the convention (z − u)² + T φ, T = 2t."""
    u = np.linspace(-5, 5, 2001)
    n = np.abs(u)
    for t in (0.05, 0.3, 1.7):
        T = 2 * t
        over = n > 54 ** (1 / 3) / 4 * T ** (2 / 3)
        angle = np.arccos(np.where(over, T / 8 * (np.where(over, n, 1) / 3) ** -1.5, 0))
        half = np.where(over, 2 / 3 * u * (1 + np.cos(2 * np.pi / 3 - 2 / 3 * angle)), 0)
        assert np.abs(vi.Lp(0.5).prox(u, t) - half).max() <= 1e-13
        over = n > 2 / 3 * (3 * T**3) ** 0.25
        c = np.arccosh(np.where(over, 27 * u**2 / (16 * T**1.5), 1))
        A = 2 / math.sqrt(3) * T**0.25 * np.sqrt(np.cosh(c / 3))
        thirds = np.where(over, np.sign(u) * ((A + np.sqrt(np.where(over, 2 * n / A - A**2, 0))) / 2) ** 3, 0)
        assert np.abs(vi.Lp(2 / 3).prox(u, t) - thirds).max() <= 1e-12


def test_ties_go_to_the_smaller_magnitude() -> None:
    for f, u, t in ((vi.L0(), 2.0, 2.0), (vi.Lp(0.5), 1.5, 1.0), (vi.MCP(1.0, 1.0), 2.0, 4.0)):
        assert abs(0.5 * u**2 - t * f(np.array([u]))) <= 1e-12 or isinstance(f, vi.Lp)
        assert np.array_equal(f.prox(np.array([u, -u]), t), [0.0, 0.0])
        assert (f.prox(np.array([u, -u]) * (1 + 1e-9), t) != 0).all()


def test_the_declared_modulus_is_the_largest() -> None:
    """φ(|z|) − ½ μ z² is convex on a grid, and not for a μ that is one per cent nearer to 0."""
    for name in ("log", "cauchy", "mcp", "scad", "cel0", "cel0 steep"):
        f, phi = PHI[name]
        z = np.arange(-4, 4, 1e-3)
        bends = {}
        for factor in (1.0, 0.99):
            h = phi(z) - 0.5 * factor * f.convexity * z**2
            bends[factor] = float(np.min(h[2:] - 2 * h[1:-1] + h[:-2]))
        assert bends[1.0] >= -1e-13
        assert bends[0.99] < -1e-10


def test_extreme_sizes_and_zero_weights() -> None:
    u = np.array([0.0, 1e-30, -1e-12, 1e12, -1e30])
    for f, _ in PHI.values():
        for g in (f, 0 * f, 1e-20 * f, 1e20 * f):
            p = g.prox(u, 1.0)
            assert np.isfinite(p).all()
            assert (np.abs(p) <= np.abs(u)).all()
        assert np.array_equal((0 * f).prox(u, 1.0), u)
        assert (0 * f).convexity == 0.0


def test_they_stay_primal_and_are_never_dualised() -> None:
    y = np.array([1.0, -2.0, 0.5])
    square, box, cone = vi.L2Squared(y), vi.Box(-0.4, 0.6), vi.NonNegative()
    for f in (vi.L0(0.3), vi.MCP(0.5), vi.Cauchy(0.2)):
        assert not hasattr(f, "prox_conj")
        assert not hasattr(f, "conj")
        simple, left = together([vi.L1(), square, f, cone])
        assert isinstance(simple, Joint)
        assert simple.rest is f
        assert not simple.convex
        assert [type(g) for g in left] == [vi.L1]
        simple, left = together([box, f])  # clipping would not be exact: the box goes to the dual
        assert (simple, left) == (f, (box,))
        for v in (-1.3, 0.2, 0.9, 2.0):  # with z ≥ 0 it is: on a grid
            grid = GRID[GRID >= 0]
            cost = 0.5 * (grid - v) ** 2 + 0.5 * (grid - 1) ** 2 + np.array(f.weight * f._phi(grid))
            p = Joint((vi.L2Squared(1.0), cone), f).prox(np.array([v]), 1.0)[0]
            value = 0.5 * (p - v) ** 2 + 0.5 * (p - 1) ** 2 + f(np.array([p]))
            assert p >= 0
            assert value <= cost.min() + 1e-12
        with pytest.raises(TypeError, match="needs a prox of every term"):
            vi.solve(square + f @ vi.Gradient((3,)), vi.ChambollePock())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: vi.L0(-1), "L0: weight must be at least 0, got -1"),
        (lambda: vi.L0([1.0, math.nan]), "L0: weight has 1 NaN or infinite of 2 values"),
        (lambda: vi.Lp(1.0), "Lp: p must lie between 0 and 1, got 1; L1 is p = 1"),
        (lambda: vi.Lp(0), "Lp: p must lie between 0 and 1, got 0"),
        (lambda: vi.Lp(math.nan), "Lp: p must be finite, got nan"),
        (lambda: vi.LogSum(0), "LogSum: delta must be greater than 0, got 0"),
        (lambda: vi.Cauchy([1.0, 0.0]), "Cauchy: delta must be greater than 0, got 0"),
        (lambda: vi.MCP(1.0, 0.0), "MCP: gamma must be greater than 0, got 0"),
        (lambda: vi.MCP(-1.0), "MCP: threshold must be at least 0, got -1"),
        (lambda: vi.SCAD(1.0, 1.0), "SCAD: a must be greater than 1, got 1"),
        (lambda: vi.CEL0(0.0), "CEL0: weight must be greater than 0, got 0"),
        (lambda: vi.CEL0(1.0, [1.0, 0.0]), "CEL0: norms must be greater than 0, got 0"),
        (lambda: vi.L0(np.ones((2, 3)))(np.ones((3, 2))), r"L0: weight must have shape \(3, 2\), got \(2, 3\)"),
        (lambda: vi.LogSum(np.ones(2)).prox(np.ones(3), 1.0), r"LogSum: delta must have shape \(3,\), got \(2,\)"),
        (lambda: vi.MCP(np.ones(2)) @ vi.Identity((3,)), r"MCP: threshold must have shape \(3,\), got \(2,\)"),
    ],
)
def test_what_they_refuse(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_the_base_class_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Penalty()  # type: ignore[abstract]
