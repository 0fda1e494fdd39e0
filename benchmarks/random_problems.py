"""Random problems against cvxpy: is a certified gap ever false, and is a problem without a solution called so?

    python benchmarks/random_problems.py [FEASIBLE INFEASIBLE [SEED]]        # 300 60 1 by default

Every problem is a data term behind a random matrix, none to two regularisers and none to two constraints of a 4 × 4
image, written once for varinv and once for cvxpy (CLARABEL).  Printed: how many certified gaps are false (the objective
exceeds cvxpy's optimum by more than was certified), how many feasible problems are called infeasible, how many
infeasible ones are named and how many are said to have converged.  Needs cvxpy.
"""

from __future__ import annotations

import math
import sys
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import cvxpy as cp
import numpy as np

import varinv as vi

SHAPE = (4, 4)
N = 16
SLACK = 2e-6  # of the objective: the accuracy of CLARABEL's optimum on these problems, twice
NAMED = ("no image satisfies", "no image within the bounds", "no feasible point was found")
CLAIMS = ("relative gap", "residual", "relative change")


@dataclass
class Pair:
    """The same problem twice: terms for varinv, cost and constraints for cvxpy."""

    terms: list[Any]
    x: Any
    cost: Any = 0.0
    constraints: list[Any] = field(default_factory=list)

    def add(self, term: Any, cost: Any = None, constraints: Any = ()) -> None:
        self.terms.append(term)
        self.cost = self.cost if cost is None else self.cost + cost
        self.constraints += list(constraints)


def differences() -> np.ndarray:
    """Forward differences of the image, (2, 16, 16): rows, then columns, 0 at the last."""
    D = np.zeros((2, N, N))
    for i in range(4):
        for j in range(4):
            for k, (a, b) in enumerate(((i + 1, j), (i, j + 1))):
                if a < 4 and b < 4:
                    D[k, 4 * i + j, 4 * a + b], D[k, 4 * i + j, 4 * i + j] = 1, -1
    return D


D = differences()


def pair(rng: np.random.Generator, feasible: bool) -> Pair:
    p = Pair([], cp.Variable(N))
    m = int(rng.integers(6, 25))
    positive = rng.random() < 0.5
    M = rng.random((m, N)) / N if positive else rng.standard_normal((m, N)) / 4
    truth = rng.random(N) * 2
    data_term(p, rng, M, truth, feasible)
    for _ in range(rng.integers(0, 3)):
        regulariser(p, rng)
    for _ in range(rng.integers(0, 3) if feasible else rng.integers(1, 3)):
        constraint(p, rng, truth, feasible)
    return p


def data_term(p: Pair, rng: Any, M: np.ndarray, truth: np.ndarray, feasible: bool) -> None:
    A, m = vi.from_scipy(M, SHAPE), M.shape[0]
    kind = rng.choice(["squares", "weighted", "counts", "ball"] if feasible else ["counts", "ball", "squares", "ball"])
    z = M @ p.x
    y = M @ truth + 0.1 * rng.standard_normal(m)
    if kind == "squares":
        p.add(vi.L2Squared(y) @ A, cp.sum_squares(z - y) / 2)
    elif kind == "weighted":
        w = rng.random(m)
        p.add(vi.L2Squared(y, w) @ A, cp.sum(cp.multiply(w, cp.square(z - y))) / 2)
    elif kind == "counts":
        y, b = rng.poisson(np.maximum(5 * np.abs(M) @ truth, 0)).astype(float), float(rng.choice([0.0, 0.3]))
        constant = float(np.sum(y[y > 0] * np.log(y[y > 0]) - y[y > 0])) + b * m
        cost = cp.sum(z) - cp.sum(cp.multiply(y, cp.log(z + b))) + constant if y.all() else counts(z, y, b, constant)
        p.add(vi.KullbackLeibler(y, b) @ A, cost, [z + b >= 0])
    else:
        off = 0.0 if feasible else rng.choice([0.0, 3.0])
        y = y + off * rng.standard_normal(m)
        r = float(np.linalg.norm(y - M @ truth)) * (1.5 if feasible else float(rng.uniform(0.05, 0.6)))
        p.add(vi.L2Ball(y, r) @ A, None, [cp.norm(z - y) <= r])


def counts(z: Any, y: np.ndarray, b: float, constant: float) -> Any:
    seen = np.nonzero(y)[0]
    logs = cp.sum(cp.multiply(y[seen], cp.log(z[seen] + b))) if seen.size else 0.0
    return cp.sum(z) - logs + constant


def regulariser(p: Pair, rng: Any) -> None:
    lam = float(10 ** rng.uniform(-2, 0))
    kind = rng.choice(["l1", "tv", "square", "anisotropic", "nuclear"])
    if kind == "l1":
        p.add(lam * vi.L1(), lam * cp.norm1(p.x))
    elif kind == "tv":
        p.add(lam * vi.TV(SHAPE), lam * cp.sum(cp.norm(cp.vstack([D[0] @ p.x, D[1] @ p.x]), 2, axis=0)))
    elif kind == "anisotropic":
        p.add(lam * vi.TV(SHAPE, isotropic=False), lam * (cp.norm1(D[0] @ p.x) + cp.norm1(D[1] @ p.x)))
    elif kind == "square":
        p.add(lam * vi.L2Squared(), lam / 2 * cp.sum_squares(p.x))
    else:
        p.add(lam * vi.Nuclear(), lam * cp.normNuc(cp.reshape(p.x, SHAPE, order="C")))


