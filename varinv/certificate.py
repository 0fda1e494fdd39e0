r"""Lower bounds of the optimum from any dual arrays: they are made feasible first.

min_x g(x) + Σ f_i(K_i x) is at least −g*(−v) − Σ f_i*(q_i) with v = Σ K_iᵀ q_i, for all q_i in the domains of the
conjugates.  The iterates of a primal–dual method are not in them.  What is done, in this order:

(a) each q_i is rescaled into its own domain (|s_i| ≤ λ w_i exactly);
(b) g* is evaluated where it is finite: a box, squares with positive weight;
(c) x ≥ 0 only, and a data term whose operator has no negative entry: q' = q + t·1 shifts v by t·c, c = Aᵀ1, until
    v ≥ 0; what remains negative is charged with a proved bound M of the solution; t is the best of that trade;
(d) otherwise a bound M that the caller assumes.

All in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from varinv.backend import Array, is_array, namespace
from varinv.functionals.base import Scaled
from varinv.functionals.constraints import Box
from varinv.functionals.data import KullbackLeibler, L2Squared
from varinv.functionals.sparsity import L1, L21, Huber
from varinv.linalg import dot
from varinv.operators.gradient import Gradient

if TYPE_CHECKING:
    from varinv.problem import Problem


def lower_bound(problem: Problem, x: Array, duals: tuple[Array, ...], primal: float, bound: float | None) -> float:
    """The best lower bound of the optimum these dual arrays prove; −∞ where they prove none.

    `x`, `duals` in float64; `primal` the objective at x; `bound` M assumes |x| ≤ M at the solution.
    """
    terms = problem.coupled
    for t in terms:
        if not (hasattr(t.f, "conj") and hasattr(t.f, "feasible")):
            raise ValueError(f"no certificate: {t.f} has no conjugate; stop with residual(tol) or small_change(tol)")
    duals = tuple(t.f.feasible(q) for t, q in zip(terms, duals, strict=True))
    v = pull(terms, duals, x)
    conjugates = sum((t.f.conj(q) for t, q in zip(terms, duals, strict=True)), start=0.0)
    g = problem.simple
    if g is not None and not hasattr(g, "conj"):
        raise ValueError(f"no certificate: {g} has no conjugate; stop with residual(tol) or small_change(tol)")
    best = -math.inf
    if g is not None:
        best = -g.conj(-v) - conjugates
    if best > -math.inf:
        return float(best)
    if _is_cone(g):
        j = next((j for j, t in enumerate(terms) if _shiftable(t)), None)
        if j is not None:
            best = _shifted(problem, x, duals, v, j, primal)
    if bound is not None:
        best = max(best, -_within(g, bound).conj(-v) - conjugates)
    elif best == -math.inf and (g is None or isinstance(g, Box)) and not (_is_cone(g) and any(map(_shiftable, terms))):
        raise ValueError(
            f"no certificate: nothing bounds the solution of {problem}; add Box(lo, hi), or NonNegative() with a "
            "non-negative operator, or pass gap(tol, bound=M) with an assumed bound |x| ≤ M, or stop with residual(tol)"
        )
    return float(best)


def pull(terms: Any, duals: tuple[Array, ...], x: Array) -> Array:
    """Σ K_iᵀ q_i, shape of x."""
    total = namespace(x).zeros_like(x)
    for t, q in zip(terms, duals, strict=True):
        total = total + t.K.adjoint(q)
    return total


def _is_cone(g: Any) -> bool:
    """Whether g is exactly x ≥ 0."""
    return isinstance(g, Box) and not is_array(g.lo) and not is_array(g.hi) and (g.lo, g.hi) == (0.0, math.inf)


def _shiftable(term: Any) -> bool:
    """A data term that (c) can shift: squares or counts behind an operator without negative entries."""
    f = term.f.f if isinstance(term.f, Scaled) else term.f
    weightless = isinstance(f, L2Squared) and not is_array(f.weight) and f.weight == 0
    return isinstance(f, (L2Squared, KullbackLeibler)) and not weightless and term.K.absolute() is term.K


def _within(g: Any, bound: float) -> Box:
    lo, hi = (-bound, bound) if g is None else (g.lo, g.hi)
    if is_array(lo) or is_array(hi):
        raise ValueError("gap(bound=M) needs numbers as bounds of the box, not arrays")
    return Box(max(lo, -bound), min(hi, bound))


def _shifted(problem: Problem, x: Array, duals: tuple[Array, ...], v: Array, j: int, primal: float) -> float:
    """(c): D(t) = −Σ f*(shifted duals) − Σ_j M_j max(0, −v_j(t)), concave in t; its best value over a search."""
    xp = namespace(x)
    term, q = problem.coupled[j], duals[j]
    f = term.f.f if isinstance(term.f, Scaled) else term.f
    lam = term.f.lam if isinstance(term.f, Scaled) else 1.0
    w = f.weight if isinstance(f, L2Squared) else 1.0
    y, w = (f._parts(q)[0], w) if isinstance(f, L2Squared) else (f.y, w)
    used = xp.where(w > 0, xp.ones_like(q), xp.zeros_like(q)) if is_array(w) else xp.ones_like(q)
    c = term.K.adjoint(used)
    rest = [(t, r) for k, (t, r) in enumerate(zip(problem.coupled, duals, strict=True)) if k != j]
    if any(t.f.conj(0 * r) != 0 for t, r in rest) or lam == 0:
        return -math.inf  # what follows needs terms with infimum 0: then f*(αr) ≤ α f*(r) for α in [0, 1]
    M = _proved_bound([t for t, _ in rest], f, c, used, primal / lam)
    if not math.isfinite(M):
        return -math.inf
    others = sum((t.f.conj(r) for t, r in rest), start=0.0)
    hit = c > 0
    need = float(xp.max(xp.where(hit, -v / xp.where(hit, c, xp.ones_like(c)), xp.zeros_like(v))))
    need = max(need, 0.0)

    if isinstance(f, L2Squared):
        squares = _quadratic(xp, q, y, w, used)

        def value(t: float) -> float:
            a, b = squares(t)  # f*(q + t·1) = a/2 + b
            charge = M * float(xp.sum(xp.maximum(-(v + t * c), xp.zeros_like(v))))
            # the whole dual point may be multiplied by α in [0, 1]: −½α²a − α(b + others + charge)
            slope = b + others + charge
            alpha = min(max(-slope / a, 0.0), 1.0) if a > 0 else (1.0 if slope < 0 else 0.0)
            return -0.5 * alpha**2 * a - alpha * slope
    else:

        def value(t: float) -> float:
            theta = t / (1 + t)
            shifted = term.f.feasible(lam * ((1 - theta) * (q / lam) + theta))
            pulled = (1 - theta) * v + theta * lam * c
            charge = M * float(xp.sum(xp.maximum(-pulled, xp.zeros_like(v))))
            return -term.f.conj(shifted) - (1 - theta) * others - charge

        need = need / lam

    return _maximum(value, need)


def _quadratic(xp: Any, q: Array, y: Any, w: Any, used: Array) -> Any:
    """t ↦ (Σ q'²/w, ⟨q', y⟩) for q' = q + t·1 on the used measurements, from five sums."""
    inverse = xp.where(used > 0, used / xp.where(used > 0, w * used, used + 1.0), 0.0 * q) if is_array(w) else used / w
    y = y if is_array(y) else y * used
    qq, q1, one = dot(q, inverse * q), dot(q, inverse), dot(used, inverse)
    qy, y1 = dot(q, y), dot(used, y)
    return lambda t: (qq + 2 * t * q1 + t * t * one, qy + t * y1)


