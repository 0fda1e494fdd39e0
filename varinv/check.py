"""Checks of what a caller passes: each error says who, what was expected, what came and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from varinv.arrays import outside as outside
from varinv.arrays import taken as taken
from varinv.backend import Array, Shape, is_array, like, namespace, on_cpu, plain_real


def number(
    who: str, name: str, value: Any, *, low: float = -math.inf, high: float = math.inf, strict: bool = False
) -> float:
    """A finite Python float in [low, high], or (low, high] if strict."""
    value = taken(who, name, value)
    try:
        if isinstance(value, (str, bytes, bool)) or (is_array(value) and math.prod(value.shape) != 1):
            raise TypeError
        result = float(namespace(value).reshape(value, ()) if is_array(value) else value)
    except (TypeError, ValueError):
        what = f"an array of shape {tuple(value.shape)}" if is_array(value) else repr(value)
        raise TypeError(f"{who}: {name} must be a real number, got {what}") from None
    if not math.isfinite(result):
        raise ValueError(f"{who}: {name} must be finite, got {result}")
    if result < low or result > high or (strict and result == low):
        bound = f"greater than {low:g}" if strict else f"at least {low:g}"
        if high < math.inf:
            bound = f"between {low:g} and {high:g}"
        raise ValueError(f"{who}: {name} must be {bound}, got {result:g}")
    return result


def integer(who: str, name: str, value: Any, *, low: int | None = None) -> int:
    """A Python int, at least `low`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{who}: {name} must be an integer, got {value!r}")
    result = int(value.__index__())
    if low is not None and result < low:
        raise ValueError(f"{who}: {name} must be at least {low}, got {result}")
    return result


def shape(who: str, value: Any, *, ndim: Iterable[int] | None = None, name: str = "shape") -> Shape:
    """A tuple of positive integers; with `ndim`, of one of these lengths."""
    if hasattr(value, "__index__") and not isinstance(value, bool) and not is_array(value):
        value = (value,)
    if isinstance(value, (str, bytes, dict, set)) or is_array(value) or not hasattr(value, "__iter__"):
        raise TypeError(f"{who}: {name} must be a tuple of positive integers, got {describe(value)}")
    result = tuple(integer(who, f"{name}[{k}]", n, low=1) for k, n in enumerate(value))
    allowed = None if ndim is None else tuple(ndim)
    if not result or (allowed is not None and len(result) not in allowed):
        lengths = "at least one entry" if allowed is None else " or ".join(map(str, allowed)) + " entries"
        raise ValueError(f"{who}: {name} must have {lengths}, got {result}")
    return result


def axes(who: str, value: Any, shape: Shape) -> tuple[int, ...]:
    """Different axes of an image of this shape, counted from 0; None: all."""
    given: Any = range(len(shape)) if value is None else value
    given = tuple(given) if hasattr(given, "__iter__") else (given,)
    result = tuple(integer(who, "axes", k) for k in given)
    if not result or any(not -len(shape) <= k < len(shape) for k in result):
        raise ValueError(f"{who}: axes must lie in {-len(shape)}..{len(shape) - 1} for shape {shape}, got {result}")
    result = tuple(k % len(shape) for k in result)
    if len(set(result)) < len(result):
        raise ValueError(f"{who}: axes must differ, got {result}")
    return result


def describe(value: Any) -> str:
    """What came, in words; never the numbers of an array."""
    if is_array(value):
        dtype = getattr(value, "dtype", None)  # a table has several
        return f"an array of shape {tuple(value.shape)}" + ("" if dtype is None else f" and dtype {dtype}")
    return repr(value) if len(repr(value)) < 80 else f"a {type(value).__name__}"


