"""What a consistency test says of a scan, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

OK, DOUBT, WRONG, OPEN = VERDICTS = ("ok", "doubt", "wrong", "not decidable")


class Check(NamedTuple):
    """One test of a scan: its figure, the limit that the figure should not pass, the verdict and what to do."""

    name: str
    figure: float | None  # None: nothing was measured
    limit: float | None
    verdict: str  # one of VERDICTS
    remedy: str = ""  # what is wrong by name, and what to do; or why nothing can be said

    @property
    def doubtful(self) -> bool:
        """Is the verdict "doubt" or "wrong"?"""
        return self.verdict in (DOUBT, WRONG)

    def __str__(self) -> str:
        """One line: name, figure and limit, what to do."""
        numbers = "" if self.figure is None else f" {self.figure:.3g}"
        numbers += "" if self.limit is None else f" (limit {self.limit:.3g})"
        return f"{self.name}{numbers}: {self.remedy or self.verdict}"


def judged(name: str, figure: float, limit: float, remedy: str, verdict: str = DOUBT) -> Check:
    """A Check that is ok up to the limit; a figure that is no number passes no limit."""
    good = not figure > limit
    return Check(name, float(figure), float(limit), OK if good else verdict, "" if good else remedy)


def undecided(name: str, why: str) -> Check:
    """A Check that the data cannot decide."""
    return Check(name, None, None, OPEN, why)


@dataclass(frozen=True, eq=False, repr=False)
class Checks:
    """The tests of one row of a scan, and what had to be repaired before they could look; printed, an aligned table."""

    table: tuple[Check, ...]
    row: int = 0
    repaired: tuple[str, ...] = ()  # one sentence a kind of repair, with its count; no doubt: it is done

    @property
    def rows(self) -> tuple[Check, ...]:
        """The same as `table`."""
        return self.table

    @property
    def doubtful(self) -> tuple[Check, ...]:
        """The tests whose verdict is "doubt" or "wrong"."""
        return tuple(c for c in self.table if c.doubtful)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)

    def __str__(self) -> str:
        """An aligned table, one line a test; what is doubtful is explained below it."""
        head = (f"row {self.row}: test", "figure", "limit", "verdict")
        cells = [head] + [(c.name, _number(c.figure), _number(c.limit), c.verdict) for c in self.table]
        wide = [max(len(line[k]) for line in cells) for k in range(4)]
        lines = [f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {d}".rstrip() for a, b, c, d in cells]
        lines += [f"- {c.name}: {c.remedy}" for c in self.table if c.doubtful]
        lines += [f"- repaired: {text}" for text in self.repaired]
        lines += [f"- {c.name}, not decidable from the data: {c.remedy}" for c in self.table if c.verdict == OPEN]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Checks(row {self.row}, {len(self.table)} tests, {len(self.doubtful)} doubtful)"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
