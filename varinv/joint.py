"""Several functionals of one and the same image, taken together in one exact prox."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, Shape, double, is_array, namespace
from varinv.functionals.base import Functional
from varinv.functionals.constraints import Box
from varinv.functionals.data import L2Squared
from varinv.functionals.nonconvex import Penalty
from varinv.functionals.sparsity import L1
from varinv.linalg import dot


@dataclass(frozen=True, eq=False, repr=False)
class Joint(Functional):
    r"""f(z) = Σ_k ½ w_k (z − y_k)² + r(z) + box constraints, with one exact prox.

    The squares complete to one (Σ w = W, Σ w y = C): argmin of f(z) + |z − v|²/2t is that of
    r(z) + |z − v'|²/2t', t' = t/(1 + tW), v' = (v + tC)/(1 + tW), and for a convex sum over entries, clipping its
    minimiser to the box gives the constrained one; so it does for z ≥ 0 and an r that grows with |z|.  Conjugate where
    W > 0: the supremum is taken at clip(prox_{r/W}((v + C)/W)).
    """

    squares: tuple[L2Squared, ...] = ()
    rest: Any = None
    boxes: tuple[Box, ...] = ()

    def __call__(self, z: Array) -> float:
        return sum((f(z) for f in self.parts), start=0.0)

    @property
    def parts(self) -> tuple[Functional, ...]:
        return (*self.squares, *((self.rest,) if self.rest is not None else ()), *self.boxes)

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return all(f.separable for f in self.parts)

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return all(f.convex for f in self.parts)

    def _sums(self, z: Array) -> tuple[Any, Any]:
        """W = Σ w and C = Σ w y beside z."""
        W: Any = 0.0
        C: Any = 0.0
        for f in self.squares:
            y, w = f._parts(z)
            W, C = W + w, C + w * y
        return W, C

    def _clip(self, z: Array) -> Array:
        for box in self.boxes:
            z = box.prox(z, 1.0)
        return z

    def prox(self, z: Array, step: Any) -> Array:
        W, C = self._sums(z)
        z = (z + step * C) / (1 + step * W)
        if self.rest is not None:
            z = self.rest.prox(z, step / (1 + step * W))
        return self._clip(z)

    def square_in_box(self, x: Array) -> tuple[Any, float, float, float] | None:
        box = self.boxes[0] if self.boxes else Box(-math.inf, math.inf)
        if self.rest is not None or len(self.squares) != 1 or is_array(box.lo) or is_array(box.hi):
            return None
        square = self.squares[0].square_in_box(x)
        return None if square is None else (*square[:2], box.lo, box.hi)

    def conj(self, q: Array) -> float:
        q = double(q)
        if not self.squares:
            box = _intersection([Box(-math.inf, math.inf), *self.boxes])
            if isinstance(self.rest, L1):
                return _conj_l1_in_box(self.rest, box, q)
            return box.conj(q) if self.rest is None else math.inf
        W, C = self._sums(q)
        least = float(namespace(W).min(W)) if is_array(W) else W
        if least <= 0 and (self.rest is not None or not self.boxes or not is_array(W)):
            return math.inf
        xp = namespace(q)
        z = (q + C) / W if least > 0 else (q + C) / xp.where(W > 0, W, xp.ones_like(q))
        if least <= 0:  # without a weight the supremum is at a bound of the box
            lo, hi = self.boxes[0]._bounds(q)
            z = xp.where(W > 0, z, xp.where(q > 0, hi + 0 * q, xp.where(q < 0, lo + 0 * q, self._clip(0 * q))))
            if bool(xp.any(abs(z) == math.inf)):
                return math.inf
        if self.rest is not None:
            z = self.rest.prox(z, 1 / W)
        z = self._clip(z)
        return dot(q, z) - self(z)

    @functools.cached_property
    def convexity(self) -> float:
        return sum(f.convexity for f in self.parts)

    def fits(self, shape: Shape) -> None:
        for f in self.parts:
            f.fits(shape)

    def data(self) -> Array | None:
        return next((f.data() for f in self.parts if f.data() is not None), None)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls((L2Squared([1.0, -2.0, 0.5]), L2Squared(0.3, 2.0)), L1(0.4), (Box(-0.5, 0.6),)), (3,)
        yield cls((), None, (Box(0.0, 2.0),)), (2, 2)
        yield cls((), L1([0.5, 0.0, 2.0]), (Box(-1.0, 2.0),)), (3,)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


def together(functionals: Iterable[Functional]) -> tuple[Functional | None, tuple[Functional, ...]]:
    """(one functional with an exact prox, those left over) for functionals of the same image.

    Squares, boxes and one more stay together, one that is not convex before others, as it has no dual; a non-separable
    one does not share its place with weights or boxes, a penalty that is not convex only with z ≥ 0.  Those left over
    are dualised with the identity.
    """
    squares: list[L2Squared] = []
    boxes: list[Box] = []
    others: list[Functional] = []
    for f in functionals:
        (squares if isinstance(f, L2Squared) else boxes if isinstance(f, Box) else others).append(f)  # type: ignore
    if len(boxes) > 1:
        boxes = [_intersection(boxes)]
    rest = None
    images = bool(boxes) or any(is_array(f.weight) for f in squares)
    for f in sorted(others, key=lambda f: f.convex):
        if hasattr(f, "prox") and (f.separable or not images):
            rest = f
            break
    left = tuple(f for f in others if f is not rest)
    if rest is not None and not rest.convex and boxes and not _grows(rest, boxes[0]):
        left, boxes = (*left, *boxes), []
    parts = (*squares, *((rest,) if rest is not None else ()), *boxes)
    if len(parts) <= 1:
        return (parts[0] if parts else None), left
    return Joint(tuple(squares), rest, tuple(boxes)), left


def _conj_l1_in_box(f: L1, box: Box, q: Array) -> float:
    """sup of Σ q z − w|z − y| over the box: piecewise linear, so at an end or at y."""
    xp, (y, w), (lo, hi) = namespace(q), f._parts(q), box._bounds(q)
    if bool(xp.any(((q < -w) & (lo == -math.inf)) | ((q > w) & (hi == math.inf)))):
        return math.inf
    z = xp.minimum(xp.maximum(y + 0 * q, lo), hi)
    best = q * z - w * abs(z - y)
    for end in (lo + 0 * q, hi + 0 * q):
        z = xp.where(abs(end) < math.inf, end, z)
        best = xp.maximum(best, q * z - w * abs(z - y))
    return float(xp.sum(best))


def _grows(f: Functional, box: Box) -> bool:
    """Whether f grows with |z| and the box is z ≥ 0: clipping the minimiser is exact then."""
    return (
        isinstance(f, Penalty) and not is_array(box.lo) and not is_array(box.hi) and (box.lo, box.hi) == (0, math.inf)
    )


def _intersection(boxes: list[Box]) -> Box:
    """One box for several; array bounds are intersected entrywise."""
    lo, hi = boxes[0].lo, boxes[0].hi
    for box in boxes[1:]:
        lo, hi = _extreme("maximum", lo, box.lo), _extreme("minimum", hi, box.hi)
    return Box(lo, hi)


def _extreme(name: str, a: Any, b: Any) -> Any:
    if not is_array(a) and not is_array(b):
        return max(a, b) if name == "maximum" else min(a, b)
    reference = a if is_array(a) else b
    xp = namespace(reference)
    a = a if is_array(a) else xp.full_like(reference, a)
    b = b if is_array(b) else xp.full_like(reference, b)
    return getattr(xp, name)(a, b)
