"""`varinv preview`: small images at eight weights or more on one page, before hours are spent on the large one."""

from __future__ import annotations

import math
from typing import Any

from varinv import page
from varinv.backend import to_numpy
from varinv.operators.radon import Radon
from varinv.progress import Line
from varinv.tomography import reconstruct as parts
from varinv.tomography.outcome import residuals

SIDE = 128  # columns that remain after joining
VIEWS = 240  # at most so many views are used


def preview(
    scan: Any,
    row: int,
    prior: str,
    bins: int | None,
    line: Line,
    checks: tuple[str, ...] | None = None,
    command: str = "",
) -> page.Page:
    """A page with a slider over the weights that `choose_weight` tries, and the residual of each on held-out views.

    Parameters
    ----------
    scan, row : what to look at; columns are joined until at most 128 are left, and at most 240 views are used.
    prior : see varinv.tomography.settings.
    bins : columns to join; None: so many that at most 128 are left.

    Raises
    ------
    ScanError, ValueError
        As `varinv.tomography.job.run`; fewer than ten views.
    """
    joined = math.ceil(scan.shape[2] / SIDE) if bins is None else bins
    every = math.ceil(scan.shape[0] / VIEWS)
    small = scan.bin(joined) if joined > 1 else scan
    small = small.views(slice(None, None, every)) if every > 1 else small
    line.show("reading")
    y, valid = small.sinogram(row), small.valid(row)
    n, pixel = parts.grid(small.geometry)
    A = Radon((n, n), small.geometry, pixel)
    unit = parts.unit_weight(A, y)
    kept: dict[float, Any] = {}
    weight = 1.0 if valid.all() else valid.astype(y.dtype)
    choice = parts.choose_weight(
        A, y, unit, weight, line=line, prior=prior, keep=lambda w, x: kept.__setitem__(w, to_numpy(x).copy())
    )
    best = kept[choice.weight]
    length = scan.unit
    shown, span = page.limits(best), page.extent(best)
    weights: list[dict[str, Any]] = []
    for w, residual in choice.table:
        png, range_ = page.coded(kept[w])
        words = f"weight {w:.3g}, held-out residual {residual:.4g}{' (least)' if w == choice.weight else ''}"
        weights.append({"png": png, "range": range_, "label": f"{w:.3g}, residual {residual:.4g}", "alt": words})
    chosen = [w for w, _ in choice.table].index(choice.weight)
    image = page.picture(best, (pixel, pixel), length, _caption(n, pixel, length), weights[chosen]["alt"])
    views, _, detectors = small.shape
    words = f"row {row}: detector to the right ({detectors} bins), views down ({views}); line integrals"
    return page.Page(
        title=f"Preview of {scan.raw.path.name}, row {row}",
        under=f"{views} views, {joined} columns a bin, prior {prior}; every fifth view is held out",
        heading="Image at each weight",
        images=[{**image, "png": weights[chosen]["png"], "range": weights[chosen]["range"], "shown": shown}],
        extent=span,
        limits=shown,
        value_unit=f"1/{length}",
        checks=checks,
        data=page.picture(y, (1, 1), "bin", words, f"sinogram of {words}", title="Sinogram", stretch=True),
        facts=_facts(scan, small, choice, prior),
        command=command,
        weights=weights,
        chosen=chosen,
        curve=residuals(choice, "the image shown"),
        words=["weight      held-out residual", *(f"            {text}" for text in choice.report())],
    )


def _caption(n: int, pixel: float, unit: str) -> str:
    return f"{n} × {n} pixels of {pixel:.4g} {unit}; x right, y up (row 0 on top)"


def _facts(scan: Any, small: Any, choice: parts.Choice, prior: str) -> list[tuple[str, str]]:
    return [
        ("scan", "\n".join(str(scan).splitlines())),
        ("geometry", str(small.geometry)),
        ("weight", f"{choice.weight:.4g} has the least residual: varinv reconstruct … --weight {choice.weight:.4g}"),
        ("method", f"prior {prior}, 120 iterations a weight from the heaviest to the lightest, four of five views"),
    ]