def real_array(who: object, name: str, value: Any, *, finite: bool = True, like_array: Array | None = None) -> Array:
    """A real floating-point array of at least one entry, finite unless said otherwise.

    Integers and booleans become float64, float16 becomes float32, foreign byte order becomes native;
    lists and numbers become NumPy arrays, and so do containers of numbers (xarray, pandas, h5py, zarr, np.matrix).
    Complex numbers, text and objects are refused, and masked arrays, dask arrays, arrays that record gradients.
    """
    if not finite and plain_real(value) and value.size > 0:
        return value
    value = taken(who, name, value)
    if not is_array(value):
        value = like(_plain(who, name, value), like_array) if like_array is not None else _plain(who, name, value)
    xp = namespace(value)
    if value.dtype not in (xp.float64, xp.float32):
        value = _real(who, name, value)
    if math.prod(value.shape) == 0:
        raise ValueError(f"{who}: {name} is empty, shape {tuple(value.shape)}")
    if finite:
        view = on_cpu(value)
        xp, look = (xp, value) if view is None or view is value else (namespace(view), view)
        bad = int(xp.sum(xp.astype(~xp.isfinite(look), xp.int64)))
        if bad:
            raise ValueError(
                f"{who}: {name} has {bad} NaN or infinite of {math.prod(value.shape)} values; "
                "repair or mask them first (weights of zero exclude measurements)"
            )
    return value


def _real(who: object, name: str, value: Array) -> Array:
    """An array of another dtype as float32 or float64."""
    xp = namespace(value)
    try:
        if xp.isdtype(value.dtype, ("integral", "bool")):
            value = xp.astype(value, xp.float64)
        elif str(value.dtype).endswith("float16"):
            value = xp.astype(value, xp.float32)
        elif not xp.isdtype(value.dtype, "real floating"):
            raise TypeError
    except TypeError:
        raise TypeError(
            f"{who}: {name} must be a real array, got dtype {value.dtype}; "
            "for complex data pass the real and imaginary parts as separate channels, stack([x.real, x.imag]); "
            "Fourier(n, complex_images=True) transforms such images"
        ) from None
    if value.dtype not in (xp.float32, xp.float64):  # longdouble, bfloat16, foreign byte order
        value = xp.astype(value, xp.float32 if getattr(value.dtype, "itemsize", 8) == 4 else xp.float64)
    if getattr(value.dtype, "isnative", True) is False:
        value = value.astype(value.dtype.newbyteorder("="))
    return value


def _plain(who: object, name: str, value: Any) -> Array:
    import array_api_compat.numpy as xnp

    try:
        if isinstance(value, (list, tuple)):
            value = [taken(who, name, v) for v in value]
        result = xnp.asarray(value)
    except ValueError:
        raise TypeError(f"{who}: {name} must be an array, got {describe(value)}") from None
    if result.dtype.kind not in "biufc":
        raise TypeError(f"{who}: {name} must be a real array, got {describe(value)}")
    return result


def data(who: str, name: str, value: Any) -> Array:
    """A finite real array of the shape of the data; a number is none."""
    array = real_array(who, name, value)
    if array.ndim == 0:
        raise TypeError(f"{who}: {name} must be an array of the shape of the data, got {describe(value)}")
    return array


def weight(who: str, value: Any, *, name: str = "weight") -> Any:
    """A finite non-negative number (returned as float) or array of such."""
    if not isinstance(value, (list, tuple)) and not (is_array(value) and value.ndim > 0):
        return number(who, name, value, low=0.0)
    value = real_array(who, name, value)
    low = float(namespace(value).min(value))
    if low < 0:
        raise ValueError(f"{who}: {name} must not be negative, its minimum is {low:g}")
    return value


def same_shape(who: str, name: str, array: Array, expected: Shape) -> None:
    """An error naming both shapes where they differ."""
    if tuple(array.shape) != tuple(expected):
        hint = "; it looks transposed" if tuple(array.shape) == tuple(expected)[::-1] and len(expected) > 1 else ""
        raise ValueError(f"{who}: {name} must have shape {tuple(expected)}, got {tuple(array.shape)}{hint}")
