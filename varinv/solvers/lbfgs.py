"""L-BFGS, with box constraints by projection."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, double, namespace
from varinv.forms import Quadratic, quadratic
from varinv.functionals.base import Term
from varinv.linalg import add_scaled, dot, norm
from varinv.problem import Problem
from varinv.solvers import forward_backward
from varinv.solvers.base import Solver, Unsuited, not_finite
from varinv.solvers.proximal_gradient import smooth_problems


class LBFGSState(NamedTuple):
    """Image x, ∇f(x), f(x), the last pairs s = Δx and y = Δ∇f (oldest first), the first step τ, k."""

    x: Array
    gradient: Array
    value: float
    s: tuple[Array, ...]
    y: tuple[Array, ...]
    tau: float
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖x − P(x − τ∇f)‖/τ over the sizes of the terms of ∇f (varinv.solvers.forward_backward): free of units.

        τ is the inverse curvature of the last pair: that of a start where f is flat would shrink what a bound stops.
        """
        terms, box = _parts(problem)
        x, tau = double(self.x), self.tau
        if self.s:
            tau = min(tau, dot(self.s[-1], self.y[-1]) / dot(self.y[-1], self.y[-1]))
        moved = forward_backward.prox(box, add_scaled(x, -tau, forward_backward.total(terms, x)), 1.0)
        return forward_backward.ratio(norm(x - moved) / tau, forward_backward.sizes(terms, x))


