"""The stochastic primal–dual hybrid gradient method: one block of the dual at a time."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.functionals.base import Functional
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import L2Squared
from varinv.functionals.tv import TV
from varinv.fused.steps import dual_step, primal_step
from varinv.linalg import add_scaled
from varinv.memory import remembered
from varinv.operators.base import LinearOperator
from varinv.operators.elementary import Identity
from varinv.operators.geometry import ParallelBeam
from varinv.operators.radon import Radon
from varinv.problem import Problem
from varinv.solvers.base import Solver, refuse, zero_duals
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.optimality import natural_residual
from varinv.solvers.step_sizes import scalar_steps
from varinv.solvers.subsets import join, split, subsets, views


class SPDHGState(NamedTuple):
    """Image x, one dual array per coupled term, z = Kᵀy and its extrapolation z̄, the number of passes."""

    x: Array
    y: tuple[Array, ...]
    z: Array
    z_bar: Array
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """The relative distance of x and y from their own proximal steps; see natural_residual."""
        return natural_residual(problem, self.x, self.y, *scalar_steps(problem))


class Block(NamedTuple):
    """One block of the dual: f_i(K_i x), its probability and its step."""

    f: Functional
    K: LinearOperator
    p: float
    sigma: float


@dataclass(frozen=True)
class SPDHG(Solver):
    r"""Primal–dual steps on random subsets of the data, for large tomography.

    min_x g(x) + Σ f_i(K_i x); Chambolle, Ehrhardt, Richtárik & Schönlieb (2018), Algorithm 1, serial sampling.

    .. math::
        x ← prox_{τ g}(x − τ z̄);\quad \text{draw } i;\quad y_i' ← prox_{σ_i f_i^*}(y_i + σ_i K_i x),\quad
        δ = K_i^T(y_i' − y_i),\quad z ← z + δ,\quad z̄ ← z + δ/p_i

    Terms whose views can be had at their share of the price (Radon) are split into `subsets` blocks; every other term
    is one block.  Half of the draws go to the split terms where there are both kinds.  One iteration is one expected
    pass over the data: as many draws as the split terms need to be drawn once on average, about one projection and one
    back-projection.

    Converges almost surely for τ σ_i ‖K_i‖² < p_i (Theorem 4.3 there, with Alacaoglu, Fercoq & Cevher 2022 for
    general convex terms).  σ_i = 0.99·p_i/(τ‖K_i‖²) with τ a third of that of ChambollePock where terms are split, else
    the same, free of scale: of 1, 1/2, 1/4, 1/8 on four tomographic problems 1/2 and 1/4 needed the fewest passes.

    The draws of pass k come from `seed` and k alone, so that a resumed run is the uninterrupted one.

    Parameters
    ----------
    subsets : blocks of every term that can be split, at most its views.
    seed : of the draws.

    Raises
    ------
    TypeError, ValueError
        In `init`: a term without a prox, or that is not convex; fewer than one subset.
    """

    subsets: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "subsets", check.integer("SPDHG", "subsets", self.subsets, low=1))
        object.__setattr__(self, "seed", check.integer("SPDHG", "seed", self.seed, low=0))

    def init(self, problem: Problem, x: Array) -> SPDHGState:
        refuse("SPDHG", [problem.simple, *(t.f for t in problem.coupled)])
        return SPDHGState(x, zero_duals(problem, x), 0.0 * x, 0.0 * x)

    def step(self, problem: Problem, s: SPDHGState) -> SPDHGState:
        tau, blocks, draws = self.plan(problem)
        counts = [self.count(t) for t in problem.coupled]
        y = [part for t, a, n in zip(problem.coupled, s.y, counts, strict=True) for part in split(t, a, n)]
        x, z, z_bar = s.x, s.z, s.z_bar
        identity, draw = [Identity(problem.domain)], random.Random((self.seed << 48) + s.k)
        ends = list(itertools.accumulate(b.p for b in blocks))
        for _ in range(draws):
            x, _ = primal_step(problem.simple, identity, [z_bar], x, tau, 0.0)
            if not blocks:
                break
            i = min(bisect.bisect(ends, draw.random()), len(blocks) - 1)
            b, old = blocks[i], y[i]
            y[i] = dual_step(b.f, b.K, old, x, b.sigma)
            delta = b.K.adjoint(add_scaled(y[i], -1.0, old))
            z = add_scaled(z, 1.0, delta)
            z_bar = add_scaled(z, 1 / b.p, delta)
        parts = iter(y)
        whole = tuple(join(t, list(itertools.islice(parts, n))) for t, n in zip(problem.coupled, counts, strict=True))
        return SPDHGState(x, whole, z, z_bar, s.k + 1)

    def count(self, term: Any) -> int:
        """The number of blocks of a coupled term."""
        axis = views(term.K) if term.f.separable else None
        return 1 if axis is None else min(self.subsets, term.K.codomain[axis])

    def plan(self, problem: Problem) -> tuple[float, list[Block], int]:
        """τ, the blocks with their probabilities and steps, and the draws of one pass; remembered on the problem."""

        def found() -> tuple[float, list[Block], int]:
            tau, _ = scalar_steps(problem)
            counts = [self.count(t) for t in problem.coupled]
            parts, alone = sum(n for n in counts if n > 1), sum(n == 1 for n in counts)
            tau = tau / 3 if parts else tau  # x moves many times a pass
            share = 0.5 if parts and alone else 1.0
            blocks = []
            for t, n in zip(problem.coupled, counts, strict=True):
                p = share / (parts if n > 1 else alone)
                some: tuple[Any, ...] = subsets(t, n) if n > 1 else (t,)
                steps = [0.99 * p / (tau * part.K.norm() ** 2) if part.K.norm() > 0 else 1.0 for part in some]
                blocks += [Block(part.f, part.K, p, sigma) for part, sigma in zip(some, steps, strict=True)]
            return tau, blocks, round((parts or alone) / share) or 1

        return remembered(problem, ("blocks", type(self), self.subsets), found)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        import array_api_compat.numpy as xp

        A = Radon((3, 4), ParallelBeam(xp.arange(5) / 2, 6))
        y = xp.reshape(xp.arange(30.0) % 7, (5, 6))
        yield cls(subsets=3), L2Squared(y) @ A + 0.1 * TV((3, 4)) + NonNegative()
        for _, problem in ChambollePock.examples():
            yield cls(), problem
