"""Learn the parameters of a family from examples, with or without truths."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from varinv import check
from varinv.backend import Array, namespace, to_numpy
from varinv.first_use import clock
from varinv.learning.executors import checked
from varinv.learning.family import constants, data_term, lower_problem, parameters, start
from varinv.learning.losses import supervised, unsupervised
from varinv.learning.lower import minimise
from varinv.learning.maid import MAID
from varinv.learning.oracle import LOWER, Bilevel
from varinv.solvers.base import Solver
from varinv.solvers.rules import reason

FORMAT = 1  # of the files


@dataclass(frozen=True, eq=False, repr=False)
class Learned:
    """The outcome of `learn`: the parameters, why it stopped, and bounds of the loss.

    theta : the parameters, 1-D float64; `family.values(theta)` says what they mean.
    loss : the mean loss there, lower levels solved as accurately as the run did.
    why : why it stopped, in words.
    certificate : what is proved: loss within [lower, upper], ‖x − x̂‖ ≤ error, whether μ is known or assumed.
    history : one dict of numbers per iteration.
    state : the rule's last state; ``learn(…, resume=learned.state)`` goes on from there.
    """

    theta: Array
    loss: float
    why: str
    certificate: dict[str, Any]
    history: tuple[dict[str, float], ...]
    family: Any
    mu: float | None = None
    state: Any = None
    rule: str = ""
    seconds: float = 0.0

    def apply(self, y: Array, tol: float = 1e-6) -> Array:
        """Reconstruct an image from data y with the learned parameters.

        Stops where ‖x − x̂‖ ≤ tol times the distance of the start from the solution, both as proved by μ.
        Raises ValueError where the accuracy is not reached in 20000 iterations, and what the family raises.
        """
        y = check.real_array("apply", "y", y)
        problem = lower_problem(self.family, self.theta, y)
        mu, L = constants(self.family, self.theta, problem, self.mu)
        x = start(self.family, problem, y)
        first = minimise(problem, x, mu, L, math.inf, 1)
        found = minimise(problem, x, mu, L, tol * first.error, 4 * LOWER)
        if not found.reached:
            raise ValueError(
                f"apply: {problem} is solved to an error of {found.error:.1e}, {tol * first.error:.1e} was asked for, "
                f"after {found.iterations} iterations; pass a larger tol"
            )
        return namespace(x).asarray(found.x, copy=True)

    def values(self) -> dict[str, float]:
        """The parameters by name, where the family names them."""
        values: dict[str, float] = self.family.values(self.theta)
        return values

    def summary(self) -> str:
        """A few lines to read: parameters, loss and why learning stopped."""
        c = self.certificate
        proved = "proved" if c["certified"] else "with the assumed mu"
        return (
            f"rule        {self.rule}\nstopped     {self.why}\n"
            f"loss        {self.loss:.6g}, {proved} in [{c['lower']:.6g}, {c['upper']:.6g}]\n"
            f"work        {c['work']} lower-level and CG iterations in {self.seconds:.1f} s"
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write theta, why, certificate and history as JSON, atomically; `Learned.load(path, family)` reads it."""
        from varinv.files import replaced

        path = Path(path)
        if path.suffix.lower() != ".json":
            raise ValueError(f"save: the file name must end in .json, got {path.name!r}")
        content = {
            "format": FORMAT,
            "theta": to_numpy(self.theta).tolist(),
            **{name: getattr(self, name) for name in ("loss", "why", "certificate", "mu", "rule", "seconds")},
            "family": repr(self.family),
            "history": [dict(row) for row in self.history],
        }
        with replaced(path) as part:
            part.write_text(json.dumps(content, indent=1))
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str], family: Any) -> Learned:
        """Read what `save` wrote; the family itself is code and has to be given.

        Raises ValueError where the file is none of ours, or the family differs in its description.
        """
        try:
            content = json.loads(Path(path).read_text())
            if content.pop("format") != FORMAT:
                raise KeyError
            theta = parameters([float(t) for t in content.pop("theta")])
            history = tuple(content.pop("history"))
            described = content.pop("family")
            known = {k: content[k] for k in ("loss", "why", "certificate", "mu", "rule", "seconds")}
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeDecodeError):
            raise ValueError(f"load: {Path(path).name} is not a file that Learned.save wrote") from None
        if described != repr(family):
            raise ValueError(f"load: the file was learned with {described}, got {family!r}")
        return cls(theta=theta, history=history, family=family, **known)

    def __repr__(self) -> str:
        return f"Learned({self.theta.shape[0]} parameters, loss {self.loss:.4g}: {self.why})"


