"""Ctrl-C on the command line ends the run in good order, also while kernels compile and files are written.

The standard library only, so that the handler stands before anything slow is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """Counts Ctrl-C.  It raises KeyboardInterrupt at once, or at the end of what must not be cut in two.

    `held` blocks: files are finished, a kernel that is being compiled is compiled.  The third Ctrl-C ends the process
    on the spot, with the same exit code and without half a file under the name of the output.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.depth = 0
        self.due = False

    def watch(self) -> None:
        """Take over Ctrl-C, where it does what it usually does: shells let commands in the background ignore it."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._press)

    def release(self) -> None:
        """Give Ctrl-C back."""
        if signal.getsignal(signal.SIGINT) == self._press:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _press(self, number: int, frame: Any) -> None:
        self.asked += 1
        if self.asked > 2:
            os._exit(130)
        if self.depth:
            self.due = True
            return
        raise KeyboardInterrupt

    @contextmanager
    def held(self, quietly: bool = False) -> Iterator[None]:
        """Inside, Ctrl-C waits; at the end it raises KeyboardInterrupt, or (quietly) is left to `asked`."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
        if self.due and not self.depth:
            self.due = False
            if not quietly:
                raise KeyboardInterrupt

    def again(self) -> None:
        """Raise where Ctrl-C was asked for and nobody has heard it: some callbacks swallow exceptions."""
        if self.asked and not self.depth:
            raise KeyboardInterrupt


INTERRUPTS = Interrupts()


def entry(load: Callable[[], Callable[[], Any]]) -> None:
    """Run the command that `load` imports: whatever happens after a Ctrl-C, the exit code is 130."""
    INTERRUPTS.watch()
    code: Any = 0
    try:
        load()()
    except SystemExit as end:
        code = end.code
    except BaseException:
        if not INTERRUPTS.asked:
            raise
    if INTERRUPTS.asked:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # threads and caches have nothing more to say, and a second Ctrl-C could only spoil the code
    INTERRUPTS.release()
    sys.exit(code)
