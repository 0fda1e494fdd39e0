"""A progress line for long runs; nothing is imported unless it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def bar(show: bool, solver: Any, rule: Any) -> Iterator[Callable[[int, dict[str, float]], None]]:
    """Yields advance(k, readings); draws with rich where `show`."""
    if not show:
        yield lambda k, readings: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as lines:
        task = lines.add_task(type(solver).__name__, total=None, words="")

        def advance(k: int, readings: dict[str, float]) -> None:
            words = ", ".join(f"{name} {value:.2e}" for name, value in readings.items())
            lines.update(task, words=f"iteration {k}  {words}")

        yield advance
