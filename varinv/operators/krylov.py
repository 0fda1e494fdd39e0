"""Conjugate gradients for least squares, on anything with `forward` and `adjoint`: the formulas of CGLS, once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from varinv.backend import Array, device, namespace
from varinv.linalg import add_scaled, dot, norm

Weigh = Callable[[Array], Array]


class Iterate(NamedTuple):
    """Image x, residual r = y − Ax, direction p, γ = ‖Aᵀ W r‖², the size ‖Aᵀ W y‖ of gradients, λ, the number k.

    λ is the largest ⟨q, W q⟩/⟨p, p⟩ so far, a lower bound of ‖A‖²_W.
    """

    x: Array
    r: Array
    p: Array
    gamma: float
    size: float
    largest: float = 0.0
    k: int = 0


_State = TypeVar("_State", bound=Iterate)


def start(A: Any, y: Array, x: Array, weigh: Weigh = lambda r: r) -> Iterate:
    """The first state of min ½‖A x − y‖²_W from x; `weigh` is r ↦ W r."""
    r = add_scaled(y, -1.0, A.forward(x))
    s = A.adjoint(weigh(r))
    gamma = dot(s, s)
    size = norm(A.adjoint(weigh(y)))
    return Iterate(x, r, s, gamma, size if size > 0 else math.sqrt(gamma))


def step(A: Any, s: _State, weigh: Weigh = lambda r: r) -> _State:
    """One step of CGLS (Björck 1996, Algorithm 7.4.1); solved to rounding, the state stays as it is."""
    rounding = (16 * float(namespace(s.x).finfo(s.x.dtype).eps)) ** 2 * s.largest * dot(s.r, weigh(s.r))
    if s.gamma <= rounding:  # solved: further steps would follow rounding, and diverge
        return s._replace(k=s.k + 1)
    q = A.forward(s.p)
    curved = dot(q, weigh(q))
    if curved <= 0:
        return s._replace(k=s.k + 1)
    alpha = s.gamma / curved
    x, r = add_scaled(s.x, alpha, s.p), add_scaled(s.r, -alpha, q)
    slope = A.adjoint(weigh(r))
    gamma = dot(slope, slope)
    largest = max(s.largest, curved / dot(s.p, s.p))
    p = add_scaled(slope, gamma / s.gamma, s.p)
    return s._replace(x=x, r=r, p=p, gamma=gamma, largest=largest, k=s.k + 1)


def least_squares(A: Any, y: Array, tol: float, most: int) -> tuple[Iterate, bool]:
    """(state, whether solved): from zero, until the solution is exact for data or an operator changed by `tol`.

    ‖r‖ ≤ tol (‖y‖ + ‖A‖‖x‖) or ‖Aᵀr‖ ≤ tol ‖A‖‖r‖ (Paige & Saunders 1982, rules 1 and 2), or after `most` steps.
    """
    size, bound = norm(y), A.norm()

    def solved(s: Iterate) -> bool:
        r = norm(s.r)
        return bool(r <= tol * (size + bound * norm(s.x)) or s.gamma <= (tol * bound * r) ** 2)

    xp = namespace(y)
    s = start(A, y, xp.zeros(A.domain, dtype=y.dtype, device=device(y)))
    while not (done := solved(s)) and s.k < most:
        s = step(A, s)
    return s, done
