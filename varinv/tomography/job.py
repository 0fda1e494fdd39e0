"""One reconstruction of a scan, from its rows to an image: what `varinv reconstruct` and `varinv demo` run."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from varinv.backend import Array, namespace
from varinv.first_use import clock
from varinv.operators.fbp import fbp
from varinv.operators.radon import Radon
from varinv.priors.weights import tv_weights
from varinv.progress import Line
from varinv.result import Result
from varinv.solvers.solve import solve
from varinv.tomography import models
from varinv.tomography import reconstruct as parts
from varinv.tomography.outcome import Outcome
from varinv.tomography.settings import Settings as Settings

TRIALS = 9  # rows that are tried for the scale of grey values before a stack is given up


class Direct(NamedTuple):
    """The state of a reconstruction without iterations."""

    x: Array
    k: int = 0


class Scale(NamedTuple):
    """What all rows have in common: λ, the relative weight, its unit, how it was chosen, and the row used for it."""

    lam: float = 0.0
    weight: float | None = None
    unit: float | None = None
    choice: parts.Choice | None = None
    row: int | None = None


@dataclass
class Work:
    """What a run has done so far: a result per row, what failed and why."""

    found: dict[Any, Result] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    excluded: int = 0
    stopped: bool = False
    error: Exception | None = None

    def fail(self, row: int, error: Exception) -> None:
        self.failed[row] = (
            str(error) if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: {error}"
        )
        self.error = self.error or error


def run(scan: Any, rows: range, settings: Settings, line: Line, checks: tuple[str, ...] | None = None) -> Outcome:
    """Reconstruct these rows of a scan.

    Ctrl-C during a solve ends it with the last iterate and its reason; rows not begun are left out.  A row of several
    that cannot be reconstructed is NaN in the stack, and `Outcome.failures` says why; the others are not lost.

    Parameters
    ----------
    checks : what is doubtful about the scan, to be written into the file; None: it was not checked.

    Raises
    ------
    ScanError, ValueError
        Data that cannot be corrected, settings that do not fit them; of several rows: where all fail.
    """
    geometry = scan.geometry
    n, pixel = parts.grid(geometry, settings.size, settings.pixel_size)
    side = n + 2 * settings.margin
    A = Radon((side, side), geometry, pixel)
    line.show("reading")
    scale = Scale() if settings.prior == "none" else common_scale(scan, rows, A, settings, line)
    if settings.volume and not settings.direct and len(rows) > 1:
        A = Radon((len(rows), side, side), geometry, pixel)
        work = together(scan, rows, A, settings, scale, line)
    else:
        work = one_by_one(scan, rows, A, settings, scale, line)
    done = tuple(work.found) if not settings.volume else tuple(rows)
    done = tuple(sorted((*done, *work.failed))) if not settings.volume else done
    last = work.found[max(work.found)]
    return Outcome(
        last,
        assembled(work, done, settings),
        A,
        done,
        tuple(work.found[r].why if r in work.found else last.why for r in done),
        None if scale.unit is None else scale.lam,
        scale.unit,
        scale.weight,
        scale.choice,
        work.excluded,
        settings,
        work.stopped,
        work.failed,
        checks,
        work.found,
        len(rows) > 1,
    )


def common_scale(scan: Any, rows: range, A: Radon, settings: Settings, line: Line) -> Scale:
    """λ from the middle row; where that one is useless from another one."""
    middle = len(rows) // 2
    near = sorted(range(len(rows)), key=lambda k: abs(k - middle))
    spread = [near[0], *near[1:5], *near[5 :: max(1, len(rows) // 4)]][:TRIALS]
    first: Exception | None = None
    for k in dict.fromkeys(spread):
        try:
            y, weight, _ = measured(scan, rows[k], settings)
            line.show(f"a first image of row {rows[k]} for the scale of grey values")
            unit = parts.unit_weight(A, y)
            if settings.weight is not None:
                return Scale(settings.weight * unit, settings.weight, unit, None, rows[k])
            choice = parts.choose_weight(A, y, unit, weight, line=line, prior=settings.prior)
            return Scale(choice.weight * unit, choice.weight, unit, choice, rows[k])
        except Exception as error:
            if len(rows) == 1:
                raise
            first = first or error
    assert first is not None
    raise first


def one_by_one(scan: Any, rows: range, A: Radon, settings: Settings, scale: Scale, line: Line) -> Work:
    work = Work()
    for k, row in enumerate(rows):
        prefix = f"row {row} ({k + 1} of {len(rows)}): " if len(rows) > 1 else ""
        try:
            y, weight, out = measured(scan, row, settings)
            if settings.direct:
                line.show(f"{prefix}filtered back-projection", k / len(rows))
                result = _direct(A, y, settings)
            else:
                share = (k / len(rows), (k + 1) / len(rows))
                result = _solved(A, y, weight, settings, scale.lam, line, prefix, share)
        except KeyboardInterrupt:  # while the next row was read: keep what there is
            if not work.found:
                raise
            work.stopped = True
            break
        except Exception as error:
            if len(rows) == 1:
                raise
            work.fail(row, error)
            continue
        if result.interrupted and result.state.k == 0:  # the start image is none
            if not work.found:
                raise KeyboardInterrupt
            work.stopped = True
            break
        work.excluded += out
        if len(rows) > 1:  # the duals of a hundred rows are more than their images
            result = dataclasses.replace(result, state=Direct(result.x, result.state.k))
        work.found[row] = result
        if not result.finite:
            work.failed[row] = result.why
        if result.interrupted:
            work.stopped = True
            break
    if not work.found and work.error is not None:
        raise work.error
    return work


def together(scan: Any, rows: range, A: Radon, settings: Settings, scale: Scale, line: Line) -> Work:
    """All rows at once; rows that cannot be read have weight 0."""
    work = Work()
    try:
        y, weight, work.excluded = measured(scan, slice(rows.start, rows.stop, rows.step), settings)
        if work.excluded and not bool(namespace(y).all(namespace(y).any(weight > 0, axis=(1, 2)))):
            work.excluded = 0
            raise ValueError("a row is nowhere valid: one by one, they say why")
    except Exception:
        ys: list[Any] = []
        weights: list[Any] = []
        good: Any = None
        for row in rows:
            try:
                y, weight, out = measured(scan, row, settings)
                good, work.excluded = y, work.excluded + out
                ys, weights = [*ys, y], [*weights, weight + 0 * y]
            except Exception as error:
                work.fail(row, error)
                ys, weights = [*ys, None], [*weights, None]
        if good is None:
            raise
        xp = namespace(good)
        y, weight = (xp.stack([0 * good if v is None else v for v in values]) for values in (ys, weights))
    result = _solved(A, y, weight, settings, scale.lam, line, "", (0.0, 1.0))
    if result.interrupted and result.state.k == 0:
        raise KeyboardInterrupt
    work.stopped = result.interrupted
    work.found = {row: result for row in rows if row not in work.failed}
    if not result.finite:
        work.failed |= dict.fromkeys(rows, result.why)
    return work


def _solved(
    A: Radon, y: Array, weight: Any, settings: Settings, lam: float, line: Line, prefix: str, share: tuple[float, float]
) -> Result:
    """Solve for one block; "svtv" solves twice, the second time with weights from the first image."""
    rule, method = models.stop(settings), models.solver(settings)
    first, edges = None, None
    if settings.prior == "svtv":
        rough = models.stop(dataclasses.replace(settings, gap=10 * settings.gap, iterations=max(1, settings.most // 4)))
        posed = models.model("svtv", A, y, lam, weight).problem
        show = line.advance(rough, f"{prefix}first image, ", share)
        began: Result = solve(posed, method, stop=rough, progress=show)
        if began.interrupted or not began.finite:
            return began
        first, edges = began.x, tv_weights(began.x)
    posed, image = models.model(settings.prior, A, y, lam, weight, edges)
    result: Result = solve(posed, method, x0=first, stop=rule, progress=line.advance(rule, prefix, share))
    return dataclasses.replace(result, x=image(result.x))


def _direct(A: Radon, y: Array, settings: Settings) -> Result:
    """Filtered back-projection; with a margin the columns fade out on both sides, so that their ends make no rims."""
    began = clock()
    if (margin := settings.margin) > 0:
        xp, detectors = namespace(y), A.geometry.detectors
        fade = [math.cos(0.5 * math.pi * (k + 1) / (margin + 1)) ** 2 for k in range(margin)]
        right = xp.asarray(fade, dtype=y.dtype)
        y = xp.concat([y[:, :1] * xp.flip(right), y, y[:, detectors - 1 :] * right], axis=1)
        axis = A.geometry.axis if A.geometry.axis is not None else (detectors - 1) / 2
        A = Radon(
            A.domain,
            dataclasses.replace(A.geometry, detectors=detectors + 2 * margin, axis=axis + margin),
            A.pixel_size,
        )
    x = fbp(A, y)
    return Result(x, Direct(x), "filtered back-projection: direct, no iterations", (), clock() - began, A, "fbp")


def assembled(work: Work, rows: tuple[int, ...], settings: Settings) -> Array:
    """All images of a run: one, or a stack in which rows that failed are NaN; the margin is cut off."""
    some = next(iter(work.found.values())).x
    xp = namespace(some)
    if some.ndim == 3:
        gone = xp.reshape(xp.asarray([row in work.failed and row not in work.found for row in rows]), (-1, 1, 1))
        x = xp.where(gone, xp.full_like(some, math.nan), some) if work.failed else some
    elif len(rows) == 1:
        x = some
    else:
        x = xp.stack([work.found[r].x if r in work.found else xp.full_like(some, math.nan) for r in rows])
    m = settings.margin
    return x[..., m : x.shape[-2] - m, m : x.shape[-1] - m] if m else x


def measured(scan: Any, rows: Any, settings: Settings) -> tuple[Array, Any, int]:
    """Line integrals, the weights of the data term, and how many measurements these exclude."""
    which: dict[str, Any] = {"rows": rows} if isinstance(rows, slice) else {"row": rows}
    y, valid = scan.sinogram(**which), scan.valid(**which)
    excluded = int((~valid).sum())
    if excluded == valid.size:
        raise ValueError("none of the measurements is valid")
    if settings.counts:
        return y, scan.weight(**which), excluded
    return y, namespace(y).astype(valid, y.dtype) if excluded else 1.0, excluded
