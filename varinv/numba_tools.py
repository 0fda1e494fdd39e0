"""What every numba twin shares: explicit signatures for two dtypes, read-only C-ordered inputs, cached code."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numba as nb
import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils, compiler, event

from varinv import threads
from varinv.first_use import NOTICE, waiting

_F, _G = types.float32, types.float64

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


KERNELS: list[Compiled] = []  # all that were defined so far
_COMPILING = threading.RLock()  # as numba does, one thread at a time


def _forked() -> None:
    """In a child: nobody compiles."""
    global _COMPILING
    _COMPILING = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Compiled:
    """A kernel that is compiled for a dtype when it first meets it, and kept on disk: later processes read it there.

    `signature(f, g)` gives the argument types for two float types, of the arrays that tell which they are; `pairs` are
    those that may come; `make(function, types)` compiles; `ahead` arguments come before those of the signature.
    """

    __name__: str

    def __init__(self, function: Any, signature: Any, pairs: Any, make: Callable[..., Any], ahead: int = 0) -> None:
        functools.update_wrapper(self, function)
        self.__name__, self.py_func, self.make = function.__name__, function, make
        ways = [signature(f, g).args for f, g in ((_F, _F), (_G, _F), (_F, _G))]
        told = [[i for i, a in enumerate(ways[0]) if isinstance(a, types.Array) and a != way[i]] for way in ways[1:]]
        first, second = ((way or told[0])[0] for way in told)  # which arguments tell f and g
        self.first, self.second = first + ahead, second + ahead
        kinds = [signature(*pair) for pair in pairs]
        self.kinds = {tuple(np.dtype(kind.args[i].dtype.name) for i in (first, second)): kind for kind in kinds}
        self.known: dict[Any, Callable[..., Any]] = {}
        KERNELS.append(self)

    def __call__(self, *args: Any) -> Any:
        key = args[self.first].dtype, args[self.second].dtype
        return (self.known.get(key) or self.ready(key))(*args)

    def ready(self, key: Any) -> Callable[..., Any]:
        """The kernel for two dtypes, compiled where it is not yet; threads that meet it together wait for one."""
        if key not in self.kinds:
            known = ", ".join(" and ".join(map(str, k)) for k in self.kinds)
            raise TypeError(f"{self.__name__} is compiled for {known}, got arrays of {' and '.join(map(str, key))}")
        with waiting(), _COMPILING, contextlib.ExitStack() as stack:
            if key not in self.known:
                stack.enter_context(event.install_listener("numba:run_pass", _Heard(stack)))
                self.known[key] = self.make(self.py_func, self.kinds[key])
        return self.known[key]


class _Heard(event.Listener):  # type: ignore[misc]
    """Tells the notice once numba really compiles, and does not find the code on disk."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack, self.begun = stack, False

    def on_start(self, happened: Any) -> None:
        if not self.begun:
            self.begun = True
            self.stack.enter_context(NOTICE.compiling())

    def on_end(self, happened: Any) -> None:
        pass


def compiled(signature: Callable[[Any], Any], **options: Any) -> Callable[[Any], Compiled]:
    """A kernel for float32 and float64: ``signature(f)`` gives the argument types for the float type f."""
    return _kernel(lambda f, g: signature(f), ((_F, _F), (_G, _G)), options)


def mixed(signature: Callable[[Any, Any], Any], **options: Any) -> Callable[[Any], Compiled]:
    """`compiled` for two arrays, ``signature(f, g)``: of one dtype, or float32 beside float64."""
    return _kernel(signature, ((_F, _F), (_G, _G), (_F, _G)), options)


def _kernel(signature: Any, pairs: Any, options: dict[str, Any]) -> Callable[[Any], Compiled]:
    settings = {"parallel": True, "fastmath": FAST, "nogil": True, **options}

    def make(function: Any, kind: Any) -> Any:
        return kept(lambda cache: nb.njit(kind, **settings | cache)(function))

    return lambda function: Compiled(function, signature, pairs, make)


def kept(build: Callable[[dict[str, bool]], Any]) -> Any:
    """What ``build({"cache": True})`` makes, kept on disk; where no folder can be written, for this process alone."""
    try:
        return build({"cache": True})
    except RuntimeError as error:
        if "no locator" not in str(error):
            raise
    except OSError:  # the disk is full
        pass
    NOTICE.nothing_kept()
    return build({})


