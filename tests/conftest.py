"""What every test shares: the array libraries, random images, and the folder of real data."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
from pathlib import Path
from typing import Any

import array_api_compat.numpy as xnp
import numpy as np
import pytest

from varinv.testing.figures import dense as dense
from varinv.testing.figures import rand as rand


class ReadOnlyNumPy:
    """NumPy whose arrays cannot be written to: code that changes its input fails here."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(xnp, name)
        if not callable(found) or isinstance(found, type):
            return found

        def create(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            if isinstance(result, np.ndarray):
                result = result.copy() if any(result is a for a in args) else result
                result.flags.writeable = False
            return result

        return create


def _library(name: str) -> Any:
    if name == "numpy":
        return xnp
    if name == "numpy-read-only":
        return ReadOnlyNumPy()
    if name == "strict":
        return pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    if name == "torch":
        pytest.importorskip("torch", reason="torch is not installed")
        import array_api_compat.torch as xp

        return xp
    pytest.importorskip("cupy", reason="CuPy is not installed")
    import array_api_compat.cupy as xp
    import cupy

    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError:
        pytest.skip("CuPy is installed but finds no CUDA device")
    return xp


LIBRARIES = ["numpy", "numpy-read-only", "strict", "torch", pytest.param("cupy", marks=pytest.mark.gpu)]


@pytest.fixture(params=LIBRARIES)
def xp(request: pytest.FixtureRequest) -> Any:
    """Each array library in turn, as its array API namespace; libraries that are not installed are skipped."""
    return _library(request.param)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans: $VARINV_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("VARINV_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder.name}: set VARINV_DATA to the folder that holds them")
    return folder


def solver_kinds() -> list[Any]:
    """Every concrete solver class of the package, whatever module it is in."""
    import varinv.solvers
    from varinv.solvers.base import Solver

    for _, name, _ in pkgutil.iter_modules(varinv.solvers.__path__):
        if not name.endswith(("_cuda", "_cpu")):
            importlib.import_module(f"varinv.solvers.{name}")
    found = [c for c in Solver.kinds if c.__module__.startswith("varinv.solvers.") and not inspect.isabstract(c)]
    return sorted(found, key=lambda c: c.__name__)


@pytest.fixture
def one_thread():
    """Tiny arrays: starting a team of threads for each would take most of the time."""
    import numba

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)
