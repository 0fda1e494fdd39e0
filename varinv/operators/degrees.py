"""Are angles that were handed over as radians in truth degrees?  Decided by the span, the steps and round values."""

from __future__ import annotations

import math

from varinv.backend import Array, namespace

TURN = 2 * math.pi
HAND = 1e-3  # of a step: gaps that differ by no more are equal
NOTICE = "angles are in radians: pass numpy.deg2rad(angles) where they are degrees, and modulo 2π where they are not"


def refuse_degrees(who: str, angles: Array) -> None:
    """A ValueError where angles handed over as radians are surely degrees (`verdict`)."""
    found, why = verdict(angles)
    if found == "degrees":
        raise ValueError(f"{who}: angles {why} and look like degrees; {NOTICE}")


def verdict(angles: Array) -> tuple[str, str]:
    """("radians" | "doubtful" | "degrees", why), for angles that are said to be radians.

    Up to two turns (a span s of 4π) they are radians.  Beyond, with the median g of the gaps between sorted angles:

    ================= ==============================================================================================
    g > 2π            degrees (few views; golden angles added up): nobody turns more than once between views, unless s
                      or s + g is exactly a whole number of quarter turns
    equal gaps        radians where s or s + g is a whole number of quarter turns; degrees where it is a multiple of 30
                      or 45; with all angles multiples of 0.05, radians where g < 0.3 and s or s + g is within a step of
                      a number of half turns, degrees where g ≥ 0.9, else doubtful; of the others, degrees where s or
                      s + g is a multiple of 10, doubtful where 2 s is whole, s ≤ 370
    about equal gaps  radians where g < 0.3 and s or s + g is nearer to a number of half turns than to a multiple of 30,
                      and within a step of it; degrees where it is a multiple of 30 within 0.3 %; doubtful up to a span
                      of 370 where g ≥ 0.1
    unequal gaps      degrees where s (n + 1)/(n − 1), what n random angles say of their range, is 180 or 360 within
                      5/n, or 90 or 270 within 2/n; doubtful where s > 30 and g > 0.5
    ================= ==============================================================================================
    """
    xp = namespace(angles)
    values = xp.unique_values(angles)
    span = float(values[-1] - values[0])
    if len(values) < 2 or span <= 2 * TURN:
        return "radians", ""
    gaps = values[1:] - values[:-1]
    gap = _median(gaps[gaps > 1e-3 * span / len(values)])
    spread = _median(xp.abs(gaps - gap)) / gap
    seen = f"span {span:.4g} in steps of about {gap:.3g}"
    if gap > TURN:
        return ("radians" if _off(span, gap, TURN / 4) <= min(1e-7 * span, HAND) else "degrees"), seen
    if float(xp.max(xp.abs(gaps - gap))) <= HAND * gap:
        return _equal(angles, span, gap), seen
    if spread <= 0.15 and float(xp.max(gaps)) < 4 * gap:  # half of the gaps within 15 % of their median
        return _about_equal(span, gap), seen
    n = len(values)
    whole = span * (n + 1) / (n - 1)
    if any(abs(whole / turn - 1) <= min(far / n, 0.15) for turn, far in ((180, 5), (360, 5), (90, 2), (270, 2))):
        return "degrees", f"are spread over {whole:.4g} in unequal steps"
    return ("doubtful" if span > 30 and gap > 0.5 else "radians"), seen


def _equal(angles: Array, span: float, gap: float) -> str:
    xp = namespace(angles)
    exact = max(1e-4 * gap, 1.2e-7 * span)  # of angles in single precision
    if _off(span, gap, TURN / 4) <= exact:
        return "radians"
    if min(_off(span, gap, 30), _off(span, gap, 45)) <= exact:
        return "degrees"
    coarse = bool(xp.all(xp.abs(angles / 0.05 - xp.round(angles / 0.05)) < 1e-4))  # 5e-6: written with five digits
    if coarse and gap < 0.3 and _off(span, gap, TURN / 2) <= gap:
        return "radians"
    if _off(span, gap, 10) <= exact or (coarse and gap >= 0.9):
        return "degrees"
    whole = span <= 370 and abs(2 * span - round(2 * span)) <= exact
    return "doubtful" if coarse or whole else "radians"


def _about_equal(span: float, gap: float) -> str:
    turns, thirties = _off(span, gap, TURN / 2), _off(span, gap, 30)
    if gap < 0.3 and turns <= min(gap, thirties):
        return "radians"
    if thirties <= 0.003 * span:
        return "degrees"
    return "doubtful" if span <= 370 and gap >= 0.1 else "radians"


def _off(span: float, gap: float, unit: float) -> float:
    """How far the span, or a step more, is from a multiple of the unit."""
    return min(abs(s - max(round(s / unit), 1) * unit) for s in (span, span + gap))


def _median(values: Array) -> float:
    return float(namespace(values).sort(values)[len(values) // 2])
