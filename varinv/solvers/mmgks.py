"""Majorisation–minimisation on generalised Krylov subspaces (ℓ2–ℓq)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array
from varinv.functionals.base import Term
from varinv.functionals.charbonnier import Charbonnier
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, dot, norm
from varinv.operators.elementary import Diagonal
from varinv.operators.gradient import Gradient
from varinv.problem import Problem
from varinv.solvers import forward_backward
from varinv.solvers.base import Solver, Unsuited, not_finite
from varinv.solvers.least_squares import Square, split

Column = tuple[Array, ...]  # an image, or what the operators of several terms make of it


class MMGKSState(NamedTuple):
    """Image x = V z, the orthonormal basis V, A V and L V (a tuple a column), rows of VᵀAᵀWAV, VᵀAᵀWy, z, λ, k."""

    x: Array
    V: Column
    AV: tuple[Column, ...]
    LV: tuple[Column, ...]
    H: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    z: tuple[float, ...]
    lam: float = 1.0
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖∇‖ of the objective with the λ of this state, relative to its terms: a restart does not lower it."""
        squares, others = split(problem.terms)
        return forward_backward.stationarity((*(s.term for s in squares), *(self.lam * t for t in others)), self.x)


@dataclass(frozen=True)
class MMGKS(Solver):
    r"""Solve least squares with a smooth sparsity penalty in a small subspace that grows by one direction a step.

    min_x ½‖A x − y‖²_W + f(L x), f smooth; Lanza, Morigi, Reichel & Sgallari (2015), Buccini & Donatelli (2019).

    f is majorised at u = L x by a square, which is minimised over span V; then V grows by the gradient:

    .. math::
        \text{adaptive: } f ≤ \tfrac12‖L x‖^2_{ω} + c,\ ω = ∇f(u)/u; \qquad
        \text{fixed: } f ≤ \tfrac{L_f}2 ‖L x − (u − ∇f(u)/L_f)‖^2 + c \\
        z = \arg\min ½‖A V z − y‖^2_W + \text{majorant}(L V z),\quad x = V z,\quad
        V ← \bigl[V,\ \text{orth}(A^T W (A x − y) + L^T∇f(u))\bigr]

    With the adaptive majorant this is iteratively reweighted least squares (IRLS) on a growing subspace.
    One A, Aᵀ, L and Lᵀ a step; no inner iteration.  The objective never rises; a convex f reaches the minimum, another
    one (ℓq, q < 1) a critical point, from zero by way of the best fit along AᵀWy.  The small normal equations are
    solved by eigenvalues, where the papers update two QR factorisations.
    V, A V and L V are kept: `restart` bounds them; then V = {x}, and x does not change.  A small change right after a
    restart means nothing: stop with ``residual``.

    Parameters
    ----------
    adaptive : the majorant; fixed needs a Lipschitz gradient and is slow where the smoothing is fine.
    restart : the largest dimension of V, at least 2.
    noise : δ, the expected ‖A x_true − y‖_W.  Given, λ f(L x) takes the place of f(L x), λ in each step so that
        ‖A x − y‖_W = `factor`·δ (discrepancy principle; `lam` of the state).  Where the subspace is too small for
        that, λ is at the end of the range, 1e±12 of the balance of both squares.
    factor : the safety factor of the discrepancy principle, ≥ 1.

    Raises
    ------
    TypeError, ValueError
        In `init`, a term that is neither a square nor has a majorant (named, with the remedy); none to choose λ for.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> y = np.array([0.0, 0.1, 2.0, 2.1])
    >>> problem = vi.L2Squared(y) + 0.3 * vi.SmoothedLq(0.5, 1e-3) @ vi.Gradient((4,))
    >>> vi.solve(problem, vi.MMGKS()).x.round(3)
    array([0.163, 0.163, 1.937, 1.937])
    """

    adaptive: bool = True
    restart: int = 30
    noise: float | None = None
    factor: float = 1.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "restart", check.integer("MMGKS", "restart", self.restart, low=2))
        object.__setattr__(self, "factor", check.number("MMGKS", "factor", self.factor, low=1.0))
        if self.noise is not None:
            object.__setattr__(self, "noise", check.number("MMGKS", "noise", self.noise, low=0.0, strict=True))

    def init(self, problem: Problem, x: Array) -> MMGKSState:
        _, others = split(problem.terms)
        for t in others:
            if not (hasattr(t.f, "grad") and (hasattr(t.f, "quadratic_weight") or not self.adaptive)):
                raise Unsuited(
                    f"MMGKS needs squares and terms with a quadratic majorant; {t} has none: smooth it (SmoothedLq, "
                    "Charbonnier, Huber, TV(…, smoothing=s)) or use ChambollePock()"
                )
            if not self.adaptive and math.isinf(t.f.smoothness):
                raise ValueError(f"MMGKS: a fixed majorant needs a Lipschitz gradient, {t} has none; adaptive=True")
        if self.noise is not None and not others:
            raise ValueError(f"MMGKS: noise chooses the weight of a regulariser, and {problem} has none")
        return _fresh(problem, MMGKSState(x, (), (), (), (), (), ()))

    def step(self, problem: Problem, s: MMGKSState) -> MMGKSState:
        squares, others = split(problem.terms)
        terms = (*(t.term for t in squares), *(s.lam * t for t in others))
        s = _fresh(problem, s) if len(s.V) >= self.restart else s
        slope = forward_backward.total(terms, s.x)
        if not math.isfinite(norm(slope)):
            return not_finite(s)
        s = _grow(problem, s, slope)
        if not s.V:  # no slope at x = 0: it stays there
            return s._replace(k=s.k + 1)
        if (
            len(s.V) == 1 and s.z[0] == 0
        ):  # from x = 0, where L x = 0 would hold a non-convex f: the best fit along Aᵀ W y
            s = s._replace(z=_solve(*_normal(s)))
        M, c = self._majorant(others, s)
        H, b = _normal(s)
        lam = s.lam if self.noise is None else self._discrepancy(squares, s, M, c)
        z = _solve(H + lam * M, b + lam * c)
        return s._replace(x=_combine(s.V, z), z=z, lam=lam, k=s.k + 1)

    def _majorant(self, others: Sequence[Term], s: MMGKSState) -> tuple[Array, Array]:
        """M and c of the majorant ½⟨z, M z⟩ − ⟨c, z⟩ of f(L V z), at the present z."""
        n = len(s.V)
        M, c = xnp.zeros((n, n)), xnp.zeros(n)
        for i, t in enumerate(others):
            columns = [column[i] for column in s.LV]
            u = _combine(columns, s.z)
            w: Any = t.f.quadratic_weight(u) if self.adaptive else t.f.smoothness
            for j in range(n):
                weighted = w * columns[j]
                M[j, : j + 1] += xnp.asarray([dot(weighted, columns[m]) for m in range(j + 1)])
                if not self.adaptive:
                    c[j] += dot(columns[j], w * u - t.f.grad(u))
        return M + xnp.tril(M, k=-1).T, c

    def _discrepancy(self, squares: Sequence[Square], s: MMGKSState, M: Array, c: Array) -> float:
        """λ with ‖A V z(λ) − y‖_W = factor·δ, by bisection of log λ: the residual rises with λ."""
        target = (self.factor * self.noise) ** 2  # type: ignore[operator]
        H, b = _normal(s)
        offset = 2 * sum(float(t.term.f(0 * a)) for t, a in zip(squares, s.AV[0], strict=True))

        def excess(log_lam: float) -> float:
            lam = math.exp(log_lam)
            z = xnp.asarray(_solve(H + lam * M, b + lam * c))
            return float(z @ H @ z - 2 * b @ z) + offset - target

        size, fit = float(xnp.trace(M)), float(xnp.trace(H))
        balance = math.log(fit / size) if size > 0 and fit > 0 else 0.0
        low, high = balance - 12 * math.log(10), balance + 12 * math.log(10)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
        return math.exp((low + high) / 2)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:

        y = xnp.reshape(xnp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
        data = L2Squared(y) @ Diagonal(1 + abs(y))
        yield cls(), data + 0.2 * Charbonnier(0.1, groups=True) @ Gradient((2, 3))
        yield cls(adaptive=False, restart=4), data + 0.1 * Charbonnier(0.2) @ Gradient((2, 3)) + 0.1 * L2Squared()


def _grow(problem: Problem, s: MMGKSState, r: Array) -> MMGKSState:
    """The state with the direction r, orthogonal to V, as one more column; unchanged where V holds r already."""
    size = norm(r)
    for _ in range(2):  # once leaves rounding
        for v in s.V:
            r = add_scaled(r, -dot(v, r), v)
    length = norm(r)
    if not length > 1e-12 * size:
        return s
    squares, others = split(problem.terms)
    v = r / length
    a = tuple(t.image(v) for t in squares)
    u = tuple(v if t.K is None else t.K.forward(v) for t in others)
    row = [sum(dot(t.weighted(p), q) for t, p, q in zip(squares, a, b, strict=True)) for b in (*s.AV, a)]
    slope = -sum(dot(t.slope(0 * p), p) for t, p in zip(squares, a, strict=True))
    return s._replace(V=(*s.V, v), AV=(*s.AV, a), LV=(*s.LV, u), H=(*s.H, tuple(row)), b=(*s.b, slope), z=(*s.z, 0.0))


def _fresh(problem: Problem, s: MMGKSState) -> MMGKSState:
    """The same image with V = {x/‖x‖}, or without a basis where x = 0."""
    size = norm(s.x)
    s = s._replace(V=(), AV=(), LV=(), H=(), b=(), z=())
    return s if size == 0 else _grow(problem, s, s.x / size)._replace(z=(size,))


def _normal(s: MMGKSState) -> tuple[Array, Array]:
    """VᵀAᵀWAV and VᵀAᵀWy as small NumPy arrays."""
    n = len(s.V)
    lower = xnp.asarray([[*row, *[0.0] * (n - len(row))] for row in s.H])
    return lower + xnp.tril(lower, k=-1).T, xnp.asarray(s.b)


def _combine(columns: Sequence[Array], z: Sequence[float]) -> Array:
    """Σ z_j column_j."""
    pairs = zip(z[1:], columns[1:], strict=True)
    return functools.reduce(lambda x, pair: add_scaled(x, *pair), pairs, z[0] * columns[0])


def _solve(H: Array, b: Array) -> tuple[float, ...]:
    """The solution of least norm of H z = b, H symmetric and positive semidefinite up to rounding."""
    if not bool(xnp.all(xnp.isfinite(H)) & xnp.all(xnp.isfinite(b))):
        return (math.nan,) * len(b)
    values, U = xnp.linalg.eigh(H)
    keep = values > values[-1] * 1e-15 * len(b)
    return tuple(float(t) for t in U @ (xnp.where(keep, U.T @ b, 0.0) / xnp.where(keep, values, 1.0)))
