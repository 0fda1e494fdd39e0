"""Every functional against its definition: values, proximal maps, conjugates, derivatives, constants."""

from __future__ import annotations

import copy
import importlib
import inspect
import itertools
import math
import pickle
import pkgutil
from typing import Any

import numpy as np
import pytest
from conftest import rand

import varinv as vi
import varinv.functionals
from varinv.backend import is_array, to_numpy
from varinv.functionals.base import Functional, Scaled
from varinv.functionals.sparsity import L1, L21, Huber
from varinv.joint import Joint
from varinv.testing.figures import (
    beaten,
    bend_error,
    expansion,
    feasible,
    fenchel_young_error,
    fenchel_young_excess,
    gradient_ratios,
    points,
    slope_error,
)

for _, _name, _ in pkgutil.iter_modules(varinv.functionals.__path__):
    if not _name.endswith(("_cuda", "_cpu")):
        importlib.import_module(f"varinv.functionals.{_name}")

OURS = ("varinv.functionals.",)
KINDS = [c for c in Functional.kinds if c.__module__.startswith(OURS) and not inspect.isabstract(c)]
ALL = [pytest.param(f, shape, id=f"{i}-{f}") for i, (f, shape) in enumerate(e for c in KINDS for e in c.examples())]
CASES = [c for c in ALL if hasattr(c.values[0], "prox")]
CONVEX = [c for c in CASES if c.values[0].convex]  # the others have no conjugate: tests/functionals/test_nonconvex.py
JOINTS = [
    pytest.param(f, shape, id=f"{f}")
    for f, shape in (
        (Joint((vi.L2Squared([1.0, -2.0, 0.5]), vi.L2Squared(0.3, 2.0), vi.Box(-0.5, 0.6)), L1(0.4)), (3,)),
        (Joint((vi.Box(0.0, 2.0),)), (2, 2)),
        (Joint((vi.Box(-1.0, 2.0),), L1([0.5, 0.0, 2.0])), (3,)),
    )
]
INF = math.inf


pytestmark = pytest.mark.usefixtures("one_thread")


def moved(f: Any, xp: Any) -> Any:
    """A copy of f whose arrays live in the library xp."""
    if isinstance(f, Joint):
        return Joint((moved(g, xp) for g in f.quadratics), None if f.rest is None else moved(f.rest, xp))
    f = copy.copy(f)
    for name, value in list(vars(f).items()):
        if is_array(value):
            object.__setattr__(f, name, xp.asarray(to_numpy(value)))
        elif isinstance(value, Functional):
            object.__setattr__(f, name, moved(value, xp))
        elif isinstance(value, tuple) and value and all(isinstance(v, Functional) for v in value):
            object.__setattr__(f, name, tuple(moved(v, xp) for v in value))
    if isinstance(f, Scaled):
        f.__post_init__()  # its capabilities belong to the copy
    return f


def test_every_concrete_functional_has_examples() -> None:
    assert {L1, L21, Huber, vi.L2Squared, vi.KullbackLeibler, vi.L2Ball, vi.Box, Scaled} <= set(KINDS)
    for cls in KINDS:
        assert list(cls.examples()) or cls is Scaled, cls.__name__  # what is scaled gives examples of it
    assert any(isinstance(case.values[0], Scaled) for case in ALL)
    with pytest.raises(NotImplementedError, match=r"Bare needs examples\(\)"):
        type("Bare", (), {"examples": classmethod(Functional.examples.__func__)}).examples()


@pytest.mark.parametrize(("f", "shape"), CASES + JOINTS)
def test_prox_beats_every_other_candidate(f: Any, shape: Any, xp: Any) -> None:
    there = moved(f, xp)
    for i, x in enumerate(points(f, shape)):
        for step in (0.05, 1.0, 7.0):
            before = xp.asarray(x)
            p = there.prox(before, step)
            assert type(p) is type(before) or xp.__class__.__name__ == "ReadOnlyNumPy"
            assert p.dtype == before.dtype
            assert tuple(p.shape) == shape
            assert np.array_equal(to_numpy(before), x)  # the input is untouched
            assert np.array_equal(to_numpy(there.prox(before, step)), to_numpy(p))  # a function: same in, same out
            # 1e-12: rounding of a cost of order 1, evaluated twice
            assert beaten(f, x, to_numpy(p), step, i) <= 1e-12


