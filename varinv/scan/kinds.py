"""What the numbers of a scan are: detector counts, transmissions, line integrals or emissions, and how one can tell."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from varinv.scan.errors import ScanError
from varinv.scan.frames import Frames, Raw

COUNTS, TRANSMISSION, LINES, EMISSION = KINDS = ("counts", "transmission", "line integrals", "emission")
LOOK = 1 << 20  # numbers looked at: some views, some rows, all columns
HUGE = 1e30  # beyond that a number is no measurement
FULL = (255, 4095, 16383, 65535)  # ends of the ranges that images are stretched to

WORDS = {  # what files write as the unit of their data
    COUNTS: ("count", "adu", "photon", "electron", "dn"),
    TRANSMISSION: ("transmi",),
    LINES: ("line integral", "attenuation", "absor", "optical density", "-log", "-ln", "minus log"),
}


def kind_of(counts: bool) -> str:
    """The two kinds that a reader tells by flats and by the type of the numbers."""
    return COUNTS if counts else LINES


def hinted(name: str) -> str:
    """What the name of an array suggests."""
    return LINES if re.search("sino|radon", name, re.IGNORECASE) else ""


def stated(unit: str | None) -> str:
    """The kind that a unit or label of the data names, or nothing."""
    text = (unit or "").strip().lower()
    return next((kind for kind, words in WORDS.items() if text and any(text.startswith(w) for w in words)), "")


class Evidence(NamedTuple):
    """What a look at some lines of some views shows; levels in the units of the data.

    `air` is the level at the edges of the detector; `seen`: it is even there, and the same in the views.  `darker` and
    `brighter` are how far typical lines with structure fall below and rise above it, less their noise.
    """

    low: float  # 1 and 99 percent of the numbers lie below
    high: float
    air: float
    seen: bool
    darker: float
    brighter: float
    noise: float  # standard deviation from pixel to pixel
    whole: bool  # all numbers are whole

    @property
    def contrast(self) -> float:
        return max(self.darker, self.brighter)

    @property
    def way(self) -> str:
        """ "darker" or "brighter" than air by far, "both", or "nothing" where no structure exceeds the noise."""
        if not self.contrast > max(self.noise, 1e-9 * max(abs(self.low), abs(self.high))):
            return "nothing"
        if self.darker > 3 * self.brighter:
            return "darker"
        return "brighter" if self.brighter > 3 * self.darker else "both"

    def sentence(self) -> str:
        """The figures in words."""
        numbers = "whole numbers" if self.whole else "fractional numbers"
        where = {
            "darker": f"the object {self.darker:.3g} darker than",
            "brighter": f"the object {self.brighter:.3g} brighter than",
            "both": f"structure {self.darker:.3g} below and {self.brighter:.3g} above",
            "nothing": "no structure above the noise beside",
        }[self.way]
        edges = f"air at {self.air:.4g} at the edges" if self.seen else f"edges at {self.air:.4g}, where no air is seen"
        return f"{numbers} from {self.low:.4g} to {self.high:.4g}, {where} {edges}"


class Decision(NamedTuple):
    """A kind, why, and where it is not clear-cut the others that it may be."""

    kind: str
    why: str
    others: tuple[str, ...] = ()


def look(frames: Frames, flats: Frames | None = None, darks: Frames | None = None) -> Evidence | None:
    """A few lines of a few views, divided by flats where there are some; None where nothing finite is among them."""
    views, rows, columns = frames.shape
    if columns > LOOK:
        return None
    few = max(1, min(5, LOOK // columns, rows))
    step = rows // few
    part = slice(step // 2, step // 2 + (few - 1) * step + 1, step)
    count = max(1, min(12, LOOK // (columns * few), views))
    picked = np.unique(np.linspace(0, views - 1, count + 2).round().astype(np.intp)[1:-1] if views > 2 else [0])
    data = frames.read(picked, part).astype(np.float64)
    whole = bool((np.where(np.isfinite(data), data, 0) % 1 == 0).all())
    if flats is not None:
        white, black = (0.0 if f is None else _level(f, part) for f in (flats, darks))
        with np.errstate(all="ignore"):
            data = (data - black) / (white - black)
    return judge(data.reshape(-1, columns), len(picked), whole)


def _level(frames: Frames, part: slice) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        return np.asarray(np.median(frames.read(np.arange(min(4, frames.shape[0])), part).astype(np.float64), axis=0))


def judge(lines: NDArray[np.float64], views: int, whole: bool) -> Evidence | None:
    """The evidence of lines of shape (views · rows, columns), view by view; NaN and infinities are passed over."""
    from scipy.ndimage import median_filter

    good = np.abs(lines) < HUGE
    full = good.mean(1) > 0.1
    if not full.any():
        return None
    columns, rows = lines.shape[1], len(lines) // views
    values = np.where(good, lines, np.nanmedian(np.where(good, lines, np.nan)[full]))
    low, high = np.percentile(values[full], [1, 99])
    noise = 0.6 * 1.4826 * float(np.median(np.abs(np.diff(values[full], axis=1)))) if columns > 1 else 0.0
    values = median_filter(values, (1, 5 if columns >= 20 else 1), mode="nearest")  # dead and hot pixels
    wide = max(1, round(0.04 * columns))
    outer = np.stack([np.median(values[:, :wide], 1), np.median(values[:, -wide:], 1)], 1)
    inner = outer
    if columns >= 2 * wide:
        inner = np.stack([np.median(values[:, wide : 2 * wide], 1), np.median(values[:, -2 * wide : -wide], 1)], 1)
    bottom, top = np.percentile(values, [1, 99], axis=1)
    depth = top - bottom
    rich = full & (depth >= 0.5 * np.percentile(depth[full], 90))
    scale = float(np.median(depth[rich]))
    # even: the next pixels inwards have the same level in most lines; 5 % of the contrast is the slope of a faint beam
    noisy = 2 * noise / np.sqrt(int(rich.sum()))
    even = np.abs(np.median((inner - outer)[rich], axis=0)) < max(noisy, 0.05 * scale)
    if even.all() and abs(float(np.subtract(*np.median(outer[rich], axis=0)))) > 0.25 * scale:
        even = np.arange(2) == np.argmin(np.ptp(np.percentile(outer[rich], [25, 75], axis=0), axis=0))  # the steadier
    levels = outer[:, even] if even.any() else outer
    air, seen = float(np.median(levels[rich])), bool(even.any())
    if seen:  # the same in the views, row by row: half of them within a tenth of the contrast
        spread = [
            np.ptp(np.percentile(part, [25, 75])) for r in range(rows) if (part := levels[r::rows][rich[r::rows]]).size
        ]
        seen = float(np.median(spread)) < max(2 * noise, 0.1 * scale)
    darker, brighter = (max(float(np.median(v[rich])) - 2 * noise, 0.0) for v in (air - bottom, top - air))
    return Evidence(float(low), float(high), air, seen, darker, brighter, noise, whole)


def decide(e: Evidence | None, whole: bool) -> Decision:
    """What numbers without flats, of which the file says nothing, are.

    Raises
    ------
    ScanError
        Nothing decides.
    """
    if e is None:
        return Decision(kind_of(whole), "whole numbers" if whole else "hardly a finite number was found")
    return (_whole if whole or (e.whole and e.high > 20) else _fractional)(e)


def _whole(e: Evidence) -> Decision:
    if e.low < -0.05 * max(e.contrast, e.high) and e.low < -1:
        return Decision(LINES, e.sentence() + ": counts are not negative", (EMISSION, COUNTS))
    if e.way == "brighter":
        if any(full / 2 < e.high <= full for full in FULL) and abs(e.air) < 0.2 * e.contrast:
            return Decision(LINES, e.sentence() + ": stretched to the range of their type", (EMISSION, COUNTS))
        return Decision(EMISSION, e.sentence(), (LINES, COUNTS))
    return Decision(COUNTS, e.sentence())


def _fractional(e: Evidence) -> Decision:
    why, at_one, at_zero = e.sentence(), abs(e.air - 1) < 0.1, abs(e.air) <= 0.2 * e.contrast
    if e.way == "nothing":
        if abs(e.air) <= 3 * e.noise:
            return Decision(LINES, why)
        raise ScanError(f"nothing decides what the numbers are: {why}; {_ask(KINDS)}")
    if e.way == "brighter":
        if e.seen and not at_zero:
            return Decision(EMISSION if e.air > 0 else LINES, why, (LINES if e.air > 0 else EMISSION, TRANSMISSION))
        return Decision(LINES, why)
    within = -0.1 - 3 * e.noise < e.low and e.high < 1.15 + 3 * e.noise
    if at_one and e.seen and within and e.darker > e.brighter:
        return Decision(TRANSMISSION, why)
    if e.seen and at_zero:
        sign = ", below air at 0: the sign of a logarithm?" if e.way == "darker" else ""
        return Decision(LINES, why + sign, (EMISSION, TRANSMISSION))
    if e.way == "darker" and e.air > 1.15 and (e.seen or e.high > 50):
        return Decision(COUNTS, why, () if e.air > 20 else (LINES, EMISSION, TRANSMISSION))
    if e.way == "darker" and within and e.air > 0:
        return Decision(TRANSMISSION, why, (LINES, COUNTS, EMISSION))
    if e.seen and e.air < 0:
        return Decision(LINES, why, (EMISSION, TRANSMISSION))
    raise ScanError(f"nothing decides what the numbers are: {why}; {_ask(KINDS)}")


def doubts(kind: str, e: Evidence | None, flats: bool) -> str:
    """Why numbers that the file, the flats or the user call `kind` look like others; nothing where they may be so."""
    if e is None:
        return ""
    clear = e.way if e.seen else ""
    if kind in (LINES, EMISSION) and clear == "darker" and e.air > 0.5 * e.contrast:
        return f"{e.sentence()}: so look counts or transmissions, of which the logarithm is still to be taken"
    if kind == TRANSMISSION and (clear == "brighter" or (e.seen and not 0.3 < e.air < 3) or e.high > 20):
        return f"{e.sentence()}: transmissions are 1 in air and less behind an object"
    if kind == COUNTS and flats and e.high < 0.02 and e.low > -0.02:
        return f"the data reach only {e.high:.2g} of the flats: were they divided by the flats already?"
    if kind == COUNTS and clear == "brighter":
        divided = " after division by the flats" if flats else ""
        return f"{e.sentence()}{divided}: counts are fewer behind an object"
    return ""


def _ask(kinds: tuple[str, ...]) -> str:
    return f"pass {' or '.join(f'kind={k!r}' for k in kinds)}"


def settle(kind: str | None, raw: Raw, e: Evidence | None, flats: bool) -> Decision:
    """The kind by what the user, the file, the flats or the look at the numbers says, in this order."""
    word, why = kind or raw.said, "as given" if kind else "as the file says"
    if not word and flats:
        word, why = COUNTS, "there are flats"
    if not word:
        found = decide(e, raw.frames.dtype.kind in "bui")
        if found.kind == EMISSION and raw.hint == LINES and not (e is not None and e.whole):
            return Decision(LINES, f"{found.why}; the name is that of a sinogram")
        return found
    doubt = doubts(word, e, flats and word == COUNTS)
    return Decision(word, f"{why}, but {doubt}" if doubt else why, tuple(k for k in KINDS if k != word) * bool(doubt))


def advice(d: Decision) -> str:
    """What is put on record, and where the kind is not clear-cut what to pass."""
    return f"taken as {d.kind} ({d.why}); otherwise {_ask(d.others)}" if d.others else f"{d.kind}: {d.why}"
