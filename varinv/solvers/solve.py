"""The loop around a solver: rules, history, checkpoints, progress, and every way a run can end."""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from varinv import check
from varinv.arrays import given_back
from varinv.backend import Array, release
from varinv.domains import infeasible, out_of_reach
from varinv.first_use import compile_seconds
from varinv.linalg import dot
from varinv.problem import Problem, as_problem
from varinv.progress import bar
from varinv.result import Result
from varinv.solvers.base import Solver, start
from varinv.solvers.checkpoint import Checkpoint, Keeper, Saved
from varinv.solvers.default_solver import choose
from varinv.solvers.doubt import doubt
from varinv.solvers.probes import culprit, refuted
from varinv.solvers.rehearsal import afford
from varinv.solvers.rules import default_stop, gap, leaves, readings_of, spent
from varinv.solvers.watch import Watch, finite
from varinv.views import seen


def last_finite(problem: Problem, solver: Solver, state: Any, x: Array, k: int) -> tuple[Any, str]:
    """A state with the last image known to be finite, and what to say: in a fresh state where the solver makes one."""
    words = f"not finite at iteration {state.k}; "
    if not math.isfinite(dot(x, x)):
        return state, words + "no finite image is held"
    why = culprit(problem, x)
    try:
        fresh = solver.init(problem, x)._replace(k=k)
    except (ValueError, TypeError, ArithmeticError):  # of NaN that comes back
        fresh = state
    fresh = fresh if finite(fresh) else state._replace(x=x, k=k)
    return fresh, words + f"the iterate of iteration {k}, which was finite, is returned" + why


@contextmanager
def whole() -> Iterator[None]:
    """Inside, Ctrl-C waits for the end: a state that is being written over is no image of any iteration."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    pressed: list[Any] = []
    signal.signal(signal.SIGINT, lambda *press: pressed.append(press))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        before(*pressed[0])


def _but(problem: Problem, x: Any, rows: Any, used_up: bool) -> str:
    """What stands against the reason of a run that ended by itself; '' where nothing does."""
    if rows and not rows[-1].get("objective", 0.0) < math.inf:
        return infeasible(problem, x)
    return "" if used_up else refuted(problem, x)


def solve(
    problem: Any,
    solver: Solver | None = None,
    *,
    x0: Array | None = None,
    stop: Callable[..., str | None] | None = None,
    observe: Callable[[Any], Any] | None = None,
    progress: bool | Callable[[int, Any], None] = False,
    checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    memory: str | None = None,
) -> Result:
    """Minimise a problem: reconstruct an image, and say why the solver stopped.

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
    memory : None: a volume above 1 GB (16 images) whose run would not fit into memory is refused before it starts, see
        `forecast`; "ignore": it is tried.

    Returns
    -------
    Result : with x, state, why, history (see varinv.solvers.watch.History).  Ctrl-C ends the run with the last
        iterate and says so in `why`; a NaN or infinite iterate ends it with the last one known to be finite (in a fresh
        state).

    Raises
    ------
    TypeError, ValueError
        A problem that is none, a start image of another shape or with NaN, a checkpoint of another run.
    MemoryError
        A volume whose run does not fit; the message has the numbers.
    OSError
        A checkpoint that cannot be written at the start (later it is a warning).
    """
    waited = compile_seconds()
    given = as_problem(problem)
    if given is None or (type(given) is Problem and not given.terms):
        raise TypeError(
            f"solve: problem must be a Problem such as L2Squared(y) @ A + TV(shape), got {check.describe(problem)}"
        )
    problem = given
    if solver is not None and not isinstance(solver, Solver):
        raise TypeError(f"solve: solver must be a Solver such as ChambollePock(), got {check.describe(solver)}")
    if memory not in (None, "ignore"):
        raise ValueError(f'solve: memory must be None or "ignore", got {memory!r}')
    if memory is None:
        afford(solve, problem, solver, stop, seen=observe is not None or callable(progress) or checkpoint is not None)
    x0 = check.taken("solve", "x0", x0)
    like = x0 if (data := problem.data()) is None else data
    if (inside := seen(like, problem, solver, x0, stop)) is not None:
        shown = observe if observe is None else lambda state: observe(given_back(state, like))
        viewed, method, begin, until = inside
        done = solve(
            viewed,
            method,
            x0=begin,
            stop=until,
            observe=shown,
            progress=progress,
            checkpoint=checkpoint,
            memory="ignore",
        )
        x, state = given_back(done.x, like), given_back(done.state, like)
        return dataclasses.replace(done, x=x, state=state, problem=problem, solver=solver or done.solver)
    x = start(problem, x0)
    if stop is not None and (not callable(stop) or isinstance(stop, type)):
        raise TypeError(f"solve: stop must be a rule such as gap(1e-4) | iterations(500), got {stop!r}")
    if words := out_of_reach(problem):
        raise ValueError(f"solve: {words}")
    if observe is not None and (not callable(observe) or isinstance(observe, type)):
        raise TypeError(f"solve: observe must be a function that is called with every state, got {observe!r}")
    if not (isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"solve: progress must be True, False or a function(k, readings), got {progress!r}")
    chosen = ""
    if solver is None:
        solver, chosen, state = choose(problem, x, any(isinstance(rule, gap) for rule in leaves(stop)))
    else:
        state = solver.init(problem, x)
    rule, unproved = default_stop(problem, state) if stop is None else (copy.deepcopy(stop), "")
    keeper = Keeper.of(checkpoint, problem, solver, None if x0 is None else x)
    found = None if keeper is None else keeper.find(state)
    alone = observe is None and not callable(progress) and (keeper is None or keeper.checkpoint.every is None)
    state = state if found is None else found.state
    if not finite(state):
        raise ValueError(f"solve: the first image of {solver} is NaN or infinite{culprit(problem, x)}")
    watch = Watch(problem, rule, observe, state, found, alone, lean=keeper is None)
    finished, interrupted = watch.why is not None, False

    def saved(state: Any) -> Saved:
        return Saved(state, watch.history.rows, watch.memory(), watch.words, watch.why, watch.history.seconds())

    del x, found
    release()  # what norms and geometry needed
    with bar(progress, solver, rule) as show:
        try:
            while watch.wants_more(state):
                if keeper is not None:
                    keeper.offer(saved(state), finite)
                most, spare = watch.ahead(state, kept=keeper is not None)
                with whole() if watch.lean else nullcontext():
                    if watch.lean:
                        state = state._replace(**dict.fromkeys(solver.unread))
                    state = solver.advance(problem, state, most, spare)
                watch.stepped(state)
                show(state.k, readings_of(rule))
        except KeyboardInterrupt:
            watch.why, interrupted = f"interrupted after {state.k} iterations", True
            if keeper is not None:
                keeper.close()
    watch.forget()
    notes = {"proof": f"none: {unproved}"} if unproved else {}
    ended = finite(state)
    if not ended:
        state, watch.why = last_finite(problem, solver, state, *(watch.good or (state.x, state.k)))
    elif keeper is not None and not finished and not interrupted:
        keeper.close(saved(state))
    if keeper is not None and keeper.failed:
        notes["checkpoint"] = keeper.failed
    if words := doubt(problem, solver, rule, watch.history.rows, ended):
        notes["doubt"] = words
    watch.good = None
    release()
    rows, took, why = tuple(watch.history.rows), watch.history.seconds(), str(watch.why)
    if ended and not interrupted:
        why += _but(problem, state.x, rows, spent(rule, why))
    compiling = compile_seconds() - waited
    return Result(state.x, state, why, rows, took, problem, solver, notes, chosen, interrupted, ended, compiling)
