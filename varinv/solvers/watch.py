"""What goes on beside the steps of a run: the stopping rules are evaluated, figures are recorded, NaN is noticed."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv.backend import POOL
from varinv.first_use import clock
from varinv.linalg import distance, dot, norm
from varinv.solvers.rules import FAR, ONE_STATE, Periodic, gap, leaves, reason, residual, seconds

EVERY = 10
REHEARSED: ContextVar[bool | None] = ContextVar("REHEARSED", default=None)  # a forecast: whether the whole is large
VOXELS = 1 << 18  # from here on `solve` holds one state of a volume and no other image (docs/decisions/0022)


class Watch:
    """Sees the states of one run: `solve` asks it whether to go on, and how far, and nobody else.

    Parameters
    ----------
    problem, rule, observe : as in `solve`; the rule is this run's own copy.
    state : the first one.
    found : what the checkpoint holds, if there is one.
    alone : whether nobody else sees each state, so that a solver may make several steps at once.
    lean : whether large volumes may be run with a single state in memory, written over from step to step.

    Attributes
    ----------
    why : the reason to stop; None: not yet.
    words : the rule as it was written, before it remembered anything.
    good : (image, iteration) of the last state that was known to be finite.
    """

    def __init__(
        self,
        problem: Any,
        rule: Any,
        observe: Any,
        state: Any,
        found: Any = None,
        alone: bool = True,
        lean: bool = False,
    ) -> None:
        self.problem, self.rule, self.alone = problem, rule, alone
        self.words = repr(rule)
        self.judged = found is not None and found.stop == self.words  # the same rule has judged this state already
        if found is not None:
            recall(rule, found.memory, self.judged)
        self.why: str | None = found.why if self.judged else None
        self.history = History(problem, rule, observe, found)
        self.lean = lean and alone and large(state) and not reads_previous(rule, state)
        self.good: Any = None if self.lean else (state.x, state.k)
        self._previous: Any = None
        self._began, self._checked, self._cost = time.perf_counter(), 0, math.inf

    def wants_more(self, state: Any) -> bool:
        """Whether another step follows `state`: no rule has a reason, and its image is finite where that is checked."""
        if self.why:
            return False
        if self.judged:
            self.judged = False
            return True
        if self._check_due(state.k):
            if not self._finite(state):
                return False
            self.good = None if self.lean else (state.x, state.k)
        if self._previous is not None and self.history.due(state) and not reads_previous(self.rule, state):
            self.history.note_change(self._previous, state)
            self._previous = Past(self._previous.k)  # room for what an evaluation needs
        with POOL.guest():
            self.why = reason(self.rule, self.problem, self._previous, state)
            self.history.record(self._previous, state, last=bool(self.why))
        return not self.why

    def ahead(self, state: Any, kept: bool) -> tuple[int, bool]:
        """(most steps at once, whether the duals of `state` may be written over); `kept`: somebody holds on to it."""
        if self.lean:
            self._previous = Past(state.k)
            return 1, True
        self._previous = state  # the one before is let go first: two states at a time
        unseen = self.history.next(state.k) - 1 - state.k if self.alone else 1
        return max(unseen, 1), self.alone and not kept and not reads_previous(self.rule, state)

    def stepped(self, state: Any) -> None:
        """After a step, or several: then the state just before is not known."""
        if self.lean or state.k > self._previous.k + 1:
            self._previous = None

    def forget(self) -> None:
        """Let go of the state before."""
        self._previous = None

    def memory(self) -> list[dict[str, Any]]:
        """What each of the joined rules remembers."""
        return memory(self.rule)

    def _check_due(self, k: int) -> bool:
        """Every iterate is checked where that costs a fiftieth of an iteration or less, else some."""
        return k % 10 == 0 or k < 10 or 50 * self._cost * (k - self._checked) < time.perf_counter() - self._began

    def _finite(self, state: Any) -> bool:
        now = time.perf_counter()
        found = finite(state)
        spent = time.perf_counter() - now
        self._cost = min(self._cost, spent)  # of all checks: one that was disturbed says nothing of the next
        self._began, self._checked = now + spent, state.k
        return found


def large(state: Any) -> bool:
    """Whether the image is a volume so large that memory is what counts."""
    x, rehearsed = state.x, REHEARSED.get()
    return x.ndim >= 3 and (math.prod(x.shape) >= VOXELS if rehearsed is None else rehearsed)


def finite(state: Any) -> bool:
    """Whether the image holds no NaN or infinity."""
    return math.isfinite(dot(state.x, state.x))


class Past(NamedTuple):
    """What is left of the state before, where no rule reads more of it."""

    k: int


def next_evaluation(rule: Any, k: int) -> int:
    """The first iteration after k at which one of the joined rules has to be asked: each, unless their class says."""
    return min(leaf.next(k) if type(leaf) in (*ONE_STATE, residual) else k + 1 for leaf in leaves(rule))


def reads_previous(rule: Any, state: Any) -> bool:
    """Whether one of the joined rules may read the state before; residuals do unless the state says otherwise."""
    own = getattr(state, "reads_previous", True)
    return any(own if type(leaf) is residual else type(leaf) not in ONE_STATE for leaf in leaves(rule))


def memory(rule: Any) -> list[dict[str, Any]]:
    """What each of the joined rules remembers; time counts as time spent."""
    found = []
    for leaf in leaves(rule):
        if isinstance(leaf, seconds):
            leaf.spent, leaf.began = leaf.spent_now(), None if leaf.began is None else clock()
        found.append({**getattr(leaf, "__dict__", {}), "rule": type(leaf).__name__})
    return found


def recall(rule: Any, memories: list[dict[str, Any]], same: bool) -> None:
    """Give rules what they remembered: all of it to the same rules, to others what holds for any run of the problem."""
    for i, leaf in enumerate(leaves(rule)):
        for j, old in enumerate(memories):
            if isinstance(leaf, seconds) and old["rule"] == "seconds":
                leaf.spent, leaf.began = max(leaf.spent, old["spent"]), None
            elif same and i == j:
                leaf.__dict__.update({name: value for name, value in old.items() if name != "rule"})
            elif isinstance(leaf, gap) and old["rule"] == "gap" and old["bound"] == leaf.bound:
                leaf.best = max(leaf.best, old["best"])


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
        self.guided = any(isinstance(leaf, Periodic) for leaf in leaves(rule))
        self.read = self._readings()
        self.moved: tuple[int, float] | None = None

    def due(self, state: Any) -> bool:
        """Whether this state has a row, and whatever `gap` and `residual` need of it."""
        every = [leaf for leaf in leaves(self.rule) if isinstance(leaf, Periodic)] or [self.own]
        return any(leaf.ahead(state.k) for leaf in every)

    def next(self, k: int) -> int:
        """The first iteration after k that somebody wants to see."""
        return min(next_evaluation(self.rule, k), FAR if self.guided else self.own.next(k))

    def note_change(self, previous: Any, state: Any) -> None:
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
            due = state.k == 0 or any(isinstance(leaf, Periodic) for leaf, _ in fresh)
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
        if isinstance(found, dict):
            if words := [key for key in found if not isinstance(key, str) or key == "k"]:
                raise TypeError(f"observe: the names of what is recorded are text, and not 'k', got {words[0]!r}")
            return dict(found)
        return {"observed": found}


@dataclass
class _Grid(Periodic):
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
