"""Which solver for which problem, when none is named: rules over the structure of the terms, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from varinv.backend import Array
from varinv.problem import Problem
from varinv.solvers.adaptive_chambolle_pock import AdaptiveChambollePock
from varinv.solvers.base import Solver, Unsuited
from varinv.solvers.cg import CG
from varinv.solvers.cgls import CGLS
from varinv.solvers.condat_vu import CondatVu
from varinv.solvers.fista import FISTA
from varinv.solvers.least_squares import split
from varinv.solvers.mmgks import MMGKS
from varinv.solvers.proximal_gradient import ProximalGradient


class Choice(NamedTuple):
    """A solver, the reason why it was taken, and its first state."""

    solver: Solver
    why: str
    state: Any


def choose(problem: Problem, x: Array, dual: bool = False) -> Choice:
    """The first of `candidates` that takes the problem; all of them converge with their default settings.

    Parameters
    ----------
    problem : any.
    x : the start image.
    dual : whether the solver must have dual arrays, as the rule `gap` needs them.

    Raises
    ------
    Unsuited
        (a TypeError) Where no solver takes the problem with a proof; the message says what the last one lacked.
    """
    refusal: Unsuited | None = None
    for solver, why in candidates(problem):
        try:
            state = solver.init(problem, x)
        except Unsuited as error:
            refusal = error
            continue
        if hasattr(state, "y") or not dual:
            return Choice(solver, why, state)
    raise Unsuited(
        f"solve: no solver is proved to converge for {problem} from this start; name one, e.g. solve(problem, ADMM()). "
        f"The last one tried says: {refusal}"
    ) from refusal


def candidates(problem: Problem) -> Iterator[tuple[Solver, str]]:
    """(solver, reason), the best first; what the reasons claim was measured by benchmarks/default_solver.py."""
    coupled, simple = problem.coupled, problem.simple
    functionals = [t.f for t in coupled] + ([simple] if simple is not None else [])
    convex = all(f.convex and f.convexity >= 0 for f in functionals)
    found, others = split(problem.terms)
    squares = not others
    if squares and len(problem.terms) == 1 and problem.terms[0].K is not None:
        yield CGLS(), "least squares alone: conjugate gradients are the best Krylov method for it"
    if squares:
        yield CG(), "squares only: conjugate gradients end after as many steps as there are distinct eigenvalues"
    if not coupled and convex:
        yield FISTA(), "terms of the image itself alone: their joint proximal map solves it"
    if convex and all(hasattr(f, "prox_conj") for f in functionals):
        yield AdaptiveChambollePock(), "convex terms with proximal maps: primal-dual steps that balance themselves"
    smooth = all(hasattr(t.f, "grad") for t in coupled)
    if convex and smooth:
        yield FISTA(), "smooth terms behind operators, a proximal map for the image: accelerated gradients"
    if convex:
        yield CondatVu(), "convex: smooth terms by their gradients, the others by their duals"
    majorised = all(hasattr(t.f, "quadratic_weight") for t in others)
    if majorised and found:
        yield MMGKS(), "squares and terms below a quadratic, not convex: majorised, to a critical point"
    if smooth and all(math.isfinite(t.f.smoothness) for t in coupled):
        yield ProximalGradient(), "not convex: proximal gradient steps, which never rise, to a critical point"
