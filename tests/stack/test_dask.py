"""A stack on a small Dask cluster whose worker is killed."""

import contextlib
import os
import signal

import numpy as np
import pytest

import varinv as vi

pytest.importorskip("zarr", reason="stacks need zarr")
distributed = pytest.importorskip("distributed", reason="needs dask[distributed]")


def once_deadly(data, rows):
    mark = os.environ.get("VARINV_TEST_MARK", "")
    if mark and rows.start == 4:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)
    return 2 * data


@pytest.mark.filterwarnings("ignore")  # of distributed, when a worker is killed
def test_a_worker_is_killed_and_the_run_goes_on(tmp_path, monkeypatch):
    import dask

    monkeypatch.setenv("VARINV_TEST_MARK", str(tmp_path / "mark"))
    data = np.arange(96.0, dtype="f4").reshape(16, 2, 3)
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        job = vi.map_slabs(
            once_deadly, data, tmp_path / "a.zarr", rows=range(16), shape=(2, 3), slab=2, executor=client
        )
    assert (tmp_path / "mark").exists()
    assert job.deaths >= 1
    assert not job.failed
    assert np.array_equal(job.volume()[...], 2 * data)
