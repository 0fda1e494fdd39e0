"""What the algorithms around a denoiser ask of a problem: data, operator, prior, a first image, random numbers."""

from __future__ import annotations

import math
from typing import Any

from varinv.backend import Array, double, is_array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import norm
from varinv.problem import Problem
from varinv.solvers.cg import CG
from varinv.solvers.least_squares import Square, split


def data_term(who: str, problem: Problem, alone: bool = False) -> tuple[Square, Any]:
    """(f, A) of the one term L2Squared(y) @ A with data of weight 1, `alone` the only term; an error otherwise."""
    found = split(problem.terms)[0]
    if len(found) != 1 or found[0].K is None or not found[0].data or is_array(found[0].weight):
        raise ValueError(
            f"{who}: the problem must have one term L2Squared(y) @ A with data and no weights, got {problem}; "
            "use Identity(shape) for denoising"
        )
    f = found[0]
    if f.weight != 1:
        raise ValueError(f"{who}: the data term must have weight 1, got {f.weight:g}; put 1/weight into lam")
    if alone and len(problem.terms) != 1:
        raise ValueError(f"{who}: the problem must be L2Squared(y) @ A and nothing else, got {problem}")
    return f, f.K


def data_and_denoiser(who: str, problem: Problem) -> tuple[Square, Any, Any]:
    """(f, A, prior) of L2Squared(y) @ A + PnP(denoiser); an error otherwise."""
    priors = [t.f for t in problem.terms if hasattr(t.f, "denoiser") and hasattr(t.f, "prox") and t.K is None]
    if len(problem.terms) != 2 or len(priors) != 1:
        raise ValueError(f"{who}: the problem must be L2Squared(y) @ A + PnP(denoiser), got {problem}")
    f, A = data_term(who, problem)
    return f, A, priors[0]


def span(denoiser: Any) -> float:
    """The width of the range of image values that a denoiser was made for; 1 where it does not say."""
    low, high = getattr(denoiser, "image", None) or (0.0, 1.0)
    return float(high - low)


def image_noise(A: Any, noise: float) -> float:
    """The noise of the data in the units of the image, s/‖A‖; 0 where A = 0."""
    size = A.norm()
    return float(noise / size) if size > 0 else 0.0


def smooth_start(A: Any, y: Array, noise: float = 0.0) -> Array:
    """argmin ½‖A x − y‖² + ½μ‖∇x‖², μ = (noise/0.1)² but at least 10⁻⁴‖A‖².

    Fits the data and fills what they leave open as a membrane would.  `noise` is that of y over the range of the image,
    a tenth of which is a typical difference of neighbours.
    """
    from varinv.operators.gradient import Gradient
    from varinv.solvers.rules import iterations, residual
    from varinv.solvers.solve import solve

    scale = max((noise / 0.1) ** 2, 1e-4 * A.norm() ** 2)
    smooth = L2Squared(weight=scale) @ Gradient(A.domain)
    result: Array = solve(L2Squared(y) @ A + smooth, CG(), stop=residual(1e-4) | iterations(200)).x
    return result


def data_residual(problem: Problem, x: Array, noise: float) -> float:
    """‖A x − y‖ over √m·noise: 1 where the misfit is that of the noise; without noise over ‖y‖, 0 where it fits."""
    f, A, _ = data_and_denoiser("data_residual", problem)
    return relative_residual(A, f.y, x, noise)


def relative_residual(A: Any, y: Array, x: Array, noise: float) -> float:
    """‖A x − y‖ over √m·noise, without noise over ‖y‖."""
    misfit = norm(A.forward(double(x)) - double(y))
    size = math.sqrt(math.prod(y.shape)) * noise if noise > 0 else norm(y)
    return misfit / size if size > 0 else (0.0 if misfit == 0 else math.inf)


def adam(g: Array, m: Array, v: Array, k: int) -> tuple[Array, Array, Array]:
    """(direction, m, v) after the k-th gradient g, k from 1: Kingma & Ba (2015), β = (0.9, 0.99)."""
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    spread = namespace(v).sqrt(v / (1 - 0.99**k)) + 1e-8
    return m / (1 - 0.9**k) / spread, m, v
