"""Space-variant total variation: a weight for every pixel, or for every block of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from varinv import check
from varinv.backend import Array, Shape, namespace, same_place
from varinv.functionals.charbonnier import Charbonnier
from varinv.learning.families.base import LARGEST, Family, data_term, entries, operator
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class WeightMap(Family):
    r"""Least squares with total variation whose weight varies over the image and is learned.

    ½‖A x − y‖² + Σ_i w_i √(|∇x|_i² + ν²) + ½ ξ‖x‖² with θ = ln w on the blocks of a grid, in C order.

    J^Tq at a block: Σ over its pixels of w_i ⟨∇x_i, ∇q_i⟩/√(|∇x|_i² + ν²).  All images share one map.

    Parameters
    ----------
    shape : image shape.
    block : pixels per block along each axis, one number or one per axis; 1: a weight for every pixel.
    A : forward operator; None: denoising.
    smoothing : ν > 0.
    ridge : ξ ≥ 0; positive for other A.

    Raises
    ------
    TypeError, ValueError
        A shape that the blocks do not divide, an operator of other images, parameters out of range.

    Examples
    --------
    >>> family = WeightMap((8, 6), block=2)
    >>> family.grid, family.start_at(0.1).shape
    ((4, 3), (12,))
    """

    shape: Shape
    block: int | Sequence[int] = 1
    A: LinearOperator | None = None
    smoothing: float = 1e-2
    ridge: float = 0.0

    def __post_init__(self) -> None:
        who, put = "WeightMap", object.__setattr__
        put(self, "shape", check.shape(who, self.shape))
        blocks = self.block if isinstance(self.block, (tuple, list)) else (self.block,) * len(self.shape)
        put(self, "block", tuple(check.integer(who, "block", b, low=1) for b in blocks))
        if len(blocks) != len(self.shape) or any(n % b for n, b in zip(self.shape, blocks, strict=True)):
            raise ValueError(
                f"{who}: blocks of {tuple(blocks)} must divide the shape {self.shape}; crop or pad the images"
            )
        operator(who, self.A)
        if self.A is not None and tuple(self.A.domain) != self.shape:
            raise ValueError(f"{who}: A takes images {tuple(self.A.domain)}, the map has shape {self.shape}")
        check.number(who, "smoothing", self.smoothing, low=0.0, strict=True)
        check.number(who, "ridge", self.ridge, low=0.0)
        put(self, "_gradient", Gradient(self.shape))

    @property
    def grid(self) -> Shape:
        """How many blocks there are along each axis."""
        return tuple(n // b for n, b in zip(self.shape, self.block, strict=True))  # type: ignore[arg-type]

    def start_at(self, weight: float) -> Array:
        """theta of a constant weight; raises ValueError where it is not positive."""
        import array_api_compat.numpy as xp

        value = math.log(check.number("WeightMap", "weight", weight, low=0.0, strict=True))
        return xp.full((math.prod(self.grid),), value)

    def weight(self, theta: Array) -> Array:
        """The image of weights that theta means."""
        entries(self, theta, math.prod(self.grid))
        xp = namespace(theta)
        largest = float(xp.max(abs(theta)))
        if not largest <= LARGEST:
            raise ValueError(
                f"WeightMap: theta reaches {largest:g}; natural logarithms between ±{LARGEST:g} are expected"
            )
        w = xp.reshape(xp.exp(theta), self.grid)
        for axis, b in enumerate(self.block):  # type: ignore[arg-type]
            w = xp.repeat(w, b, axis=axis)
        return w

    def values(self, theta: Array) -> dict[str, float]:
        w, xp = self.weight(theta), namespace(theta)
        return {"least weight": float(xp.min(w)), "mean weight": float(xp.mean(w)), "largest weight": float(xp.max(w))}

    def __call__(self, theta: Array, y: Array) -> Problem:
        w = same_place("WeightMap", "theta", self.weight(theta), y)
        term = Charbonnier(self.smoothing, w, groups=True) @ self._gradient  # type: ignore[attr-defined]
        problem: Problem = data_term(y, self.A, self.ridge) + term
        return problem

    def mu(self, theta: Array) -> float:
        return (1.0 if self.A is None else 0.0) + self.ridge

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> Array:
        D, xp = self._gradient, namespace(x)  # type: ignore[attr-defined]
        z = D.forward(x)
        along = xp.sum(z * D.forward(q), axis=0) / xp.sqrt(xp.sum(z * z, axis=0) + self.smoothing**2)
        product = same_place("WeightMap", "theta", self.weight(theta), x) * along
        split = [n for pair in zip(self.grid, self.block, strict=True) for n in pair]  # type: ignore[arg-type]
        inside = tuple(range(1, len(split), 2))
        return xp.reshape(xp.sum(xp.reshape(product, tuple(split)), axis=inside, dtype=xp.float64), (-1,))

    def __repr__(self) -> str:
        return f"WeightMap({self.shape}, block={self.block}, smoothing={self.smoothing:g}, ridge={self.ridge:g})"
