"""Is air at 0 beside the object, in every view, and is the object darker than air?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from varinv.scan.checks.sight import VISIBLE, Real, Sight, middle
from varinv.scan.checks.table import DOUBT, OK, WRONG, Check, judged, undecided

SPREADS = 6  # spreads that make an outlier: the largest of some hundred views reaches 4


def brightness(s: Sight) -> Iterator[Check]:
    """Σ over a view of (line integral − edge): what attenuates more than air is positive.

    Transmissions or counts taken as line integrals have a bright edge and a dark object; so have line integrals whose
    logarithm was taken again, because air is near 0 and −log of it large.
    """
    # the lower edge: the object may reach over the other one
    mass = float(np.mean(s.lines - s.edges.min(1, keepdims=True))) / s.contrast
    # the noise of a mean over a row, five times, or one part in a hundred
    limit = -max(0.01, 5 * (s.edge_noise + s.noise / np.sqrt(s.lines.size)) / s.contrast)
    good = mass >= limit
    said = (
        "the object is less than air: counts or transmissions taken as line integrals, or line integrals or "
        "emissions taken as counts or transmissions, so that a logarithm was taken twice or of what needs none; "
        "pass another kind= to read ('counts', 'transmission', 'line integrals', 'emission')"
    )
    yield Check("object above air", mass, limit, OK if good else WRONG, "" if good else said)


def level(s: Sight) -> Iterator[Check]:
    """Median level of the lower edge, as a share of the contrast: 0 is air."""
    figure, limit = abs(s.air) / s.contrast, s.tolerance / s.contrast
    if figure <= limit:
        yield Check("air level", figure, limit, OK)
        return
    w = s.width
    inner = np.stack([np.median(s.lines[:, w : 2 * w], 1), np.median(s.lines[:, -2 * w : -w], 1)], 1)
    slope = float(np.median(np.abs(inner - s.edges)))
    flat = slope <= s.tolerance / 3 + 2 * s.edge_noise
    cause = "flats of another exposure (flats mixed up?)" if s.counts else "the logarithm had another white"
    exposure = f"air is not at 0 at the edges: {cause}; " + (
        "pass the right flats, or scan.using(air=True)" if s.counts else "scan.using(air=True) subtracts it"
    )
    wide = (
        f"neither edge is at air: the object is truncated, wider than the detector (or {cause}); the grey values are "
        "off by a smooth offset: use edge padding, look at differences only"
    )
    yield Check("air level", figure, limit, DOUBT, exposure if flat else wide)


def drift(s: Sight) -> Iterator[Check]:
    """Spread of the level that both edges share over the views, 5th to 95th percentile, as a share of the contrast."""
    if len(s.lines) < 4:
        yield undecided("air drift", "too few views")
        return
    common = s.edges.mean(1) if s.beside else s.edges.min(1)
    yield _dips(s, common)
    low, high = np.percentile(common, [5, 95])
    yield judged(
        "air drift",
        float(high - low) / s.contrast,
        s.tolerance / s.contrast,
        "the level of air changes over the views: the beam drifts or fades (or the object leaves the detector on both "
        "sides in some views: truncated); pass flats from before and after the scan, or scan.using(air=True)",
    )


def _dips(s: Sight, common: Real) -> Check:
    """The largest step of that level away from the views around, as a share of the contrast."""
    from scipy.ndimage import median_filter

    apart = np.abs(common - median_filter(common, 5, mode="nearest"))
    at = int(np.argmax(apart))
    return judged(
        "dips of the beam",
        float(apart[at]) / s.contrast,
        max(SPREADS * max(middle(apart), 1.5 * s.edge_noise), VISIBLE / 3 * s.contrast) / s.contrast,
        f"the level of air in view {at} is off from the views around it: a dip of the beam, or a frame of another "
        "exposure; scan.using(air=True), or leave those views out",
    )


def truncation(s: Sight) -> Iterator[Check]:
    """How far the higher edge of a view stands above the lower one, 95th percentile, as a share of the contrast."""
    apart = s.edges - s.edges.min(1, keepdims=True)
    figure = float(np.percentile(apart.max(1), 95)) / s.contrast
    sides = (np.percentile(apart, 95, axis=0) > s.tolerance).sum()
    if _half_acquisition(s):
        yield Check(
            "truncation", figure, s.tolerance / s.contrast, OK, "a half-acquisition: the turn closes the object"
        )
        return
    half = "one edge of the detector (a half-acquisition needs a full turn and its axis near that edge: wrong axis?)"
    both = "the edges of the detector"
    yield judged(
        "truncation",
        figure,
        s.tolerance / s.contrast,
        f"the object is truncated: it reaches over {half if sides == 1 else both}; values near the rim are off",
    )


def _half_acquisition(s: Sight) -> bool:
    """Does a full turn see the object over one edge only, with the axis in the third of the detector beside it?"""
    g = s.geometry
    if g is None or not s.turn[2]:
        return False
    over = np.percentile(s.edges - s.edges.min(1, keepdims=True), 95, axis=0) > s.tolerance
    place = float(g.axis or 0.0) / max(g.detectors - 1, 1)
    return bool(over[0] and not over[1] and place < 1 / 3) or bool(over[1] and not over[0] and place > 2 / 3)
