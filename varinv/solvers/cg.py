"""Conjugate gradients: a plain function for any positive system, and the solver of quadratic problems."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, dot, norm
from varinv.operators.elementary import Diagonal
from varinv.operators.gradient import Gradient
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import all_squares, gradient, normal


def conjugate_gradients(
    apply: Callable[[Array], Array],
    b: Array,
    x0: Array | None = None,
    *,
    tol: float,
    absolute: bool = False,
    most: int = 1000,
) -> tuple[Array, float, int]:
    r"""Solve a symmetric system of linear equations by conjugate gradients.

    Solve H x = b, H symmetric and positive semidefinite; Hestenes & Stiefel (1952).

    .. math::
        α = γ/⟨p, H p⟩,\quad x ← x + α p,\quad r ← r − α H p,\quad γ' = ‖r‖²,\quad p ← r + (γ'/γ) p

    Inner products in float64.  The residual of the recurrence is checked against b − H x at the end, and taken up
    from there where rounding has parted the two.

    Parameters
    ----------
    apply : p ↦ H p, on arrays of the shape of b.
    b : right-hand side, any shape and library.
    x0 : start, or None for zero; returned at once where it already satisfies the tolerance.
    tol : stop at ‖b − H x‖ ≤ tol·‖b‖, or ≤ tol with `absolute`.
    absolute : whether `tol` is in the units of b.
    most : the largest number of iterations.

    Returns
    -------
    (x, ‖b − H x‖, iterations) : the residual is that of the returned x, computed anew.  It exceeds the tolerance
        after `most` iterations, and earlier where nothing more can be gained: rounding, a direction with ⟨p, H p⟩ ≤ 0,
        or no smaller residual in max(50, most/4) iterations (b outside the range of H); then the best x is returned.

    Raises
    ------
    TypeError, ValueError
        tol < 0, most < 0, x0 of another shape than b.

    Examples
    --------
    >>> import numpy as np
    >>> x, size, k = conjugate_gradients(lambda p: np.array([1.0, 4.0]) * p, np.array([1.0, 1.0]), tol=1e-12)
    >>> x.round(12), k
    (array([1.  , 0.25]), 2)
    """
    tol = check.number("conjugate_gradients", "tol", tol, low=0.0)
    most = check.integer("conjugate_gradients", "most", most, low=0)
    target = tol if absolute else tol * norm(b)
    if x0 is None:
        x, r = namespace(b).zeros_like(b), b
    else:
        check.same_shape("conjugate_gradients", "x0", x0, b.shape)
        x, r = x0, add_scaled(b, -1.0, apply(x0))
    size, k = norm(r), 0
    while size > target and k < most:
        found, steps = _descend(apply, x, r, target, most - k)
        k += steps
        r = add_scaled(b, -1.0, apply(found))
        before, size = size, norm(r)
        if not size < before:  # rounding: the start was as good
            return x, before, k
        x = found
        if size > 0.5 * before:
            break
    return x, size, k


def _descend(apply: Callable[[Array], Array], x: Array, r: Array, target: float, most: int) -> tuple[Array, int]:
    """(best x, iterations) of one uninterrupted run from x, whose residual is r."""
    p, gamma = r, dot(r, r)
    best, least, seen, k = x, gamma, 0, 0
    while k < most and gamma > target**2 and k - seen <= max(50, most // 4):
        Hp = apply(p)
        curved = dot(p, Hp)
        if not 0 < curved < math.inf:
            break
        alpha = gamma / curved
        x, r = add_scaled(x, alpha, p), add_scaled(r, -alpha, Hp)
        before, gamma = gamma, dot(r, r)
        p, k = add_scaled(r, gamma / before, p), k + 1
        if gamma < least:
            best, least, seen = x, gamma, k
        elif not gamma < 1e24 * least:  # b is outside the range of H
            break
    return best, k


class CGState(NamedTuple):
    """Image x, r = −∇(x), direction p, γ = ‖r‖², the size ‖∇(0)‖ of gradients, their rounding, λ, the iteration number.

    λ is the largest ⟨p, ∇²p⟩/⟨p, p⟩ so far.
    """

    x: Array
    r: Array
    p: Array
    gamma: float
    size: float
    rounding: float
    largest: float = 0.0
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖∇(x)‖/‖∇(0)‖ computed anew, as r may have parted from it (relative to the start where ∇(0) = 0)."""
        return norm(gradient(all_squares("CG", problem), self.x)) / self.size if self.gamma > 0 else 0.0


@dataclass(frozen=True)
class CG(Solver):
    r"""Solve weighted least squares, also with several quadratic terms, by conjugate gradients.

    min_x Σ ½‖K_i x − y_i‖²_{W_i} by conjugate gradients on ∇ = 0: Σ K_iᵀ W_i K_i x = Σ K_iᵀ W_i y_i.

    Any number of `L2Squared` terms, with and without operators; a start image changes the path, not the minimiser,
    where that is unique (else the component of the start in the null space stays).  For one term, `CGLS` and `LSQR`
    lose fewer digits where A is ill-conditioned.

    Raises
    ------
    ValueError
        In `init`, where a term is not a square; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([1.0, 2.0])) + 3 * vi.L2Squared()
    >>> vi.solve(problem, vi.CG(), stop=vi.residual(1e-12, every=1)).x
    array([0.25, 0.5 ])
    """

    def init(self, problem: Problem, x: Array) -> CGState:
        squares = all_squares("CG", problem)
        r = -gradient(squares, x)
        gamma = dot(r, r)
        size = norm(gradient(squares, 0 * x))
        rounding = 4 * float(namespace(x).finfo(x.dtype).eps) * max(size, math.sqrt(gamma))
        return CGState(x, r, r, gamma, size if size > 0 else math.sqrt(gamma), rounding)

    def step(self, problem: Problem, s: CGState) -> CGState:
        if math.sqrt(s.gamma) <= s.rounding:  # solved: further steps would follow rounding, and diverge
            return s._replace(k=s.k + 1)
        Hp = normal(all_squares("CG", problem), s.p)
        curved, square = dot(s.p, Hp), dot(s.p, s.p)
        eps = float(namespace(s.x).finfo(s.x.dtype).eps)
        if curved <= eps * s.largest * square:  # a direction that the operators do not see
            return s._replace(k=s.k + 1)
        alpha = s.gamma / curved
        x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, -alpha, Hp)
        gamma = dot(r, r)
        p, largest = add_scaled(r, gamma / s.gamma, s.p), max(s.largest, curved / square)
        return CGState(x, r, p, gamma, s.size, s.rounding, largest, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        a = xp.reshape(xp.asarray([0.5, 1.2, 0.9, 0.2, 0.3, 1.1]), (2, 3))
        yield cls(), L2Squared(1 - a, weight=1 + a) @ Diagonal(a) + 0.3 * L2Squared() @ Gradient((2, 3))
        yield cls(), L2Squared(a) + 0.5 * L2Squared(xp.stack([a, a * a])) @ Gradient((2, 3))
