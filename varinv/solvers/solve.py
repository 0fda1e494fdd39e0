"""The loop around a solver: rules, history, progress, and every way a run can end."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from typing import Any

from varinv import check
from varinv.backend import Array, release
from varinv.linalg import dot
from varinv.solvers.base import Solver, start
from varinv.solvers.rules import default_stop, readings_of


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
        raise TypeError(
            f"solve: problem must be a Problem such as L2Squared(y) @ A + TV(shape), got {check.describe(problem)}"
        )
    problem = given
    solver = ChambollePock() if solver is None else solver
    if not isinstance(solver, Solver):
        raise TypeError(f"solve: solver must be a Solver such as ChambollePock(), got {check.describe(solver)}")
    x = start(problem, x0)
    state = solver.init(problem, x)
    if stop is None:
        rule: Any = default_stop(problem, state)
    elif callable(stop) and not isinstance(stop, type):
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
                before = readings_of(rule)
                why = rule(problem, previous, state)
                row = _observed(observe, state)
                if (now := readings_of(rule)) != before or row:
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
