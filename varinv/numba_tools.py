"""What every numba twin shares: explicit signatures for two dtypes, read-only C-ordered inputs, cached code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numba as nb
import numpy as np
from numba import types

from varinv import threads

threads.start()

# sums may be reassociated into vector lanes (fixed at compile time) and multiply-adds fused; NaN and Inf stay honest
FAST = {"reassoc", "contract", "nsz", "arcp"}

# entries that one thread takes at a time, fixed: where vector lanes end does not depend on the number of threads, nor
# do the last bits, as FAST lets the compiler round differently in the remainder
CHUNK = 2048


def ro(dtype: Any, ndim: int) -> Any:
    """A read-only C-ordered array argument (writable arrays are accepted too)."""
    return types.Array(dtype, ndim, "C", readonly=True)


def rw(dtype: Any, ndim: int) -> Any:
    """A C-ordered output argument."""
    return types.Array(dtype, ndim, "C")


def compiled(signature: Callable[[Any], Any], **options: Any) -> Callable[..., Any]:
    """Compile for float32 and float64: ``signature(f)`` gives the argument types for the float type f."""
    settings: dict[str, Any] = {"parallel": True, "cache": True, "fastmath": FAST, "nogil": True, **options}
    decorator: Callable[..., Any] = nb.njit([signature(f) for f in (types.float32, types.float64)], **settings)
    return decorator


def mixed(signature: Callable[[Any, Any], Any], **options: Any) -> Callable[..., Any]:
    """`compiled` for two arrays, ``signature(f, g)``: of one dtype, or float32 beside float64."""
    settings: dict[str, Any] = {"parallel": True, "cache": True, "fastmath": FAST, "nogil": True, **options}
    single, double = types.float32, types.float64
    pairs = ((single, single), (double, double), (single, double))
    decorator: Callable[..., Any] = nb.njit([signature(f, g) for f, g in pairs], **settings)
    return decorator


inner: Any = nb.njit(inline="always")  # into the loop over threads, where arrays are known not to overlap


@inner  # type: ignore[untyped-decorator]
def in_order(parts: Any) -> float:
    """Σ parts, one after the other: `parts.sum()` in a parallel kernel is shared out among the threads there are.

    Kernels on disk hold copies of it: changed, it would need another name.
    """
    total = 0.0
    for k in range(parts.size):
        total += parts[k]
    return total


def plain(*arrays: Any) -> Any:
    """The arrays as C-ordered float32 or float64 of one common dtype (copies only where needed)."""
    dtype = np.result_type(*arrays)
    dtype = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float64)
    result = tuple(np.ascontiguousarray(a, dtype=dtype) for a in arrays)
    return result[0] if len(result) == 1 else result


def along_last(ndim: int, axes: tuple[int, ...]) -> bool:
    """Whether the axes are the last two, so that the others count images, or all three."""
    return (len(axes) == 2 or len(axes) == ndim == 3) and tuple(axes) == tuple(range(ndim - len(axes), ndim))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Kernels called in this thread use one thread: where the caller runs several of them side by side."""
    before = nb.get_num_threads()
    nb.set_num_threads(1)
    try:
        yield
    finally:
        nb.set_num_threads(before)
