"""Faults injected into operators, functionals, denoisers, rules and observers of runs of all solvers.

    python benchmarks/injected_faults.py [SEED [SHARE]]          # all solvers, 1 by default; SHARE of the cases

Each case takes an example of a solver, plants one fault (what a forward, an adjoint, a prox, a gradient, a denoiser, a
rule or an observer returns, from its n-th call on) and runs it.  The outcome is judged by the problem without the fault
in float64:

error       an exception of the kinds that are meant for callers, which names the culprit
said        a run that ended with a true reason: not finite, its iterations, what is wrong, or a claim that holds
hang        more than 10 s
raw         an exception that names nobody (LinAlgError, IndexError, StopIteration, AttributeError, …)
garbage     an image that is not finite, or of another shape or dtype than it should be
false       a claim to have converged while the objective is far above the best one
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import math
import pkgutil
import random
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import varinv as vi
import varinv.solvers
from varinv.operators.base import LinearOperator
from varinv.solvers.base import Solver

LIMIT = 10  # seconds a run may take, as asked of every small script
MEANT = (TypeError, ValueError, RuntimeError)  # what callers are told by
CLAIMS = ("relative gap", "residual", "relative change")
FAULTS: dict[str, Callable[[Any], Any]] = {
    "nan": lambda a: a * math.nan,
    "one nan": lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size // 2, math.nan, a),
    "inf": lambda a: a + math.inf,
    "huge": lambda a: a * 1e200,
    "none": lambda a: None,
    "list": lambda a: a.tolist(),
    "scalar": lambda a: 0.5,
    "ints": lambda a: np.round(np.nan_to_num(a)).astype(int),
    "float32": lambda a: a.astype("f4"),
    "complex": lambda a: a + 0j,
    "short": lambda a: a.reshape(-1)[:-1].copy(),
    "flat": lambda a: np.append(a.reshape(-1), 0.0),
    "transposed": lambda a: a.T[..., None],
    "text": lambda a: "text",
    "masked": lambda a: np.ma.masked_less(a, 0.5),
    "objects": lambda a: a.astype(object),
    "matrix": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "negated": lambda a: -a,
    "zero": lambda a: 0 * a,
    "read-only": lambda a: _frozen(a),
    "raises": lambda a: _raise(),
}
HARMLESS = ("float32", "matrix", "read-only")
ANSWERS: dict[str, Any] = {
    "True": True,
    "1": 1,
    "array": np.ones(3),
    "NaN": math.nan,
    "''": "",
    "False": False,
    "()": (),
}


def _frozen(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


def _raise() -> Any:
    raise ArithmeticError("the planted fault")


class Planted:
    """Counts calls and spoils the results from the n-th on."""

    def __init__(self, fault: Callable[[Any], Any], after: int) -> None:
        self.fault, self.after, self.calls = fault, after, 0

    def __call__(self, value: Any) -> Any:
        self.calls += 1
        return self.fault(value) if self.calls > self.after else value


class Spoilt(LinearOperator):
    """K, but for what its forward or its adjoint returns."""

    def __init__(self, K: Any, forward: Any = None, adjoint: Any = None) -> None:
        self.K, self.f, self.a = K, forward, adjoint
        self.domain, self.codomain = K.domain, K.codomain

    def forward(self, x: Any) -> Any:
        y = self.K.forward(x)
        return y if self.f is None else self.f(y)

    def adjoint(self, y: Any) -> Any:
        x = self.K.adjoint(y)
        return x if self.a is None else self.a(x)

    def norm(self) -> float:
        return float(self.K.norm())

    def absolute(self) -> Any:
        return self if self.K.absolute() is self.K else None

    def views(self) -> Any:
        return self.K.views()

    def __repr__(self) -> str:
        return "Spoilt"


class SpoiltFunctional(vi.Functional):
    """f, but for what its prox or its gradient returns."""

    def __init__(self, f: Any, method: str, fault: Any) -> None:
        self.f, self.method, self.fault = f, method, fault
        self.convex = f.convex  # type: ignore[misc]

    def __call__(self, z: Any) -> float:
        return float(self.f(z))

    def prox(self, z: Any, step: Any) -> Any:
        return self._give("prox", self.f.prox(z, step))

    def grad(self, z: Any) -> Any:
        return self._give("grad", self.f.grad(z))

    def _give(self, method: str, value: Any) -> Any:
        return self.fault(value) if method == self.method else value

    @property
    def smoothness(self) -> float:
        return float(self.f.smoothness)

    @property
    def convexity(self) -> float:
        return float(self.f.convexity)

    def __repr__(self) -> str:
        return "Spoilt"


for kinds, own in ((LinearOperator.kinds, Spoilt), (vi.Functional.kinds, SpoiltFunctional)):
    kinds.remove(own)  # type: ignore[arg-type]


@dataclasses.dataclass
class Case:
    """One run: what to solve, the sound problem to judge by, where the fault sits."""

    name: str
    solver: Any
    problem: Any
    sound: Any
    planted: Planted | None
    harmless: bool
    stop: Any = None
    observe: Any = None


def solvers() -> list[Any]:
    for _, name, _ in pkgutil.iter_modules(varinv.solvers.__path__):
        if not name.endswith(("_cuda", "_cpu")):
            importlib.import_module(f"varinv.solvers.{name}")
    kinds = [k for k in Solver.kinds if k.__module__.startswith("varinv.solvers.") and not k.__abstractmethods__]
    return sorted(kinds, key=lambda k: k.__name__)


def cases(rng: random.Random) -> Iterator[Case]:
    for kind in solvers():
        for number, (solver, problem) in enumerate(kind.examples()):
            if number > 1:
                break
            problem = vi.Problem(problem.terms)
            yield from _in_operators(kind.__name__, solver, problem, rng)
            yield from _in_functionals(kind.__name__, solver, problem, rng)
            yield from _in_rules(kind.__name__, solver, problem)
    yield from _in_denoisers(rng)


def _replaced(problem: Any, place: int, **changes: Any) -> Any:
    terms = list(problem.terms)
    terms[place] = dataclasses.replace(terms[place], **changes)
    return vi.Problem(tuple(terms))


def _in_operators(name: str, solver: Any, problem: Any, rng: random.Random) -> Iterator[Case]:
    for place, t in enumerate(problem.terms):
        if t.K is None:
            continue
        for side in ("forward", "adjoint"):
            for fault, make in FAULTS.items():
                planted = Planted(make, rng.choice([0, 1, 7, 30]))
                spoilt = _replaced(problem, place, K=Spoilt(t.K, **{side: planted}))
                where = f"{name} {side} of term {place}: {fault} after {planted.after}"
                yield Case(where, solver, spoilt, problem, planted, fault in HARMLESS)


def _in_functionals(name: str, solver: Any, problem: Any, rng: random.Random) -> Iterator[Case]:
    for place, t in enumerate(problem.terms):
        for method in ("prox", "grad"):
            if not (hasattr(t.f, "prox") and hasattr(t.f, "grad")):
                continue
            for fault, make in FAULTS.items():
                planted = Planted(make, rng.choice([0, 1, 7, 30]))
                with contextlib.suppress(*MEANT):
                    spoilt = _replaced(problem, place, f=SpoiltFunctional(t.f, method, planted))
                    where = f"{name} {method} of term {place}: {fault} after {planted.after}"
                    yield Case(where, solver, spoilt, problem, planted, fault in HARMLESS)


def _in_rules(name: str, solver: Any, problem: Any) -> Iterator[Case]:
    for word, answer in ANSWERS.items():
        rule = vi.iterations(20) | (lambda p, previous, state, answer=answer: answer)
        yield Case(f"{name} rule: {word}", solver, problem, problem, None, word in ("False", "''"), rule)
    for word, seen in (("raises", lambda s: _raise()), ("text", lambda s: "text"), ("array", lambda s: s.x)):
        yield Case(f"{name} observe: {word}", solver, problem, problem, None, word != "raises", None, seen)


def _in_denoisers(rng: random.Random) -> Iterator[Case]:
    y = np.random.default_rng(0).random((6, 6))
    A = vi.Blur((6, 6), [[0.1, 0.2, 0.1], [0.1, 0.2, 0.1], [0.0, 0.1, 0.1]])
    for method in ("hqs", "pnp", "pnp-fista", "pnp-admm", "red", "red-diff", "pnp-chambolle-pock"):
        for fault, make in FAULTS.items():
            for after in (0, 5):
                planted = Planted(make, after)
                case = Case(f"restore {method}: {fault} after {after}", method, A, y, planted, fault in HARMLESS)
                yield case


@contextlib.contextmanager
def limited() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)


def outcome(case: Case) -> str:
    """One word of the table above, with what came where it is one of the bad ones."""
    try:
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = _run(case)
    except TimeoutError:
        return "hang"
    except ArithmeticError as error:
        return "error" if "planted" in str(error) else f"raw: {error!r}"
    except MEANT as error:
        named = any(
            w in str(error) for w in ("Spoilt", "denoiser", "rule", "observe", "finite", "solve", "A adj", "bound")
        )
        named = named or "adjoint" in str(error) or case.name.split()[0] in str(error)
        return "error" if named else f"raw: {error!r}"
    except Exception as error:
        return f"raw: {error!r}"
    return _judged(case, result)


def _run(case: Case) -> Any:
    if isinstance(case.solver, str):  # restoration
        planted: Any = case.planted

        def denoiser(x: Any, sigma: Any) -> Any:
            return planted(x / (1 + sigma**2))

        return vi.restore(case.problem, case.sound, denoiser, 0.1, case.solver, steps=12)
    stop = case.stop or (vi.iterations(20) if case.observe else vi.small_change(1e-7) | vi.iterations(300))
    return vi.solve(case.problem, case.solver, stop=stop, observe=case.observe)


def _judged(case: Case, result: Any) -> str:
    x = np.asarray(result.x)
    domain = case.problem.domain
    if x.shape != tuple(domain) or x.dtype != np.float64 or not np.isfinite(x).all():
        return f"garbage: {x.dtype} {x.shape}, {result.why}"
    hit = case.planted is not None and case.planted.calls > case.planted.after
    if isinstance(case.solver, str) or not hit or case.harmless or not result.why.startswith(CLAIMS):
        return "said"
    if ", but " in result.why:
        return "said"
    try:
        mine = float(case.sound(x))
        stop = vi.residual(1e-6) | vi.small_change(1e-9) | vi.iterations(5000)
        best = float(case.sound(vi.solve(case.sound, case.solver, stop=stop).x))
    except (NotImplementedError, *MEANT):
        return "said"
    # a step that is small proves no optimum: what is held against it is an image that is worse than the start by far
    return (
        "said"
        if mine <= best + 0.1 * (abs(float(case.sound(case.sound.zeros()))) + abs(best))
        else (f"false: {result.why}, {mine:.3g} for {best:.3g}")
    )


def study(seed: int = 1, share: float = 1.0) -> tuple[Counter[str], list[str]]:
    """(how many of each outcome, the bad ones in words)."""
    rng, found, bad = random.Random(seed), Counter[str](), []
    for case in cases(rng):
        if rng.random() > share:
            continue
        word = outcome(case)
        found[word.split(":")[0]] += 1
        if word not in ("error", "said"):
            bad.append(f"{case.name} -> {word[:300]}")
    return found, bad


def main() -> None:
    seed, share = (int(sys.argv[1]) if len(sys.argv) > 1 else 1), (float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
    began = time.perf_counter()
    found, bad = study(seed, share)
    print(f"{sum(found.values())} injected faults, seed {seed}, {time.perf_counter() - began:.0f} s")
    for word in ("error", "said", "hang", "raw", "garbage", "false"):
        print(f"{word:10}{found[word]}")
    for words in bad:
        print(f"  {words}")


if __name__ == "__main__":
    main()
