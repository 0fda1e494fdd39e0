"""The loop around a solver: rules, history, checkpoints, progress, and every way a run can end."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from typing import Any

from varinv import check
from varinv.backend import POOL, Array, release
from varinv.first_use import compile_seconds
from varinv.linalg import dot
from varinv.solvers.base import Solver, start
from varinv.solvers.checkpoint import Checkpoint, Keeper, Saved
from varinv.solvers.history import History
from varinv.solvers.rules import Past, default_stop, gap, leaves, looks_back, memory, readings_of, recall


def solve(
    problem: Any,
    solver: Solver | None = None,
    *,
    x0: Array | None = None,
    stop: Callable[..., str | None] | None = None,
    observe: Callable[[Any], Any] | None = None,
    progress: bool | Callable[[int, Any], None] = False,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
) -> Any:
    """Minimise a problem; every stop has a named reason.

    Parameters
    ----------
    problem : Problem, Term or Functional.
    solver : None: chosen by the structure of the problem (varinv.solvers.default_solver); the result says it.
    x0 : start image; None: zeros with the library, device and dtype of the data.
    stop : a rule; None: gap(1e-4) | residual(1e-5) | iterations(5000), without the gap where the problem has no
        certificate.
    observe : called with every state; what it returns (a number, or a dict of numbers) goes into the history.
    progress : show a progress line; or a function that is called with the iteration number and what the rules read.
    checkpoint : a file from which a run that was killed goes on when the same call is made again, bit for bit as if
        it had never stopped; a path, or a Checkpoint that says how often it is written.

    Returns
    -------
    Result : with x, state, why, history (see varinv.solvers.history.History).  Ctrl-C ends the run with the last
        iterate and says so in `why`; a NaN or infinite iterate ends it with the last one known to be finite (in a fresh
        state).

    Raises
    ------
    TypeError, ValueError
        A problem that is none, a start image of another shape or with NaN, a checkpoint of another run.
    OSError
        A checkpoint that cannot be written at the start (later it is a warning).
    """
    from varinv.problem import Problem, as_problem
    from varinv.result import Result
    from varinv.solvers.default_solver import choose

    waited = compile_seconds()
    given = as_problem(problem)
    if given is None or (type(given) is Problem and not given.terms):
        raise TypeError(
            f"solve: problem must be a Problem such as L2Squared(y) @ A + TV(shape), got {check.describe(problem)}"
        )
    problem = given
    if solver is not None and not isinstance(solver, Solver):
        raise TypeError(f"solve: solver must be a Solver such as ChambollePock(), got {check.describe(solver)}")
    x = start(problem, x0)
    if stop is not None and (not callable(stop) or isinstance(stop, type)):
        raise TypeError(f"solve: stop must be a rule such as gap(1e-4) | iterations(500), got {stop!r}")
    chosen = ""
    if solver is None:
        solver, chosen, state = choose(problem, x, any(isinstance(rule, gap) for rule in leaves(stop)))
    else:
        state = solver.init(problem, x)
    rule: Any = default_stop(problem, state) if stop is None else copy.deepcopy(stop)
    keeper = Keeper.of(checkpoint, problem, solver, None if x0 is None else x)
    words, why, judged, previous = repr(rule), None, False, None
    found = None if keeper is None else keeper.find(state)
    if found is not None:
        state, judged = found.state, found.stop == words  # the same rule has judged this state already
        recall(rule, found.memory, judged)
        why = found.why if judged else None
    finished = why is not None
    history = History(problem, rule, observe, found)
    good, guard = (state.x, state.k), _Guard()
    alone = observe is None and not callable(progress) and (keeper is None or keeper.checkpoint.every is None)
    del x
    release()  # what norms and geometry needed
    from varinv.progress import bar

    with bar(progress, solver, rule) as show:
        try:
            while not why:
                if not judged:
                    if guard.due(state.k):
                        if not guard.finite(state):
                            break
                        good = state.x, state.k
                    if previous is not None and history.due(state) and not looks_back(rule, state):
                        history.look(previous, state)
                        previous = Past(previous.k)  # room for what a look needs
                    with POOL.guest():
                        why = rule(problem, previous, state)
                        history.record(previous, state, last=bool(why))
                    if why:
                        break
                judged = False
                if keeper is not None:
                    keeper.offer(Saved(state, history.rows, memory(rule), words, None, history.seconds()), _finite)
                previous = state  # the one before is let go first: two states at a time
                unseen = history.next(state.k) - 1 - state.k if alone else 1  # nobody else sees each state
                spare = alone and keeper is None and not looks_back(rule, state)
                state = solver.advance(problem, state, max(unseen, 1), spare)
                if state.k > previous.k + 1:
                    previous = None
                show(state.k, readings_of(rule))
        except KeyboardInterrupt:
            why = f"interrupted after {state.k} iterations"
            if keeper is not None:
                keeper.close()
    notes = {}
    if not _finite(state):
        why = f"not finite at iteration {state.k}; the iterate of iteration {good[1]}, which was finite, is returned"
        del previous
        state = solver.init(problem, good[0])._replace(k=good[1])
    elif keeper is not None and not finished and not str(why).startswith("interrupted"):
        keeper.close(Saved(state, history.rows, memory(rule), words, why, history.seconds()))
    if keeper is not None and keeper.failed:
        notes["checkpoint"] = keeper.failed
    del good, found
    previous = None
    release()
    compiling = compile_seconds() - waited
    rows, seconds = tuple(history.rows), history.seconds()
    return Result(state.x, state, str(why), rows, seconds, problem, solver, notes, chosen, compiling)


def _finite(state: Any) -> bool:
    return math.isfinite(dot(state.x, state.x))


class _Guard:
    """Looks whether an iterate is finite: all of them where that costs a fiftieth of an iteration or less, else some.

    The last finite one is held: where it is that of the last iteration, it is held once.
    """

    def __init__(self) -> None:
        self.began, self.k, self.cost = time.perf_counter(), 0, math.inf

    def due(self, k: int) -> bool:
        return k % 10 == 0 or k < 10 or 50 * self.cost * (k - self.k) < time.perf_counter() - self.began

    def finite(self, state: Any) -> bool:
        now = time.perf_counter()
        found = _finite(state)
        spent = time.perf_counter() - now
        self.cost = min(self.cost, spent)  # of all looks: one that was disturbed says nothing of the next
        self.began, self.k = now + spent, state.k
        return found
