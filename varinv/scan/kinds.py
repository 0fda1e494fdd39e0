"""What the numbers of a scan are: detector counts, transmissions, line integrals or emissions."""

from __future__ import annotations

COUNTS, TRANSMISSION, LINES, EMISSION = KINDS = ("counts", "transmission", "line integrals", "emission")


def kind_of(counts: bool) -> str:
    """The two kinds that a file states by itself."""
    return COUNTS if counts else LINES
