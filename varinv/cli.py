"""The command line: varinv info, varinv check, varinv reconstruct, varinv demo, varinv warm."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from varinv import __version__
from varinv.progress import Line
from varinv.scan import read
from varinv.tomography.job import Settings, run

app = typer.Typer(
    help="Variational reconstruction of tomographic scans: a raw scan goes in, a certified image comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would turn `A:B:STEP` into an emoji
    context_settings={"help_option_names": ["-h", "--help"]},
)
SUFFIXES = (".h5", ".hdf5", ".tif", ".tiff")


class Part(StrEnum):
    """What is compiled ahead."""

    tomography = "tomography"
    all = "all"


class Prior(StrEnum):
    """What is known about the image."""

    tv = "tv"
    none = "none"


ScanPath = Annotated[Path, Argument(metavar="SCAN", help="Scan file, or folder of TIFF frames.")]
Angles = Annotated[Path | None, Option(help="File of angles, one a view (text or .npy).")]
Flats = Annotated[Path | None, Option(help="Flat fields: .npy, TIFF file or folder.")]
Darks = Annotated[Path | None, Option(help="Dark fields: .npy, TIFF file or folder.")]
Axis = Annotated[float | None, Option(help="Column of the file, from 0, of the rotation axis; default: found.")]
Pitch = Annotated[float | None, Option(help="Distance of detector columns, on the detector itself.")]
Air = Annotated[bool, Option("--air", help="Subtract the level of air in each view.")]
Output = Annotated[Path, Option("-o", "--output", help="Image: .h5, .hdf5, .tif or .tiff; a .png is put beside it.")]
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
PriorName = Annotated[Prior, Option(help="tv: total variation; none: filtered back-projection.")]
Weight = Annotated[str, Option(help="Relative weight of the prior, or 'auto': the best on held-out views.")]
Counts = Annotated[bool, Option("--counts", help="Weight measurements by their counts.")]
Gap = Annotated[
    float, Option(help="Stop at this certified relative gap, or ten times it with a residual of a tenth of it.")
]
Iterations = Annotated[int, Option(min=1, help="Stop after so many iterations at the latest.")]
Debug = Annotated[bool, Option("--debug", help="Show the traceback of an error.")]


def main() -> None:
    """Entry point of the `varinv` command."""
    app()


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"varinv {__version__}")
        raise typer.Exit


@app.command()
def info(
    scan: ScanPath,
    angles: Angles = None,
    flats: Flats = None,
    darks: Darks = None,
    axis: Axis = None,
    pitch: Pitch = None,
    air: Air = False,
    debug: Debug = False,
) -> None:
    """Print what is in a scan: frames, angles, geometry, rotation axis, transmission, repairs."""
    with guarded(debug):
        found = read(scan, angles=angles, flats=flats, darks=darks, axis=axis, pixel_size=pitch).using(air=air)
        with Line("reading") as line:
            line.show("frames")
            middle = found.shape[1] // 2
            y, valid = found.sinogram(middle), found.valid(middle)
            if found.raw.angles is not None:
                line.show("rotation axis")
                _ = found.axis  # estimates it, so that the report has it
        low, high = float(y.min()), float(y.max())
        print(found)
        if found.raw.counts:
            print(f"row {middle}: transmission {math.exp(-high):.4g} to {math.exp(-low):.4g}")
        print(f"row {middle}: line integrals {low:.4g} to {high:.4g}, {100 * float(valid.mean()):.2f} % measured")


@app.command()
def check(
    scan: ScanPath,
    angles: Angles = None,
    flats: Flats = None,
    darks: Darks = None,
    axis: Axis = None,
    pitch: Pitch = None,
    air: Air = False,
    row: Annotated[int | None, Option(min=0, help="Detector row to look at; default: the middle one.")] = None,
    debug: Debug = False,
) -> None:
    """Is this the problem that you have?  Print a table of consistency tests; exit code 1 if one is doubtful."""
    with guarded(debug):
        found = read(scan, angles=angles, flats=flats, darks=darks, axis=axis, pixel_size=pitch).using(air=air)
        with Line("checking") as line:
            line.show(f"row {found.shape[1] // 2 if row is None else row}")
            table = found.check(row)
        print(table)
        if table.doubtful:
            raise typer.Exit(1)


@app.command()
def reconstruct(
    scan: ScanPath,
    output: Output,
    angles: Angles = None,
    flats: Flats = None,
    darks: Darks = None,
    axis: Axis = None,
    pitch: Pitch = None,
    views: Views = "::",
    columns: Columns = ":",
    bins: Bin = 1,
    rows: Rows = "middle",
    volume: Volume = False,
    size: Size = None,
    pixel_size: Pixel = None,
    flip: Flip = False,
    reverse: Reverse = False,
    air: Air = False,
    stripes: Stripes = 0,
    prior: PriorName = Prior.tv,
    weight: Weight = "auto",
    counts: Counts = False,
    gap: Gap = 1e-3,
    iterations: Iterations = 2000,
    debug: Debug = False,
) -> None:
    """Reconstruct a scan and say why the solver stopped.

    An existing output file is replaced in one go.  Ctrl-C ends the run with the last iterate: complete files, exit
    code 130.
    """
    with guarded(debug):
        _writable(output, scan, angles, flats, darks)
        if prior is Prior.none and (weight != "auto" or counts):
            raise ValueError("--weight and --counts have no meaning with --prior none, which has no objective")
        settings = Settings(prior.value, _weight(weight), size, pixel_size, counts, volume, gap, iterations)
        found = read(scan, angles=angles, flats=flats, darks=darks, axis=axis, pixel_size=pitch)
        found = _selected(found, views, columns, bins, flip, reverse).using(air=air, stripes=stripes)
        chosen = _rows(rows, found.shape[1])
        with Line("reconstructing") as line:
            outcome = run(found, chosen, settings, line)
        written = outcome.save(output, found)
        print("\n".join(outcome.report(found)))
        print(f"written     {', '.join(map(str, written))}")
        if outcome.interrupted:
            raise typer.Exit(130)


@app.command()
def demo(
    name: Annotated[str, Argument(metavar="[NAME]", help="Which demonstration: tv.")] = "tv",
    out: Annotated[Path, Option("--out", "-o", help="Folder for image and pictures.")] = Path("output"),
    every: Annotated[int, Option(min=1, help="Use every so many views of the embedded scan.")] = 6,
    debug: Debug = False,
) -> None:
    """Run the main job on the embedded scan and compare with the truth it was simulated from."""
    with guarded(debug):
        from varinv.tomography.demonstration import demonstrate

        demonstrate(name, out, every, print)


@app.command()
def warm(
    what: Annotated[Part, Option("--for", help="tomography: from a scan to an image; all.")] = Part.all,
    debug: Debug = False,
) -> None:
    """Compile ahead what varinv would compile at its first use on this machine; a second run is done at once."""
    with guarded(debug), Line("compiling", delay=0.0) as line:
        from varinv.first_use import LOG
        from varinv.warming import warm as compile_ahead

        LOG.setLevel(logging.WARNING)  # the line says it
        done = compile_ahead(what.value, say=line.show)
    print(f"ready       {done.ready} kernels, a kernel for each dtype")
    print(f"compiled    {done.compiled} of them in {done.seconds:.1f} s; the others were on disk")


# ------------------------------------------------------------------------------------------------------------- errors


@contextmanager
def guarded(debug: bool) -> Iterator[None]:
    """Errors about input become one message and exit code 2, warnings one line each, Ctrl-C exit code 130."""
    log, spoken = logging.getLogger("varinv"), logging.StreamHandler()
    before = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _warned
        log.addHandler(spoken)
        log.setLevel(before or logging.INFO)
        try:
            yield
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if debug:
                raise
            _fail(str(error))
        except KeyboardInterrupt:
            typer.secho("interrupted before there was an image; nothing was written", fg="yellow", err=True)
            raise typer.Exit(130) from None
        finally:
            log.removeHandler(spoken)
            log.setLevel(before)


def _warned(message: Warning | str, *rest: Any, **named: Any) -> None:
    typer.secho(f"warning: {message}", fg="yellow", err=True)


def _fail(message: str) -> NoReturn:
    typer.secho(f"error: {message}", fg="red", err=True)
    raise typer.Exit(2)


# ------------------------------------------------------------------------------------------------------------ options


def _writable(path: Path, *inputs: Any) -> None:
    """Complain about the output before the work is done, not after; never replace what is read."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"-o {path}: the file name must end in {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise ValueError(f"-o {path}: is a folder; name a file")
    if not path.parent.is_dir():
        raise ValueError(f"-o {path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"-o {path}: no permission to write there")
    for source in (Path(given) for given in inputs if isinstance(given, (str, os.PathLike))):
        for out in (path, path.with_suffix(".png")):
            if source.exists() and out.exists() and out.samefile(source):
                raise ValueError(f"-o {path}: would replace the input {source}; name another file")
        if source.is_dir() and path.parent.samefile(source):
            raise ValueError(f"-o {path}: lies in the folder of the scan; write elsewhere")


def _weight(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--weight: must be 'auto' or a number, got {text!r}") from None


def _slice(option: str, text: str) -> slice:
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


def _rows(text: str, count: int) -> range:
    if text == "middle":
        return range(count // 2, count // 2 + 1)
    chosen = range(*_slice("--rows", ":" if text == "all" else text).indices(count))
    if not chosen or chosen.step < 0:
        raise ValueError(f"--rows {text}: selects none of {count} rows, or runs backwards")
    return chosen


def _selected(scan: Any, views: str, columns: str, bins: int, flip: bool, reverse: bool) -> Any:
    if columns != ":":
        a, b, step = _slice("--columns", columns).indices(scan.shape[2])
        if step != 1 or b <= a:
            raise ValueError(f"--columns {columns}: must be A:B with A < B, within {scan.shape[2]} columns")
        scan = scan.crop(a, b)
    scan = scan.bin(bins) if bins > 1 else scan
    scan = scan.flip() if flip else scan
    scan = scan.reverse() if reverse else scan
    return scan.views(_slice("--views", views)) if views != "::" else scan


if __name__ == "__main__":
    main()
