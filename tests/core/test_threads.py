"""Threads beside other programs, other threads and forked processes, most in a process of its own and 60 s at most."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest

from varinv import threads

BEFORE = """
import os, sys, time
from concurrent.futures import ThreadPoolExecutor
import multiprocessing as mp
import numpy as np
import varinv as vi
from varinv import threads

Y = np.random.default_rng(0).standard_normal((96, 80)).astype("float32")

def one(k=0):
    return vi.solve(vi.L2Squared(Y) + 0.1 * vi.TV(Y.shape), stop=vi.iterations(10), observe=lambda s: None).x.tobytes()

def refused(k=0):
    try:
        one()
    except RuntimeError as e:
        return str(e)
    return ""
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="of GNU OpenMP on Linux")


def script(body: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """What a script does, in a process without settings of OpenMP but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "NUMBA_"))}
    paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "NUMBA_NUM_THREADS": "2"}
    text = textwrap.dedent(before) + BEFORE + textwrap.dedent(body)
    done = subprocess.run(
        [sys.executable, "-c", text], env=kept | paths | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done


# ------------------------------------------------------------------------------------------------- how long they wait


@LINUX
@pytest.mark.parametrize("first", ["", "torch", "sklearn"])
def test_threads_wait_for_a_short_time_and_the_environment_is_as_it_was(first):
    if first:
        pytest.importorskip(first, reason=f"{first} is not installed")
    done = script(
        """
        before = dict(os.environ)
        one()
        assert dict(os.environ) == before
        import numba
        print(numba.threading_layer())
        """,
        f"import {first}" if first else "",
        OMP_DISPLAY_ENV="verbose",
    )
    if done.stdout.strip() != "omp":
        pytest.skip("OpenMP is not there")
    assert f"GOMP_SPINCOUNT = '{threads.SPINS}'" in done.stderr


@LINUX
@pytest.mark.parametrize(("name", "value"), [("GOMP_SPINCOUNT", "777"), ("OMP_WAIT_POLICY", "PASSIVE")])
def test_what_the_user_has_set_stays(name, value):
    done = script(
        f"one(); assert os.environ[{name!r}] == {value!r} and threads._watch is None",
        OMP_DISPLAY_ENV="verbose",
        **{name: value},
    )
    assert f"GOMP_SPINCOUNT = '{threads.SPINS}'" not in done.stderr
    assert f"{name} = '{value}'" in done.stderr


@LINUX
def test_crowded_threads_sleep_at_once_and_spin_again_when_there_is_room():
    """Told to spin for a second, a thread that waits burns all that the machine leaves it; crowded, next to nothing."""
    done = script("""
    threads.SPINS = "30000000"
    one()
    watch, loads = threads._watch, []
    if watch is None:
        sys.exit(0)
    watch.due = float("inf")
    for others in (0.0, 0.8, 0.4, 0.0):
        watch.decide(others)
        time.sleep(0.3)  # threads of the crowd come, or go
        one()
        began = time.process_time()
        time.sleep(0.3)
        loads.append(time.process_time() - began)
    print(*loads)
    """)
    if done.stdout:
        alone, crowded, still, again = map(float, done.stdout.split())
        # a fifth: the spinning one has half a core at least beside one program a core, the sleeping one less than 10 ms
        assert max(crowded, still) < min(alone, again) / 5


class Clock(threads.Watch):
    """Remembers what it decides."""

    def decide(self, others):
        self.found = others


@LINUX
def test_what_others_use_is_counted_without_ones_own_work(monkeypatch):
    now = {"wall": 100.0, "together": 50.0, "own": 7.0}
    monkeypatch.setattr(threads.time, "monotonic", lambda: now["wall"])
    monkeypatch.setattr(threads.time, "process_time", lambda: now["own"])
    monkeypatch.setattr(threads, "busy", lambda cores: now["together"])
    watch = Clock(None, 64 * os.cpu_count())
    now.update(wall=100.5, together=51.25, own=7.75)
    watch.look()
    assert watch.found == 1.0
    assert watch.due == 100.5 + threads.EVERY
    watch.spare = 1  # a core that the kernels do not use is free for one program
    now.update(wall=101.0, together=52.5, own=8.5)
    watch.look()
    assert watch.found == 0.0
    monkeypatch.setattr(threads, "running", lambda: 3)
    now.update(
        wall=201.0, together=452.5
    )  # after a rest others must be busy at this moment as well: 4 on average, 3 now
    watch.look()
    assert watch.found == 2.0
    now.update(wall=301.0)  # none on average: what runs at this moment is a passer-by
    watch.look()
    assert watch.found == -1.0


@LINUX
def test_where_the_system_counts_nothing_it_is_not_asked_again(monkeypatch):
    def nowhere(cores):
        raise FileNotFoundError("/proc/stat")

    watch = Clock(None, 1)
    monkeypatch.setattr(threads, "busy", nowhere)
    watch.look()
    assert watch.due == float("inf")


@LINUX
def test_the_system_counts_the_work_of_this_process():
    assert threads.running() >= 0  # this thread is not among the others
    cores, began = os.sched_getaffinity(0), time.process_time()
    before = threads.busy(cores)
    while time.process_time() - began < 0.4:
        pass
    assert threads.busy(cores) - before > 0.3  # counted in hundredths, on each core and for each kind of work


# --------------------------------------------------------------------------------------------------------- same bits


def test_bits_are_the_same_on_any_number_of_threads_crowded_or_not():
    script(
        """
        import numba
        first = one()
        for others in (0.8, 0.0):
            if threads._watch:
                threads._watch.decide(others)
            for n in (1, 2, 4):
                numba.set_num_threads(n)
                assert one() == first
        """,
        NUMBA_NUM_THREADS="4",
    )


@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_solves_in_several_threads_at_a_time_have_the_same_bits(layer):
    """numba's own pool, "workqueue", ends the process where two threads meet in it: here they wait for each other."""
    script(
        """
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(one, range(12)))  # before the main thread has run any
        assert found == {one()}
        try:
            import joblib
        except ImportError:
            sys.exit(0)
        assert set(joblib.Parallel(n_jobs=3, backend="threading")(joblib.delayed(one)(k) for k in range(6))) == found
        """,
        NUMBA_THREADING_LAYER=layer,
    )


# -------------------------------------------------------------------------------------------------------------- forks

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@LINUX
@pytest.mark.parametrize("kind", ["mp.get_context('fork').Pool(2)", "ProcessPoolExecutor(2, mp.get_context('fork'))"])
def test_a_fork_after_the_first_kernel_says_what_to_do(kind):
    script(
        f"""
        from concurrent.futures import ProcessPoolExecutor
        one()
        if threads.layer() != "omp":
            sys.exit(0)
        with {kind} as pool:
            for text in pool.map(refused, range(3)):
                assert "forked after" in text and 'get_context("spawn")' in text
        with mp.get_context("fork").Pool(1) as pool:
            try:
                pool.map(one, range(3))
                raise SystemExit("no exception came")
            except RuntimeError as e:
                assert "spawn" in str(e)
        one()  # the parent is as it was
        """
    )


@LINUX
def test_a_child_of_a_forked_child_says_so_too():
    """numba compares with the parent alone: a grandchild would wait for ever."""
    script("""
    one()
    if threads.layer() != "omp":
        sys.exit(0)
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(3 if "spawn" in refused() else 4)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
    """)


@forks
def test_a_fork_before_the_first_kernel_runs_with_its_own_threads():
    script("""
    def several(k):
        with ThreadPoolExecutor(2) as pool:
            return {one(), *pool.map(one, range(4))}

    with mp.get_context("fork").Pool(2) as pool:
        found = pool.map(several, range(4))  # the parent has made an operator and a term, and run nothing
        assert set.union(*found) == {one()}  # workers that were there before go on where the parent has started
        assert pool.map(several, range(2)) == found[:2]
    """)


@LINUX
def test_learning_in_forked_processes_works_or_says_why_not():
    script("""
    truth = np.add.outer(np.arange(6.0) > 2, np.linspace(0, 1, 5))
    pairs, family = [(truth + 0.1, truth), (truth - 0.1, truth)], vi.families.TV(truth.shape)

    def learned(executor):
        return vi.learn(family, pairs, np.array([-4.0, -3.0]), stop=vi.iterations(1), executor=executor).theta.tobytes()

    with mp.get_context("fork").Pool(2) as pool:
        found = learned(pool)
    assert found == learned(None)
    if threads.layer() == "omp":
        with mp.get_context("fork").Pool(2) as pool:
            try:
                learned(pool)
                raise SystemExit("no exception came")
            except RuntimeError as e:
                assert "spawn" in str(e)
    """)


@forks
def test_a_layer_that_survives_a_fork_may_do_so():
    script(
        """
        first = one()
        with mp.get_context("fork").Pool(2) as pool:
            assert set(pool.map(one, range(4))) == {first}
        """,
        NUMBA_THREADING_LAYER="workqueue",
    )


@forks
def test_a_lock_that_a_thread_holds_at_the_fork_does_not_stop_the_child():
    script("""
    from varinv.backend import POOL, empty
    POOL.lock.acquire()
    child = mp.get_context("fork").Process(target=lambda: ThreadPoolExecutor(1).submit(one).result(50))
    child.start()
    child.join(50)
    assert child.exitcode == 0
    """)
