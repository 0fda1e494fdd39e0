"""Pseudo-inverses: in closed form where the structure gives one, else by conjugate gradients, or FBP on request."""

from __future__ import annotations

import warnings
from typing import Any

from varinv import check
from varinv.backend import Array, double, namespace
from varinv.linalg import norm
from varinv.memory import remembered
from varinv.operators.fbp import fbp
from varinv.operators.krylov import least_squares
from varinv.views import on_views

MOST = 10_000  # conjugate-gradient steps
METHODS = ("cg", "fbp")


class InexactInverseWarning(UserWarning):
    """A pseudo-inverse was not computed to the accuracy asked for; the message says by how much.

    What was returned is not A⁺ y to that accuracy.
    """


@on_views
def pinv(A: Any, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
    r"""A⁺ y: of all x that minimise ‖A x − y‖ the one of least norm; shape `A.codomain` → `A.domain`.

    Computed in float64, returned in the dtype of y.

    In closed form (`method` None) where one is known (`A.pseudoinverse`):

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
    x = A.pseudoinverse(double(y), tol) if method is None else None
    x = _least_squares(A, double(y), tol) if x is None else x
    return namespace(y).astype(x, y.dtype, copy=True)


def _least_squares(A: Any, y: Array, tol: float) -> Array:
    state, solved = least_squares(A, y, tol, MOST)
    if not solved:
        r = norm(state.r)
        warnings.warn(
            f"{A}.pinv: after {MOST} conjugate-gradient steps ‖A x − y‖ = {r / norm(y):.1e} ‖y‖ and "
            f"‖Aᵀ(A x − y)‖ = {state.gamma**0.5 / (A.norm() * r):.1e} ‖A‖‖A x − y‖, more than tol={tol:g}; "
            "ask for a larger tol, or regularise: solve(L2Squared(y) @ A + …)",
            InexactInverseWarning,
            stacklevel=check.outside(),
        )
    return state.x


def _fbp(A: Any, y: Array) -> Array:
    x = fbp(A, y)

    def defect() -> float:
        found = norm(A.forward(x) - y) / norm(y)
        warnings.warn(
            f"{A}.pinv: filtered back-projection is no pseudo-inverse: for these data ‖A x − y‖ = {found:.1e} ‖y‖; "
            "leave method out for the exact one (this operator will not say it again)",
            InexactInverseWarning,
            stacklevel=check.outside(),
        )
        return found

    if norm(y) > 0:
        remembered(A, "defect of fbp", defect)
    return x
