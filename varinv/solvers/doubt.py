"""A sentence for a run that did not converge on a user's own classes: which test of `varinv.testing` to run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from varinv.functionals.base import Functional
from varinv.operators.base import LinearOperator
from varinv.solvers.base import Solver
from varinv.solvers.rules import leaves, residual

ENOUGH = 100  # iterations after which the examples of all solvers are past what is asked here
CHECKS = ((LinearOperator, "check_operator"), (Functional, "check_functional"), (Solver, "check_solver"))


def doubt(problem: Any, solver: Any, rule: Any, rows: list[dict[str, Any]], finite: bool) -> str:
    """What looks wrong and which checks to run; '' where all is well or every class is varinv's own.

    A wrong adjoint, prox or step seldom raises an error: the run goes on, to a wrong image or to none.
    """
    found = suspicion(rule, rows, finite)
    names = {check: sorted(foreign((problem.terms, solver), kind)) for kind, check in CHECKS} if found else {}
    tests = [f"vi.testing.{check} of {', '.join(own)}" for check, own in names.items() if own]
    return f"{found}; run {' and '.join(tests)}: a wrong adjoint, prox or step shows so" if tests else ""


def suspicion(rule: Any, rows: list[dict[str, Any]], finite: bool) -> str:
    """What a run shows that a sound problem does not; '' where there is nothing."""
    if not finite:
        return "the image became infinite or NaN"
    k = rows[-1]["k"] if rows else 0
    if k < ENOUGH:
        return ""
    objectives = [row["objective"] for row in rows if math.isfinite(row.get("objective", math.inf))]
    first, last = (objectives[0], objectives[-1]) if objectives else (0.0, 0.0)
    bounds = [row["lower_bound"] for row in rows if "lower_bound" in row]
    # an optimum of 0 has no relative gap: there the objective itself falls to nothing
    if bounds and last - bounds[-1] > max(0.5 * max(abs(last), abs(bounds[-1])), 1e-3 * abs(first)):
        return f"the lower bound {bounds[-1]:.3g} is far below the objective {last:.3g} after {k} iterations"
    tols = [leaf.tol for leaf in leaves(rule) if isinstance(leaf, residual)]
    read = [row["residual"] for row in rows if "residual" in row]
    if tols and len(read) > 1 and read[-1] > max(min(tols), 0.5 * read[0]):
        return f"the residual {read[-1]:.2g} is not half of its first value {read[0]:.2g} after {k} iterations"
    if last > first + 0.5 * abs(first):
        return f"the objective rose from {first:.3g} to {last:.3g} in {k} iterations"
    return ""


def foreign(value: Any, kind: type, above: tuple[int, ...] = ()) -> set[str]:
    """Names of the classes of `kind` inside a value that are not varinv's own."""
    if id(value) in above:
        return set()
    own = (
        {type(value).__name__}
        if isinstance(value, kind) and not type(value).__module__.startswith("varinv.")
        else set()
    )
    return own.union(*(foreign(part, kind, (*above, id(value))) for part in _inside(value)))


def _inside(value: Any) -> Iterator[Any]:
    """What a value is made of, as far as it can hold operators, functionals or solvers."""
    if isinstance(value, (tuple, list)):
        yield from value
    elif type(value).__module__.startswith("varinv.") or isinstance(value, tuple(kind for kind, _ in CHECKS)):
        yield from vars(value).values() if hasattr(value, "__dict__") else ()
