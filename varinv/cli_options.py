"""Options of the command line: what they are called, what their text means, and how messages name them."""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Argument, Option

from varinv.image_files import SUFFIXES
from varinv.scan import read
from varinv.scan.kinds import KINDS
from varinv.tomography.settings import PRIORS, SOLVERS


class Part(StrEnum):
    """What is compiled ahead."""

    tomography = "tomography"
    all = "all"


class Links(StrEnum):
    """Where links inside a file may lead."""

    folder = "folder"
    any = "any"


Prior: Any = StrEnum("Prior", {name: name for name in PRIORS})  # type: ignore[misc]
Solver: Any = StrEnum("Solver", {name.replace("-", "_"): name for name in SOLVERS})  # type: ignore[misc]
Kind: Any = StrEnum("Kind", {name.replace(" ", "_"): name.replace(" ", "-") for name in KINDS})  # type: ignore[misc]
TV, AUTO = Prior("tv"), Solver("auto")

ScanPath = Annotated[Path, Argument(metavar="SCAN", help="Scan file, or folder of TIFF frames.")]
KindName = Annotated[Kind | None, Option(help="What the numbers are; default: from evidence.")]
Angles = Annotated[
    str | None, Option(help="File of angles, one a view (text or .npy), or START:STOP:COUNT in degrees.")
]
Flats = Annotated[str | None, Option(help="Flat fields: .npy, TIFF file or folder, or the white level as a number.")]
Darks = Annotated[str | None, Option(help="Dark fields: .npy, TIFF file or folder, or the dark level as a number.")]
Axis = Annotated[float | None, Option(help="Column of the file, from 0, of the rotation axis; default: found.")]
Pitch = Annotated[float | None, Option(help="Distance of detector columns, on the detector itself.")]
Distances = Annotated[
    str | None, Option(metavar="R,D", help="Source to axis, axis to detector, in the unit of --pitch: a fan beam.")
]
Dataset = Annotated[str | None, Option(help="Path of the projections inside the file.")]
AnglesDataset = Annotated[str | None, Option("--angles-dataset", help="Path of the angles inside the file.")]
LinksTo = Annotated[Links | None, Option(help="Where links inside the file may lead: its folder, or anywhere.")]
Air = Annotated[bool, Option("--air", help="Subtract the level of air in each view.")]
Output = Annotated[Path, Option("-o", "--output", help=f"Image: {', '.join(SUFFIXES)}; a .png is put beside it.")]
Views = Annotated[str, Option(help="Views to use, START:STOP:STEP as in Python.")]
Columns = Annotated[str, Option(help="Detector columns to use, A:B.")]
Bin = Annotated[int, Option("--bin", min=1, help="Join this many detector columns.")]
Rows = Annotated[str, Option(help="Detector rows: one number, A:B, A:B:STEP, 'middle' or 'all'.")]
Volume = Annotated[bool, Option("--volume/--slices", help="One problem for all rows, or slice by slice.")]
Size = Annotated[int | None, Option(min=1, help="Side of the image in pixels; default: the detector's width.")]
Pixel = Annotated[float | None, Option(help="Pixel size of the image; default: the detector's width over --size.")]
Flip = Annotated[bool, Option("--flip", help="Columns in reverse order (parallel beam: the image turns by 180°).")]
Reverse = Annotated[bool, Option("--reverse", help="Angles in the other sense (parallel beam: a mirror image).")]
Stripes = Annotated[int, Option(min=0, help="Window in columns of the filter against rings; 0: off.")]
PriorName = Annotated[Prior, Option(help="tv: total variation; svtv: sharper edges; tgv: slopes; none: no prior.")]
SolverName = Annotated[
    Solver, Option(help="auto; with --prior none: fbp, sirt, cgls, …; else chambolle-pock, admm, ….")
]
Weight = Annotated[str, Option(help="Relative weight of the prior, or 'auto': the best on held-out views.")]
Counts = Annotated[bool, Option("--counts", help="Weight measurements by their counts.")]
Gap = Annotated[
    float, Option(help="Stop at this certified relative gap, or ten times it with a residual of a tenth of it.")
]
Iterations = Annotated[int | None, Option(min=1, help="Stop after so many iterations at the latest.")]
Report = Annotated[Path | None, Option(help="Also write a page to look at, .html.")]
Debug = Annotated[bool, Option("--debug", help="Show the traceback of an error.")]


