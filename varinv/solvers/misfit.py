"""Stopping at the noise: the discrepancy principle as a rule for every solver."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from varinv import check
from varinv.problem import Problem
from varinv.solvers.least_squares import data_misfit
from varinv.solvers.rules import Rule


@dataclass
class misfit(Rule):
    """Stop once the image fits the data as closely as the noise allows.

    Stop where ‖A x − y‖_W ≤ factor · noise (Morozov): before an unregularised method fits the noise.

    `noise` δ is the expected ‖A x_true − y‖_W: s√m for m measurements of standard deviation s and weight 1, √m for
    weights 1/s².  The squares with an array of data count, all together.  One application of A per evaluation, none
    where the state knows its residual (CGLS, LSQR); `every` makes it rarer.

    Where δ is below what A can fit, no image fulfils it: the rule then stops, and says so, once the misfit has fallen
    by less than 1e-4 of itself in the last half of the iterations, 1024 or more.

    Raises
    ------
    ValueError
        noise ≤ 0, factor < 1; on evaluation, a problem without squares of data.
    """

    noise: float
    factor: float = 1.0
    every: int = 1
    readings: dict[str, float] = field(default_factory=dict)
    turn: int = 512
    before: float = math.inf

    def __post_init__(self) -> None:
        self.noise = check.number("misfit", "noise", self.noise, low=0.0, strict=True)
        self.factor = check.number("misfit", "factor", self.factor, low=1.0)
        self.every = check.integer("misfit", "every", self.every, low=1)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        if state.k % self.every:
            return None
        known = state.misfit(problem) if hasattr(state, "misfit") else None
        value = data_misfit("misfit", problem, state.x) if known is None else known
        self.readings = {"misfit": value}
        target = self.factor * self.noise
        if value <= target:
            return f"misfit {value:.4g} ≤ {target:.4g}"
        if state.k < self.turn:
            return None
        stuck = value > (1 - 1e-4) * self.before
        self.turn, self.before = 2 * state.k, value
        words = f"misfit {value:.4g} falls no more and is above {target:.4g}: is the noise larger, or the model wrong?"
        return words if stuck else None
