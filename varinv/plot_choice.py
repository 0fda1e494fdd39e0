"""The picture of a choice: criterion, residual and degrees of freedom over the parameter, and the image."""

from __future__ import annotations

import math
import os
from typing import Any

from varinv.plot import _bar, _figure, _finish, _limits, _show, _slice


def choice(chosen: Any, path: str | os.PathLike[str] | None = None) -> Any:
    """A `Chosen` as a matplotlib figure; written to `path` (.png, .pdf, .svg, .jpg) where given.

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
