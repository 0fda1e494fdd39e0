"""What was repaired or doubted on the way from counts to line integrals, and the row that came out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Row(NamedTuple):
    """One corrected detector row: all of shape (views, columns)."""

    lines: Real  # line integrals, finite everywhere
    valid: Mask  # False where the value was interpolated
    counts: Real  # detected intensity, 1 for line integrals; 0 where not valid


class Options(NamedTuple):
    """What is done besides flat, dark, logarithm and repairs."""

    air: bool | tuple[float, ...] = False  # True: from the edges of each view; numbers: the level of each view
    stripes: int = 0
    process: tuple[Any, ...] = ()  # callables of the user, in order
    stage: str = "sinogram"  # what they are given: "sinogram" or "projections"
    margin: int = 0  # rows of the neighbourhood that "projections" need on either side


PLAIN = Options()


@dataclass
class Repairs:
    """What was done and where, and what looks wrong with a row; several rows are united by `merge`."""

    done: dict[str, list[str]] = field(default_factory=dict)  # what was done -> where, one entry a case
    doubts: list[str] = field(default_factory=list)  # sentences; each becomes a ScanWarning once a scan

    def note(self, what: str, where: list[str]) -> None:
        """Put cases on record; none leaves no trace."""
        if where:
            self.done.setdefault(what, []).extend(where)

    def doubt(self, text: str) -> None:
        """Put on record what the user must know."""
        if text not in self.doubts:
            self.doubts.append(text)

    def say(self) -> tuple[str, ...]:
        """One sentence a kind of repair, with its count and the first places; then the doubts."""
        lines = []
        for what, where in self.done.items():
            places = list(dict.fromkeys(w for w in where if w))
            named = f" ({', '.join(places[:8])}{', …' if len(places) > 8 else ''})" if places else ""
            lines.append(f"{what}: {len(where)}{named}")
        return (*lines, *self.doubts)


def merge(parts: Iterable[Repairs]) -> Repairs:
    """The repairs of several rows together; what concerns whole frames counts once."""
    total = Repairs()
    for part in parts:
        for what, where in part.done.items():
            have = total.done.setdefault(what, [])
            have += [w for w in where if w not in have] if what.startswith(("flat", "dark", "view")) else where
        for text in part.doubts:
            total.doubt(text)
    return total


def views_named(views: Any) -> list[str]:
    """Views by number, for a record."""
    return [f"view {v}" for v in views]
