"""Conjugate gradients for least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, is_array, namespace
from varinv.functionals.data import L2Squared
from varinv.linalg import dot, norm
from varinv.operators.krylov import Iterate, start, step
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import the_square


class CGLSState(Iterate):
    """A state of `varinv.operators.krylov` that knows its problem's residual and misfit."""

    __slots__ = ()

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖Aᵀ W (y − A x)‖/‖Aᵀ W y‖ computed anew, as r may have parted from y − A x (relative to the start where
        Aᵀ W y = 0)."""
        return norm(the_square("CGLS", problem).gradient(self.x)) / self.size if self.gamma > 0 else 0.0

    def misfit(self, problem: Problem) -> float:
        """‖A x − y‖_W without another application of A."""
        f = the_square("CGLS", problem)
        return float(dot(self.r, f.weighted(self.r)) ** 0.5)


@dataclass(frozen=True)
class CGLS(Solver):
    r"""Solve least squares with one operator by conjugate gradients; stopped early, it regularises.

    min_x ½‖A x − y‖²_W by conjugate gradients on the normal equations; Björck (1996), Algorithm 7.4.1.

    .. math::
        q = A p,\quad α = γ/⟨q, W q⟩,\quad x ← x + α p,\quad r ← r − α q,\quad
        s = A^T W r,\quad γ' = ‖s‖²,\quad p ← s + (γ'/γ) p

    A^T A is never formed.  Early iterates fit the smooth part of the data first: stopping early regularises, and
    twelve steps from zero give the grey-value scale of a tomographic image.  In exact arithmetic it ends after as
    many steps as A has distinct singular values; started from zero it tends to the solution of least norm.  Stop at the
    noise with ``misfit(noise)``.  Where √γ ≤ 16 ε ‖A‖_W ‖r‖_W the gradient is rounding alone: x stays as it is.

    The problem must be ``L2Squared(y, weight) @ A`` and nothing else.

    Raises
    ------
    ValueError
        In `init`, where the problem has other terms.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Diagonal(np.array([1.0, 2.0, 4.0]))
    >>> vi.solve(vi.L2Squared(np.array([1.0, 1.0, 1.0])) @ A, CGLS(), stop=vi.iterations(3)).x.round(12)
    array([1.  , 0.5 , 0.25])
    """

    def init(self, problem: Problem, x: Array) -> CGLSState:
        f = the_square("CGLS", problem)
        A = f.K
        data = f.y if is_array(f.y) else 0 * A.forward(x) + f.y
        data = namespace(x, data).astype(data, x.dtype) if data.dtype != x.dtype else data
        return CGLSState(*start(A, data, x, f.weighted))

    def step(self, problem: Problem, s: CGLSState) -> CGLSState:
        f = the_square("CGLS", problem)
        return step(f.K, s, f.weighted)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        from varinv.operators.elementary import Diagonal
        from varinv.operators.gradient import Gradient

        a = xp.reshape(xp.asarray([0.5, 1.2, 0.9, 0.2, 0.3, 1.1]), (2, 3))
        yield cls(), Problem((L2Squared(1 - a) @ Diagonal(a),))
        yield cls(), Problem((L2Squared(xp.stack([a, a * a]), weight=xp.stack([1 + a, a])) @ Gradient((2, 3)),))
