"""`varinv demo`: the main job on the scan that comes with varinv, measured against the truth it was simulated from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from varinv import plot
from varinv.metrics import psnr
from varinv.operators.fbp import fbp
from varinv.progress import Line
from varinv.scan import demo, read
from varinv.tomography.job import run
from varinv.tomography.outcome import Outcome
from varinv.tomography.settings import Settings

NAMES = ("tv",)


class Demonstrated(NamedTuple):
    """What `varinv demo` found: figures to hold it to."""

    outcome: Outcome
    axis_error: float
    psnr_fbp: float
    psnr_tv: float
    files: list[Path]


def demonstrate(name: str, folder: Path, every: int, say: Callable[[str], Any]) -> Demonstrated:
    """Read, find the axis, reconstruct every `every`-th view with a weight chosen on held-out views, compare, write.

    Writes reconstruction.h5, reconstruction.png (image and convergence) and comparison.png to `folder`.
    Raises ValueError for an unknown name or fewer than ten views.
    """
    if name not in NAMES:
        raise ValueError(f"demo: the demonstrations are {', '.join(NAMES)}, got {name!r}")
    folder.mkdir(parents=True, exist_ok=True)
    with Line("demo") as line:
        scan = read(demo.path())
        error = scan.axis - demo.AXIS  # found from all views, as on an instrument before views are left out
        few = scan.views(slice(None, None, every))
        row = few.shape[1] // 2
        outcome = run(few, range(row, row + 1), Settings(), line)
        truth = demo.truth(row)
        filtered = fbp(outcome.A, few.sinogram(row), "hann")
    quality = psnr(filtered, truth), psnr(outcome.x, truth)
    files = outcome.save(folder / "reconstruction.h5", few)
    images = {"truth": truth, f"FBP (Hann), {few.shape[0]} views": filtered, f"TV, {few.shape[0]} views": outcome.x}
    files.append(folder / "comparison.png")
    plot.compare(images, files[-1], truth=truth, unit=f"1/{few.unit}")
    for text in outcome.report(few):
        say(text)
    say(f"axis error  {error:+.2f} pixel (true axis {demo.AXIS})")
    say(f"PSNR        FBP {quality[0]:.2f} dB, TV {quality[1]:.2f} dB")
    say(f"written     {', '.join(map(str, files))}")
    return Demonstrated(outcome, error, *quality, files)
