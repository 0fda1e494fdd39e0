"""Checkpoints: a run that was killed goes on where it was, bit for bit.

The file is an .npz archive without pickles: one member per array of the state, a header in JSON (the structure of the
state, the history, what the rules remember, the fingerprint of the run) and a checksum over all of it.  It is written
beside its place, flushed to the disk and moved there in one go.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from varinv import check
from varinv.solvers.archive import OtherClass, classes_in, clear, named, pack, read, unpack, write
from varinv.solvers.fingerprint import differences, fingerprint


@dataclass(frozen=True)
class Checkpoint:
    """Where and how often a run is saved, so that it can be continued.

    Where and how often `solve` writes its state; a path alone means ``Checkpoint(path)``.

    The first file is written before the first step (so that a folder that cannot be written to is an error before any
    work is lost), the last one when the run ends or Ctrl-C ends it.  A later write that fails (disk full) is a warning:
    the file before it stays, the run goes on.  A run that finds its file goes on from there and ends with the same bits
    on a CPU as one that was never stopped, whatever the number of threads.  The stopping rule may differ: a looser one
    continues a finished run.  `iterations` and `seconds` count from the very start.

    Parameters
    ----------
    path : the file, by custom .npz; its folder must exist.
    every : write every so many iterations; None: by time alone.
    seconds : write when so much time has passed since the last write, and ten times what that write took.

    Raises
    ------
    TypeError, ValueError
        A period that is no positive number; in `solve`: a file that is no checkpoint, is damaged or belongs to another
        run (the message names what differs).
    """

    path: str | os.PathLike[str]
    every: int | None = None
    seconds: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.path, (str, os.PathLike)):
            raise TypeError(f"Checkpoint: path must be a path, got {check.describe(self.path)}")
        object.__setattr__(self, "path", Path(self.path))
        if self.every is not None:
            check.integer("Checkpoint", "every", self.every, low=1)
        check.number("Checkpoint", "seconds", self.seconds, low=0.0)


class Saved(NamedTuple):
    """What a file holds: the state, the history, what the rules remember, and how the run stood."""

    state: Any
    history: list[dict[str, Any]]
    memory: list[dict[str, Any]]
    stop: str
    why: str | None
    seconds: float


@dataclass
class Keeper:
    """The checkpoint of one run: finds, writes when it is time, writes at the end."""

    checkpoint: Checkpoint
    marks: dict[str, str]
    solver: Any
    words: dict[str, str]
    written: float = -float("inf")
    cost: float = 0.0
    failed: str | None = None
    latest: Saved | None = field(default=None, repr=False)

    @classmethod
    def of(cls, checkpoint: Any, problem: Any, solver: Any, x0: Any) -> Keeper | None:
        """None without a checkpoint."""
        if checkpoint is None:
            return None
        checkpoint = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        words = {"problem": repr(problem), "solver": repr(solver)}
        return cls(checkpoint, fingerprint(problem, solver, x0), solver, words)

    @property
    def path(self) -> Path:
        return Path(self.checkpoint.path)

    def find(self, template: Any) -> Saved | None:
        """What the file holds, in the library and on the device of `template.x`; None where there is no file."""
        clear(self.path)
        if not self.path.exists():
            return None
        header, arrays = read(self.path)
        if changed := differences(header["fingerprint"], self.marks):
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise ValueError(
                f"checkpoint: {self.path}, written by varinv {header['version']}, belongs to another run: "
                f"{'; '.join(changed[:4])}{more}. Pass what it was made with, name another file, or delete this one"
            )
        classes = {
            kind.__name__: kind for kind in vars(sys.modules[type(self.solver).__module__]).values() if named(kind)
        }
        classes_in(template, classes)
        try:
            return Saved(**unpack(header["tree"], arrays, template.x, classes))
        except OtherClass as error:
            raise ValueError(
                f"checkpoint: {self.path} was written by varinv {header['version']}, and this version has {error}; "
                "name another file, or delete this one"
            ) from None

    def offer(self, saved: Saved, finite: Any) -> None:
        """A state that the rules have judged and that does not end the run; written where it is time.

        `finite(state)` is asked before a state is written.
        """
        self.latest = saved
        now = time.perf_counter()
        every, wait = self.checkpoint.every, max(self.checkpoint.seconds, 10 * self.cost)
        due = (every is not None and saved.state.k % every == 0) or now - self.written >= wait
        if due and finite(saved.state):
            self.write(saved)

    def write(self, saved: Saved) -> None:
        """Replace the file; after the first time a failure is a warning, and the file before it stays."""
        arrays: list[Any] = []
        saved = saved._replace(  # a row or memory that no file can hold is left out
            history=[_storable(row) for row in saved.history if row["k"] <= saved.state.k],
            memory=[_storable(old) for old in saved.memory],
        )
        tree = pack(saved._asdict(), arrays, "run")
        began = time.perf_counter()
        try:
            write(self.path, {"fingerprint": self.marks, **self.words, "tree": tree}, arrays)
        except OSError as error:
            if self.written == -float("inf"):
                raise type(error)(f"checkpoint: {self.path} cannot be written ({error}); name another file") from error
            if self.failed is None:
                warnings.warn(
                    f"checkpoint: {self.path} could not be replaced at iteration {saved.state.k} ({error}); "
                    "the file before it is intact, and the run goes on",
                    RuntimeWarning,
                    stacklevel=check.outside(),
                )
            self.failed = f"not written at iteration {saved.state.k}: {error}"
        else:
            self.failed = None
        self.written = time.perf_counter()
        self.cost = self.written - began

    def close(self, saved: Saved | None = None) -> None:
        """The end of a run: its last state, or (None, after Ctrl-C) the last one offered."""
        if (saved := saved or self.latest) is not None:
            self.write(saved)


def _storable(row: dict[str, Any]) -> dict[str, Any]:
    """Those entries that `pack` takes."""

    def taken(value: Any) -> bool:
        try:
            pack(value, [], "")
        except TypeError:
            return False
        return True

    return {name: value for name, value in row.items() if taken(value)}
