"""What the first use of a kernel takes: the time it was compiled, kept apart, and one line that says what goes on.

A kernel is compiled when it first meets a dtype, and kept on disk for every later process.  Who waits for it reads one
line, once a process: where logging is configured, as a message of the logger "varinv" at level INFO; where it is not,
on stderr.  ``logging.getLogger("varinv").setLevel(logging.WARNING)`` silences it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

PATIENCE = 0.5  # seconds of compiling before anybody is told: what is shorter needs no words
UNKEPT = (
    "varinv finds no folder to keep compiled kernels in: they are compiled anew in each process; set NUMBA_CACHE_DIR "
    "to a folder that can be written"
)
TEXT = "varinv compiles kernels for their first use on this machine; `varinv warm` does it ahead"
LOG = logging.getLogger("varinv")

AROUND: list[Callable[[], contextlib.AbstractContextManager[object]]] = []  # entered while a kernel is made
WATCHING: list[Callable[[str], object]] = []  # progress lines that show what goes on while they stand
_own = threading.local()


def compile_seconds() -> float:
    """Seconds that this thread has waited so far for kernels to be compiled, or read from disk."""
    return float(getattr(_own, "seconds", 0.0))


def clock() -> float:
    """A clock in seconds that stands still while this thread waits for kernels."""
    return time.perf_counter() - compile_seconds()


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """What is done inside is waiting for a kernel: `clock` stands still.  Not to be nested."""
    began = time.perf_counter()
    try:
        with contextlib.ExitStack() as stack:
            for around in AROUND:
                stack.enter_context(around())
            yield
    finally:
        _own.seconds = compile_seconds() + time.perf_counter() - began


class _Notice:
    """Says that kernels are being compiled, once, when that has taken PATIENCE seconds in all."""

    def __init__(self) -> None:
        self.spent, self.said, self.unkept = 0.0, False, False

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Inside, code is compiled; one thread at a time."""
        began = time.perf_counter()
        timer = threading.Timer(PATIENCE - self.spent, self.tell)
        timer.daemon = True
        if self.spent < PATIENCE:
            timer.start()
        else:
            self.tell()
        try:
            yield
        finally:
            timer.cancel()
            self.spent += time.perf_counter() - began

    def nothing_kept(self) -> None:
        """No folder can be written for compiled code: said once."""
        if not self.unkept:
            self.unkept = True
            _say(UNKEPT)

    def tell(self) -> None:
        for show in list(WATCHING):
            show("compiling kernels, the first time only")
        if not self.said:
            self.said = True
            _say(TEXT)


def _say(text: str) -> None:
    if LOG.hasHandlers():
        LOG.info(text)
    elif LOG.level <= logging.INFO and LOG.manager.disable < logging.INFO and logging.lastResort is not None:
        logging.lastResort.handle(LOG.makeRecord(LOG.name, logging.INFO, __file__, 0, text, (), None))


NOTICE = _Notice()
