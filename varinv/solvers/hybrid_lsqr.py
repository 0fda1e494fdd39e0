"""Hybrid Golub–Kahan: Tikhonov on the bidiagonalised problem, its weight chosen in every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, dot, norm
from varinv.operators.elementary import Diagonal
from varinv.problem import Problem
from varinv.solvers import forward_backward
from varinv.solvers.base import Solver, not_finite
from varinv.solvers.least_squares import Square, the_square
from varinv.solvers.lsqr import back, residuals, rows


class HybridLSQRState(NamedTuple):
    """Image x, the orthonormal bases U and V, the bidiagonal's α and β, the weight μ of ½‖x‖², the iteration number."""

    x: Array
    U: tuple[Array, ...]
    V: tuple[Array, ...]
    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    mu: float = 0.0
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖AᵀW(Ax − y) + μx‖ for the μ of this state, relative to its terms."""
        return forward_backward.stationarity((problem + self.mu * L2Squared()).terms, self.x)


@dataclass(frozen=True)
class HybridLSQR(Solver):
    r"""Solve least squares with a ridge whose weight is found automatically.

    min_x ½‖A x − y‖²_W + (μ/2)‖x‖² with automatic μ; Chung, Nagy & O'Leary (2008).

    .. math::
        \sqrt W A V_k = U_{k+1} B_k,\qquad x_k = V_k \arg\min_z ½‖B_k z - β_1 e_1‖^2 + \tfrac μ2 ‖z‖^2

    Each step adds a column by Golub–Kahan with full reorthogonalisation and chooses μ for B_k from its singular values
    σ_i, φ_i = σ_i²/(σ_i² + μ), by the minimum of

    .. math::  G(μ) = ‖B_k z_μ - β_1 e_1‖^2 / (1 - ω Σφ_i/(k+1))^2

    on a logarithmic grid (weighted GCV).  ω = 1 is GCV of the projected problem; smaller ones choose a smaller μ.  The
    GCV of the whole problem, ω = (k+1)/m, was measured to fit the noise like LSQR does: the space itself follows the
    data.  Given `noise`, μ is such that ‖A x − y‖_W = factor·noise.  The iterates settle and do not fit the noise at
    last: stop with ``small_change`` or ``iterations``.

    The state grows by one image and one array of data a step: plan for tens of steps, not hundreds.

    Parameters
    ----------
    omega : the weight ω in (0, 1].
    noise : δ, the expected ‖A x_true − y‖_W; None: GCV.
    factor : the safety factor of the discrepancy principle, ≥ 1.

    Raises
    ------
    ValueError
        In `init`, where the problem is not ``L2Squared(y) @ A`` alone (the weight of ‖x‖² is what is found), or the
        start image is not zero.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([1.0, 1.0, 1.0])) @ vi.Diagonal(np.array([1.0, 2.0, 4.0]))
    >>> result = vi.solve(problem, vi.HybridLSQR(noise=0.5, factor=1.0), stop=vi.iterations(3))
    >>> float(np.linalg.norm(result.x * [1, 2, 4] - 1).round(9))
    0.5
    """

    omega: float = 1.0
    noise: float | None = None
    factor: float = 1.01

    def __post_init__(self) -> None:
        who = "HybridLSQR"
        object.__setattr__(self, "omega", check.number(who, "omega", self.omega, low=0.0, high=1.0, strict=True))
        if self.noise is not None:
            object.__setattr__(self, "noise", check.number(who, "noise", self.noise, low=0.0, strict=True))
        object.__setattr__(self, "factor", check.number(who, "factor", self.factor, low=1.0))

    def init(self, problem: Problem, x: Array) -> HybridLSQRState:
        squares = _square(problem)
        if norm(x) > 0:
            raise ValueError("HybridLSQR starts from zero: another start would change the objective; leave x0 out")
        u = -residuals(squares, x)[0]
        beta = norm(u)
        return HybridLSQRState(x, (u / beta if beta > 0 else u,), (), (), (beta,))

    def step(self, problem: Problem, s: HybridLSQRState) -> HybridLSQRState:
        squares = _square(problem)
        eps = float(namespace(s.x).finfo(s.x.dtype).eps)
        top = 10 * eps * max((*s.alpha, *s.beta[1:]), default=0.0)
        if s.beta[-1] <= top:  # the space is exhausted
            return s._replace(k=s.k + 1)
        v, alpha = _orthonormal(back(squares, (s.U[-1],)), s.V)
        if alpha <= top:
            return s._replace(k=s.k + 1)
        u, beta = _orthonormal(rows(squares, v)[0], s.U)
        if not math.isfinite(alpha + beta):
            return not_finite(s)
        s = s._replace(U=(*s.U, u), V=(*s.V, v), alpha=(*s.alpha, alpha), beta=(*s.beta, beta), k=s.k + 1)
        n = len(s.V)
        B = xnp.zeros((n + 1, n))
        for j in range(n):
            B[j, j], B[j + 1, j] = s.alpha[j], s.beta[j + 1]
        P, sigma, Qt = xnp.linalg.svd(B, full_matrices=True)
        d = s.beta[0] * P[0, :]  # Pᵀ β_1 e_1
        mu = self.choose(sigma, d)
        z = Qt.T @ (sigma * d[:n] / (sigma**2 + mu))
        x = 0 * s.x
        for t, column in zip(z, s.V, strict=True):
            x = add_scaled(x, float(t), column)
        return s._replace(x=x, mu=mu)

    def choose(self, sigma: Array, d: Array) -> float:
        """μ for the projected problem of singular values σ and rotated data d (one longer)."""
        n = len(sigma)

        def misfit(mu: Array) -> Array:
            return d[n] ** 2 + ((mu[..., None] / (sigma**2 + mu[..., None]) * d[:n]) ** 2).sum(-1)

        low, high = (2 * math.log(float(sigma[0])) + decades * math.log(10) for decades in (-16, 4))
        if self.noise is not None:
            target = (self.factor * self.noise) ** 2
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if misfit(xnp.exp(xnp.asarray(middle))) < target else (low, middle)
            return math.exp((low + high) / 2)

        def gcv(log_mu: Array) -> Array:
            mu = xnp.exp(log_mu)
            filters = (sigma**2 / (sigma**2 + mu[..., None])).sum(-1)
            return misfit(mu) / (1 - self.omega * filters / (n + 1)) ** 2

        return math.exp(_least(gcv, low, high))

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:

        a = xnp.reshape(xnp.asarray([0.5, 1.2, 0.9, 0.2, 0.3, 1.1]), (2, 3))
        yield cls(noise=1e-9), Problem((L2Squared(a * a) @ Diagonal(a),))  # consistent: x = a


def _square(problem: Problem) -> tuple[Square]:
    return (the_square("HybridLSQR", problem, operator=False, advice="; the weight of ‖x‖² is found"),)


def _least(f: Callable[[Array], Array], low: float, high: float) -> float:
    """The minimiser on a grid of 161 points, refined between its neighbours five times."""
    for _ in range(6):
        grid = xnp.linspace(low, high, 161)
        j = int(xnp.argmin(f(grid)))
        low, high = float(grid[max(j - 1, 0)]), float(grid[min(j + 1, 160)])
    return (low + high) / 2


def _orthonormal(a: Array, basis: tuple[Array, ...]) -> tuple[Array, float]:
    """(a without its part in the basis, normalised; its length), by Gram–Schmidt twice."""
    for _ in range(2):
        for b in basis:
            a = add_scaled(a, -dot(b, a), b)
    size = norm(a)
    return (a / size if size > 0 else a), size
