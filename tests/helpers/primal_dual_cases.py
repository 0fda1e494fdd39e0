"""One small problem and the solvers of the primal–dual family, shared by their tests."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.problem import as_problem

SHAPE = (3, 4)
A = vi.Radon(SHAPE, vi.ParallelBeam(np.array([0.1, 0.7, 1.3, 1.9, 2.6]), 6))
TRUTH = rand(np, SHAPE, 1, kind="non-negative")
B = A(TRUTH) + 0.3 * rand(np, A.codomain, 2)
LAM = 0.3
PROBLEM = vi.L2Squared(B) @ A + LAM * vi.TV(SHAPE) + vi.NonNegative()
X0 = rand(np, SHAPE, 3, kind="non-negative")
a, D = dense(A), dense(vi.Gradient(SHAPE))
b, x0 = B.reshape(-1), X0.reshape(-1)
SOLVERS = [
    vi.AdaptiveChambollePock(),
    vi.RestartedChambollePock(),
    vi.PreconditionedChambollePock(),
    vi.SPDHG(subsets=3),
    vi.CondatVu(),
    vi.PD3O(),
]
EACH = pytest.mark.parametrize("solver", SOLVERS, ids=lambda s: type(s).__name__)


def ramp(views: int, bins: int) -> np.ndarray:
    """The matrix of the ramp filter with a floor, mean 1, along the bins of every view: circulant, by its cosines."""
    xi = 2 * np.pi * np.minimum(np.arange(bins), bins - np.arange(bins)) / bins
    weights = xi / np.pi * np.cos(xi / 2) + 0.03
    lag = np.subtract.outer(np.arange(bins), np.arange(bins))
    one = sum(w * np.cos(2 * np.pi * j * lag / bins) for j, w in enumerate(weights)) / weights.sum()
    return np.kron(np.eye(views), one)


def state_at(problem: Any, k: int, solver: Any, **start: Any) -> Any:
    return next(itertools.islice(solver.states(as_problem(problem), **start), k, None))
