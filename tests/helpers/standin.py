"""A stand-in for CuPy: arrays that live "on a device" and say when the host reads one.

Numbers are NumPy's.  As with CuPy, nothing converts an array to NumPy in silence (`.get()` does it by name), nothing
mixes both, and every number that Python needs of an array (`float`, `bool`, `int`, a mask as an index, `.get()`) waits
for the device: `reads` lists them, each with the line of the package that asked.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import types
from typing import Any

import array_api_compat.numpy as host
import numpy as np

import varinv

PACKAGE = os.path.join(os.path.dirname(varinv.__file__), "")
reads: list[str] = []


def read(what: str) -> None:
    """Note the innermost line of the package that asked, below the helpers that ask for everybody."""
    frame: Any = sys._getframe(1)
    while frame:
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE):
            name = name.removeprefix(PACKAGE).replace("\\", "/")
            if not name.startswith(("backend", "linalg", "check")):
                break
        frame = frame.f_back
    reads.append(f"{name}:{frame.f_lineno} {what}" if frame else f"a test: {what}")


class Device:
    """Device 0; a context like CuPy's."""

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __repr__(self) -> str:
        return "<CUDA Device 0>"


DEVICE = Device()


class ndarray:
    __module__ = "cupy"  # so that the backend takes it for CuPy's, and looks for the CUDA twins
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]
    device = DEVICE

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return xp

    def get(self) -> np.ndarray:
        read("get")
        return self.values.copy()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return wrap(getattr(self.values, name))

    def __getitem__(self, key: Any) -> Any:
        return wrap(self.values[index(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.values[index(key)] = unwrap(value)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"standin{self.values!r}"


def _number(name: str) -> Any:
    def convert(self: ndarray, *args: Any) -> Any:
        read(name)
        return getattr(self.values.reshape(()), name)(*args)

    return convert


def _operation(name: str) -> Any:
    def apply(self: ndarray, *others: Any) -> Any:
        others = unwrap(others)
        if any(isinstance(a, (str, list, tuple)) for a in others):
            return NotImplemented
        result = getattr(self.values, name)(*others)
        return self if result is self.values else wrap(result)

    return apply


for _name in ("__float__", "__bool__", "__int__", "__index__", "__complex__", "__format__", "item", "tolist"):
    setattr(ndarray, _name, _number(_name))
ARITHMETIC = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"),
    *("and", "or", "xor", "lshift", "rshift"),
)
for _name in (
    *(f"{side}{name}" for name in ARITHMETIC for side in ("", "r", "i")),
    *["eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"],
):
    setattr(ndarray, f"__{_name}__", _operation(f"__{_name}__"))


def index(key: Any) -> Any:
    if any(isinstance(k, ndarray) and k.dtype == bool for k in (key if isinstance(key, tuple) else (key,))):
        read("mask")
    return unwrap(key)


def wrap(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple):
        items = [wrap(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [wrap(v) for v in value]
    callables = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, np.ufunc)
    return function(value) if isinstance(value, callables) else value


def unwrap(value: Any) -> Any:
    """Stand-ins as the NumPy arrays inside; NumPy's own arrays are refused, as CuPy does."""
    if isinstance(value, ndarray):
        return value.values
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(v) for v in value)
    return value


def function(plain: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("device", None)
        if plain.__name__ in ("nonzero", "unique_values", "unique_all", "unique_counts"):
            read(plain.__name__)
        return wrap(plain(*unwrap(args), **{name: unwrap(value) for name, value in kwargs.items()}))

    return call


class Namespace:
    """`array_api_compat.numpy` on stand-ins."""

    __name__ = "standin"
    ndarray = ndarray

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, types.ModuleType):
            return Namespace(found)
        return function(found) if callable(found) and not isinstance(found, type) else found

    def asarray(self, value: Any, dtype: Any = None, device: Any = None, copy: bool | None = None) -> ndarray:
        """Where numbers come to the device, from NumPy or Python."""
        return ndarray(np.array(value.values if isinstance(value, ndarray) else value, dtype=dtype, copy=copy or None))


xp = Namespace(host)


def placed(value: Any) -> Any:
    """A copy of an operator, functional, term or problem whose arrays are on the device."""
    if isinstance(value, np.ndarray):
        return xp.asarray(value, copy=True)
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        return type(value)(placed(v) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        old = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        new = {name: placed(v) for name, v in old.items()}
        changed = {name: v for name, v in new.items() if v is not old[name]}
        return dataclasses.replace(value, **changed) if changed else value
    return value
