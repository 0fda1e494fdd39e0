"""What a check found: one line a test, in words, with its figure, its limit and what to do."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).parents[1])
OK, FAILED, ABSENT, NOTE = "ok", "FAILED", "not there", "note"


@dataclass(frozen=True)
class Line:
    """One test: what was tested, how it ended, the figure, the limit with its reason, what to do."""

    name: str
    verdict: str
    figure: str = ""
    limit: str = ""
    advice: str = ""
    error: BaseException | None = None

    def __str__(self) -> str:
        figure = " ".join(filter(None, (self.figure, self.limit)))
        text = f"  {self.verdict:9}  {self.name}" + (f": {figure}" if figure else "")
        return text + (f"\n{'':13}{self.advice}" if self.advice and self.verdict != OK else "")


@dataclass(frozen=True)
class Report:
    """All lines of one check; true where no test failed.

    `print(report)` shows them, `report.raise_if_failed()` is for tests of your own.
    """

    what: str
    lines: tuple[Line, ...]

    @property
    def failed(self) -> tuple[Line, ...]:
        """The lines of tests that failed."""
        return tuple(line for line in self.lines if line.verdict == FAILED)

    @property
    def ok(self) -> bool:
        return not self.failed

    def __bool__(self) -> bool:
        return self.ok

    def raise_if_failed(self) -> Report:
        """The report itself, or an AssertionError with it; an error inside a method of yours is its cause."""
        if self.ok:
            return self
        raise AssertionError(str(self)) from next((line.error for line in self.failed if line.error), None)

    def __str__(self) -> str:
        counted = [line for line in self.lines if line.verdict in (OK, FAILED)]
        bad = len(self.failed)
        words = f"{len(counted)} tests passed" if not bad else f"{bad} of {len(counted)} tests failed"
        return "\n".join([f"{self.what}: {words}", *map(str, self.lines)])

    __repr__ = __str__


def at_most(name: str, figure: float, limit: float, why: str, advice: str, good: str = "") -> Line:
    """ok where figure ≤ limit (a NaN is not)."""
    passed = figure <= limit
    return Line(
        name, OK if passed else FAILED, f"{figure:.1e} {'≤' if passed else '>'} {limit:.0e}", f"({why})", advice
    )


def holds(name: str, passed: bool, advice: str, figure: str = "") -> Line:
    """ok where it holds."""
    return Line(name, OK if passed else FAILED, figure, "", advice)


def collect(what: str, checks: Iterable[tuple[str, Callable[..., Iterable[Line]]]], *arguments: Any) -> Report:
    """Run every check; an error inside one becomes a line that quotes where it was raised."""
    lines: list[Line] = []
    for name, check in checks:
        found: Iterator[Line] = iter(check(*arguments))
        try:
            lines.extend(found)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            lines.append(Line(name, FAILED, words, "", where(error), error))
    return Report(what, tuple(lines))


def where(error: BaseException) -> str:
    """File, line, function and source of the innermost frame outside this package, else of the innermost one."""
    frames = traceback.extract_tb(error.__traceback__)
    outside = [f for f in frames if not f.filename.startswith(PACKAGE) and "site-packages" not in f.filename]
    frame = (outside or list(frames))[-1]
    source = linecache.getline(frame.filename, frame.lineno or 0).strip()
    return f"raised in {frame.name} ({frame.filename}, line {frame.lineno}): {source}"


def refused(who: str, wanted: type, value: Any, example: str) -> None:
    """A TypeError where value is no instance of what is wanted; a class in place of an instance is named as such."""
    if isinstance(value, wanted):
        return
    if isinstance(value, type) and issubclass(value, wanted):
        raise TypeError(f"{who} takes an instance, got the class {value.__name__}: pass e.g. {example}")
    raise TypeError(f"{who} takes a {wanted.__name__}, e.g. {example}, got a {type(value).__name__}")
