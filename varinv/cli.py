"""The command line: varinv info, varinv check, varinv reconstruct, varinv preview, varinv demo, varinv warm."""

from __future__ import annotations

import logging
import math
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer import Argument, Option

from varinv import __version__, first_use, interrupts
from varinv import cli_options as o
from varinv.cli_reading import Source, reads
from varinv.image_files import SUFFIXES
from varinv.interrupts import INTERRUPTS
from varinv.progress import Advance, Line
from varinv.scan import checks
from varinv.tomography.job import run
from varinv.tomography.settings import Settings

app = typer.Typer(
    help="Variational reconstruction of tomographic scans: a raw scan goes in, a certified image comes out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would turn `A:B:STEP` into an emoji
    context_settings={"help_option_names": ["-h", "--help"]},
)
PARTLY = 3  # exit code: the files are complete, but rows are missing in them


def main() -> None:
    """Entry point of the `varinv` command."""
    interrupts.entry(lambda: app)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"varinv {__version__}")
        raise typer.Exit


@app.command()
@reads
def info(
    source: Source,
    air: o.Air = False,
    debug: o.Debug = False,
) -> None:
    """Print what is in a scan: frames, angles, geometry, rotation axis, transmission, repairs."""
    with guarded(debug):
        found = source.opened().using(air=air)
        with Progress("reading") as line:
            line.show("frames")
            middle = found.shape[1] // 2
            y, valid = found.sinogram(middle), found.valid(middle)
            if found.raw.angles is not None:
                line.show("rotation axis")
                _ = found.axis  # estimates it, so that the report has it
        low, high = float(y.min()) + 0.0, float(y.max()) + 0.0  # no -0
        print(found)
        if found.raw.counts:
            print(f"row {middle}: transmission {math.exp(-high):.4g} to {math.exp(-low):.4g}")
        print(f"row {middle}: line integrals {low:.4g} to {high:.4g}, {100 * float(valid.mean()):.2f} % measured")


@app.command()
@reads
def check(
    source: Source,
    air: o.Air = False,
    row: Annotated[int | None, Option(min=0, help="Detector row to look at; default: the middle one.")] = None,
    debug: o.Debug = False,
) -> None:
    """Is this the problem that you have?  Print a table of consistency tests; exit code 1 if one is doubtful."""
    with guarded(debug):
        found = source.opened().using(air=air)
        with Progress("checking") as line:
            line.show(f"row {found.shape[1] // 2 if row is None else row}")
            table = found.check(row)
        print(table)
        if table.doubtful:
            raise typer.Exit(1)