@dataclass(frozen=True)
class LBFGS(Solver):
    r"""Solve smooth problems, with bounds on the values or without, by a quasi-Newton method of limited memory.

    min f(x) over lo ≤ x ≤ hi, f smooth: Nocedal (1980), boxes by Bertsekas' (1982) two-metric projection.

    .. math::
        x' = P(x + t d),\qquad d = -H ∇f(x) \text{ on the free entries},\quad d = -γ∇f(x) \text{ on the others}

    H is the inverse Hessian of the last `memory` pairs, each restricted to the free entries (two-loop recursion,
    Nocedal & Wright, Algorithm 7.4, H_0 = γ = ⟨s, y⟩/⟨y, y⟩).  Not free are entries at, or within a small step of, a
    bound towards which −∇f points.  t = 1, ½, ¼ … until f falls by 10⁻⁴ of what the slope promises, up to the rounding
    of f.  Pairs with ⟨s, y⟩ ≤ 10⁻¹⁰‖s‖‖y‖ are not kept (Li & Fukushima 2001), so that f need not be convex.

    Everything that the next step needs is in the state, which scipy.optimize keeps to itself: a resumed run equals an
    uninterrupted one.

    Parameters
    ----------
    memory : the number of pairs.

    Raises
    ------
    TypeError, ValueError
        In `init`, a term without a gradient that is no box of the image (named, with the remedy), a start image where
        f is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([3.0, -0.5])) @ vi.Diagonal([1.0, 2.0]) + vi.NonNegative()
    >>> vi.solve(problem, vi.LBFGS(), stop=vi.residual(1e-9)).x.round(6)
    array([3., 0.])
    """

    memory: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", check.integer("LBFGS", "memory", self.memory, low=1))

    def init(self, problem: Problem, x: Array) -> LBFGSState:
        terms, box = _parts(problem)
        for t in terms:
            if not hasattr(t.f, "grad"):
                raise Unsuited(
                    f"LBFGS needs a gradient of every term but boxes; {t} has none: smooth it (Huber, Charbonnier, "
                    "TV(…, smoothing=s)), or use FISTA() or ChambollePock()"
                )
        x = forward_backward.prox(box, x, 1.0)
        value = sum((t(x) for t in terms), start=0.0)
        if not math.isfinite(value):
            worst = next(t for t in terms if not math.isfinite(t(x)))
            raise Unsuited(
                f"LBFGS: {worst} is NaN or infinite at the start image; give another, e.g. solve(…, x0=ones)"
            )
        gradient = forward_backward.total(terms, x)
        bent = sum(dot(gradient, t.hvp(x, gradient)) for t in terms if hasattr(t.f, "hvp"))
        square = dot(gradient, gradient)
        fallback = norm(x) / math.sqrt(square) if square > 0 and norm(x) > 0 else 1.0
        return LBFGSState(x, gradient, value, (), (), square / bent if 0 < bent < math.inf else fallback)

    def step(self, problem: Problem, s: LBFGSState) -> LBFGSState:
        terms, box = _parts(problem)
        free = _free(box, s.x, s.gradient, s.tau)
        d = direction(s, free)
        rounding = 10 * float(namespace(s.x).finfo(s.x.dtype).eps) * abs(s.value)
        t = 1.0
        for _ in range(30):
            x = forward_backward.prox(box, add_scaled(s.x, t, d), 1.0)
            promised = 1e-4 * (t * dot(s.gradient, inside(free, d)) + dot(s.gradient, outside(free, x - s.x)))
            value = sum((c(x) for c in terms), start=0.0)
            if value <= s.value + promised + rounding:
                break
            if math.isnan(value):
                return not_finite(s)
            t /= 2
        else:  # no descent along d: forget the pairs, and go on with the gradient
            return s._replace(s=(), y=(), tau=s.tau / (2 if not s.s else 1), k=s.k + 1)
        gradient = forward_backward.total(terms, x)
        step, change = x - s.x, gradient - s.gradient
        pairs = (*s.s, step), (*s.y, change)
        if not dot(step, change) > 1e-10 * norm(step) * norm(change):
            pairs = s.s, s.y
        return LBFGSState(x, gradient, value, pairs[0][-self.memory :], pairs[1][-self.memory :], s.tau, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:

        _, edges, counts = smooth_problems()
        yield cls(), edges
        yield cls(memory=3), counts


def direction(s: LBFGSState, free: Any) -> Array:
    """−H∇f on the free entries by the two-loop recursion, −γ∇f on the others; `free` None: all are."""
    q, used = inside(free, s.gradient), []
    for step, change in zip(reversed(s.s), reversed(s.y), strict=True):
        step, change = inside(free, step), inside(free, change)
        curved = dot(step, change)
        if curved > 1e-10 * norm(step) * norm(change):
            alpha = dot(step, q) / curved
            q = add_scaled(q, -alpha, change)
            used.append((step, change, alpha, curved))
    gamma = used[0][3] / dot(used[0][1], used[0][1]) if used else s.tau
    q = gamma * q
    for step, change, alpha, curved in reversed(used):
        q = add_scaled(q, alpha - dot(change, q) / curved, step)
    return -q - gamma * outside(free, s.gradient)


def inside(free: Any, a: Array) -> Array:
    """a on the free entries, 0 on the others."""
    return a if free is None else free * a


def outside(free: Any, a: Array) -> Array:
    """0 on the free entries, a on the others."""
    return 0 * a if free is None else (1 - free) * a


def _parts(problem: Problem) -> tuple[tuple[Term, ...], Quadratic | None]:
    """The smooth terms, and the boxes of the image itself as one; None: there are none."""
    boxes = [f for t in problem.terms if t.K is None and (f := quadratic(t.f)) is not None and f.flat]
    terms = tuple(t for t in problem.terms if t.K is not None or (f := quadratic(t.f)) is None or not f.flat)
    return terms, functools.reduce(lambda a, b: a & b, boxes) if boxes else None


def _free(box: Quadratic | None, x: Array, gradient: Array, tau: float) -> Array | None:
    """1 on free entries, 0 on those near a bound towards which −∇f points; None without a box.

    Near: within the largest change that a gradient step of length τ makes, and no more than 1e-3 of the largest entry.
    """
    if box is None:
        return None
    xp = namespace(x)
    change = float(xp.max(abs(x - forward_backward.prox(box, add_scaled(x, -tau, gradient), 1.0))))
    near = min(change, 1e-3 * float(xp.max(abs(x))))
    lo, hi = box.beside("LBFGS", x).bounds(x)
    held = ((x <= lo + near) & (gradient > 0)) | ((x >= hi - near) & (gradient < 0))
    return xp.astype(~held, x.dtype)
