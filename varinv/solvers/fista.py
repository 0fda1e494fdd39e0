"""FISTA: the accelerated proximal gradient method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.linalg import add_scaled, dot
from varinv.problem import Problem
from varinv.solvers import forward_backward
from varinv.solvers.base import Solver
from varinv.solvers.proximal_gradient import searches, smooth_problems, start_step


class FISTAState(NamedTuple):
    """Images x_k and x_{k−1}, the duals ∇f_i(K_i z), the momentum t and its step τ, the step to try next, k."""

    x: Array
    x_old: Array
    y: tuple[Array, ...]
    t: float
    tau: float
    next_tau: float
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """The relative gradient mapping at x (varinv.solvers.forward_backward.residual)."""
        return forward_backward.residual(problem, self.x, self.tau)


@dataclass(frozen=True)
class FISTA(Solver):
    r"""Solve smooth data terms with one simple regulariser by accelerated gradient steps.

    min_x f(x) + g(x), convex, accelerated; Beck & Teboulle (2009), Chambolle & Pock (2016) where μ > 0.

    .. math::
        t' = \tfrac12\bigl(1 - q t^2 + \sqrt{(1 - q t^2)^2 + 4 (s/s') t^2}\bigr),\quad
        β = \frac{t - 1}{t'}\,\frac{1 + τμ_g - t'τμ}{1 - τμ_f},\\
        z = x + β (x - x_{k-1}),\quad  x_{k+1} = prox_{τg}(z - τ∇f(z))

    s = τ/(1 + τμ_g), q = μs, t_0 = 0.  f = Σ f_i(K_i x) are the terms with an operator, all smooth; g the terms of the
    image itself in one prox, or one term f(K x) where K Kᵀ is a multiple of the identity (an orthonormal Wavelet);
    μ = μ_f + μ_g their strong convexity.  μ = 0 and constant τ is the classical method,
    F(x_k) − F* ≤ 2L‖x_0 − x*‖²/(k+1)² (without restarts); μ > 0 converges like (1 − √(μ/L))^k.  The factor s/s' of two
    successive steps keeps both where τ changes (the same estimate, with τ of each iteration).

    Parameters
    ----------
    tau : the step; None: 1/L, L = Σ L_i‖K_i‖² from certified norms.
    backtracking : halve τ until f lies below its quadratic model, and try 1.5 τ in the next iteration; None: only where
        a term has no L (Kullback–Leibler).
    mu : strong convexity of the whole objective, which the caller guarantees; None: what the terms of the image itself
        declare.  ``varinv.solvers.forward_backward.distance`` then bounds ‖x − x*‖.
    restart : forget the momentum where ⟨z − x', x' − x⟩ > 0 (O'Donoghue & Candès 2015, gradient scheme).

    Raises
    ------
    TypeError, ValueError
        A coupled term without a gradient or not convex (named, with the remedy), τ > 1/L, μ > L + μ_g, a start image at
        which f is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([3.0, 0.5])) @ vi.Diagonal([1.0, 2.0]) + vi.L1(1.0)
    >>> vi.solve(problem, vi.FISTA(), stop=vi.residual(1e-9)).x.round(6)
    array([2., 0.])
    """

    tau: float | None = None
    backtracking: bool | None = None
    mu: float | None = None
    restart: bool = True

    def __post_init__(self) -> None:
        if self.tau is not None:
            object.__setattr__(self, "tau", check.number("FISTA", "tau", self.tau, low=0.0, strict=True))
        if self.mu is not None:
            object.__setattr__(self, "mu", check.number("FISTA", "mu", self.mu, low=0.0))

    def init(self, problem: Problem, x: Array) -> FISTAState:
        forward_backward.split("FISTA", problem, x, convex=True)
        tau = start_step("FISTA", problem, x, self.tau, searches(problem, self.backtracking), most=1.0)
        self.strength(problem)
        return FISTAState(x, x, forward_backward.start_duals(problem, x), 0.0, tau, tau)

    def strength(self, problem: Problem) -> tuple[float, float]:
        """(μ_f, μ_g)."""
        mu_f, mu_g = forward_backward.strength(problem)
        if self.mu is None:
            return mu_f, mu_g
        L = forward_backward.lipschitz(forward_backward.arranged(problem)[1])
        if self.mu > (L + mu_g) * (1 + 1e-9):
            raise ValueError(f"FISTA: mu={self.mu:g} exceeds {L + mu_g:.4g}, the largest second derivative there is")
        return (self.mu - mu_g, mu_g) if self.mu >= mu_g else (0.0, self.mu)

    def step(self, problem: Problem, s: FISTAState) -> FISTAState:
        search, tau = searches(problem, self.backtracking), s.next_tau
        for _ in range(100):
            t, beta = momentum(s.t, s.tau, tau, *self.strength(problem))
            z = add_scaled(s.x, beta, s.x - s.x_old)
            terms = forward_backward.arranged(problem)[1]
            if search and not math.isfinite(sum(c(z) for c in terms)):  # outside the domain
                t, z = 1.0, s.x
            x, y, kept, seen = forward_backward.trial(problem, z, tau, search)
            if kept:
                break
            tau /= 2
        ahead = 1.5 * tau if seen else tau
        if self.restart and dot(z - x, x - s.x) > 0:
            return FISTAState(x, x, y, 0.0, tau, ahead, s.k + 1)
        return FISTAState(x, s.x, y, t, tau, ahead, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        lasso, edges, counts = smooth_problems()
        yield cls(), lasso
        yield cls(), counts
        yield cls(backtracking=True, restart=False), edges


def momentum(t: float, tau_old: float, tau: float, mu_f: float, mu_g: float) -> tuple[float, float]:
    """(t', β) of the class docstring."""
    mu, s_old, s = mu_f + mu_g, tau_old / (1 + tau_old * mu_g), tau / (1 + tau * mu_g)
    b = 1 - mu * s_old * t**2
    new = (b + math.sqrt(b * b + 4 * (s_old / s) * t**2)) / 2
    if tau * mu_f >= 1 - 1e-12:  # one step solves it
        return new, 0.0
    return new, (t - 1) / new * (1 + tau * mu_g - new * tau * mu) / (1 - tau * mu_f)
