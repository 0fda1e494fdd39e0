"""Every CUDA twin equals its reference, run on the host by the shim; every `.cu` compiles as CuPy compiles it."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import re
import sys
import types
from pathlib import Path

import cuda_shim
import numpy as np
import pytest
from kernel_cases import CASES, EXACT, LAYOUTS, SHAPES, Maker, equal

from varinv import cuda_tools
from varinv.backend import KERNELS, _twin
from varinv.forms import Differences, Magnitudes, Quadratic

TWINS = [k for k in KERNELS if _twin(k.reference, "cupy") is not k.reference]
MODULES = sorted({f"{k.__module__}_cuda" for k in TWINS})
NAMES = [f"{k.__module__.removeprefix('varinv.')}.{k.__name__}" for k in TWINS]


@pytest.fixture
def shim(monkeypatch):
    if cuda_shim.COMPILER is None:
        pytest.skip("no C++ compiler (g++, clang++ or c++): the CUDA sources cannot run on the host")
    monkeypatch.setattr(cuda_tools, "run", cuda_shim.run)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kernel", TWINS, ids=NAMES)
def test_cuda_twin_is_reference(kernel, dtype, layout, shim):
    """1e-12 and, with the limits of test_kernels, 4e-6 of the largest value."""
    twin = _twin(kernel.reference, "cupy")
    for shape in [*SHAPES, (2, 9, 33), (600,)]:  # more than one block along every axis
        if layout != "plain" and math.prod(shape) > 50:  # the order of memory is settled before a kernel starts
            continue
        if kernel.__name__ == "interpolate_back" and max(shape) > 40:
            continue  # positions rounded to float32 differ by 8e-6 of a bin at 100: test_cuda_radon has larger ones
        for args in CASES[kernel.__name__](shape, Maker(dtype, layout)):
            before = [a.tobytes() for a in args if isinstance(a, np.ndarray)]
            got, expected = twin(*args), kernel.reference(*args)
            assert [a.tobytes() for a in args if isinstance(a, np.ndarray)] == before, "the twin changed its input"
            equal(got, expected, np.float64 if kernel.__name__ in EXACT else dtype)


def test_four_axes_go_to_the_array_code(shim):
    shape, axes, h = (2, 3, 2, 3), (0, 1, 2, 3), (1.0, 2.0, 1.0, 0.5)
    make = Maker(np.float64, "plain")
    u, p = make(*shape), make(4, *shape)
    for name, args in (
        ("differences", (u, h, axes, "periodic")),
        ("minus_divergence", (p, h, axes, "dirichlet")),
        ("tv_dual_ascent", (p, u, 0.5, Magnitudes(0.7, 0.0, True), Differences(h, axes), 1.0)),
        ("tv_descent", (u, 0.5, None, p, Differences(h, axes), Quadratic(u, 0.7, 0.0, 1.0), 1.0)),
    ):
        kernel = next(k for k in TWINS if k.__name__ == name)
        equal(_twin(kernel.reference, "cupy")(*args), kernel.reference(*args), np.float64)


def test_twins_never_import_cupy():
    for module in MODULES:
        text = Path(importlib.util.find_spec(module).origin).read_text()
        assert not re.search(r"^\s*(import|from) cupy", text, re.MULTILINE), f"{module}: go through varinv.cuda_tools"


# ------------------------------------------------------------------------------------------------------- the launcher


@pytest.mark.parametrize(
    "size", [(1,), (256,), (257,), (10**9,), (1, 1), (512, 512), (1, 7, 5), (64, 512, 512), (70_000, 3, 4), (2**20, 9)]
)
def test_grid_covers_the_array_and_no_limit_is_passed(size):
    grid, block = cuda_tools.layout(size)
    assert all(g * b >= n for g, b, n in zip(grid, block, reversed(size), strict=False))
    assert all((g - 1) * b < n for g, b, n in zip(grid, block, reversed(size), strict=False)), "no empty blocks"
    # limits of every device since compute capability 3.0 (CUDA C++ Programming Guide, technical specifications)
    assert math.prod(block) <= 1024
    assert block[2] <= 64
    assert all(g <= most for g, most in zip(grid, (2**31 - 1, 65535, 65535), strict=True))


def test_an_array_too_large_for_a_grid_is_an_error():
    with pytest.raises(ValueError, match=r"shape \(10000000, 2, 2\) is too large for one CUDA grid"):
        cuda_tools.layout((10_000_000, 2, 2))


def test_arrays_out_of_order_are_refused(shim):
    wide = np.zeros((4, 6), np.float32)[:, ::2]
    with pytest.raises(ValueError, match="takes arrays in C order"):
        cuda_tools.launch("varinv.operators.gradient_cuda", "differences", (4, 3), wide, like=wide)


# -------------------------------------------------------------------------------------------------------- compilation


def test_without_cupy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"needs CuPy, which is not installed: .*pip install 'varinv\[cuda13\]'"):
        cuda_tools.cupy()


def test_cupy_without_a_device_is_said(monkeypatch):
    class Error(RuntimeError):
        pass

    def count():
        raise Error("cudaErrorNoDevice: no CUDA-capable device is detected")

    runtime = types.SimpleNamespace(CUDARuntimeError=Error, getDeviceCount=count)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime)))
    with pytest.raises(RuntimeError, match=r"finds no CUDA device \(cudaErrorNoDevice.*NumPy arrays, which run on"):
        cuda_tools.cupy()


class NVRTC:
    """The compiler CuPy uses, from its wheel (varinv[cuda-test]) or the system."""

    def __init__(self):
        found = importlib.util.find_spec("nvidia")
        places = [] if found is None else [Path(p) for p in found.submodule_search_locations]
        files = [str(f) for p in places for f in sorted(p.glob("*/lib/libnvrtc.so.*"), reverse=True)]
        for name in [*files, "libnvrtc.so.13", "libnvrtc.so.12"]:
            try:
                self.library = ctypes.CDLL(name)
                return
            except OSError:
                continue
        pytest.skip("NVRTC is not installed: python -m pip install 'varinv[cuda-test]'")

    def compile(self, source: str, options: tuple[str, ...]) -> tuple[int, str]:
        """Status (0: compiled) and log."""
        lib, program, size = self.library, ctypes.c_void_p(), ctypes.c_size_t()
        assert lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kern.cu", 0, None, None) == 0
        try:
            given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            status = lib.nvrtcCompileProgram(program, len(options), given)
            lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            lib.nvrtcGetProgramLog(program, log)
        finally:
            lib.nvrtcDestroyProgram(ctypes.byref(program))
        return status, log.value.decode()


def cupy_options(dtype: str, arch: str) -> tuple[str, ...]:
    """What CuPy 13 and 14 give NVRTC for a RawModule: its own options after ours (cupy/cuda/compiler.py)."""
    return *cuda_tools.options(dtype), "-ftz=true", f"-arch={arch}", "--device-as-default-execution-space"


@pytest.fixture(scope="module")
def nvrtc():
    return NVRTC()


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("module", MODULES)
def test_source_compiles_without_spills(module, dtype, arch, nvrtc):
    status, log = nvrtc.compile(cuda_tools.source(module), (*cupy_options(dtype, arch), "--ptxas-options=-v"))
    assert status == 0, f"{module} ({dtype}, {arch}) does not compile:\n{log}"
    spills = [int(n) for n in re.findall(r"(\d+) bytes spill (?:stores|loads)", log)]
    assert len(spills) == 2 * len(cuda_shim.kernels(module)), f"a kernel is missing from the report:\n{log}"
    assert not any(spills), f"registers spill to memory in {module} ({dtype}, {arch}):\n{log}"


def test_a_source_that_does_not_compile_fails_with_the_log(nvrtc):
    broken = cuda_tools.source("varinv.operators.gradient_cuda").replace("difference(u +", "difference(v +")
    status, log = nvrtc.compile(broken, cupy_options("float32", "sm_80"))
    assert status != 0
    assert re.search(r'gradient\.cu\(\d+\): error: identifier "v" is undefined', log)
