r"""Hypergradients of bilevel problems, inexact with known accuracy.

.. math::
    f(θ) = \frac1m Σ_i g_i(x̂_i(θ)) + r(θ),\qquad x̂_i(θ) = argmin_x h_i(x, θ),\qquad
    ∇f = ∇r − \frac1m Σ_i J_i^T q_i,\quad ∇_{xx}^2 h_i\, q_i = ∇g_i(x̂_i),\quad J_i = ∂_θ∇_x h_i

The lower level is strongly convex with modulus μ, so that ‖x − x̂‖ ≤ ‖∇h(x)‖/μ proves how good an approximation is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, Shape, namespace
from varinv.learning.executors import run
from varinv.learning.family import constants, lower_problem, parameters, sensitivity, start
from varinv.learning.lower import Lower, minimise, solve_adjoint
from varinv.linalg import dot, norm
from varinv.problem import Problem

LOWER, ADJOINT = 5000, 2000  # most iterations of one lower solve, of one adjoint solve


class Work(NamedTuple):
    """What was spent, summed over examples."""

    lower: int = 0  # gradients of lower levels
    adjoint: int = 0  # CG iterations, one Hessian product each
    solves: int = 0
    sensitivities: int = 0

    @property
    def total(self) -> int:
        """Lower-level and CG iterations: the unit in which methods are compared."""
        return self.lower + self.adjoint

    def plus(self, other: Work) -> Work:
        return Work(*(a + b for a, b in zip(self, other, strict=True)))


class Solution(NamedTuple):
    """One lower level at one θ: image, ∇h(x), proved error, ‖∇g(x)‖, adjoint state, its residual (∞: not solved)."""

    x: Array
    slope: Array
    error: float
    steep: float
    q: Array | None
    residual: float
    reached: bool


class Sample(NamedTuple):
    """One training example at one θ; with bounds L_g for all of its solutions."""

    solutions: tuple[Solution, ...]
    value: float  # g(x̃)
    above: float  # g(x̂) ≤ value + above
    below: float  # g(x̂) ≥ value − below
    corrected: float  # g(x̃) − qᵀ∇h(x̃): off by at most `slack`
    slack: float
    bend: float  # what the curvature of the lower level adds to `slack`; NaN where the family gives no constants
    slope: Any  # −Jᵀq
    omega: float  # the bound of its error; NaN where the family gives no constants
    work: Work


class Evaluation(NamedTuple):
    """The upper level at θ: mean values, bounds, inexact hypergradient, and what was spent on it."""

    theta: Array
    samples: tuple[Sample, ...]
    value: float
    upper: float
    lower: float
    corrected: float
    slack: float
    bend: float
    slope: Any
    omega: float
    error: float
    reached: bool
    work: Work

    @property
    def unsolved(self) -> float:
        """The largest relative residual of the adjoint systems: 1 where q = 0."""
        each = (s for sample in self.samples for s in sample.solutions)
        return max(s.residual / s.steep if s.steep > 0 else 0.0 for s in each)


@dataclass(frozen=True, eq=False, repr=False)
class Bilevel(Problem):
    """min over θ of the mean loss of the lower-level solutions: what learning rules minimise.

    Parameters
    ----------
    family : ``family(theta, y) -> Problem``; optional methods ``sensitivity(theta, y, x, q)`` = ∂θ⟨∇ₓh(x, θ), q⟩,
        ``mu(theta)``, ``smoothness(theta)``, ``start(y)``, ``bounds(theta, y, x)`` = (‖J‖, L_J, L_H), upper bounds
        of the spectral norm of J and of the Lipschitz constants of J and of the Hessian in x.
    cases : (data, loss) per example, as `losses.supervised` or `losses.unsupervised` make them.
    theta0 : a 1-D array: fixes the number of parameters and where they live.
    mu : strong convexity assumed where the family knows none; certificates then say so.
    penalty : r, a functional of θ with a gradient.
    lower : how lower levels and adjoints are solved: `Piggyback()`, or None: accelerated gradients and CG.
    executor : anything with ``map`` (threads, processes, a Dask client); results come in the order of the examples.

    Raises
    ------
    TypeError, ValueError
        A family that returns no problem or changes its unknown's shape, a term without gradient or second derivative,
        an unknown μ, more than 16 parameters without `sensitivity`, a loss that is not finite.
    """

    terms: tuple[Any, ...] = ()
    family: Any = None
    cases: Sequence[Any] = ()
    theta0: Any = None
    mu: float | None = None
    penalty: Any = None
    executor: Any = None
    lower: Any = None

    def __post_init__(self) -> None:
        if not callable(self.family):
            raise TypeError(f"learn: family must be a callable family(theta, y), got {check.describe(self.family)}")
        object.__setattr__(self, "theta0", parameters(self.theta0))
        if self.lower is not None and not (hasattr(self.lower, "minimise") and hasattr(self.lower, "solve_adjoint")):
            raise TypeError(f"learn: lower must be Piggyback() or None, got {check.describe(self.lower)}")
        if self.mu is not None:
            object.__setattr__(self, "mu", check.number("learn", "mu", self.mu, low=0.0, strict=True))

    @property
    def certified(self) -> bool:
        """Whether errors are proved: μ comes from the family or the terms, not from the caller."""
        return self.mu is None

    @property
    def domain(self) -> Shape:
        return tuple(self.theta0.shape)

    def data(self) -> Array | None:
        return self.theta0

    def __call__(self, x: Array) -> float:
        """f(θ), lower levels solved to 1e-10 of their start."""
        return self.evaluate(x, 1e-10 * self.evaluate(x, math.inf, None).error).value

    def grad(self, x: Array) -> Array:
        """∇f(θ) to 1e-10."""
        scale = 1e-10 * self.evaluate(x, math.inf, None).error
        return self.evaluate(x, scale, scale * max(loss.smoothness for _, loss in self.cases)).slope

    def evaluate(
        self, theta: Array, epsilon: float, delta: float | None = None, warm: Evaluation | None = None
    ) -> Evaluation:
        """f at θ with ‖x − x̂‖ ≤ ε for every example and, with δ, the hypergradient by CG to residual δ.

        Starts from the solutions of `warm`; what is reached, not what was asked for, stands in the result.
        """
        same = warm is not None and (warm.theta is theta or bool(namespace(theta).all(warm.theta == theta)))
        old = [None] * len(self.cases) if warm is None else list(warm.samples)
        tasks = [
            _Task(self.family, data, loss, theta, epsilon, delta, sample, same, self.mu, self.lower)
            for (data, loss), sample in zip(self.cases, old, strict=True)
        ]
        samples = tuple(run(_evaluate, tasks, self.executor))
        m = len(samples)

        def mean(name: str) -> float:
            return math.fsum(v) / m if all(map(math.isfinite, v := [getattr(s, name) for s in samples])) else math.nan

        r = 0.0 if self.penalty is None else float(self.penalty(theta))
        slope = None
        if delta is not None:
            slope = functools.reduce(lambda a, b: a + b, (s.slope for s in samples)) / m
            slope = slope if self.penalty is None else slope + self.penalty.grad(theta)
        value = mean("value") + r
        errors = [s.error for sample in samples for s in sample.solutions]
        work = Work()
        for s in samples:
            work = work.plus(s.work)
        return Evaluation(
            theta,
            samples,
            value,
            value + mean("above"),
            value - mean("below"),
            mean("corrected") + r,
            mean("slack"),
            mean("bend"),
            slope,
            mean("omega"),
            math.fsum(errors) / len(errors),
            all(s.reached for sample in samples for s in sample.solutions),
            work,
        )

    def __repr__(self) -> str:
        return f"Bilevel({self.family}, {len(self.cases)} examples, {self.domain[0]} parameters)"


class _Task(NamedTuple):
    family: Any
    data: tuple[Array, ...]
    loss: Any
    theta: Array
    epsilon: float
    delta: float | None
    old: Sample | None
    same: bool
    mu: float | None
    lower: Any


def _evaluate(task: _Task) -> Sample:
    """One example: lower level, adjoint, sensitivity.  A plain function of plain values, so that processes take it."""
    lows, problems, before, work = [], [], [], Work()
    solve, adjoint = (
        (minimise, solve_adjoint) if task.lower is None else (task.lower.minimise, task.lower.solve_adjoint)
    )
    old: Any = [None] * len(task.data) if task.old is None else task.old.solutions
    for y, was in zip(task.data, old, strict=True):
        problem = lower_problem(task.family, task.theta, y, None if was is None else was.x)
        problems.append(problem)
        before.append(was)
        x = was.x if was is not None else start(task.family, problem, y)
        if task.same and was is not None and was.error <= task.epsilon:
            low = Lower(x, was.slope, 0.0, was.error, 0, True)
        else:
            mu, L = constants(task.family, task.theta, problem, task.mu)
            low = solve(problem, x, mu, L, task.epsilon, LOWER)
        lows.append(low)
        work = work.plus(Work(low.iterations, 0, int(low.iterations > 0), 0))
    xs = [low.x for low in lows]
    value, steep = task.loss(xs), task.loss.slopes(xs)
    L_g = task.loss.smoothness
    first = math.fsum(norm(g) * low.error for g, low in zip(steep, lows, strict=True))
    second = 0.5 * L_g * math.fsum(low.error**2 for low in lows)
    corrected, slack, bend, omega = value, second, 0.0, 0.0
    solutions, slope = [], None
    for y, problem, was, low, g in zip(task.data, problems, before, lows, steep, strict=True):
        q, residual, reached = (None if was is None else was.q), math.inf, low.reached
        if task.delta is not None and math.isfinite(low.error):
            found = adjoint(problem, low.x, g, q, task.delta, ADJOINT)
            q, residual, reached = found.q, found.residual, low.reached and found.reached
            part = sensitivity(task.family, task.theta, y, problem, low.x, q)
            slope = -part if slope is None else slope - part
            work = work.plus(Work(0, found.iterations, 0, 1))
            corrected -= dot(q, low.slope)
            slack += residual * low.error
            bounds = getattr(task.family, "bounds", None)
            if bounds is None:
                bend = omega = math.nan
            else:
                J, L_J, L_H = bounds(task.theta, y, low.x)
                mu, _ = constants(task.family, task.theta, problem, task.mu)
                bend += 0.5 * L_H * norm(q) * low.error**2
                omega += _omega(mu, L_g, norm(g), J, L_J, L_H, low.error, residual)
        solutions.append(Solution(low.x, low.slope, low.error, norm(g), q, residual, reached))
    if slope is None:
        slope, omega, slack = math.nan * task.theta, math.nan, math.inf
    below = first if task.loss.convex else first + second
    return Sample(tuple(solutions), value, first + second, below, corrected, slack, bend, slope, omega, work)


def _omega(mu: float, L_g: float, g: float, J: float, L_J: float, L_H: float, e: float, r: float) -> float:
    """The bound of ‖z − ∇f‖ (Salehi et al. 2024, Theorem 2.1) with L_{H⁻¹} = L_H/μ²."""
    c = L_g * J / mu + L_H / mu**2 * g * J + L_J * g / mu
    return c * e + J / mu * r + L_J * L_g / mu * e**2
