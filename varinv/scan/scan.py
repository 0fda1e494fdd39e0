"""A scan: measurements on disk, the geometry they belong to, and the way from one to the other."""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from varinv import check
from varinv.operators.geometry import FanBeam, ParallelBeam
from varinv.operators.grid import Grid
from varinv.operators.radon import Radon
from varinv.problem import Problem
from varinv.scan import levels, measure
from varinv.scan import process as steps
from varinv.scan.axis import Axis, near
from varinv.scan.errors import ScanError, ScanWarning, afford
from varinv.scan.frames import Raw
from varinv.scan.record import PLAIN, Options, Repairs, Row, merge

if TYPE_CHECKING:
    from varinv.scan.checks.table import Checks


@dataclass(frozen=True, eq=False, repr=False)
class Scan:
    """A measured scan, as `read` opens it: what to select, correct and reconstruct from.

    `views`, `bin`, `crop`, `flip`, `reverse`, `using` return new ones.

    `geometry` always fits what `sinogram` returns.  Frames stay on disk: only the rows that are asked for are read.
    Views, bins and columns are chosen after flat field, repairs, stripes and air were done on whole detector rows,
    so that these do not depend on the choice.

    Units: angles in radians, lengths (`spacing`, distances) in `unit`; line integrals without unit.
    """

    raw: Raw
    picked: NDArray[np.intp]  # views of the file, in order
    window: tuple[int, int, int]  # first and last + 1 column of the file, columns a bin
    mirrored: bool = False
    turning: int = 1  # -1: angles reversed
    options: Options = PLAIN
    shared: dict[str, Any] = field(default_factory=dict)  # what all scans of one `read` have in common: the axis
    seen: dict[int, Repairs] = field(default_factory=dict)  # repairs of the rows corrected so far

    # ------------------------------------------------------------------------------------------------ geometry

    @property
    def shape(self) -> tuple[int, int, int]:
        """(views, rows, detectors) of this selection."""
        start, stop, k = self.window
        return len(self.picked), self.raw.frames.shape[1], (stop - start) // k

    @property
    def angles(self) -> NDArray[np.float64]:
        """The angle of each view in radians; a ScanError where neither the file nor `read` gave any."""
        if self.raw.angles is None:
            raise ScanError(f"{self.raw.path}: the file states no angles; pass angles= to read")
        return np.asarray(self.turning * self.raw.angles[self.picked], np.float64)

    @property
    def spacing(self) -> float:
        """Pitch of the (binned) detector columns, in `unit`."""
        return self.raw.spacing * self.window[2]

    @property
    def unit(self) -> str:
        """The unit of lengths: "mm" where the file states it, else "pixel" (columns of the file)."""
        return self.raw.unit

    @property
    def axis(self) -> Any:
        """Column of this selection onto which the rotation axis projects; an array where it was given view by view.

        As `read` or the file gave it; else estimated once, from all views, by `find_axis`; where that is impossible
        the middle of the detector, and `report` says so.
        """
        if self.raw.axis is not None:
            given = self.raw.axis
            return self._here(given[self.picked] if isinstance(given, np.ndarray) else given)
        try:
            return self.find_axis()
        except ScanError as error:
            reason = str(error).removeprefix(f"{self.raw.path}: ")
            self.shared["axis note"] = f"rotation axis assumed at the middle of the detector: {reason}"
        return self._here((self.raw.frames.shape[2] - 1) / 2)

    @property
    def geometry(self) -> ParallelBeam | FanBeam:
        """The geometry of `sinogram`: angles, detectors, spacing, axis; a fan beam where the file has distances."""
        detectors = self.shape[2]
        if self.raw.distances is not None:
            return FanBeam(self.angles, detectors, self.spacing, *self.raw.distances, axis=self.axis)
        return ParallelBeam(self.angles, detectors, self.spacing, axis=self.axis)

    def find_axis(self) -> float:
        """Estimate the rotation axis, in columns of this selection, from up to five rows and all views of the file.

        Method and conditions: `varinv.scan.axis.locate`; its uncertainty: `axis_error`.

        Raises
        ------
        ScanError
            Views that cover less than half a turn, measurements that prefer no axis, or one that stays uncertain.
        """
        return float(self._here(self._located().column))

    @property
    def axis_error(self) -> float:
        """How far off `find_axis` may be (95 %), in columns of this selection; a ScanError as there."""
        return self._located().error / self.window[2]

    def _located(self) -> Axis:
        if "axis" not in self.shared:
            try:
                self.shared["axis"] = measure.estimate_axis(self.raw, self.options)
                self.shared["axis note"] = str(self.shared["axis"])
            except ScanError as error:
                self.shared["axis"] = error
        if isinstance(self.shared["axis"], ScanError):
            raise self.shared["axis"].with_traceback(None)
        found: Axis = self.shared["axis"]
        return found

    def _here(self, column: Any) -> Any:
        """From a column of the file to a column of this selection: crop, bin, flip."""
        start, _, k = self.window
        column = (column - start - (k - 1) / 2) / k
        return self.shape[2] - 1 - column if self.mirrored else column

    # ------------------------------------------------------------------------------------------------ selection

    def views(self, which: Any) -> Scan:
        """Keep some of the views: a slice, indices or a mask over the present ones; the angles follow."""
        try:
            picked = self.picked[which]
        except (IndexError, TypeError) as error:
            raise type(error)(
                f"views: expected a slice, indices or a mask for {len(self.picked)} views: {error}"
            ) from None
        picked = np.atleast_1d(picked)
        if picked.ndim != 1 or not len(picked):
            raise ValueError(f"views: {check.describe(which)} leaves no views of {len(self.picked)}")
        return dataclasses.replace(self, picked=picked, seen={})

    def bin(self, k: int) -> Scan:
        """Join k detector columns: transmissions of counts are averaged before the logarithm, line integrals after it.

        Spacing k times as wide, axis → (axis − (k − 1)/2)/k; columns beyond the last full bin are dropped.  A bin is
        valid where all of its columns are.
        """
        k = check.integer("bin", "k", k, low=1)
        start, stop, have = self.window
        count = self.shape[2] // k
        if not count:
            raise ValueError(f"bin: {k} columns a bin, but there are only {self.shape[2]} columns")
        if self.mirrored:
            start = stop - count * k * have
        return dataclasses.replace(self, window=(start, start + count * k * have, k * have), seen={})

    def crop(self, a: int, b: int) -> Scan:
        """Keep the detector columns from a up to, without, b; axis → axis − a."""
        n = self.shape[2]
        a, b = check.integer("crop", "a", a), check.integer("crop", "b", b)
        if not 0 <= a < b <= n:
            raise ValueError(f"crop: columns must satisfy 0 <= a < b <= {n}, got {a} and {b}")
        if self.mirrored:
            a, b = n - b, n - a
        start, _, k = self.window
        return dataclasses.replace(self, window=(start + a * k, start + b * k, k), seen={})

    def flip(self) -> Scan:
        """Mirror the detector: columns in reverse order, axis → detectors − 1 − axis.

        A parallel beam's image is turned by 180 degrees; `reverse` gives the mirror image.
        """
        return dataclasses.replace(self, mirrored=not self.mirrored, seen={})

    def reverse(self) -> Scan:
        """Reverse the sense of rotation, for an instrument that turns the other way: angles → −angles."""
        return dataclasses.replace(self, turning=-self.turning, seen={})

    def using(
        self,
        *,
        air: Any = None,
        stripes: int | None = None,
        axis: Any = None,
        process: Any = None,
        stage: str | None = None,
        margin: int | None = None,
    ) -> Scan:
        """The same scan with other options; None keeps what there is.

        Parameters
        ----------
        air : True: subtract the level of air in each view, found at the edges where the object leaves air (for flats
            taken at another intensity, or with no flats at all).  An array of shape (views,): the intensity of the
            beam in each view, 1 where it is that of the flats; log(level) is added to its line integrals.
        stripes : window in columns of the ranked median filter against ring artefacts; 0 is off, 5 to 31 is usual.
        axis : rotation axis, in columns of this selection; an array: of each of its views (drift, jitter).
        process : a callable or a list of them, steps of other packages: process(lines, angles) → lines of the same
            shape; () is off.  It is given a float32 copy of each corrected row of the whole detector, all views of it
            (views, columns), when that row is asked for, and the angles in radians (None where not known).
        stage : "sinogram" (the default), or "projections": `process` is given transmissions (views, rows, columns) of
            blocks of rows instead, as phase retrieval needs them, and returns transmissions.
        margin : rows above and below that a block holds besides the wanted ones; only with "projections".
        """
        options = self.options
        if air is not None:
            options = options._replace(air=levels.of_views(air, self.picked, self.raw.frames.shape[0]))
        if stripes is not None:
            window, columns = check.integer("using", "stripes", stripes, low=0), self.raw.frames.shape[2]
            if window > columns:
                raise ValueError(
                    f"using: stripes must be at most the {columns} columns, got {window}; 5 to 31 is usual"
                )
            options = options._replace(stripes=window)
        if process is not None:
            options = options._replace(process=steps.steps(process))
        if stage is not None:
            if stage not in steps.STAGES:
                raise ValueError(f"using: stage must be one of {', '.join(map(repr, steps.STAGES))}, got {stage!r}")
            options = options._replace(stage=stage)
        if margin is not None:
            options = options._replace(margin=check.integer("using", "margin", margin, low=0))
        raw = self.raw
        if axis is not None:
            column = near("using", axis, self.shape[2], self.shape[0])
            column = self.shape[2] - 1 - column if self.mirrored else column
            start, _, k = self.window
            column = column * k + (k - 1) / 2 + start
            if isinstance(column, np.ndarray):  # views that are not picked have the mean
                every = np.full(raw.frames.shape[0], column.mean())
                every[self.picked] = column
                column = every
            raw = dataclasses.replace(raw, axis=column)
        shared = self.shared if options == self.options else {}
        return dataclasses.replace(self, raw=raw, options=options, shared=shared, seen={})

    # --------------------------------------------------------------------------------------------- measurements

    def sinogram(self, row: int = 0, *, rows: slice | None = None) -> NDArray[np.float32]:
        """Line integrals, float32: (views, detectors) of one row, (slices, views, detectors) of a slice of rows.

        Counts become −log((data − dark)/(flat − dark)); what was repaired on the way is in `repairs` and `report`.
        Of several rows, those that cannot be corrected are 0, nowhere valid, and named by a ScanWarning.

        Raises
        ------
        ScanError
            Counts without flats and without `using(air=True)`; a beam that was off; a file that cannot be read; with
            `rows`, none that can be corrected.
        """
        return np.asarray(self._collect(row, rows, "lines"), np.float32)

    def good_rows(self, rows: slice = slice(None)) -> tuple[int, ...]:
        """Those of the rows that can be corrected; the faults of the others are in `report`.  Reads all of them."""
        return tuple(r for r, found in self._rows(self._wanted(0, rows)) if isinstance(found, Row))

    def valid(self, row: int = 0, *, rows: slice | None = None) -> NDArray[np.bool_]:
        """True where `sinogram` is measured, False where it was interpolated (dead, hot, not finite, not positive)."""
        return np.asarray(self._collect(row, rows, "valid"), bool)

    def weight(self, row: int = 0, *, rows: slice | None = None) -> NDArray[np.float32]:
        """Statistical weights of the shape of `sinogram`, mean 1: the counts (1/variance of −log), 0 where not valid.

        The counts of line integrals are not known: their weights are equal.
        """
        counts = self._collect(row, rows, "counts")
        return np.asarray(counts / max(float(counts.mean(dtype=np.float64)), 1e-30), np.float32)

    def repairs(self, row: int = 0, *, rows: slice | None = None) -> tuple[str, ...]:
        """What was repaired in these rows: one line a kind, with its count and places."""
        wanted = self._wanted(row, rows)
        if any(r not in self.seen for r in range(*wanted.indices(self.shape[1]))):
            for _, found in self._rows(wanted):
                if isinstance(found, ScanError) and rows is None:
                    raise found
        return merge(self.seen[r] for r in range(*wanted.indices(self.shape[1]))).say()

    def _wanted(self, row: int, rows: slice | None) -> slice:
        count = self.shape[1]
        if rows is not None:
            if not isinstance(rows, slice):
                raise TypeError(f"rows must be a slice, got {check.describe(rows)}; one row is row=")
            if not len(range(*rows.indices(count))) or rows.indices(count)[2] < 0:
                raise ValueError(f"rows {rows} selects none of {count} rows, or runs backwards")
            return rows
        row = check.integer("Scan", "row", row)
        if not -count <= row < count:
            raise ValueError(f"Scan: row {row} is outside the {count} rows")
        return slice(row % count, row % count + 1)

    def _collect(self, row: int, rows: slice | None, what: str) -> Any:
        wanted = self._wanted(row, rows)
        places = range(*wanted.indices(self.shape[1]))
        views, _, detectors = self.shape
        afford(self.raw.path, f"a sinogram of {len(places)} rows", 4 * len(places) * views * detectors)
        out = np.zeros((len(places), views, detectors), np.float32)
        faults: dict[int, ScanError] = {}
        for k, (r, found) in enumerate(self._rows(wanted)):
            if isinstance(found, Row):
                out[k] = measure.part_of(found, self.window, self.mirrored, what, self.raw.logarithm)
            else:
                faults[r] = found
        if len(faults) == len(places):
            raise next(iter(faults.values()))
        self._warn(faults)
        return out[0] if rows is None else out

    def _warn(self, faults: dict[int, ScanError]) -> None:
        """A ScanWarning for each new doubt about the rows seen so far, and one that names the rows that are lost."""
        told = self.shared.setdefault("told", set())
        texts = list(merge(self.seen.values()).doubts)
        if faults:
            named = ", ".join(map(str, list(faults)[:8])) + (", …" if len(faults) > 8 else "")
            first = str(next(iter(faults.values()))).removeprefix(f"{self.raw.path}: ")
            text = f"{len(faults)} rows cannot be corrected and are 0, nowhere valid: {named} ({first})"
            self.shared["lost rows"] = text
            texts.append(text)
        for text in texts:
            kind = re.sub(r"[-+0-9.±]+", "#", text)  # the same doubt about another row is no news
            if kind not in told:
                told.add(kind)
                warnings.warn(f"{self.raw.path}: {text}", ScanWarning, stacklevel=check.outside())

    def _rows(self, wanted: slice) -> Iterator[tuple[int, Row | ScanError]]:
        return measure.rows_of(self.raw, self.picked, self.options, wanted, self.seen)

    # --------------------------------------------------------------------------------------------------- checks

    def check(self, row: int | None = None) -> Checks:
        """Is this the problem that you have?  Consistency tests of one row, the middle one by default.

        A table of tests with figure, limit, verdict ("ok", "doubt", "wrong", "not decidable") and remedy; printed, it
        is aligned, and `doubtful` holds what should be looked at before hours are spent.  What the tests measure and
        where their limits come from: docs/checks.md.
        """
        from varinv.scan.checks.run import check as run

        return run(self, None if row is None else self._wanted(row, None).start)

    # ------------------------------------------------------------------------------------------------- problems

    def operator(self, size: int | None = None, pixel_size: float | None = None) -> Radon:
        """The forward operator that fits `sinogram`: its square image covers what the detector sees.

        Neither given: pixels of the spacing at the axis, as many as the detector has bins (over a full turn with the
        axis off centre twice the wider side).  `size` alone: the same field in size × size pixels; `pixel_size` alone,
        in `unit`: as many as cover the field; both: as they are.
        """
        geometry = self.geometry
        grid = Grid.covering(geometry, pixel_size, size=size, who="operator")
        return Radon(grid.shape, geometry, grid.pixel_size)

    def problem(
        self,
        row: int = 0,
        *,
        lam: float | None = None,
        weight: float = 1.0,
        prior: str = "tv",
        counts: bool = False,
        size: int | None = None,
        pixel_size: float | None = None,
    ) -> Problem:
        """The usual problem of one detector row, for `solve`: data fit, total variation, no negative values.

        ½‖A x − y‖²_W + λ TV(x) over x ≥ 0, A = `operator(size, pixel_size)`, y = `sinogram(row)`; W is 0 where `valid`
        is False, else 1.

        Parameters
        ----------
        lam : λ; None: `weight` × the grey value of bright parts (the 99.5 percentile of a 12-step CGLS image) × pixel
            size², so that counts, contrast and units of length do not matter.
        weight : 1 predicts held-out views within 10 % of the best on four scans of 30 to 181 views; more is smoother.
        prior : "tv", or "none" for least squares over x ≥ 0 alone.
        counts : True weights the measurements by their counts, see `weight`.

        Warns
        -----
        ScanWarning
            Data on rays that miss the image: `size` and `pixel_size` that are smaller than the object.

        Raises
        ------
        ScanError, ValueError
            As `sinogram`; data that give no positive image, which are no line integrals.
        """
        from varinv.scan import first_problem

        return first_problem.of_scan(self, self.operator(size, pixel_size), row, lam, weight, prior, counts)

    # --------------------------------------------------------------------------------------------------- report

    @property
    def report(self) -> str:
        """What reading noticed and what correcting repaired, in the rows corrected so far."""
        lines = list(self.raw.notes)
        if self.raw.counts and self.raw.flats is not None and self.raw.darks is None:
            lines.append("no darks: the dark level is taken as 0")
        if "axis note" in self.shared and self.raw.axis is None:
            lines.append(self.shared["axis note"])
        if self.seen:
            rows = f"{len(self.seen)} rows" if len(self.seen) > 1 else f"row {next(iter(self.seen))}"
            done = merge(self.seen.values()).say() or ("no repairs",)
            lines += [f"{rows}: {text}" for text in done]
        if "lost rows" in self.shared:
            lines.append(self.shared["lost rows"])
        return "\n".join(lines)

    def __str__(self) -> str:
        """A summary for people; it reads no frames."""
        raw, (views, rows, detectors) = self.raw, self.shape
        lines = [f"{raw.path.name}: {raw.format}, {views} views of {rows} x {detectors}"]
        if raw.angles is not None:
            low, high = np.rad2deg([self.angles.min(), self.angles.max()])
            lines.append(f"angles {low:.5g} to {high:.5g} degrees")
        beam = "parallel beam" if raw.distances is None else "fan beam, source to axis {:g}, axis to detector {:g}"
        lines.append(f"{beam.format(*(raw.distances or ()))}, column pitch {self.spacing:g} ({self.unit})")
        if raw.axis is None and "axis" not in self.shared:
            lines.append("axis not yet estimated")
        else:
            low, high = np.min(self.axis), np.max(self.axis)
            lines.append(f"axis at column {low:.2f}" + (f" to {high:.2f}, view by view" if high > low else ""))
        flats, darks = (0 if f is None else f.shape[0] for f in (raw.flats, raw.darks))
        lines.append(f"counts; flats: {flats}, darks: {darks}" if raw.counts else raw.kind)
        return "\n".join(lines + [f"- {text}" for text in self.report.splitlines()])

    def __repr__(self) -> str:
        views, rows, detectors = self.shape
        return f"Scan({self.raw.path.name!r}, {views} views, {rows} rows, {detectors} detectors)"
