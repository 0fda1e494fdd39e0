"""When to stop: rules with a named reason, combined with | and &."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from varinv import check
from varinv.backend import double, namespace
from varinv.certificate import NoCertificate
from varinv.first_use import clock
from varinv.linalg import distance, norm
from varinv.problem import Problem, relative_gap


class Rule:
    """When to stop: ``rule(problem, previous, state) -> reason or None``; combine with ``|`` and ``&``.

    `readings` holds the figures of the last evaluation, for the history: a new dict each time.  A rule may remember
    things between calls in its attributes; `solve` works on a copy, and a checkpoint keeps them.  Any function of the
    same signature is a rule as well.  `limit` is the iteration at which it stops at the latest; None: it knows none.
    """

    limit: ClassVar[int | None] = None

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        raise NotImplementedError

    def __or__(self, other: Callable[..., str | None]) -> Rule:
        return _Any(self, other)

    def __and__(self, other: Callable[..., str | None]) -> Rule:
        return _All(self, other)


def reason(rule: Any, problem: Problem, previous: Any, state: Any) -> str | None:
    """What a rule answers: the reason to stop, or None; an error where a function of somebody's answers otherwise."""
    found = rule(problem, previous, state)
    if type(found) is str:
        return found or None
    if found is None or (type(found).__name__ in ("bool", "bool_") and not found):
        return None
    name = rule if isinstance(rule, Rule) else getattr(rule, "__name__", type(rule).__name__)
    raise TypeError(
        f"the rule {name} returned {check.describe(found)}; a rule returns the reason to stop as text, or None to go on"
    )


FAR = 1 << 62  # further than any run


def leaves(rule: Any) -> list[Any]:
    """The rules that ``|`` and ``&`` join, left to right."""
    return [*leaves(rule.a), *leaves(rule.b)] if isinstance(rule, (_Any, _All)) else [rule]


def _limits(*rules: Any) -> list[int]:
    """The `limit` of each rule that has one; a function has none."""
    return [n for n in (getattr(rule, "limit", None) for rule in rules) if n is not None]


def readings_of(rule: Any) -> dict[str, float]:
    return dict(getattr(rule, "readings", {}))


@dataclass
class _Any(Rule):
    a: Callable[..., str | None]
    b: Callable[..., str | None]

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        return reason(self.a, problem, previous, state) or reason(self.b, problem, previous, state)

    @property
    def limit(self) -> int | None:  # type: ignore[override]
        return min(_limits(self.a, self.b), default=None)

    @property
    def readings(self) -> dict[str, float]:
        return readings_of(self.a) | readings_of(self.b)


@dataclass
class _All(Rule):
    a: Callable[..., str | None]
    b: Callable[..., str | None]

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        reasons = [reason(rule, problem, previous, state) for rule in (self.a, self.b)]
        return None if None in reasons else " and ".join(r for r in reasons if r)

    @property
    def limit(self) -> int | None:  # type: ignore[override]
        found = _limits(self.a, self.b)
        return max(found) if len(found) == 2 else None

    @property
    def readings(self) -> dict[str, float]:
        return readings_of(self.a) | readings_of(self.b)


@dataclass
class iterations(Rule):
    """Stop after a given number of iterations."""

    n: int

    def __post_init__(self) -> None:
        self.n = check.integer("iterations", "n", self.n, low=0)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        return f"{self.n} iterations" if state.k >= self.n else None

    @property
    def limit(self) -> int:  # type: ignore[override]
        return self.n

    def next(self, k: int) -> int:
        return max(self.n, k + 1)


@dataclass
class seconds(Rule):
    """Stop after a given time.

    Stop once t seconds have passed since the first evaluation, in all calls that a checkpoint joins together.

    A method that makes several iterations at once is not interrupted in between.  Time in which kernels are compiled,
    at their first use, does not count: the same call makes as many iterations the first time as later.
    """

    t: float
    began: float | None = None
    spent: float = 0.0

    def __post_init__(self) -> None:
        self.t = check.number("seconds", "t", self.t, low=0.0)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        self.began = clock() if self.began is None else self.began
        return f"{self.t:g} seconds" if self.spent_now() >= self.t else None

    def next(self, k: int) -> int:
        return FAR  # whenever one is

    def spent_now(self) -> float:
        """Seconds so far, with those of earlier calls."""
        return self.spent + (0.0 if self.began is None else clock() - self.began)


