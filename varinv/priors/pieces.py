"""What the algorithms around a denoiser ask of a problem: data, operator, prior, a first image, random numbers."""

from __future__ import annotations

from typing import Any

from varinv.backend import Array, is_array
from varinv.functionals.data import L2Squared
from varinv.priors.plugged import PnP
from varinv.problem import Problem
from varinv.solvers.cg import CG


def data_term(who: str, problem: Problem) -> tuple[L2Squared, Any]:
    """(f, A) of the one term L2Squared(y) @ A with data of weight 1; an error otherwise."""
    found: list[tuple[Any, Any]] = [(t.f, t.K) for t in problem.terms if isinstance(t.f, L2Squared)]
    if len(found) != 1 or found[0][1] is None or not is_array(found[0][0].y) or is_array(found[0][0].weight):
        raise ValueError(
            f"{who}: the problem must have one term L2Squared(y) @ A with data and no weights, got {problem}; "
            "use Identity(shape) for denoising"
        )
    if found[0][0].weight != 1:
        raise ValueError(f"{who}: the data term must have weight 1, got {found[0][0].weight:g}; put 1/weight into lam")
    return found[0]


def data_and_denoiser(who: str, problem: Problem) -> tuple[L2Squared, Any, PnP]:
    """(f, A, prior) of L2Squared(y) @ A + PnP(denoiser); an error otherwise."""
    priors = [t.f for t in problem.terms if isinstance(t.f, PnP) and t.K is None]
    if len(problem.terms) != 2 or len(priors) != 1:
        raise ValueError(f"{who}: the problem must be L2Squared(y) @ A + PnP(denoiser), got {problem}")
    f, A = data_term(who, problem)
    return f, A, priors[0]


def span(denoiser: Any) -> float:
    """The width of the range of image values that a denoiser was made for; 1 where it does not say."""
    low, high = getattr(denoiser, "image", None) or (0.0, 1.0)
    return float(high - low)


def smooth_start(A: Any, y: Array) -> Array:
    """argmin ½‖A x − y‖² + ½·10⁻⁴‖A‖²‖∇x‖²: fits the data, and fills what they leave open as a membrane would."""
    from varinv.operators.gradient import Gradient
    from varinv.solvers.rules import iterations, residual
    from varinv.solvers.solve import solve

    scale = 1e-4 * A.norm() ** 2
    smooth = L2Squared(weight=scale) @ Gradient(A.domain)
    result: Array = solve(L2Squared(y) @ A + smooth, CG(), stop=residual(1e-4) | iterations(200)).x
    return result
