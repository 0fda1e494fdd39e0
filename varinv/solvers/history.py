"""The course of a run: what is recorded, when, and what it costs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from varinv.first_use import clock
from varinv.linalg import distance, norm
from varinv.solvers.rules import FAR, _Every, leaves, next_look

EVERY = 10


class History:
    """One row of figures per recorded iteration.

    ============== ========================================================================================
    ``k``          iteration
    ``seconds``    since the start of the run, over all its calls where a checkpoint was resumed, without compiling
    ``memory``     largest resident memory of the process so far, in bytes (absent on Windows)
    ``objective``  Σ f(Kx) in float64
    ``change``     ‖x' − x‖/‖x'‖ of the last step (absent where a run ends after several at once)
    gap, residual  what the rules read at this iteration, with ``lower_bound``, the best proved one
    and            what `observe` returned
    ============== ========================================================================================

    Recorded are the iterations at which `gap` or `residual` are evaluated; where there is no such rule, every tenth,
    later on every k/10 to k/5.  The objective then comes from `gap`, or costs one forward application of each
    operator.  Every other iteration has a row only where `observe` or another rule has something to say.
    """

    def __init__(self, problem: Any, rule: Any, observe: Callable[[Any], Any] | None, found: Any = None) -> None:
        self.problem, self.rule, self.observe = problem, rule, observe
        self.rows: list[dict[str, Any]] = [] if found is None else list(found.history)
        self.began = clock() - (0.0 if found is None else found.seconds)
        self.own = _Grid(EVERY, -1 if found is None else found.state.k)
        self.guided = any(isinstance(leaf, _Every) for leaf in leaves(rule))
        self.read = self._readings()
        self.moved: tuple[int, float] | None = None

    def due(self, state: Any) -> bool:
        """Whether a look at this state is due: a row, and whatever `gap` and `residual` need."""
        every = [leaf for leaf in leaves(self.rule) if isinstance(leaf, _Every)] or [self.own]
        return any(leaf.ahead(state.k) for leaf in every)

    def next(self, k: int) -> int:
        """The first iteration after k that somebody wants to see."""
        return min(next_look(self.rule, k), FAR if self.guided else self.own.next(k))

    def look(self, previous: Any, state: Any) -> None:
        """Keep what `record` will need of the state before."""
        self.moved = state.k, change(previous, state)

    def seconds(self) -> float:
        return clock() - self.began

    def record(self, previous: Any, state: Any, last: bool) -> None:
        """The row of this state, if it has one; called after the rules."""
        old, self.read = self.read, self._readings()
        fresh = [
            (leaf, now) for leaf, then, now in zip(leaves(self.rule), old, self.read, strict=True) if now is not then
        ]
        row = {name: value for _, now in fresh for name, value in now.items()}
        due = self.own.due(state)
        if self.guided:
            due = state.k == 0 or any(isinstance(leaf, _Every) for leaf, _ in fresh)
        if due or last:
            if "objective" not in row:
                row = {**self._objective(state), **row}
            if "change" not in row and previous is not None:
                known = self.moved is not None and self.moved[0] == state.k
                row["change"] = self.moved[1] if self.moved and known else change(previous, state)
            row = {**_peak(), **row}
        row |= self._observed(state)
        if not row:
            return
        if self.rows and self.rows[-1]["k"] == state.k:  # the last one of an earlier call
            self.rows[-1] |= row
        else:
            self.rows.append({"k": state.k, "seconds": self.seconds(), **row})

    def _readings(self) -> list[Any]:
        return [getattr(leaf, "readings", None) for leaf in leaves(self.rule)]

    def _objective(self, state: Any) -> dict[str, float]:
        try:
            return {"objective": float(self.problem(state.x))}
        except NotImplementedError:  # a functional known by its prox alone
            return {}

    def _observed(self, state: Any) -> dict[str, Any]:
        found = None if self.observe is None else self.observe(state)
        if found is None:
            return {}
        return dict(found) if isinstance(found, dict) else {"observed": found}


@dataclass
class _Grid(_Every):
    """The grid of a rule that is none."""

    every: int
    seen: int = -1


def change(previous: Any, state: Any) -> float:
    """‖x' − x‖/‖x'‖; ‖x' − x‖ where x' = 0."""
    length = norm(state.x)
    return distance(state.x, previous.x) / (length or 1.0)


def _peak() -> dict[str, int]:
    """The largest resident memory of this process so far, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return {}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
