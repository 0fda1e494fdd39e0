"""A whole call on NumPy's view of what it is given: where arrays of another library are seen so, no part is slower.

A kernel sees the arrays of torch and JAX as NumPy's by itself (varinv.backend.Kernel); the small sums and updates
between kernels do not, and have other last bits.  A run, or a call of an operator or a problem, therefore sees them as
NumPy's once, where it knows everything that takes part.
"""

from __future__ import annotations

import dataclasses
import functools
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from varinv.arrays import NDARRAY, NUMBERS, given_back, kind_of

PLAIN = (*NUMBERS, type(None), str, bytes, slice, range, type(Ellipsis))
HOME = ("numpy", "cupy")  # their arrays are what others are seen as

# what was seen once is kept with its norms, as long as what it was made of lives; None: it is NumPy's already
_KNOWN: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

_F = TypeVar("_F", bound=Callable[..., Any])


class _Unknown(Exception):
    """Code that is not ours: it may count on the arrays it was given."""


def seen(x: Any, *parts: Any) -> list[Any] | None:
    """The parts with views in place of their arrays, for a call on arrays like x; None: they stay as they are.

    So they do where x is an array of NumPy or CuPy or cannot be seen as one, and where a class or a function of
    somebody else takes part (a user's functional, a network), which gets the arrays of the data as they are.
    """
    kind = kind_of(x)
    if kind is None or kind.view is None or kind.library in HOME:
        return None
    try:
        return [_seen(part) for part in parts]
    except _Unknown:
        return None


def on_views(function: _F) -> _F:
    """Let a function run on views of its arrays and of those inside `self`; it gives back arrays like the first one."""

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if len(args) == 2 and type(args[1]) is NDARRAY:
            return function(*args, **named)
        for x in (*args, *named.values()) if named else args:
            if (kind := kind_of(x)) is not None:
                break
        else:
            return function(*args, **named)
        if kind.library in HOME:
            return function(*args, **named)
        if kind.take is not None and not kind.contains:
            kind.take(args[0] if args and args[0] is not x else function.__name__, "the input", x)
        found = seen(x, args, named)
        return function(*args, **named) if found is None else given_back(function(*found[0], **found[1]), x)

    return call  # type: ignore[return-value]


def _seen(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if (kind := kind_of(value)) is not None:
        view = kind.view(value) if kind.view else None
        if view is None:
            raise _Unknown
        return view
    if isinstance(value, (tuple, list)):
        items = [_seen(v) for v in value]
        if all(a is b for a, b in zip(items, value, strict=True)):
            return value
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        named = {key: _seen(v) for key, v in value.items()}
        return value if all(v is value[key] for key, v in named.items()) else named
    if type(value).__module__.startswith("scipy."):  # a sparse matrix
        return value
    if not type(value).__module__.startswith("varinv.") or not dataclasses.is_dataclass(value):
        raise _Unknown
    return _known(value) if type(value).__hash__ is object.__hash__ else _replaced(value)


def _known(value: Any) -> Any:
    if value in _KNOWN:
        return value if (found := _KNOWN[value]) is None else found
    found = _replaced(value)
    _KNOWN[value] = None if found is value else found
    return found


def _replaced(value: Any) -> Any:
    old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    new = {name: _seen(v) for name, v in old.items()}
    changed = {name: v for name, v in new.items() if v is not old[name]}
    return dataclasses.replace(value, **changed) if changed else value
