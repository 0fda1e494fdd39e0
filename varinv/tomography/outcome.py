"""What a reconstruction of a scan came to: images, reasons, what failed; in words, and in files."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from varinv import page
from varinv.backend import Array, to_numpy
from varinv.image_files import save_image
from varinv.operators.geometry import FanBeam
from varinv.result import Result
from varinv.tomography.reconstruct import Choice
from varinv.tomography.settings import Settings


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out: the last row's result, all images, and what was found on the way.

    x : (n, n) for one row, else (slices, n, n); after Ctrl-C only the slices that were begun; rows that failed are NaN.
    interrupted : whether Ctrl-C ended the run.
    failures : row → why there is no good image of it.
    checks : what is doubtful about the scan; None: it was not checked.
    found : row → its result.
    command : the command line that repeats the run.
    """

    result: Result
    x: Array
    A: Any
    rows: tuple[int, ...]
    reasons: tuple[str, ...]
    lam: float | None = None
    unit: float | None = None
    weight: float | None = None
    choice: Choice | None = None
    excluded: int = 0
    settings: Settings = field(default_factory=Settings)
    interrupted: bool = False
    failures: dict[int, str] = field(default_factory=dict)
    checks: tuple[str, ...] | None = None
    found: dict[int, Result] = field(default_factory=dict)
    stack: bool = False
    command: str = ""

    def pixel_size(self, scan: Any) -> list[float]:
        """Distance of pixels along each axis of the image, in `scan.unit`; of slices: that of the detector's rows."""
        h = float(self.A.pixel_size)
        return [h, h] if self.x.ndim == 2 else [slice_distance(scan, self.A.geometry, self.rows), h, h]

    def metadata(self, scan: Any) -> dict[str, Any]:
        """Geometry, settings, checks and what was repaired, to be written beside the image."""
        g, s = self.A.geometry, self.settings
        distances = {}
        if isinstance(g, FanBeam):
            distances = {"source_to_axis": g.source_to_axis, "axis_to_detector": g.axis_to_detector}
        chosen = {} if self.choice is None else {"auto_weights": [w for w, _ in self.choice.table],
                                                 "held_out_residuals": [r for _, r in self.choice.table]}  # fmt: skip
        numbers = {"weight": self.weight, "lam": self.lam, "unit": self.unit, "gap": s.gap, "iterations": s.most}
        asked = {"prior": s.prior, "solver": s.solver, "counts": s.counts, "volume": s.volume, "margin": s.margin}
        failed = {}
        if self.failures:
            told = "\n".join(f"row {row}: {why}" for row, why in self.failures.items())
            failed = {"failed_rows": list(self.failures), "failures": told}
        return {
            "pixel_size": self.pixel_size(scan),
            "unit": scan.unit,
            "value_unit": f"1/{scan.unit}",
            "geometry": {
                "type": type(g).__name__,
                "angles": g.angles,
                "detectors": g.detectors,
                "spacing": g.spacing,
                "axis": g.axis,
                **distances,
                "pixel_size": self.A.pixel_size,
                "unit": scan.unit,
            },
            "settings": {**asked, **numbers, **chosen},
            "scan": str(scan.raw.path.name),
            "kind": scan.raw.kind,
            "rows": list(self.rows),
            "repairs": scan.report,
            **({} if self.checks is None else {"checks": list(self.checks)}),
            "command": self.command,
            **failed,
            "reasons": "\n".join(
                f"row {row}: {'failed: ' + self.failures[row] if row in self.failures else why}"
                for row, why in zip(self.rows, self.reasons, strict=True)
            ),
        }

    def report(self, scan: Any) -> list[str]:
        """What was done and found, line by line."""
        A, result, rows = self.A, self.result, self.rows
        views, count, detectors = scan.shape
        several = f"rows {rows[0]} to {rows[-1]} ({len(rows)})" if len(rows) > 1 else f"row {rows[0]}"
        name, kind = scan.raw.path.name, scan.raw.format
        lines = [f"scan        {name}: {kind}, {views} views, {several} of {count}, {detectors} bins"]
        lines += [f"            - {text}" for text in scan.report.splitlines()]
        how = "given" if scan.raw.axis is not None else "assumed" if "axis assumed" in scan.report else "estimated"
        low, high = A.geometry.axes.min(), A.geometry.axes.max()
        lines.append(f"axis        bin {low:.2f}{f' to {high:.2f}, view by view' if high > low else ''}, {how}")
        lines.append(f"geometry    {A.geometry}")
        lines += self._work()
        for row, why in zip(rows, self.reasons, strict=True):
            if row not in self.failures:
                lines.append(f"stopped     {f'row {row}: ' if len(rows) > 1 else ''}{why}")
        if self.lam is not None:
            proved = f", within a relative gap of {result.gap:.1e} (proved)" if (result.gap or 1.0) < 1 else ""
            lines.append(f"iterations  {result.state.k} in {result.seconds:.1f} s{proved}")
        good = self.good()
        values = f"values {float(good.min()):.4g} to {float(good.max()):.4g} per {scan.unit}"
        sides = "×".join(map(str, self.x.shape))
        lines.append(f"image       {sides} pixels of {A.pixel_size:.6g} {scan.unit}, {values}")
        return lines

    def _work(self) -> list[str]:
        """The weight, the problem, what was left out of it."""
        lines = []
        if self.choice is not None:
            lines.append("weight      auto, every fifth view held out:")
            lines += [f"            {text}" for text in self.choice.report()]
        if self.lam is not None:
            lines.append(
                f"weight      {self.weight:g} × {self.unit:.4g} (grey value of bright parts) = λ {self.lam:.4g}"
            )
        if not self.settings.direct:
            lines += [f"problem     {self.result.problem}", f"solver      {self.result.solver}"]
        if self.settings.margin:
            lines.append(f"margin      {self.settings.margin} pixels on each side for what lies outside the columns")
        if self.excluded:
            lines.append(f"excluded    {self.excluded} measurements that had to be interpolated (weight 0)")
        return lines

    def good(self) -> Any:
        """The values of the images that there are, as a NumPy array without NaN."""
        x = to_numpy(self.x)
        return x[x == x]

    def shown(self) -> tuple[int, Result]:
        """The row to look at, the middle one or the good one nearest to it, with the course of its iterations."""
        whole = [r for r in self.rows if r in self.found and r not in self.failures] or list(self.found)
        middle = self.rows[len(self.rows) // 2]
        row = min(whole, key=lambda r: abs(r - middle))
        image = self.x if self.x.ndim == 2 else self.x[self.rows.index(row), ...]
        return row, replace(self.found.get(row, self.result), x=image)

    def save(self, path: Path, scan: Any) -> list[Path]:
        """Image or volume to `path` and a picture beside it (.png); each complete or absent.

        A picture that is there and was not made by varinv is kept, and ours gets another name.  A picture that cannot
        be written is a warning: the image is there.
        """
        from varinv import plot

        data = {"why": self.result.why, **self.result.settings(), **self.metadata(scan)}
        save_image(path, self.x, data, self.result.history)
        row, result = self.shown()
        preview = plot.beside(path)
        if preview != path.with_suffix(".png"):
            warnings.warn(f"{path.with_suffix('.png')} is a picture of somebody else and stays", stacklevel=2)
        try:
            plot.result(result, preview, unit=f"1/{scan.unit}", title=f"{scan.raw.path.name}, row {row}")
        except OSError as error:
            warnings.warn(f"the image is written, its picture is not: {error}", stacklevel=2)
            return [path]
        return [path, preview]

    def page(self, path: Path, scan: Any) -> Path:
        """Write the page that shows all of it, see varinv.page."""
        row, result = self.shown()
        x = to_numpy(self.x)
        views, _, detectors = scan.shape
        rows = f"rows {self.rows[0]} to {self.rows[-1]}" if self.x.ndim == 3 else f"row {row}"
        y = scan.sinogram(row)
        words = f"row {row}: detector to the right ({detectors} bins), views down ({views}); line integrals"
        data = page.picture(y, (1, 1), "bin", words, f"sinogram of {words}", title="Sinogram", stretch=True)
        charts = page.course(result.history)
        if self.choice is not None:
            charts.insert(0, residuals(self.choice))
        failed = [f"row {row} failed: {why}" for row, why in self.failures.items()]
        facts: list[tuple[str, str]] = []
        for line in self.report(scan):
            name, text = line[:12].strip(), line[12:]
            if name or not facts:
                facts.append((name, text))
            else:
                facts[-1] = (facts[-1][0], f"{facts[-1][1]}\n{text}")
        return page.Page(
            title=f"{scan.raw.path.name}, {rows}",
            under=f"{views} views, prior {self.settings.prior}; stopped: {result.why}",
            images=page.planes(x, self.pixel_size(scan), scan.unit, "image"),
            extent=page.extent(x),
            limits=page.limits(x),
            value_unit=f"1/{scan.unit}",
            checks=[*(self.checks or ()), *failed] if failed else self.checks,
            charts=charts,
            charted="Weights tried, convergence and proof" if self.choice is not None else "Convergence and proof",
            data=data,
            facts=facts,
            command=self.command,
        ).save(path)

    def with_command(self, words: str) -> Outcome:
        """The same, with the command that repeats it."""
        return replace(self, command=words)


def residuals(choice: Choice, ring: str = "the least") -> dict[str, Any]:
    """The chart of the weights that were tried, a ring around the best."""
    best = [w for w, _ in choice.table].index(choice.weight)
    series = [{"name": "held-out residual", "points": list(choice.table)}]
    words = f"Relative residual on the views that were held out, for each weight of the prior; the ring is {ring}"
    return page.chart(series, "weight of the prior", words, logx=True, mark=best)


def slice_distance(scan: Any, geometry: Any, rows: Any) -> float:
    """Distance of the slices of these rows, at the rotation axis; detector pixels are square."""
    pitch = float(scan.raw.spacing) / (geometry.magnification if isinstance(geometry, FanBeam) else 1.0)
    return pitch * (rows[1] - rows[0] if len(rows) > 1 else 1)
