"""How much memory a run will take, found by rehearsing it on a few slices."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv.backend import POOL, is_array
from varinv.limits import memory_free
from varinv.memory import remembered
from varinv.problem import Problem
from varinv.solvers.default_solver import choose
from varinv.solvers.rules import default_stop, iterations, residual
from varinv.solvers.watch import REHEARSED, VOXELS

FEW = (8, 16)  # slices of the two rehearsals
STEPS = 12  # with looks at the start and at 10
SMALLEST = 1 << 30  # bytes of 16 images: smaller problems are not rehearsed by `solve`


class Forecast(NamedTuple):
    """Bytes a run takes beyond the data, its parts (constant, one slice, slices), whether they fit into free memory."""

    bytes: int
    parts: dict[str, int]
    fits: bool

    def __str__(self) -> str:
        fits = "fits" if self.fits else "does not fit"
        return f"{self.bytes / 1e9:.3g} GB ({self.parts['slice'] / 1e6:.3g} MB a slice): {fits}"


def afford(run: Callable[..., Any], problem: Any, solver: Any, stop: Any, seen: bool) -> None:
    """A MemoryError before the first allocation where a large run would not fit; nothing where that is not known.

    Classes of others may not bear to be cut: whatever a rehearsal raises stops no run.
    """
    try:
        shape = problem.domain
    except ValueError:  # `solve` says what is wrong
        return
    if len(shape) < 3 or REHEARSED.get() is not None or 16 * 4 * math.prod(shape) < SMALLEST:
        return
    if not (stop is None or callable(stop)):
        return
    try:
        found = predicted(run, problem, solver, stop, seen)
    except Exception:
        return
    if not found.fits:
        free, parts = memory_free(), found.parts
        most = max((free - parts["constant"]) // max(parts["slice"], 1), 0)
        raise MemoryError(
            f"solve: this run needs {found.bytes / 1e9:.3g} GB beyond the data, {free / 1e9:.3g} GB are free, enough "
            f"for {most} of the {parts['slices']} slices; take fewer slices or larger pixels, or try it with "
            'memory="ignore"'
        )


def predicted(run: Callable[..., Any], problem: Problem, solver: Any, stop: Any, seen: bool) -> Forecast:
    slices = problem.domain[0] if len(problem.domain) >= 3 else 0
    if slices < 2 or any(len(t.K.codomain) < 3 for t in problem.coupled):
        raise ValueError(f"forecast: the problem must have an image of slices, got {problem}")
    lean = not seen and math.prod(problem.domain) >= VOXELS
    few = tuple(min(n, slices) for n in FEW) if slices > FEW[0] else (1, slices)

    def measured() -> tuple[int, int]:
        low, high = (_rehearsed(run, problem, slices, n, solver, stop, lean) for n in few)
        step = (high - low) / (few[1] - few[0])
        return max(round(low - few[0] * step), 0), round(step)

    constant, each = remembered(problem, ("forecast", repr(solver), repr(stop), lean), measured)
    total = constant + each * slices
    return Forecast(total, {"constant": constant, "slice": each, "slices": slices}, total <= memory_free())


def _rehearsed(
    run: Callable[..., Any], problem: Problem, slices: int, n: int, solver: Any, stop: Any, lean: bool
) -> int:
    """The traced peak of a second run on n slices: the first one finds norms and compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cone beam sees more than a few slices
        try:
            small = cut(problem, slices, n)
        except ValueError as error:  # parts that no longer fit each other
            raise ValueError(f"forecast: {problem} cannot be cut into slices") from error
    data = [(t.f.data(), t.K) for t in small.coupled]
    uneven = any(K.domain[0] != n or (y is not None and tuple(y.shape) != tuple(K.codomain)) for y, K in data)
    if small.domain[0] != n or uneven:
        raise ValueError(f"forecast: {problem} cannot be cut into slices")
    token = REHEARSED.set(lean)
    tracing = tracemalloc.is_tracing()
    try:
        for last in (False, True):
            rule = (_usual(small, solver) if stop is None else copy.deepcopy(stop)) | iterations(STEPS)
            if last:
                POOL.drop(0)
                gc.collect()
                if not tracing:
                    tracemalloc.start()
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
            run(small, solver, stop=rule, memory="ignore")
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        REHEARSED.reset(token)
        if not tracing:
            tracemalloc.stop()
        POOL.drop(0)


def _usual(problem: Problem, solver: Any) -> Any:
    """The rule that `solve` takes by itself, the residual from the first step on: by itself it comes late."""
    x = problem.zeros()
    state = choose(problem, x).state if solver is None else solver.init(problem, x)
    return default_stop(problem, state)[0] | residual(1e-300)


def cut(thing: Any, slices: int, n: int) -> Any:
    """The first n slices of a problem: of its arrays and of the shapes that its operators are made of."""
    if is_array(thing):
        return thing[:n] if thing.ndim >= 3 and thing.shape[0] == slices else thing
    if isinstance(thing, tuple) and not hasattr(thing, "_fields"):
        if len(thing) >= 3 and thing[0] == slices and all(isinstance(a, int) for a in thing):
            return (n, *thing[1:])
        return tuple(cut(a, slices, n) for a in thing)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        old = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
        new = {name: cut(a, slices, n) for name, a in old.items()}
        return thing if all(new[k] is old[k] for k in old) else dataclasses.replace(thing, **new)
    return thing
