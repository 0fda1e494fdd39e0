"""Solvers as endless sequences of immutable states, and the plain functions that read them."""

from __future__ import annotations

import collections
import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, TypeVar

from varinv import check
from varinv.arrays import given_back
from varinv.backend import Array, device, namespace, same_place
from varinv.functionals.base import Functional
from varinv.problem import Problem
from varinv.views import seen

_S = TypeVar("_S")


class Solver(ABC):
    """What every solver is: its settings, how it starts, and how it makes one step.

    Hyperparameters of an algorithm; the state is a value, and the loop belongs to the caller.

    A solver is a frozen dataclass with `init(problem, x) -> state` and `step(problem, state) -> state`.  A state is a
    NamedTuple with at least `x` and `k`, holding only what the next step needs, so that a resumed run equals an
    uninterrupted one bit for bit.
    """

    kinds: ClassVar[list[type[Solver]]] = []
    unread: ClassVar[tuple[str, ...]] = ()  # fields of a state that `advance` does not read: None for large volumes

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        first = {name: next(i for i, c in enumerate(cls.__mro__) if name in c.__dict__) for name in ("step", "advance")}
        if first["step"] < first["advance"]:
            cls.advance = Solver.advance  # type: ignore[method-assign]  # another step, so not several of the old one
        Solver.kinds.append(cls)

    @abstractmethod
    def init(self, problem: Problem, x: Array) -> Any:
        """The state before the first step."""

    @abstractmethod
    def step(self, problem: Problem, state: Any) -> Any:
        """The next state: the paper's formulas and nothing else."""

    def advance(self, problem: Problem, state: Any, most: int, spare: bool = False) -> Any:
        """At least one step, up to `most` where a method can make several at once: to the bit what `step` gives.

        `spare`: nobody reads the duals of `state` again, and they may be written over; its image is not.
        Where the fields named `unread` are None, nobody reads any other array of `state` again either.
        """
        return self.step(problem, state)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        """Pairs (solver, small problem) on which every contract is tested."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")

    def states(self, problem: Problem, x: Array | None = None, *, resume: Any = None) -> Iterator[Any]:
        """The endless sequence of states from x (None: zeros), or onwards from the state `resume`."""
        x = check.taken("states", "x", x)
        like = x if (data := problem.data()) is None else data
        if (inside := seen(like, problem, self, x, resume)) is not None:
            viewed, solver, x0, state = inside
            yield from (given_back(s, like) for s in solver.states(viewed, x0, resume=state))
        state = resume if resume is not None else self.init(problem, start(problem, x))
        while True:
            yield state
            state = self.step(problem, state)


def start(problem: Problem, x: Array | None) -> Array:
    """The checked start image: a copy of x in the dtype of the data, or zeros like the data."""
    if x is None:
        return problem.zeros()
    x = check.real_array("solve", "x0", x)
    check.same_shape("solve", "x0", x, problem.domain)
    data = problem.data()
    x = x if data is None else same_place("solve", "x0", x, data)
    return namespace(x).asarray(x, copy=True)


def not_finite(state: _S) -> _S:
    """The next state where a formula gave NaN: `solve` sees it and ends the run with the last image that was finite."""
    s: Any = state
    return s._replace(x=namespace(s.x).full_like(s.x, math.nan), k=s.k + 1)  # type: ignore[no-any-return]


def zero_duals(problem: Problem, x: Array) -> tuple[Array, ...]:
    """A zero array for every coupled term, with the library, device and dtype of x."""
    xp = namespace(x)
    return tuple(xp.zeros(t.K.codomain, dtype=x.dtype, device=device(x)) for t in problem.coupled)


class Unsuited(TypeError, ValueError):
    """A solver does not take this problem, or not from this start; another may.  What else goes wrong is an error."""


def refuse(who: str, functionals: Iterable[Functional | None], without: str = "") -> None:
    """Raise Unsuited, which names the first functional without a prox, or that is not convex."""
    for f in functionals:
        if f is not None and not hasattr(f, "prox_conj"):
            raise Unsuited(f"{who} needs a prox of every term; {f} has none{without}")
        if f is not None and f.convexity < 0:
            raise Unsuited(f"{who} needs convex terms; {f} is not convex")


def until(problem: Problem, states: Iterator[Any], rule: Callable[..., str | None]) -> Iterator[Any]:
    """Run a sequence of states until a stopping rule gives a reason.

    The states up to and including the first at which the rule (a copy of it) has a reason.
    """
    rule = copy.deepcopy(rule)
    previous = None
    for state in states:
        yield state
        if rule(problem, previous, state):
            return
        previous = state


def last(states: Iterator[Any]) -> Any:
    """Run a finite sequence of states to its end and return the last one."""
    return collections.deque(states, maxlen=1).pop()
