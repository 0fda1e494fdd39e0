"""Every class of functionals, 200 drawn examples each: optimality, Fenchel–Young twice, monotonicity, derivatives.

Arguments are read-only and hold what breaks formulas: zeros, ties, one large entry, tiny and large sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_functionals import ALL, feasible

pytestmark = pytest.mark.usefixtures("one_thread")

EPS = float(np.finfo(float).eps)
DRAWN = settings(max_examples=200, derandomize=True, deadline=None, database=None, phases=(Phase.generate,))
CASES: dict[str, list[Any]] = {}
for case in ALL:
    CASES.setdefault(type(case.values[0]).__name__, []).append(case.values)
KINDS = ("plain", "zeros", "ties", "spike", "tiny", "large")


def chosen(able: Callable[[Any], bool]) -> list[Any]:
    """The examples that are able, by class."""
    found = {name: [c for c in cases if able(c[0])] for name, cases in CASES.items()}
    return [pytest.param(cases, id=name) for name, cases in found.items() if cases]


def draw(cases: Any, seed: int) -> tuple[Any, np.ndarray, float, np.random.Generator]:
    """An example of the class, an argument, a step in 0.01 … 100, and more randomness."""
    rng = np.random.default_rng(seed)
    f, shape = cases[rng.integers(len(cases))]
    kind = KINDS[rng.integers(len(KINDS))]
    x = 2 * rng.standard_normal(shape)
    if kind == "zeros":
        x *= rng.uniform(size=shape) < 0.5
    elif kind == "ties":
        x = np.round(x)
    elif kind == "spike":
        x.reshape(-1)[rng.integers(x.size)] *= 100
    elif kind in ("tiny", "large"):
        x *= 1e-6 if kind == "tiny" else 1e4
    x.flags.writeable = False
    return f, x, 10.0 ** rng.uniform(-2, 2), rng


def optimal(f: Any, x: np.ndarray, step: float, p: np.ndarray, rng: Any) -> None:
    """Nothing tried costs less: 0, near and far points, one on the way to x."""

    def cost(z: np.ndarray) -> float:
        return f(z) + float(np.sum((z - x) ** 2)) / (2 * step)

    best = cost(p)
    assert best < math.inf
    size = float(np.abs(p).max()) or 1.0
    tried = [0 * x, 0.999 * p, p + 1e-2 * (x - p)]
    tried += [p + s * size * rng.standard_normal(x.shape) for s in (1e-4, 1e-1)]
    # rounding of a cost that is a sum of squares of differences
    assert best <= min(map(cost, tried)) + 1e-12 * max(abs(best), 1.0)


def inside(f: Any, q: np.ndarray) -> np.ndarray:
    """q, or its neighbour in the domain of f* where rounding has left it."""
    return q if f.conj(q) < math.inf else feasible(f, q)


def fenchel_young(f: Any, p: np.ndarray, q: np.ndarray, rounding: float) -> None:
    """f(p) + f*(q) = ⟨p, q⟩: q is a subgradient at p, and p minimises what it should."""
    value, conjugate, product = f(p), f.conj(q), float(np.sum(p * q))
    assert abs(value + conjugate - product) <= 1e-9 * max(abs(value), abs(conjugate), abs(product), 1.0) + rounding


@pytest.mark.parametrize("cases", chosen(lambda f: hasattr(f, "prox")))
@DRAWN
@given(seed=st.integers(0, 10**9))
def test_proximal_contract(cases: Any, seed: int) -> None:
    f, x, step, rng = draw(cases, seed)
    p = f.prox(x, step)
    assert (p.shape, p.dtype) == (x.shape, x.dtype)
    optimal(f, x, step, p, rng)

    z = x + rng.standard_normal(x.shape)
    r = f.prox(z, step)
    if 1 + step * f.convexity > 0:
        left, right = float(np.sum((p - r) * (x - z))), (1 + step * f.convexity) * float(np.sum((p - r) ** 2))
        assert left >= right - 1e-11 * max(right, 1.0) * max(1.0, float(np.abs(x).max()))

    narrow = x.astype("f4")
    narrow.flags.writeable = False
    exact, single = f.prox(narrow.astype("f8"), step), f.prox(narrow, step)
    assert single.dtype == np.float32
    if f.convex:  # others jump where two minimisers tie
        assert np.abs(single - exact).max() <= 4e-6 * max(1.0, float(np.abs(x).max()), float(np.abs(exact).max()))
        dual, wide = f.prox_conj(narrow, step), f.prox_conj(narrow.astype("f8"), step)
        most = max(1.0, float(np.abs(x).max()), float(np.abs(wide).max()), step * float(np.abs(f.prox(x, 1.0)).max()))
        assert np.abs(dual - wide).max() <= 4e-6 * most


@pytest.mark.parametrize("cases", chosen(lambda f: f.convex and hasattr(f, "conj") and hasattr(f, "prox")))
@DRAWN
@given(seed=st.integers(0, 10**9))
def test_conjugate_contract(cases: Any, seed: int) -> None:
    f, x, step, _ = draw(cases, seed)
    p = f.prox(x, step)
    q = inside(f, (x - p) / step)
    lost = EPS * (np.abs(x) + np.abs(p)) / step  # rounding of q
    assert (np.abs(q - (x - p) / step) <= 1e-9 * (1 + np.abs(q)) + 8 * float(lost.max())).all()
    fenchel_young(f, p, q, 64 * float(np.sum(np.abs(p)) * lost.max()))

    r = inside(f, f.prox_conj(x, step))  # r minimises f*(r) + |r − x|²/2 step: (x − r)/step is in ∂f*(r)
    u = (x - r) / step
    near = f.prox(u, 1e-20)  # back into the domain of f, where rounding has left it
    lost = EPS * (np.abs(x) + np.abs(r)) / step
    assert np.abs(near - u).max() <= 1e-9 * (1 + float(np.abs(u).max())) + 64 * float(lost.max())
    off = float(np.abs(near - u).max()) + 8 * float(lost.max())
    fenchel_young(f, near, r, 8 * off * float(np.sum(np.abs(r))))

    g = 2.5 * f
    same = f.scale(2.5) is f
    assert np.allclose(g.prox(x, step), f.prox(x, step if same else 2.5 * step), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("cases", chosen(lambda f: hasattr(f, "grad")))
@DRAWN
@given(seed=st.integers(0, 10**9))
def test_derivative_contract(cases: Any, seed: int) -> None:
    """Central differences along a random direction, at points inside every domain."""
    f, x, _, rng = draw(cases, seed)
    x = np.abs(10.0 ** rng.uniform(-1, 1) * rng.standard_normal(x.shape)) + 0.2
    d = rng.standard_normal(x.shape)
    d /= np.abs(d).max()
    x.flags.writeable = d.flags.writeable = False
    h = 1e-5
    up, down = x + h * d, x - h * d
    g = f.grad(x)
    slope = (f(up) - f(down)) / (2 * h)
    # h² f''' /6, kinks of second derivatives (Huber) within h, and rounding of f over h
    assert abs(slope - float(np.sum(g * d))) <= 2e-7 * (1 + abs(slope)) + 1e-10 * abs(f(x)) + 1e-9 * bend(f, x)
    bent, hvp = (f.grad(up) - f.grad(down)) / (2 * h), f.hvp(x, d)
    crossing = np.abs(f.hvp(up, d) - f.hvp(down, d))
    assert (np.abs(bent - hvp) <= 1e-6 * (1 + np.abs(hvp)) + crossing).all()
    e = rng.standard_normal(x.shape)
    assert math.isclose(float(np.sum(e * hvp)), float(np.sum(d * f.hvp(x, e))), rel_tol=1e-9, abs_tol=1e-9)  # symmetric
    assert float(np.sum(d * hvp)) >= f.convexity * float(np.sum(d * d)) * (1 + 1e-12 * np.sign(-f.convexity)) - 1e-9
    assert np.abs(f.grad(x.astype("f4")) - g).max() <= 1e-5 * max(1.0, float(np.abs(g).max()), bend(f, x))


def bend(f: Any, x: np.ndarray) -> float:
    """The size of the second derivative times that of the argument."""
    return float(np.abs(f.hvp(x, np.ones_like(x))).max()) * max(1.0, float(np.abs(x).max()))
