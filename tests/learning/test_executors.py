"""What examples may run on: threads of every kind, spawned processes, Dask; forks are in test_threads.py."""

from __future__ import annotations

import multiprocessing
import multiprocessing.pool
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import pytest

import varinv as vi
from varinv.learning.executors import checked, run

rng = np.random.default_rng(0)
TRUTH = np.add.outer(np.arange(6.0) > 2, np.linspace(0, 1, 5))
PAIRS = [(TRUTH + 0.1 * rng.standard_normal(TRUTH.shape), TRUTH) for _ in range(3)]
FAMILY, THETA = vi.families.TV(TRUTH.shape), np.array([-4.0, -3.0])


def learned(executor: Any) -> Any:
    return vi.learn(FAMILY, PAIRS, THETA, stop=vi.iterations(2), executor=executor)


def test_threads_and_spawned_processes_give_the_same_numbers(one_thread: Any) -> None:
    alone = learned(None)
    with ThreadPoolExecutor(2) as pool:
        found = [learned(pool)]
    with multiprocessing.pool.ThreadPool(2) as pool:
        found.append(learned(pool))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found.append(learned(pool))
    for other in found:
        assert other.theta.tobytes() == alone.theta.tobytes()
        assert other.certificate == alone.certificate
        assert [dict(row, seconds=0) for row in other.history] == [dict(row, seconds=0) for row in alone.history]


def test_results_come_in_the_order_of_the_examples_and_each_worker_has_one_thread() -> None:
    def task(k: int) -> tuple[int, int]:
        return k, numba.get_num_threads()

    class Backwards:
        """Finishes the last first, and returns futures, as a Dask client does."""

        def map(self, task: Any, items: list[int]) -> list[Any]:
            with ThreadPoolExecutor(1) as pool:
                futures = [pool.submit(task, item) for item in reversed(items)]
            return futures[::-1]

    with ThreadPoolExecutor(3) as pool:
        for executor in (pool, Backwards()):
            assert run(task, range(5), executor) == [(k, 1) for k in range(5)]


def test_what_has_no_map_is_refused() -> None:
    for executor in (object(), 3, [1]):
        with pytest.raises(TypeError, match="executor must have a method map"):
            checked(executor)
    assert checked(None) is None


def test_a_dask_client_gives_the_same_numbers(one_thread: Any) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = learned(client)
    assert found.theta.tobytes() == learned(None).theta.tobytes()
