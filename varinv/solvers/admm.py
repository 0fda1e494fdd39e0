"""The alternating direction method of multipliers (ADMM)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, double, is_array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, dot, norm
from varinv.memory import remembered
from varinv.operators.elementary import Identity
from varinv.operators.symbol import gram_symbol, multiply
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.cg import conjugate_gradients
from varinv.solvers.least_squares import Square, split
from varinv.solvers.sirt import relaxed
from varinv.solvers.step_sizes import balanced


class ADMMState(NamedTuple):
    """What the next step needs.

    x, the image (where terms of the image itself are split, their copy of it: it satisfies constraints); u, the
    minimiser of the quadratic step; q, the duals of the squares; for every split term K_i u, z, its dual w and its
    penalty ρ; `order`, where among q and w the dual of each coupled term stands; `scale`, the largest residual so far.
    """

    x: Array
    u: Array
    q: tuple[Array, ...]
    Ku: tuple[Array, ...]
    z: tuple[Array, ...]
    w: tuple[Array, ...]
    rho: tuple[float, ...]
    order: tuple[int, ...]
    scale: float = 0.0
    k: int = 0

    @property
    def y(self) -> tuple[Array, ...]:
        """The duals of problem.coupled, in its order: w_i ∈ ∂f_i(z_i), for squares the derivative at u."""
        both = (*self.q, *self.w)
        return tuple(both[i] for i in self.order)

    def residual(self, problem: Problem, previous: Any) -> float:
        """max(‖Σ K_iᵀp_i‖/√Σ‖K_iᵀp_i‖², √Σρ_i‖K_i u − z_i‖²/√Σ(ρ_i‖K_i u‖² + ‖w_i‖²/ρ_i)), p_i the dual of term i.

        As p_i ∈ ∂f_i(z_i) exactly, both vanish at a solution and nowhere else.  Where the p_i vanish, rounding
        counts for nothing: the first size is at least 1e-6 of Σ‖KᵀW K u‖ and Σρ‖KᵀK u‖ (of one term alone, all of it).
        """
        squares, splits = parts(problem)
        terms, duals = (*squares, *splits), (*self.q, *self.w)
        pulled = [t.K.adjoint(double(p)) for t, p in zip(terms, duals, strict=True)]
        total, size = add(pulled), sum((dot(g, g) for g in pulled), start=0.0)
        small = 1.0 if len(terms) == 1 else 1e-12
        images = [t.K.forward(double(self.u)) for t in terms]
        for t, a in zip(terms, _weighted(squares, self.rho, images), strict=True):
            g = t.K.adjoint(a)
            size += small * dot(g, g)
        apart, there = 0.0, 0.0
        for Ku, z, w, rho in zip(self.Ku, self.z, self.w, self.rho, strict=True):
            d = double(Ku) - double(z)
            apart, there = apart + rho * dot(d, d), there + rho * dot(Ku, Ku) + dot(w, w) / rho
        return max(_ratio(dot(total, total), size), _ratio(apart, there))


@dataclass(frozen=True)
class ADMM(Solver):
    r"""Solve by splitting: least squares and regularisers take turns (alternating direction method of multipliers).

    min_x Σ ½‖A_j x − b_j‖²_W + Σ f_i(K_i x); Boyd, Parikh, Chu, Peleato & Eckstein (2011), section 3.

    .. math::
        u ← \arg\min \sum_j ½\|A_j u − b_j\|_W^2 + \sum_i \tfrac{ρ_i}{2} \|K_i u − z_i + w_i/ρ_i\|²

        z_i ← prox_{f_i/ρ_i}(α K_i u + (1−α) z_i + w_i/ρ_i),\quad w_i ← w_i + ρ_i (α K_i u + (1−α) z_i^- − z_i)

    Squares go into the first step; every other term gets a split variable, a term of the image itself with K = I (then
    the result is its z, which satisfies constraints).  A functional needs a `prox` and nothing else.

    **First step.**  Where all operators commute with periodic shifts and all weights are numbers, exact in Fourier
    space.  Otherwise a correction by conjugate gradients of the last u, until its residual is at most

        min(accuracy · ‖r‖, s (k + 1)^{−1.2})

    with r the residual it starts from, which falls with those of the outer iteration, and s the largest ‖r‖ up to
    iteration `adapt`.  So the errors are summable: what convergence needs (Eckstein & Bertsekas 1992, theorem 8, with
    the relaxation 0 < α < 2).

    **Penalty.**  The start is free of scale (`defaults`).  In iterations 20, 30, … up to `adapt` each ρ_i is
    multiplied by √(p/d), p = ‖K_i u − z_i‖/‖K_i u‖ and d = ρ_i‖z_i − z_i⁻‖/‖w_i‖ the relative primal and dual residuals
    (Boyd, section 3.4.1; Wohlberg 2017), within 1/5 … 5 and only beyond 2/3 … 3/2.  From then on it is fixed, so that
    the proof for convex terms holds.

    It pays where the first step is exact, and where terms are many or badly scaled.  On CT with total variation (128²,
    60 views) it needs 136, 388 and 814 pairs of projections to a relative objective of 1e-2, 1e-3 and 1e-4, and
    ChambollePock 151, 202 and 258.

    Parameters
    ----------
    rho : penalty, one number or one for each split term (in the order of problem.coupled, then the image's own terms);
        None: the default above.
    adapt : iterations in which ρ may change; 0: never, as a denoiser in the place of a prox may want it.
    accuracy : of the first step, relative to the residual it starts from.
    relaxation : α, between 0 and 2.

    Raises
    ------
    TypeError, ValueError
        Parameters out of range; in `init`, a term without a prox, another number of penalties.
    """

    rho: Any = None
    adapt: int = 100
    accuracy: float = 0.3
    relaxation: float = 1.6

    def __post_init__(self) -> None:
        if self.rho is not None:
            many = isinstance(self.rho, (tuple, list))
            values = tuple(
                check.number("ADMM", "rho", r, low=0.0, strict=True) for r in (self.rho if many else [self.rho])
            )
            object.__setattr__(self, "rho", values if many else values[0])
        object.__setattr__(self, "adapt", check.integer("ADMM", "adapt", self.adapt, low=0))
        accuracy = check.number("ADMM", "accuracy", self.accuracy, low=0.0, high=0.9)
        object.__setattr__(self, "accuracy", accuracy)
        object.__setattr__(self, "relaxation", relaxed("ADMM", self.relaxation))

    def init(self, problem: Problem, x: Array) -> ADMMState:
        squares, splits = parts(problem)
        for t in splits:
            if not hasattr(t.f, "prox"):
                raise TypeError(f"ADMM needs a prox of every term but squares; {t.f} has none")
        Ku = tuple(t.K.forward(x) for t in splits)
        w = tuple(0 * a for a in Ku)
        q = tuple(t.slope(t.image(x)) for t in squares)
        where = {id(t): i for i, t in enumerate((*(s.term for s in squares), *splits))}
        order = tuple(where[id(t)] for t in problem.coupled)
        return ADMMState(x, x, q, Ku, Ku, w, self.penalties(problem), order)

    def step(self, problem: Problem, s: ADMMState) -> ADMMState:
        squares, splits = parts(problem)
        u, scale = self.quadratic_step(squares, splits, s)
        q = tuple(t.slope(t.image(u)) for t in squares)
        Ku = tuple(t.K.forward(u) for t in splits)
        ahead = [add_scaled(self.relaxation * a, 1 - self.relaxation, b) for a, b in zip(Ku, s.z, strict=True)]
        pairs = [add_scaled(a, 1 / r, w) for a, r, w in zip(ahead, s.rho, s.w, strict=True)]
        z = tuple(t.f.prox(v, 1 / r) for t, v, r in zip(splits, pairs, s.rho, strict=True))
        w = tuple(r * (v - b) for v, b, r in zip(pairs, z, s.rho, strict=True))
        rho = tuple(map(self.rebalanced, s.rho, Ku, z, s.z, w, [s.k + 1] * len(z)))
        x = z[-1] if splits and splits[-1].f is problem.simple else u
        return ADMMState(x, u, q, Ku, z, w, rho, s.order, scale, s.k + 1)

    def quadratic_step(self, squares: Sequence[Any], splits: Sequence[Any], s: ADMMState) -> tuple[Array, float]:
        """u + d with H d = r, H = Σ AᵀWA + Σ ρKᵀK and r minus the gradient at u; and the largest ‖r‖ so far."""
        pushed = [add_scaled(w, r, a - b) for w, r, a, b in zip(s.w, s.rho, s.Ku, s.z, strict=True)]
        terms = (*squares, *splits)
        r = -add([t.K.adjoint(p) for t, p in zip(terms, (*s.q, *pushed), strict=True)])
        size = norm(r)
        if not math.isfinite(size):  # the run ends with the last image that was finite
            return s.u * math.nan, s.scale
        scale = max(s.scale, size) if s.k <= self.adapt else s.scale
        weights = (*(t.weight for t in squares), *s.rho)
        if all(not is_array(c) and t.K.shift_invariant() for t, c in zip(terms, weights, strict=True)):
            symbol = add([c * gram_symbol(t.K, r) for t, c in zip(terms, weights, strict=True)])
            return add_scaled(s.u, 1.0, multiply(r, inverse(symbol))), scale

        def H(p: Array) -> Array:
            weighted = _weighted(squares, s.rho, [t.K.forward(p) for t in terms])
            return add([t.K.adjoint(a) for t, a in zip(terms, weighted, strict=True)])

        enough = min(self.accuracy * size, scale * (s.k + 1) ** -1.2)
        return add_scaled(s.u, 1.0, conjugate_gradients(H, r, tol=enough, absolute=True, most=200)[0]), scale

    def rebalanced(self, rho: float, Ku: Array, z: Array, before: Array, w: Array, k: int) -> float:
        """ρ after iteration k, by the balance of its two residuals."""
        if k > self.adapt or k < 20 or k % 10:
            return rho
        primal, dual = norm(Ku - z) * norm(w), rho * norm(z - before) * max(norm(Ku), norm(z))
        if primal == 0:
            return rho
        factor = math.sqrt(primal / dual) if dual > 0 else 5.0
        return rho if 2 / 3 < factor < 1.5 else rho * min(max(factor, 0.2), 5.0)

    def penalties(self, problem: Problem) -> tuple[float, ...]:
        """ρ of every split term."""
        splits = parts(problem)[1]
        if isinstance(self.rho, tuple):
            if len(self.rho) != len(splits):
                raise ValueError(f"ADMM: rho needs {len(splits)} numbers, one for each split term, got {len(self.rho)}")
            return self.rho
        if self.rho is not None:
            return (self.rho,) * len(splits)
        rho = defaults(problem)
        known = dict(zip(map(id, problem.coupled), rho, strict=True))
        one = max((r * t.K.norm() ** 2 for r, t in zip(rho, problem.coupled, strict=True)), default=8.0) / 8
        return tuple(known.get(id(t), one) or 1.0 for t in splits)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        from varinv.functionals.constraints import NonNegative
        from varinv.functionals.sparsity import L21
        from varinv.functionals.tv import TV
        from varinv.operators.blur import Blur
        from varinv.operators.elementary import Diagonal
        from varinv.operators.gradient import Gradient

        y = xp.reshape(xp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
        yield cls(), L2Squared(y) @ Diagonal(1 + abs(y)) + 0.1 * TV((2, 3)) + NonNegative()
        periodic = L21(0.1) @ Gradient((2, 3), boundary="periodic")
        yield cls(), L2Squared(y) @ Blur((2, 3), [1.0, 3.0, 1.0]) + periodic + NonNegative()


class Split(NamedTuple):
    """f(K u) with a split variable z = K u."""

    f: Any
    K: Any


def parts(problem: Problem) -> tuple[tuple[Square, ...], tuple[Any, ...]]:
    """(squares, the other terms), each with an operator; the terms of the image itself come last, with the identity."""

    def found() -> tuple[tuple[Square, ...], tuple[Any, ...]]:
        own = () if problem.simple is None else (Split(problem.simple, Identity(problem.domain)),)
        return split((*problem.coupled, *own))

    return remembered(problem, "split", found)


def defaults(problem: Problem) -> tuple[float, ...]:
    """A penalty free of scale for every coupled term: the σ of ChambollePock's Algorithm 1.

    Where only the image's own terms are strongly convex (γ), γ/(n‖K_i‖²) over the n terms.
    """
    gamma = max(problem.simple.convexity, 0.0) if problem.simple is not None else 0.0
    norms = [t.K.norm() for t in problem.coupled]
    return tuple(map(float, balanced(problem, norms, 10 * gamma)))  # its σ there is 0.099 γ/(n‖K‖²), for Algorithm 2


def _weighted(squares: Sequence[Square], rho: Sequence[float], images: Sequence[Array]) -> list[Array]:
    """W_j A_j u of the squares, ρ_i K_i u of the other terms."""
    n = len(squares)
    return [
        *(s.weighted(a) for s, a in zip(squares, images, strict=False)),
        *(r * a for r, a in zip(rho, images[n:], strict=True)),
    ]


def add(arrays: Sequence[Array]) -> Array:
    result = arrays[0]
    for a in arrays[1:]:
        result = add_scaled(result, 1.0, a)
    return result


def inverse(symbol: Array) -> Array:
    """1/symbol, 0 where it vanishes beside its largest value."""
    xp = namespace(symbol)
    seen = symbol > float(xp.finfo(symbol.dtype).eps) * xp.max(symbol)
    return xp.where(seen, 1 / xp.where(seen, symbol, xp.ones_like(symbol)), xp.zeros_like(symbol))


def _ratio(a: float, b: float) -> float:
    return math.sqrt(a / b) if b > 0 else (0.0 if a == 0 else math.inf)
