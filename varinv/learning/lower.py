"""The lower level: solved to a certified accuracy, differentiated through its optimality condition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv.backend import Array
from varinv.linalg import add_scaled, norm
from varinv.problem import Problem
from varinv.solvers.cg import conjugate_gradients


class Lower(NamedTuple):
    """An approximate minimiser x, ∇h(x) and its size, the proved ‖x − x̂‖ ≤ error = ‖∇h(x)‖/μ, gradients spent."""

    x: Array
    slope: Array
    size: float
    error: float
    iterations: int
    reached: bool


class Adjoint(NamedTuple):
    """An approximate solution q of ∇²h(x) q = b, ‖b − ∇²h q‖, CG iterations spent."""

    q: Array
    residual: float
    iterations: int
    reached: bool


def minimise(problem: Problem, x: Array, mu: float, L: float, epsilon: float, most: int) -> Lower:
    r"""Accelerated gradient for a μ-strongly convex, L-smooth h, from x to ‖∇h(x)‖ ≤ ε μ, so that ‖x − x̂‖ ≤ ε.

    .. math::
        t' = ½(1 − κ t² + \sqrt{(1 − κ t²)² + 4 t²}),\quad β = (t − 1)(1 − κ t')/(t'(1 − κ)),\quad
        z = x + β(x − x_{old}),\quad x' = z − ∇h(z)/L

    with κ = μ/L and t₀ = 0 (Chambolle & Pock 2016, Algorithm 5).  One gradient per iteration: the point at which it is
    taken is the one that is judged and returned.  It ends early after `most` gradients, or where rounding stops
    ‖∇h‖ from falling; then the best point seen is returned with what it proves.
    """
    kappa = min(mu / L, 1.0)
    patience = 100 + int(10 / math.sqrt(kappa))
    t, old = 0.0, x
    best: Any = None
    k = seen = 0
    while k < most and k - seen <= patience:
        k += 1
        ahead = 0.5 * (1 - kappa * t * t + math.sqrt((1 - kappa * t * t) ** 2 + 4 * t * t))
        beta = (t - 1) * (1 - kappa * ahead) / (ahead * (1 - kappa)) if kappa < 1 else 0.0
        z = add_scaled(x, beta, x - old) if k > 1 else x
        slope = gradient(problem, z)
        size = norm(slope)
        if size <= epsilon * mu:
            return Lower(z, slope, size, size / mu, k, True)
        if best is None or size < 0.99 * best[2]:
            best, seen = (z, slope, size), k
        if not size < math.inf:
            break
        t, old, x = ahead, x, add_scaled(z, -1 / L, slope)
    z, slope, size = best
    return Lower(z, slope, size, size / mu, k, False)


def solve_adjoint(problem: Problem, x: Array, b: Array, q: Array | None, delta: float, most: int) -> Adjoint:
    """q with ‖∇²h(x) q − b‖ ≤ δ by conjugate gradients from q; 0 where ‖b‖ ≤ δ already."""
    size = norm(b)
    if size <= delta:
        return Adjoint(0 * b, size, 0, True)
    q, residual, k = conjugate_gradients(hessian(problem, x), b, q, tol=delta, absolute=True, most=most)
    return Adjoint(q, residual, k, residual <= delta)


def gradient(problem: Problem, x: Array) -> Array:
    """∇h(x), without the checks of `Problem.grad`: thousands of these make one hypergradient."""
    total: Any = None
    for t in problem.terms:
        part = t.f.grad(x) if t.K is None else t.K.adjoint(t.f.grad(t.K.forward(x)))
        total = part if total is None else total + part
    return total


def hessian(problem: Problem, x: Array) -> Callable[[Array], Array]:
    """p ↦ ∇²h(x) p, with the images K x formed once."""
    places = [(t, x if t.K is None else t.K.forward(x)) for t in problem.terms]

    def apply(p: Array) -> Array:
        total: Any = None
        for t, z in places:
            part = t.f.hvp(z, p) if t.K is None else t.K.adjoint(t.f.hvp(z, t.K.forward(p)))
            total = part if total is None else total + part
        return total

    return apply


def smoothness(problem: Problem) -> float:
    """A bound of ‖∇²h‖: Σ L_i ‖K_i‖²; ∞ where a term is not smooth."""
    total = 0.0
    for t in problem.terms:
        L = t.f.smoothness
        if L > 0:
            total += L if t.K is None else L * t.K.norm() ** 2
    return total


def convexity(problem: Problem) -> float:
    """The strong convexity that is known: the sum over terms of the image itself."""
    return float(sum(t.f.convexity for t in problem.terms if t.K is None))
