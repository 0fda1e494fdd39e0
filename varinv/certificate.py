r"""Lower bounds of the optimum from any dual arrays: they are made feasible first.

min_x g(x) + Σ f_i(K_i x) is at least −g*(−v) − Σ f_i*(q_i) with v = Σ K_iᵀ q_i, for all q_i in the domains of the
conjugates.  The iterates of a primal–dual method are not in them.  What is done, in this order:

(a) each q_i is rescaled into its own domain (|s_i| ≤ λ w_i exactly);
(a') over x ≥ 0 the dual of a total variation first takes up what it can of min(v, 0) (`certificate_repair`);
(b) g* is evaluated where it is finite: a box, squares with positive weight;
(c) x ≥ lo ≥ 0 without an upper bound somewhere, and a data term whose operator has no negative entry: q' = q + t·1
    shifts v by t·c, c = Aᵀ1; what remains negative is charged with a proved bound of ⟨c, x⟩ at the solution; t is the
    best of that trade;
(d) any other g with g*(0) finite (ℓ1, squares with zero weights): the whole dual point times the best α in [0, 1];
(e) otherwise a bound M that the caller assumes.

All in float64.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from varinv.backend import Array, device, double, is_array, namespace
from varinv.certificate_repair import can_repair, repaired
from varinv.functionals.base import Scaled
from varinv.functionals.charbonnier import Charbonnier
from varinv.functionals.constraints import Box
from varinv.functionals.data import KullbackLeibler, L2Squared
from varinv.functionals.sparsity import L1, L21, Huber
from varinv.joint import _intersection
from varinv.linalg import add_scaled, dot
from varinv.operators.gradient import Gradient
from varinv.roots import best_of_concave

if TYPE_CHECKING:
    from varinv.problem import Problem


def lower_bound(problem: Problem, x: Array, duals: tuple[Array, ...], primal: float, bound: float | None) -> float:
    """The best lower bound of the optimum these dual arrays prove, in float64; −∞ where they prove none.

    `primal` is the objective at x; `bound` M assumes |x| ≤ M at the solution.
    """
    terms = problem.coupled
    for t in terms:
        if not (hasattr(t.f, "conj") and hasattr(t.f, "feasible")):
            raise ValueError(f"no certificate: {t.f} has no conjugate; stop with residual(tol) or small_change(tol)")
    parts, v = _summed(problem, duals, x)
    conjugates = sum((p.conj for p in parts), start=0.0)
    g = problem.simple
    if g is not None and not hasattr(g, "conj"):
        raise ValueError(f"no certificate: {g} has no conjugate; stop with residual(tol) or small_change(tol)")
    best = -math.inf if g is None else -_conj_minus(g, v) - conjugates
    if best > -math.inf and g is not None and not _open(g):
        return float(best)
    if g is not None and not isinstance(g, Box):
        if not math.isfinite(g.conj(0 * v)):
            raise ValueError(f"no certificate: the conjugate of {g} is not known; stop with residual(tol)")
        return _shrunk(problem, parts, v)
    j = next((j for j, t in enumerate(terms) if _shiftable(t)), None) if _above_zero(g) else None
    shifted = None if j is None else _shifted(problem, parts, v, j, primal)
    if shifted is None and bound is None:
        raise ValueError(
            f"no certificate: nothing bounds the solution of {problem}; add Box(lo, hi), or NonNegative() with a "
            "non-negative operator, or pass gap(tol, bound=M) with an assumed bound |x| ≤ M, or stop with residual(tol)"
        )
    best = best if shifted is None else max(best, shifted)
    return float(best if bound is None else max(best, -_within(g, bound).conj(-v) - conjugates))


def _summed(problem: Problem, duals: tuple[Array, ...], x: Array) -> tuple[list[Part], Array]:
    """The terms at feasible duals, and v = Σ K_iᵀ q_i in float64; over x ≥ 0 a total variation comes last: (a')."""
    terms, xp = problem.coupled, namespace(x)
    parts: list[Any] = [None for _ in terms]
    last = next((i for i, t in enumerate(terms) if can_repair(t)), None) if is_cone(problem.simple) else None
    v: Any = None
    ours = False  # whether v may be written to
    for i in sorted(range(len(terms)), key=lambda i: (i == last, not hasattr(terms[i].f, "pull"))):
        q = duals[i] if i != last or v is None else repaired(terms[i], duals[i], v)
        p = parts[i] = Part(terms[i], q)
        pulled = p.take()
        if v is None:
            v, ours = pulled, p.fused
        elif ours:
            v += pulled
        else:
            v, ours = add_scaled(pulled, 1.0, v), True
    return parts, xp.zeros(x.shape, dtype=xp.float64, device=device(x)) if v is None else v


def _conj_minus(g: Any, v: Array) -> float:
    """g*(−v)."""
    if is_cone(g):
        return 0.0 if float(namespace(v).min(v)) >= 0 else math.inf
    return float(g.conj(-v))


class Part:
    """One term at a dual point q', q made feasible: f*(q'), Kᵀq' (taken once), q' itself where it is asked for."""

    def __init__(self, term: Any, q: Array) -> None:
        self.term, self.given = term, q
        fused = term.f.pull(term.K, q) if hasattr(term.f, "pull") else None
        self.fused = fused is not None
        self.pulled: Any
        self.pulled, self.conj = fused or (term.K.adjoint(self.q), term.f.conj(self.q))

    def take(self) -> Array:
        pulled, self.pulled = self.pulled, None
        return pulled

    @functools.cached_property
    def q(self) -> Array:
        result: Array = self.term.f.feasible(double(self.given))
        return result

    @functools.cached_property
    def at_zero(self) -> float:
        """f*(0) = −inf f."""
        return 0.0 if self.fused else float(self.term.f.conj(0 * self.q))


def _open(g: Any) -> bool:
    """Whether g is a box that is unbounded somewhere."""
    ends = (g.lo, g.hi) if isinstance(g, Box) else ()
    return any(bool(namespace(b).any(abs(b) == math.inf)) if is_array(b) else math.isinf(b) for b in ends)


def is_cone(g: Any) -> bool:
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


def _shrunk(problem: Problem, parts: list[Part], v: Array) -> float:
    """(d): D(α) = −g*(−αv) − Σ f*(αq), concave in α and finite at 0; its best value over a search."""

    def value(alpha: float) -> float:
        conjugates = (p.term.f.conj(alpha * p.q) for p in parts)
        return float(-problem.simple.conj(-alpha * v) - sum(conjugates, start=0.0))  # type: ignore[union-attr]

    inside, outside = 0.0, 1.0
    for _ in range(30):  # the largest α for which it is finite
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if value(middle) > -math.inf else (inside, middle)
    return best_of_concave(value, inside)


def _shifted(problem: Problem, parts: list[Part], v: Array, j: int, primal: float) -> float | None:
    """(c): the best D(t) = −Σ f*(shifted duals) − charge(t) over a search; None where nothing bounds the solution.

    A solution has x ≥ 0 and ⟨c, x⟩ ≤ T, so that ⟨v, x⟩ ≥ −T·max over c_j > 0 of max(0, −v_j/c_j).  Pixels with c_j = 0,
    which the data do not see, may be cut off at the level of the others, T/min c, where no other term grows by that.
    Pixels with an upper bound are not charged: they contribute min(lo v, hi v), others with a lower bound lo v.
    """
    xp = namespace(v)
    term, q = parts[j].term, parts[j].q
    f, lam = (term.f.f, term.f.lam) if isinstance(term.f, Scaled) else (term.f, 1.0)
    if isinstance(f, L2Squared):
        f, lam = f.scale(lam), 1.0
    y, w = f._parts(q)[0], f.weight if isinstance(f, L2Squared) else 1.0
    used = xp.where(w > 0, xp.ones_like(q), xp.zeros_like(q)) if is_array(w) else None
    g: Any = problem.simple
    plain = is_cone(g)
    rest = [p for k, p in enumerate(parts) if k != j]
    # what follows needs terms with infimum 0: then f*(αr) ≤ α f*(r) for α in [0, 1]; f*(0) = −inf f is taken off first
    lifted = sum((p.at_zero for p in rest), start=0.0)
    if lam == 0 or not math.isfinite(lifted):
        return None
    primal += lifted
    seen = _columns(problem, j, used, q, parts[j].given.dtype)
    if seen is None or (seen.missing is not None and not (plain and all(_truncatable(p.term) for p in rest))):
        return None
    if not math.isfinite(primal):
        return -math.inf
    T = _total(f, y, w, used, q, primal / lam)
    others = sum((p.conj for p in rest), start=-lifted)
    need = max(0.0, -float(xp.min(v * seen.inverse)))
    unseen = 0.0
    if seen.missing is not None:
        unseen = float(xp.sum(xp.where(seen.missing, xp.maximum(-v, xp.zeros_like(v)), 0.0))) * T / seen.least
    if not plain:
        lo, hi = g._bounds(v)
        top = xp.where(hi + xp.zeros_like(v) == math.inf, lo + xp.zeros_like(v), hi)

    def held(a: float, b: float) -> float:  # the least ⟨av + bc, x⟩ between the bounds, open ones at their lower end
        return 0.0 if plain else float(xp.sum(xp.minimum(lo * (u := a * v + b * seen.c), top * u)))

    if isinstance(f, L2Squared):
        squares = _quadratic(q, y, w, used)

        def value(t: float) -> float:
            a, b = squares(t)  # f*(q + t·1) = a/2 + b
            # the whole dual point may be multiplied by α in [0, 1]: −½α²a − α(b + others + charge)
            slope = b + others + T * max(need - t, 0.0) + unseen - held(1.0, t)
            alpha = min(max(-slope / a, 0.0), 1.0) if a > 0 else (1.0 if slope < 0 else 0.0)
            return float(-0.5 * alpha**2 * a - alpha * slope)

        return best_of_concave(value, need) - lifted

    def value_counts(t: float) -> float:
        theta = t / (1 + t)  # the dual point (1−θ)(q, r) + θ(λ1, 0): inside the domain, which is q ≤ λ
        charge = T * max((1 - theta) * need - theta * lam, 0.0) + (1 - theta) * unseen
        charge -= held(1 - theta, theta * lam)
        return float(-term.f.conj(lam * ((1 - theta) * (q / lam) + theta)) - (1 - theta) * others - charge)

    return best_of_concave(value_counts, need / lam) - lifted


class _Columns(NamedTuple):
    """c = Aᵀ1 (None where x ≥ 0 is all that is asked), 1/c from above, least c; open pixels with c = 0, if any."""

    c: Any
    inverse: Array
    least: float
    missing: Any


def _columns(problem: Problem, j: int, used: Any, q: Array, dtype: Any) -> _Columns | None:
    """The same in every evaluation, so remembered; None where no pixel without an upper bound is seen."""
    known: dict[int, _Columns | None] = problem.__dict__.setdefault("_pulled", {})
    if j not in known:
        xp, g = namespace(q), problem.simple
        c = problem.coupled[j].K.adjoint(xp.ones_like(q) if used is None else used)
        open_ = g._bounds(c)[1] + xp.zeros_like(c) == math.inf  # type: ignore[union-attr]
        hit = (c > 0) & open_
        known[j] = None
        if bool(xp.any(hit)):
            above = xp.where(hit, (1 + 4 * float(xp.finfo(dtype).eps)) / xp.where(hit, c, 1.0), 0.0)
            missing = None if bool(xp.all(hit | ~open_)) else ~hit & open_
            least = float(xp.min(xp.where(hit, c, xp.full_like(c, math.inf))))
            known[j] = _Columns(None if is_cone(g) else c, xp.astype(above, dtype), least, missing)
    return known[j]


def _quadratic(q: Array, y: Any, w: Any, used: Any) -> Any:
    """t ↦ (Σ q'²/w, ⟨q', y⟩) for q' = q + t·1 on the used measurements, from five sums."""
    if used is None:
        qq, q1, one = dot(q, q) / w, _sum(q) / w, math.prod(q.shape) / w
    else:
        inverse = _inverse(w, used)
        qq, q1, one = dot(q, inverse * q), dot(q, inverse), dot(used, inverse)
    qy, y1 = dot(q, y) if is_array(y) else y * _sum(q if used is None else q * used), _sum_used(y, used, q)
    return lambda t: (qq + 2 * t * q1 + t * t * one, qy + t * y1)


def _sum(a: Array) -> float:
    xp = namespace(a)
    return float(xp.sum(a, dtype=xp.float64))


def _sum_used(y: Any, used: Any, q: Array) -> float:
    """⟨1, y⟩ on the used measurements."""
    if used is None:
        return _sum(y) if is_array(y) else y * math.prod(q.shape)
    return dot(used, y) if is_array(y) else y * _sum(used)


def _inverse(w: Array, used: Array) -> Array:
    """1/w on the used measurements, 0 on the others."""
    return used / namespace(used).where(used > 0, w * used, namespace(used).ones_like(used))


def _total(f: Any, y: Any, w: Any, used: Any, q: Array, primal: float) -> float:
    """T ≥ ⟨c, x⟩ = ⟨1, Ax⟩ at a solution, from the value P of f at any point.

    Least squares: ⟨1, Ax⟩ ≤ ⟨1, y⟩ + √(Σ1/w)·√(2P) (Cauchy–Schwarz).  Counts: u − y + y log(y/u) ≥ u/2 − y log 2 for
    u = Ax + b, so ⟨1, Ax⟩ ≤ 2(P + log 2 ⟨1, y⟩).
    """
    total = _sum_used(y, used, q)
    if not isinstance(f, L2Squared):
        return 2 * (max(primal, 0.0) + math.log(2) * total)
    inverse = math.prod(q.shape) / w if used is None else dot(used, _inverse(w, used))
    return max(total + math.sqrt(inverse * 2 * max(primal, 0.0)), 0.0)


def _truncatable(term: Any) -> bool:
    """Total variation: cutting an image off at a level never raises it."""
    y = getattr(term.f, "y", 0.0)  # L1 of differences from y: cutting off may raise those
    growing = isinstance(term.f, (L1, L21, Huber, Charbonnier)) and not is_array(y) and y == 0
    return growing and isinstance(term.K, Gradient) and term.K.boundary == "neumann"
