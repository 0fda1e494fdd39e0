"""Prediction of data that were left out."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, device, is_array, namespace
from varinv.learning.path import Sweep
from varinv.learning.rules_base import ChoiceRule, Point
from varinv.linalg import dot


@dataclass(frozen=True, eq=False, repr=False)
class HoldOut(ChoiceRule):
    r"""Choose parameters by how well the image predicts measurements that were left out (cross-validation).

    Minimise the mean of w (A x_θ − y)² over measurements that x_θ has not seen; no σ needed.

    The weight chosen belongs to the data that were kept, a little fewer than all: slightly too small for all of them.

    Parameters
    ----------
    every : one in so many is held out, ≥ 2.
    axis : whole indices of this axis, interleaved: 0 for the views of a sinogram; None: single entries at random
        (pixels of an image).
    folds : how often, each time other measurements; up to `every`, which is k-fold cross-validation.
    seed : of the random entries.
    """

    every: int = 5
    axis: int | None = None
    folds: int = 1
    seed: int = 0

    criterion = "mean square of held-out residuals"

    def __post_init__(self) -> None:
        check.integer("HoldOut", "every", self.every, low=2)
        check.integer("HoldOut", "seed", self.seed)
        if self.axis is not None:
            check.integer("HoldOut", "axis", self.axis)
        if check.integer("HoldOut", "folds", self.folds, low=1) > self.every:
            raise ValueError(f"HoldOut: folds must be at most every = {self.every}, got {self.folds}")

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        return [(sweep.masked(1 - out), out) for out in self.masks(sweep.y)]

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        total = count = seen = 0.0
        reached = True
        for part, out in prepared:
            before = part.solves, part.iterations
            fit = part.at(theta)
            sweep.solves += part.solves - before[0]
            sweep.iterations += part.iterations - before[1]
            w: Any = part.term.weight
            valid = namespace(w).astype(w > 0, out.dtype) if is_array(w) else 1.0
            total, count = total + dot(out * fit.r, fit.r), count + dot(out * valid, out)
            seen += dot((1 - out) * fit.r, fit.r)
            reached = reached and fit.reached
        return Point(theta, total / count if count else math.nan, math.sqrt(seen), math.nan, reached)

    def masks(self, y: Array) -> list[Array]:
        """1 where a measurement is held out, one mask per fold."""
        xp, shape = namespace(y), tuple(y.shape)
        if self.axis is None:
            m = math.prod(shape)
            labels = [k % self.every for k in range(m)]
            random.Random(self.seed).shuffle(labels)
            label = xp.reshape(xp.asarray(labels, dtype=y.dtype, device=device(y)), shape)
        else:
            (axis,) = check.axes("HoldOut", self.axis, shape)
            row = xp.arange(shape[axis], dtype=y.dtype, device=device(y)) % self.every
            label = xp.zeros_like(y) + xp.reshape(
                row, tuple(shape[axis] if k == axis else 1 for k in range(len(shape)))
            )
        offset = self.every // 2 if self.folds == 1 else 0
        masks = [xp.astype(label == (k + offset) % self.every, y.dtype) for k in range(self.folds)]
        if not all(0 < float(xp.sum(mask)) < math.prod(shape) for mask in masks):
            raise ValueError(
                f"HoldOut: one in {self.every} of shape {shape}"
                + (f" along axis {self.axis}" if self.axis is not None else "")
                + " leaves a part without measurements; lower every"
            )
        return masks
