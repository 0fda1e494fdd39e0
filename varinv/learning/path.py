"""The problems of one family and one data set over theta: solved once each, starting from the nearest one solved."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv.backend import Array, is_array, namespace
from varinv.functionals.base import Term
from varinv.functionals.data import L2Squared
from varinv.learning.family import data_term, made_by, parameters, same_unknown
from varinv.learning.losses import difference, signs, whitening
from varinv.learning.lower import convexity, gradient, minimise, smoothness
from varinv.learning.oracle import LOWER
from varinv.linalg import distance, dot, norm
from varinv.problem import Problem
from varinv.solvers.least_squares import Square
from varinv.solvers.rules import iterations, residual, spent

SLOW = 1e-5  # condition μ/L below which the certified accelerated gradient is left for what `solve` picks
SETTLED = 1e-3  # the residual up to which a solve counts whose iterations or time were used up
SHARE = 0.01  # error of the degrees of freedom, as a share of m, that inexact solves may cause at the very most


def _settled(result: Any) -> bool:
    """Whether a run that used up its iterations had reached a solution by then: one more step tells."""
    state = result.state
    after = result.solver.step(result.problem, state)
    if hasattr(after, "residual"):
        return bool(after.residual(result.problem, state) <= SETTLED)
    return distance(after.x, state.x) <= 1e-3 * SETTLED * norm(after.x)  # steps that are small prove less


class Fit(NamedTuple):
    """One solution: its problem, A x − y (times √w), the proved error (∞: none), whether it is as asked for, why."""

    theta: float
    problem: Problem
    x: Array
    r: Array
    error: float
    reached: bool
    iterations: int
    why: str


class Sweep:
    """theta ↦ Fit, remembered, for a family of one parameter and its data.

    Smooth problems of known strong convexity are solved to ‖x − x̂‖ ≤ tol ‖∇h(x₀)‖/μ (proved), others by `solve`.
    With an array of weights w in the data term everything is counted in whitened data √w y: m entries with w > 0,
    noise levels those of a measurement of weight 1.

    Parameters
    ----------
    family : ``family(theta, y) -> Problem`` with one least-squares term that has data.
    y : the data.
    mu : strong convexity to assume where none is known.
    solver, stop : as in `solve`, for all solves; one that uses up its iterations or its time counts as
        solved where its residual is at most 1e-3 then.
    keep : 0 and 1 in the shape of the data: entries that the solutions may see.
    """

    def __init__(
        self,
        family: Any,
        y: Array,
        mu: float | None = None,
        solver: Any = None,
        stop: Callable[..., str | None] | None = None,
        tol: float = 1e-4,
        seed: int = 0,
        keep: Array | None = None,
    ) -> None:
        self.family, self.y, self.mu, self.solver, self.stop = family, y, mu, solver, stop
        self.tol, self.seed, self.keep = tol, seed, keep
        self.fits: dict[float, Fit] = {}
        self.moved: dict[tuple[float, float], tuple[Array, Array, bool]] = {}
        self.solves = self.iterations = 0
        self._first: float | None = None
        self._probe: Array | None = None
        self._whole: Square | None = None

    def masked(self, keep: Array) -> Sweep:
        """The same family, its data term restricted to entries where `keep` is 1."""
        return Sweep(self.family, self.y, self.mu, self.solver, self.stop, self.tol, self.seed, keep)

    def at(self, theta: float, epsilon: float = math.inf) -> Fit:
        """The fit at theta, to ‖x − x̂‖ ≤ ε where that can be proved."""
        old = self.fits.get(theta)
        if old is not None and (old.error <= epsilon or math.isinf(old.error)):
            return old
        near = old if old is not None else min(self.fits.values(), key=lambda f: abs(f.theta - theta), default=None)
        problem, whole = self.problem(theta, self.y)
        if near is not None:
            same_unknown("choose", self.family, near.x, problem)
        x, error, reached, count, why = self._solve(theta, problem, None if near is None else near.x, epsilon)
        self.fits[theta] = fit = Fit(theta, problem, x, self._residual(whole, x), error, reached, count, why)
        return fit

    def problem(self, theta: float, y: Array) -> tuple[Problem, Square]:
        """(the problem to solve, the data term on all entries)."""
        made = made_by("choose", self.family, parameters([theta]), y)
        whole = data_term(made, y, self._whole)
        self._whole = whole if self._whole is None else self._whole
        if self.keep is None:
            return made, whole
        kept = Term(L2Squared(whole.y, whole.weight * self.keep), whole.K)
        return Problem(tuple(kept if t is whole.term else t for t in made.terms)), whole

    def _solve(
        self, theta: float, problem: Problem, x: Array | None, epsilon: float, fine: bool = False
    ) -> tuple[Array, float, bool, int, str]:
        from varinv.solvers.solve import solve

        self.solves += 1
        mu, L = self._constants(theta, problem)
        if self.solver is None and self.stop is None and mu > SLOW * L > 0:
            begin = self.family.start(self.y) if hasattr(self.family, "start") else problem.zeros()
            if self._first is None:
                self._first = norm(gradient(problem, begin))
            goal = min(self.tol * self._first / mu, epsilon)
            found = minimise(problem, begin if x is None else x, mu, L, goal, LOWER)
            self.iterations += found.iterations
            words = f"‖x − x̂‖ ≤ {found.error:.1e} after {found.iterations} iterations"
            return found.x, found.error, found.reached, found.iterations, words
        stop = self.stop if self.stop is not None or not fine else residual(1e-7) | iterations(LOWER)
        result = solve(problem, self.solver, x0=x, stop=stop)
        self.iterations += result.state.k
        failed = result.interrupted or not result.finite
        used_up = spent(iterations(LOWER) if stop is None else stop, result.why)
        reached = not failed and not (used_up and not _settled(result))
        return result.x, math.inf, reached, result.state.k, result.why

    def _constants(self, theta: float, problem: Problem) -> tuple[float, float]:
        """(μ, L), 0 and ∞ where unknown."""
        if not all(hasattr(t.f, "grad") and hasattr(t.f, "hvp") for t in problem.terms):
            return 0.0, math.inf
        own = theta is not None and hasattr(self.family, "mu") and self.keep is None
        mu = self.mu or (float(self.family.mu(parameters([theta]))) if own else convexity(problem))
        family_L = getattr(self.family, "smoothness", None)
        L = float(family_L(parameters([theta]))) if family_L is not None else smoothness(problem)
        return mu, max(L, mu)

    def _residual(self, term: Square, x: Array) -> Array:
        r = (x if term.K is None else term.K(x)) - term.y
        return namespace(r).sqrt(term.weight) * r if is_array(term.weight) else r

    # ------------------------------------------------------------------------------------------- degrees of freedom

    @property
    def m(self) -> int:
        """How many measurements count: those of positive weight."""
        w: Any = self.term.weight
        return int(namespace(w).sum(w > 0)) if is_array(w) else math.prod(self.y.shape)

    @property
    def term(self) -> Square:
        """The data term, on all entries."""
        if self._whole is None:
            raise RuntimeError("choose: no problem has been solved yet")
        return self._whole

    @property
    def probe(self) -> Array:
        """Random signs b, the same for every theta, so that criteria are smooth curves."""
        if self._probe is None:
            self._probe = signs(self.y, random.Random(self.seed))
        return self._probe

    def response(self, theta: float, noise: float) -> tuple[Array, bool]:
        """(S b, reached): ∂(√w A x)/∂(√w y) along the probe b, by a second solve with the data moved by t b/√w."""
        self.at(theta)
        t = difference(noise, self.m)
        if (theta, t) in self.moved:
            return self.moved[theta, t][1:]
        term: Any = self.term
        K = term.K
        epsilon = SHARE * t * math.sqrt(self.m) / (1.0 if K is None else float(K.norm()))
        fit = self.at(theta, epsilon)
        root, along = whitening(term.weight, self.probe)
        problem, _ = self.problem(theta, self.y + t * along)
        near = min(self.moved, key=lambda key: abs(key[0] - theta), default=None)
        begin = fit.x if near is None else fit.x + self.moved[near][0]
        if math.isinf(fit.error) and self.stop is None:  # both ends of the difference equally accurate
            x, *_, reached, count, why = self._solve(theta, fit.problem, fit.x, epsilon, fine=True)
            r = self._residual(self.term, x)
            fit = self.fits[theta] = Fit(theta, fit.problem, x, r, math.inf, reached, count, why)
        x, _, reached, _, _ = self._solve(theta, problem, begin, epsilon, fine=True)
        moved = x - fit.x
        change = root * (moved if K is None else K(moved)) / t
        self.moved[theta, t] = moved, change, reached and fit.reached
        return change, reached and fit.reached

    def freedom(self, theta: float, noise: float) -> float:
        """df ≈ bᵀ S b."""
        return dot(self.probe, self.response(theta, noise)[0])

    def size(self) -> float:
        """A tenth of the root mean square of the data: the scale of differences where no noise level is known."""
        return 0.1 * norm(self.y) / math.sqrt(math.prod(self.y.shape)) or 1.0
