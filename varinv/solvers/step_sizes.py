"""Default step sizes of primal–dual methods, free of scale: for each term alone, and for all of them at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from varinv.backend import Array, device, double, is_array, namespace
from varinv.forms import quadratic
from varinv.fused.quadratic import metric
from varinv.linalg import add_scaled, dot, norm, slabs
from varinv.memory import remembered
from varinv.operators.norms import krylov_bound
from varinv.operators.spectrum import Spectrum
from varinv.problem import Problem

# tried on six scans, docs/decisions/0013: FIRST 0.8, 1.5, 3, 6; SHARE 0.3, 0.5, 1
FIRST = 3.0  # σ of a filtered data term, in units of its largest weight
SHARE = 0.5  # what the other blocks weigh beside it: as much costs the bound twice the steps and saves few iterations
SMALL = 4096  # pixels: so few that Lanczos may come to its end, which float32 sees late; float64 costs nothing here
ROUGH = 3  # power steps for a norm that only balances


class JointSteps(NamedTuple):
    """τ; one σ and one filter of mean 1 (None: the identity) per coupled term."""

    tau: float
    sigma: tuple[float, ...]
    filters: tuple[Spectrum | None, ...]

    def filtered(self, sigma: Sequence[float]) -> list[float | Spectrum]:
        """σ_i S_i: numbers where there is no filter."""
        return [s if S is None else S.times(s) for s, S in zip(sigma, self.filters, strict=True)]


def joint_steps(problem: Problem) -> JointSteps:
    r"""The first steps of AdaptiveChambollePock, free of scale; remembered on the problem.

    A least-squares term with positive weights behind an operator with a ``preconditioner()`` has that filter S and
    σ = 3·max w, and the other blocks are balanced beside it, σ_i‖K_i‖² = ½ σ‖KᵀSK‖.  Where none has one, σ_i are those
    of `scalar_steps`.

    .. math:: τ = 0.99/λ, \quad λ ≥ ‖Σ_i σ_i K_i^T S_i K_i‖

    from `krylov_bound`, or Σ σ_i‖K_i‖² where that is as good: what weighs most in one term (a constant, for a blur)
    often weighs little in another (differences), and then the sum is as many times too large as there are terms.
    """
    return remembered(problem, "joint steps", lambda: _found(problem))


def _found(problem: Problem) -> JointSteps:
    terms, total = problem.coupled, math.inf
    filters = tuple(_filter(t) for t in terms)
    if any(filters):
        sizes = [
            _rough(t, S, _zeros(problem)) if S else t.K.norm() ** 2 or 1.0 for t, S in zip(terms, filters, strict=True)
        ]
        target = max(S.unit * size for S, size in zip(filters, sizes, strict=True) if S and S.unit)
        sigma = tuple(FIRST * target * (1.0 if S else SHARE) / size for S, size in zip(filters, sizes, strict=True))
    else:
        tau, sigma = scalar_steps(problem)
        sums = [s * t.K.norm() ** 2 for t, s in zip(terms, sigma, strict=True)]
        total = sum(sums)
        if max(sums, default=0.0) == total:  # one operator that is not zero, or none
            return JointSteps(tau, sigma, filters)
    steps = JointSteps(0.0, sigma, filters)
    bound = krylov_bound(functools.partial(_gram, terms, steps.filtered(sigma)), _zeros(problem), total)
    return steps._replace(tau=0.99 / bound if bound > 0 else 1.0)


def _zeros(problem: Problem) -> Array:
    zero = problem.zeros()
    return double(zero) if math.prod(zero.shape) <= SMALL else zero


def _filter(term: Any) -> Spectrum | None:
    if metric(term.f) is None:
        return None
    found: Spectrum | None = term.K.preconditioner()
    form = quadratic(term.f)
    return found if found is None or form is None else found._replace(unit=form.largest)


def _gram(terms: Sequence[Any], steps: Sequence[float | Spectrum], x: Array) -> Array:
    """Σ σ_i K_iᵀ v_i^½ S_i v_i^½ K_i x."""
    total: Any = None
    for t, step in zip(terms, steps, strict=True):
        y = t.K.forward(x)
        if isinstance(step, Spectrum):
            v = metric(t.f)
            root = namespace(y).sqrt(v) if not isinstance(v, float) else v
            y = root * step.apply(root * y, lambda s: s)
        new, scale = t.K.adjoint(y), 1.0 if isinstance(step, Spectrum) else step
        del y
        total = scale * new if total is None else add_scaled(total, scale, new)
    return total


def _rough(term: Any, S: Spectrum, zero: Array) -> float:
    """About ‖Kᵀ S K‖, from a few power steps on a constant."""
    x, size = zero + 1.0, math.sqrt(math.prod(zero.shape))
    for _ in range(ROUGH):
        x = _gram([term], [S], x / size)
        size = norm(x)
        if not size > 0:
            return 1.0
    return size


# ------------------------------------------------------------------------------------------------- for each term alone


def scalar_steps(problem: Problem) -> tuple[float, tuple[float, ...]]:
    """τ and σ of Algorithm 1 of Chambolle and Pock, free of scale: what other primal–dual methods start from.

    Remembered on the problem.
    """

    def found() -> tuple[float, tuple[float, ...]]:
        norms = [t.K.norm() for t in problem.coupled]
        strength = max(problem.simple.convexity, 0.0) if problem.simple is not None else 0.0
        sigma = balanced(problem, norms, 50 * strength)  # without acceleration τ stays what it is: 50 times shorter
        total = sum(s * K**2 for s, K in zip(sigma, norms, strict=True))
        return 0.99 / total if total > 0 else 1.0, tuple(float(s) for s in sigma)

    return remembered(problem, "scalar steps", found)


def balanced(problem: Problem, norms: list[float], gamma: float) -> tuple[float, ...]:
    """Scale-free default σ, one per coupled term (see ChambollePock); a zero operator counts as one of norm 1."""
    terms = problem.coupled
    nonzero = [K if K > 0 else 1.0 for K in norms]
    if not terms:
        return ()
    data = [(t, K) for t, K in zip(terms, nonzero, strict=True) if 0 < t.f.curvature < math.inf]
    if data:
        t, A = max(data, key=lambda pair: pair[0].f.curvature * pair[1] ** 2)
        first = t.f.curvature * max(0.03, 3 / _spread(problem, t.K, A))
        return tuple(first * (A / K) ** 2 for K in nonzero)
    if gamma > 0:
        return tuple(0.099 * gamma / (len(terms) * K**2) for K in nonzero)
    A = next((K for t, K in zip(terms, nonzero, strict=True) if t.f.data() is not None), nonzero[0])
    return tuple(_scale(problem) * (A / K) ** 2 for K in nonzero)


def _spread(problem: Problem, K: Any, norm: float) -> float:
    """n‖K‖²/‖K‖_F², the largest squared singular value over their mean: 1 for an identity, about 100 for CT.

    ‖K‖_F² is ‖K z‖² on average over signs z; one fixed image of signs (a quadratic Weyl sequence) is enough here.
    """
    like = problem.zeros()
    xp, n, place = namespace(like), math.prod(K.domain), device(like)
    del like
    z = xp.ones(K.domain, dtype=xp.float64, device=place)
    row = n // K.domain[0]
    for rows in slabs(K.domain[0]):
        k = xp.arange(rows.start * row, rows.stop * row, dtype=xp.float64, device=place)
        turns = k * k * ((math.sqrt(5) - 1) / 2)
        z[rows, ...] = xp.reshape(
            xp.where(turns - xp.floor(turns) < 0.5, xp.ones_like(turns), -1.0), z[rows, ...].shape
        )
    Kz = K.forward(z)
    size = dot(Kz, Kz)
    return max(n * norm**2 / size, 1.0) if size > 0 else 1.0


def _scale(problem: Problem) -> float:
    """σ where nothing is smooth or strongly convex: size of the dual over that of the data, in any order of the terms.

    The dual is as large as the weights of the terms without data; of all, where each has data.
    """
    free = [t for t in problem.coupled if t.f.data() is None] or problem.coupled
    dual = max(_largest(getattr(t.f, "weight", 1.0)) for t in free)
    data = next((d for t in problem.terms if (d := t.f.data()) is not None), None)
    if data is not None:
        primal = math.sqrt(dot(data, data) / math.prod(data.shape))
    else:
        boxes = [form for t in problem.terms if (form := quadratic(t.f)) is not None]
        primal = max((_largest(end) for box in boxes for end in (box.lo, box.hi)), default=0.0)
    return (dual or 1.0) / (primal or 1.0)


def _largest(value: Any) -> float:
    """The largest finite magnitude in it, 0 where there is none."""
    if not is_array(value):
        return abs(value) if math.isfinite(value) else 0.0
    xp = namespace(value)
    return float(xp.max(xp.where(xp.isfinite(value), abs(value), xp.zeros_like(value))))
