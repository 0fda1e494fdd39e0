"""Arrays of any library, and the choice of a kernel by the device an array is on.

Everything else takes ``xp = namespace(x)`` and calls the array API standard.  The rules (docs/decisions/0001):
array in, same library, device and dtype out; constants follow the image; images never move between devices
on their own; Python floats for steps.  What kinds of arrays there are says varinv.arrays.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import threading
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import array_api_compat as compat
import array_api_compat.numpy as xnp
import numpy as np

from varinv import threads
from varinv.arrays import given_back, kind_of, taken, views
from varinv.pool import POOL as POOL
from varinv.pool import _Pool as _Pool

Array = Any
Shape = tuple[int, ...]


def is_array(x: object) -> bool:
    """True for an array of any library and for containers of numbers (not for lists and Python numbers)."""
    return type(x) is np.ndarray or kind_of(x) is not None


REAL = (np.dtype(np.float64), np.dtype(np.float32))


def plain_real(x: object) -> bool:
    """True for a NumPy array of float64 or float32 in native byte order: what needs no further look."""
    return type(x) is np.ndarray and x.dtype in REAL


_NAMESPACES: dict[type, Any] = {np.ndarray: xnp}


def namespace(*arrays: Any) -> Any:
    """The array API namespace of the arrays among the arguments; a TypeError where they mix libraries."""
    if len(arrays) == 1 and (known := _NAMESPACES.get(type(arrays[0]))) is not None:
        return known
    found = [a for a in arrays if type(a) is not np.ndarray and is_array(a) and library(a) != "numpy"]
    if not found:
        return xnp
    for a in found:
        if (kind := kind_of(a)) is not None and kind.contains:
            taken("varinv", "an argument", a)  # what must not be taken says so
            raise TypeError(f"a {kind.library} {type(a).__name__} where an array is meant; pass numpy.asarray(x)")
    if len(found) < sum(map(is_array, arrays)) or len({library(a) for a in found}) > 1:
        kinds = sorted({library(a) for a in arrays if is_array(a)})
        raise TypeError(
            f"arrays of different libraries: {', '.join(kinds)}; convert one side first, "
            "e.g. with numpy.asarray(x) or cupy.asarray(x)"
        )
    xp = compat.array_namespace(*found)
    if library(found[0]) in ("torch", "jax", "cupy"):  # one namespace a type
        _NAMESPACES[type(found[0])] = xp
    return xp


def library(x: Array) -> str:
    """'numpy', 'cupy', 'torch', 'jax', …: the name of the library that owns `x`, for messages."""
    kind = kind_of(x)
    return type(x).__module__.split(".")[0] if kind is None else kind.library


def place(x: Array) -> tuple[str, str, str]:
    """Library, device and dtype of `x`: the key under which constants made for such arrays are remembered."""
    return library(x), str(device(x)), str(x.dtype)


def on_cpu(x: Array) -> np.ndarray[Any, Any] | None:
    """The memory of `x` as a NumPy array, nothing copied; None where it is not in the memory of the processor."""
    if type(x) is np.ndarray:
        return x
    found = views((x,))
    return None if found is None or type(found[0]) is not np.ndarray else found[0]


def through_numpy(function: Callable[..., Any], x: Array, *rest: Any) -> Any:
    """A function of NumPy arrays on arrays in CPU memory; its arrays come back in the kind of the first one.

    Raises a TypeError where an array cannot be seen as NumPy's: the caller says what to do.
    """
    if type(x) is np.ndarray:
        return function(x, *rest)
    seen = views((x, *rest))
    if seen is None or type(seen[0]) is not np.ndarray:
        raise TypeError(f"a {library(x)} array that is not in the memory of the processor")
    return given_back(function(*seen), x)


def device(x: Array) -> Any:
    """The device `x` lives on."""
    return compat.device(x)


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """A NumPy array of the same numbers: the one place where data leaves its device, for files and pictures."""
    if type(x) is np.ndarray:
        return x
    if hasattr(x, "get") and library(x) == "cupy":
        return np.asarray(x.get())
    if library(x) == "torch":
        return np.asarray(x.detach().cpu().numpy())
    return np.asarray(x if (kind := kind_of(x)) is None or not kind.contains else taken("to_numpy", "x", x))


def like(constant: Any, x: Array) -> Array:
    """A small constant (angles, a kernel, a filter) in the library, device and dtype of the image `x`."""
    if type(x) is np.ndarray:
        return np.asarray(to_numpy(constant) if is_array(constant) else constant, dtype=x.dtype)
    # a copy: some libraries take no read-only memory, and none may share ours
    return namespace(x).asarray(np.array(to_numpy(constant)), dtype=x.dtype, device=device(x))


def like_kept(constant: Any, x: Array) -> Array:
    """A NumPy array in the library and on the device of `x`, its dtype kept: how a checkpoint comes back."""
    if type(x) is np.ndarray:
        return constant
    return namespace(x).asarray(np.array(constant), device=device(x))


def indices_like(constant: Any, x: Array) -> Array:
    """Integer indices in the library and device of `x`."""
    xp = namespace(x)
    return xp.asarray(np.array(constant, dtype=np.int64), dtype=xp.int64, device=device(x))


def same_place(who: str, name: str, value: Array, x: Array) -> Array:
    """`value` in the dtype of `x`; a TypeError that names the argument where library or device differ.

    Image-sized weights and data never move on their own: the message says which call moves them.
    """
    if plain_real(x) and plain_real(value) and value.dtype == x.dtype:
        return value
    if not namespace(x).isdtype(x.dtype, "real floating"):
        raise TypeError(
            f"{who} works on real floating arrays, got dtype {x.dtype}; convert it, e.g. x.astype('float32')"
        )
    if type(value) is np.ndarray and type(x) is np.ndarray:
        return value if value.dtype == x.dtype else value.astype(x.dtype)
    if library(value) != library(x):
        view, kind = on_cpu(value), kind_of(x)
        if view is not None and kind is not None and on_cpu(x) is not None:  # no move: the memory is the same
            return same_place(who, name, kind.back(view), x)  # type: ignore[misc]
        raise TypeError(
            f"{who}: {name} is a {library(value)} array but the image is a {library(x)} array; "
            f"convert {name} first, e.g. {library(x)}.asarray({name})"
        )
    if device(value) != device(x):
        raise TypeError(
            f"{who}: {name} is on {device(value)} but the image is on {device(x)}; move {name} to that device first"
        )
    return value if value.dtype == x.dtype else namespace(x).astype(value, x.dtype)


def double(x: Array) -> Array:
    """`x` in float64: objectives, inner products and certificates are evaluated so."""
    xp = namespace(x)
    if x.dtype == xp.float64:
        return x
    if type(x) is not np.ndarray:
        return xp.astype(x, xp.float64)
    wide = POOL.take(x.shape, np.dtype(np.float64))
    wide[...] = x
    return wide


def empty(shape: Shape, dtype: Any, like: Array) -> Array:
    """An uninitialised array in the library and on the device of `like`; NumPy buffers come from the pool."""
    if type(like) is np.ndarray:
        return POOL.take(tuple(shape), np.dtype(dtype))
    return namespace(like).empty(shape, dtype=dtype, device=device(like))


def normal(like: Array, *seeds: int) -> Array:
    """Standard normal numbers in shape, library, device and dtype of `like`: a function of the seeds alone."""
    values = np.random.default_rng(seeds).standard_normal(tuple(like.shape))
    if type(like) is np.ndarray:
        return values.astype(like.dtype)
    return namespace(like).asarray(values, dtype=like.dtype, device=device(like))


def unshared(result: Array, x: Array) -> Array:
    """`result`, copied where it is `x` or a view of it: what a caller gets is his own."""
    if result is x:
        return namespace(x).asarray(x, copy=True)
    below = getattr(result, "base", None) if type(x) is np.ndarray else getattr(result, "_base", None)
    if below is not None and (below is x or below is getattr(x, "base", None) or below is getattr(x, "_base", None)):
        return namespace(x).asarray(result, copy=True)
    return result


def release() -> None:
    """Give the idle buffers of the pool back to the operating system."""
    with POOL.lock:
        POOL.drop(0)


# ---------------------------------------------------------------------------------------------------------- kernels

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Kernel(Generic[_P, _T]):
    """A pure array-API function that may have fast twins; `reference` is the function as written."""

    def __init__(self, reference: Callable[_P, _T]) -> None:
        functools.update_wrapper(self, reference)
        self.reference = reference
        self.twins: dict[str, Callable[_P, _T]] = {}

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if args and type(args[0]) is np.ndarray:
            return (self.twins.get("numpy") or self.twin("numpy"))(*args, **kwargs)
        at = next((i for i, a in enumerate(args) if kind_of(a) is not None), None)
        seen = views(args)
        if at is None or seen is None:
            return self.twin("numpy" if at is None else "")(*args, **kwargs)
        twin: Callable[..., _T] = self.twin("numpy" if type(seen[at]) is np.ndarray else "cupy")
        result: _T = given_back(twin(*seen, **kwargs), args[at])
        return result

    def twin(self, name: str) -> Callable[_P, _T]:
        """The function for arrays of "numpy" or "cupy", as which all on their devices are seen; the reference else."""
        twin = self.twins.get(name)
        if twin is None:
            twin = self.twins[name] = _twin(self.reference, name)
        return twin


KERNELS: list[Kernel[Any, Any]] = []  # one generic test holds every twin to its reference


def kernel(reference: Callable[_P, _T]) -> Kernel[_P, _T]:
    """Let a pure array-API function have fast twins: same name and arguments, in `<module>_cpu` or `_cuda`.

    The twin is found by name on first use.  A twin may decline an input by calling `<function>.reference`.
    """
    call = Kernel(reference)
    KERNELS.append(call)
    return call


def _twin(reference: Callable[..., Any], name: str) -> Callable[..., Any]:
    suffix = {"numpy": "cpu", "cupy": "cuda"}.get(name)
    module = f"{reference.__module__}_{suffix}"
    if suffix is None or importlib.util.find_spec(module) is None:
        return reference
    found: Callable[..., Any] = getattr(importlib.import_module(module), reference.__name__, reference)
    return threads.guarded(found) if suffix == "cpu" and found is not reference else found


def _forked() -> None:
    """In a child that was forked: no thread of the parent holds the pool, and twins are looked for anew."""
    threads.forked()
    POOL.lock = threading.RLock()
    for call in KERNELS:
        call.twins.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