def spent(rule: Any, why: str) -> bool:
    """Whether a run ended because its iterations or its time were used up, or without a feasible image."""
    limits = [f"{leaf.n} iterations" for leaf in leaves(rule) if isinstance(leaf, iterations)]
    limits += [f"{leaf.t:g} seconds" for leaf in leaves(rule) if isinstance(leaf, seconds)]
    return why in limits or "but the objective is" in why


@dataclass
class small_change(Rule):
    """Stop once the image hardly changes any more; this is cheap, but proves nothing.

    The condition is ‖x' − x‖ ≤ tol ‖x'‖.

    The first step does not count: methods that begin with the image and zero duals do not move in it.
    """

    tol: float
    readings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tol = check.number("small_change", "tol", self.tol, low=0.0, strict=True)

    def __call__(self, problem: Problem, previous: Any, state: Any) -> str | None:
        if previous is None or previous.k == 0:
            return None
        change = distance(state.x, previous.x) / (norm(state.x) or 1.0)
        self.readings = {"change": change}
        return f"relative change {change:.1e} ≤ {self.tol:g}" if change <= self.tol else None


class Periodic(Rule):
    """A rule that costs operator applications: evaluated first when it can be, then on a grid.

    The grid is the multiples of `every`, coarser by powers of two later on (between k/10 and k/5 iterations apart):
    rules with the same `every` are due together, so that ``a & b`` can hold.
    """

    every: int
    seen: int = -1

    def pace(self, k: int) -> int:
        return self.every << max((k // (5 * self.every)).bit_length() - 1, 0)

    def ahead(self, k: int) -> bool:
        """Whether iteration k is on the grid and not yet seen."""
        return self.seen < 0 or k // self.pace(k) > self.seen // self.pace(k)

    def next(self, k: int) -> int:
        return k + 1 if self.seen < 0 else (k // self.pace(k) + 1) * self.pace(k)

    def due(self, state: Any) -> bool:
        due, self.seen = self.ahead(state.k), state.k
        return due


@dataclass
class gap(Periodic):
    """Stop once the image is proved to be near the optimum.

    Stop where the relative gap (P − D)/max(|P|, |D|) ≤ tol, D the best proved lower bound seen.

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
        if value < -1e-6 and self.best - primal > 1e-12 * _size(problem, state.x):  # more than the rounding of float32
            raise ValueError(
                f"gap: the lower bound {self.best:g} exceeds the objective {primal:g}: either an adjoint in {problem} "
                "is not the transpose of its forward (vi.testing.check_operator tells), or the rule was used before on "
                "another problem"
            )
        single = state.x.dtype == namespace(state.x).float32
        tol = max(self.tol, 1e-6) if single else self.tol
        if value > tol:
            return None
        words = f"relative gap {max(value, 1e-6) if single else value:.1e} ≤ {tol:g}"
        return words + (f", assuming |x| ≤ {self.bound:g}" if self.bound is not None else "")


def _size(problem: Problem, x: Any) -> float:
    """What the terms are worth at half the image: where they vanish at x, their rounding does not."""
    return math.fsum(v for t in problem.terms if math.isfinite(v := abs(t(0.5 * double(x)))))


@dataclass
class residual(Periodic):
    """Stop once the conditions of an optimum hold up to a tolerance.

    Stop where the optimality residual of the solver's own iteration ≤ tol (relative; see the solver's state).
    """

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


ONE_STATE = (iterations, seconds, gap)  # rules that read one state only


def default_stop(problem: Problem, state: Any) -> tuple[Rule, str]:
    """(rule, what the proof lacks): gap(1e-4) | residual(1e-5) | iterations(5000), the gap only where there is a proof.

    The text is empty where the problem has a certificate, and where the state has no dual array for each coupled term.
    Beside a gap the residual, which costs as much again, is evaluated every fortieth iteration.
    """
    without = residual(1e-5) | iterations(5000)
    duals = getattr(state, "y", None)
    if not isinstance(duals, tuple) or len(duals) != len(problem.coupled):
        return without, ""
    try:
        problem.gap(state.x, duals)
    except NoCertificate as error:
        return without, str(error).removeprefix("no certificate: ")
    except NotImplementedError as error:  # a functional known by its prox alone has no value
        return without, str(error)
    return gap(1e-4) | residual(1e-5, every=40) | iterations(5000), ""