def opened(scan: Path, **options: Any) -> Any:
    """The scan with those options of reading that were given; what this installation cannot read is said by name."""
    given = {name: value for name, value in options.items() if value is not None}
    if "kind" in given:
        given["kind"] = str(given["kind"]).replace("-", " ")
    if "links" in given:
        given["links"] = str(given["links"])
    for name in ("flats", "darks"):
        if name in given and (level := _number(given[name])) is not None:
            given[name] = level
    if "distances" in given:
        given["distances"] = distances(given["distances"])
    known = inspect.signature(read).parameters
    for name in given:
        if name not in known:
            raise ValueError(f"--{name.replace('_', '-')}: this version of varinv.read does not know it")
    found = read(scan, **given)
    if not hasattr(found, "sinogram"):
        raise ValueError(f"{scan}: is an image that varinv has written, no scan")
    return found


def _number(text: str) -> float | None:
    try:
        return float(text) if not Path(text).exists() else None
    except ValueError:
        return None


def distances(text: str) -> tuple[float, float]:
    """Source to axis and axis to detector from "R,D"."""
    try:
        first, second = (float(part) for part in text.split(","))
        if not (0 < first < math.inf and 0 <= second < math.inf):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"--distances: must be two lengths R,D (source to axis, axis to detector), such as 400,100; got {text!r}"
        ) from None
    return first, second


def writable(path: Path, suffixes: tuple[str, ...], *inputs: Any, option: str = "-o", beside: bool = True) -> None:
    """Complain about the output before the work is done, not after; never replace what is read."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: the file name must end in {', '.join(suffixes)}")
    if path.is_dir() and path.suffix.lower() != ".zarr":
        raise ValueError(f"{option} {path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{option} {path}: no permission to write there")
    for source in (Path(given) for given in inputs if isinstance(given, (str, os.PathLike))):
        for out in (path, path.with_suffix(".png")) if beside else (path,):
            if source.exists() and out.exists() and out.samefile(source):
                raise ValueError(f"{option} {path}: would replace the input {source}; name another file")
        if source.is_dir() and path.parent.samefile(source):
            raise ValueError(f"{option} {path}: lies in the folder of the scan; write elsewhere")


def weight_of(text: str) -> float | None:
    """The relative weight; None for 'auto'."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--weight: must be 'auto' or a number, got {text!r}") from None


def slice_of(option: str, text: str) -> slice:
    """START:STOP:STEP as a slice; a single number is that one entry."""
    try:
        numbers = [int(part) if part.strip() else None for part in text.split(":")]
        if len(numbers) == 1 and numbers[0] is not None:
            return slice(numbers[0], numbers[0] + 1 or None)
        if not 2 <= len(numbers) <= 3 or numbers[2:] == [0]:
            raise ValueError
        return slice(*numbers)
    except ValueError:
        raise ValueError(f"{option}: must be START:STOP or START:STOP:STEP in whole numbers, got {text!r}") from None


