"""Piggyback differentiation: the lower level and its adjoint by one primal–dual iteration, no Hessian formed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, namespace
from varinv.fused.steps import dual_step, primal_step
from varinv.learning.lower import Adjoint, Lower, gradient, hessian
from varinv.linalg import add_scaled, norm
from varinv.problem import Problem

EVERY = 10  # iterations between two looks at the certificate


@dataclass(frozen=True)
class Piggyback:
    r"""A solver inside `learn` that computes the solution and its derivative by the primal–dual iteration.

    Solves min_x max_y ⟨K x, y⟩ + g(x) − f*(y), g and f* strongly convex, then the adjoint saddle problem.

    .. math::
        \min_X \max_Y\; ⟨K X, Y⟩ + ½⟨∇²g(x) X, X⟩ − ½⟨∇²f^*(y) Y, Y⟩ + ⟨∇ℓ(x), X⟩,\qquad
        ∂_K ℓ(\hat x) = y ⊗ X + Y ⊗ x

    Both run Algorithm 3 of Chambolle & Pock (2011) with μ_g, μ_f* = 1/L_f:

    .. math::
        ν = \min(1, 2\sqrt{μ_g μ_{f^*}}/‖K‖),\quad τ = ν/(2μ_g),\quad σ = ν/(2μ_{f^*}),\quad
        \bar x = x' + (x' − x)/(1 + ν)

    The dual step of the adjoint is the derivative of that of the lower level, P = ∇²f (σ + ∇²f)⁻¹ at K x:
    Y ← P(Y + σ K X̄), which holds where f is kinked in f* too (Huber at |y| = weight: Y = 0).  Families deliver the
    contraction with ∂K/∂θ as their `sensitivity` at q = −X, where Y = ∇²f(Kx) K X.

    Certificates: ‖x − x̂‖ ≤ ‖∇g(x) + Kᵀ∇f(Kx)‖/μ_g, which is √(2 gap/μ_g) or more at the dual point ∇f(Kx), and the
    residual of ∇²h X = −∇ℓ by one product.  They are looked at every tenth iteration; each look counts as an iteration.

    Pass it as ``vi.learn(…, lower=Piggyback())``: MAID and HOAG run unchanged.

    Raises
    ------
    TypeError, ValueError
        Terms of the image that are not strongly convex or not separable, coupled terms that are not smooth, or
        neither separable nor functions of the lengths over axis 0 (Huber, Charbonnier).
    """

    def minimise(self, problem: Problem, x: Array, mu: float, L: float, epsilon: float, most: int) -> Lower:
        """From x and y = ∇f(Kx) to ‖x − x̂‖ ≤ ε, or the best point seen within `most` iterations or before rounding."""
        nu, tau, sigma = steps(problem)
        terms, operators = problem.coupled, [t.K for t in problem.coupled]
        ys = [t.f.grad(t.K.forward(x)) for t in terms]
        look = _Best(epsilon * mu, nu)
        slope, bar, k = gradient(problem, x), x, 1
        while look.wants_more((x, slope), norm(slope)) and k < most:
            for _ in range(min(EVERY, most - k)):
                ys = [dual_step(t.f, t.K, y, bar, sigma) for t, y in zip(terms, ys, strict=True)]
                x, bar = primal_step(problem.simple, operators, ys, x, tau, 1 / (1 + nu))
                k += 1
            slope, k = gradient(problem, x), k + 1
        (x, slope), size = look.best, look.size
        return Lower(x, slope, size, size / mu, k, size <= epsilon * mu)

    def solve_adjoint(self, problem: Problem, x: Array, b: Array, q: Array | None, delta: float, most: int) -> Adjoint:
        """q = −X with ‖∇²h(x) q − b‖ ≤ δ, b = ∇ℓ(x), from q; 0 where ‖b‖ ≤ δ already."""
        size = norm(b)
        if size <= delta:
            return Adjoint(0 * b, size, 0, True)
        nu, tau, sigma = steps(problem)
        ones = namespace(x).ones_like(x)
        shrink = 1 / (1 + tau * sum(t.f.hvp(x, ones) for t in problem.terms if t.K is None))
        places = [(t, t.K.forward(x)) for t in problem.coupled]
        pull = [_dual_step(t.f, z, sigma) for t, z in places]
        product = hessian(problem, x)
        q = 0 * b if q is None else q
        Ys = [t.f.hvp(z, t.K.forward(q)) for t, z in places]
        look = _Best(delta, nu)
        bar, k = q, 1
        while look.wants_more(q, norm(product(q) - b)) and k < most:
            for _ in range(min(EVERY, most - k)):
                Ys = [P(add_scaled(Y, sigma, t.K.forward(bar))) for P, Y, (t, _) in zip(pull, Ys, places, strict=True)]
                new = q + tau * b
                for Y, (t, _) in zip(Ys, places, strict=True):
                    new = add_scaled(new, -tau, t.K.adjoint(Y))
                new = shrink * new
                bar, q, k = new + (new - q) / (1 + nu), new, k + 1
            k += 1
        return Adjoint(look.best, look.size, k, look.size <= delta)


class _Best:
    """The best point seen, and whether going on is worth it: not below `goal`, nor where rounding ends the progress."""

    def __init__(self, goal: float, nu: float) -> None:
        self.goal, self.size = goal, math.inf
        self.best: Any = None
        self.patience = self.left = 10 + int(3 / nu)  # looks: 100 + 30/ν iterations

    def wants_more(self, point: Any, size: float) -> bool:
        self.left = self.patience if size < 0.99 * self.size else self.left - 1
        if self.best is None or size < self.size:
            self.best, self.size = point, size
        return self.size > self.goal and self.left > 0 and size < math.inf


def steps(problem: Problem) -> tuple[float, float, float]:
    """(ν, τ, σ), checked: both sides strongly convex."""
    who = "Piggyback"
    g = 0.0 if problem.simple is None else problem.simple.convexity
    if not g > 0:
        raise ValueError(
            f"{who}: the terms of the image itself in {problem} are not strongly convex; add a ridge such as "
            "1e-3 * L2Squared()"
        )
    alone = [t.f for t in problem.terms if t.K is None]
    if not all(f.separable for f in alone) or len(alone) + len(problem.coupled) > len(problem.terms):
        raise TypeError(
            f"{who}: the terms of the image itself in {problem} must be separable and have one prox together"
        )
    for t in problem.coupled:
        if not t.f.smoothness < math.inf or not (t.f.separable or hasattr(t.f, "quadratic_weight")):
            raise TypeError(
                f"{who}: {t} must be smooth (a conjugate that is strongly convex), and separable or a function of "
                "lengths; take Huber or Charbonnier in place of L1 or total variation"
            )
    K = math.sqrt(sum(t.K.norm() ** 2 for t in problem.coupled))
    f = 1 / max((t.f.smoothness for t in problem.coupled if t.f.smoothness > 0), default=1.0)
    nu = min(1.0, 2 * math.sqrt(g * f) / K) if K > 0 else 1.0
    return nu, nu / (2 * g), nu / (2 * f)


def _dual_step(f: Any, z: Array, sigma: float) -> Callable[[Array], Array]:
    """∇²f(z)(σ + ∇²f(z))⁻¹, the derivative of prox_{σf*} at ∇f(z) + σz; it acts along z and across it."""
    xp = namespace(z)
    if f.separable:
        d = f.hvp(z, xp.ones_like(z))
        scale = d / (sigma + d)
        return lambda Y: scale * Y
    n = xp.sqrt(xp.sum(z * z, axis=0))
    unit = z / xp.where(n > 0, n, xp.ones_like(n))
    across, along = f.quadratic_weight(z), xp.sum(unit * f.hvp(z, unit), axis=0)
    across, along = across / (sigma + across), along / (sigma + along)
    return lambda Y: across * Y + (along - across) * xp.sum(unit * Y, axis=0) * unit
