"""Does a solver of your own keep what `solve`, checkpoints and rules build on?  `check_solver` measures it."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from varinv.backend import is_array, to_numpy
from varinv.certificate import NoCertificate
from varinv.problem import as_problem
from varinv.solvers.adaptive_chambolle_pock import AdaptiveChambollePock
from varinv.solvers.base import Solver, start
from varinv.solvers.rules import gap, iterations, residual
from varinv.solvers.solve import solve
from varinv.testing.figures import dense, largest_singular_value, rand
from varinv.testing.report import ABSENT, FAILED, NOTE, OK, Line, Report, at_most, collect, holds, refused

RUN, HALF = 25, 11  # iterations of the runs that are compared to the bit
LOOKS = (1, 2, 5, 10, 30, 100, 300, 1000)


class _Case(NamedTuple):
    solver: Any
    problem: Any
    most: int
    tol: float
    x0: Any


def check_solver(
    solver: Solver, problem: Any, iterations: int = 3000, tol: float = 1e-6, x0: Any = None, reference: Any = None
) -> Report:
    """Test a solver of your own: its states, resumption, residual and its solution of a small problem.

    Parameters
    ----------
    solver : an instance of your class.
    problem : a small problem that it should solve, with a known kind of solution (any sum of terms).
    iterations : how many it gets.
    tol : how near the objective must come to the optimum after them, relative to the optimum or to what was won from
        the start, whichever is larger.
    x0 : start image; None: zeros.
    reference : an image that solves the problem; None: AdaptiveChambollePock computes one to a certified gap of 1e-9
        or, without a certificate, to a residual of 1e-10 (not for problems that it refuses).

    Returns
    -------
    Report : true where nothing failed.

    Examples
    --------
    >>> import varinv as vi
    >>> problem = vi.L2Squared([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0]]) + 0.3 * vi.TV((2, 3))
    >>> vi.testing.check_solver(vi.ChambollePock(), problem, iterations=2000, tol=1e-5).ok
    True
    """
    refused("check_solver", Solver, solver, "ChambollePock()")
    given = as_problem(problem)
    if given is None:
        raise TypeError(f"check_solver takes a problem such as L2Squared(y) @ A + TV(shape), got {problem!r}")
    if not isinstance(start(given, x0), np.ndarray):
        raise TypeError("check_solver works on data of NumPy: make the problem from NumPy arrays")
    case = _Case(solver, given, iterations, tol, x0)
    return collect(
        f"{solver} on {given}",
        [
            ("the first state", _first),
            ("states never change", _immutable),
            ("what came in is left alone", _input),
            ("a resumed run is the uninterrupted one", _resumed),
            ("advance() makes the same steps", _advance),
            ("the steps keep their condition", _steps),
            ("the solution", lambda case: _solution(case, reference)),
            ("pickles", _pickles),
        ],
        case,
    )


def _states(case: _Case, resume: Any = None) -> Iterator[Any]:
    x0 = None if case.x0 is None else np.array(to_numpy(case.x0))
    return iter(case.solver.states(case.problem, x0, resume=resume))


def _fresh(case: _Case) -> _Case:
    """The same solver and problem without anything that a run may have left in them."""
    return case._replace(solver=copy.deepcopy(case.solver), problem=copy.deepcopy(case.problem))


def arrays(value: Any) -> Iterator[Any]:
    """Every array inside a state: tuples, lists and dicts are walked."""
    if is_array(value):
        yield value
    elif isinstance(value, dict):
        for k in sorted(value, key=str):
            yield from arrays(value[k])
    elif isinstance(value, (tuple, list)):
        for v in value:
            yield from arrays(v)


def fields(state: Any) -> dict[str, Any]:
    """The fields of a state by name."""
    if hasattr(state, "_asdict"):
        return dict(state._asdict())
    return dict(vars(state)) if hasattr(state, "__dict__") else {"state": state}


def bits(value: Any) -> Any:
    """A value with every array as its bytes, so that == compares to the bit."""
    if is_array(value):
        return (str(value.dtype), tuple(value.shape), to_numpy(value).tobytes())
    if isinstance(value, dict):
        return {k: bits(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map(bits, value))
    return repr(value) if isinstance(value, float) else value


def _first(case: _Case) -> Iterator[Line]:
    s = next(_states(case))
    good = hasattr(s, "x") and hasattr(s, "k") and s.k == 0
    yield holds("the first state has x and k = 0", good, "the state is a NamedTuple with at least x and k: int = 0")
    yield holds(
        "the state is a NamedTuple", isinstance(s, tuple) and hasattr(s, "_fields"),
        "class MyState(NamedTuple): x: Array; k: int; checkpoints and rules read it, nobody may write to it",
    )  # fmt: skip
    first = start(case.problem, case.x0)
    same = (tuple(s.x.shape), s.x.dtype) == (tuple(first.shape), first.dtype)
    yield holds("x has the shape and dtype of the image", same, "init(problem, x) starts from x", f"{s.x.dtype}")
    later = list(itertools.islice(_states(case), 4))
    yield holds("k counts the steps", [t.k for t in later] == [0, 1, 2, 3], "step returns k + 1")
    yield holds(
        "x keeps its dtype", all(t.x.dtype == s.x.dtype for t in later), "no float64 constants beside float32 x"
    )
    if not hasattr(s, "y"):
        yield Line("y, the duals, in the state", ABSENT, advice="they would give: vi.gap(tol), a certified stop")
    if not hasattr(s, "residual"):
        yield Line(
            "residual(problem, previous)", ABSENT, advice="it would give: vi.residual(tol), an optimality measure"
        )


def _immutable(case: _Case) -> Iterator[Line]:
    kept = []
    for s in itertools.islice(_states(case), RUN):
        if s.k % 3 == 0:
            kept.append((s, {k: bits(v) for k, v in fields(s).items()}))
    changed = sorted({k for s, before in kept for k, v in fields(s).items() if bits(v) != before[k]})
    yield holds(
        "states never change", not changed, "step must make new arrays: rules and observers read earlier states",
        f"{', '.join(changed)} of an earlier state changed later" if changed else "",
    )  # fmt: skip


def _input(case: _Case) -> Iterator[Line]:
    x0 = case.x0 if case.x0 is not None else start(case.problem, None)
    x0 = np.array(to_numpy(x0))
    x0.flags.writeable = False
    inside = [a for t in case.problem.terms for a in arrays(list(vars(t.f).values()))]
    before = [bits(a) for a in (x0, *inside)]
    solver = bits({k: v for k, v in vars(case.solver).items() if not k.startswith("_")})
    state = case.solver.init(case.problem, x0)
    for _ in range(4):
        state = case.solver.step(case.problem, state)
    after = [bits(a) for a in (x0, *inside)]
    yield holds("the start image is left alone", before[0] == after[0], "init may be given an array that others hold")
    yield holds("the data of the problem are left alone", before[1:] == after[1:], "copy before writing")
    now = bits({k: v for k, v in vars(case.solver).items() if not k.startswith("_")})
    yield holds(
        "the solver is left alone", solver == now, "what changes belongs into the state: @dataclass(frozen=True)"
    )


def _resumed(case: _Case) -> Iterator[Line]:
    straight = next(itertools.islice(_states(_fresh(case)), RUN, None))
    again = next(itertools.islice(_states(_fresh(case)), RUN, None))
    yield holds(
        "two runs give the same bits", bits(fields(straight)) == bits(fields(again)), "randomness from a seed and k"
    )
    half = next(itertools.islice(_states(_fresh(case)), HALF, None))
    half = pickle.loads(pickle.dumps(half))
    resumed = next(itertools.islice(_states(_fresh(case), half), RUN - HALF, None))
    a, b = bits(fields(straight)), bits(fields(resumed))
    differ = [k for k in a if a[k] != b.get(k)]
    yield holds(
        f"a run resumed at {HALF} is the uninterrupted one at {RUN}, bit for bit", not differ,
        "all that the next step needs belongs into the state, nothing into the solver or the module",
        f"{', '.join(differ)} differ" if differ else "",
    )  # fmt: skip


def _advance(case: _Case) -> Iterator[Line]:
    if type(case.solver).advance is Solver.advance:
        return
    at = next(itertools.islice(_states(_fresh(case)), 3, None))
    one = many = at
    many = case.solver.advance(case.problem, many, 7)
    for _ in range(many.k - at.k):
        one = case.solver.step(case.problem, one)
    good = at.k < many.k <= at.k + 7 and bits(fields(one)) == bits(fields(many))
    yield holds("advance() makes up to `most` steps, bit for bit those of step()", good, "leave advance() away")


def _steps(case: _Case) -> Iterator[Line]:
    if not hasattr(case.solver, "steps") or case.solver.steps.__code__.co_argcount != 2:
        return
    tau, sigma = case.solver.steps(case.problem)
    terms = case.problem.coupled
    if not isinstance(tau, float) or len(sigma) != len(terms) or not all(isinstance(s, float) for s in sigma):
        return
    explicit = [hasattr(t.f, "grad") and t.f.smoothness < math.inf for t in terms]
    each = [(s, t.K) for s, t in zip(sigma, terms, strict=True)]
    words, product = "all terms", tau * _coupled(each)
    if product > 1 + 1e-9 and any(explicit):  # a method that takes smooth terms by their gradient
        words = "the terms without a gradient"
        product = tau * _coupled([pair for pair, smooth in zip(each, explicit, strict=True) if not smooth])
    good = product <= 1 + 1e-9
    yield Line(
        "the steps keep τ ‖Σ^½ K‖² ≤ 1", OK if good else FAILED, f"{product:.3g} over {words}",
        "(Chambolle & Pock 2011)", "the iteration may diverge: a longer σ asks for a shorter τ",
    )  # fmt: skip


def _coupled(pairs: list[tuple[float, Any]]) -> float:
    """‖Σ^½ K‖²: from the dense matrices where they are small, else the largest σ_i ‖K_i‖², a lower bound."""
    if not pairs:
        return 0.0
    if math.prod(pairs[0][1].domain) <= 1024 and sum(math.prod(K.codomain) for _, K in pairs) <= 4096:
        return float(np.linalg.norm(np.vstack([math.sqrt(s) * dense(K) for s, K in pairs]), 2)) ** 2
    return max(s * largest_singular_value(K)[0] ** 2 for s, K in pairs)


# ------------------------------------------------------------------------------------------------------ the solution


def _optimum(problem: Any) -> tuple[float, str]:
    """The objective of a trusted solution, and how well it is known."""
    result = solve(problem, AdaptiveChambollePock(), stop=iterations(1))
    try:
        problem.gap(result.x, result.state.y)
        stop: Any = gap(1e-9) | residual(1e-12, every=40) | iterations(20000)
    except NoCertificate:
        stop = residual(1e-10) | iterations(20000)
    result = solve(problem, AdaptiveChambollePock(), stop=stop)
    return problem(result.x), f"AdaptiveChambollePock: {result.why}"


def _solution(case: _Case, reference: Any) -> Iterator[Line]:
    solver, problem = case.solver, case.problem
    looks = sorted({*(k for k in LOOKS if k < case.most), case.most})
    seen: list[Any] = []
    previous: Any = None
    state: Any = None
    for state in itertools.islice(_states(case), case.most + 1):
        if state.k in looks:
            left = state.residual(problem, previous) if hasattr(state, "residual") and previous is not None else None
            seen.append((state.k, state.x, left))
        previous = state
    goal = solver.minimises(problem) if hasattr(solver, "minimises") else problem
    x = seen[-1][1]
    finite = bool(np.all(np.isfinite(to_numpy(x))))
    yield holds("the image stays finite", finite, "a step is too long, or something is divided by 0")
    if not finite:
        return
    best, words = goal(x), "the objective of its own last image"
    if reference is not None:
        best, words = goal(reference), "the objective of the reference"
    else:
        try:
            best, words = _optimum(goal)
        except (TypeError, ValueError) as error:
            yield Line("a reference optimum", NOTE, str(error), "", "judged by images nearby; pass reference=image")
    tried = (goal(z) for z in (start(problem, case.x0), *(z for _, z, _ in seen)))  # counts are ∞ at zeros
    size = max(abs(best), next((v for v in tried if math.isfinite(v)), best) - best, 1e-300)
    final = (goal(x) - best) / size
    yield at_most(
        f"the objective after {case.most} iterations is that of the solution", final, case.tol, words,
        "too slow: pass more iterations; or the step does not minimise what the problem says",
    )  # fmt: skip
    drop = max((goal(x) - goal(z)) / size for z in _nearby(x))
    yield at_most("no image nearby is better", drop, max(case.tol, 1e-9), "random images at 20 distances", "see above")
    errors = [(goal(z) - best) / size for _, z, _ in seen]
    yield from _residual(seen, errors)
    yield from _bound(problem if goal is problem else None, state, best, size)


def _nearby(x: Any) -> Iterator[Any]:
    for i, scale in enumerate(np.logspace(-4, 0, 20)):
        yield x + scale * rand(np, tuple(x.shape), i)


def _residual(seen: Any, errors: Any) -> Iterator[Line]:
    found = [(k, left, error) for (k, _, left), error in zip(seen, errors, strict=True) if left is not None]
    if not found:
        return
    early, last = max(left for _, left, _ in found[:3]), found[-1][1]
    yield holds(
        "the residual falls", last <= 1e-3 * early or last <= 1e-6, "it must go to 0 with the iterates",
        f"from {early:.1e} to {last:.1e}",
    )  # fmt: skip
    early_zero = [k for k, left, error in found if left <= 1e-9 and error > 1e-3]
    yield holds(
        "the residual is 0 only near a solution", not early_zero,
        "measure optimality (0 in the subdifferential), not how far a step went",
        f"0 at iteration {early_zero[0]}, far from the solution" if early_zero else "",
    )  # fmt: skip


def _bound(problem: Any, state: Any, best: float, size: float) -> Iterator[Line]:
    if problem is None or not hasattr(state, "y"):
        return
    try:
        dual = problem.gap(state.x, state.y).dual
    except ValueError as error:
        yield Line("the duals prove a lower bound", NOTE, str(error))
        return
    if dual == -math.inf:
        return
    yield at_most(
        "the duals prove no more than the optimum", (dual - best) / size, 1e-6, "the reference's own accuracy",
        "y is one array for each of problem.coupled, in its order",
    )  # fmt: skip
    yield at_most(
        "the duals prove the solution", (best - dual) / size, 0.05, "a useful proof", "the duals do not converge"
    )


def _pickles(case: _Case) -> Iterator[Line]:
    advice = "worker processes need it: keep the class at module level"
    try:
        pickle.loads(pickle.dumps(case.solver))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        yield Line("pickles", NOTE, str(error), "", advice)
    else:
        yield Line("pickles", OK)
    try:
        type(case.solver)()
    except TypeError as error:
        yield Line("constructs without arguments", NOTE, str(error), "", "give every field a default that is certified")