@app.command()
@reads
def reconstruct(
    source: Source,
    output: o.Output,
    views: o.Views = "::",
    columns: o.Columns = ":",
    bins: o.Bin = 1,
    rows: o.Rows = "middle",
    volume: o.Volume = False,
    size: o.Size = None,
    pixel_size: o.Pixel = None,
    flip: o.Flip = False,
    reverse: o.Reverse = False,
    air: o.Air = False,
    stripes: o.Stripes = 0,
    prior: o.PriorName = o.TV,
    solver: o.SolverName = o.AUTO,
    weight: o.Weight = "auto",
    counts: o.Counts = False,
    gap: o.Gap = 1e-3,
    iterations: o.Iterations = None,
    report: o.Report = None,
    debug: o.Debug = False,
) -> None:
    """Reconstruct a scan and say why the solver stopped.

    An existing output file is replaced in one go.  Ctrl-C ends the run with the last iterate: complete files, exit
    code 130.  Rows that cannot be reconstructed are named, the others are kept: exit code 3.
    """
    with guarded(debug):
        o.writable(output, SUFFIXES, *source.files)
        if report is not None:
            o.writable(report, (".html", ".htm"), *source.files, output, option="--report", beside=False)
        if str(prior) == "none" and (weight != "auto" or (counts and str(solver) in ("auto", "fbp"))):
            raise ValueError("--weight and --counts have no meaning with --prior none, which has no objective")
        asked: dict[str, Any] = {
            "prior": str(prior),
            "solver": str(solver),
            "weight": o.weight_of(weight),
            "counts": counts,
        }
        asked |= {"size": size, "pixel_size": pixel_size, "volume": volume, "gap": gap, "iterations": iterations}
        Settings(**asked)  # complains before anything is read
        found = source.opened()
        found = o.selected(found, views, columns, bins, flip, reverse).using(air=air, stripes=stripes)
        chosen = o.rows_of(rows, found.shape[1])
        with Progress("reconstructing") as line:
            doubts = _doubts(found, line)
            room = o.margin(found, columns, chosen[len(chosen) // 2])
            outcome = run(found, chosen, Settings(**asked, margin=room), line, doubts).with_command(o.repeated())
        with INTERRUPTS.held(quietly=True):  # files that are begun are finished
            written = _kept(outcome, output, found)
            if report is not None:
                written.append(outcome.page(report, found))
        print("\n".join(outcome.report(found)))
        print(f"written     {', '.join(map(str, written))}")
        for row, why in outcome.failures.items():
            typer.secho(f"error: row {row} failed: {o.as_options(why)}", fg="red", err=True)
        if outcome.interrupted:
            raise typer.Exit(130)
        if outcome.failures:
            typer.secho(f"{len(outcome.failures)} of {len(outcome.rows)} rows have no image", fg="red", err=True)
            raise typer.Exit(PARTLY)


@app.command()
@reads
def preview(
    source: Source,
    output: Annotated[Path, Option("-o", "--output", help="The page to write, .html.")],
    views: o.Views = "::",
    columns: o.Columns = ":",
    bins: Annotated[
        int | None, Option("--bin", min=1, help="Columns to join; default: so many that 128 remain.")
    ] = None,
    row: Annotated[str, Option("--row", help="Detector row: a number, or 'middle'.")] = "middle",
    air: o.Air = False,
    stripes: o.Stripes = 0,
    prior: o.PriorName = o.TV,
    debug: o.Debug = False,
) -> None:
    """Write a page with a slider over the weights of the prior, from small images, before hours are spent."""
    with guarded(debug):
        o.writable(output, (".html", ".htm"), *source.files, beside=False)
        if str(prior) == "none":
            raise ValueError("--prior none has no weight to look at")
        found = source.opened()
        found = o.selected(found, views, columns, 1, False, False).using(air=air, stripes=stripes)
        (chosen,) = o.rows_of(row, found.shape[1]) or (0,)
        from varinv.tomography.preview import preview as make

        with Progress("preview") as line:
            doubts = _doubts(found, line)
            page = make(found, chosen, str(prior), bins, line, doubts, o.repeated())
        with INTERRUPTS.held(quietly=True):
            page.save(output)
        print("\n".join(page.words))
        print(f"written     {output}")


@app.command()
def demo(
    name: Annotated[str, Argument(metavar="[NAME]", help="Which demonstration: tv.")] = "tv",
    out: Annotated[Path, Option("--out", "-o", help="Folder for image and pictures.")] = Path("output"),
    every: Annotated[int, Option(min=1, help="Use every so many views of the embedded scan.")] = 6,
    debug: o.Debug = False,
) -> None:
    """Run the main job on the embedded scan and compare with the truth it was simulated from."""
    with guarded(debug):
        from varinv.tomography.demonstration import demonstrate

        demonstrate(name, out, every, print)


@app.command()
def warm(
    what: Annotated[o.Part, Option("--for", help="tomography: from a scan to an image; all.")] = o.Part.all,
    debug: o.Debug = False,
) -> None:
    """Compile ahead what varinv would compile at its first use on this machine; a second run is done at once."""
    with guarded(debug), Line("compiling", delay=0.0) as line:
        from varinv.warming import warm as compile_ahead

        first_use.LOG.setLevel(logging.WARNING)  # the line says it
        done = compile_ahead(what.value, say=line.show)
    print(f"ready       {done.ready} kernels, a kernel for each dtype")
    print(f"compiled    {done.compiled} of them in {done.seconds:.1f} s; the others were on disk")


# ------------------------------------------------------------------------------------------------- errors and progress


class Progress(Line):
    """The progress line; it hears a Ctrl-C that a callback has swallowed."""

    def show(self, words: str, done: float | None = None) -> None:
        INTERRUPTS.again()
        super().show(words, done)

    def advance(self, rule: Any = None, prefix: str = "", done: tuple[float, float] = (0.0, 1.0)) -> Advance:
        drawn = super().advance(rule, prefix, done)

        def show(k: int, readings: Any) -> None:
            INTERRUPTS.again()
            drawn(k, readings)

        return show


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
        first_use.AROUND.append(INTERRUPTS.held)  # a kernel that is cut in two could not be compiled again
        try:
            yield
        except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
            if debug:
                raise
            _fail(o.as_options(str(error)))
        except KeyboardInterrupt:
            typer.secho("interrupted before there was an image; nothing was written", fg="yellow", err=True)
            raise typer.Exit(130) from None
        finally:
            first_use.AROUND.remove(INTERRUPTS.held)
            log.removeHandler(spoken)
            log.setLevel(before)


def _kept(outcome: Any, output: Path, scan: Any) -> list[Path]:
    """Write the image; where that fails put it into the folder for temporary files: hours of work are in it."""
    try:
        done: list[Path] = outcome.save(output, scan)
    except OSError as error:
        refuge = Path(tempfile.gettempdir()) / f"varinv-{secrets.token_hex(4)}-{output.name}"
        try:
            outcome.save(refuge, scan)
        except OSError:
            raise error from None
        raise OSError(f"{error}; the image was written to {refuge} instead") from None
    return done


def _doubts(scan: Any, line: Line) -> tuple[str, ...]:
    """What is doubtful about the scan, said before the work begins."""
    line.show("checking the scan")
    found = tuple(checks.doubts(scan))
    for text in found:
        typer.secho(f"doubt: {o.as_options(text)}", fg="yellow", err=True)
    return found


def _warned(message: Warning | str, *rest: Any, **named: Any) -> None:
    typer.secho(f"warning: {o.as_options(str(message))}", fg="yellow", err=True)


def _fail(message: str) -> NoReturn:
    typer.secho(f"error: {message}", fg="red", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    main()
