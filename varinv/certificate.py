r"""Lower bounds of the optimum from any dual arrays: they are made feasible first.

min_x g(x) + Σ f_i(K_i x) is at least −g*(−v) − Σ f_i*(q_i) with v = Σ K_iᵀ q_i, for all q_i in the domains of the
conjugates.  The iterates of a primal–dual method are not in them.  What is done, in this order:

(a) each q_i is rescaled into its own domain (|s_i| ≤ λ w_i exactly);
(b) g* is evaluated where it is finite: a box, squares with positive weight;
(c) x ≥ lo ≥ 0 without an upper bound somewhere, and a data term whose operator has no negative entry: q' = q + t·1
    shifts v by t·c, c = Aᵀ1; what remains negative is charged with a proved bound of ⟨c, x⟩ at the solution; t is the
    best of that trade;
(d) any other g with g*(0) finite (ℓ1, squares with zero weights): the whole dual point times the best α in [0, 1];
(e) otherwise a bound M that the caller assumes.

All in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from varinv.backend import Array, is_array, namespace
from varinv.functionals.base import Scaled
from varinv.functionals.charbonnier import Charbonnier
from varinv.functionals.constraints import Box
from varinv.functionals.data import KullbackLeibler, L2Squared
from varinv.functionals.joint import _intersection
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
    best = -math.inf if g is None else -g.conj(-v) - conjugates
    if best > -math.inf and g is not None and not _open(g):
        return float(best)
    if g is not None and not isinstance(g, Box):
        if not math.isfinite(g.conj(0 * v)):
            raise ValueError(f"no certificate: the conjugate of {g} is not known; stop with residual(tol)")
        return _shrunk(problem, duals, v)
    j = next((j for j, t in enumerate(terms) if _shiftable(t)), None) if _above_zero(g) else None
    shifted = None if j is None else _shifted(problem, x, duals, v, j, primal)
    if shifted is None and bound is None:
        raise ValueError(
            f"no certificate: nothing bounds the solution of {problem}; add Box(lo, hi), or NonNegative() with a "
            "non-negative operator, or pass gap(tol, bound=M) with an assumed bound |x| ≤ M, or stop with residual(tol)"
        )
    best = best if shifted is None else max(best, shifted)
    return float(best if bound is None else max(best, -_within(g, bound).conj(-v) - conjugates))


def pull(terms: Any, duals: tuple[Array, ...], x: Array) -> Array:
    """Σ K_iᵀ q_i, shape of x."""
    total = namespace(x).zeros_like(x)
    for t, q in zip(terms, duals, strict=True):
        total = total + t.K.adjoint(q)
    return total


def _open(g: Any) -> bool:
    """Whether g is a box that is unbounded somewhere."""
    ends = (g.lo, g.hi) if isinstance(g, Box) else ()
    return any(bool(namespace(b).any(abs(b) == math.inf)) if is_array(b) else math.isinf(b) for b in ends)


def _is_cone(g: Any) -> bool:
    """Whether g is exactly x ≥ 0."""
    return isinstance(g, Box) and not is_array(g.lo) and not is_array(g.hi) and (g.lo, g.hi) == (0.0, math.inf)


def _above_zero(g: Any) -> bool:
    """Whether g is a box that holds x above 0."""
    if not isinstance(g, Box):
        return False
    return bool(namespace(g.lo).min(g.lo) >= 0) if is_array(g.lo) else g.lo >= 0


def _shiftable(term: Any) -> bool:
    """A data term that (c) can shift: squares or counts behind an operator without negative entries."""
    f = term.f.f if isinstance(term.f, Scaled) else term.f
    weightless = isinstance(f, L2Squared) and not is_array(f.weight) and f.weight == 0
    return isinstance(f, (L2Squared, KullbackLeibler)) and not weightless and term.K.absolute() is term.K


def _within(g: Any, bound: float) -> Box:
    assumed = Box(-bound, bound)
    return assumed if g is None else _intersection([g, assumed])


def _shrunk(problem: Problem, duals: tuple[Array, ...], v: Array) -> float:
    """(d): D(α) = −g*(−αv) − Σ f*(αq), concave in α and finite at 0; its best value over a search."""

    def value(alpha: float) -> float:
        conjugates = (t.f.conj(alpha * q) for t, q in zip(problem.coupled, duals, strict=True))
        return float(-problem.simple.conj(-alpha * v) - sum(conjugates, start=0.0))  # type: ignore[union-attr]

    inside, outside = 0.0, 1.0
    for _ in range(30):  # the largest α for which it is finite
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if value(middle) > -math.inf else (inside, middle)
    return _maximum(value, inside)


def _shifted(problem: Problem, x: Array, duals: tuple[Array, ...], v: Array, j: int, primal: float) -> float | None:
    """(c): the best D(t) = −Σ f*(shifted duals) − charge(t) over a search; None where nothing bounds the solution.

    A solution has x ≥ 0 and ⟨c, x⟩ ≤ T, so that ⟨v, x⟩ ≥ −T·max over c_j > 0 of max(0, −v_j/c_j).  Pixels with c_j = 0,
    which the data do not see, may be cut off at the level of the others, T/min c, where no other term grows by that.
    Pixels with an upper bound are not charged: they contribute min(lo v, hi v), others with a lower bound lo v.
    """
    xp = namespace(x)
    term, q = problem.coupled[j], duals[j]
    f, lam = (term.f.f, term.f.lam) if isinstance(term.f, Scaled) else (term.f, 1.0)
    if isinstance(f, L2Squared):
        f, lam = f.scale(lam), 1.0
    y, w = f._parts(q)[0], f.weight if isinstance(f, L2Squared) else 1.0
    used = xp.where(w > 0, xp.ones_like(q), xp.zeros_like(q)) if is_array(w) else xp.ones_like(q)
    pulled = problem.__dict__.setdefault("_pulled", {})  # c is the same in every evaluation
    c = pulled[j] if j in pulled else pulled.setdefault(j, term.K.adjoint(used))
    g: Any = problem.simple
    lo, hi = g._bounds(x)
    open_ = hi + xp.zeros_like(x) == math.inf
    plain = _is_cone(g)
    hit = (c > 0) & open_
    rest = [(t, r) for k, (t, r) in enumerate(zip(problem.coupled, duals, strict=True)) if k != j]
    # what follows needs terms with infimum 0: then f*(αr) ≤ α f*(r) for α in [0, 1]; f*(0) = −inf f is taken off first
    lifted = sum((t.f.conj(0 * r) for t, r in rest), start=0.0)
    if lam == 0 or not math.isfinite(lifted):
        return None
    primal += lifted
    if not bool(xp.any(hit)) or not (bool(xp.all(hit | ~open_)) or (plain and all(_truncatable(t) for t, _ in rest))):
        return None
    if not math.isfinite(primal):
        return -math.inf
    T = _total(f, y, w, used, primal / lam)
    others = sum((t.f.conj(r) for t, r in rest), start=-lifted)
    need = float(xp.max(xp.where(hit, -v / xp.where(hit, c, xp.ones_like(c)), xp.full_like(v, -math.inf))))
    zero = xp.zeros_like(v)
    unseen = float(xp.sum(xp.where(hit | ~open_, zero, xp.maximum(-v, zero))))
    unseen *= T / float(xp.min(xp.where(hit, c, xp.full_like(c, math.inf))))
    top = xp.where(open_, lo + zero, hi)

    def held(u: Array) -> float:  # the least ⟨u, x⟩ between the bounds, open ones at their lower end
        return 0.0 if plain else float(xp.sum(xp.minimum(lo * u, top * u)))

    if isinstance(f, L2Squared):
        squares = _quadratic(xp, q, y, w, used)

        def value(t: float) -> float:
            a, b = squares(t)  # f*(q + t·1) = a/2 + b
            # the whole dual point may be multiplied by α in [0, 1]: −½α²a − α(b + others + charge)
            slope = b + others + T * max(need - t, 0.0) + unseen - held(v + t * c)
            alpha = min(max(-slope / a, 0.0), 1.0) if a > 0 else (1.0 if slope < 0 else 0.0)
            return float(-0.5 * alpha**2 * a - alpha * slope)

        return _maximum(value, max(need, 0.0)) - lifted

    def value_counts(t: float) -> float:
        theta = t / (1 + t)  # the dual point (1−θ)(q, r) + θ(λ1, 0): inside the domain, which is q ≤ λ
        charge = T * max((1 - theta) * need - theta * lam, 0.0) + (1 - theta) * unseen
        charge -= held((1 - theta) * v + theta * lam * c)
        return float(-term.f.conj(lam * ((1 - theta) * (q / lam) + theta)) - (1 - theta) * others - charge)

    return _maximum(value_counts, max(need, 0.0) / lam) - lifted


def _quadratic(xp: Any, q: Array, y: Any, w: Any, used: Array) -> Any:
    """t ↦ (Σ q'²/w, ⟨q', y⟩) for q' = q + t·1 on the used measurements, from five sums."""
    inverse = _inverse(xp, w, used)
    y = y if is_array(y) else y * used
    qq, q1, one = dot(q, inverse * q), dot(q, inverse), dot(used, inverse)
    qy, y1 = dot(q, y), dot(used, y)
    return lambda t: (qq + 2 * t * q1 + t * t * one, qy + t * y1)


