"""Names of frames: the numbers in them, the order that these give, and the angles that they may state.

A number may have a sign and decimals (`p_-12.5`, `img_+030.00deg`, `m060` beside `p060`).  Of several numbers the one
that is another for every frame decides the order; a running index is preferred.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from varinv.scan.angles import Angles
from varinv.scan.errors import warn

# a mark (sign, or m, n, p in its place), the digits, and decimals behind a point, a comma or a p
NUMBER = re.compile(r"([-+]|(?<![A-Za-z0-9])[mnp])?(\d+(?:[.,p]\d+)*)", re.IGNORECASE)
TURNING = {"angle", "ang", "theta", "th", "deg", "degree", "degrees", "rot", "rotation", "omega", "phi", "tilt"}
DEGREES = re.compile(r"^(deg(ree)?s?|°|º)(?![a-z])", re.IGNORECASE)
RADIANS = re.compile(r"^rad(ian)?s?(?![a-z])", re.IGNORECASE)
OTHER = {
    *("mm", "um", "nm", "cm", "px", "s", "ms", "sec", "min", "kv", "ua", "kev", "ev", "k", "c", "hz", "x", "y", "z"),
    *("pos", "height", "time", "temp", "t", "energy", "exp", "exposure", "dose"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Slot:
    """One number in the names: its value in each frame, the words beside it, and whether it is written like a count."""

    values: Any
    before: str
    after: str
    whole: bool  # no sign and no decimals in any name
    place: int  # first, second … number of the names

    @property
    def varies(self) -> bool:
        return len(set(self.values)) > 1

    @property
    def distinct(self) -> bool:
        return len(set(self.values)) == len(self.values)

    @property
    def step(self) -> float:
        """The usual step between sorted values, 0 where most steps are others."""
        steps = np.diff(np.sort(self.values))
        if not len(steps):
            return 0.0
        usual = float(np.median(steps))
        near = np.abs(steps - usual) <= 0.01 * abs(usual)
        return usual if usual > 0 and near.mean() >= 0.8 else 0.0

    @property
    def counts_up(self) -> bool:
        """A running index, with at most a fifth left out."""
        return self.whole and self.distinct and self.step > 0

    def sorted_by(self, order: Any) -> Slot:
        return Slot(self.values[order], self.before, self.after, self.whole, self.place)


@dataclass(frozen=True, eq=False)
class Ordered:
    """Files in the order of their frames, the numbers in their names in that order, and the one that decided."""

    files: list[Path]
    slots: list[Slot]
    index: Slot | None


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that reads digits as numbers: raw_2 before raw_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(p), "") if p.isdigit() and len(p) < 20 else (1, 0, p.lower()) for p in parts]


def order(files: list[Path], path: Path, notes: list[str]) -> Ordered:
    """These files in the order of their frames; a warning where the names allow more than one."""
    files = sorted(files, key=natural)
    slots = _clock(read_numbers(files))
    varying = [s for s in slots if s.varies]
    if len(files) < 2 or not varying:
        return Ordered(files, slots, None)
    index = _deciding(varying, path, notes)
    keys = [index.values] if index is not None else [s.values for s in reversed(varying)]
    places = np.lexsort(keys)
    slots = [s.sorted_by(places) for s in slots]
    return Ordered([files[k] for k in places], slots, None if index is None else index.sorted_by(places))


def _deciding(varying: list[Slot], path: Path, notes: list[str]) -> Slot | None:
    """The number by which the frames are sorted; None: by all, the leftmost first."""
    distinct = [s for s in varying if s.distinct]
    if not distinct:
        if len(varying) > 1:
            what = "; ".join(f"the {_nth(s)} from {s.values.min():g} to {s.values.max():g}" for s in varying[:4])
            warn(path, f"no number in the names is another for every frame ({what}): taken in the order of the "
                       f"{_nth(varying[0])}, then of the next; one scan in parts, several scans or several frames a "
                       "view?", notes)  # fmt: skip
        else:
            repeated = Counter(varying[0].values).most_common(1)[0][0]
            warn(path, f"the number {repeated:g} stands in the names of several frames: their order is a guess", notes)
        return None
    rising = [s for s in distinct if s.counts_up] or distinct
    chosen = rising[0]
    rivals = [s for s in rising[1:] if not _same(chosen, s)]
    if rivals:
        warn(path, f"the {_nth(chosen)} and the {_nth(rivals[0])} number in the names order the frames differently: "
                   f"the {_nth(chosen)} is taken", notes)  # fmt: skip
    elif len(varying) > 1 and any(not _same(chosen, s) for s in varying if s.place < chosen.place):
        notes.append(f"frames in the order of the {_nth(chosen)} number in their names")
    return chosen


def _same(a: Slot, b: Slot) -> bool:
    """Do both rise together?"""
    return bool((np.diff(b.values[np.argsort(a.values, kind="stable")]) >= 0).all())


def _nth(slot: Slot) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(slot.place, f"{slot.place}th")


def gaps(slots: list[Slot]) -> str:
    """The numbers left out of a rising sequence whose usual step is known, as text."""
    for slot in slots:
        steps = np.diff(slot.values)
        if len(steps) < 2 or steps.min() <= 0:
            continue
        step = Counter(np.round(steps, 6)).most_common(1)[0][0]
        counts = np.rint(steps / step)
        if np.abs(steps - counts * step).max() > 0.02 * step or (not slot.whole and not slot.step):
            continue
        holes = [a + k * step for a, n in zip(slot.values, counts, strict=False) for k in range(1, min(int(n), 9))]
        return f"{', '.join(f'{h:.12g}' for h in holes[:8])}{' …' if len(holes) > 8 else ''}"
    return ""


# ------------------------------------------------------------------------------------------------ numbers in names


def read_numbers(files: list[Path]) -> list[Slot]:
    """The numbers that all names have at the same place; none where the names are of several kinds."""
    found = [_split(f.name.removesuffix(f.suffix)) for f in files]
    if not found or len({len(f) for f in found}) > 1:
        return []
    slots: list[Slot] = []
    texts = [[""] * len(files)]
    for j in range(len(found[0]) - 1):
        before, marks, digits = ([f[j][k] for f in found] for k in range(3))
        signed = _signed(before, marks, digits, j == 0)
        if not signed:
            before = [b + m for b, m in zip(before, marks, strict=True)]
        texts.append(before)
        after = found[0][j + 1][0] + found[0][j + 1][1]
        slots += _slots(signed, marks, digits, _last_word(before[0]), after, len(slots))
    texts.append([f[-1][0] for f in found])
    same = all(len({t.lower() for t in column}) == 1 for column in texts)
    return slots if same else []


def _split(name: str) -> list[tuple[str, str, str]]:
    """(text before, mark, digits) of each number, and (text, "", "") at the end; 1.2.3 are three numbers."""
    parts, last = [], 0
    for m in NUMBER.finditer(name):
        mark, digits = m.group(1) or "", re.split(r"([.,pP])", m.group(2))
        whole = len(digits) > 3
        parts.append((name[last : m.start()], mark, digits[0] if whole else m.group(2)))
        if whole:
            parts += [(s, "", d) for s, d in zip(digits[1::2], digits[2::2], strict=True)]
        last = m.end()
    return [*parts, (name[last:], "", "")]


def _signed(before: list[str], marks: list[str], digits: list[str], first: bool) -> bool:
    """Are the marks signs?  A hyphen behind a letter or digit, the same in all names, is a separator."""
    have = {m.lower() for m in marks}
    if have == {""}:
        return False
    if have & {"m", "n", "p"}:
        return len(have) == 2 and have in ({"m", "p"}, {"n", "p"}, {"m", ""}, {"n", ""})
    if "+" in have or have == {"-", ""}:
        return True
    free = all(not b[-1:].isalnum() and (b or first) for b in before)
    return free and any(not d.isdigit() for d in digits)  # whole numbers, all behind a hyphen: an index


def _slots(signed: bool, marks: list[str], digits: list[str], before: str, after: str, have: int) -> list[Slot]:
    """One number, or two where the point separates two counts (1.9, 1.10; run1.0001)."""
    split = [re.split(r"[.,pP]", d) for d in digits]
    if any(len(d) == 2 for d in split) and _two(split):
        columns = [np.array([float(d[k]) for d in split]) for k in range(2)]
        return [Slot(c, before if k == 0 else "", after if k else "", True, have + 1 + k)
                for k, c in enumerate(columns)]  # fmt: skip
    sign = [-1.0 if signed and m in "-mMnN" and m else 1.0 for m in marks]
    values = np.array([s * float(".".join(d)) for s, d in zip(sign, split, strict=True)])
    whole = not (signed and min(sign) < 0) and all(len(d) == 1 for d in split) and not (signed and "+" in marks)
    return [Slot(values, before, after, whole, have + 1)]


def _two(split: list[list[str]]) -> bool:
    if any(len(d) != 2 for d in split):
        return False
    fractions = [d[1] for d in split]
    if len({len(f) for f in fractions}) > 1:  # decimals printed in full end in no zero beside shorter ones
        return any(len(f) > 1 and f.endswith("0") for f in fractions)
    return len({d[0] for d in split}) == 1 and len(fractions[0]) > 2 and len(split) > 1


def _last_word(text: str) -> str:
    found = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text.rstrip("_ =-.+("))
    return found[-1].lower() if found and text.rstrip("_ =-.+(").endswith(found[-1]) else ""


def _clock(slots: list[Slot]) -> list[Slot]:
    """Date and time of day joined into one number, so that midnight does not disturb the order."""

    def all_in(k: int, low: int, high: int) -> bool:
        return k < len(slots) and slots[k].whole and bool(((slots[k].values >= low) & (slots[k].values <= high)).all())

    for i in range(len(slots)):
        if all_in(i, 19000101, 21001231) and bool((slots[i].values % 10000 // 100 <= 12).all()):
            stop, value = i + 1, slots[i].values
        elif all_in(i, 1990, 2100) and all_in(i + 1, 1, 12) and all_in(i + 2, 1, 31):
            stop, value = i + 3, slots[i].values * 10000 + slots[i + 1].values * 100 + slots[i + 2].values
        else:
            continue
        if len(set(value)) == 1:
            continue
        if all_in(stop, 0, 23) and all_in(stop + 1, 0, 59) and all_in(stop + 2, 0, 59):
            value = value * 1e6 + slots[stop].values * 1e4 + slots[stop + 1].values * 100 + slots[stop + 2].values
            stop += 3
        elif all_in(stop, 0, 235959):
            value = value * 1e6 + slots[stop].values
            stop += 1
        joined = Slot(value, "", slots[stop - 1].after, False, slots[i].place)
        return [*slots[:i], joined, *slots[stop:]]
    return slots


# --------------------------------------------------------------------------------------------------- angles in names


def stated_angles(names: Ordered, notes: list[str]) -> Angles | None:
    """The angles in the names, in radians, where they look like angles; a note says what was taken."""
    found = [(s, _unit(s)) for s in names.slots if s.varies]
    sure = [(s, u) for s, u in found if u] or [(s, "deg") for s, _ in found if _like_degrees(s)]
    if not sure:
        slot = names.index
        if slot is not None and slot.whole and slot.values[0] == 0 and _fits(slot) and _word(slot) not in OTHER:
            notes.append(f"the numbers 0 to {slot.values[-1]:g} in the names may be an index or degrees: if they are "
                         f"degrees, pass angles=np.deg2rad(np.arange({len(slot.values)}) * {slot.step:g})")  # fmt: skip
        return None
    slot, unit = sure[0]
    values = np.asarray(slot.values, np.float64)
    word = "radians" if unit == "rad" else "degrees"
    notes.append(f"angles from the names of the frames: {values[0]:g} to {values[-1]:g} {word} (pass angles= to decide "
                 "otherwise)")  # fmt: skip
    return values if unit == "rad" else np.deg2rad(values)


def _word(slot: Slot) -> str:
    """The unit right behind the number, else the word before it."""
    found = re.match(r"[A-Za-zµ°]+", slot.after)
    return found.group(0).lower() if found else slot.before


def _unit(slot: Slot) -> str | None:
    """The unit in the name: deg or rad right behind the number, or theta, angle, rot … before it."""
    text = slot.after.lstrip("_ ")
    if DEGREES.match(text):
        return "deg"
    if RADIANS.match(text) and np.ptp(slot.values) <= 8 * np.pi:
        return "rad"
    if slot.before in TURNING and np.ptp(slot.values) <= 3600:
        counting = slot.counts_up and abs(slot.step - 1) < 1e-9 and not (slot.values.min() == 0 and _fits(slot))
        return None if counting else "deg"
    return None


def _like_degrees(slot: Slot) -> bool:
    """Evenly spaced over half a turn or a turn and no index; or evenly spaced with signs and decimals."""
    if not slot.distinct or len(slot.values) < 3 or _word(slot) in OTHER or slot.before in OTHER:
        return False
    steps = np.diff(np.sort(slot.values))
    if steps.max() - steps.min() > 0.02 * steps.max() + 0.011:  # two decimals: rounded by up to 0.005 at either end
        return False
    decimals = bool((slot.values % 1 != 0).any())
    signs = bool(slot.values.min() < 0)
    if _fits(slot) and len(slot.values) > 3:
        return decimals or signs or not slot.whole or (slot.step != 1 and slot.values[0] == 0)
    tilted = bool(signs and np.abs(slot.values).max() <= 180 and not slot.whole)
    return tilted or (decimals and slot.before == "a" and np.ptp(slot.values) <= 360)


def _fits(slot: Slot) -> bool:
    """Do the values span half a turn or a turn in degrees, perhaps with one more step?"""
    span = float(np.ptp(slot.values))
    step = span / max(len(slot.values) - 1, 1)
    return any(abs(s / turn - 1) < 0.002 for s in (span, span + step) for turn in (180, 360))
