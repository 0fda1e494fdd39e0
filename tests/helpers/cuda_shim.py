"""The CUDA twins without a device: their `.cu` sources built by the C++ compiler and run on NumPy arrays.

`run` takes the place of `varinv.cuda_tools.run`.  It is stricter than a device: every array lies between guards, so
that a read outside gives NaN and a write outside an error; outputs start as NaN; inputs must be `const`; parameters
must have the types of the arguments; arrays may not overlap; threads run in both orders and must give the same bytes.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from varinv import cuda_tools

COMPILER = next((path for name in ("g++", "clang++", "c++") if (path := shutil.which(name))), None)
HOST = Path(__file__).with_name("cuda_host.h")

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(([^)]*)\)')
POINTEES = {"double": "float64", "float": "float32", "int64": "int64", "int": "int32", "unsigned char": "uint8"}
COORDINATES = {"float32": "int64", "float64": "double"}  # of radon.cu


def kernels(module: str) -> dict[str, list[str]]:
    """Name → parameter types of the kernels in the source of a twin."""
    found = {}
    for name, parameters in KERNEL.findall(re.sub(r"//[^\n]*", "", cuda_tools.source(module))):
        types = [re.sub(r"\s*\w+$", "", p.replace("__restrict__", " ").strip()).strip() for p in parameters.split(",")]
        found[name] = [re.sub(r"\s+", " ", t) for t in types]
    return found


@functools.cache
def build(module: str, dtype: str) -> ctypes.CDLL:
    """The shared library of one source and dtype, kept in the temporary folder under the hash of what made it."""
    drivers = "".join(
        f'\nextern "C" void run_{name}(const unsigned* g, const unsigned* b, void** v, int o)'
        f" {{ drive({name}, g, b, v, o); }}"
        for name in kernels(module)
    )
    text = f"{HOST.read_text()}\n#define real {cuda_tools.TYPES[dtype]}\n{cuda_tools.source(module)}\n{drivers}\n"
    # a double in float code is slow on a device: say it; float arithmetic as written, no vector lanes needed
    command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wdouble-promotion", "-Werror"]
    key = hashlib.sha256("\0".join([text, *map(str, command)]).encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"varinv-cuda-shim-{os.getuid() if hasattr(os, 'getuid') else 0}"
    folder.mkdir(exist_ok=True)
    library = folder / f"{key}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as place:
            source, made = Path(place) / "kernels.cpp", Path(place) / "kernels.so"
            source.write_text(text)
            done = subprocess.run([*command, str(source), "-o", str(made)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{module} ({dtype}) does not compile as C++:\n{done.stderr}"
            made.replace(library)
    return ctypes.CDLL(str(library))


def run(module, kernel, dtype, grid, block, args, like) -> None:
    """As `varinv.cuda_tools.run`, on NumPy arrays or the stand-ins of standin.py."""
    if not isinstance(like, np.ndarray):
        assert not any(isinstance(a, np.ndarray) for a in args), (
            f"{kernel}: an array of the host among those of a device"
        )
    args = tuple(getattr(a, "values", a) for a in args)
    library, types = build(module, dtype), kernels(module)[kernel]
    assert len(args) == len(types), f"{kernel} has {len(types)} parameters, got {len(args)} arguments"
    check_types(kernel, types, args, dtype)
    arrays = [(a, not t.startswith("const ")) for a, t in zip(args, types, strict=True) if isinstance(a, np.ndarray)]
    for out, written in arrays:
        assert not (written and any(np.shares_memory(out, a) for a, _ in arrays if a is not out)), f"{kernel}: overlap"
    results = [_once(library, kernel, types, grid, block, args, order) for order in (0, 1)]
    for (out, written), first, second in zip(arrays, *results, strict=True):
        if written:
            assert first.tobytes() == second.tobytes(), f"{kernel} depends on the order of its threads"
            out[...] = first


def check_types(kernel, types, args, dtype) -> None:
    for k, (kind, value) in enumerate(zip(types, args, strict=True)):
        pointer, name = "*" in kind, re.sub(r"\bconst\b|\*", "", kind).strip()
        name = {"real": cuda_tools.TYPES[dtype], "coordinate": COORDINATES[dtype]}.get(name, name)
        if pointer and not isinstance(value, np.ndarray):
            assert value == 0, f"{kernel}: argument {k} should be an array for {kind}"
        else:
            assert pointer == isinstance(value, np.ndarray), f"{kernel}: argument {k} for a parameter {kind}"
            assert str(value.dtype) == POINTEES[name], f"{kernel}: argument {k} is {value.dtype} for {kind}"


def _once(library, kernel, types, grid, block, args, order):
    holders, values, guarded = [], [], []
    for kind, value in zip(types, args, strict=True):
        if not isinstance(value, np.ndarray):
            holders.append(np.array(value))
            values.append(holders[-1].ctypes.data)
            continue
        # as far as an index that is off by one along any axis leads; packs of 16 bytes stay aligned
        guard = max(64, value.size + -value.size % 16)
        whole = np.empty(value.size + 2 * guard, value.dtype)
        whole[...] = np.nan if value.dtype.kind == "f" else np.iinfo(value.dtype).max
        inside = whole[guard : guard + value.size]
        if kind.startswith("const "):
            inside[:] = value.reshape(-1)
        guarded.append((kind, whole, whole.tobytes(), inside.reshape(value.shape)))
        holders.append(np.array(inside.ctypes.data, np.uintp))
        values.append(holders[-1].ctypes.data)
    three = ctypes.c_uint * 3
    getattr(library, f"run_{kernel}")(three(*grid), three(*block), (ctypes.c_void_p * len(values))(*values), order)
    for kind, whole, before, inside in guarded:
        n, after = (whole.nbytes - inside.nbytes) // 2, whole.tobytes()
        assert (after[:n], after[-n:]) == (before[:n], before[-n:]), f"{kernel} writes outside of {kind}"
        assert not kind.startswith("const ") or after == before, f"{kernel} writes to an input"
    return [inside for *_, inside in guarded]