def _inverse(xp: Any, w: Any, used: Array) -> Array:
    """1/w on the used measurements, 0 on the others."""
    return used / xp.where(used > 0, w * used, xp.ones_like(used)) if is_array(w) else used / w


def _total(f: Any, y: Any, w: Any, used: Array, primal: float) -> float:
    """T ≥ ⟨c, x⟩ = ⟨1, Ax⟩ at a solution, from the value P of f at any point.

    Least squares: ⟨1, Ax⟩ ≤ ⟨1, y⟩ + √(Σ1/w)·√(2P) (Cauchy–Schwarz).  Counts: u − y + y log(y/u) ≥ u/2 − y log 2 for
    u = Ax + b, so ⟨1, Ax⟩ ≤ 2(P + log 2 ⟨1, y⟩).
    """
    if not isinstance(f, L2Squared):
        return 2 * (max(primal, 0.0) + math.log(2) * dot(used, y))
    inverse = dot(used, _inverse(namespace(used), w, used))
    return max(dot(used, y if is_array(y) else y * used) + math.sqrt(inverse * 2 * max(primal, 0.0)), 0.0)


def _truncatable(term: Any) -> bool:
    """Total variation: cutting an image off at a level never raises it."""
    y = getattr(term.f, "y", 0.0)  # L1 of differences from y: cutting off may raise those
    growing = isinstance(term.f, (L1, L21, Huber, Charbonnier)) and not is_array(y) and y == 0
    return growing and isinstance(term.K, Gradient) and term.K.boundary == "neumann"


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
