"""The buffer pool, library and device rules, kernel dispatch, inner products, and what an import costs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import array_api_compat.numpy as xnp
import numpy as np
import pytest
from conftest import rand

from varinv import backend
from varinv.backend import _Pool, like, namespace, same_place, to_numpy
from varinv.linalg import dot, norm

SHAPE = (64, 64)  # float64: 32 KiB, above the size from which buffers are pooled


@pytest.fixture
def pool():
    fresh = _Pool()
    if not fresh.enabled:
        pytest.skip("free-threaded Python: plain allocation")
    return fresh


def address(a):
    return a.__array_interface__["data"][0]


def test_a_forgotten_buffer_is_used_again(pool):
    first = address(pool.take(SHAPE, np.dtype(float)))
    for _ in range(50):
        assert address(pool.take(SHAPE, np.dtype(float))) == first
    assert pool.made == 1


HOLDERS = {
    "the array": lambda a: a,
    "a view": lambda a: a[3:],
    "a strided view": lambda a: a[::2, ::3],
    "a view of a view": lambda a: a.T[1:][:, ::2],
    "a reshaped view": lambda a: a.reshape(-1),
    "a memoryview": memoryview,
    "a memoryview of a view": lambda a: memoryview(a[1:]),
    "a buffer array": lambda a: np.frombuffer(a, dtype=np.uint8),
    "an iterator": lambda a: a.flat,
    "a container": lambda a: {"deep": [(a,)]},
    "a closure": lambda a: lambda: a,
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_a_held_buffer_is_never_handed_out(pool, hold):
    kept = hold(pool.take(SHAPE, np.dtype(float)))
    made = [pool.take(SHAPE, np.dtype(float))]
    first = address(made[0])
    assert pool.made == 2, "the held buffer was handed out again"
    del kept
    made.append(pool.take(SHAPE, np.dtype(float)))
    assert pool.made == 2, "the forgotten buffer was not used again"
    assert address(made[1]) != first


def test_a_buffer_held_by_another_thread(pool):
    ready, done = threading.Event(), threading.Event()
    seen = []

    def holder():
        mine = pool.take(SHAPE, np.dtype(float))
        mine[:] = 7
        ready.set()
        done.wait(10)
        seen.append(bool((mine == 7).all()))

    thread = threading.Thread(target=holder)
    thread.start()
    assert ready.wait(10)
    for _ in range(20):
        pool.take(SHAPE, np.dtype(float))[:] = 0
    done.set()
    thread.join()
    assert seen == [True]
    assert pool.made == 2


def test_many_threads_never_share(pool):
    """Each thread marks its buffers and looks again later."""
    wrong = []

    def work(mark):
        for _ in range(300):
            a, b = pool.take(SHAPE, np.dtype(float)), pool.take(SHAPE, np.dtype(float))
            a[:], b[:] = mark, -mark
            time.sleep(0)
            if not ((a == mark).all() and (b == -mark).all()):
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert pool.made <= 12  # 4 threads × (2 held + at most 1 being replaced)


def test_shapes_and_dtypes_have_shelves_of_their_own(pool):
    a = pool.take(SHAPE, np.dtype(np.float32))
    b = pool.take(SHAPE, np.dtype(np.float64))
    c = pool.take((128, 128), np.dtype(np.float32))
    assert [(x.shape, x.dtype.name) for x in (a, b, c)] == [
        (SHAPE, "float32"),
        (SHAPE, "float64"),
        ((128, 128), "float32"),
    ]


def test_idle_buffers_are_dropped(pool):
    kept = pool.take(SHAPE, np.dtype(float))
    kept[:] = 3
    pool.take((200, 200), np.dtype(float))
    held = [pool.take((80, 80), np.dtype(float)) for _ in range(300)]  # an age of 256 requests passes
    assert ((200, 200), "<f8") not in pool.shelves, "an idle buffer nobody asked for in 256 requests is still there"
    pool.drop(0)
    assert len(pool.shelves[((80, 80), "<f8")]) == len(held)
    assert (kept == 3).all()
    del held
    pool.drop(0)
    assert ((80, 80), "<f8") not in pool.shelves


def test_release_empties_the_public_pool():
    backend.empty((100, 100), np.float64, np.zeros(1))
    backend.release()
    assert sum(len(shelf) for key, shelf in backend.POOL.shelves.items() if key[0] == (100, 100)) == 0


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
