"""What forward–backward methods share: f(x) = Σ f_i(K_i x) smooth, g simple with a prox, F = f + g."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, double, namespace
from varinv.functionals.base import Term
from varinv.linalg import add_scaled, dot, norm
from varinv.operators.base import LinearOperator
from varinv.problem import Problem
from varinv.solvers.base import Unsuited


@dataclass(frozen=True)
class Composed:
    """f(K x) where K Kᵀ = c · identity: prox(x) = x + Kᵀ(prox_{ct f}(K x) − K x)/c (Combettes & Pesquet 2007)."""

    f: Any
    K: LinearOperator
    c: float
    convexity = 0.0

    def prox(self, x: Array, tau: float) -> Array:
        Kx = self.K.forward(x)
        return add_scaled(x, 1 / self.c, self.K.adjoint(self.f.prox(Kx, self.c * tau) - Kx))

    def dual(self, x: Array, v: Array, tau: float) -> Array:
        """The subgradient of f at K x that x = prox(v) proves: K(v − x)/(cτ)."""
        return self.K.forward(v - x) / (self.c * tau)


def arranged(problem: Problem) -> tuple[Any, tuple[Term, ...]]:
    """(g, smooth terms): g is what stays with the image, or else one f(K x) without a gradient, K a co-isometry."""
    hard = [t for t in problem.coupled if not hasattr(t.f, "grad")]
    if problem.simple is not None or len(hard) != 1 or not hasattr(hard[0].f, "prox"):
        return problem.simple, problem.coupled
    c = hard[0].K.coisometry()
    if c is None:
        return None, problem.coupled
    return Composed(hard[0].f, hard[0].K, c), tuple(t for t in problem.coupled if t is not hard[0])


def split(who: str, problem: Problem, x: Array, *, convex: bool = False) -> None:
    """An error that names the term that has no gradient, is not convex, or is infinite at the start x."""
    terms = arranged(problem)[1]
    for t in terms:
        if not hasattr(t.f, "grad"):
            raise Unsuited(
                f"{who} needs a gradient of every term but those of the image itself; {t} has none: smooth it "
                "(Huber, TV(…, smoothing=s)) or use ChambollePock()"
            )
    for f in [t.f for t in problem.coupled] + [problem.simple] * (problem.simple is not None):
        if convex and not f.convex:
            raise Unsuited(f"{who} needs convex terms, {f} is not; use ProximalGradient()")
    for t in terms:
        if math.isinf(t.f.smoothness) and not math.isfinite(t(x)):
            raise Unsuited(f"{who}: {t} is NaN or infinite at the start image; give another, e.g. solve(…, x0=ones)")


def lipschitz(terms: tuple[Any, ...]) -> float:
    """L = Σ L_i ‖K_i‖² from certified norms; ∞ where a term has no L_i."""
    norms = ((t.f.smoothness, t.K.norm()) for t in terms)
    return sum((L * K**2 for L, K in norms if K > 0), start=0.0)


def strength(problem: Problem) -> tuple[float, float]:
    """(μ_f, μ_g): strong convexity; f(K x) has that of f times c where KᵀK = c·1, others may have a null space."""
    terms: tuple[Any, ...] = arranged(problem)[1]
    f = sum(max(t.f.convexity, 0.0) * (t.K.isometry() or 0.0) for t in terms)
    return f, max(problem.simple.convexity, 0.0) if problem.simple is not None else 0.0


def first_step(problem: Problem, x: Array) -> float:
    """1/L; where there is no L, 1/(curvature along the gradient at x); without any smooth term, near the minimum."""
    terms = arranged(problem)[1]
    L = lipschitz(terms)
    if L == 0:
        mu = strength(problem)[1]
        return 1e6 / mu if mu > 0 else 1.0
    if math.isfinite(L):
        return 1 / L
    slope = pull(terms, slopes(terms, x), x)
    bent = sum(dot(slope, t.hvp(x, slope)) for t in terms)
    return dot(slope, slope) / bent if 0 < bent < math.inf else 1.0


def start_duals(problem: Problem, x: Array) -> tuple[Array, ...]:
    """∇f_i(K_i x), and 0 for a term that has none."""
    images = ((t.f, t.K.forward(x)) for t in problem.coupled)
    return tuple(f.grad(z) if hasattr(f, "grad") else 0 * z for f, z in images)


def slopes(terms: tuple[Any, ...], z: Array) -> tuple[Array, ...]:
    """∇f_i(K_i z): Σ K_iᵀ of them is ∇f(z), and they are the dual candidates of a gap."""
    return tuple(t.f.grad(t.K.forward(z)) for t in terms)


def prox(g: Any, x: Array, tau: float) -> Array:
    result: Array = x if g is None else g.prox(x, tau)
    return result


def trial(problem: Problem, z: Array, tau: float, checked: bool) -> tuple[Array, tuple[Array, ...], bool, bool]:
    """x = prox_{τg}(z − τ∇f(z)) with the duals ∇f_i(K_i z), whether it may be kept, and whether the test saw anything.

    Kept where f(x) ≤ f(z) + ⟨∇f(z), x − z⟩ + ‖x − z‖²/(2τ) (Beck & Teboulle 2009, equation 2.5 for f alone), up to the
    rounding of f.  Not `checked`: always kept.
    """
    g, terms = arranged(problem)
    y = slopes(terms, z)
    slope = pull(terms, y, z)
    v = add_scaled(z, -tau, slope)
    x = prox(g, v, tau)
    if isinstance(g, Composed):  # its dual, in its place among the coupled terms
        j = next(j for j, t in enumerate(problem.coupled) if t.f is g.f)
        y = (*y[:j], g.dual(x, v, tau), *y[j:])
    if not checked:
        return x, y, True, False
    d = x - z
    value, square = sum(t(z) for t in terms), dot(d, d) / (2 * tau)
    rounding = 4 * float(namespace(x).finfo(x.dtype).eps) * abs(value)
    kept = sum(t(x) for t in terms) <= value + dot(slope, d) + square + rounding
    return x, y, kept, square > 100 * rounding


def residual(problem: Problem, x: Array, tau: float) -> float:
    """‖x − prox_{τg}(x − τ∇f(x))‖/τ, the gradient mapping, over √Σ ‖K_iᵀ∇f_i‖² + ‖K_iᵀ∇²f_i K_i x‖²; in float64.

    The size is that of the terms of ∇f, one by one, and of their linear parts (data that are fitted exactly have no
    gradient): free of units and of the start.
    """
    x, (g, terms) = double(x), arranged(problem)
    y = slopes(terms, x)
    mapping = norm(x - prox(g, add_scaled(x, -tau, pull(terms, y, x)), tau)) / tau
    return ratio(mapping, sizes(terms, x) if terms else norm(x) / tau)


def stationarity(terms: Iterable[Term], x: Array) -> float:
    """‖∇F(x)‖ over the sizes of its terms, as in `residual`; in float64, all terms smooth."""
    x, terms = double(x), tuple(terms)
    return ratio(norm(total(terms, x)), sizes(terms, x))


def total(terms: Iterable[Term], x: Array) -> Array:
    """∇F(x) = Σ K_iᵀ∇f_i(K_i x)."""
    return functools.reduce(lambda a, b: add_scaled(a, 1.0, b), (t.grad(x) for t in terms))


def sizes(terms: Iterable[Term], x: Array) -> float:
    """√Σ ‖K_iᵀ∇f_i‖² + ‖K_iᵀ∇²f_i K_i x‖²."""
    parts = [a for t in terms for a in (t.grad(x), *([t.hvp(x, x)] if hasattr(t.f, "hvp") else []))]
    return math.sqrt(sum(dot(a, a) for a in parts))


def ratio(a: float, b: float) -> float:
    return a / b if b > 0 else (0.0 if a == 0 else math.inf)


def distance(problem: Problem, x: Array, mu: float, tau: float) -> float:
    """A bound of ‖x − x*‖ where F is μ-strongly convex: ‖∇F(x)‖/μ, or ‖x − x̂‖ + ‖ξ‖/μ where g has no gradient.

    x̂ = prox_{τg}(x − τ∇f(x)) and ξ = (x − x̂)/τ − ∇f(x) + ∇f(x̂) ∈ ∂F(x̂), exact for any τ > 0.
    """
    x, (g, terms) = double(x), arranged(problem)
    if all(hasattr(t.f, "grad") for t in problem.terms):
        return norm(problem.grad(x)) / mu
    slope = pull(terms, slopes(terms, x), x)
    new = prox(g, add_scaled(x, -tau, slope), tau)
    return norm(x - new) + norm((x - new) / tau - slope + pull(terms, slopes(terms, new), x)) / mu


def pull(terms: Any, duals: tuple[Array, ...], x: Array) -> Array:
    """Σ K_iᵀ q_i, shape of x."""
    total = namespace(x).zeros_like(x)
    for t, q in zip(terms, duals, strict=True):
        total = total + t.K.adjoint(q)
    return total
