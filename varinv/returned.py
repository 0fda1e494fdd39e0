"""What classes and functions of somebody else return, checked where it enters: nothing behind counts on luck.

A wrong shape would be broadcast, integers would make the next image one of integers, None would count as NaN.  The
methods of classes outside the package are checked when the class is made; the price of a call is a microsecond.
"""

from __future__ import annotations

import contextlib
import functools
import math
import types
from collections.abc import Callable, Iterator
from typing import Any

from varinv import check
from varinv.arrays import kind_of
from varinv.backend import Array, Shape, device, is_array, library, namespace


def returned(who: str, value: Any, x: Array, shape: Shape) -> Array:
    """`value`, which `who` returned for x, as an array like x of this shape; an error says what came instead.

    Other real floating dtypes become that of x; memory maps and other containers become what they hold.
    """
    if type(value) is type(x) and value.dtype == x.dtype and value.shape == shape:
        return value
    meant = f"an array of shape {tuple(shape)} and dtype {x.dtype}"
    value = check.taken(who, "what it returned", value)
    if not is_array(value):
        hint = "; is a return missing?" if value is None else ""
        raise TypeError(f"{who} returned {check.describe(value)}, expected {meant}{hint}")
    if library(value) != library(x) or device(value) != device(x):
        raise TypeError(
            f"{who} returned an array of {library(value)} on {device(value)}, expected one of {library(x)} on "
            f"{device(x)}; convert it before it returns"
        )
    if tuple(value.shape) != tuple(shape):
        raise ValueError(f"{who} returned an array of shape {tuple(value.shape)}, expected {meant}")
    if not namespace(value).isdtype(value.dtype, "real floating"):
        raise TypeError(f"{who} returned an array of dtype {value.dtype}, expected real floating values like {x.dtype}")
    return value if value.dtype == x.dtype else namespace(x).astype(value, x.dtype)


def number(who: str, value: Any) -> float:
    """`value`, which `who` returned, as a float."""
    if type(value) is float:
        return value
    try:
        if isinstance(value, (str, bytes)) or (is_array(value) and math.prod(value.shape) != 1):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{who} returned {check.describe(value)}, expected a real number") from None


_OFF: list[bool] = []  # while it holds something, results pass as they are


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Nothing is checked or repaired meanwhile: `varinv.testing` judges what classes return by themselves."""
    _OFF.append(True)
    try:
        yield
    finally:
        _OFF.pop()


def checked(cls: type, shapes: dict[str, Callable[[Any, Any], Shape]], numbers: tuple[str, ...] = ()) -> None:
    """Check what these methods return where a class outside the package writes them.

    shapes : method → shape(self, x) of what it returns for its first argument x.
    numbers : methods that return a number.
    """
    if cls.__module__.startswith("varinv."):
        return
    for name in (*shapes, *numbers):
        body = vars(cls).get(name)
        if isinstance(body, types.FunctionType) and not hasattr(body, "__isabstractmethod__"):
            setattr(cls, name, _number(body) if name in numbers else _array(body, shapes[name]))


def _array(body: Any, shape: Callable[[Any, Any], Shape]) -> Any:
    @functools.wraps(body)
    def call(self: Any, x: Any, *args: Any, **named: Any) -> Any:
        value, expected = body(self, x, *args, **named), shape(self, x)
        if type(value) is type(x) and value.shape == expected and value.dtype == x.dtype:
            return value
        return value if _OFF or kind_of(x) is None else returned(_name(self, body), value, x, tuple(expected))

    return call


def _number(body: Any) -> Any:
    @functools.wraps(body)
    def call(self: Any, x: Any, *args: Any, **named: Any) -> float:
        value = body(self, x, *args, **named)
        return value if _OFF or type(value) is float else number(_name(self, body), value)

    return call


def _name(owner: Any, body: Any) -> str:
    name = str(body.__name__)
    return repr(owner) if name == "__call__" else f"{owner!r}.{name}"
