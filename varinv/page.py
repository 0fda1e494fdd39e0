"""A page to look at: an image or three planes of a volume, its data, checks, convergence and settings, in one file.

Nothing is loaded from elsewhere: images are PNG inside the page, and its policy forbids the network.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from varinv.backend import to_numpy
from varinv.files import replaced
from varinv.image_files import plain

TEMPLATE = Path(__file__).with_name("page.html")
SIDE = 1024  # pixels: larger images are averaged down for the page
RELATIVE = ("gap", "residual", "change")


@dataclass
class Page:
    """What a page shows.

    images : from `picture` or `planes`; extent, limits : of all grey values, and those that are black and white.
    checks : doubts about the scan; None: nothing was checked.
    weights : one image a weight, for the slider; curve : their residuals.
    words : lines for the terminal.
    """

    title: str
    under: str = ""
    heading: str = "Image"
    images: list[dict[str, Any]] = field(default_factory=list)
    extent: tuple[float, float] = (0.0, 1.0)
    limits: tuple[float, float] = (0.0, 1.0)
    value_unit: str = ""
    checks: Sequence[str] | None = None
    charts: list[dict[str, Any]] = field(default_factory=list)
    charted: str = "Convergence and proof"
    data: dict[str, Any] | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    command: str = ""
    weights: list[dict[str, Any]] | None = None
    chosen: int = 0
    curve: dict[str, Any] | None = None
    words: list[str] = field(default_factory=list)

    def html(self) -> str:
        """The page as text."""
        entries = {name: value for name, value in vars(self).items() if name != "words"}
        text = json.dumps(plain(entries), ensure_ascii=True)
        for sign in "<>&":  # a name of a file must not end the script
            text = text.replace(sign, f"\\u{ord(sign):04x}")
        return TEMPLATE.read_text(encoding="utf-8").replace("@DATA@", text)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all; ValueError for a name that does not end in .html."""
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"report: the file name must end in .html, got {path.name!r}")
        text = self.html()
        with replaced(path) as part:
            part.write_text(text, encoding="utf-8")
        return path


# ------------------------------------------------------------------------------------------------------------ pictures


def limits(x: Any) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles of the finite values."""
    finite = x[np.isfinite(x)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    return (low, high) if high > low else extent(x)


def extent(x: Any) -> tuple[float, float]:
    """The least and the largest finite value, apart in any case."""
    finite = x[np.isfinite(x)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0))


def coded(x: Any) -> tuple[str, tuple[float, float]]:
    """An image as base64 of a PNG whose red and green hold 16 bits a pixel, and the values of 0 and 65534.

    65535 stands for what is no number.
    """
    from PIL import Image

    low, high = extent(x)
    values = np.clip(
        np.round((np.nan_to_num(x, nan=low, posinf=high, neginf=low) - low) / (high - low) * 65534), 0, 65534
    )
    values = np.where(np.isfinite(x), values, 65535).astype(np.uint16)
    rgb = np.stack([values >> 8, values & 255, np.zeros_like(values)], axis=-1).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode(), (low, high)


def picture(x: Any, pixel: Sequence[float], unit: str, caption: str, alt: str, **more: Any) -> dict[str, Any]:
    """One image of a page, row 0 at the top; sides above SIDE are averaged down, which the caption says."""
    x, pixel = np.asarray(x, np.float64), list(pixel)
    for axis in (0, 1):
        if (k := math.ceil(x.shape[axis] / SIDE)) > 1:
            n = x.shape[axis] // k
            shape = (n, k, x.shape[1]) if axis == 0 else (x.shape[0], n, k)
            x = x.take(range(n * k), axis).reshape(shape).mean(axis + 1)
            pixel[axis] *= k
            caption += f"; {k} pixels averaged along {('rows', 'columns')[axis]} for this page"
    caption += "" if np.isfinite(x).all() else "; violet: no image"
    png, span = coded(x)
    rows, columns = x.shape
    seen = {"png": png, "range": span, "rows": rows, "columns": columns, "shown": limits(x)}
    return {**seen, "pixel": pixel, "unit": unit, "caption": caption, "alt": alt, "stretch": False, **more}


def planes(x: Any, sizes: Sequence[float], unit: str, what: str) -> list[dict[str, Any]]:
    """The image, or three planes through the middle of a volume (slices, rows, columns)."""
    if x.ndim == 2:
        side = " × ".join(f"{n}" for n in x.shape)
        return [
            picture(
                x, sizes, unit, f"{what}: {side} pixels of {sizes[-1]:.4g} {unit}; x right, y up (row 0 on top)", what
            )
        ]
    whole = [k for k in range(x.shape[0]) if np.isfinite(x[k]).any()] or [0]
    z = min(whole, key=lambda k: abs(k - x.shape[0] // 2))
    y, c = x.shape[1] // 2, x.shape[2] // 2
    found = [picture(x[z], sizes[1:], unit, f"{what}, slice {z}: x right, y up (row 0 on top)", f"{what}, slice {z}")]
    if x.shape[0] > 1:
        words = f"{what}, row {y} of all slices: x to the right, slices down"
        found.append(picture(x[:, y], (sizes[0], sizes[2]), unit, words, f"{what}, plane x and z"))
        words = f"{what}, column {c} of all slices: rows to the right, slices down"
        found.append(picture(x[:, :, c], (sizes[0], sizes[1]), unit, words, f"{what}, plane y and z"))
    return found


# -------------------------------------------------------------------------------------------------------------- charts


def course(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Charts of what a history has: gap and residual, objective and its proved lower bound."""
    found = []
    names = [n for n in RELATIVE if any(n in row for row in history)]
    names = [n for n in names if n != "change"] or names
    if series := _series(history, names[:2], positive=True):
        words = "How far from the optimum: the proved relative gap, the residual of the optimality conditions"
        words = words if names != ["change"] else "Relative change of the image"
        found.append(chart(series, "iteration", words, logy=True))
    if series := _series([row for row in history if row["k"]], ["objective", "lower_bound"], positive=True):
        found.append(chart(series, "iteration", "Objective, and what no image can be below (proved)", logy=True))
    return found