def learn(
    family: Any,
    pairs: Any,
    theta0: Any,
    rule: Solver | None = None,
    *,
    executor: Any = None,
    loss: Callable[[Array], Any] | None = None,
    noise: float | None = None,
    mu: float | None = None,
    penalty: Any = None,
    lower: Any = None,
    stop: Callable[..., str | None] | None = None,
    observe: Callable[[Any], Any] | None = None,
    resume: Any = None,
    seed: int = 0,
) -> Learned:
    """Learn the weights of regularisers, and other parameters, from examples.

    Finds parameters theta that minimise the mean loss of the solutions of ``family(theta, y)``.

    Parameters
    ----------
    family : ``family(theta, y) -> Problem``, smooth and strongly convex; `vi.families` has some, any callable will do
        (see `varinv.learning.oracle.Bilevel` for its optional methods).
    pairs : list of (y, x_true); with `noise`, a list of data y alone.
    theta0 : where to start, 1-D; logarithms for the families here.
    rule : MAID(), HOAG() or another learning rule; None: MAID().
    executor : anything with ``map``: runs the examples side by side.
    loss : ``loss(x_true) -> functional`` of the solution; None: family.loss, or ½‖x − x_true‖².
    noise : standard deviation of the noise: learns from data alone, by Stein's estimate (SURE) of ‖A x − A x_true‖²
        with A = family.A.
    mu : strong convexity to assume where the family knows none: nothing is proved then, and `certificate` says so.
    penalty : a functional of theta with a gradient, added to the loss.
    lower : how lower levels and adjoints are solved: Piggyback(), or None: accelerated gradients and CG.
    stop : a further rule, e.g. iterations(50) | seconds(600); the learning rule's own reasons always hold.
    observe : called with every state; numbers it returns go into the history.
    resume : a state to go on from (`learned.state`).
    seed : of the probes of SURE.

    Raises
    ------
    TypeError, ValueError
        Pairs of different shapes, an unknown μ, a family that changes its unknown's shape, a loss that is NaN at
        theta0.
    """
    theta0 = parameters(theta0)
    if noise is not None:
        if loss is not None:
            raise TypeError("learn: either noise (no truths, by SURE) or loss, not both")
        known = hasattr(family, "A")
        term = None if known else lambda y: data_term(lower_problem(family, theta0, y), y, who="learn")
        cases = unsupervised(pairs, noise, family.A if known else None, seed, term)
    else:
        cases = supervised(pairs, loss or getattr(family, "loss", None))
    rule = MAID() if rule is None else rule
    if not (isinstance(rule, Solver) and hasattr(rule, "budget")):
        raise TypeError(f"learn: rule must be a learning rule such as MAID() or HOAG(), got {check.describe(rule)}")
    if stop is not None and (not callable(stop) or isinstance(stop, type)):
        raise TypeError(f"learn: stop must be a rule such as iterations(50) | seconds(600), got {stop!r}")
    if observe is not None and not callable(observe):
        raise TypeError(f"learn: observe must be a function that is called with every state, got {observe!r}")
    problem = Bilevel(
        family=family,
        cases=cases,
        theta0=theta0,
        mu=mu,
        penalty=penalty,
        executor=checked(executor),
        lower=lower,
    )
    if loss is None and noise is None and not hasattr(family, "loss"):
        _fits(problem)
    if resume is not None:
        resume = resume._replace(why=None)
    history: list[dict[str, Any]]
    began, history, previous, why = clock(), [], None, None
    state: Any = None
    try:
        for state in rule.states(problem, theta0, resume=resume):
            row = {"k": state.k, "seconds": clock() - began, **state.row()}
            found = observe(state) if observe is not None else None
            row.update(found if isinstance(found, dict) else {} if found is None else {"observed": found})
            history.append(_formed(row))
            why = state.why or (reason(stop, problem, previous, state) if stop is not None else None)
            if why:
                break
            previous = state
    except KeyboardInterrupt:
        if state is None:
            raise
        why = f"interrupted after {state.k} iterations"
    best = state.best
    certificate = {
        "certified": problem.certified,
        "mu": "known" if problem.certified else f"assumed {mu:g}",
        "upper": best.upper,
        "lower": best.lower,
        "error": best.error,
        "slope": state.slope,
        "omega": best.omega,
        "work": state.work.total,
        "solves": state.work.solves,
    }
    certificate = _formed(certificate)
    seconds = clock() - began
    return Learned(
        best.theta, best.value, str(why), certificate, tuple(history), family, mu, state, _words(rule), seconds
    )


def _words(rule: Any) -> str:
    """The rule with what differs from its defaults."""
    fields = dataclasses.fields(rule) if dataclasses.is_dataclass(rule) else ()
    changed = [f"{f.name}={getattr(rule, f.name)!r}" for f in fields if getattr(rule, f.name) != f.default]
    return f"{type(rule).__name__}({', '.join(changed)})"


def _formed(row: dict[str, Any]) -> dict[str, Any]:
    """Without what was not formed (NaN), so that files hold plain JSON."""
    return {name: value for name, value in row.items() if value == value}


def _fits(problem: Bilevel) -> None:
    """An error where the truths do not have the shape of the unknown."""
    (y, *_), target = problem.cases[0]
    domain = lower_problem(problem.family, problem.theta0, y).domain
    truth = target.g.data()
    if truth is not None and tuple(truth.shape) != tuple(domain):
        raise ValueError(
            f"learn: the unknown of {problem.family} has shape {tuple(domain)}, the truths {tuple(truth.shape)}; "
            "pass truths of that shape, or loss=…"
        )
