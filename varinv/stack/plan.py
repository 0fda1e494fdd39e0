"""How a stack is cut into slabs."""

from __future__ import annotations

from typing import NamedTuple

from varinv import check


class Slab(NamedTuple):
    """Slices start … stop of a stack, made from slices low … high: the slab and its halo, cut at the ends."""

    start: int
    stop: int
    low: int
    high: int

    @property
    def inner(self) -> slice:
        """Where the slab stands in what was made from slices low … high."""
        return slice(self.start - self.low, self.stop - self.low)


def slabs(count: int, height: int, halo: int = 0) -> tuple[Slab, ...]:
    """Cut a stack into slabs of equal height, the last one may be lower; with a halo on both sides.

    Parameters
    ----------
    count : slices in the stack, at least 1.
    height : slices in a slab; more than `count` is one slab.
    halo : further slices on each side that a slab is made from, as far as there are any.

    Raises
    ------
    TypeError, ValueError
        Numbers that are no counts.

    >>> slabs(5, 3, halo=1)
    (Slab(start=0, stop=3, low=0, high=4), Slab(start=3, stop=5, low=2, high=5))
    """
    check.integer("slabs", "count", count, low=1)
    check.integer("slabs", "height", height, low=1)
    check.integer("slabs", "halo", halo, low=0)
    starts = range(0, count, height)
    ends = [(s, min(s + height, count)) for s in starts]
    return tuple(Slab(a, b, max(a - halo, 0), min(b + halo, count)) for a, b in ends)
