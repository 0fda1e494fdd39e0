"""Landweber's iteration and the ν-method: least squares by gradients, plain and accelerated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, norm
from varinv.operators.elementary import Diagonal
from varinv.operators.gradient import Gradient
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import Square, the_square


class LandweberState(NamedTuple):
    """Image x and the iteration number."""

    x: Array
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖Aᵀ W (y − A x)‖ over ‖Aᵀ W y‖."""
        return slope(problem, self.x)


@dataclass(frozen=True)
class Landweber(Solver):
    r"""Solve least squares by plain gradient steps; stopped early, it regularises.

    min_x ½‖A x − y‖²_W by gradient steps; Landweber (1951).

    .. math:: x ← x + η A^T W (y − A x)

    Started from zero, after k steps x = φ(AᵀWA) AᵀWy with λφ(λ) = 1 − (1 − ηλ)^k (`filters.landweber`): stopped early
    it regularises like Tikhonov with α ≈ 1/(ηk), without saturation.  Converges for 0 < η < 2/‖A‖²_W.

    The problem must be ``L2Squared(y, weight) @ A`` and nothing else.

    Parameters
    ----------
    step_size : η; None: 1/(max w · ‖A‖²) with the certified norm.

    Raises
    ------
    ValueError
        In `init`: other terms, a step not below 2/(max w · ‖A‖²).
    """

    step_size: float | None = None

    def __post_init__(self) -> None:
        if self.step_size is not None:
            value = check.number("Landweber", "step_size", self.step_size, low=0.0, strict=True)
            object.__setattr__(self, "step_size", value)

    def init(self, problem: Problem, x: Array) -> LandweberState:
        largest = part("Landweber", problem).curvature
        if self.step_size is not None and self.step_size * largest >= 2:
            raise ValueError(
                f"Landweber: step_size={self.step_size:g} must be below 2/(max w ‖A‖²) = {2 / largest:.4g}; "
                "leave it out for half of that"
            )
        return LandweberState(x)

    def step(self, problem: Problem, s: LandweberState) -> LandweberState:
        term = part("Landweber", problem)
        eta = inverse(term.curvature) if self.step_size is None else self.step_size
        return LandweberState(add_scaled(s.x, -eta, term.gradient(s.x)), s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield from ((cls(), problem) for problem in _small())


class NuMethodState(NamedTuple):
    """Image x, the one before it, the iteration number."""

    x: Array
    before: Array
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖Aᵀ W (y − A x)‖ over ‖Aᵀ W y‖."""
        return slope(problem, self.x)


@dataclass(frozen=True)
class NuMethod(Solver):
    r"""Solve least squares by accelerated gradient steps; stopped early, it regularises.

    The ν-method: Landweber with Jacobi polynomials; Brakhage (1987), Hanke (1991).

    .. math::
        x_{k} = x_{k-1} + μ_k (x_{k-1} − x_{k-2}) + ω_k η A^T W (y − A x_{k-1}),\quad η = 1/\|A\|_W²,\quad μ_1 = 0

        μ_k = \frac{(k−1)(2k−3)(2k+2ν−1)}{(k+2ν−1)(2k+4ν−1)(2k+2ν−3)},\quad
        ω_k = 4\frac{(2k+2ν−1)(k+ν−1)}{(k+2ν−1)(2k+4ν−1)},\quad ω_1 = \frac{4ν+2}{4ν+1}

    (Engl, Hanke & Neubauer 1996, section 6.3.)  After k steps from zero the residual polynomial is Jacobi's
    P_k^{(2ν−1/2, −1/2)}(1 − 2ηλ), scaled to 1 at λ = 0 (`filters.nu_method`); k steps do what k² steps of Landweber do,
    up to smoothness ν (Landweber and CGLS have no such limit).

    The problem must be ``L2Squared(y, weight) @ A`` and nothing else.

    Parameters
    ----------
    nu : ν > 0.

    Raises
    ------
    ValueError
        In `init`, where the problem has other terms.
    """

    nu: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "nu", check.number("NuMethod", "nu", self.nu, low=0.0, strict=True))

    def init(self, problem: Problem, x: Array) -> NuMethodState:
        part("NuMethod", problem)
        return NuMethodState(x, x)

    def step(self, problem: Problem, s: NuMethodState) -> NuMethodState:
        term = part("NuMethod", problem)
        mu, omega = coefficients(s.k + 1, self.nu)
        x = add_scaled(s.x, -omega * inverse(term.curvature), term.gradient(s.x))
        return NuMethodState(add_scaled(x, mu, s.x - s.before), s.x, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield from ((cls(), problem) for problem in _small())


def coefficients(k: int, nu: float) -> tuple[float, float]:
    """μ_k and ω_k of the ν-method, k ≥ 1."""
    if k == 1:
        return 0.0, (4 * nu + 2) / (4 * nu + 1)
    below = (k + 2 * nu - 1) * (2 * k + 4 * nu - 1)
    mu = (k - 1) * (2 * k - 3) * (2 * k + 2 * nu - 1) / (below * (2 * k + 2 * nu - 3))
    return mu, 4 * (2 * k + 2 * nu - 1) * (k + nu - 1) / below


def part(who: str, problem: Problem) -> Square:
    """The one term L2Squared @ A, or an error."""
    return the_square(who, problem, advice="; use CG()")


def inverse(value: float) -> float:
    return 1 / value if value > 0 else 0.0


def slope(problem: Problem, x: Array) -> float:
    term = part("Landweber", problem)
    size, here = norm(term.gradient(0 * x)), norm(term.gradient(x))
    return here / size if size > 0 else here


def _small() -> Iterator[Problem]:
    import array_api_compat.numpy as xp

    a = xp.reshape(xp.asarray([0.5, 1.2, 0.9, 0.4, 0.3, 1.1]), (2, 3))
    yield Problem((L2Squared(1 - a, weight=1 + a) @ Diagonal(a),))
    yield Problem((L2Squared(xp.stack([a, a * a])) @ Gradient((2, 3)),))