def _series(history: Sequence[dict[str, Any]], names: Sequence[str], positive: bool = False) -> list[dict[str, Any]]:
    found = []
    for name in names:
        points = [(row["k"], float(row[name])) for row in history if isinstance(row.get(name), (int, float))]
        points = [(k, v) for k, v in points if math.isfinite(v) and (v > 0 or not positive)]
        if len(points) > 300:  # more than a screen shows
            points = points[:: math.ceil(len(points) / 300)] + points[-1:]
        if len(points) > 1:
            found.append({"name": name.replace("_", " "), "points": points})
    return found


def chart(series: list[dict[str, Any]], x: str, caption: str, logx: bool = False, logy: bool = False,
          mark: int | None = None) -> dict[str, Any]:  # fmt: skip
    """One chart; `mark` rings a point of the first series."""
    ends = "; ".join(f"{s['name']} from {s['points'][0][1]:.3g} to {s['points'][-1][1]:.3g}" for s in series)
    shape = {"logx": logx, "logy": logy, "mark": mark}
    return {"series": series, "x": x, "caption": caption, "alt": f"{caption}: {ends}", **shape}


def of_result(result: Any, metadata: dict[str, Any]) -> Page:
    """The page of a result of `solve`; `metadata` may hold pixel_size, unit, value_unit, title, checks, command."""
    from varinv.image_files import scale_of

    x = to_numpy(result.x)
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3):
        raise ValueError(f"report: a page shows real images of two or three axes, got {x.dtype} of shape {x.shape}")
    sizes, unit = scale_of(metadata, x.ndim)
    lines = [line.split(maxsplit=1) for line in result.summary().splitlines()]
    facts = [(name, " ".join(rest)) for name, *rest in (line for line in lines if line)]
    facts += [
        (k, str(v)) for k, v in metadata.items() if isinstance(v, (str, int, float)) and k not in ("command", "title")
    ]
    return Page(
        title=str(metadata.get("title", "Reconstruction")),
        under=f"stopped: {result.why}",
        images=planes(x, sizes, unit, "image"),
        extent=extent(x),
        limits=limits(x),
        value_unit=str(metadata.get("value_unit", "")),
        checks=metadata.get("checks"),
        charts=course(result.history),
        data=_data(result),
        facts=facts,
        command=str(metadata.get("command", "")),
    )


def _data(result: Any) -> dict[str, Any] | None:
    data = getattr(result.problem, "data", lambda: None)()
    values = None if data is None else to_numpy(data)
    if values is None or values.ndim != 2 or values.dtype.kind not in "biuf":
        return None
    rows, columns = values.shape
    words = f"The data of the problem, {rows} × {columns}"
    return picture(values, (1, 1), "pixel", words, words, title="Data", stretch=True)