def shared(signature: Callable[[Any], Any], **options: Any) -> Callable[[Any], Compiled]:
    """A kernel ``f(start, stop, *args)`` that does some of n jobs; ``f(n, *args)`` shares them out among the threads.

    numba compiles a loop over threads four times with all that it calls.  Here there is one such loop for all kernels,
    and it finds them by their address.  `signature` is that of `args`, whose arrays must not overlap.
    """
    settings = {"fastmath": FAST, "error_model": "numpy", "pipeline_class": _Apart, **options}

    def make(function: Any, kind: Any) -> Callable[..., Any]:
        taken = types.void(types.uintp, types.uintp, *kind.args)
        body = kept(lambda cache: nb.cfunc(taken, **settings | cache)(function))
        LOADED.append(body)  # code lives as long as it
        kind = types.void(types.intp, types.intp, types.intp, *kind.args)
        entry = _entry(len(kind.args) - 3)
        enter = kept(lambda cache: nb.njit(kind, nogil=True, **cache)(entry))
        return functools.partial(enter, _loop().address, body.address)

    return lambda function: Compiled(function, lambda f, g: signature(f), ((_F, _F), (_G, _G)), make, ahead=1)


LOADED: list[Any] = []


class _Apart(compiler.Compiler):  # type: ignore[misc]
    """Compiles as numba compiles loops over threads: arrays are known not to overlap."""

    def __init__(self, typing: Any, target: Any, library: Any, args: Any, result: Any, flags: Any, names: Any) -> None:
        flags.noalias = True
        super().__init__(typing, target, library, args, result, flags, names)


# What follows is compiled by itself, so that numba's cache sees it change.


@functools.cache
def _loop() -> Any:
    """The loop over threads: ``(address of some, jobs, packed)`` calls some(start, stop, packed) in each."""

    def body(some: Any, jobs: Any, packed: Any) -> None:
        shares = min(_threads(), jobs)
        for k in nb.prange(shares):
            _call(some, k * jobs // shares, (k + 1) * jobs // shares, packed)

    kind = types.void(types.intp, types.intp, types.intp)
    return kept(lambda cache: nb.cfunc(kind, parallel=True, **cache)(body))


@functools.cache
def _entry(count: int) -> Any:
    """A function of so many arguments that starts the loop: numba takes 2 µs longer to call one of any number."""
    names = "".join(f"a{k}, " for k in range(count))
    made = {"_spread": _spread, "__name__": __name__}
    text = f"def _enter{count}(loop, body, jobs, {names}): _spread(loop, body, jobs, ({names}))"
    exec(compile(text, __file__, "exec"), made)
    return made[f"_enter{count}"]


_WORD = ir.IntType(types.intp.bitwidth)


@extending.intrinsic  # type: ignore[untyped-decorator]
def _spread(typing: Any, loop: Any, body: Any, jobs: Any, args: Any) -> Any:
    """Put the address of a kernel and its arguments side by side in memory, and start the loop over threads."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = [context.get_value_type(kind) for kind in args.types]
        nothing = context.get_value_type(types.none)
        kernel = ir.FunctionType(nothing, [_WORD, _WORD, *kinds])
        packed = ir.LiteralStructType([_WORD, *kinds])

        some = ir.Function(builder.module, ir.FunctionType(nothing, [_WORD] * 3), f"{builder.function.name}.some")
        some.linkage = "internal"
        inside = ir.IRBuilder(some.append_basic_block())
        whole = inside.load(inside.inttoptr(some.args[2], packed.as_pointer()))
        address, *given = (inside.extract_value(whole, k) for k in range(len(kinds) + 1))
        inside.ret(inside.call(inside.inttoptr(address, kernel.as_pointer()), [*some.args[:2], *given]))

        place = cgutils.alloca_once(builder, packed)
        for k, value in enumerate((values[1], *cgutils.unpack_tuple(builder, values[3], len(kinds)))):
            builder.store(value, cgutils.gep_inbounds(builder, place, 0, k))
        start = ir.FunctionType(nothing, [_WORD] * 3).as_pointer()
        words = builder.ptrtoint(some, _WORD), values[2], builder.ptrtoint(place, _WORD)
        builder.call(builder.inttoptr(values[0], start), words)
        return context.get_dummy_value()

    return types.void(loop, body, jobs, args), generate


@extending.intrinsic  # type: ignore[untyped-decorator]
def _call(typing: Any, address: Any, start: Any, stop: Any, packed: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = ir.FunctionType(context.get_value_type(types.none), [_WORD] * 3)
        builder.call(builder.inttoptr(values[0], function.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), generate


@extending.intrinsic  # type: ignore[untyped-decorator]
def _threads(typing: Any) -> Any:
    """As `numba.get_num_threads`, which cannot lie on disk."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_WORD, []), "get_num_threads")
        return builder.call(function, [])

    return types.intp(), generate


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
