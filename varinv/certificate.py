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
from typing import Any, NamedTuple

from varinv.backend import Array, device, double, is_array, namespace
from varinv.capabilities import lost
from varinv.certificate_repair import can_repair, repaired
from varinv.forms import INF, Differences, Quadratic, quadratic
from varinv.fused.table import find, pull_of
from varinv.linalg import add_scaled
from varinv.memory import remembered
from varinv.roots import best_of_concave


def lower_bound(problem: Any, x: Array, duals: tuple[Array, ...], primal: float, bound: float | None) -> float:
    """The best lower bound of the optimum these dual arrays prove, in float64; −∞ where they prove none.

    `primal` is the objective at x; `bound` M assumes |x| ≤ M at the solution.
    """
    terms, g = problem.coupled, problem.simple
    for f in (*(t.f for t in terms), *(() if g is None else (g,))):
        if not hasattr(f, "conj"):
            raise NoCertificate(
                f"no certificate: {f} has no conjugate{lost(f, 'conj')}; stop with residual(tol) or small_change(tol)"
            )
    parts, v = _summed(problem, duals, x)
    conjugates = sum((p.conj for p in parts), start=0.0)
    best = -INF if g is None else -_conj_minus(g, v) - conjugates
    box = _box(g)
    if best > -INF and g is not None and not _open(box):
        return float(best)
    if g is not None and box is None:
        if not math.isfinite(g.conj(0 * v)):
            raise NoCertificate(
                f"no certificate: the conjugate of {g} is not known{lost(g, 'form')}; stop with residual(tol) or, if "
                "it is a box or least squares, give it a method form() that says so"
            )
        return _shrunk(problem, parts, v)
    j = next((j for j, t in enumerate(terms) if _shiftable(t)), None) if _above_zero(box) else None
    shifted = None if j is None else _shifted(problem, parts, v, j, primal)
    if shifted is None and bound is None:
        raise NoCertificate(
            f"no certificate: nothing bounds the solution of {problem}; add Box(lo, hi), or NonNegative() with a "
            "non-negative operator, or pass gap(tol, bound=M) with an assumed bound |x| ≤ M, or stop with residual(tol)"
            + _missing(problem, box)
        )
    best = best if shifted is None else max(best, shifted)
    return float(best if bound is None else max(best, -_within(box, bound).conj_box(-v) - conjugates))


class NoCertificate(ValueError):
    """No lower bound of this problem is known; the message says what is missing."""


def _missing(problem: Any, box: Quadratic | None) -> str:
    """Which method of a data term would give the proof, where that is all that is missing."""
    if not _above_zero(box):
        return ""
    for t in problem.coupled:
        if t.K.absolute() is t.K and t.f.data() is not None and quadratic(t.f) is None and not hasattr(t.f, "lifted"):
            name = type(t.f).__name__
            words = "With x ≥ 0 a method form() of {0} gives the proof, or its total(value) and lifted(q, price, need)"
            return f". {words.format(name)}"
    return ""


def _summed(problem: Any, duals: tuple[Array, ...], x: Array) -> tuple[list[Part], Array]:
    """The terms at feasible duals, and v = Σ K_iᵀ q_i in float64; over x ≥ 0 a total variation comes last: (a')."""
    terms, xp = problem.coupled, namespace(x)
    parts: list[Any] = [None for _ in terms]
    last = next((i for i, t in enumerate(terms) if can_repair(t)), None) if _cone(problem.simple) else None
    v: Any = None
    ours = False  # whether v may be written to
    for i in sorted(range(len(terms)), key=lambda i: (i == last, find("pull", terms[i].f, terms[i].K) is None)):
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
    if _cone(g):
        return 0.0 if float(namespace(v).min(v)) >= 0 else math.inf
    return float(g.conj(-v))


class Part:
    """One term at a dual point q', q made feasible: f*(q'), Kᵀq' (taken once), q' itself where it is asked for."""

    def __init__(self, term: Any, q: Array) -> None:
        self.term, self.given = term, q
        fused = pull_of(term.f, term.K, q)
        self.fused = fused is not None
        self.pulled: Any
        self.conj: float
        self.pulled, self.conj = fused or (term.K.adjoint(self.q), term.f.conj(self.q))

    def take(self) -> Array:
        pulled, self.pulled = self.pulled, None
        return pulled

    @functools.cached_property
    def q(self) -> Array:
        return feasible(self.term.f, double(self.given))

    @functools.cached_property
    def at_zero(self) -> float:
        """f*(0) = −inf f."""
        return 0.0 if self.fused else float(self.term.f.conj(0 * self.q))


def feasible(f: Any, y: Array) -> Array:
    """A point of the domain of f* near y: what f says; else y itself or a short proximal step, drawn in a little."""
    if hasattr(f, "feasible"):
        return f.feasible(y)
    if math.isfinite(f.conj(y)) or not hasattr(f, "prox_conj"):
        return y
    q = f.prox_conj(y, 1e-6 * float(namespace(y).max(abs(y))))
    return q if math.isfinite(f.conj(q)) else (1 - 1e-12) * q  # rounding of a ball around 0


def _box(g: Any) -> Quadratic | None:
    """g as data if it is a box and nothing else; None else."""
    form = quadratic(g)
    return form if form is not None and form.flat else None


def _open(box: Quadratic | None) -> bool:
    """Whether there is a box that is unbounded somewhere."""
    ends = () if box is None else (box.lo, box.hi)
    return any(bool(namespace(b).any(abs(b) == INF)) if is_array(b) else math.isinf(b) for b in ends)


