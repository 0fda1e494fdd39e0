"""Steps of a primal–dual method for all terms at once: filters where an operator has one, and one bound for all."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from varinv.backend import Array, double, namespace
from varinv.linalg import add_scaled, norm
from varinv.operators.norms import krylov_bound
from varinv.operators.spectrum import Spectrum
from varinv.problem import Problem
from varinv.solvers.chambolle_pock import scalar_steps

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

    A term with ``K.preconditioner()`` and ``f.metric()`` has that filter S and σ = 3·max w, and the other blocks are
    balanced beside it, σ_i‖K_i‖² = ½ σ‖KᵀSK‖.  Where none has one, σ_i are those of `scalar_steps`.

    .. math:: τ = 0.99/λ, \quad λ ≥ ‖Σ_i σ_i K_i^T S_i K_i‖

    from `krylov_bound`, or Σ σ_i‖K_i‖² where that is as good: what weighs most in one term (a constant, for a blur)
    often weighs little in another (differences), and then the sum is as many times too large as there are terms.
    """
    if "_joint_steps" not in problem.__dict__:
        problem.__dict__["_joint_steps"] = _found(problem)
    steps: JointSteps = problem.__dict__["_joint_steps"]
    return steps


def _found(problem: Problem) -> JointSteps:
    terms, total = problem.coupled, math.inf
    filters = tuple(_filter(t) for t in terms)
    if any(filters):
        sizes = [
            _rough(t, S, _zeros(problem)) if S else t.K.norm() ** 2 or 1.0 for t, S in zip(terms, filters, strict=True)
        ]
        target = max(t.f.smoothness * size for t, S, size in zip(terms, filters, sizes, strict=True) if S)
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
    if not hasattr(term.f, "metric") or term.f.metric() is None:
        return None
    found: Spectrum | None = term.K.preconditioner()
    return found


def _gram(terms: Sequence[Any], steps: Sequence[float | Spectrum], x: Array) -> Array:
    """Σ σ_i K_iᵀ v_i^½ S_i v_i^½ K_i x."""
    total: Any = None
    for t, step in zip(terms, steps, strict=True):
        y = t.K.forward(x)
        if isinstance(step, Spectrum):
            v = t.f.metric()
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
