"""How far a primal–dual pair is from solving a problem: the residual that primal–dual solvers share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from varinv.backend import Array, double, is_array, namespace
from varinv.fused.table import moved_of
from varinv.fused.variation import pulled
from varinv.linalg import add_scaled, distance, dot, norm

FLAT = 1e-4  # of ‖K‖‖x‖: far below what ∇x of a picture with anything in it is, 1e8 above the rounding of a level


def relative_residual(
    problem: Any,
    x: Array,
    y: Sequence[Array],
    p: Array,
    tau: Any,
    d: Iterable[Array],
    sigma: Sequence[Any],
    alone: bool = False,
) -> float:
    """max(‖p‖/√Σ‖K_iᵀy_i‖², ‖d‖/‖Kx‖) for p in ∂g(x) + Kᵀy and d_i in ∂f_i*(y_i) − K_i x, in float64.

    Blocks of d are weighted by σ_i (numbers or arrays), so that units cancel.  The terms of Kᵀy count one by one, as
    they cancel at a solution where g is flat; with one term `alone`, y counts as at least σKx (no
    more than LKx where ∇f has the constant L, no more than ‖K‖‖y‖ where f is not smooth: a σ that is far too large must
    not hide p), and where all that vanishes ‖p‖ is measured by ‖x‖/τ.

    A p of 0 says that x did not move, perhaps because the step was below its rounding: it is taken again in float64
    with a longer step (any step has its zeros at the solutions), and counts above √eps‖K‖‖y‖, eps of the dtype of y:
    below, an image that has settled to its last bit is as good as its rounding allows.  Kx counts as at least
    FLAT·‖K‖‖x‖ (the largest of these): at an image without edges ∇x is nothing but rounding, and so is d.
    """
    terms, x, size, above, below = problem.coupled, double(x), 0.0, 0.0, 0.0
    still, v = dot(p, p) == 0, None
    for t, a, rest, s in zip(terms, y, d, sigma, strict=True):
        Kx = t.K.forward(x)
        above, below = above + dot(s * rest, rest), below + dot(s * Kx, Kx)
        pulled = t.K.adjoint(double(a))
        size += dot(pulled, pulled)
        if still:
            v = pulled if v is None else add_scaled(v, 1.0, pulled)
        if alone and len(terms) == 1:
            size += min(norm(t.K.adjoint(s * Kx)), _largest_dual(t, Kx, a)) ** 2
    if v is not None:
        again, eps = _moved(problem.simple, x, v, tau), float(namespace(x).finfo(y[0].dtype).eps)
        largest = sum((t.K.norm() * norm(a)) ** 2 for t, a in zip(terms, y, strict=True))
        p = again if dot(again, again) > eps * largest else p
    flat = max((_top(s) * t.K.norm() ** 2 for t, s in zip(terms, sigma, strict=True)), default=0.0)
    below = max(below, FLAT**2 * flat * dot(x, x))
    return max(ratio(dot(p, p), size or dot(x / tau, x / tau)), ratio(above, below))


def _top(s: Any) -> float:
    return float(namespace(s).max(s)) if is_array(s) else float(s)


def _moved(g: Any, x: Array, v: Array, tau: Any) -> Array:
    """(x − prox_{τg}(x − τv))/τ in float64, τ so large that √eps of x moves."""
    xp, length = namespace(x), norm(v)
    if length > 0:
        least = math.sqrt(float(xp.finfo(x.dtype).eps)) * norm(x) / length
        tau = xp.where(tau > least, tau, least) if is_array(tau) else max(tau, least)
    back = x - tau * v
    return (x - (back if g is None else g.prox(back, tau))) / tau


def _largest_dual(term: Any, Kx: Array, y: Array) -> float:
    L = term.f.smoothness
    return float(term.K.norm() * (L * norm(Kx) if 0 < L < math.inf else norm(y)))


def natural_residual(problem: Any, x: Array, y: Sequence[Array], tau: float, sigma: Sequence[float]) -> float:
    """`relative_residual` of any pair, from its own proximal steps, at the price of one K and one Kᵀ of every term.

    p = (x − prox_{τg}(x − τKᵀy))/τ and d_i = (y_i − prox_{σ_i f_i*}(y_i + σ_i K_i x))/σ_i, which vanish exactly at the
    solutions; for iterations that leave no subgradients behind.  `alone` where all operators but one are zero.
    """
    terms = problem.coupled
    v, own, size, above, below, several = None, False, 0.0, 0.0, 0.0, 0
    for t, a, s in zip(terms, y, sigma, strict=True):
        # fields go as soon as they can: here a run holds the most
        fused = moved_of(t.f, t.K, a, x, s)
        if fused is not None:
            away, long = fused
        else:
            Kx = t.K.forward(double(x))
            long = dot(Kx, Kx)
            Kx = add_scaled(double(a), s, Kx)
            away = distance(a, t.f.prox_conj(Kx, s)) ** 2
            Kx = None
        above, below, several = above + away / s, below + s * long, several + (long > 0)
        more, new = pulled(t.K, a)
        size += dot(more, more)
        if v is None:
            v, own = more, new
        elif own or new:  # one of them is ours
            v, more = (v, more) if own else (more, v)
            v += more
            own = True
        else:
            v, own = add_scaled(v, 1.0, more), True
        more = None
    if several < 2 and sum(t.K.norm() > 0 for t in terms) == 1:  # norms may cost much
        size += sum(norm(t.K.adjoint(s * t.K.forward(double(x)))) ** 2 for t, s in zip(terms, sigma, strict=True))
    back = x if v is None else add_scaled(x, -tau, v)
    v = None
    moved = distance(x, back if problem.simple is None else problem.simple.prox(back, tau))
    return max(ratio((moved / tau) ** 2, size or dot(x, x) / tau**2), ratio(above, below))


def ratio(a: float, b: float) -> float:
    """√(a/b), 0 for 0/0."""
    return math.sqrt(a / b) if b > 0 else (0.0 if a == 0 else math.inf)
