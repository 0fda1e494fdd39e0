"""Which files of a folder are projections, flats and darks: by the words that separate them.

A folder holds groups of frames: files whose names differ in numbers only, in the folder itself or up to three folders
down.  A word such as `flat`, `white_field`, `ob` or `dark` makes a group flats or darks only where it separates that
group from the others: a word that all frames carry is part of the sample's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from varinv.scan import names
from varinv.scan.errors import ScanError, warn
from varinv.scan.frames import AnyArray

FLAT, DARK = "flats", "darks"
# words that say so wherever they stand, and words that say so only alone: white_oak and open_cell are samples
SURE = {
    **dict.fromkeys(("flat", "flatfield", "whitefield", "brightfield", "openbeam", "flatimage"), FLAT),
    **dict.fromkeys(("dark", "darkfield", "darkcurrent", "darkimage", "darkend"), DARK),
}
ALONE = {
    **dict.fromkeys(("white", "open", "bright", "ob", "ff", "ref", "reference", "izero", "gain", "blank", "empty",
                     "air"), FLAT),
    **dict.fromkeys(("df", "di", "dc", "offset", "black", "bias"), DARK),
}  # fmt: skip
FIRST = {"before", "pre", "start", "begin", "beginning", "first", "initial"}
LAST = {"after", "post", "end", "last", "final", "darkend"}
BESIDE = FIRST | LAST | {
    *("field", "beam", "image", "img", "frame", "current", "signal", "avg", "average", "mean", "median", "raw", "hst"),
    *("tif", "tiff", "data", "no", "s", "ms", "sec", "exp", "exposure", "corr", "set", "file", "for", "of", "the"),
    *("and", "noise", "fields", "m", "n", "p", "d", "f", "w", "o", "scan", "tomo"),
}  # fmt: skip
VIEWS = {"proj", "projection", "tomo", "radio", "radiograph", "radiography", "sample", "scan", "object", "ct", "view"}
MADE = {"recon", "reconstruction", "rec", "slice", "sino", "sinogram", "thumbnail", "thumb", "preview", "mask", "old"}
DEPTH, FOLDERS = 3, 400


@dataclass(frozen=True, eq=False)
class Group:
    """Files of one folder whose names differ in numbers only, and the words of that name."""

    folder: Path
    files: list[Path]
    stem: tuple[str, ...]  # words of the names
    above: tuple[str, ...]  # words of the folders below the one that was asked for

    def __str__(self) -> str:
        name = self.files[0].name if len(self.files) == 1 else f"{self.files[0].name} …"
        return f"{name} ({len(self.files)})"


@dataclass
class Sorted:
    """The files of a scan, in order, and where the flats and darks stand among the views (None: not known)."""

    frames: list[Path]
    flats: list[Path] = field(default_factory=list)
    darks: list[Path] = field(default_factory=list)
    flats_at: AnyArray | None = None
    darks_at: AnyArray | None = None
    folder: Path = Path()  # where the frames are
    named: names.Ordered | None = None


def sort(folder: Path, suffixes: Iterable[str], angles: int | None, notes: list[str]) -> Sorted:
    """The frames, flats and darks below this folder; `angles`, the number of angles, settles doubts where known."""
    groups = gather(folder, tuple(suffixes))
    if not groups:
        looked = ", ".join(sorted(suffixes))
        others = sorted(f.name for f in folder.iterdir())[:6]
        raise ScanError(f"{folder}: no TIFF frames in this folder or those below it (looked for {looked}); name a file "
                        f"in it ({', '.join(others) or 'it is empty'})")  # fmt: skip
    roles: list[str | None] = [None] if len(groups) == 1 else _roles(groups)
    if len(groups) == 1 and _pure(groups[0]) and set(groups[0].stem) & SURE.keys():
        warn(folder, f"all frames are called {groups[0]}: taken as the projections", notes)
    if all(roles):
        roles = _sample(folder, groups, roles, angles, notes)
    views = _views(folder, [g for g, r in zip(groups, roles, strict=True) if not r], angles, notes)
    ordered = names.order([f for g in views for f in g.files], folder, notes)
    found = Sorted(ordered.files, folder=views[0].folder, named=ordered)
    for what in (FLAT, DARK):
        files, at = _references([g for g, r in zip(groups, roles, strict=True) if r == what], ordered)
        setattr(found, what, files)
        setattr(found, f"{what}_at", at)
        if files:
            shown = ", ".join(str(f.relative_to(folder)) for f in files[:3])
            when = "" if at is None else f"; of {len(at)}, {int((at == 0).sum())} before the first view"
            notes.append(f"{what} by their names: {shown}{' …' if files[3:] else ''}{when}")
    if not found.flats and not found.darks:
        notes.append("no flats or darks by their names: no word such as flat, white, open, ob, ref, dark, di or df "
                     "separates some frames from the others")  # fmt: skip
    if found.folder != folder:
        notes.append(f"frames from the folder {found.folder.relative_to(folder)}")
    return found


# ------------------------------------------------------------------------------------------------------------ groups


def gather(folder: Path, suffixes: tuple[str, ...]) -> list[Group]:
    """All groups of frames in this folder and up to three folders down, the largest first."""
    found: dict[tuple[Path, tuple[str, ...]], list[Path]] = {}
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < FOLDERS:
        place, depth = waiting.pop(0)
        seen += 1
        try:
            entries = sorted(place.iterdir())
        except OSError as error:
            if place == folder:
                raise ScanError(f"{folder}: cannot be listed ({error.strerror})") from None
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.suffix.lower() in suffixes and entry.is_file():
                found.setdefault((place, words(entry.stem)), []).append(entry)
            elif depth < DEPTH and entry.is_dir() and not entry.is_symlink() and entry.suffix != ".zarr":
                waiting.append((entry, depth + 1))
    groups = [
        Group(place, sorted(files, key=names.natural), stem, tuple(w for p in place.relative_to(folder).parts
                                                                   for w in words(p)))
        for (place, stem), files in found.items()
    ]  # fmt: skip
    return sorted(groups, key=lambda g: -len(g.files))


def words(name: str) -> tuple[str, ...]:
    """The words of a name, small and singular, without numbers: FlatBefore_02 are flat and before."""
    name = re.sub(r"(?<![A-Za-z])[iI]0(?![0-9])", "izero", name)
    name = re.sub(r"(?<![A-Za-z0-9])[mnp](?=\d)", "", name)
    parts = re.findall(r"[A-Z]{2,}(?![a-z])s?|[A-Z]?[^\W\d_A-Z]+|[A-Z]", name)
    small = [p.lower() for p in parts]
    known = SURE.keys() | ALONE.keys() | VIEWS | MADE | BESIDE
    return tuple(w[:-1] if w.endswith("s") and w[:-1] in known else w for w in small)


def _roles(groups: list[Group]) -> list[str | None]:
    """FLAT, DARK or None for each group, by the words that not all groups share."""
    marked = [Counter([("stem", w) for w in g.stem] + [("above", w) for w in g.above]) for g in groups]
    common = marked[0]
    for m in marked[1:]:
        common = common & m
    roles: list[str | None] = []
    for g, m in zip(groups, marked, strict=True):
        rest = m - common or m
        left = [_left(part, of, rest) for part, of in (("stem", g.stem), ("above", g.above))]
        roles.append(_role(left[0]) or _role(left[1]))
    return _loose(groups, roles)


def _left(part: str, of: tuple[str, ...], rest: Counter[tuple[str, str]]) -> list[str]:
    """The words that separate; all of them where only `beam`, `before` … of nothing but such words are left."""
    left = [w for w in of if (part, w) in rest]
    return list(of) if left and set(left) <= BESIDE and all(w in ALONE or w in BESIDE for w in of) else left


def _role(of: list[str]) -> str | None:
    """What these words say: a sure word anywhere, or nothing but words that say so alone."""
    if any(w.startswith(("corrected", "normali")) for w in of):
        return None
    sure = [SURE[w] for w in of if w in SURE]
    alone = [ALONE[w] for w in of if w in ALONE]
    if not sure and any(w not in ALONE and w not in BESIDE for w in of):
        return None
    return DARK if DARK in sure + alone else FLAT if sure + alone else None


def _pure(g: Group) -> bool:
    return all(w in SURE or w in ALONE or w in BESIDE for w in g.stem + g.above)


def _loose(groups: list[Group], roles: list[str | None]) -> list[str | None]:
    """`sampleA_open_beam` beside three times as many frames of `img` are flats, where there are no other flats."""
    views = [len(g.files) for g, r in zip(groups, roles, strict=True) if r is None and not set(g.stem) & ALONE.keys()]
    for what in (FLAT, DARK):
        if what not in roles and views:
            for k, g in enumerate(groups):
                if roles[k] is None and 3 * len(g.files) <= max(views) and what in {ALONE.get(w) for w in g.stem}:
                    roles[k] = what
    return roles


def _sample(
    folder: Path, groups: list[Group], roles: list[str | None], angles: int | None, notes: list[str]
) -> list[str | None]:
    """All groups carry such a word: the one that can only be the sample, or an error that says what was found."""
    roles = list(roles)
    fits = [k for k, g in enumerate(groups) if angles is not None and len(g.files) == angles]
    mixed = [k for k, g in enumerate(groups) if not _pure(g)]
    rest = sum(len(g.files) for g in groups[1:])
    shared = Counter(groups[0].stem)
    for g in groups[1:]:
        shared &= Counter(g.stem)
    bare = [k for k, g in enumerate(groups) if shared and Counter(g.stem) == shared]
    if len(fits) == 1:
        chosen, why = fits[0], f"as many as the {angles} angles"
    elif len(bare) == 1:
        chosen, why = bare[0], "all names begin with it"
    elif mixed:
        chosen, why = mixed[0], "the word is part of a longer name"
    elif len(groups[0].files) >= 2 * max(rest, 1):
        chosen, why = 0, f"{len(groups[0].files)} frames, the others {rest}"
        warn(folder, f"by its name {groups[0]} would be {roles[0]}; taken as the projections: {why}", notes)
    else:
        said = "; ".join(f"{g} {r}" for g, r in list(zip(groups, roles, strict=True))[:6])
        raise ScanError(f"{folder}: no projections: by their names all frames are flats or darks ({said}); name the "
                        "folder of the projections, and pass flats= and darks= apart")  # fmt: skip
    notes.append(f"{groups[chosen]} taken as the projections, not as {roles[chosen]}: {why}")
    for k, g in enumerate(groups):
        if k == chosen or (g.folder == groups[chosen].folder and g.stem == groups[chosen].stem):
            roles[k] = None
    return roles


def _views(folder: Path, groups: list[Group], angles: int | None, notes: list[str]) -> list[Group]:
    """The groups that are the projections: those of one folder; what does not belong to them is named."""
    count = Counter(g.folder for g in groups for _ in g.files)
    here = groups
    if count[folder] == angles or 10 * count[folder] > max(count.values()):
        here = [g for g in groups if g.folder == folder]
    places = list(dict.fromkeys(g.folder for g in here))
    if len(places) > 1:
        place = _folder(folder, places, count, angles)
        notes.append(f"other folders left out: {', '.join(p.name for p in places if p != place)[:200]}")
        here = [g for g in here if g.folder == place]
    total = sum(len(g.files) for g in here)
    if len(here) == 1 or total == angles:
        return here
    said = [g for g in here if set(g.stem) & VIEWS]
    main = here[0] if len(said) != 1 else said[0]
    few = [g for g in here if g is not main and 10 * len(g.files) <= len(main.files)]
    if few:
        warn(folder, f"left out beside {main}: {', '.join(str(g) for g in few[:6])}: their names are of another kind; "
                     "move them elsewhere, or rename them if they belong to the scan", notes)  # fmt: skip
    here = [g for g in here if g not in few]
    if len(here) > 1 and len(main.files) > 1:
        warn(folder, f"frames under several names, one after the other: {', '.join(str(g) for g in here[:6])}; if one "
                     "of them is not the scan, move it elsewhere", notes)  # fmt: skip
    return here


def _folder(folder: Path, places: list[Path], count: Counter[Path], angles: int | None) -> Path:
    """The one of several folders that holds the projections: by the number of angles, else by its name."""
    fits = [p for p in places if count[p] == angles]
    made = [p for p in places if not set(words(p.name)) & MADE]
    said = [p for p in made if set(words(p.name)) & VIEWS]
    most = [p for p in places if count[p] >= 10 * max(count[q] for q in places if q != p)]
    chosen = next((c[0] for c in (fits, said, made, most) if len(c) == 1), None)
    if chosen is None:
        shown = ", ".join(f"{p.relative_to(folder)} ({count[p]} frames)" for p in places[:6])
        raise ScanError(f"{folder}: several of its folders may hold the projections: {shown}; name one of them")
    return chosen


# ------------------------------------------------------------------------------------- where flats stand among views


def _references(groups: list[Group], views: names.Ordered) -> tuple[list[Path], AnyArray | None]:
    """Flats or darks in the order in which they were taken, and how many views were taken before each."""
    placed = [(g, _when(g, len(views.files))) for g in groups]
    if groups and all(at is not None for _, at in placed):
        placed.sort(key=lambda p: p[1] or 0)
        at = np.concatenate([np.full(len(g.files), at, np.intp) for g, at in placed])
        return [f for g, _ in placed for f in g.files], at
    groups = sorted(groups, key=lambda g: names.natural(g.files[0]))
    files = [f for g in groups for f in g.files]
    return files, _by_number(files, groups, views)


def _when(group: Group, views: int) -> int | None:
    said = set(group.stem) | set(group.above)
    first, last = bool(said & FIRST), bool(said & LAST)
    return None if first == last else 0 if first else views


def _by_number(files: list[Path], groups: list[Group], views: names.Ordered) -> AnyArray | None:
    """From a number that runs through flats and views alike, or from flats numbered by the view they precede."""
    if len(groups) != 1 or views.index is None or not views.index.counts_up:
        return None
    slots = names.read_numbers(files)
    if not slots or not slots[-1].whole:
        return None
    own, index, n = slots[-1].values, views.index.values, len(views.files)
    if not set(own) & set(index):
        both = np.sort(np.concatenate([own, index]))
        return np.asarray(np.searchsorted(index, own)) if (np.diff(both) == views.index.step).all() else None
    if index[0] == 0 and len(own) > 1 and slots[-1].distinct and own[0] == 0 and own[-1] in (n, n - 1) and n > len(own):
        return np.asarray(own, np.intp)
    return None