@pytest.mark.parametrize(("f", "shape"), CONVEX + JOINTS)
def test_fenchel_young_holds_with_equality_at_a_prox(f: Any, shape: Any) -> None:
    known = [f.conj(np.zeros(shape)) < INF]
    for x, step in itertools.product(points(f, shape), (0.05, 1.0, 7.0)):
        p = f.prox(x, step)
        q = feasible(f, (x - p) / step)  # in the subdifferential at p; feasible only takes rounding away
        assert np.allclose(q, (x - p) / step, rtol=1e-9, atol=1e-9)
        # rounding of three sums; (x − p)/step carries the rounding of p, divided by the step
        assert fenchel_young_error(f, p, q) <= 1e-9
        assert fenchel_young_excess(f, f.prox(rand(np, shape, 77), 1.0), q) <= 1e-9  # any other point
    assert all(known)


@pytest.mark.parametrize(("f", "shape"), CONVEX)
def test_prox_conj_minimises_the_conjugate(f: Any, shape: Any) -> None:
    """Not Moreau against Moreau: candidates around the answer, judged by f* itself."""
    for i, y in enumerate(points(f, shape)):
        for step in (0.05, 1.0, 7.0):
            p = f.prox_conj(y, step)
            dual = type("Conjugate", (), {"__call__": lambda _, q: f.conj(q)})()
            q = feasible(f, p)
            assert np.allclose(q, p, rtol=1e-9, atol=1e-9)
            assert beaten(dual, y, q, step, i) <= 1e-9  # a point moved by rounding into the domain


@pytest.mark.parametrize(("f", "shape"), [c for c in CASES if hasattr(c.values[0], "feasible")])
def test_feasible_lands_in_the_domain_of_the_conjugate(f: Any, shape: Any) -> None:
    for i in range(40):
        y = 10.0 ** (i % 9 - 4) * rand(np, shape, i)
        q = feasible(f, y)
        assert f.conj(q) < INF
        assert np.array_equal(feasible(f, q), q) or np.allclose(feasible(f, q), q, rtol=4e-16, atol=0)
    scale = np.abs(feasible(f, np.zeros(shape))).max()
    assert scale == 0  # 0 is in the domain of every conjugate here: each f is bounded below


@pytest.mark.parametrize(("f", "shape"), CASES)
def test_float32_maps_agree_with_float64(f: Any, shape: Any) -> None:
    for x, step in itertools.product(points(f, shape), (0.02, 1.0, 30.0)):
        for name in ("prox", "prox_conj") if f.convex else ("prox",):
            exact = getattr(f, name)(x.astype("f4").astype("f8"), step)
            single = getattr(f, name)(x.astype("f4"), step)
            assert single.dtype == np.float32
            assert np.abs(single - exact).max() <= 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize(("f", "shape"), [c for c in CASES if c.values[0].separable])
def test_separable_maps_take_array_steps(f: Any, shape: Any) -> None:
    steps = np.random.default_rng(5).uniform(0.1, 4, shape)
    for name in ("prox", "prox_conj") if f.convex else ("prox",):
        x = 2 * rand(np, shape, 6)
        together = getattr(f, name)(x, steps)
        for i in np.ndindex(shape):
            assert np.isclose(together[i], getattr(f, name)(x, float(steps[i]))[i], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("f", "shape"), CASES)
def test_prox_is_firmly_nonexpansive(f: Any, shape: Any) -> None:
    assert f.convexity >= 0 or not f.convex
    step = 0.7 if f.convexity >= -1 else 0.7 / -f.convexity
    if step == 0:
        pytest.skip("no bound of the curvature: judged by a grid")
    for i in range(20):
        x, z = 3 * rand(np, shape, i), 3 * rand(np, shape, 100 + i)
        # ⟨p − q, x − z⟩ ≥ (1 + t μ)‖p − q‖², μ the strong (or weak) convexity declared
        assert expansion(f, x, z, step) <= 1e-12


