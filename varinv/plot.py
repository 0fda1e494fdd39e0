"""Pictures of images and of convergence.  No window is opened, no global setting of matplotlib is read or changed."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np

from varinv.backend import Array, to_numpy
from varinv.files import replaced
from varinv.metrics import psnr

MADE = "varinv"  # what a .png says of its maker
FORMATS = (".png", ".pdf", ".svg", ".jpg", ".jpeg")
VALUES = ("objective", "lower_bound")
RELATIVE = ("gap", "residual", "change")  # numbers to be seen on a logarithmic axis
UNSEEN = ("k", "seconds", "memory")


def image(
    x: Array,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    unit: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Plot one image in grey with its colour bar, row 0 at the top.

    Parameters
    ----------
    x : (rows, columns) of any library, or (slices, rows, columns): the middle slice is shown and named.
    path : where to write it (.png, .pdf, .svg, .jpg); None: only the figure is returned.
    title : None: shape and dtype.
    unit : of the grey values, beside the colour bar.
    limits : the values that are black and white; None: the 0.1 and 99.9 percentiles.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        An array of another number of axes, complex, or without a finite value; an unknown suffix.
    """
    shown, note = _slice("image", x)
    words = title if title is not None else f"{'×'.join(map(str, x.shape))} {x.dtype}"
    height = min(max(shown.shape[0] / shown.shape[1], 0.3), 3.0)
    figure = _figure(6.0, 0.9 + 4.9 * height)
    _show(figure.add_subplot(), shown, limits or _limits(shown), words + note, unit)
    return _finish(figure, path)


