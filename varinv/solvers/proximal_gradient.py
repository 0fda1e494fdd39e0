"""The proximal gradient method (forward–backward splitting)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import KullbackLeibler, L2Squared
from varinv.functionals.sparsity import L1
from varinv.functionals.tv import TV
from varinv.operators.elementary import Diagonal
from varinv.problem import Problem
from varinv.solvers import forward_backward
from varinv.solvers.base import Solver


class ProximalGradientState(NamedTuple):
    """Image x, the duals ∇f_i(K_i x_{k−1}), the step τ, the iteration number."""

    x: Array
    y: tuple[Array, ...]
    tau: float
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """The relative gradient mapping at x (varinv.solvers.forward_backward.residual)."""
        return forward_backward.residual(problem, self.x, self.tau)


@dataclass(frozen=True)
class ProximalGradient(Solver):
    r"""Solve smooth data terms with one simple regulariser by plain gradient steps.

    min_x f(x) + g(x) by x ← prox_{τg}(x − τ∇f(x)); Lions & Mercier (1979), Combettes & Wajs (2005).

    f = Σ f_i(K_i x) are the terms with an operator, all smooth; g the terms of the image itself, together in one prox.
    The objective never rises for τ ≤ 1/L, L = Σ L_i‖K_i‖² from certified norms, convex or not (critical points then).
    Convex: F(x_k) − F* ≤ L‖x_0 − x*‖²/(2k); use `FISTA`.

    Parameters
    ----------
    tau : the step; None: 1/L.
    backtracking : halve τ until f lies below its quadratic model, and try 1.5 τ in the next iteration; None: only where
        a term has no L (Kullback–Leibler).

    Raises
    ------
    TypeError, ValueError
        A coupled term without a gradient (named, with the remedy), τ ≥ 2/L, a start image at which f is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([3.0, 0.5])) @ vi.Diagonal([1.0, 2.0]) + vi.L1(1.0)
    >>> vi.solve(problem, vi.ProximalGradient(), stop=vi.residual(1e-9)).x.round(6)
    array([2., 0.])
    """

    tau: float | None = None
    backtracking: bool | None = None

    def __post_init__(self) -> None:
        if self.tau is not None:
            object.__setattr__(self, "tau", check.number("ProximalGradient", "tau", self.tau, low=0.0, strict=True))

    def init(self, problem: Problem, x: Array) -> ProximalGradientState:
        forward_backward.split("ProximalGradient", problem, x)
        tau = start_step("ProximalGradient", problem, x, self.tau, self.searches(problem), most=2.0)
        return ProximalGradientState(x, forward_backward.start_duals(problem, x), tau)

    def searches(self, problem: Problem) -> bool:
        """Whether steps are found by backtracking."""
        return searches(problem, self.backtracking)

    def step(self, problem: Problem, s: ProximalGradientState) -> ProximalGradientState:
        search, tau = self.searches(problem), s.tau
        for _ in range(100):
            x, y, kept, seen = forward_backward.trial(problem, s.x, tau, search)
            if kept:
                break
            tau /= 2
        return ProximalGradientState(x, y, 1.5 * tau if seen else tau, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        lasso, _, counts = smooth_problems()
        yield cls(), lasso
        yield cls(), counts


def searches(problem: Problem, backtracking: bool | None) -> bool:
    """Whether steps are found by backtracking: as asked, or where there is no L."""
    terms = forward_backward.arranged(problem)[1]
    asked = math.isinf(forward_backward.lipschitz(terms)) if backtracking is None else backtracking
    return bool(terms) and asked


def start_step(who: str, problem: Problem, x: Array, tau: float | None, search: bool, most: float) -> float:
    """The first τ; an error where it is not below most/L and nothing will shorten it."""
    terms = forward_backward.arranged(problem)[1]
    first, L = forward_backward.first_step(problem, x), forward_backward.lipschitz(terms)
    if tau is None:
        if math.isinf(L) and not search:
            raise ValueError(f"{who}: backtracking=False needs a term-wise L or tau, and {problem} has no L")
        return first
    if not search and terms and not (tau * L < most or (most == 1.0 and tau * L <= 1 + 1e-9)):
        limit = f"{most:g}/L, and L is not known" if math.isinf(L) else f"{most:g}/L = {most / L:.4g}"
        raise ValueError(f"{who}: tau={tau:g} must stay below {limit}; leave it out, or set backtracking=True")
    return tau


def smooth_problems() -> Iterator[Problem]:
    """Small problems of a smooth f and a simple g."""
    import array_api_compat.numpy as xp

    y = xp.reshape(xp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
    D = Diagonal(1 + abs(y))
    yield L2Squared(y) @ D + L1(0.2)
    yield L2Squared(y) + TV((2, 3), smoothing=0.1)
    yield KullbackLeibler(abs(y), 0.1) @ D + NonNegative()
