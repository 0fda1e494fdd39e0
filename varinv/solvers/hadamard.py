"""Gradient descent on x = w∘w − u∘u: least squares with an implicit bias towards few entries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import add_scaled, norm
from varinv.operators.elementary import Diagonal
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import Square, the_square


class HadamardState(NamedTuple):
    """Image x = w∘w − u∘u, its two factors, the size ‖AᵀWy‖ of the gradient, the iteration number."""

    x: Array
    w: Array
    u: Array
    size: float
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖AᵀW(Ax − y)‖/‖AᵀWy‖ (relative to the start where AᵀWy = 0)."""
        return norm(_square(problem).gradient(self.x)) / self.size if self.size > 0 else 0.0


@dataclass(frozen=True)
class HadamardGradient(Solver):
    r"""Find sparse images by gradient descent on factors of the image, stopped early.

    min_x ½‖A x − y‖²_W by gradient descent on the factors of x = w∘w − u∘u; Vaškevičius et al. (2019).

    .. math::
        g = A^T W (A x - y),\quad w ← w - 2η\, w ∘ g,\quad u ← u + 2η\, u ∘ g,\qquad w_0 = u_0 = α \sqrt{s}\,1

    Entries grow by their own size: from a small start few of them do.  Of the interpolants, where there are many, the
    limit tends to the one of least ℓ1 norm as α → 0 (Woodworth et al. 2020; plain gradient descent from zero gives the
    least ℓ2 norm).  On noisy data the early iterates are sparse: stop with ``misfit(noise)``.

    η = 1/(8 L max(w² + u²) + 4 max|g|) with L = max W ‖A‖² certified: a quarter of the reciprocal of the largest second
    derivative along the step, so that the objective falls.  s = max|AᵀWy|/L gives α the unit of √x.

    Parameters
    ----------
    alpha : the start α > 0, relative; smaller is sparser, and slower by log 1/α.

    Raises
    ------
    ValueError
        In `init`, where the problem is not ``L2Squared(y) @ A`` alone.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> problem = vi.L2Squared(np.array([1.0, 0.0, -1.0])) @ vi.Diagonal(np.array([1.0, 2.0, 4.0]))
    >>> vi.solve(problem, vi.HadamardGradient(), stop=vi.residual(1e-6)).x.round(4)
    array([ 1.  ,  0.  , -0.25])
    """

    alpha: float = 1e-3

    def __post_init__(self) -> None:
        alpha = check.number("HadamardGradient", "alpha", self.alpha, low=0.0, strict=True)
        object.__setattr__(self, "alpha", alpha)

    def init(self, problem: Problem, x: Array) -> HadamardState:
        f = _square(problem)
        xp = namespace(x)
        g = f.gradient(0 * x)
        L = f.curvature
        s = float(xp.max(abs(g))) / L if L > 0 else 0.0
        # w² − u² = x with the product wu of a start at zero, α² s: w² = (|x| + √(x² + 4α⁴s²))/2 for x ≥ 0
        floor = self.alpha**2 * s
        big = xp.sqrt((abs(x) + xp.sqrt(x * x + 4 * floor**2)) / 2)
        small = floor / xp.where(big > 0, big, xp.ones_like(big))
        w, u = xp.where(x >= 0, big, small), xp.where(x >= 0, small, big)
        size = norm(g)
        return HadamardState(w * w - u * u, w, u, size if size > 0 else norm(f.gradient(x)))

    def step(self, problem: Problem, s: HadamardState) -> HadamardState:
        xp = namespace(s.x)
        f = _square(problem)
        g = f.gradient(s.x)
        bend = 8 * f.curvature * float(xp.max(s.w * s.w + s.u * s.u)) + 4 * float(xp.max(abs(g)))
        eta = 1 / bend if bend > 0 else 0.0
        w, u = add_scaled(s.w, -2 * eta, s.w * g), add_scaled(s.u, 2 * eta, s.u * g)
        return HadamardState(w * w - u * u, w, u, s.size, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        a = xp.reshape(xp.asarray([0.5, 1.2, 0.9, 0.2, 0.3, 1.1]), (2, 3))
        yield cls(alpha=0.1), Problem((L2Squared(1 - a) @ Diagonal(1 + a),))


def _square(problem: Problem) -> Square:
    return the_square("HadamardGradient", problem, operator=False)