def compare(
    images: Mapping[str, Array],
    path: str | os.PathLike[str] | None = None,
    *,
    truth: Array | None = None,
    unit: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Plot images side by side in the same grey scale; titles carry the PSNR where the truth is given.

    Parameters
    ----------
    images : title → image, left to right; the truth itself may be among them.
    truth : its range becomes the grey scale, its PSNR goes into the titles; None: percentiles of all images together.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As `image`; no images; images of another shape than the truth.
    """
    if not images:
        raise ValueError("compare: there must be at least one image")
    slices = {name: _slice("compare", x)[0] for name, x in images.items()}
    reference = None if truth is None else _slice("compare", truth)[0]
    if limits is None:
        limits = (
            _limits(np.concatenate([s.ravel() for s in slices.values()])) if reference is None else _range(reference)
        )
    shape = next(iter(slices.values())).shape
    height = min(max(shape[0] / shape[1], 0.3), 3.0)
    figure = _figure(0.9 + 3.4 * len(slices), 0.8 + 3.2 * height)
    axes = figure.subplots(1, len(slices), squeeze=False)[0]
    for ax, (name, shown) in zip(axes, slices.items(), strict=True):
        words = name
        if reference is not None:
            decibel = psnr(shown, reference)
            words += f"\nPSNR {decibel:.1f} dB" if math.isfinite(decibel) else "\n"
        drawn = _show(ax, shown, limits, words, None)
    _bar(figure, drawn, list(axes), slices.values(), limits, unit)
    return _finish(figure, path)


def result(
    result: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    truth: Array | None = None,
    unit: str | None = None,
    title: str | None = None,
) -> Any:
    """Plot the image of a result and, where its history has figures, their course over the iterations.

    Of a volume three planes through its middle are shown in one grey scale, each with its number.
    Beside an image: objective and certified lower bound, below them gap, residual or change on a logarithmic axis,
    below those what `observe` returned.  With `truth`: its range is the grey scale, and the PSNR is in the title.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        As `image`; a truth of another shape.
    """
    shown, note = _slice("result", result.x)
    limits = _limits(shown)
    if len(result.x.shape) == 3 and min(result.x.shape) > 1:
        return _finish(_planes(result, shown, limits, truth, unit, title), path)
    words = (title or "reconstruction") + note
    if truth is not None:
        reference = _slice("result", truth)[0]
        limits = _range(reference)
        words += f"\nPSNR {psnr(shown, reference):.1f} dB"
    right = [(title, courses) for title, courses in _courses(result.history).items() if courses]
    height = min(max(shown.shape[0] / shown.shape[1], 0.6), 2.5)
    figure = _figure(10.5 if right else 6.0, 0.9 + 4.9 * height)
    grid = figure.add_gridspec(max(len(right), 1), 2 if right else 1, width_ratios=[1.35, 1] if right else None)
    _show(figure.add_subplot(grid[:, 0]), shown, limits, words, unit)
    for k, (name, courses) in enumerate(right):
        _plot(figure.add_subplot(grid[k, 1]), courses, name)
    told = f"stopped: {result.why}; {result.state.k} iterations in {result.seconds:.3g} s"
    figure.suptitle(told, fontsize=9, color="0.35")
    return _finish(figure, path)


def _planes(result: Any, shown: Any, limits: tuple[float, float], truth: Any, unit: str | None, title: Any) -> Any:
    """Three orthogonal planes through the middle: a slice, and below it and beside it the planes of a row and a column.

    Voxels are drawn as squares, all three at one scale, so that edges meet.
    """
    x = to_numpy(result.x)
    slices, rows, cols = x.shape
    words = title or "reconstruction"
    if truth is not None:
        limits = _range(_slice("result", truth)[0])
        words += f", PSNR {psnr(x, to_numpy(truth)):.1f} dB"
    wide, high = cols + slices, rows + slices
    figure = _figure(1.6 + 6.4 * min(wide / high, 1.6), 1.5 + 6.4 * min(high / wide, 1.6))
    grid = figure.add_gridspec(2, 2, width_ratios=[cols, slices], height_ratios=[rows, slices])
    i, j, k = slices // 2, rows // 2, cols // 2
    planes = (
        (grid[0, 0], shown, f"slice {i} of {slices}", "column", "row", (k, j)),
        (grid[0, 1], x[:, :, k].T, f"column {k} of {cols}", "slice", "row", (i, j)),
        (grid[1, 0], x[:, j, :], f"row {j} of {rows}", "column", "slice", (k, i)),
    )
    axes = []
    for place, values, name, across, down, (a, b) in planes:
        ax = figure.add_subplot(place)
        drawn = ax.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1], origin="upper")
        ax.axvline(a, color="tab:orange", linewidth=0.6, alpha=0.7)  # where the other two planes cut this one
        ax.axhline(b, color="tab:orange", linewidth=0.6, alpha=0.7)
        ax.set_title(name, fontsize=9)
        ax.set_xlabel(across, fontsize=8)
        ax.set_ylabel(down, fontsize=8)
        ax.tick_params(labelsize=7)
        axes.append(ax)
    _bar(figure, drawn, axes, [values for _, values, *_ in planes], limits, unit)
    told = f"{words}\nstopped: {result.why}; {result.state.k} iterations in {result.seconds:.3g} s"
    figure.suptitle(told, fontsize=9, color="0.35")
    return figure


# ------------------------------------------------------------------------------------------------------------- pieces


def _slice(who: str, x: Array) -> tuple[Any, str]:
    """A two-dimensional float image and, for a volume, which slice it is."""
    values = to_numpy(x)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{who}: images must be real, got dtype {values.dtype}")
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(f"{who}: images must be (rows, columns) or (slices, rows, columns), got shape {values.shape}")
    note = ""
    if values.ndim == 3:
        middle = values.shape[0] // 2
        note = f"\nslice {middle} of {values.shape[0]}" if values.shape[0] > 1 else ""
        values = values[middle]
    values = values.astype(np.float64)
    if not np.isfinite(values).any():
        raise ValueError(f"{who}: the image of shape {values.shape} has no finite value")
    return values, note


def _limits(values: Any) -> tuple[float, float]:
    """The 0.1 and 99.9 percentiles: a few outliers do not darken the picture."""
    low, high = (float(v) for v in np.percentile(values[np.isfinite(values)], (0.1, 99.9)))
    return (low, high) if high > low else _range(values)


def _range(values: Any) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0))


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _show(ax: Any, values: Any, limits: tuple[float, float], title: str, unit: str | None) -> Any:
    drawn = ax.imshow(values, cmap="gray", vmin=limits[0], vmax=limits[1], origin="upper")
    ax.set_title(title, fontsize=10)
    ax.tick_params(labelsize=8)
    if unit is not None:
        ax.set_xlabel("column", fontsize=8)
        ax.set_ylabel("row", fontsize=8)
        _bar(ax.figure, drawn, [ax], [values], limits, unit)
    elif ax.get_subplotspec().get_gridspec().ncols == 1:
        _bar(ax.figure, drawn, [ax], [values], limits, None)
    return drawn


def _bar(figure: Any, drawn: Any, axes: list[Any], images: Any, limits: tuple[float, float], unit: str | None) -> None:
    """A colour bar with pointed ends where values lie beyond it."""
    below = any(np.nanmin(v) < limits[0] for v in images)
    above = any(np.nanmax(v) > limits[1] for v in images)
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[below, above]
    bar = figure.colorbar(drawn, ax=axes, extend=extend, shrink=0.9, fraction=0.05, pad=0.02)
    bar.set_label(f"grey value ({unit})" if unit else "grey value", fontsize=8)
    bar.ax.tick_params(labelsize=8)


Course = tuple[list[float], list[float]]


def _courses(history: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Course]]:
    """Panel title → figure → its course: values, relative figures, and what `observe` returned."""
    found: dict[str, dict[str, Course]] = {"objective": {}, "certificate and residual": {}, "observed": {}}
    for name in dict.fromkeys(key for row in history for key in row if key not in UNSEEN):
        points = [(row["k"], row[name]) for row in history if isinstance(row.get(name), (int, float))]
        points = [(k, float(v)) for k, v in points if math.isfinite(v) and (v > 0 or name not in RELATIVE)]
        panel = "objective" if name in VALUES else "certificate and residual" if name in RELATIVE else "observed"
        if len(points) > 1:
            found[panel][name] = ([p[0] for p in points], [p[1] for p in points])
    if found["certificate and residual"].keys() == {"change"}:
        found = {("relative change" if k.startswith("cert") else k): v for k, v in found.items()}
    return found


def _plot(ax: Any, courses: dict[str, Course], title: str) -> None:
    logarithmic = title != "observed" and all(v[-1] > 0 for _, v in courses.values())
    for name, (k, v) in courses.items():
        shown = [math.nan if logarithmic and value <= 0 else value for value in v]
        ax.plot(k, shown, marker=".", markersize=3, linewidth=1, label=name.replace("_", " "))
    if logarithmic:
        ax.set_yscale("log")
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("iteration", fontsize=8)
    ax.tick_params(labelsize=8, which="both")
    ax.grid(True, color="0.9", linewidth=0.6)
    if len(courses) > 1 or title == "observed":
        ax.legend(fontsize=8, frameon=False)


def beside(path: Path) -> Path:
    """The name of a picture beside an image: never that of a picture which this module has not made.

    ``x.png`` for ``x.h5``; where an unrelated picture has that name ``x-varinv.png``, ``x-varinv-2.png`` …
    """
    names = (path.with_name(f"{path.stem}-varinv{'' if k < 2 else f'-{k}'}.png") for k in count(1))
    return next(name for name in chain([path.with_suffix(".png")], names) if not name.exists() or ours(name))


def ours(path: Path) -> bool:
    """Whether a picture says of itself that it was made here."""
    try:
        with path.open("rb") as file:
            return f"Software\0{MADE}".encode() in file.read(4096)
    except OSError:
        return False


def _finish(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    if path is not None:
        path = Path(path)
        if path.suffix.lower() not in FORMATS:
            raise ValueError(f"plot: the file name must end in {', '.join(FORMATS)}, got {path.name!r}")
        kind, content = path.suffix.lower()[1:], io.BytesIO()
        figure.savefig(content, format=kind, metadata={"Software": MADE} if kind == "png" else None)
        with replaced(path) as part:
            part.write_bytes(content.getvalue())
    return figure


# ------------------------------------------------------------------------------------------------------- a choice


def choice(chosen: Any, path: str | os.PathLike[str] | None = None) -> Any:
    """Plot what a rule has chosen: criterion, residual and image; written to a file where a path is given.

    A matplotlib figure of a `Chosen`; the formats are .png, .pdf, .svg and .jpg.

    Images (2-D, or the middle slice of 3-D) stand on the left; several parameters: over the evaluations.  The point
    chosen is marked, so are solves that did not converge; a criterion of several decades has a logarithmic axis.
    """
    many = int(chosen.theta.shape[0]) > 1
    imaged = chosen.x.ndim in (2, 3)
    figure = _figure(10.5 if imaged else 6.0, 5.4)
    grid = figure.add_gridspec(2, 2 if imaged else 1, width_ratios=[1.0, 1.1] if imaged else None)
    if imaged:
        shown, note = _slice("choice", chosen.x)
        values = ", ".join(f"{name} {value:.4g}" for name, value in list(chosen.values.items())[:3])
        ax, limits = figure.add_subplot(grid[:, 0]), _limits(shown)
        _bar(figure, _show(ax, shown, limits, values + note, None), [ax], [shown], limits, None)
    across = [float(k + 1) for k in range(len(chosen.curve))] if many else [p.theta for p in chosen.curve]
    label = "evaluation" if many else "theta (natural logarithm)"
    upper = figure.add_subplot(grid[0, -1])
    lower = figure.add_subplot(grid[1, -1], sharex=upper)
    _line(upper, across, [p.criterion for p in chosen.curve], "tab:blue")
    theta = tuple(map(float, chosen.theta)) if many else float(chosen.theta[0])
    here = [k for k, p in enumerate(chosen.curve) if p.theta == theta]
    for k in here[:1]:
        upper.plot(across[k], chosen.curve[k].criterion, "o", color="tab:green", markersize=8, label=_words(chosen))
        lower.plot(across[k], chosen.curve[k].residual, "o", color="tab:green", markersize=8)
        for ax in (upper, lower):
            ax.axvline(across[k], color="0.4", linestyle="--", linewidth=1)
    missed = [(t, p.criterion) for t, p in zip(across, chosen.curve, strict=True) if not p.reached]
    if missed:
        upper.plot(*zip(*missed, strict=True), "x", color="tab:red", label="solve not converged")
    if here or missed:
        upper.legend(fontsize=8, frameon=False)
    finite = [p.criterion for p in chosen.curve if math.isfinite(p.criterion)]
    if finite and min(finite) > 0 and max(finite) > 30 * min(finite):
        upper.set_yscale("log")
    upper.set_title(chosen.criterion, fontsize=10)
    _line(lower, across, [p.residual for p in chosen.curve], "tab:blue")
    lower.set_title("residual ‖A x − y‖", fontsize=10, color="tab:blue")
    if any(math.isfinite(p.df) for p in chosen.curve):
        twin = lower.twinx()
        _line(twin, across, [p.df for p in chosen.curve], "tab:orange")
        twin.set_ylabel("degrees of freedom", fontsize=8, color="tab:orange")
        twin.tick_params(labelsize=8)
    lower.set_xlabel(label, fontsize=8)
    upper.tick_params(labelbottom=False)
    for ax in (upper, lower):
        ax.tick_params(labelsize=8, which="both")
        ax.grid(True, color="0.9", linewidth=0.6)
    figure.suptitle(f"{chosen.rule}: {chosen.status}", fontsize=9, color="0.35")
    return _finish(figure, path)


def _words(chosen: Any) -> str:
    """What the marked point is."""
    many = int(chosen.theta.shape[0]) > 1
    at = "chosen" if many else f"chosen: theta = {float(chosen.theta[0]):.3g}"
    return at if chosen.ok else f"{at} (not ok)"


def _line(ax: Any, x: list[float], y: list[float], color: str) -> None:
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
    if points:
        ax.plot(*zip(*points, strict=True), marker=".", markersize=4, linewidth=1, color=color)
