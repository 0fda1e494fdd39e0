"""Solvers as endless sequences of immutable states, and the plain functions that read them."""

from __future__ import annotations

import collections
import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from varinv import check
from varinv.backend import Array, namespace, release
from varinv.linalg import dot, norm
from varinv.problem import Problem


class Solver(ABC):
    """Hyperparameters of an algorithm; the state is a value, and the loop is somebody else's.

    A solver is a frozen dataclass with `init(problem, x) -> state` and `step(problem, state) -> state`.  A state is a
    NamedTuple with at least `x` and `k`, holding only what the next step needs, so that a resumed run equals an
    uninterrupted one bit for bit.
    """

    kinds: ClassVar[list[type[Solver]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Solver.kinds.append(cls)

    @abstractmethod
    def init(self, problem: Problem, x: Array) -> Any:
        """The state before the first step."""

    @abstractmethod
    def step(self, problem: Problem, state: Any) -> Any:
        """The next state: the paper's formulas and nothing else."""

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        """Pairs (solver, small problem) on which every contract is tested."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")

    def states(self, problem: Problem, x: Array | None = None, *, resume: Any = None) -> Iterator[Any]:
        """The endless sequence of states from x (None: zeros), or onwards from the state `resume`."""
        state = resume if resume is not None else self.init(problem, start(problem, x))
        while True:
            yield state
            state = self.step(problem, state)


def start(problem: Problem, x: Array | None) -> Array:
    """The checked start image: x, or zeros like the data."""
    if x is None:
        return problem.zeros()
    x = check.real_array("solve", "x0", x)
    check.same_shape("solve", "x0", x, problem.domain)
    return x


# ------------------------------------------------------------------------------------------------------------- rules


class Rule:
    """When to stop: ``rule(problem, previous, state) -> reason or None``; combine with ``|`` and ``&``.

    `readings` holds the figures of the last evaluation, for the history.  A rule may remember things between calls;
    `solve` works on a copy.  Any function of the same signature is a rule as well.
    """

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        raise NotImplementedError

    def __or__(self, other: Callable[..., str | None]) -> Rule:
        return _Any(self, other)

    def __and__(self, other: Callable[..., str | None]) -> Rule:
        return _All(self, other)


def _readings(rule: Any) -> dict[str, float]:
    return dict(getattr(rule, "readings", {}))


@dataclass
class _Any(Rule):
    a: Callable[..., str | None]
    b: Callable[..., str | None]

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        return self.a(problem, previous, state) or self.b(problem, previous, state)

    @property
    def readings(self) -> dict[str, float]:
        return _readings(self.a) | _readings(self.b)


@dataclass
class _All(Rule):
    a: Callable[..., str | None]
    b: Callable[..., str | None]

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        reasons = [rule(problem, previous, state) for rule in (self.a, self.b)]
        return None if None in reasons else " and ".join(r for r in reasons if r)

    @property
    def readings(self) -> dict[str, float]:
        return _readings(self.a) | _readings(self.b)


@dataclass
class iterations(Rule):
    """Stop after n iterations."""

    n: int

    def __post_init__(self) -> None:
        self.n = check.integer("iterations", "n", self.n, low=0)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        return f"{self.n} iterations" if state.k >= self.n else None


@dataclass
class seconds(Rule):
    """Stop once t seconds have passed since the first evaluation."""

    t: float
    began: float | None = None

    def __post_init__(self) -> None:
        self.t = check.number("seconds", "t", self.t, low=0.0)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        return f"{self.t:g} seconds" if now - self.began >= self.t else None


@dataclass
class small_change(Rule):
    """Stop where ‖x' − x‖ ≤ tol ‖x'‖: cheap, and no proof of anything."""

    tol: float
    readings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tol = check.number("small_change", "tol", self.tol, low=0.0, strict=True)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        if previous is None:
            return None
        length = norm(state.x)
        change = norm(state.x - previous.x) / length if length else norm(state.x - previous.x)
        self.readings = {"change": change}
        return f"relative change {change:.1e} ≤ {self.tol:g}" if change <= self.tol else None


class _Every(Rule):
    """A rule that costs operator applications: evaluated first when it can be, then on a grid.

    The grid is the multiples of `every`, coarser by powers of two later on (between k/20 and k/10 iterations apart):
    rules with the same `every` are due together, so that ``a & b`` can hold.
    """

    every: int
    seen: int = -1

    def due(self, state: Any) -> bool:
        pace = self.every << max((state.k // (10 * self.every)).bit_length() - 1, 0)
        due = self.seen < 0 or state.k // pace > self.seen // pace
        self.seen = state.k
        return due


@dataclass
class gap(_Every):
    """Stop where the relative gap (P − D)/max(|P|, |D|) ≤ tol, D the best proved lower bound seen.

    Evaluated in float64 at the start, then every `every` iterations (less often later on).  `bound` M is an assumed
    bound |x| ≤ M for problems that offer no proved one; the reason then says so.  For float32 data nothing is claimed
    below 1e-6.

    Raises
    ------
    ValueError
        On evaluation, where the problem has no certificate; the message names what is missing.
    """

    tol: float
    every: int = 10
    bound: float | None = None
    best: float = -math.inf
    readings: dict[str, float] = field(default_factory=dict)
    seen: int = -1

    def __post_init__(self) -> None:
        self.tol = check.number("gap", "tol", self.tol, low=0.0, strict=True)
        self.every = check.integer("gap", "every", self.every, low=1)
        if self.bound is not None:
            self.bound = check.number("gap", "bound", self.bound, low=0.0, strict=True)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        from varinv.problem import relative_gap

        if not self.due(state):
            return None
        if not hasattr(state, "y"):
            raise ValueError(
                f"gap: {type(state).__name__} carries no dual; stop with small_change(tol) or iterations(n)"
            )
        primal, dual, _ = problem.gap(state.x, state.y, self.bound)
        self.best = max(self.best, dual)
        value = relative_gap(primal, self.best)
        self.readings = {"objective": primal, "lower_bound": self.best, "gap": value}
        single = state.x.dtype == namespace(state.x).float32
        tol = max(self.tol, 1e-6) if single else self.tol
        if value > tol:
            return None
        words = f"relative gap {max(value, 1e-6) if single else value:.1e} ≤ {tol:g}"
        return words + (f", assuming |x| ≤ {self.bound:g}" if self.bound is not None else "")


@dataclass
class residual(_Every):
    """Stop where the optimality residual of the solver's own iteration ≤ tol (relative; see the solver's state)."""

    tol: float
    every: int = 10
    readings: dict[str, float] = field(default_factory=dict)
    seen: int = -1

    def __post_init__(self) -> None:
        self.tol = check.number("residual", "tol", self.tol, low=0.0, strict=True)
        self.every = check.integer("residual", "every", self.every, low=1)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        if previous is None or not self.due(state):
            return None
        if not hasattr(state, "residual"):
            raise ValueError(f"residual: {type(state).__name__} has none; stop with small_change(tol) or iterations(n)")
        value = state.residual(problem, previous)
        self.readings = {"residual": value}
        return f"residual {value:.1e} ≤ {self.tol:g}" if value <= self.tol else None


# -------------------------------------------------------------------------------------------------- reading the states


def until(problem: Problem, states: Iterator[Any], rule: Callable[..., str | None]) -> Iterator[Any]:
    """The states up to and including the first at which the rule has a reason."""
    previous = None
    for state in states:
        yield state
        if rule(problem, previous, state):
            return
        previous = state


def last(states: Iterator[Any]) -> Any:
    """The last state of a finite sequence."""
    return collections.deque(states, maxlen=1).pop()


def solve(
    problem: Any,
    solver: Solver | None = None,
    *,
    x0: Array | None = None,
    stop: Callable[..., str | None] | None = None,
    observe: Callable[[Any], Any] | None = None,
    progress: bool | Callable[[int, Any], None] = False,
) -> Any:
    """Minimise a problem; every stop has a named reason.

    Parameters
    ----------
    problem : Problem, Term or Functional.
    solver : None: ChambollePock().
    x0 : start image; None: zeros with the library, device and dtype of the data.
    stop : a rule; None: gap(1e-4) | residual(1e-5) | iterations(5000), without the gap where the problem has no
        certificate.
    observe : called with every state; what it returns (a number, or a dict of numbers) goes into the history.
    progress : show a progress line; or a function that is called with the iteration number and what the rules read.

    Returns
    -------
    Result : with x, state, why, history.  Ctrl-C ends the run with the last iterate and says so in `why`; a NaN or
        infinite iterate ends it with the last finite one.

    Raises
    ------
    TypeError, ValueError
        A problem that is none, a start image of another shape or with NaN.
    """
    from varinv.problem import as_problem
    from varinv.result import Result
    from varinv.solvers.chambolle_pock import ChambollePock

    given = as_problem(problem)
    if given is None or not given.terms:
        raise TypeError(f"solve: problem must be a Problem such as L2Squared(y) @ A + TV(shape), got {problem!r}")
    problem = given
    solver = ChambollePock() if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"solve: solver must be a Solver such as ChambollePock(), got {check.describe(solver)}")
    x = start(problem, x0)
    state = solver.init(problem, x)
    if stop is None:
        rule: Any = default_stop(problem, state)
    elif callable(stop):
        rule = copy.deepcopy(stop)
    else:
        raise TypeError(f"solve: stop must be a rule such as gap(1e-4) | iterations(500), got {stop!r}")
    began, history, good, previous, why = time.perf_counter(), [], state, None, None
    from varinv.progress import bar

    with bar(progress, solver, rule) as advance:
        try:
            while True:
                if state.k % 10 == 0 or state.k < 10:
                    if not _finite(state):
                        break
                    good = state
                before = _readings(rule)
                why = rule(problem, previous, state)
                row = _observed(observe, state)
                if (now := _readings(rule)) != before or row:
                    history.append({"k": state.k, "seconds": time.perf_counter() - began, **now, **row})
                if why:
                    break
                previous, state = state, solver.step(problem, state)
                advance(state.k, now)
        except KeyboardInterrupt:
            why = f"interrupted after {state.k} iterations"
    if not _finite(state):  # looked at in every tenth iteration, and here
        why = f"not finite at iteration {state.k}; the iterate of iteration {good.k}, which was finite, is returned"
        state = good
    del previous, good
    release()
    return Result(state.x, state, str(why), tuple(history), time.perf_counter() - began, problem, solver)


def _finite(state: Any) -> bool:
    return math.isfinite(dot(state.x, state.x))


def _observed(observe: Callable[[Any], Any] | None, state: Any) -> dict[str, Any]:
    if observe is None:
        return {}
    found = observe(state)
    if found is None:
        return {}
    return dict(found) if isinstance(found, dict) else {"observed": found}


def default_stop(problem: Problem, state: Any) -> Rule:
    """gap(1e-4) | residual(1e-5) | iterations(5000), the gap only where the problem has a certificate."""
    rule = residual(1e-5) | iterations(5000)
    try:
        problem.gap(state.x, state.y)
    except (ValueError, AttributeError):
        return rule
    return gap(1e-4) | rule
