"""The primal–dual method of Chambolle and Pock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, device, double, is_array, namespace
from varinv.functionals.base import Scaled
from varinv.functionals.constraints import Box
from varinv.fused.steps import ascend, descend
from varinv.linalg import dot, slabs
from varinv.problem import Problem
from varinv.solvers.base import Solver, refuse, zero_duals
from varinv.solvers.optimality import relative_residual


class ChambollePockState(NamedTuple):
    """Image x, extrapolated image x̄, one dual array per coupled term, the steps, the iteration number."""

    x: Array
    x_bar: Array
    y: tuple[Array, ...]
    tau: float
    sigma: tuple[float, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: ChambollePockState) -> float:
        """The relative distance of 0 from ∂g(x) + Kᵀy and from ∂f*(y) − Kx: p and d, exact for this iteration order."""
        x = double(self.x)
        ahead, p = double(previous.x_bar) - x, (double(previous.x) - x) / previous.tau
        d = (
            (double(old) - double(new)) / sigma + t.K.forward(ahead)
            for t, new, old, sigma in zip(problem.coupled, self.y, previous.y, previous.sigma, strict=True)
        )
        alone = self.sigma == previous.sigma  # Algorithm 1
        return relative_residual(problem, x, self.y, p, previous.tau, d, previous.sigma, alone)


@dataclass(frozen=True)
class ChambollePock(Solver):
    r"""min_x g(x) + Σ f_i(K_i x); Chambolle & Pock (2011), Algorithm 1, and Algorithm 2 where g is strongly convex.

    .. math::
        y_i ← prox_{σ_i f_i^*}(y_i + σ_i K_i x̄),\quad
        x' ← prox_{τ g}(x − τ Σ K_i^T y_i),\quad  x̄ ← x' + θ (x' − x)

    Algorithm 1: θ = 1.  Algorithm 2: θ = 1/√(1 + 2γτ), τ ← θτ, σ_i ← σ_i/θ.  Converges for τ Σ σ_i ‖K_i‖² ≤ 1.

    Default steps are free of scale.  With a smooth data term f_1 (constant L) on A: σ_1 = L·max(0.03, 3/r), where
    r = n‖A‖²/‖A‖_F² is the spread of its singular values (docs/decisions/0006; 0.03·L for CT); a block K_i is balanced
    by ν_i = ‖A‖/‖K_i‖, that is σ_i = σ_1 ν_i², then τ = 0.99/Σ σ_i ‖K_i‖².  Where only g is strongly convex, τ = 10/γ
    (the best of seven on denoising at three weights; 0.2/γ for Algorithm 1) and σ_i = 0.99/(n τ ‖K_i‖²) over the n
    blocks.  Where nothing is smooth or strongly convex, σ_1 is the size of the duals (the weights) over that of the
    data.  The norms are certified upper bounds.

    Parameters
    ----------
    tau, sigma : steps; None: the defaults above.  `sigma` is one number, or one for each coupled term.
    gamma : strong convexity of g to use; None: what the terms declare, 0: Algorithm 1.

    Raises
    ------
    TypeError, ValueError
        Steps that are not positive or do not satisfy the condition (the message gives the value), a term without a
        prox or that is not convex, gamma above what the problem has.
    """

    tau: float | None = None
    sigma: Any = None
    gamma: float | None = None

    def __post_init__(self) -> None:
        who = "ChambollePock"
        if self.tau is not None:
            object.__setattr__(self, "tau", check.number(who, "tau", self.tau, low=0.0, strict=True))
        if self.sigma is not None:
            many = isinstance(self.sigma, (tuple, list))
            values = tuple(
                check.number(who, "sigma", s, low=0.0, strict=True) for s in (self.sigma if many else [self.sigma])
            )
            object.__setattr__(self, "sigma", values if many else values[0])
        if self.gamma is not None:
            object.__setattr__(self, "gamma", check.number(who, "gamma", self.gamma, low=0.0))

    def init(self, problem: Problem, x: Array) -> ChambollePockState:
        refuse("ChambollePock", [problem.simple, *(t.f for t in problem.coupled)])
        return ChambollePockState(x, x, zero_duals(problem, x), *self.steps(problem))

    def step(self, problem: Problem, s: ChambollePockState) -> ChambollePockState:
        gamma = self.strength(problem) if problem.coupled else 0.0
        theta = 1 / math.sqrt(1 + 2 * gamma * s.tau)
        y = tuple(
            ascend(t.f, t.K, y, s.x_bar, sigma) for t, y, sigma in zip(problem.coupled, s.y, s.sigma, strict=True)
        )
        x, x_bar = descend(problem.simple, [t.K for t in problem.coupled], y, s.x, s.tau, theta)
        return ChambollePockState(x, x_bar, y, theta * s.tau, tuple(sigma / theta for sigma in s.sigma), s.k + 1)

    def strength(self, problem: Problem) -> float:
        """γ: the strong convexity of g that Algorithm 2 uses; 0: Algorithm 1."""
        declared = max(problem.simple.convexity, 0.0) if problem.simple is not None else 0.0
        if self.gamma is None:
            return declared
        if self.gamma > declared * (1 + 1e-12):
            raise ValueError(
                f"ChambollePock: gamma={self.gamma:g} exceeds the strong convexity {declared:g} of the problem"
            )
        return self.gamma

    def steps(self, problem: Problem) -> tuple[float, tuple[float, ...]]:
        """τ and one σ per coupled term, checked against τ Σ σ_i ‖K_i‖² ≤ 1."""
        norms = [t.K.norm() for t in problem.coupled]
        n = len(norms)
        gamma = self.strength(problem)
        if self.sigma is None:
            # without acceleration τ stays what it is: 50 times shorter
            sigma = _balanced(problem, norms, gamma or 50 * ChambollePock().strength(problem))
            if self.tau is not None:  # in the same proportions
                total = sum(s * K**2 for s, K in zip(sigma, norms, strict=True))
                sigma = tuple(0.99 * s / (self.tau * total) for s in sigma) if total > 0 else sigma
        elif isinstance(self.sigma, tuple):
            if len(self.sigma) != n:
                raise ValueError(
                    f"ChambollePock: sigma needs {n} numbers, one for each coupled term, got {len(self.sigma)}"
                )
            sigma = self.sigma
        else:
            sigma = (self.sigma,) * n
        total = sum(s * K**2 for s, K in zip(sigma, norms, strict=True))
        alone = 10 / gamma if gamma > 0 else 1.0  # without coupling any step will do
        tau = self.tau if self.tau is not None else (0.99 / total if total > 0 else alone)
        if tau * total > 1 + 1e-9:
            raise ValueError(
                f"ChambollePock: tau={tau:g}, sigma={self.sigma} give τ Σσ‖K‖² = {tau * total:.4g} > 1 "
                f"with ‖K‖ = {', '.join(f'{K:.4g}' for K in norms)}; the iteration may diverge, make a step smaller"
            )
        return tau, tuple(float(s) for s in sigma)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        from varinv.functionals.constraints import NonNegative
        from varinv.functionals.data import L2Squared
        from varinv.functionals.tv import TV
        from varinv.operators.elementary import Diagonal

        y = xp.reshape(xp.asarray([0.1, 1.2, 0.9, -0.2, 0.3, 1.1]), (2, 3))
        yield cls(), L2Squared(y) + 0.1 * TV((2, 3))
        yield cls(), L2Squared(y) @ Diagonal(1 + abs(y)) + 0.1 * TV((2, 3)) + NonNegative()


def scalar_steps(problem: Problem) -> tuple[float, tuple[float, ...]]:
    """τ and σ that other primal–dual methods start from, free of scale: those of Algorithm 1.

    Remembered on the problem.
    """
    if "_scalar_steps" not in problem.__dict__:
        problem.__dict__["_scalar_steps"] = ChambollePock(gamma=0.0).steps(problem)
    steps: tuple[float, tuple[float, ...]] = problem.__dict__["_scalar_steps"]
    return steps


def _balanced(problem: Problem, norms: list[float], gamma: float) -> tuple[float, ...]:
    """Scale-free default σ, one per coupled term (see the class docstring); a zero operator counts as one of norm 1."""
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
    dual = max(_largest(_weight(t.f)) for t in free)
    data = next((d for t in problem.terms if (d := t.f.data()) is not None), None)
    if data is not None:
        primal = math.sqrt(dot(data, data) / math.prod(data.shape))
    else:
        boxes = [t.f for t in problem.terms if isinstance(t.f, Box)]
        primal = max((_largest(end) for box in boxes for end in (box.lo, box.hi)), default=0.0)
    return (dual or 1.0) / (primal or 1.0)


def _weight(f: Any) -> Any:
    return f.lam * _weight(f.f) if isinstance(f, Scaled) else getattr(f, "weight", 1.0)


def _largest(value: Any) -> float:
    """The largest finite magnitude in it, 0 where there is none."""
    if not is_array(value):
        return abs(value) if math.isfinite(value) else 0.0
    xp = namespace(value)
    return float(xp.max(xp.where(xp.isfinite(value), abs(value), xp.zeros_like(value))))