def _cone(g: Any) -> bool:
    """Whether g is exactly x ≥ 0."""
    form = quadratic(g)
    return form is not None and form.cone


def _above_zero(box: Quadratic | None) -> bool:
    """Whether there is a box that holds x above 0."""
    if box is None:
        return False
    return bool(namespace(box.lo).min(box.lo) >= 0) if is_array(box.lo) else box.lo >= 0


def _shiftable(term: Any) -> bool:
    """A data term that (c) can shift, behind an operator without negative entries."""
    form = quadratic(term.f)
    squares = form is not None and not form.flat and not form.boxed
    return (squares or hasattr(term.f, "lifted")) and term.K.absolute() is term.K


def _within(box: Quadratic | None, bound: float) -> Quadratic:
    assumed = Quadratic(lo=-bound, hi=bound)
    return assumed if box is None else box & assumed


def _shrunk(problem: Any, parts: list[Part], v: Array) -> float:
    """(d): D(α) = −g*(−αv) − Σ f*(αq), concave in α and finite at 0; its best value over a search."""

    def value(alpha: float) -> float:
        conjugates = (p.term.f.conj(alpha * p.q) for p in parts)
        return float(-problem.simple.conj(-alpha * v) - sum(conjugates, start=0.0))

    inside, outside = 0.0, 1.0
    for _ in range(30):  # the largest α for which it is finite
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if value(middle) > -math.inf else (inside, middle)
    return best_of_concave(value, inside)


def _shifted(problem: Any, parts: list[Part], v: Array, j: int, primal: float) -> float | None:
    """(c): the best −Σ f*(raised duals) − charge over a search; None where nothing bounds the solution.

    A solution has x ≥ 0 and ⟨c, x⟩ ≤ T, so that ⟨v, x⟩ ≥ −T·max over c_j > 0 of max(0, −v_j/c_j).  Pixels with c_j = 0,
    which the data do not see, may be cut off at the level of the others, T/min c, where no other term grows by that.
    Pixels with an upper bound are not charged: they contribute min(lo v, hi v), others with a lower bound lo v.
    The data term knows T (`total`) and finds the best of its raised duals (`lifted`), here their price.
    """
    xp = namespace(v)
    term, q = parts[j].term, parts[j].q
    form = quadratic(term.f)
    data = None if form is None else form.beside(repr(term.f), q)
    box: Any = _box(problem.simple)
    plain = box.cone
    rest = [p for k, p in enumerate(parts) if k != j]
    # what follows needs terms with infimum 0: then f*(αr) ≤ α f*(r) for α in [0, 1]; f*(0) = −inf f is taken off first
    lifted = sum((p.at_zero for p in rest), start=0.0)
    if not math.isfinite(lifted):
        return None
    primal += lifted
    seen = _columns(problem, j, None if data is None else data.used(q), q, parts[j].given.dtype)
    if seen is None or (seen.missing is not None and not (plain and all(_truncatable(p.term) for p in rest))):
        return None
    if not math.isfinite(primal):
        return -INF
    T = float(term.f.total(primal) if data is None else data.total(primal, q))
    others = sum((p.conj for p in rest), start=-lifted)
    need = max(0.0, -float(xp.min(v * seen.inverse)))
    unseen = 0.0
    if seen.missing is not None:
        unseen = float(xp.sum(xp.where(seen.missing, xp.maximum(-v, xp.zeros_like(v)), 0.0))) * T / seen.least
    if not plain:
        lo, hi = box.bounds(v)
        top = xp.where(hi + xp.zeros_like(v) == INF, lo + xp.zeros_like(v), hi)

    def held(a: float, b: float) -> float:  # the least ⟨av + bc, x⟩ between the bounds, open ones at their lower end
        return 0.0 if plain else float(xp.sum(xp.minimum(lo * (u := a * v + b * seen.c), top * u)))

    def price(a: float, b: float) -> float:  # of all that is not the data term, where its dual becomes a q + b·1
        return a * others + T * max(a * need - b, 0.0) + a * unseen - held(a, b)

    best = term.f.lifted(q, price, need) if data is None else data.lifted(q, price, need)
    return float(best) - lifted


class _Columns(NamedTuple):
    """c = Aᵀ1 (None where x ≥ 0 is all that is asked), 1/c from above, least c; open pixels with c = 0, if any."""

    c: Any
    inverse: Array
    least: float
    missing: Any


def _columns(problem: Any, j: int, used: Any, q: Array, dtype: Any) -> _Columns | None:
    """The same in every evaluation, so remembered; None where no pixel without an upper bound is seen."""

    def found() -> _Columns | None:
        xp, box = namespace(q), _box(problem.simple)
        c = problem.coupled[j].K.adjoint(xp.ones_like(q) if used is None else used)
        open_ = box.bounds(c)[1] + xp.zeros_like(c) == INF  # type: ignore[union-attr]
        hit = (c > 0) & open_
        if not bool(xp.any(hit)):
            return None
        above = xp.where(hit, (1 + 4 * float(xp.finfo(dtype).eps)) / xp.where(hit, c, 1.0), 0.0)
        missing = None if bool(xp.all(hit | ~open_)) else ~hit & open_
        least = float(xp.min(xp.where(hit, c, xp.full_like(c, INF))))
        return _Columns(None if _cone(problem.simple) else c, xp.astype(above, dtype), least, missing)

    return remembered(problem, ("columns", j), found)


def _truncatable(term: Any) -> bool:
    """Total variation: cutting an image off at a level never raises it."""
    return bool(term.f.grows) and isinstance(term.K.form(), Differences)
