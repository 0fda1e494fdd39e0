"""Every fast twin equals its reference: odd, even, one-pixel, strided, Fortran-ordered, read-only, both dtypes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_cases import CASES, EXACT, LAYOUTS, SHAPES, Maker, equal

from varinv.backend import KERNELS, _twin


def without_cases():
    return sorted({k.__name__ for k in KERNELS} - set(CASES))


def test_every_kernel_has_cases():
    assert not without_cases(), (
        f"no inputs for the kernels {without_cases()}: add to CASES in tests/helpers/kernel_cases.py, for each name, "
        "a function (shape, make) that yields argument tuples, arrays made by make(*shape)"
    )
    names = [k.__name__ for k in KERNELS]
    assert len(set(names)) == len(names), "two kernels share a name: rename one, CASES goes by name"


def test_a_kernel_without_cases_is_found():
    from varinv.backend import Kernel

    def unheard_of(x):
        return x

    KERNELS.append(Kernel(unheard_of))
    try:
        assert without_cases() == ["unheard_of"]
    finally:
        KERNELS.pop()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: f"{k.__module__.removeprefix('varinv.')}.{k.__name__}")
def test_twin_is_reference(kernel, dtype, layout):
    twin = _twin(kernel.reference, "numpy")
    if twin is kernel.reference:
        pytest.skip(f"{kernel.__name__} has no numba twin")
    if kernel.__name__ not in CASES:
        pytest.fail(f"{kernel.__name__} has no entry in CASES of tests/helpers/kernel_cases.py")
    slow = kernel.__name__ in ("project", "adjoint", "interpolate_back", "interpolate_back_curved")
    for shape in SHAPES:
        if slow and math.prod(shape) > 1000:
            continue
        for args in CASES[kernel.__name__](shape, Maker(dtype, layout)):
            before = [a.tobytes() for a in args if isinstance(a, np.ndarray)]
            got, expected = twin(*args), kernel.reference(*args)
            assert [a.tobytes() for a in args if isinstance(a, np.ndarray)] == before, "the twin changed its input"
            equal(got, expected, np.float64 if kernel.__name__ in EXACT else dtype)


THREADED = (
    "dot", "distance", "add_scaled", "differences", "convolve", "tv_dual_ascent", "tv_sweep", "tv_value", "tv_pull",
    "tv_moved", "weighted_square",
)  # fmt: skip


def test_bits_do_not_depend_on_threads():
    """Each entry is computed by one thread in one order."""
    import numba

    x = Maker(np.float32, "plain")(300, 200)
    most = numba.get_num_threads()
    if most == 1:
        pytest.skip("one thread is available: NUMBA_NUM_THREADS=2 compares two")
    results = []
    try:
        for threads in (1, most):
            numba.set_num_threads(threads)
            found = [
                k(*args)
                for k in KERNELS
                if k.__name__ in THREADED
                for args in list(CASES[k.__name__](x.shape, Maker(np.float32, "plain")))[:3]
            ]
            results.append([np.asarray(a).tobytes() for r in found for a in (r if isinstance(r, tuple) else (r,))])
    finally:
        numba.set_num_threads(most)
    assert results[0] == results[1]
