"""A rectangular part of an image, or one field of a stack of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, is_array, namespace, to_numpy
from varinv.operators.base import LinearOperator
from varinv.operators.continuation import zeros_around
from varinv.operators.elementary import Diagonal, Identity
from varinv.operators.gradient import Gradient


@dataclass(frozen=True, eq=False, repr=False)
class Restriction(LinearOperator):
    """Cut a rectangular part out of an image.

    x ↦ x[region], a rectangular part; shape (*n) → (*m), an axis less for every integer in the region.

    The adjoint puts the part back and fills the rest with zeros: K Kᵀ = identity, so the norm is 1.  For scattered
    pixels see `Subsampling`.

    Parameters
    ----------
    shape : image shape.
    region : one slice or integer per axis, or for the first axes only, written as in ``x[region]`` (with ``...`` too);
        negative ones count from the end.  Or a boolean mask of the image's shape, which stands for its bounding box.

    Raises
    ------
    TypeError, ValueError
        More entries than axes, an integer outside the axis, an empty slice, a slice with a step other than 1, integers
        alone (a number is no array), a mask of another shape or without a True entry.

    Examples
    --------
    >>> import numpy as np
    >>> K = Restriction((2, 3), (slice(None), slice(1, None)))
    >>> K(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    array([[2., 3.],
           [5., 6.]])
    >>> Restriction((2, 3), 1).T(np.array([7.0, 8.0, 9.0]))
    array([[0., 0., 0.],
           [7., 8., 9.]])
    """

    shape: Shape
    region: Any

    def __post_init__(self) -> None:
        shape = check.shape("Restriction", self.domain)
        region = self.region
        if is_array(region) or isinstance(region, list):
            region = _bounding_box(region, shape)
        given = region if isinstance(region, tuple) else (region,)
        at = [k for k, r in enumerate(given) if r is Ellipsis]
        if len(at) == 1 and len(given) <= len(shape) + 1:
            given = given[: at[0]] + (slice(None),) * (len(shape) + 1 - len(given)) + given[at[0] + 1 :]
        if len(given) > len(shape):
            raise ValueError(
                f"Restriction: region must have at most {len(shape)} entries for shape {shape}, got {len(given)}"
            )
        given = given + (slice(None),) * (len(shape) - len(given))
        entries = tuple(_entry(k, r, n) for k, (r, n) in enumerate(zip(given, shape, strict=True)))
        if not any(isinstance(r, slice) for r in entries):
            raise ValueError("Restriction: region keeps a single number; write one integer i as slice(i, i + 1)")
        set_ = object.__setattr__
        set_(self, "shape", shape)
        set_(self, "region", entries)

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return tuple(r.stop - r.start for r in self.region if isinstance(r, slice))

    def forward(self, x: Array) -> Array:
        return namespace(x).asarray(x[self.region], copy=True)  # never a view of the caller's image

    def adjoint(self, y: Array) -> Array:
        if math.prod(self.domain) == math.prod(self.codomain):  # all of it
            return namespace(y).reshape(y, self.domain, copy=True)
        for axis, (r, n) in enumerate(zip(self.region, self.domain, strict=True)):
            if not isinstance(r, slice):
                y, r = namespace(y).expand_dims(y, axis=axis), slice(r, r + 1)
            y = zeros_around(y, axis, r.start, n - r.stop)
        return y

    def norm(self) -> float:
        return 1.0

    def absolute(self) -> LinearOperator:
        return self

    def coisometry(self) -> float:
        return 1.0

    def reads(self) -> Array:
        mask = host.zeros(self.domain, dtype=host.bool)
        mask[self.region] = True
        return mask

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((5,), slice(1, -1))
        yield cls((4, 6), (slice(2), slice(3, 5)))
        yield cls((3, 4, 2), (1, slice(None), -1))
        yield cls((3, 2), host.asarray([[False, True], [False, True], [False, False]]))
        yield cls((1, 3), 0)
        yield cls((512, 300), (slice(100, 400), slice(0, 300)))
        yield cls((3, 4), (slice(1, 3), 2)).T
        yield Gradient((2, 4)) @ Part((3, 2, 4), 0) - Part((3, 2, 4), slice(1, None))  # ∇x − v, the row of TGV
        d = Diagonal([1.0, -2.0, 0.5, 3.0])
        yield Part((2, 4), 0).T @ Identity((4,)) + Part((2, 4), 1).T @ d  # a stack
        yield Gradient((4,)) @ d

    def __repr__(self) -> str:
        words = [
            str(r) if not isinstance(r, slice) else ":" if r == slice(0, n) else f"{r.start}:{r.stop}"
            for r, n in zip(self.region, self.domain, strict=True)
        ]
        while len(words) > 1 and words[-1] == ":":
            words.pop()
        return f"Restriction({self.domain}, [{', '.join(words)}])"


def Part(shape: Shape, index: int | slice) -> LinearOperator:
    """Take one image, or several, out of a stack of unknowns.

    x ↦ x[index] along axis 0: one field (an integer; the axis goes) or several (a slice) of a stacked unknown.

    With it, operators act on the fields of one unknown: ``K1 @ Part(shape, 0) + K2 @ Part(shape, 1)`` is the row
    K1 x₀ + K2 x₁, whose norm bound is √(‖K1‖² + ‖K2‖²); with adjoints,
    ``Part(shape, 0).T @ K1 + Part(shape, 1).T @ K2`` is the stack of K1 x and K2 x.

    Raises
    ------
    TypeError, ValueError
        As `Restriction`.

    Examples
    --------
    >>> import numpy as np
    >>> Part((3, 2), slice(1, None))(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    array([[3., 4.],
           [5., 6.]])
    >>> from varinv.operators.gradient import Gradient
    >>> shape = (3, 8, 8)  # x and v of TGV
    >>> row = Gradient((8, 8)) @ Part(shape, 0) - Part(shape, slice(1, None))
    >>> row.norm() < 3  # √(8 + 1), a little less on a small image
    True
    """
    if isinstance(index, tuple):
        raise TypeError(f"Part: index must be an integer or a slice along axis 0, got {index!r}; see Restriction")
    return Restriction(shape, index)


def _entry(axis: int, r: Any, n: int) -> Any:
    """An integer within 0..n − 1 or a slice with start < stop within the axis."""
    if not isinstance(r, slice):
        if isinstance(r, bool) or not hasattr(r, "__index__"):
            raise TypeError(f"Restriction: region[{axis}] must be an integer or a slice, got {check.describe(r)}")
        i = int(r.__index__())
        if not -n <= i < n:
            raise ValueError(f"Restriction: region[{axis}] must lie in {-n}..{n - 1}, got {i}")
        return i % n
    if r.step not in (None, 1):
        raise ValueError(
            f"Restriction: region[{axis}] must have step 1, got step {r.step!r}; "
            "use Downsampling(shape, step, filter='none') or Subsampling(shape, mask)"
        )
    try:
        start, stop, _ = r.indices(n)
    except TypeError:
        raise TypeError(f"Restriction: region[{axis}] must have integer bounds, got {r!r}") from None
    if start >= stop:
        raise ValueError(f"Restriction: region[{axis}] = {r!r} keeps nothing of an axis of length {n}")
    return slice(start, stop)


def _bounding_box(mask: Any, shape: Shape) -> tuple[slice, ...]:
    mask = check.taken("Restriction", "the mask", mask)
    mask = mask if is_array(mask) else host.asarray(mask)
    if not namespace(mask).isdtype(mask.dtype, "bool"):
        raise TypeError(
            f"Restriction: region must be slices, integers or a boolean mask, got {check.describe(mask)}; "
            "for positions use Subsampling(shape, mask)"
        )
    check.same_shape("Restriction", "the mask", mask, shape)
    found = host.nonzero(host.asarray(to_numpy(mask)))
    if found[0].shape[0] == 0:
        raise ValueError(f"Restriction: the mask of shape {shape} keeps no pixel (all False)")
    return tuple(slice(int(i.min()), int(i.max()) + 1) for i in found)
