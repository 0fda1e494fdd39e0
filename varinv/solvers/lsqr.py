"""LSQR: least squares by Golub–Kahan bidiagonalisation."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import Array, is_array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, dot, norm
from varinv.operators.elementary import Diagonal
from varinv.operators.gradient import Gradient
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import Square, all_squares, gradient

Rows = tuple[Array, ...]  # one array of whitened data per term


class LSQRState(NamedTuple):
    """Image x, the Lanczos vectors u and v, direction w, and the scalars of Paige & Saunders' section 4; k.

    `scale` is ‖√W y‖ and ‖Aᵀ W y‖, by which residuals are measured; `spread` is ‖B_k‖_F².
    """

    x: Array
    u: Rows
    v: Array
    w: Array
    alpha: float
    phi_bar: float
    rho_bar: float
    scale: tuple[float, float]
    spread: float = 0.0
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖∇(x)‖/‖∇(0)‖ computed anew, as |φ̄ ρ̄| may have parted from ‖∇(x)‖ (relative to the start where ∇(0) = 0)."""
        return (
            norm(gradient(all_squares("LSQR", problem), self.x)) / self.scale[1] if self.phi_bar * self.rho_bar else 0.0
        )

    def misfit(self, problem: Problem) -> float | None:
        """‖A x − y‖_W = φ̄ without another application of A; None with several terms."""
        return self.phi_bar if len(self.u) == 1 else None


@dataclass(frozen=True)
class LSQR(Solver):
    r"""Solve least squares by the method of Paige and Saunders; stopped early, it regularises.

    min_x Σ ½‖K_i x − y_i‖²_{W_i} by Golub–Kahan bidiagonalisation; Paige & Saunders (1982), section 4.

    .. math::
        β u ← A v - α u,\quad α v ← A^T u - β v,\quad ρ = \sqrt{\bar ρ^2 + β^2},\ c = \bar ρ/ρ,\ s = β/ρ,\\
        x ← x + (c\bar φ/ρ) w,\quad w ← v - (sα/ρ) w,\quad \bar ρ ← -cα,\quad \bar φ ← s\bar φ

    A stacks the whitened terms √W_i K_i.  Damping is a term, ``+ mu * L2Squared(c)``, one more block of rows: a start
    image changes the right-hand side of the whole stack, so that warm and cold starts minimise the same objective.
    The iterates are those of `CGLS` in exact arithmetic, with fewer digits lost where A is ill-conditioned.  Early ones
    fit the smooth part of the data first: stop with ``misfit(noise)``.

    Raises
    ------
    ValueError
        In `init`, where a term is not a square; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Diagonal(np.array([1.0, 2.0, 4.0]))
    >>> problem = vi.L2Squared(np.array([1.0, 1.0, 1.0])) @ A + 4 * vi.L2Squared()
    >>> vi.solve(problem, vi.LSQR(), x0=np.ones(3), stop=vi.iterations(3)).x.round(12)
    array([0.2 , 0.25, 0.2 ])
    """

    def init(self, problem: Problem, x: Array) -> LSQRState:
        squares = all_squares("LSQR", problem)
        y = tuple(-a for a in residuals(squares, 0 * x))
        u = tuple(-a for a in residuals(squares, x))
        beta, u = normalised(u)
        v = back(squares, u)
        alpha = norm(v)
        v = v / alpha if alpha > 0 else v
        size = norm(back(squares, y))
        scale = (length(y), size if size > 0 else alpha * beta)
        return LSQRState(x, u, v, v, alpha, beta, alpha, scale)

    def step(self, problem: Problem, s: LSQRState) -> LSQRState:
        squares = all_squares("LSQR", problem)
        eps = float(namespace(s.x).finfo(s.x.dtype).eps)
        if abs(s.rho_bar) <= eps * math.sqrt(s.spread) or s.phi_bar <= eps * s.scale[0]:  # solved, up to rounding
            return s._replace(k=s.k + 1)
        beta, u = normalised(tuple(add_scaled(a, -s.alpha, b) for a, b in zip(rows(squares, s.v), s.u, strict=True)))
        v = add_scaled(back(squares, u), -beta, s.v)
        alpha = norm(v)
        v = v / alpha if alpha > 0 else v
        rho = math.hypot(s.rho_bar, beta)
        cos, sin = s.rho_bar / rho, beta / rho
        x = add_scaled(s.x, cos * s.phi_bar / rho, s.w)
        w = add_scaled(v, -sin * alpha / rho, s.w)
        spread = s.spread + s.alpha**2 + beta**2
        return LSQRState(x, u, v, w, alpha, sin * s.phi_bar, -cos * alpha, s.scale, spread, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        a = xp.reshape(xp.asarray([0.5, 1.2, 0.9, 0.2, 0.3, 1.1]), (2, 3))
        yield cls(), Problem((L2Squared(1 - a, weight=1 + a) @ Diagonal(a),))
        yield cls(), L2Squared(xp.stack([a, a * a])) @ Gradient((2, 3)) + 0.5 * L2Squared(a)


def _root(s: Square, z: Array) -> Any:
    """√W beside z."""
    w = s.beside(z)[1]
    return namespace(w).sqrt(w) if is_array(w) else math.sqrt(w)


def rows(squares: Sequence[Square], x: Array) -> Rows:
    """√W_i K_i x."""
    return tuple(_root(s, z) * z for s in squares for z in (s.image(x),))


def residuals(squares: Sequence[Square], x: Array) -> Rows:
    """√W_i (K_i x − y_i)."""
    return tuple(_root(s, z) * (z - s.beside(z)[0]) for s in squares for z in (s.image(x),))


def back(squares: Sequence[Square], u: Rows) -> Array:
    """Σ K_iᵀ √W_i u_i."""
    parts = [s.pull(_root(s, a) * a) for s, a in zip(squares, u, strict=True)]
    return functools.reduce(lambda a, b: add_scaled(a, 1.0, b), parts)


def length(u: Rows) -> float:
    return math.sqrt(sum(dot(a, a) for a in u))


def normalised(u: Rows) -> tuple[float, Rows]:
    """(‖u‖, u/‖u‖)."""
    beta = length(u)
    return beta, tuple(a / beta for a in u) if beta > 0 else u
