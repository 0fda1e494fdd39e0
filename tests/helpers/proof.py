"""Thirty seeded problems with independent optima (cvxpy), fourteen of consistent data, and what solvers make of them.

`benchmarks/solver_table.py` prints the table; test_proof.py holds it to its limits.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from conftest import dense, rand, solver_kinds

import varinv as vi

SHAPE = (4, 5)
N = 20
TOL = 1e-6  # relative objective that every solver must reach
EVERY = 10  # iterations between evaluations of the objective
MOST = 20000


@dataclass(frozen=True)
class Case:
    """A problem and its optimum; `best` None: consistent data, the optimum is 0."""

    name: str
    problem: Any
    oracle: Callable[[], float] | None

    @functools.cached_property
    def best(self) -> float:
        if self.oracle is None:
            return 0.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.oracle()


def _optimum(objective: Any, limits: list[Any]) -> float:
    problem = cp.Problem(cp.Minimize(objective), limits)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return float(problem.value)


def radon(angles: int = 6) -> Any:
    return vi.Radon(SHAPE, vi.ParallelBeam(0.13 + np.arange(angles) * math.pi / angles, 8))


def _blur(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return vi.Diagonal(rng.uniform(0.5, 2, SHAPE)) @ vi.Blur(SHAPE, rng.uniform(0, 0.2, (3, 3)) + np.diag([0, 1, 0]))


@functools.cache
def cases() -> tuple[Case, ...]:
    """The thirty, in seven groups."""
    return tuple(_cases())


def _cases() -> Iterator[Case]:
    x = cp.Variable(N)
    D = dense(vi.Gradient(SHAPE))
    gx, gy = D[:N] @ x, D[N:] @ x
    lengths = cp.norm(cp.vstack([gx, gy]), axis=0)
    tv, steps = cp.sum(lengths), cp.sum_squares(D @ x)
    field = vi.Gradient(SHAPE)

    def data(A: Any, seed: int, noise: float = 0.3) -> np.ndarray:
        truth = rand(np, SHAPE, seed, kind="non-negative")
        return np.asarray(A(truth)) + noise * rand(np, A.codomain, seed + 50)

    def least(A: Any, y: np.ndarray, w: Any = 1.0) -> Any:
        return 0.5 * cp.sum(cp.multiply(np.broadcast_to(w, y.shape).ravel(), cp.square(dense(A) @ x - y.ravel())))

    def case(name: str, problem: Any, objective: Any, limits: list[Any] | None = None) -> Case:
        problem = problem if isinstance(problem, vi.Problem) else vi.Problem((problem,))
        return Case(name, problem, functools.partial(_optimum, objective, limits or []))

    for i in range(6):  # least squares alone, A ≥ 0
        A = radon((8, 9, 10, 11, 12, 14)[i])
        y = data(A, i)
        w = 1.0 if i < 3 else 0.5 + rand(np, A.codomain, 90 + i, kind="non-negative")
        yield case(f"squares-{i}", vi.L2Squared(y, w) @ A, least(A, y, w))
    for i in range(3):  # in a box
        A = (radon(6), radon(8), _blur(3))[i]
        y = data(A, 10 + i) - 0.3
        hi = math.inf if i < 2 else 0.5
        yield case(
            f"box-{i}", vi.L2Squared(y) @ A + vi.Box(0.0, hi), least(A, y), [x >= 0] + ([x <= hi] if i == 2 else [])
        )
    for i in range(4):  # quadratic
        A = (radon(5), _blur(4), radon(4), radon(7))[i]
        y = data(A, 20 + i)
        ridge = 0.3 if i != 2 else 0.05
        problem, objective = vi.L2Squared(y) @ A + ridge * vi.L2Squared(), least(A, y) + ridge / 2 * cp.sum_squares(x)
        if i >= 2:
            problem, objective = problem + 0.4 * vi.L2Squared() @ field, objective + 0.2 * steps
        yield case(f"quadratic-{i}", problem, objective)
    for i in range(4):  # smooth
        A = (radon(6), _blur(5), radon(5), _blur(6))[i]
        y, s = data(A, 30 + i), 0.1
        ends = s * np.ones((1, 2 * N))
        roots = cp.norm(cp.vstack([cp.reshape(D @ x, (1, 2 * N), order="C"), ends]), axis=0)  # √(z² + s²)
        penalty, objective = (
            (vi.TV(SHAPE, smoothing=s), 0.5 / s * cp.sum(cp.huber(lengths, s))),  # cvxpy's is n² inside, 2 s n − s²
            (vi.TV(SHAPE, smoothing=s, isotropic=False), 0.5 / s * cp.sum(cp.huber(D @ x, s))),
            (vi.SmoothedLq(1.0, s) @ field, cp.sum(roots)),
            (vi.SmoothedLq(1.5, s) @ field, cp.sum(cp.power(roots, 1.5)) / 1.5),
        )[i]
        yield case(f"smooth-{i}", vi.L2Squared(y) @ A + 0.4 * penalty, least(A, y) + 0.4 * objective)
    for i in range(7):  # counts: alone, then with total variation
        A = (radon(6), radon(7), radon(5), radon(8), _blur(7), radon(6), _blur(8))[i]
        counts, b = (
            np.random.default_rng(40 + i).poisson(6 * A(rand(np, SHAPE, 40 + i, kind="non-negative")) + 0.5),
            0.5,
        )
        kl = cp.sum(cp.kl_div(counts.astype(float).ravel(), dense(A) @ x + b))
        problem = vi.KullbackLeibler(counts.astype(float), b) @ A + vi.NonNegative()
        if i < 5:
            yield case(f"counts-{i}", problem, kl, [x >= 0])
        else:
            yield case(f"counts-tv-{i}", problem + 0.3 * vi.TV(SHAPE), kl + 0.3 * tv, [x >= 0])
    A, B = radon(6), _blur(9)
    y, z, w = data(A, 60), data(B, 61), 0.3 + rand(np, SHAPE, 62, kind="non-negative")
    f, g = vi.L2Squared(y) @ A, vi.L2Squared(z) @ B
    noisy = rand(np, SHAPE, 63)
    yield case("tv-positive", f + 0.5 * vi.TV(SHAPE) + vi.NonNegative(), least(A, y) + 0.5 * tv, [x >= 0])
    yield case("tv-weighted", f + 0.5 * vi.TV(SHAPE, weight=w), least(A, y) + 0.5 * w.ravel() @ lengths)
    yield case("tv-box", g + 0.3 * vi.TV(SHAPE, isotropic=False) + vi.Box(0.1, 0.7),
               least(B, z) + 0.3 * cp.norm1(D @ x), [x >= 0.1, x <= 0.7])  # fmt: skip
    yield case("tv-denoising", vi.L2Squared(noisy) + 0.4 * vi.TV(SHAPE),
               0.5 * cp.sum_squares(x - noisy.ravel()) + 0.4 * tv)  # fmt: skip
    yield case("lasso", g + vi.L1(0.4), least(B, z) + 0.4 * cp.norm1(x))
    yield case("lasso-radon", f + vi.L1(1.0), least(A, y) + cp.norm1(x))


@functools.cache
def consistent() -> tuple[Case, ...]:
    """Data without noise: seven for squares, seven for counts; the optimum is 0."""
    found = []
    for i in range(7):
        A, truth = radon(7 + i), 0.1 + rand(np, SHAPE, 70 + i, kind="non-negative")
        clean = A(truth)
        extra = vi.Problem(()) if i < 5 else vi.NonNegative() if i == 5 else vi.Box(0.0, 1.2)
        found.append(Case(f"consistent-{i}", vi.Problem((vi.L2Squared(clean) @ A,)) + extra, None))
        found.append(Case(f"clean-counts-{i}", vi.KullbackLeibler(clean + 0.2, 0.2) @ A + vi.NonNegative(), None))
    return tuple(found)


# with noise the row-action ones end in a cycle; Hadamard's factors come to rest but slowly where x has zeros
CONSISTENT = {"SART", "OSSART", "OSEM", "HadamardGradient"}


@dataclass(frozen=True)
class Outcome:
    """What a solver made of a problem: refused (with its words), or how near it came, when, and its worst bound."""

    solver: str
    case: str
    refused: str | None = None
    error: float = math.inf  # relative distance of the objective from the optimum
    k: int = 0
    overclaim: float = -math.inf  # the most that a lower bound exceeded the optimum, relative

    @property
    def solved(self) -> bool:
        return self.refused is None and self.error <= TOL


def attempt(solver: Any, case: Case, most: int = MOST) -> Outcome:
    """Run until the objective is within TOL of the optimum, or `most` iterations."""
    name, problem = type(solver).__name__, case.problem
    try:
        states = solver.states(problem)
        first = next(states)
    except (TypeError, ValueError) as error:
        return Outcome(name, case.name, refused=str(error))
    if hasattr(solver, "minimises"):  # it says itself which objective is its own
        problem = solver.minimises(problem)
        case = Case(case.name, problem, lambda: _weighted_optimum(problem))
    best = case.best
    scale = abs(best) if case.oracle is not None else problem(problem.zeros())
    overclaim, error = -math.inf, math.inf
    for state in itertools.chain([first], states):
        if state.k % EVERY and state.k not in (1, 5):
            continue
        if hasattr(state, "mu"):  # it finds the weight of ½‖x‖²: judged, once its space is the whole one, by that
            if state.k < N:
                continue
            problem = case.problem + state.mu * vi.L2Squared()
            best = scale = _ridge(case.problem.terms[0], state.mu)
        error = (problem(state.x) - best) / scale
        if hasattr(state, "y") and case.oracle is not None and state.k in (1, 5, 10, 50, 100, 500, 1000, 5000):
            overclaim = max(overclaim, _overclaim(problem, state, best, scale))
        if error <= TOL or state.k >= most or (state.k > 500 and not error < 1e9):
            break
    if hasattr(state, "y") and case.oracle is not None:
        overclaim = max(overclaim, _overclaim(problem, state, best, scale))
    return Outcome(name, case.name, None, error, state.k, overclaim)


def _overclaim(problem: Any, state: Any, best: float, scale: float) -> float:
    try:
        return (problem.gap(state.x, state.y).dual - best) / scale
    except ValueError:  # no certificate
        return -math.inf


def _ridge(term: Any, mu: float) -> float:
    """min ½‖A x − y‖²_W + μ/2 ‖x‖², from the dense matrix stacked on √μ·I."""
    root = np.sqrt(np.broadcast_to(term.f.weight, term.K.codomain)).ravel()
    M = np.vstack([root[:, None] * dense(term.K), math.sqrt(mu) * np.eye(N)])
    b = np.concatenate([root * np.asarray(term.f.y).ravel(), np.zeros(N)])
    return 0.5 * float(np.sum((M @ np.linalg.lstsq(M, b, rcond=None)[0] - b) ** 2))


def _weighted_optimum(problem: Any) -> float:
    """The optimum of weighted least squares in a box, from its dense matrix: an oracle of SIRT's own objective."""
    term, box = problem.terms[0], [t.f for t in problem.terms[1:]]
    x = cp.Variable(N)
    w = np.broadcast_to(term.f.weight, term.K.codomain).ravel()
    r = cp.multiply(np.sqrt(w), dense(term.K) @ x - np.asarray(term.f.y).ravel())
    limits = [x >= b.lo for b in box] + [x <= b.hi for b in box if math.isfinite(b.hi)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _optimum(0.5 * cp.sum_squares(r), limits)


def table(most: int = MOST, names: Any = None) -> list[Outcome]:
    """Every solver of the package on every problem of its kind."""
    found = []
    for kind in solver_kinds():
        if names is not None and kind.__name__ not in names:
            continue
        own = consistent() if kind.__name__ in CONSISTENT else cases()
        found += [attempt(kind(), case, most) for case in own]
    return found


def words(outcomes: list[Outcome]) -> str:
    """The accept/refuse table in Markdown: iterations to TOL, '–' refused, '✗' not reached."""
    lines = []
    for some in (cases(), consistent()):
        rows = {o.solver for o in outcomes if o.case in {c.name for c in some}}
        lines += ["| solver | " + " | ".join(c.name for c in some) + " |", "|---" * (len(some) + 1) + "|"]
        for name in sorted(rows):
            mine = {o.case: o for o in outcomes if o.solver == name}
            cells = ["–" if mine[c.name].refused else str(mine[c.name].k) if mine[c.name].solved
                     else f"✗ {mine[c.name].error:.0e}" for c in some]  # fmt: skip
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)
