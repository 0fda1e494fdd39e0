"""Which array library is this?  The only module that asks.

Everything else takes ``xp = namespace(x)`` and calls the array API standard.  The rules (docs/decisions/0001):
array in, same library, device and dtype out; constants follow the image; images never move between devices
on their own; Python floats for steps.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import math
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

import array_api_compat as compat
import array_api_compat.numpy as xnp
import numpy as np

from varinv import threads

Array = Any
Shape = tuple[int, ...]


def is_array(x: object) -> bool:
    """True for an array of any library that follows the array API (not for lists and Python numbers)."""
    return type(x) is np.ndarray or (compat.is_array_api_obj(x) and not isinstance(x, np.generic))


REAL = (np.dtype(np.float64), np.dtype(np.float32))


def plain_real(x: object) -> bool:
    """True for a NumPy array of float64 or float32 in native byte order: what needs no further look."""
    return type(x) is np.ndarray and x.dtype in REAL


def namespace(*arrays: Any) -> Any:
    """The array API namespace of the arrays among the arguments; a TypeError where they mix libraries."""
    found = [a for a in arrays if type(a) is not np.ndarray and is_array(a)]
    if not found:
        return xnp
    if len(found) < sum(map(is_array, arrays)) or len({type(a).__module__.split(".")[0] for a in found}) > 1:
        kinds = sorted({library(a) for a in arrays if is_array(a)})
        raise TypeError(
            f"arrays of different libraries: {', '.join(kinds)}; convert one side first, "
            "e.g. with numpy.asarray(x) or cupy.asarray(x)"
        )
    return compat.array_namespace(*found)


def library(x: Array) -> str:
    """'numpy', 'cupy', 'torch', …: the name of the library that owns `x`."""
    return type(x).__module__.split(".")[0]


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
    return np.asarray(x)


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


# ---------------------------------------------------------------------------------------------------------- buffers


class _Pool:
    """Buffers that are handed out again once nobody can see them any more.

    States are immutable and a long run still allocates nothing: a buffer returns to use only when its reference
    count shows that neither it nor a view of it is held.  Any shape and dtype that fits takes the smallest idle buffer,
    unless a fifth of it would lie idle.  Idle ones not asked for in 256 requests are dropped.
    """

    small = 1 << 14  # bytes; below, the allocator is as fast

    def __init__(self) -> None:
        self.lock = threading.RLock()
        # [request it was last handed out for, bytes, first request], the smallest first
        self.buffers: list[list[Any]] = []
        self.limit = math.inf  # bytes that idle buffers may fill up beside those in use
        self.requests = 0
        self.made = 0  # buffers allocated so far: the tests watch it
        probe = [0, np.empty(1)]
        self.unseen = sys.getrefcount(probe[1])
        self.enabled = not sysconfig.get_config_var("Py_GIL_DISABLED")

    def take(self, shape: Shape, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        size = math.prod(shape) * dtype.itemsize
        if not self.enabled or size < self.small:
            return np.empty(shape, dtype)
        with self.lock:
            self.requests += 1
            for b in self.buffers:
                if 4 * b[1].size > 5 * size:
                    break
                if b[1].size >= size and sys.getrefcount(b[1]) == self.unseen:
                    b[0] = self.requests
                    return np.ndarray(shape, dtype, b[1])
            self.drop(256, limit=self.limit - size)
            self.made += 1
            new: list[Any] = [self.requests, np.empty(size, np.uint8), self.requests]
            self.buffers = sorted([*self.buffers, new], key=lambda b: b[1].size)
            return np.ndarray(shape, dtype, new[1])

    def held(self) -> int:
        """Bytes of all buffers."""
        return sum(b[1].size for b in self.buffers)

    def drop(self, age: int, since: float = math.inf, limit: float = math.inf) -> None:
        """Forget idle buffers: those not asked for in `age` requests, made after `since`, any while above `limit`."""
        idle = [b for b in self.buffers if sys.getrefcount(b[1]) == self.unseen]
        held = self.held()
        for b in sorted(idle, key=lambda b: int(b[0])):
            if self.requests - b[0] >= age or b[2] > since or held > limit:
                held -= b[1].size
                self.buffers = [kept for kept in self.buffers if kept is not b]

    @contextlib.contextmanager
    def guest(self) -> Iterator[None]:
        """Inside, new buffers take the place of idle ones; at the end they are forgotten."""
        with self.lock:
            before, self.limit, began = self.limit, min(self.limit, self.held()), self.requests
        try:
            yield
        finally:
            with self.lock:
                self.drop(256, since=began)
                self.limit = before


POOL = _Pool()


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
        plain = bool(args) and type(args[0]) is np.ndarray
        name = "numpy" if plain else next((library(a) for a in args if is_array(a)), "numpy")
        twin = self.twins.get(name)
        if twin is None:
            twin = self.twins[name] = _twin(self.reference, name)
        return twin(*args, **kwargs)


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
