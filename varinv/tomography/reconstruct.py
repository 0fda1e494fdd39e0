"""From line integrals and their geometry to an image: the grid, the weight, the solve.  What the command line calls.

Weights are relative here: λ = weight × `unit_weight`, the grey value of bright parts (99.5 percentile of a
CGLS image) times pixel_size².  So a weight keeps its meaning when counts, contrast or units of length change:
scaling y by s, or lengths by h, scales the image and λ such that the problem stays the same.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from varinv.backend import Array, namespace
from varinv.linalg import norm
from varinv.operators.geometry import FanBeam, ParallelBeam, some_views
from varinv.operators.grid import Grid
from varinv.operators.radon import Radon
from varinv.progress import Line
from varinv.scan.errors import room
from varinv.scan.first_problem import problem as problem
from varinv.scan.first_problem import unit_weight as unit_weight
from varinv.solvers.base import until
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.rules import iterations
from varinv.tomography.models import model

WEIGHTS = tuple(10.0 ** (k / 2) for k in range(-4, 4))  # 0.01 … 31.6, the candidates of `choose_weight`
EVERY = 5  # every fifth view is held out
STEPS = 120  # iterations a candidate
MORE = 4  # candidates beyond the range, where the best is at its end


def grid(
    geometry: ParallelBeam | FanBeam, size: int | None = None, pixel_size: float | None = None
) -> tuple[int, float]:
    """Side n of the square image in pixels, and the pixel size (varinv.operators.grid.Grid), if memory allows."""
    found = Grid.covering(geometry, pixel_size, size=size, who="reconstruct")
    return _affordable(found.shape[0]), found.pixel_size


def _affordable(n: int) -> int:
    """n, if a solve on n × n float32 pixels (about twelve images) fits into half of the memory."""
    if 12 * 4 * n * n > room():
        raise ValueError(
            f"reconstruct: an image of {n} × {n} pixels needs about {12 * 4 * n * n / 2**30:.3g} GiB and half of the "
            f"memory this process may use is {room() / 2**30:.3g} GiB; choose a smaller size or larger pixels"
        )
    return n


class Choice(NamedTuple):
    """The weight with the least held-out residual, and (weight, residual) of all that were tried."""

    weight: float
    table: tuple[tuple[float, float], ...]

    def report(self) -> list[str]:
        """The table in words, one line a weight."""
        lines = [f"{w:8.3g}  held-out residual {r:.5f}{'  ←' if w == self.weight else ''}" for w, r in self.table]
        if self.weight in (self.table[0][0], self.table[-1][0]):
            lines.append("the least residual is at the end of the range: the best weight may lie beyond")
        return lines


def choose_weight(
    A: Any,
    y: Array,
    one: float,
    weight: Any = 1.0,
    weights: tuple[float, ...] = WEIGHTS,
    line: Line | None = None,
    prior: str = "tv",
    keep: Callable[[float, Array], Any] = lambda w, x: None,
) -> Choice:
    """Hold out every fifth view, reconstruct from the others at each weight, take the one that predicts them best.

    The score is ‖A_out x − y_out‖/‖y_out‖ (of valid measurements).  From heavy to light, each solve starts where the
    one before ended, image and duals; each runs for 120 iterations, enough to rank them.  Where the best is at an end,
    up to four more are tried beyond it.

    Parameters
    ----------
    A, y : Radon and its data, one slice.
    one : λ of weight 1, see `unit_weight`.
    weight : of the data term.
    prior : see varinv.tomography.models.model.
    keep : called with each weight and its image, made from the views that were not held out.

    Raises
    ------
    ValueError
        Fewer than ten views: a fifth of them says nothing.
    """
    views = A.geometry.shape[0]
    if views < 2 * EVERY:
        raise ValueError(f"reconstruct: weight 'auto' holds out every fifth view and needs at least 10, got {views}")
    xp = namespace(y)
    out = [k for k in range(views) if k % EVERY == EVERY // 2]
    kept = [k for k in range(views) if k % EVERY != EVERY // 2]
    A_kept, A_out = (_views(A, which) for which in (kept, out))

    def take(a: Any, which: list[int]) -> Any:
        return xp.take(a, xp.asarray(which), axis=0) if hasattr(a, "shape") else a

    target, valid = take(y, out), take(weight, out)
    valid = 1.0 if not hasattr(valid, "shape") else xp.astype(valid > 0, y.dtype)
    size = norm(valid * target)
    solver, total = ChambollePock(), len(weights)
    scores: dict[float, float] = {}

    def trial(w: float, state: Any) -> Any:
        """Solve at weight w from an earlier state, note the score, return the state reached."""
        p, image = model(prior, A_kept, take(y, kept), w * one, take(weight, kept))
        begin = solver.init(p, p.zeros() if state is None else state.x)
        begin = begin if state is None else begin._replace(x_bar=state.x, y=state.y)
        done = min(len(scores), total - 1)
        rule = iterations(STEPS)
        show = None if line is None else line.advance(rule, f"weight {w:.3g}: ", (done / total, (done + 1) / total))
        for reached in until(p, solver.states(p, resume=begin), rule):
            if show is not None:
                show(reached.k, {})
        scores[w] = norm(valid * (A_out.forward(image(reached.x)) - target)) / size if size else 0.0
        keep(w, image(reached.x))
        return reached

    heaviest = lightest = None
    for w in sorted(weights, reverse=True):
        lightest = trial(w, lightest)
        heaviest = lightest if heaviest is None else heaviest
    for _ in range(MORE):
        best = min(scores, key=lambda w: scores[w])
        if best == max(scores):
            heaviest = trial(best * math.sqrt(10), heaviest)
        elif best == min(scores):
            lightest = trial(best / math.sqrt(10), lightest)
    return Choice(min(scores, key=lambda w: scores[w]), tuple(sorted(scores.items())))


def _views(A: Any, which: list[int]) -> Radon:
    part: Radon = dataclasses.replace(A, geometry=some_views(A.geometry, which))
    return part