SMOOTH = [c for c in ALL if hasattr(c.values[0], "grad")]


@pytest.mark.parametrize(("f", "shape"), SMOOTH)
def test_grad_and_hvp_against_central_differences(f: Any, shape: Any) -> None:
    for i in range(4):
        x, d = 2 + 0.3 * rand(np, shape, i), rand(np, shape, 50 + i)  # in the domain of counts too
        assert slope_error(f, x, d) <= 1e-7  # h² and rounding/h
        assert bend_error(f, x, d) <= 1e-6


@pytest.mark.parametrize(("f", "shape"), SMOOTH)
def test_smoothness_and_convexity_bound_the_gradient(f: Any, shape: Any) -> None:
    largest = 0.0
    for i in range(100):
        x, z = (10.0 ** (i % 4 - 3) * rand(np, shape, i), 10.0 ** (i % 4 - 3) * rand(np, shape, 200 + i))
        x, z = (5 + x, 5 + z) if f.smoothness == INF else (x, z)
        steep, least = gradient_ratios(f, x, z)
        assert steep * np.linalg.norm(x - z) <= f.smoothness * np.linalg.norm(x - z) * (1 + 1e-10) + 1e-10
        assert least >= f.convexity - 1e-10 * abs(f.convexity)
        largest = max(largest, steep)
    assert f.smoothness == INF or largest >= 0.3 * f.smoothness  # not an idle bound


@pytest.mark.parametrize(("f", "shape"), CASES)
def test_scaling_law_pickle_and_repr(f: Any, shape: Any) -> None:
    x = f.prox(2 * rand(np, shape, 3), 0.1)
    y = rand(np, shape, 4)
    again = pickle.loads(pickle.dumps(f))
    assert again(x) == f(x)
    assert np.array_equal(again.prox(y, 0.3), f.prox(y, 0.3))
    assert "array" not in repr(f) or "[" not in repr(f)
    constraint = f.scale(2.0) is f
    for lam in (2, 0.25, np.float32(0.5)):
        g = lam * f
        assert np.isclose(g(x), f(x) if constraint else float(lam) * f(x), rtol=1e-13)
        assert np.allclose(g.prox(y, 0.3), f.prox(y, 0.3 if constraint else 0.3 * float(lam)), rtol=1e-12, atol=1e-14)
        weight = 1.0 if constraint else float(lam)  # (λf)* = λ f*(·/λ)
        again = pickle.loads(pickle.dumps(g))
        assert np.array_equal(again.prox(y, 0.3), g.prox(y, 0.3))
        if f.convex:
            q = feasible(f, y)
            assert np.isclose(g.conj(feasible(g, weight * q)), weight * f.conj(q), rtol=1e-6, atol=1e-9)
            assert np.array_equal(again.prox_conj(y, 0.3), g.prox_conj(y, 0.3))
    with pytest.raises(ValueError, match="lam must be at least 0, got -1"):
        -1 * f
    with pytest.raises(TypeError, match="array of weights goes into the constructor"):
        np.ones(shape) * f


def test_zero_times_a_functional_is_zero() -> None:
    kl = 0 * vi.KullbackLeibler([1.0, 2.0])
    x = np.array([3.0, -4.0])
    assert (kl(x), kl.conj(0 * x), kl.conj(x), kl.smoothness) == (0.0, 0.0, INF, 0.0)
    assert np.array_equal(kl.prox(x, 2.0), x)
    assert not kl.prox_conj(x, 2.0).any()
    assert not kl.feasible(x).any()
    assert not (0 * vi.L1()).prox_conj(x, 1.0).any()


