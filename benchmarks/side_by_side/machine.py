"""The machine in words, and its two ceilings: what memory moves and what it multiplies and adds in a second."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import numba as nb
import numpy as np

PEERS = (
    "astra-toolbox", "scikit-image", "odl", "pylops", "pyproximal", "deepinv", "torch", "scico", "mbirjax", "svmbir",
    "jax", "scikit-learn",
)  # fmt: skip


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def describe(threads: int) -> dict[str, Any]:
    """Date, processor, threads and versions; no names and no paths."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = models[0] if models else cpu
    virtual = info.exists() and "hypervisor" in info.read_text()
    bound = f", on the same {threads} cores" if hasattr(os, "sched_setaffinity") else ", JAX on all cores"
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cpu}, {os.cpu_count()} cores{' (virtual machine)' if virtual else ''}, {platform.system()}",
        "threads of every package": f"{threads}{bound}",
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{p} {version(p)}" for p in ("varinv", "numpy", "scipy", "numba", *PEERS)),
    }


@nb.njit(parallel=True, fastmath=True)
def _add(a: Any, b: Any) -> None:
    for i in nb.prange(a.size):
        b[i] += a[i]


@nb.njit(parallel=True, fastmath=True)
def _copy(a: Any, b: Any) -> None:
    for i in nb.prange(a.size):
        b[i] = a[i]


@nb.njit(parallel=True, fastmath=True)
def _multiply_add(rounds: int, out: Any) -> None:
    """64 independent chains of fused multiply-adds a thread: enough to fill the pipes of any vector width."""
    for t in nb.prange(out.shape[0]):
        v = np.ones(64, dtype=np.float32)
        a, b = np.float32(0.999), np.float32(0.001)
        for _ in range(rounds):
            for j in range(64):
                v[j] = v[j] * a + b
        out[t] = v.sum()


def last_cache() -> int:
    """Bytes of the largest cache that the system names; 32 MiB where it names none."""
    found = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for file in found if (text := file.read_text().strip())]
    return max(sizes, default=32 << 20)


def bandwidth(size: int = 0, repeats: int = 25) -> float:
    """Bytes a second that threads move between the cores and arrays of `size` bytes together: the best of all.

    Two loops over two float32 arrays: b += a (three moves an element) and b = a.  An ordinary store reads the line
    first, so that a copy moves three as well, unless the compiler stores past the caches: counted as two, which is
    never too much.  `size` 0: four times the last-level cache, each array.
    """
    a = np.ones((size // 2 or 4 * last_cache()) // 4, dtype=np.float32)
    b = np.zeros_like(a)
    _add(a, b), _copy(a, b)
    loops = max(1, int(2e7 // a.nbytes))  # small arrays: several passes, so that the start of threads counts less
    best = 0.0
    for work, moved in ((_add, 3), (_copy, 2)):
        for _ in range(repeats):
            spent = _clock(lambda: [work(a, b) for _ in range(loops)])  # noqa: B023
            best = max(best, moved * a.nbytes * loops / spent)
    return best


def multiply_add_peak(repeats: int = 7, rounds: int = 2_000_000) -> float:
    """float32 operations (a multiply-add is two) in a second, all threads: the best."""
    out = np.zeros(nb.get_num_threads(), dtype=np.float32)
    _multiply_add(10, out)
    best = min(_clock(lambda: _multiply_add(rounds, out)) for _ in range(repeats))
    return 2 * 64 * rounds * out.size / best


def _clock(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
