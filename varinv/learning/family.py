"""What the rest asks of a family of problems, theta ↦ problem: checked problems, constants, mixed derivatives."""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, device, like, namespace
from varinv.learning.lower import convexity, gradient, smoothness
from varinv.linalg import dot
from varinv.problem import Problem, as_problem

DIFFERENCES = 16  # most parameters whose mixed derivatives are taken by central differences


def parameters(theta: Any) -> Array:
    """θ as a checked 1-D float64 array."""
    theta = check.real_array("learn", "theta", theta)
    xp = namespace(theta)
    theta = xp.astype(theta, xp.float64)
    if theta.ndim != 1:
        raise ValueError(f"learn: theta must have one axis, got shape {tuple(theta.shape)}; reshape it to (-1,)")
    return theta


def lower_problem(family: Any, theta: Array, y: Array, x: Array | None = None) -> Problem:
    """family(theta, y), checked; of an unknown shaped like x."""
    problem = as_problem(family(theta, y))
    if problem is None or not problem.terms:
        raise TypeError(f"learn: {family} must return a Problem such as L2Squared(y) + …")
    for t in problem.terms:
        if not (hasattr(t.f, "grad") and hasattr(t.f, "hvp")):
            raise TypeError(
                f"learn: the term {t} has no gradient or second derivative, and the solution no derivative in theta; "
                "smooth it, e.g. Charbonnier in place of L1 or total variation"
            )
    if x is not None and tuple(x.shape) != tuple(problem.domain):
        raise ValueError(
            f"learn: {family} changed the shape of its unknown from {tuple(x.shape)} to {tuple(problem.domain)}; "
            "it must not depend on theta or on the example"
        )
    return problem  # type: ignore[no-any-return]


def start(family: Any, problem: Problem, y: Array) -> Array:
    """Where the first lower solve begins: family.start(y), or zeros."""
    return family.start(y) if hasattr(family, "start") else problem.zeros()


def constants(family: Any, theta: Array, problem: Problem, assumed: float | None) -> tuple[float, float]:
    """(μ, L) of the lower level."""
    mu = assumed if assumed is not None else float(family.mu(theta)) if hasattr(family, "mu") else convexity(problem)
    if not mu > 0:
        raise ValueError(
            f"learn: the strong convexity of {problem} is not known ({mu:g}), so that no accuracy can be proved; add a "
            "ridge such as 1e-3 * L2Squared(), give the family a method mu(theta), or pass mu=… to assume one "
            "(the certificate then says so)"
        )
    L = float(family.smoothness(theta)) if hasattr(family, "smoothness") else smoothness(problem)
    if not math.inf > L:
        raise ValueError(f"learn: {problem} has no smoothness constant; give the family a method smoothness(theta)")
    return mu, max(L, mu)


def sensitivity(family: Any, theta: Array, y: Array, problem: Problem, x: Array, q: Array) -> Array:
    """∂θ⟨∇ₓh(x, θ), q⟩ beside θ: the family's own, or central differences in θ up to 16 parameters."""
    p = int(theta.shape[0])
    if hasattr(family, "sensitivity"):
        found = family.sensitivity(theta, y, x, q)
        vector = like(found, theta)
        if tuple(vector.shape) != (p,):
            raise ValueError(
                f"learn: {family}.sensitivity must return {p} numbers, one per parameter, "
                f"got shape {tuple(vector.shape)}"
            )
        return vector
    if p > DIFFERENCES:
        raise TypeError(
            f"learn: {family} has {p} parameters; above {DIFFERENCES} it needs a method "
            "sensitivity(theta, y, x, q) that returns ∂θ⟨∇ₓh(x, θ), q⟩"
        )
    xp, result = namespace(theta), []
    for j in range(p):
        h = 1e-5 * max(1.0, abs(float(theta[j])))
        e = xp.asarray([h if i == j else 0.0 for i in range(p)], dtype=theta.dtype, device=device(theta))
        ahead, behind = (gradient(lower_problem(family, theta + s * e, y, x), x) for s in (1.0, -1.0))
        result.append(dot(ahead - behind, q) / (2 * h))
    return like(result, theta)