@pytest.mark.parametrize("f", [c.values[0] for c in CONVEX if c.values[0].data() is not None])
def test_a_wrong_shape_names_both_shapes(f: Any) -> None:
    shape = tuple(f.data().shape)
    other = (*shape, 2)
    for call in (f, lambda z: f.prox(z, 1.0), f.conj):
        with pytest.raises(ValueError) as error:
            call(np.ones(other))
        assert str(shape) in str(error.value)
        assert str(other) in str(error.value)
    with pytest.raises(ValueError, match=r"weight must have shape \(3, 2\), got \(2, 3\); it looks transposed"):
        L1(np.ones((2, 3)))(np.ones((3, 2)))


def test_counts_keep_their_digits_in_float32() -> None:
    """Kullback–Leibler, v > 1: against the same formula in extended precision."""
    rng = np.random.default_rng(0)
    y, v, sigma = 10 ** rng.uniform(-3, 3, 2000), 1 + 10 ** rng.uniform(-3, 4, 2000), 0.37
    y, v = y.astype("f4"), v.astype("f4")
    wide, wide_y = v.astype(np.longdouble), y.astype(np.longdouble)
    s = np.longdouble(np.float32(sigma))
    exact = ((1 + wide) - np.sqrt((wide - 1) ** 2 + 4 * s * wide_y)) / 2
    found = vi.KullbackLeibler(y).prox_conj(v, float(np.float32(sigma)))
    # 1 − p is what cancels: it is 2σy/((v−1) + √…), good to a few of the 6e-8 of float32, plus the last 1 −
    assert np.abs((1 - found) - (1 - exact)).max() <= 1.2e-7 * np.abs(1 - exact).max() + 1.2e-7
    assert np.abs(found - exact).max() <= 2e-7 * np.abs(exact).max() + 1.2e-7


def test_counts_at_the_border_of_the_domain() -> None:
    f = vi.KullbackLeibler([0.0, 2.0], background=[0.0, 1.0])
    assert f(np.array([0.0, 1.0])) == 0.0
    assert f(np.array([-1e-9, 1.0])) == INF
    assert f(np.array([1.0, -1.0])) == INF
    assert f.conj(np.array([1.0, 0.0])) == 0.0
    assert f.conj(np.array([0.0, 1.0])) == INF
    assert np.array_equal(f.grad(np.array([0.0, 1.0])), [1.0, 0.0])  # no 0/0 where nothing was counted
    assert np.array_equal(f.hvp(np.array([0.0, 1.0]), np.ones(2)), [0.0, 0.5])


def test_a_point_on_the_sphere_is_in_the_ball_in_its_own_precision() -> None:
    rng = np.random.default_rng(0)
    y, d = rng.standard_normal((2, 4000))
    d /= np.linalg.norm(d)
    for dtype, rounding in (("float32", 4 * 2.0**-23), ("float64", 1e-12)):
        f = vi.L2Ball(y.astype(dtype), 2.0)
        size = 2.0 + float(np.linalg.norm(y))
        there = f.y.astype("f8") + 2.0 * d
        for z in (there, there.astype(dtype)):  # Problem evaluates in float64 what came in float32
            assert f(z) == 0
        assert f(f.y.astype("f8") + (2.0 + 0.9 * rounding * size) * d) == 0
        assert f(f.y.astype("f8") + (2.0 + 1.1 * rounding * size) * d) == math.inf
    assert vi.L2Ball(y, 2.0)((y + 2.0 * d).astype("float32")) == 0


def test_tomography_by_the_discrepancy_ends_with_a_finite_objective_in_float32() -> None:
    A = vi.Radon((32, 32), vi.ParallelBeam(np.arange(20) * np.pi / 20, 48))
    x = np.zeros((32, 32))
    x[8:20, 10:25] = 1
    noise = np.random.default_rng(0).standard_normal(A.codomain)
    y = (A(x) + 0.3 * noise).astype("float32")
    problem = vi.L2Ball(y, 0.3 * math.sqrt(y.size)) @ A + vi.TV(x.shape) + vi.NonNegative()
    assert math.isfinite(problem(vi.solve(problem, stop=vi.iterations(800)).x))
