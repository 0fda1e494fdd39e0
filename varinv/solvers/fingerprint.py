"""What a run depends on, as a table of short texts: two runs with the same table take the same steps."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Callable, Mapping
from typing import Any

from varinv.backend import Array, is_array, to_numpy
from varinv.memory import own
from varinv.operators.base import LinearOperator
from varinv.problem import Problem

Say = Callable[[tuple[str, ...]], str]


def fingerprint(problem: Problem, solver: Any, x0: Array | None) -> dict[str, str]:
    """Name → value, in words: numbers as they are, arrays as shape, dtype and a hash of their bytes.

    The names are what an error says: "data of term 1", "operator of term 2: geometry.angles", "solver.tau",
    "start image".  Fields of dataclasses count, attributes of other objects (but not what they cache), the code,
    defaults and closure of functions.  Objects without attributes (of compiled modules) count by their class alone.
    """
    marks = {"number of terms": str(len(problem.terms))}
    for i, term in enumerate(problem.terms, 1):
        _walk(term.f, (), functools.partial(_of_term, i), marks, set())
        _walk(term.K, (), functools.partial(_of_operator, i), marks, set())
    _walk(solver, (), lambda path: ".".join(("solver", *path)), marks, set())
    _walk(x0, (), lambda path: ".".join(("start image", *path)), marks, set())
    return marks


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two tables, in words."""
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [f"{name} was {then.get(name, 'absent')}, is {now.get(name, 'absent')}" for name in names]


def _of_term(i: int, path: tuple[str, ...]) -> str:
    *outer, name = path or ("functional",)
    return ".".join((*outer, "data" if name == "y" else name)) + f" of term {i}"


def _of_operator(i: int, path: tuple[str, ...]) -> str:
    return f"operator of term {i}" + (": " + ".".join(path) if path else "")


def _walk(value: Any, path: tuple[str, ...], say: Say, marks: dict[str, str], above: set[int]) -> None:
    name = say(path)
    if is_array(value):
        marks[name] = f"{tuple(value.shape)} {str(value.dtype).rpartition('.')[2]} {_digest(value)}"
    elif hasattr(value, "dtype") and hasattr(value, "item"):  # a number of NumPy's own types
        marks[name] = repr(value.item())
    elif value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        marks[name] = repr(value)
    elif id(value) not in above:  # an object that refers to itself is followed once
        marks[name] = _kind(value)
        for key, part in _parts(value):
            _walk(part, (*path, key), say, marks, above | {id(value)})


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list, Mapping, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, types.FunctionType):
        return f"{value.__module__}.{value.__qualname__} {hashlib.sha256(value.__code__.co_code).hexdigest()[:16]}"
    words = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, LinearOperator):
        words += f" {tuple(value.domain)} → {tuple(value.codomain)}"
    return words


def _parts(value: Any) -> list[tuple[str, Any]]:
    """(name, part) for what a value is made of."""
    if isinstance(value, (tuple, list)):
        return [(str(i), part) for i, part in enumerate(value)]
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, (set, frozenset)):
        return [(str(i), part) for i, part in enumerate(sorted(map(repr, value)))]
    if isinstance(value, functools.partial):
        return [("func", value.func), ("args", value.args), ("keywords", value.keywords)]
    if isinstance(value, types.MethodType):
        return [("self", value.__self__), ("function", value.__func__)]
    if isinstance(value, types.FunctionType):
        inside = [cell.cell_contents for cell in value.__closure__ or ()]
        constants = [c for c in value.__code__.co_consts if not isinstance(c, types.CodeType)]
        return [("constants", constants), ("defaults", value.__defaults__), ("closure", inside)]
    if dataclasses.is_dataclass(value):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return sorted(own(value).items())


def _digest(array: Array) -> str:
    values = to_numpy(array)
    if values.dtype == object:
        raise TypeError("checkpoint: an array of objects cannot be fingerprinted; use numbers")
    return hashlib.sha256(values.tobytes() if not values.flags.c_contiguous else values.reshape(-1).data).hexdigest()[
        :16
    ]
