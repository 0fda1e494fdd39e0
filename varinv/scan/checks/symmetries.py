"""What no data can decide, because another geometry gives exactly the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

from varinv.scan.checks.sight import Sight
from varinv.scan.checks.table import Check, undecided


def symmetries(s: Sight) -> Iterator[Check]:
    """Exact symmetries of the measurement, each with its consequence for the image."""
    yield undecided("zero of the angles", "another first angle turns the image by as much")
    if s.fan:
        yield undecided(
            "mirror image",
            "reversed angles with a mirrored detector give the same numbers: the image is then mirrored",
        )
        yield undecided(
            "distance from source to axis",
            "with the distance from source to detector kept, another one (source and detector distance exchanged, "
            "say) scales the image and its values, not its shape",
        )
    else:
        yield undecided("sense of rotation", "angles run the other way: the image is then mirrored (scan.reverse())")
    yield undecided("unit of length", "another pixel pitch with all lengths scales the image and its values alike")
