"""The certified gap: a lower bound that is never above the optimum, and reaches it."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense

import varinv as vi
from varinv.functionals.base import Scaled
from varinv.operators.gradient import Gradient
from varinv.problem import relative_gap
from varinv.solvers.rules import default_stop

SHAPE = (4, 5)


class Matrix(vi.LinearOperator):
    """A dense matrix as an operator: images of SHAPE to vectors."""

    def __init__(self, a: np.ndarray) -> None:
        self.a, self.domain, self.codomain = a, SHAPE, (a.shape[0],)

    def forward(self, x: Any) -> Any:
        return self.a @ x.reshape(-1)

    def adjoint(self, y: Any) -> Any:
        return (self.a.T @ y).reshape(SHAPE)

    def norm(self) -> float:
        return float(np.linalg.norm(self.a, 2)) * (1 + 1e-12)

    def absolute(self) -> vi.LinearOperator:
        return self if self.a.min() >= 0 else Matrix(np.abs(self.a))

    @classmethod
    def examples(cls) -> Iterator[vi.LinearOperator]:
        yield cls(np.ones((2, 20)))


vi.LinearOperator.kinds.remove(Matrix)  # it is of this file only


pytestmark = pytest.mark.usefixtures("one_thread")


DATA = ["squares", "weights", "masked", "counts", "counts-background"]
PRIORS = ["isotropic", "anisotropic", "weighted", "huber", "huber-anisotropic", "charbonnier"]
SIMPLE = ["non-negative", "box", "array-box", "ridge", "ridge-non-negative", "masked-ridge", "l1", "l1-non-negative",
          "support", "floor"]  # fmt: skip


def build(data: str, prior: str, simple: str, seed: int, unseen: bool) -> tuple[vi.Problem, Any, Any]:
    """A random problem, and its objective and constraints for cvxpy."""
    rng = np.random.default_rng([seed, len(data), len(prior), len(simple)])
    a = rng.uniform(size=(15, 20)) * (rng.uniform(size=(15, 20)) < 0.4)
    if unseen:
        a[:, [0, 7, 13]] = 0  # pixels no ray hits
    truth = rng.uniform(size=20) * 2
    y = a @ truth + 0.3 * rng.standard_normal(15)
    w = np.ones(15)
    x = cp.Variable(20)
    A = Matrix(a)
    lam = float(rng.uniform(0.05, 0.5))
    if data.startswith("counts"):
        y, b = rng.poisson(3 * np.maximum(y, 0)).astype(float), 0.5 * ("background" in data)
        scale = float(rng.uniform(0.3, 3))
        term: Any = (scale * vi.KullbackLeibler(y, b)) @ A
        objective = scale * cp.sum(cp.kl_div(y, a @ x + b))  # y log(y/u) − y + u
    else:
        if data == "weights":
            w = rng.uniform(0.2, 3, 15)
        if data == "masked":
            w = rng.uniform(0.2, 3, 15) * (rng.uniform(size=15) < 0.6)
        term = vi.L2Squared(y, 1.0 if data == "squares" else w) @ A
        objective = 0.5 * cp.sum(cp.multiply(w, cp.square(a @ x - y)))
    weight = rng.uniform(size=SHAPE) * (rng.uniform(size=SHAPE) < 0.8) if prior == "weighted" else None
    smoothing = 0.1 if "huber" in prior or prior == "charbonnier" else 0.0
    isotropic = "anisotropic" not in prior
    tv = vi.TV(
        SHAPE, weight, isotropic=isotropic, smoothing=smoothing, kind="huber" if "huber" in prior else "charbonnier"
    )
    d = (dense(Gradient(SHAPE)) @ x).reshape((2, 20), order="C")
    lengths = cp.norm(d, axis=0) if isotropic else cp.vec(cp.abs(d), order="C")
    pixels = np.ones(lengths.shape) if weight is None else weight.reshape(-1)
    # Huber: cvxpy's is n² below M and 2Mn − M² above
    phi = cp.huber(lengths, smoothing) / (2 * smoothing) if smoothing else lengths
    if prior == "charbonnier":
        phi = cp.norm(cp.vstack([d, smoothing * np.ones((1, 20))]), axis=0)
    objective = objective + lam * (pixels @ phi)
    p, limits = term + lam * tv, []
    if "non-negative" in simple:
        p, limits = p + vi.NonNegative(), [x >= 0]
    if simple in ("box", "array-box"):
        lo, hi = rng.uniform(-0.5, 0.2, SHAPE), rng.uniform(0.8, 1.5, SHAPE)
        lo, hi = (0.1, 1.2) if simple == "box" else (lo, hi)
        p = p + vi.Box(lo, hi)
        limits = [x >= np.reshape(lo * np.ones(SHAPE), -1), x <= np.reshape(hi * np.ones(SHAPE), -1)]
    if simple == "support":
        inside = np.isin(np.arange(20), [0, 3, 7, 13, 18], invert=True).reshape(SHAPE)  # what no ray hits is outside
        p, limits = p + vi.Support(inside) + vi.NonNegative(), [x >= 0, x[~inside.reshape(-1)] == 0]
    if simple == "floor":
        lo = rng.uniform(0, 0.4, SHAPE)
        hi = np.where(np.isin(np.arange(20), [0, 2, 7, 9, 13]).reshape(SHAPE), 0.9, math.inf)
        p, closed = p + vi.Box(lo, hi), np.isfinite(hi).reshape(-1)
        limits = [x >= lo.reshape(-1), x[closed] <= 0.9]
    if "ridge" in simple:
        u = 0.3 * np.ones(SHAPE) * (rng.uniform(size=SHAPE) < 0.7) if simple == "masked-ridge" else 0.3 * np.ones(SHAPE)
        p = p + vi.L2Squared(0.2 * np.ones(SHAPE), u)
        objective = objective + 0.5 * (u.reshape(-1) @ cp.square(x - 0.2))
    if simple.startswith("l1"):
        p, objective = p + 0.2 * vi.L1(), objective + 0.2 * cp.norm1(x)
    return p, objective, limits


def optimum(objective: Any, limits: Any) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(cp.Problem(cp.Minimize(objective), limits).solve(solver=cp.CLARABEL, tol_gap_rel=1e-10,
                     tol_gap_abs=1e-10, tol_feas=1e-10))  # fmt: skip


def combinations() -> Iterator[Any]:
    for i, (data, simple) in enumerate(itertools.product(DATA, SIMPLE)):
        prior = PRIORS[(i + i // len(SIMPLE)) % len(PRIORS)]
        unseen = (i + i // len(SIMPLE)) % 2 == 1
        if simple == "non-negative" and data in ("squares", "counts"):
            prior = "charbonnier"  # a prior whose infimum is not 0, where it matters
        yield pytest.param(data, prior, simple, i, unseen, id=f"{data}-{prior}-{simple}{'-unseen' * unseen}")


@pytest.mark.parametrize(("data", "prior", "simple", "seed", "unseen"), list(combinations()))
def test_the_lower_bound_is_below_the_optimum_and_reaches_it(data: str, prior: str, simple: str, seed: int,
                                                             unseen: bool) -> None:  # fmt: skip
    problem, objective, limits = build(data, prior, simple, seed, unseen)
    solver = vi.ChambollePock()
    long = 100 if simple == "masked-ridge" else 20000
    result = vi.solve(problem, stop=vi.gap(1e-3) | vi.iterations(long))
    theirs = optimum(objective, limits)
    assert problem(result.x) >= theirs * (1 - 1e-5)  # the same problem (1e-5: cvxpy's accuracy on counts)
    best = min(theirs, problem(result.x), problem(vi.solve(problem, x0=result.x, stop=vi.iterations(400)).x))
    slack = 1e-7 * max(abs(best), 1.0)  # what cvxpy's own tolerance leaves
    assert result.history[-1]["lower_bound"] <= best + slack
    if simple != "masked-ridge":  # there v must vanish where nothing holds x: only the trivial bound is proved
        assert result.gap <= 1e-3

    rng = np.random.default_rng(seed)
    states = list(itertools.islice(solver.states(problem), 60))
    open_ = np.isin(np.arange(20), [0, 7, 13], invert=True) if unseen else rng.uniform(size=20) < 0.7
    shut = vi.Box(0.0, 9.0 * open_.reshape(SHAPE))  # some pixels must be 0: those no ray hits, or any
    coupled = vi.Problem(tuple(t for t in problem.terms if t.K is not None))
    other = next(itertools.islice(solver.states(coupled + shut), 1000, None))
    adverse, finite = other.y, 0  # good duals of a problem with a higher optimum
    for i in range(80):  # random dual points of all sizes, with images that are not theirs, and early iterates
        near = states[rng.integers(60)]
        size = 10.0 ** rng.uniform(-3, 3)
        noise = tuple(size * rng.standard_normal(t.K.codomain) for t in problem.coupled)
        mixed = tuple(a + b for a, b in zip(near.y, noise, strict=True))
        image = np.abs(size * rng.standard_normal(SHAPE)) if i % 2 else near.x
        image = image if math.isfinite(problem(image)) else states[-1].x
        found = problem.gap(image if i % 4 else result.x, (near.y, noise, mixed, adverse)[i % 4])
        assert found.dual <= best + slack
        finite += math.isfinite(found.dual)
    assert finite >= 55  # not by claiming nothing


def test_an_assumed_bound_is_used_and_named() -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((15, 20))
    y = a @ rng.uniform(size=20)
    for extra in (None, vi.NonNegative(), vi.Box(-0.5, math.inf)):
        problem = (
            vi.L2Squared(y) @ Matrix(a) + 0.1 * vi.TV(SHAPE) + (extra if extra is not None else 0 * vi.L2Squared())
        )
        if extra is None:
            problem = vi.L2Squared(y) @ Matrix(a) + 0.1 * vi.TV(SHAPE)
        with pytest.raises(ValueError, match=r"nothing bounds the solution of .*Box\(lo, hi\).*bound=M.*residual"):
            vi.solve(problem, stop=vi.gap(1e-3))
        result = vi.solve(problem, stop=vi.gap(1e-3, bound=2.0) | vi.iterations(20000))
        assert result.why.endswith("assuming |x| ≤ 2")
        x = cp.Variable(20)
        d = (dense(Gradient(SHAPE)) @ x).reshape((2, 20), order="C")
        best = optimum(0.5 * cp.sum_squares(a @ x - y) + 0.1 * cp.sum(cp.norm(d, axis=0)),
                       [] if extra is None else [x >= extra.lo])  # fmt: skip
        rows = [row["lower_bound"] for row in result.history]
        assert max(rows) <= best + 1e-8
        default, lacking = default_stop(problem, vi.ChambollePock().init(problem, problem.zeros()))
        assert "gap" not in repr(default)
        assert "residual(tol=1e-05" in repr(default)
        assert "nothing bounds the solution" in lacking


def test_where_there_is_no_certificate_the_message_says_why() -> None:
    y, a = np.ones(15), Matrix(np.ones((15, 20)))
    x = np.zeros(SHAPE)
    nothing_hit = vi.L2Squared(y) @ Matrix(np.zeros((15, 20))) + vi.NonNegative()
    free = Matrix(np.eye(15, 20))  # pixels no ray hits, under a term that may grow when they are cut off
    grows = vi.L2Squared(y) @ free + vi.L1() @ (Matrix(np.ones((3, 20)) - 2 * np.eye(3, 20))) + vi.NonNegative()
    excluded = vi.L2Squared(y, np.zeros(15)) @ a + vi.NonNegative()
    ball = vi.L2Ball(y, 1.0) @ a + vi.NonNegative()
    below = vi.L2Squared(y) @ a + vi.Box(-0.5, math.inf)  # what the data see need not be above zero
    for problem in (nothing_hit, grows, excluded, ball, below):
        for sign in (0.0, 1.0, -1.0):  # whatever the duals: a run must not find out in its middle
            duals = tuple(sign * np.ones(t.K.codomain) for t in problem.coupled)
            with pytest.raises(ValueError, match="nothing bounds the solution"):
                problem.gap(x, duals)
            assert math.isfinite(problem.gap(x, duals, bound=3.0).dual)
    bare = type("Bare", (vi.Functional,), {"__call__": lambda s, z: float((z**2).sum()), "prox": lambda s, z, t: z})()
    vi.Functional.kinds.remove(type(bare))
    with pytest.raises(ValueError, match=r"Bare\(\) has no conjugate; a method conj.* stop with residual"):
        (vi.L2Squared(y) @ a + bare).gap(x, (np.ones(15),))
    with pytest.raises(ValueError, match=r"Bare\(\) has no conjugate"):
        (bare @ a + vi.NonNegative()).gap(x, (np.ones(15),))
    with pytest.raises(ValueError, match=r"the conjugate of .*KullbackLeibler.* is not known"):
        (vi.L1() @ a + vi.KullbackLeibler(np.ones(SHAPE)) + vi.Box(0, math.inf)).gap(x + 1, (9 * np.ones(15),))


def test_a_scaled_least_squares_term_is_not_overestimated() -> None:
    """λ f written as Scaled(λ, L2Squared) is the same problem as L2Squared with weight λ."""
    rng = np.random.default_rng(3)
    a, y = rng.uniform(size=(15, 20)), rng.uniform(size=15)
    for lam in (0.05, 20.0):
        plain = lam * vi.L2Squared(y) @ Matrix(a) + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
        wrapped = vi.Term(Scaled(lam, vi.L2Squared(y)), Matrix(a)) + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
        for _ in range(20):
            duals = (rng.standard_normal(15), rng.standard_normal((2, *SHAPE)))
            x = rng.uniform(size=SHAPE)
            assert np.isclose(plain.gap(x, duals).dual, wrapped.gap(x, duals).dual, rtol=1e-10)


def test_relative_gap() -> None:
    assert relative_gap(2.0, 1.0) == 0.5
    assert relative_gap(0.0, 0.0) == 0.0
    assert relative_gap(-1.0, -2.0) == 0.5
    assert relative_gap(math.inf, 1.0) == relative_gap(1.0, -math.inf) == relative_gap(math.nan, 1.0) == math.inf


def test_unseen_pixels_are_not_cut_off_where_that_costs() -> None:
    """L1(y=…) @ Gradient wants a step of 50 at a pixel no ray hits; cut off at 1 it costs much; the optimum is 0."""
    rng = np.random.default_rng(0)
    a, G = rng.uniform(size=(15, 20)), Gradient(SHAPE)
    a[:, 7] = 0
    truth = np.full(SHAPE, 0.1)
    truth[1, 2] = 50
    y = a @ truth.reshape(-1)
    for steps, known in ((G(truth), True), (3.0, False)):
        data = vi.L2Squared(y) @ Matrix(a) + vi.L1(2.0, y=steps) @ G
        problem = data + vi.NonNegative()
        duals = next(itertools.islice(vi.ChambollePock().states(data + vi.Box(0, 1)), 1000, None)).y
        if known:
            assert problem(truth) <= 1e-12
        with pytest.raises(ValueError, match="nothing bounds the solution"):
            problem.gap(truth, duals)
