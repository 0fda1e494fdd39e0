"""What kind of array is this?  Libraries are known here by the names of their types; none of them is imported.

Three sorts: NumPy's own array; arrays of other libraries, which stay what they are and, where their memory is that of
the processor (or of a CUDA device, where CuPy is installed), are seen as NumPy's (CuPy's) without a copy; and
containers of numbers (xarray, pandas, h5py, zarr, subclasses of NumPy's array), out of which NumPy's array is taken.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LARGE = 1 << 30  # bytes; more than that is not read from a file without a word


class Kind(NamedTuple):
    """What the package knows of one type of arrays.

    view(x): the memory of x as an array of NumPy, or of CuPy on a CUDA device; None: it cannot be seen so.
    back(a): what `view` gave, or a new array beside it, as an array of this kind; without a copy where it is new.
    take(who, name, x): the array to work on; a TypeError where x must not be taken as numbers.
    """

    library: str
    view: Callable[[Any], Any] | None = None
    back: Callable[[Any], Any] | None = None
    take: Callable[[object, str, Any], Any] | None = None
    contains: bool = False  # a container, whose `take` gives the array of another kind


NDARRAY = np.ndarray
NUMBERS = (bool, int, float, np.generic)  # numbers, and NumPy's among them

_KINDS: dict[type, Kind | None] = {}


def kind_of(x: object) -> Kind | None:
    """The kind of x; None for what is no array (lists, numbers, NumPy's scalars)."""
    cls = type(x)
    try:
        return _KINDS[cls]
    except KeyError:
        found = _KINDS[cls] = _kind(cls)
        return found


def views(arguments: tuple[Any, ...]) -> list[Any] | None:
    """The arguments with each array seen as one of NumPy or CuPy, those in forms as well; None where one cannot be."""
    found = []
    for a in arguments:
        kind = kind_of(a)
        if kind is None:
            if hasattr(a, "_fields"):  # a form, see varinv.forms
                inside = views(tuple(a))
                if inside is None:
                    return None
                a = type(a)(*inside)
            found.append(a)
            continue
        if kind.view is None and kind.take is not None:
            a = kind.take("varinv", "an argument", a)
            kind = kind_of(a)
        view = None if kind is None or kind.view is None else kind.view(a)
        if view is None:
            return None
        found.append(view)
    return found


def given_back(value: Any, like: Any) -> Any:
    """The arrays in what a function on views returned (arrays, tuples of them, numbers), of the kind of `like`.

    Nothing is copied, but for what NumPy alone can describe: negative steps, and for JAX any.
    """
    kind = kind_of(like)
    return value if kind is None or kind.back is None else _given_back(value, kind.back)


def _given_back(value: Any, back: Callable[[Any], Any]) -> Any:
    if isinstance(value, (tuple, list)):
        items = [_given_back(v, back) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: _given_back(v, back) for key, v in value.items()}
    return value if kind_of(value) is None else back(value)


def taken(who: object, name: str, x: Any) -> Any:
    """x as an array to work on: itself, or what a container holds; what is no array comes back as it is.

    Raises a TypeError that says what to do for masked arrays, dask arrays, and arrays that record gradients.
    """
    kind = kind_of(x)
    return x if kind is None or kind.take is None else kind.take(who, name, x)


def _kind(cls: type) -> Kind | None:
    if issubclass(cls, np.generic):
        return None
    if cls is np.ndarray:
        return Kind("numpy", _itself, _itself)
    bases = [(c.__module__, c.__name__) for c in cls.__mro__]
    root = cls.__module__.partition(".")[0]
    for module, name in bases:
        first = module.partition(".")[0]
        if (first, name) == ("torch", "Tensor"):
            return Kind("torch", _torch_view, _torch_back, _torch_take)
        if first == "jax" and name == "Tracer":
            return Kind("jax", take=_traced)
        if first in ("jax", "jaxlib") and name == "ArrayImpl":
            return Kind("jax", _jax_view, _jax_back)
        if first == "dask":
            return Kind("dask", take=_dask, contains=True) if hasattr(cls, "shape") else None
        if module.startswith("numpy.ma") and name == "MaskedArray":
            return Kind("numpy.ma", take=_masked, contains=True)
        if first == "xarray" and name in ("DataArray", "Variable"):
            return Kind("xarray", take=_xarray, contains=True)
    if issubclass(cls, np.ndarray):  # a matrix multiplies otherwise; a memory map and others are seen as they are
        matrix = issubclass(cls, np.matrix)
        return Kind("numpy.matrix" if matrix else "numpy", None if matrix else np.asarray, _itself, _plain, True)
    if root == "cupy" and cls.__name__ == "ndarray":
        return Kind("cupy", _itself, _itself)
    if hasattr(cls, "__array_namespace__"):
        return Kind(root)
    if hasattr(cls, "__array__") and hasattr(cls, "shape"):
        return Kind(root, take=_container, contains=True)
    return None


def _itself(x: Any) -> Any:
    return x


def _plain(who: object, name: str, x: Any) -> Any:
    return np.asarray(x)


# ------------------------------------------------------------------------------------------------- other libraries


def _torch_view(x: Any) -> Any:
    try:
        return x.numpy()
    except (TypeError, RuntimeError):  # it records gradients, is on another device, sparse, bfloat16, inside torch.func
        x = _torch_take("varinv", "an argument", x)
    if x.layout is not sys.modules["torch"].strided:
        return None
    try:
        return x.resolve_conj().resolve_neg().numpy() if x.is_cpu else _on_device(x) if x.is_cuda else None
    except (TypeError, RuntimeError):
        return None


def _torch_back(a: Any) -> Any:
    torch = sys.modules["torch"]
    if type(a) is not np.ndarray:
        return torch.from_dlpack(a)
    if not a.flags.writeable or any(s < 0 for s in a.strides):
        a = a.copy()
    return torch.from_numpy(a)


def _torch_take(who: object, name: str, x: Any) -> Any:
    if not x.requires_grad:
        return x
    if sys.modules["torch"].is_grad_enabled():
        raise TypeError(
            f"{who}: {name} is a torch tensor that records gradients, and no derivative of what is computed here is "
            "recorded; pass x.detach() for its numbers"
        )
    return x.detach()


def _traced(who: object, name: str, x: Any) -> Any:
    raise TypeError(
        f"{who}: {name} is a JAX tracer (inside jit, grad or vmap): it has no numbers yet, and no derivative of what "
        "is computed here is recorded; call this outside, on arrays, e.g. jax.lax.stop_gradient(x) outside jit"
    )


def _jax_view(x: Any) -> Any:
    if x.platform() == "cpu":
        # one device, and a dtype that NumPy has: sharded arrays would be gathered, bfloat16 is not NumPy's
        view = np.asarray(x) if len(x.devices()) == 1 else None
        return None if view is None or view.dtype.kind not in "biufc" else view
    return _on_device(x) if x.platform() in ("gpu", "cuda") else None


def _jax_back(a: Any) -> Any:
    jax = sys.modules["jax"]
    if type(a) is np.ndarray and not (a.flags.writeable and a.flags.c_contiguous):
        return jax.numpy.asarray(a)  # a copy
    return jax.dlpack.from_dlpack(a)  # shares memory where it starts at a multiple of 64 bytes, as pooled buffers do


def _on_device(x: Any) -> Any:
    """As CuPy's array; None where CuPy is not installed."""
    cupy = _cupy()
    return None if cupy is None else cupy.from_dlpack(x)


@functools.cache
def _cupy() -> Any:
    return importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None


# ------------------------------------------------------------------------------------------------------ containers


def _masked(who: object, name: str, x: Any) -> Any:
    raise TypeError(
        f"{who}: {name} is a masked array, and its mask would be lost; pass the numbers and say which count: "
        "data.filled(0) with weight=(~numpy.ma.getmaskarray(data)).astype(float) in the data term "
        "(numpy.asarray(data) where nothing is masked)"
    )


def _dask(who: object, name: str, x: Any) -> Any:
    raise TypeError(
        f"{who}: {name} is a dask {type(x).__name__}, which computes nothing until it is asked; pass x.compute()"
    )


def _xarray(who: object, name: str, x: Any) -> Any:
    if x.chunks is not None and type(x.data).__module__.startswith("dask"):
        raise TypeError(
            f"{who}: {name} is an xarray {type(x).__name__} of a dask array, which computes nothing until it is asked; "
            "pass x.compute()"
        )
    if not getattr(getattr(x, "variable", x), "_in_memory", True):
        _say(who, name, x)
    return taken(who, name, x.data)


def _container(who: object, name: str, x: Any) -> Any:
    if type(x).__module__.partition(".")[0] != "pandas":
        _say(who, name, x)
    return taken(who, name, x.__array__())  # not numpy.asarray, which would lose the mask of what comes


def _say(who: object, name: str, x: Any) -> None:
    """A warning where more than a GB is read into memory."""
    size = math.prod(x.shape) * getattr(getattr(x, "dtype", None), "itemsize", 8)
    if size > LARGE:
        warnings.warn(
            f"{who}: {name} is a {_words(x)} of {size / 1e9:.1f} GB; all of it is read into memory",
            stacklevel=outside(),
        )


def _words(x: Any) -> str:
    return f"{type(x).__module__.partition('.')[0]} {type(x).__name__}"


def outside() -> int:
    """The `stacklevel` of a warning that points to the line outside this package from which all of it was called."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "varinv":
        frame, level = frame.f_back, level + 1
    return level