def rows_of(text: str, count: int) -> range:
    """The rows that are meant, of `count`."""
    if text == "middle":
        return range(count // 2, count // 2 + 1)
    chosen = range(*slice_of("--rows", ":" if text == "all" else text).indices(count))
    if not chosen or chosen.step < 0:
        raise ValueError(f"--rows {text}: selects none of {count} rows, or runs backwards")
    return chosen


def selected(scan: Any, views: str, columns: str, bins: int, flip: bool, reverse: bool) -> Any:
    """The scan with these views and columns."""
    if columns != ":":
        a, b, step = slice_of("--columns", columns).indices(scan.shape[2])
        if step != 1 or b <= a:
            raise ValueError(f"--columns {columns}: must be A:B with A < B, within {scan.shape[2]} columns")
        scan = scan.crop(a, b)
    scan = scan.bin(bins) if bins > 1 else scan
    scan = scan.flip() if flip else scan
    scan = scan.reverse() if reverse else scan
    return scan.views(slice_of("--views", views)) if views != "::" else scan


AIR = 0.05  # of the strongest line integral: what is more than this at an end of the columns is no air


def margin(scan: Any, columns: str, row: int) -> int:
    """Pixels of room on each side where the chosen columns cut the object off, after a warning; else 0."""
    if columns == ":":
        return 0
    y = scan.sinogram(row)
    width = max(1, min(5, y.shape[1] // 8))
    ends = [float(np.median(end)) for end in (y[:, :width], y[:, -width:])]
    strongest = float(np.percentile(y, 99.5))
    if strongest <= 0 or max(ends) <= AIR * strongest:
        return 0
    full = scan.raw.frames.shape[2] // scan.window[2]
    room: int = max(0, math.ceil((full - y.shape[1]) / 2))
    warnings.warn(
        f"--columns {columns} cuts the object off (at its ends the line integrals are "
        f"{100 * max(ends) / strongest:.0f} % of the strongest): {room} pixels on each side make room for what lies "
        "outside; grey values near the rim are less sure",
        stacklevel=2,
    )
    return room


# --------------------------------------------------------------------------------------------------- words in messages

_WORDS = (
    "angles flats darks axis kind distances dataset links air stripes weight counts gap iterations size prior solver"
)
NAMES = {name: f"--{name}" for name in _WORDS.split()}
NAMES |= {"pixel_size": "--pixel-size", "angles_dataset": "--angles-dataset"}
_ANY = "|".join(sorted(NAMES, key=len, reverse=True))
_CALLS = re.compile(r"(\b[A-Z]\w*\((?:[^()]|\([^()]*\))*\))")  # how an object prints itself is left as it is


def as_options(text: str) -> str:
    """A message of the library with the options of the command line in place of its keywords.

    >>> as_options("x.h5: the file states no angles; pass angles= to read")
    'x.h5: the file states no angles; pass --angles'
    >>> as_options("x.npy: counts without flats; pass flats=, or use using(air=True)")
    'x.npy: counts without flats; pass --flats, or use --air'
    """
    reading = text.startswith("read:") or "to read" in text or "vi.read" in text

    def name(found: str) -> str:
        return "--pitch" if found == "pixel_size" and reading else NAMES[found]

    def value(found: re.Match[str]) -> str:
        given = found[2].strip("\"'")
        return name(found[1]) + ("" if given in ("True", "…", "...") else f" {given}")

    text = "".join(part if k % 2 else _worded(part, name, value) for k, part in enumerate(_CALLS.split(text)))
    text = re.sub(rf"^(?:read|reconstruct|using): ({_ANY})\b", lambda found: name(found[1]), text)
    text = re.sub(r"^(?:read|reconstruct): ", "", text)
    return re.sub(r"(--[\w-]+(?: (?:\([^()]*\)|\S+))?) to (?:vi\.)?read\b(?:\(…\))?", r"\1", text)


def _worded(text: str, name: Callable[[str], str], value: Callable[[re.Match[str]], str]) -> str:
    text = re.sub(rf"\b(?:scan)?\.?using\(({_ANY})=([^()]*)\)", value, text)
    text = re.sub(rf"(?<![\w.])({_ANY})=(\([^()]*\)|\"[^\"]*\"|'[^']*'|[^\s,;:)=]*[^\s,;:.)=])", value, text)
    return re.sub(rf"(?<![\w.])({_ANY})=(?=[\s,;.)]|$)", lambda found: name(found[1]), text)


def repeated() -> str:
    """The command that repeats this run."""
    return shlex.join(["varinv", *sys.argv[1:]])
