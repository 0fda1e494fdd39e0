"""One reconstruction of a scan, from its rows to files: what `varinv reconstruct` and `varinv demo` run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace, to_numpy
from varinv.files import save_image
from varinv.first_use import clock
from varinv.operators.fbp import fbp
from varinv.operators.geometry import FanBeam
from varinv.operators.radon import Radon
from varinv.progress import Line
from varinv.result import Result
from varinv.solvers.solve import solve
from varinv.tomography import reconstruct as parts

PRIORS = ("tv", "none")


@dataclass(frozen=True)
class Settings:
    """How to reconstruct.

    prior : "tv": ½‖A x − y‖² + λ TV(x), x ≥ 0; "none": filtered back-projection.
    weight : relative weight, λ = weight × unit (see varinv.tomography.reconstruct); None: chosen on held-out views.
    size, pixel_size : of the image, see varinv.operators.grid.
    counts : weight measurements by their counts rather than equally.
    volume : one problem for the whole stack, coupled across slices; False: slice by slice.
    gap, iterations : when to stop, see varinv.tomography.reconstruct.stop.
    """

    prior: str = "tv"
    weight: float | None = None
    size: int | None = None
    pixel_size: float | None = None
    counts: bool = False
    volume: bool = False
    gap: float = 1e-3
    iterations: int = 2000

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise ValueError(f"reconstruct: prior must be one of {', '.join(PRIORS)}, got {self.prior!r}")
        if self.weight is not None:
            check.number("reconstruct", "weight", self.weight, low=0.0)
        check.number("reconstruct", "gap", self.gap, low=0.0, strict=True)
        check.integer("reconstruct", "iterations", self.iterations, low=1)


class Direct(NamedTuple):
    """The state of a reconstruction without iterations."""

    x: Array
    k: int = 0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out: the last slice's result, all images, and what was found on the way.

    x : (n, n) for one row, else (slices, n, n); after Ctrl-C only the slices that were begun.
    interrupted : whether Ctrl-C ended the run.
    """

    result: Result
    x: Array
    A: Any
    rows: tuple[int, ...]
    reasons: tuple[str, ...]
    lam: float | None = None
    unit: float | None = None
    weight: float | None = None
    choice: parts.Choice | None = None
    excluded: int = 0
    settings: Settings = field(default_factory=Settings)
    interrupted: bool = False

    def metadata(self, scan: Any) -> dict[str, Any]:
        """Geometry, settings and what was repaired, to be written beside the image."""
        g, s = self.A.geometry, self.settings
        distances = {}
        if isinstance(g, FanBeam):
            distances = {"source_to_axis": g.source_to_axis, "axis_to_detector": g.axis_to_detector}
        chosen = {} if self.choice is None else {"auto_weights": [w for w, _ in self.choice.table],
                                                 "held_out_residuals": [r for _, r in self.choice.table]}  # fmt: skip
        numbers = {"weight": self.weight, "lam": self.lam, "unit": self.unit, "gap": s.gap, "iterations": s.iterations}
        return {
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
            "settings": {"prior": s.prior, "counts": s.counts, "volume": s.volume, **numbers, **chosen},
            "scan": str(scan.raw.path.name),
            "rows": list(self.rows),
            "repairs": scan.report,
            "reasons": "\n".join(f"row {row}: {why}" for row, why in zip(self.rows, self.reasons, strict=False)),
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
        if self.choice is not None:
            lines.append("weight      auto, every fifth view held out:")
            lines += [f"            {text}" for text in self.choice.report()]
        if self.lam is not None:
            lines.append(
                f"weight      {self.weight:g} × {self.unit:.4g} (grey value of bright parts) = λ {self.lam:.4g}"
            )
            lines.append(f"problem     {result.problem}")
        if self.excluded:
            lines.append(f"excluded    {self.excluded} measurements that had to be interpolated (weight 0)")
        for row, why in zip(rows, self.reasons, strict=False):
            lines.append(f"stopped     {f'row {row}: ' if len(rows) > 1 else ''}{why}")
        if self.lam is not None:
            proved = f", within a relative gap of {result.gap:.1e} (proved)" if (result.gap or 1.0) < 1 else ""
            lines.append(f"iterations  {result.state.k} in {result.seconds:.1f} s{proved}")
        x = to_numpy(self.x)
        values = f"values {float(x.min()):.4g} to {float(x.max()):.4g} per {scan.unit}"
        lines.append(f"image       {'×'.join(map(str, x.shape))} pixels of {A.pixel_size:.6g} {scan.unit}, {values}")
        return lines

    def save(self, path: Path, scan: Any) -> list[Path]:
        """Image or volume to `path` (.h5, .tif, …) and a preview beside it (.png); each complete or absent."""
        from varinv import plot

        data = {"why": self.result.why, **self.result.settings(), **self.metadata(scan)}
        save_image(path, self.x, data, self.result.history)
        preview = path.with_suffix(".png")
        title = (
            f"{scan.raw.path.name}, row {self.rows[-1] if self.x.ndim == 2 else f'{self.rows[0]} to {self.rows[-1]}'}"
        )
        shown = self.result if self.x.ndim == 2 else Result(self.x, self.result.state, self.result.why)
        plot.result(shown, preview, unit=f"1/{scan.unit}", title=title)
        return [path, preview]


def run(scan: Any, rows: range, settings: Settings, line: Line) -> Outcome:
    """Reconstruct these rows of a scan.

    Ctrl-C during a solve ends it with the last iterate and its reason; rows not begun are left out.

    Raises
    ------
    ScanError, ValueError
        Data that cannot be corrected, settings that do not fit them.
    """
    geometry = scan.geometry
    n, pixel = parts.grid(geometry, settings.size, settings.pixel_size)
    shape: tuple[int, ...] = (n, n)
    A = Radon(shape, geometry, pixel)
    line.show("reading")
    middle = rows[len(rows) // 2]
    y, weight, _ = _measured(scan, middle, settings)
    if settings.prior == "none":
        return _direct(scan, rows, A, settings)
    line.show(f"a first image of row {middle} for the scale of grey values")
    unit = parts.unit_weight(A, y)
    choice = None
    relative = settings.weight
    if relative is None:
        choice = parts.choose_weight(A, y, unit, weight, line=line)
        relative = choice.weight
    lam = relative * unit
    rule = parts.stop(settings.gap, settings.iterations)
    found: list[Result] = []
    excluded = 0
    blocks = [slice(rows.start, rows.stop, rows.step)] if settings.volume else list(rows)
    if settings.volume:
        A = Radon((len(rows), n, n), geometry, pixel)
    stopped = False
    for k, block in enumerate(blocks):
        try:
            y, weight, out = _measured(scan, block, settings)
            excluded += out
            prefix = f"row {block} ({k + 1} of {len(blocks)}): " if len(blocks) > 1 else ""
            show = line.advance(rule, prefix, (k / len(blocks), (k + 1) / len(blocks)))
            found.append(solve(parts.problem(A, y, lam, weight), stop=rule, progress=show))
        except KeyboardInterrupt:  # while the next row was read: keep what there is
            if not found:
                raise
            stopped = True
        if stopped := stopped or found[-1].interrupted:
            break
    xp = namespace(found[0].x)
    x = found[0].x if len(rows) == 1 or settings.volume else xp.stack([r.x for r in found])
    x = x[0, ...] if settings.volume and len(rows) == 1 else x
    done = tuple(rows) if settings.volume else tuple(rows)[: len(found)]
    reasons = tuple(r.why for r in found) * (len(rows) if settings.volume else 1)
    return Outcome(found[-1], x, A, done, reasons, lam, unit, relative, choice, excluded, settings, stopped)


def _measured(scan: Any, rows: Any, settings: Settings) -> tuple[Array, Any, int]:
    """Line integrals, the weights of the data term, and how many measurements these exclude."""
    which: dict[str, Any] = {"rows": rows} if isinstance(rows, slice) else {"row": rows}
    y, valid = scan.sinogram(**which), scan.valid(**which)
    excluded = int((~valid).sum())
    if settings.counts:
        return y, scan.weight(**which), excluded
    return y, namespace(y).astype(valid, y.dtype) if excluded else 1.0, excluded


def _direct(scan: Any, rows: range, A: Radon, settings: Settings) -> Outcome:
    began = clock()
    images = [fbp(A, scan.sinogram(row)) for row in rows]
    x = images[0] if len(images) == 1 else namespace(images[0]).stack(images)
    why = "filtered back-projection: direct, no iterations"
    result = Result(images[-1], Direct(images[-1]), why, (), clock() - began, A, "fbp")
    return Outcome(result, x, A, tuple(rows), (why,) * len(rows), settings=settings)
