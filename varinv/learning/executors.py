"""Examples are independent: they run one after the other, or on what the caller passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from varinv import check


def run(task: Callable[[Any], Any], inputs: Iterable[Any], executor: Any = None) -> list[Any]:
    """[task(i) for i in inputs], in this order; on an executor each with one thread of its own."""
    if executor is None:
        return [task(i) for i in inputs]
    found = executor.map(_Alone(task), list(inputs))
    return [r.result() if hasattr(r, "result") else r for r in found]  # Dask's map returns futures


class _Alone:
    """A task whose kernels use one thread: the executor's workers are the parallelism."""

    def __init__(self, task: Callable[[Any], Any]) -> None:
        self.task = task

    def __call__(self, item: Any) -> Any:
        from varinv.numba_tools import one_thread

        with one_thread():
            return self.task(item)


def checked(executor: Any) -> Any:
    """The executor, or an error.  In a process forked after the first kernel here, kernels say what to do instead."""
    if executor is not None and not callable(getattr(executor, "map", None)):
        raise TypeError(
            f"learn: executor must have a method map (concurrent.futures, multiprocessing, a Dask client), "
            f"got {check.describe(executor)}"
        )
    return executor
