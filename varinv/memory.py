"""Results worth remembering, kept with the object they belong to, and out of its pickles, copies and fingerprints."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_T = TypeVar("_T")
_NAME = "_remembered"  # the one attribute that the package adds to objects, those of users included
_MISSING = object()


class Memory(dict[Any, Any]):
    """What is remembered of one object; pickled and copied, it is empty."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Memory, ())


def remembered(owner: Any, key: Hashable, make: Callable[[], _T]) -> _T:
    """``make()``, found once for each `key` as long as `owner` lives.

    Where an object takes no attributes (``__slots__`` without ``__dict__``) it is found anew each time.  Two threads
    that ask at once may both compute, and get the same object.
    """
    attributes = getattr(owner, "__dict__", None)
    if attributes is None:
        return make()
    memory = attributes.get(_NAME)
    if memory is None:
        memory = attributes.setdefault(_NAME, Memory())
    value = memory.get(key, _MISSING)
    if value is _MISSING:
        value = memory.setdefault(key, make())
    result: _T = value
    return result


def once(method: Callable[[Any], _T]) -> Callable[[Any], _T]:
    """Remember the result of a method without arguments."""

    @functools.wraps(method)
    def found(self: Any) -> _T:
        return remembered(self, method, lambda: method(self))

    return found


def own(owner: Any) -> dict[str, Any]:
    """The attributes of an object that are its own: neither remembered nor a cached property."""
    kind = type(owner)
    return {k: v for k, v in getattr(owner, "__dict__", {}).items() if not _derived(kind, k, v)}


def own_state(owner: Any) -> Any:
    """For ``__getstate__``: what pickles and copies of an object take along."""
    state = object.__getstate__(owner)
    if isinstance(state, tuple):  # beside the values of its __slots__
        return own(owner), state[1]
    return own(owner)


def _derived(kind: type, name: str, value: Any) -> bool:
    return isinstance(value, Memory) or isinstance(getattr(kind, name, None), functools.cached_property)
