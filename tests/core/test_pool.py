"""The pool of buffers: what is held is never handed out, what is idle is, and room is given back."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from varinv import backend
from varinv.backend import _Pool

SHAPE = (64, 64)  # float64: 32 KiB, above the size from which buffers are pooled
IMAGE = 8 * 64 * 64


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


def test_any_shape_and_dtype_that_fits_takes_an_idle_buffer(pool):
    field = address(pool.take((2, *SHAPE), np.dtype(np.float32)))
    wide = pool.take(SHAPE, np.dtype(float))  # as many bytes
    assert (address(wide), wide.shape, wide.dtype.name) == (field, SHAPE, "float64")
    del wide
    assert address(pool.take((62, 60), np.dtype(float))) == field  # a tenth lies idle
    assert address(pool.take((64, 51), np.dtype(float))) != field  # more than a fifth would
    assert address(pool.take((65, 64), np.dtype(float))) != field


def test_the_smallest_buffer_that_fits_is_taken(pool):
    large, small = pool.take((64, 70), np.dtype(float)), pool.take((64, 64), np.dtype(float))
    where = address(large), address(small)
    del large, small
    assert address(pool.take((64, 62), np.dtype(float))) == where[1]


def test_a_guest_takes_the_place_of_idle_buffers(pool):
    """Of four images three are idle: a field and a volume make room for themselves, the kept image stays."""
    held = [pool.take(SHAPE, np.dtype(float)) for _ in range(4)]
    kept = held.pop()
    kept[:] = 3
    del held
    with pool.guest():
        pool.take((2, *SHAPE), np.dtype(float))
        assert pool.held() == 4 * IMAGE  # one image lies idle still
        pool.take((6, *SHAPE), np.dtype(float))
        assert pool.held() == 7 * IMAGE
    assert pool.held() == IMAGE  # what the guest made is gone
    assert (kept == 3).all()
    pool.take((2, *SHAPE), np.dtype(float))
    pool.take((3, *SHAPE), np.dtype(float))
    assert pool.held() == 6 * IMAGE, "outside nothing makes room"


def test_a_guest_leaves_what_was_there_before(pool):
    pool.take(SHAPE, np.dtype(float))
    with pool.guest():
        pass
    pool.take(SHAPE, np.dtype(float))
    assert pool.made == 1


def test_a_guest_within_a_guest_keeps_to_the_limit_of_both(pool):
    pool.take(SHAPE, np.dtype(float))
    with pool.guest():  # of one image
        pool.take((8, *SHAPE), np.dtype(float))
        with pool.guest():  # not of eight
            pool.take((2, *SHAPE), np.dtype(float))
            pool.take((4, *SHAPE), np.dtype(float))
            assert pool.held() == 4 * IMAGE


def test_a_guest_that_fails_is_gone(pool):
    def fail():
        with pool.guest():
            pool.take(SHAPE, np.dtype(float))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert pool.held() == 0
    pool.take(SHAPE, np.dtype(float))
    pool.take((2, *SHAPE), np.dtype(float))
    assert pool.held() == 3 * IMAGE, "its limit is still there"


def test_what_lay_idle_longest_makes_room_first(pool):
    pool.take((4, *SHAPE), np.dtype(float))
    pool.take((6, *SHAPE), np.dtype(float))
    with pool.guest():
        pool.take((3, *SHAPE), np.dtype(float))  # too small for either
        assert [b[1].size for b in pool.buffers] == [3 * IMAGE, 6 * IMAGE]


def test_what_is_asked_for_stays(pool):
    for _ in range(300):  # beyond the age of 256 requests
        pool.take(SHAPE, np.dtype(float))
    pool.take((200, 200), np.dtype(float))
    pool.take(SHAPE, np.dtype(float))
    assert pool.made == 2


def test_one_thread_at_a_time_is_served(pool):
    """Between a look at a count and the handing out nobody else may look."""
    other = threading.Thread(target=pool.take, args=(SHAPE, np.dtype(float)))
    with pool.lock:
        other.start()
        other.join(0.1)  # without the lock it takes microseconds
        assert other.is_alive()
    other.join()
    assert pool.made == 1


def test_idle_buffers_are_dropped(pool):
    kept = pool.take(SHAPE, np.dtype(float))
    kept[:] = 3
    pool.take((200, 200), np.dtype(float))
    held = [pool.take((80, 80), np.dtype(float)) for _ in range(300)]  # an age of 256 requests passes
    assert 8 * 200 * 200 not in {b[1].size for b in pool.buffers}, "idle, not asked for in 256 requests, still there"
    pool.drop(0)
    assert len(pool.buffers) == 1 + len(held)
    assert (kept == 3).all()
    del held
    pool.drop(0)
    assert len(pool.buffers) == 1


def test_release_empties_the_public_pool():
    backend.empty((100, 100), np.float64, np.zeros(1))
    backend.release()
    assert 8 * 100 * 100 not in {b[1].size for b in backend.POOL.buffers}
