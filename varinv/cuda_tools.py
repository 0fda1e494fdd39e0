"""How a CUDA twin runs its kernel: the `.cu` file beside it, compiled by CuPy when it is first met.

Only this module and, for tensors on a device, varinv.arrays ask for CuPy.  A twin ``<module>_cuda.py`` never does: it
calls `launch` and takes its outputs from `backend.empty`, so that the tests can run the whole twin, kernel included, on
a machine without a device.
"""

from __future__ import annotations

import functools
import importlib
import importlib.resources
import math
from typing import Any

import numpy as np

from varinv.backend import Array, Shape, device, is_array, library, like_kept, namespace

TYPES = {"float32": "float", "float64": "double"}  # what `real` stands for in a kernel
MOST = (2**31 - 1, 65535, 65535)  # blocks of a grid, CUDA Programming Guide, table of compute capabilities

_tables: dict[Any, Array] = {}


def cupy() -> Any:
    """CuPy, where it is installed and finds a device; else a RuntimeError that says what to do."""
    try:
        found = importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError(
            "this needs CuPy, which is not installed: python -m pip install 'varinv[cuda13]' (a driver for CUDA 12: "
            "'varinv[cuda12]'); NumPy arrays run on the processor without it"
        ) from error
    try:
        count = int(found.cuda.runtime.getDeviceCount())
    except found.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"CuPy is installed but finds no CUDA device ({error}); {_ADVICE}") from error
    if count < 1:
        raise RuntimeError(f"CuPy is installed but finds no CUDA device; {_ADVICE}")
    return found


_ADVICE = "check that nvidia-smi lists one, or pass NumPy arrays, which run on the processor"


def source(module: str) -> str:
    """The CUDA C++ of twin `module`: the common prelude, then the `.cu` file beside it."""
    package, _, name = module.rpartition(".")
    name = name.removesuffix("_cuda") + ".cu"
    prelude = importlib.resources.files("varinv").joinpath("cuda.cuh").read_text("utf-8")
    return f'{prelude}\n#line 1 "{name}"\n{importlib.resources.files(package).joinpath(name).read_text("utf-8")}'


def options(dtype: str) -> tuple[str, ...]:
    """Compiler options beyond those that CuPy adds itself."""
    return f"-Dreal={TYPES[dtype]}", "--std=c++17"


def plain(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in C order, as float32 or float64 of one common dtype (copies only where needed)."""
    dtype = np.result_type(*(a.dtype for a in arrays))
    dtype = dtype if str(dtype) in TYPES else np.dtype(np.float64)
    return tuple(namespace(a).ascontiguousarray(a, dtype=dtype).reshape(a.shape) for a in arrays)


def pair(value: Any, like: Array) -> tuple[Array | None, float]:
    """What a kernel takes that accepts an image or a number: (image, 0) or (None, number); None is the number 0."""
    if not is_array(value):
        return None, 0.0 if value is None else float(value)
    return namespace(like).ascontiguousarray(value, dtype=like.dtype), 0.0


def table(values: Any, dtype: Any, like: Array) -> Array:
    """A small constant (filter, offsets) on the device of `like`, kept there: the same values are moved once."""
    values = np.ascontiguousarray(values, dtype=dtype)
    key = (values.tobytes(), values.shape, str(values.dtype), library(like), str(device(like)))
    if key not in _tables:
        if len(_tables) >= 256:
            _tables.clear()
        _tables[key] = like_kept(values, like)
    return _tables[key]


def layout(size: Shape) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Grid and block for one thread per entry of an array of one to three axes, the last one fastest.

    Blocks of 256 threads, 32 or more along the last axis; rows and slices share a block where a grid allows no more.
    """
    x, y, z = (*reversed(size), 1, 1)[:3]
    block = [256 if y == z == 1 else 32, 1 if y == 1 else 8, 1]
    while -(-z // block[2]) > MOST[2] and block[2] < 32:
        block[2] *= 2
        block[1] = max(1, block[1] // 2)
    while -(-y // block[1]) > MOST[1] and math.prod(block) < 1024:
        block[1] *= 2
    blocks = tuple(-(-n // b) for n, b in zip((x, y, z), block, strict=True))
    if any(n > most for n, most in zip(blocks, MOST, strict=True)):
        raise ValueError(f"an array of shape {tuple(size)} is too large for one CUDA grid; work on parts of it")
    return blocks, tuple(block)  # type: ignore[return-value]


def launch(module: str, kernel: str, size: Shape, *args: Any, like: Array) -> None:
    """Run ``kernel`` of the `.cu` file beside twin ``module`` (its ``__name__``) with one thread per entry of `size`.

    Arguments, in the order of the kernel's parameters: arrays in C order (pointers), None (a null pointer), Python
    floats (`real`), Python ints (`int64`), NumPy scalars (as they are).  `real` is the dtype of `like`, whose device
    and current stream run the kernel; the call returns before it ends.
    """
    if math.prod(size) == 0:
        return
    dtype = str(like.dtype)
    values = tuple(_argument(kernel, a, dtype) for a in args)
    run(module, kernel, dtype, *layout(size), values, like)


def run(module: str, kernel: str, dtype: str, grid: Shape, block: Shape, args: tuple[Any, ...], like: Array) -> None:
    """Through CuPy, on the device of `like`; the tests put a C++ compiler in this place."""
    function = _loaded(module, dtype, kernel)
    with like.device:
        function(grid, block, args)


@functools.cache
def _module(module: str, dtype: str) -> Any:
    return cupy().RawModule(code=source(module), options=options(dtype))


@functools.cache
def _loaded(module: str, dtype: str, kernel: str) -> Any:
    """Compiled by CuPy, once per device, and kept in its cache on disk."""
    return _module(module, dtype).get_function(kernel)


def _argument(kernel: str, value: Any, dtype: str) -> Any:
    if value is None:
        return np.uintp(0)
    if isinstance(value, np.generic):
        return value
    if isinstance(value, float):
        return np.dtype(dtype).type(value)
    if isinstance(value, int):
        return np.int64(value)
    if not value.flags.c_contiguous:
        raise ValueError(f"kernel {kernel} takes arrays in C order; pass them through varinv.cuda_tools.plain")
    return value
