"""What the rest asks of a family of problems, theta ↦ problem: checked problems, constants, mixed derivatives."""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, device, is_array, like, namespace
from varinv.learning.lower import convexity, gradient, smoothness
from varinv.linalg import dot
from varinv.problem import Problem, as_problem
from varinv.solvers.least_squares import Square, split

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
    problem = made_by("learn", family, theta, y)
    for t in problem.terms:
        if not (hasattr(t.f, "grad") and hasattr(t.f, "hvp")):
            raise TypeError(
                f"learn: the term {t} has no gradient or second derivative, and the solution no derivative in theta; "
                "smooth it, e.g. Charbonnier in place of L1 or total variation"
            )
    if x is not None:
        same_unknown("learn", family, x, problem)
    return problem


def made_by(who: str, family: Any, theta: Array, y: Array) -> Problem:
    """family(theta, y), or an error where that is no problem or overflows."""
    try:
        problem = as_problem(family(theta, y))
    except OverflowError:
        largest = float(namespace(theta).max(theta))
        raise ValueError(
            f"{who}: the family overflows where theta is {largest:g}; natural logarithms are expected"
        ) from None
    if problem is None or not problem.terms:
        raise TypeError(f"{who}: {family} must return a Problem such as L2Squared(y) + …")
    return problem  # type: ignore[no-any-return]


def same_unknown(who: str, family: Any, x: Array, problem: Problem) -> None:
    """An error where a problem is not one of images shaped like x."""
    if tuple(x.shape) != tuple(problem.domain):
        raise ValueError(
            f"{who}: {family} changed the shape of its unknown from {tuple(x.shape)} to {tuple(problem.domain)}; "
            "it must not depend on theta or on the example"
        )


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


def data_term(problem: Problem, y: Array, first: Square | None = None, who: str = "choose") -> Square:
    """The least-squares term of the data y: one alone, in the shape of y, with the weights that `first` has.

    Raises ValueError where that is not so.
    """
    found = [s for s in split(problem.terms)[0] if s.data and s.y.ndim > 0]
    found = [s for s in found if s.y is y] if len(found) > 1 else found
    if len(found) != 1:
        raise ValueError(
            f"{who}: {problem} has {len(found)} least-squares terms with data and the rules need exactly one, "
            "L2Squared(y) or L2Squared(y, weight) @ A"
        )
    f = found[0]
    if tuple(f.y.shape) != tuple(y.shape):
        raise ValueError(
            f"{who}: y has shape {tuple(y.shape)}, but the family makes data of shape {tuple(f.y.shape)} of it; "
            "pass y as the family uses it"
        )
    if first is None:
        return f
    w, was = f.weight, first.weight
    if is_array(w) != is_array(was) or (is_array(w) and not bool(namespace(w).all(w == was))):
        raise ValueError(
            f"{who}: the array of weights of the data term says how accurate each measurement is and must not depend "
            "on theta; put the parameter before the other terms"
        )
    return f