def _proved_bound(others: list[Any], f: Any, c: Array, used: Array, primal: float) -> float:
    """M ≥ max x at a solution: ⟨c, x⟩ = ⟨1, Ax⟩ is bounded by the data, and a pixel no ray hits may be truncated.

    Least squares: ⟨1, Ax⟩ ≤ ⟨1, y⟩ + √(Σ1/w)·√(2P).  Counts: u − y + y log(y/u) ≥ u/2 − y log 2 for u = Ax + b, so
    ⟨1, Ax⟩ ≤ 2(P + log 2 ⟨1, y⟩).  Pixels with c = 0 are bounded by the others only if the remaining terms do not
    grow under truncation: total variation and ℓ1 do not.
    """
    xp = namespace(c)
    hit = c > 0
    if not bool(xp.any(hit)):
        return math.inf
    if not bool(xp.all(hit)) and not all(map(_truncatable, others)):
        return math.inf
    least = float(xp.min(xp.where(hit, c, xp.full_like(c, math.inf))))
    if isinstance(f, L2Squared):
        w = f.weight
        inverse = dot(used, xp.where(used > 0, 1 / xp.where(used > 0, w + 0 * used, used + 1.0), 0.0 * used))
        y = f.y if is_array(f.y) else f.y * used
        total = dot(used, y) + math.sqrt(inverse * 2 * max(primal, 0.0))
    else:
        total = 2 * (max(primal, 0.0) + math.log(2) * dot(used, f.y))
    return max(total, 0.0) / least


def _truncatable(term: Any) -> bool:
    """Total variation: cutting an image off at a level never raises it."""
    return isinstance(term.f, (L1, L21, Huber)) and isinstance(term.K, Gradient) and term.K.boundary == "neumann"


def _maximum(value: Any, need: float) -> float:
    """The best of a concave function on [0, need]: both ends and a golden-section search."""
    best = max(value(need), value(0.0))
    if need == 0.0:
        return float(best)
    ratio = (math.sqrt(5) - 1) / 2
    lo, hi = 0.0, need
    a, b = hi - ratio * (hi - lo), lo + ratio * (hi - lo)
    fa, fb = value(a), value(b)
    for _ in range(24):
        if fa < fb:
            lo, a, fa = a, b, fb
            b = lo + ratio * (hi - lo)
            fb = value(b)
        else:
            hi, b, fb = b, a, fa
            a = hi - ratio * (hi - lo)
            fa = value(a)
        best = max(best, fa, fb)
    return float(best)
