"""Pseudo-inverses: in closed form where the structure gives one, else by conjugate gradients, or FBP on request."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from varinv import check
from varinv.backend import Array, double, namespace
from varinv.linalg import norm
from varinv.operators.algebra import Composition, Scaled
from varinv.operators.base import LinearOperator
from varinv.views import on_views

MOST = 10_000  # conjugate-gradient steps
METHODS = ("cg", "fbp")


class InexactInverseWarning(UserWarning):
    """What was returned is not A⁺ y to the accuracy asked for; the message says by how much."""


@on_views
def pinv(A: LinearOperator, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
    r"""A⁺ y: of all x that minimise ‖A x − y‖ the one of least norm; shape `A.codomain` → `A.domain`.

    Computed in float64, returned in the dtype of y.

    In closed form (`method` None) where one is known:

    - Aᵀ y / c where Aᵀ A or A Aᵀ is c · identity (`isometry`, `coisometry`): Identity, Subsampling, Restriction, Part,
      Downsampling by means or without filter, Fourier, orthonormal Wavelet;
    - division where A is diagonal in pixels (0 where d = 0) or frequencies (periodic Blur: 0 where
      |k̂| ≤ tol · max|k̂|, so that `tol` is the cut-off of the truncated inverse);
    - multiples, and compositions A B with (AB)⁺ = B⁺A⁺, which holds where A is an isometry or B a co-isometry, up to
      factors (Greville 1966).

    Otherwise ("cg", or None) conjugate gradients on the normal equations from zero (`CGLS`), until the solution is
    exact for data or an operator changed by a relative `tol` (Paige & Saunders 1982, rules 1 and 2):
    ‖r‖ ≤ tol (‖y‖ + ‖A‖‖x‖) or ‖Aᵀr‖ ≤ tol ‖A‖‖r‖.

    "fbp": filtered back-projection (Radon, AstraRadon), fast and no pseudo-inverse: the first call on an operator warns
    with its defect ‖A x − y‖/‖y‖.

    Parameters
    ----------
    y : real array of shape `A.codomain`, finite.
    method : None, "cg" or "fbp".
    tol : relative accuracy and cut-off, see above; in (0, 1).

    Warns
    -----
    InexactInverseWarning
        10 000 steps were not enough (with the residuals reached); the defect of "fbp".

    Raises
    ------
    TypeError, ValueError
        y of another shape, complex or with NaN; an unknown method; "fbp" without a scan geometry.

    Examples
    --------
    >>> import numpy as np
    >>> from varinv.operators.sampling import Downsampling
    >>> A = Downsampling((4,), 2)
    >>> A.pinv(np.array([1.0, 3.0]))
    array([1., 1., 3., 3.])
    >>> A.project(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, 3.0]))  # the nearest signal with these means
    array([0.5, 1.5, 2.5, 3.5])
    """
    who = f"{A}.pinv"
    if method is not None and method not in METHODS:
        raise ValueError(f"{who}: method must be None or one of {', '.join(METHODS)}, got {method!r}")
    tol = check.number(who, "tol", tol, low=0.0, high=1.0, strict=True)
    y = check.real_array(who, "y", y)
    check.same_shape(who, "y", y, A.codomain)
    if method == "fbp":
        return _fbp(A, y)
    exact = closed_form(A) if method is None else None
    x = _least_squares(A, double(y), tol) if exact is None else exact(double(y), tol)
    return namespace(y).astype(x, y.dtype, copy=True)


def closed_form(A: LinearOperator) -> Callable[[Array, float], Array] | None:
    """(y, tol) ↦ A⁺ y in closed form; None where none is known."""
    given: Callable[[Array, float], Array] | None = getattr(A, "pseudoinverse", None)
    if given is not None:
        return given
    c = A.isometry() or A.coisometry()
    if c:
        return lambda y, tol: A.adjoint(y) / c
    if isinstance(A, Scaled) and A.factor:
        inner, factor = closed_form(A.K), A.factor
        return None if inner is None else lambda y, tol: inner(y, tol) / factor
    if isinstance(A, Composition) and (A.A.isometry() or A.B.coisometry()):
        left, right = closed_form(A.A), closed_form(A.B)
        if left is not None and right is not None:
            return lambda y, tol: right(left(y, tol), tol)
    return None


def _least_squares(A: LinearOperator, y: Array, tol: float) -> Array:
    from varinv.functionals.data import L2Squared
    from varinv.problem import Problem
    from varinv.solvers.base import last, until
    from varinv.solvers.cgls import CGLS

    size, bound = norm(y), A.norm()

    def solved(problem: Any, previous: Any, s: Any) -> str | None:
        r = norm(s.r)
        if r <= tol * (size + bound * norm(s.x)) or s.gamma <= (tol * bound * r) ** 2:
            return "solved"
        return "too many steps" if s.k >= MOST else None

    problem = Problem((L2Squared(y) @ A,))
    state = last(until(problem, CGLS().states(problem), solved))
    if state.k >= MOST and solved(problem, None, state._replace(k=0)) is None:
        r = norm(state.r)
        warnings.warn(
            f"{A}.pinv: after {MOST} conjugate-gradient steps ‖A x − y‖ = {r / size:.1e} ‖y‖ and "
            f"‖Aᵀ(A x − y)‖ = {state.gamma**0.5 / (bound * r):.1e} ‖A‖‖A x − y‖, more than tol={tol:g}; "
            "ask for a larger tol, or regularise: solve(L2Squared(y) @ A + …)",
            InexactInverseWarning,
            stacklevel=check.outside(),
        )
    return state.x


def _fbp(A: LinearOperator, y: Array) -> Array:
    from varinv.operators.fbp import fbp

    x = fbp(A, y)
    if "_fbp_defect" not in A.__dict__ and (size := norm(y)) > 0:
        defect = A.__dict__["_fbp_defect"] = norm(A.forward(x) - y) / size
        warnings.warn(
            f"{A}.pinv: filtered back-projection is no pseudo-inverse: for these data ‖A x − y‖ = {defect:.1e} ‖y‖; "
            "leave method out for the exact one (this operator will not say it again)",
            InexactInverseWarning,
            stacklevel=check.outside(),
        )
    return x
