"""How the threads of the CPU kernels live beside other programs, other threads and forked processes.

numba shares a kernel out among threads, mostly of GNU OpenMP.  Those spin while they wait for each other or for the
next kernel.  Alone on the machine that is best; beside busy programs it takes the cores that others need, and the
thread one waits for.  So they spin for a short time only, and hardly at all while others are busy (decision 0018).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

# Rounds that a waiting thread spins before it sleeps, 0.1 to 0.6 ms: it stays awake from one kernel of a solver to the
# next.  From 100 to 300 000 were measured, and none was faster alone on the machine.
SPINS = "20000"
CHOICES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # a user who sets one has chosen

EVERY = 0.1  # seconds between two looks at the load: the system counts in hundredths
STALE = 1.0  # seconds after which the average since the last look says little about now

_one = threading.RLock()  # numba's own pool, "workqueue", ends the process where two threads meet in it
_lost = False  # this process was forked from one whose OpenMP threads had started
_watch: Watch | None = None


def start() -> None:
    """Start numba's threads, told to sleep after a short spin unless the user's environment says what they shall do.

    OpenMP reads its settings when it is loaded, here at the latest; the environment is then as it was before.
    """
    import numba

    global _watch
    ours = not any(name in os.environ for name in CHOICES)
    if ours:
        os.environ[CHOICES[0]] = SPINS
    try:
        most: int = numba.get_num_threads()  # loads them
    finally:
        if ours:
            os.environ.pop(CHOICES[0], None)
    if ours and most > 1 and layer() == "omp" and sys.platform == "linux":
        runtime = ctypes.CDLL(importlib.import_module("numba.np.ufunc.omppool").__file__)  # finds OpenMP through it
        if not hasattr(runtime, "kmp_set_blocktime"):  # of LLVM: spins by another rule
            _watch = Watch(runtime, most)


def layer() -> str | None:
    """What shares kernels out, "omp", "tbb" or "workqueue"; None where nothing has started yet."""
    try:
        name: str = sys.modules["numba"].threading_layer()
    except (KeyError, AttributeError, ValueError):  # not imported, not wholly imported, not started
        return None
    return name


def guarded(twin: Callable[..., Any]) -> Callable[..., Any]:
    """The twin as it may be called in this process: with a look at the load, or a lock; a RuntimeError after a fork."""
    if _lost:
        raise RuntimeError(
            "varinv: this process was forked after the threads of its parent's kernels had started, which OpenMP does "
            'not survive; start workers with multiprocessing.get_context("spawn") (or "forkserver"), use threads, or '
            "fork before the parent calls its first kernel"
        )
    if layer() == "workqueue":

        @functools.wraps(twin)
        def alone(*args: Any, **kwargs: Any) -> Any:
            with _one:
                return twin(*args, **kwargs)

        return alone
    if _watch is None:
        return twin
    watch = _watch

    @functools.wraps(twin)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if time.monotonic() > watch.due:
            watch.look()
        return twin(*args, **kwargs)

    return watched


def forked() -> None:
    """In a child: note whether kernels may still run here, and open the lock that a thread left behind may hold."""
    global _lost, _one, _watch
    _lost = _lost or (layer() == "omp" and sys.platform == "linux")  # elsewhere OpenMP starts afresh, as tbb does
    _one, _watch = threading.RLock(), None


class Watch:
    """Looks now and then how busy others keep the cores, and lets the threads of OpenMP wait asleep meanwhile.

    A running OpenMP has no switch for it, but a rule: while it has more threads than there are cores, they spin 100
    rounds at the most.  So a thread that only sleeps keeps some more of them for as long as others are busy.
    """

    def __init__(self, runtime: Any, most: int) -> None:
        self.runtime = runtime
        self.cores = os.sched_getaffinity(0)
        self.spare = max(len(self.cores) - most, 0)  # cores that the kernels leave to others
        self.lock = threading.Lock()
        self.crowd: threading.Event | None = None  # ends the thread that keeps more of them, where there is one
        self.seen = (time.monotonic(), busy(self.cores), time.process_time())
        self.due = self.seen[0] + EVERY

    def look(self) -> None:
        """Compare with the last look, and change what has to change; one thread at a time, the others go on."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            before, self.seen = self.seen, (time.monotonic(), busy(self.cores), time.process_time())
            wall, together, own = (now - then for now, then in zip(self.seen, before, strict=True))
            others = (together - own) / wall
            if wall > STALE:  # busy on average, and at this moment
                others = min(others, running())
            self.decide(others - self.spare)
            self.due = self.seen[0] + EVERY
        except (OSError, ValueError, RuntimeError):  # nothing is counted here, or no thread can start any more
            self.due = math.inf
        finally:
            self.lock.release()

    def decide(self, others: float) -> None:
        """Crowd from half a core on that others use, until it is a quarter: the system's count is good to a tenth."""
        if self.crowd is None and others > 0.5:
            self.crowd = threading.Event()
            threading.Thread(target=self.keep, args=(self.crowd,), name="varinv-crowd", daemon=True).start()
        elif self.crowd is not None and others < 0.25:
            self.crowd.set()
            self.crowd = None

    def keep(self, end: threading.Event) -> None:
        """Have so many threads that they are one more than cores, which OpenMP keeps for as long as this one lives."""
        nothing = ctypes.cast(self.runtime.omp_get_thread_num, ctypes.c_void_p)
        self.runtime.GOMP_parallel(nothing, None, ctypes.c_uint(self.spare + 2), ctypes.c_uint(0))
        end.wait()


def running() -> int:
    """How many threads of other programs run at this moment, or wait for a core (Linux)."""
    with open("/proc/loadavg", encoding="ascii") as file:
        together = int(file.read().split()[3].split("/")[0])
    own = 0  # those of this process that are awake still after its last kernel
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/stat", encoding="ascii") as file:
            own += file.read().rpartition(")")[2].split()[0] == "R"
    return max(together - own, 0)


def busy(cores: set[int]) -> float:
    """Seconds that the cores have been busy since the start of the machine, by all programs together (Linux)."""
    total = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *counts = line.split()
            if not name.startswith("cpu"):
                break
            if name != "cpu" and int(name[3:]) in cores:
                user, nice, system, _, _, interrupts, soft, stolen = map(int, counts[:8])
                total += user + nice + system + interrupts + soft + stolen
    return total / os.sysconf("SC_CLK_TCK")
