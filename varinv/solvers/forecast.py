"""How much memory a run will take, before it takes it."""

from __future__ import annotations

from typing import Any

from varinv import check
from varinv.problem import as_problem
from varinv.solvers.base import Solver
from varinv.solvers.rehearsal import Forecast, predicted
from varinv.solvers.solve import solve


def forecast(problem: Any, solver: Solver | None = None, stop: Any = None) -> Forecast:
    """Say how much memory `solve` will take for a volume, before it takes it.

    The same solver with the same rule is run for 12 steps on 8 and on 16 of the slices while allocations are
    traced; what it takes grows by the same for every slice.  The data and the operator, which are there already, do not
    count.  Remembered on the problem.

    Parameters
    ----------
    problem, solver, stop : as in `solve`.

    Returns
    -------
    Forecast : bytes, parts {"constant", "slice", "slices"}, fits (into what limits and the machine leave free now).

    Raises
    ------
    TypeError
        A problem that is none.
    ValueError
        A problem that cannot be cut into slices: an image of fewer than three axes, an operator of your own that is no
        dataclass with a field `shape`, or a cone beam with as many views as slices.
    """
    given = as_problem(problem)
    if given is None or not given.terms:
        raise TypeError(f"forecast: problem must be a Problem, got {check.describe(problem)}")
    return predicted(solve, given, solver, stop, False)