def constraint(p: Pair, rng: Any, truth: np.ndarray, feasible: bool) -> None:
    """One that holds at the truth, or need not hold anywhere with the others."""
    kind = rng.choice(["box", "nonneg", "known", "l1ball", "ball", "arrays", "simplex"])
    image = truth.reshape(SHAPE)
    low, high = (float(truth.min()) - 0.1, float(truth.max()) + 0.1) if feasible else sorted(rng.uniform(-3, 1, 2))
    if kind == "box":
        p.add(vi.Box(low, high), None, [p.x >= low, p.x <= high])
    elif kind == "nonneg":
        p.add(vi.NonNegative(), None, [p.x >= 0])
    elif kind == "known":
        mask = rng.random(SHAPE) < 0.3
        mask[0, 0] = True
        values = image if feasible else image - 3 * rng.random(SHAPE)
        p.add(vi.Known(values, mask), None, [p.x[mask.ravel()] == values[mask]])
    elif kind == "l1ball":
        r = float(np.abs(truth).sum()) * (1.2 if feasible else float(rng.uniform(0.05, 0.5)))
        p.add(vi.L1Ball(r), None, [cp.norm1(p.x) <= r])
    elif kind == "ball":
        centre = image + 0.1 * rng.standard_normal(SHAPE) + (0.0 if feasible else 2.0)
        r = float(np.linalg.norm(centre - image)) * (1.5 if feasible else 0.3)
        p.add(vi.L2Ball(centre, r), None, [cp.norm(p.x - centre.ravel()) <= r])
    elif kind == "arrays":
        lo, hi = image - 0.3, image + 0.3
        lo, hi = (lo, hi) if feasible else (lo - 1.5 * rng.random(), hi - 1.5 * rng.random())
        lo, hi = np.minimum(lo, hi), np.maximum(lo, hi)
        p.add(vi.Box(lo, hi), None, [p.x >= lo.ravel(), p.x <= hi.ravel()])
    else:
        total = float(truth.sum()) if feasible else float(rng.uniform(0.5, 3))
        p.add(vi.Simplex(total=total), None, [p.x >= 0, cp.sum(p.x) == total])


def reference(p: Pair) -> tuple[str, float]:
    """("optimal", value), ("infeasible", ∞) or another status of cvxpy."""
    program = cp.Problem(cp.Minimize(p.cost), p.constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.solve(solver=cp.CLARABEL)
        except cp.error.SolverError:
            return "failed", math.nan
    return str(program.status), float(program.value) if program.status == "optimal" else math.inf


def run(p: Pair, solver: Any = None) -> tuple[str, Any]:
    """(the reason or the error, the result or None) of varinv."""
    try:
        result = vi.solve(vi.Problem(tuple(t for part in p.terms for t in part.terms)), solver)
    except ValueError as error:
        return str(error), None
    return result.why, result


def judge(p: Pair, status: str, best: float) -> list[str]:
    """What is wrong with the answer of varinv, in words; [] where nothing is."""
    why, result = run(p)
    named = any(words in why for words in NAMED)
    if status == "infeasible":
        found = [] if named else ["infeasible, not named"]
        return found + (["infeasible, converged"] if not named and why.startswith(CLAIMS) else [])
    if result is None:
        return ["feasible, called infeasible" if named else f"feasible, refused: {why}"]
    value = float(result.problem(result.x))
    if why.startswith("relative gap"):
        over = (value - best) / max(abs(value), abs(best), 1e-300)
        # 1e-9: of the data at zero, for optima of 0
        return [f"false gap: {why}, true {over:.1e}"] if value - best > (1e-4 + SLACK) * abs(value) + 1e-9 else []
    if named:
        return ["feasible, called infeasible"]
    return [f"feasible, not solved: {why[:60]}"] if not why.startswith(CLAIMS) else []


def study(feasible: int, infeasible: int, seed: int) -> dict[str, list[str]]:
    """What went wrong with how many of each sort, by sort."""
    rng, done = np.random.default_rng(seed), {"optimal": 0, "infeasible": 0}
    wrong: dict[str, list[str]] = {}
    wanted = {"optimal": feasible, "infeasible": infeasible}
    while any(done[k] < wanted[k] for k in wanted):
        sort = "optimal" if done["optimal"] < feasible else "infeasible"
        p = pair(rng, sort == "optimal")
        try:
            status, best = reference(p)
        except (ValueError, cp.error.DCPError):
            continue
        if status != sort:
            continue
        done[sort] += 1
        for words in judge(p, status, best):
            terms = " + ".join(map(repr, p.terms))
            wrong.setdefault(words.split(":")[0], []).append(f"{words} | {terms}")
    return wrong


def main() -> None:
    sizes = [int(a) for a in sys.argv[1:]] or [300, 60]
    began, seed = time.perf_counter(), (sizes[2:] or [1])[0]
    wrong = study(sizes[0], sizes[1], seed)
    print(f"{sizes[0]} feasible and {sizes[1]} infeasible problems, seed {seed}, {time.perf_counter() - began:.0f} s")
    for kind in ("false gap", "feasible, called infeasible", "feasible, refused", "feasible, not solved"):
        print(f"{kind:32}{len(wrong.get(kind, []))} of {sizes[0]}")
    for kind in ("infeasible, not named", "infeasible, converged"):
        print(f"{kind:32}{len(wrong.get(kind, []))} of {sizes[1]}")
    for words in (w for found in wrong.values() for w in found):
        print(f"  {words}")


if __name__ == "__main__":
    main()
