"""Library and device rules, kernel dispatch, inner products, and what an import costs."""

from __future__ import annotations

import subprocess
import sys

import array_api_compat.numpy as xnp
import numpy as np
import pytest
from conftest import rand

from varinv import backend
from varinv.backend import like, namespace, same_place, to_numpy
from varinv.linalg import add_scaled, distance, dot, norm


def test_empty_follows_its_example(xp):
    a = backend.empty((3, 4), xp.float32, xp.zeros((2,)))
    assert (a.shape, a.dtype) == ((3, 4), xp.float32)
    assert namespace(a) is namespace(xp.zeros((2,)))


# ---------------------------------------------------------------------------------------------------- library and place


def strict():
    return pytest.importorskip("array_api_strict")


def test_mixing_libraries_is_an_error():
    a, b = np.ones(2), strict().ones(2)
    for pair in ((a, b), (b, a), (b, 1.0, a)):
        with pytest.raises(TypeError, match=r"different libraries: array_api_strict, numpy; convert one side first"):
            namespace(*pair)


def test_namespace_of_numbers_and_arrays(xp):
    assert namespace(1.0, None) is xnp
    a = xp.ones((2,))
    assert namespace(a, 2.0) is namespace(a)


def test_same_place():
    x = np.ones(3, np.float32)
    w = np.ones(3)
    assert same_place("K", "weight", w, x).dtype == np.float32
    assert same_place("K", "weight", x, x) is x
    with pytest.raises(TypeError, match=r"K: weight is a array_api_strict array but the image is a numpy array"):
        same_place("K", "weight", strict().ones(3), x)
    with pytest.raises(TypeError, match=r"convert weight first, e\.g\. array_api_strict\.asarray\(weight\)"):
        same_place("K", "weight", x, strict().ones(3))


def test_same_place_sees_devices():
    xs = strict()
    a, b = xs.ones(3, device=xs.Device("CPU_DEVICE")), xs.ones(3, device=xs.Device("device1"))
    with pytest.raises(TypeError, match=r"K: weight is on .*device1.* but the image is on .*CPU_DEVICE.*move weight"):
        same_place("K", "weight", b, a)


def test_constants_follow_the_image(xp):
    x = xp.asarray([1.0, 2.0], dtype=xp.float32)
    for constant in ([0.5, 1.5], np.array([0.5, 1.5]), xp.asarray([0.5, 1.5])):
        c = like(constant, x)
        assert c.dtype == x.dtype
        assert namespace(c, x) is namespace(x)
        np.testing.assert_array_equal(to_numpy(c), [0.5, 1.5])


# ------------------------------------------------------------------------------------------------------- inner products


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 8191, 8192, 8193, 100_003])
def test_dot_equals_its_reference_and_needs_no_luck_with_threads(n, dtype):
    numba = pytest.importorskip("numba")
    a, b = rand(np, (n,), 0).astype(dtype), rand(np, (n,), 1).astype(dtype)
    most = numba.get_num_threads()
    try:
        found = set()
        for threads in (1, most, 1, most):
            numba.set_num_threads(threads)
            found.update({dot(a, b), dot(a.copy(), b[:]), norm(a) * 0 + dot(a, b)})
    finally:
        numba.set_num_threads(most)
    assert len(found) == 1, "the bits depend on the threads"
    value = found.pop()
    assert type(value) is float
    exact = np.sum(a.astype(np.longdouble) * b.astype(np.longdouble))
    size = np.linalg.norm(a.astype(float)) * np.linalg.norm(b.astype(float))
    assert abs(value - float(exact)) <= 1e-14 * size  # float64 sums of 1e5 terms in blocks: measured 1e-16
    assert abs(value - dot.reference(a, b)) <= 1e-14 * size


def test_dot_in_every_library(xp):
    a, b = rand(xp, (5, 7), 0, "float32"), rand(xp, (5, 7), 1, "float32")
    value = dot(a, b)
    assert type(value) is float
    assert value == pytest.approx(float(np.sum(to_numpy(a).astype(float) * to_numpy(b))), rel=1e-13)


# --------------------------------------------------------------------------------------------------------------- import

PROBE = """
import sys, time
start = time.perf_counter()
import varinv
took = time.perf_counter() - start
roots = {name.split(".")[0] for name in sys.modules}
print(took)
print(" ".join(sorted(roots - set(sys.stdlib_module_names))))
"""


def test_import_is_light():
    """Only NumPy, array-api-compat and lazy-loader, in at most 0.3 s (best of five: others compute)."""
    times = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
        seconds, names = out.splitlines()
        times.append(float(seconds))
        ours = {"varinv", "numpy", "array_api_compat", "lazy_loader", "__main__"}
        strangers = {n for n in names.split() if n not in ours and not n.startswith(("_", "sitecustomize"))}
        assert not strangers, f"import varinv also imports {sorted(strangers)}"
        if times[-1] <= 0.3:
            break
    print(f"\nimport varinv: {min(times):.3f} s", end="")
    assert min(times) <= 0.3


def test_mixed_dtypes_follow_the_reference():
    """A float32 array beside a float64 one: promoted as the array API promotes.

    The reference rounds 0.3 b to the dtype of b, once: half an ulp of float32 of at most 2.
    """
    rng = np.random.default_rng(0)
    b = rng.uniform(-2, 2, (5, 7))
    a = rng.uniform(-2, 2, (5, 7)).astype(np.float32)
    for first, second in ((a, b), (b, a), (a, a), (b, b)):
        got, expected = add_scaled(first, 0.3, second), add_scaled.reference(first, 0.3, second)
        assert got.dtype == expected.dtype
        single = np.float32 in (first.dtype, second.dtype)
        np.testing.assert_allclose(got, expected, rtol=0, atol=3e-7 if single else 1e-15)
        assert distance(first, second) == pytest.approx(distance.reference(first, second), rel=1e-14)
