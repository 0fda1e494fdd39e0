"""Operators with rays, and states after k steps, for the tests of SIRT, SART, MLEM and their subsets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from conftest import dense

import varinv as vi

CT_SMALL = vi.Radon((4, 3), vi.ParallelBeam(np.arange(7) * np.pi / 7, 8))
CT = vi.Radon((9, 8), vi.ParallelBeam(np.arange(12) * np.pi / 12, 13))


@dataclass(frozen=True, eq=False, repr=False)
class Rays(vi.LinearOperator):
    """A matrix (views, rays, pixels) whose views can be had one by one."""

    entries: Any

    @property
    def domain(self) -> Any:
        return self.entries.shape[2:]

    @property
    def codomain(self) -> Any:
        return self.entries.shape[:2]

    def forward(self, x: Any) -> Any:
        return self.entries @ x

    def adjoint(self, y: Any) -> Any:
        return np.einsum("vrp,vr->p", self.entries, y)

    def norm(self) -> float:
        return float(np.linalg.norm(dense(self), 2))

    def absolute(self) -> Any:
        return self if (self.entries >= 0).all() else Rays(abs(self.entries))

    def views(self) -> int:
        return -2

    def subset(self, indices: Any) -> Rays:
        return Rays(self.entries[list(indices)])


vi.LinearOperator.kinds.remove(Rays)  # it is of this file only


def rays(seed: int, shape: Any = (5, 4, 6), sparse: float = 0.4) -> Rays:
    rng = np.random.default_rng(seed)
    entries = rng.uniform(0.1, 1, shape) * (rng.uniform(size=shape) > sparse)
    return Rays(entries)


def after(solver: Any, problem: Any, k: int, **start: Any) -> Any:
    return next(itertools.islice(solver.states(problem, **start), k, None))


def relative(found: float, best: float) -> float:
    return (found - best) / max(abs(best), 1e-300)
