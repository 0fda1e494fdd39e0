"""A progress line for long runs: it appears after a second, on a terminal only, and leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from varinv.first_use import WATCHING

Advance = Callable[[int, Mapping[str, float]], None]


class Line:
    """One line on stderr: a bar where the end is known, what is done, the time.

    Drawn once `delay` seconds have passed and only where stderr is a terminal; nothing is imported before.
    """

    def __init__(self, what: str, delay: float = 1.0) -> None:
        self.what, self.delay, self.began = what, delay, time.monotonic()
        self.display: Any = None
        self.task: Any = None

    def __enter__(self) -> Line:
        WATCHING.append(self.show)
        return self

    def __exit__(self, *exception: object) -> None:
        WATCHING.remove(self.show)
        if self.display is not None:
            self.display.stop()
            self.display = None

    def show(self, words: str, done: float | None = None) -> None:
        """Say what is going on; `done` in [0, 1] moves the bar."""
        if self.display is None:
            if time.monotonic() - self.began < self.delay:
                return
            self._draw()
        self.display.update(self.task, words=words, total=None if done is None else 1.0, completed=done or 0.0)

    def advance(self, rule: Any = None, prefix: str = "", done: tuple[float, float] = (0.0, 1.0)) -> Advance:
        """A function advance(k, readings) for `solve`; `done`: the part of the line that this run fills."""
        limit = getattr(rule, "limit", None)

        def show(k: int, readings: Mapping[str, float]) -> None:
            if self.display is None and time.monotonic() - self.began < self.delay:
                return
            figures = "".join(f", {name} {readings[name]:.1e}" for name in ("gap", "residual") if name in readings)
            share = None if limit is None else done[0] + (done[1] - done[0]) * min(k / max(limit, 1), 1.0)
            self.show(f"{prefix}iteration {k}{'' if limit is None else f' of at most {limit}'}{figures}", share)

        return show

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.fields[words]}", markup=False),
        )
        self.display = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.display.add_task(self.what, total=None, words="")
        self.display.start()


@contextmanager
def bar(show: bool | Advance, solver: Any, rule: Any) -> Iterator[Advance]:
    """Yields advance(k, readings): draws where `show` is True; a function in its place is called instead."""
    if callable(show):
        yield show
    elif not show:
        yield lambda k, readings: None
    else:
        with Line(type(solver).__name__) as line:
            yield line.advance(rule)
