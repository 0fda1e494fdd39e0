"""Where three misfits put their least one, how sure that is, and what it says of a fan's distances."""

from __future__ import annotations

import numpy as np

from varinv.scan.checks.sight import Real
from varinv.scan.checks.table import Check, judged, undecided

DISTANCES = "distances"
LARGEST = 0.07  # of the distance from source to detector: uneven angles and noise move the estimate by up to 0.06
SURE = 5.0  # standard errors


def vertex(left: Real, here: Real, right: Real, clear: float = 3.0) -> tuple[float, float] | None:
    """Least misfit of the parabola through three, in steps (at most 3), and its error: jackknife over eight arcs.

    Each is the squared misfit of each view.  None where they bend by less than `clear` standard errors (three: a few
    views may carry all of it, and the error of the place is judged apart) and neither side is surely better.
    """
    count = len(here)
    bends = left - 2 * here + right
    bent = float(np.mean(bends)) > clear * float(np.std(bends)) / np.sqrt(count)
    lower = left if left.sum() < right.sum() else right
    gains = here - lower
    falls = float(np.mean(gains)) > SURE * float(np.std(gains)) / np.sqrt(count)
    if not bent:
        return (3.0 if lower is right else -3.0, 0.0) if falls and lower.sum() < 0.9 * here.sum() else None

    def place(a: float, b: float, c: float) -> float:
        bend = a - 2 * b + c
        return float(np.clip(0.5 * (a - c) / bend, -3, 3)) if bend > 0 else 3.0 * float(np.sign(a - c))

    parts = np.arange(count) * 8 // count
    without = [place(*(float(e[parts != k].sum()) for e in (left, here, right))) for k in range(8)]
    whole = place(*(float(e.sum()) for e in (left, here, right)))
    return whole, float(np.sqrt(7 / 8 * np.sum((np.array(without) - np.mean(without)) ** 2)))


def distance_check(found: tuple[float, float] | None) -> Check:
    """The verdict on the distance from source to detector, from the vertex of misfits at 0.9, 1 and 1.1 of it."""
    if found is None:
        return undecided(DISTANCES, "distances 10 % off fit as well, within the noise")
    place, error = found
    return judged(
        DISTANCES, abs(0.1 * place), max(LARGEST, SURE * error * 0.1),
        f"the views fit together best with a distance from source to detector {abs(place) * 10:.0f} % "
        f"{'shorter' if place < 0 else 'longer'}, or a pixel pitch as much {'larger' if place < 0 else 'smaller'}: "
        "wrong distances or pixel pitch",
    )  # fmt: skip
