"""X-ray transform of images on a pixel grid: Joseph's rays, and a back-projection with the very same weights."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from varinv import check
from varinv.backend import Array, Shape, double, indices_like, kernel, like, namespace
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.geometry import FanBeam, ParallelBeam, some_views
from varinv.operators.norms import collatz_wielandt
from varinv.operators.spectrum import Spectrum, ramp
from varinv.operators.volume_radon import VolumeScan
from varinv.operators.volumes import check_volume, volumes, voxel

WIDER = 1e-3  # a bin is wider than a pixel only by more than this: lengths are written down with a few digits


@dataclass(frozen=True, eq=False, repr=False)
class Radon(LinearOperator):
    r"""The forward operator of tomography: line integrals of an image along the rays of a scan.

    (rows, cols) → (angles, detectors), stacks (s, rows, cols) → (s, angles, detectors) with one geometry for all
    slices.  With a geometry of volumes (ConeBeam, Laminography, Views): (slices, rows, columns) → (views, rows and
    columns of the detector).

    Joseph's interpolation (P. M. Joseph 1982, IEEE Trans. Med. Imaging 1, 192–196): a ray steeper than 45° is
    sampled once per row, any other once per column, linearly between the two pixels beside it, zero outside:

        (Ax)_ray = ℓ Σ_n [(1 − w_n) x[n, j_n] + w_n x[n, j_n + 1]],
        t_n = start + n·slope,   j_n = ⌊t_n⌋,   w_n = t_n − j_n

    with ℓ = pixel_size/|cos φ| the path from one row to the next, φ the angle between the ray and the columns.  Rows or
    columns: decided once per ray (`Rays.by_row`) for both directions, so `adjoint` is the exact transpose.  A line
    integral has the unit of the image times that of `pixel_size`.

    A bin wider than a pixel (at the axis, for a fan) is the mean of ⌈pitch/pixel⌉ equally spaced rays, so that no
    pixel goes unread.  Pixels that no ray meets are zero columns of A: Aᵀ1 is 0 there.

    In a volume a ray crosses the planes of one axis and reads four voxels on each (varinv.operators.volume_radon).

    Norm: Collatz–Wielandt in float64 (no entry is negative), at most 1 % too large, found once; in volumes in float32,
    at most 6 %.

    Parameters
    ----------
    shape : (rows, cols) or (slices, rows, cols); all slices share the geometry.
    geometry : ParallelBeam, FanBeam, ConeBeam, Laminography or Views.  x to the right, y up, z up, the axis at the
        centre of the image.
    pixel_size : edge of a pixel, in the unit of the geometry's lengths; None: the spacing of the rays at the axis
        (parallel: `spacing`; fan: spacing / magnification).  In volumes also (slice, row, column).
    origin : (row, column) of the rotation axis in the image, fractional; None: the centre, ((rows − 1)/2,
        (cols − 1)/2).  Images of scikit-image have it at (rows // 2, cols // 2).

    Raises
    ------
    TypeError, ValueError
        A geometry of another type, a pixel size that is not positive, an origin that is not two numbers, a source
        inside the image.

    Examples
    --------
    >>> import numpy as np
    >>> A = Radon((2, 2), ParallelBeam([0.0, np.pi / 2], 2))
    >>> A(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[4., 6.],
           [7., 3.]])
    """

    shape: Shape
    geometry: Any  # of the five
    pixel_size: float | tuple[float, float, float] | None = None
    origin: tuple[float, float] | None = None
    fresh: ClassVar[bool] = True

    def __post_init__(self) -> None:
        (check_volume if hasattr(self.geometry, "projections") else check_scan)(self)

    @functools.cached_property
    def _scan(self) -> ImageScan | VolumeScan:
        """How it is done, for images or for volumes."""
        if hasattr(self.geometry, "projections"):
            return VolumeScan(self.domain, self.geometry, voxel(self))
        return ImageScan(self.domain, self.geometry, edge(self), self.origin)

    @property
    def domain(self) -> Shape:
        return self.shape

    @property
    def codomain(self) -> Shape:
        return self._scan.codomain

    @property
    def rays(self) -> Any:
        """Every ray of the scan as a line across the grid."""
        return self._scan.rays

    def forward(self, x: Array) -> Array:
        return self._scan.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self._scan.adjoint(y)

    @once
    def norm(self) -> float:
        return self._scan.norm(self)

    def absolute(self) -> LinearOperator | None:
        return self

    def preconditioner(self) -> Spectrum:
        """The ramp of filtered back-projection, with a floor."""
        return ramp(self.codomain)

    def scan_geometry(self) -> Any:
        return self.geometry

    def views(self) -> int:
        return self._scan.views

    def subset(self, indices: Sequence[int]) -> LinearOperator:
        """The rows of some views (projection angles), at the price of those."""
        part = copy.copy(self)  # checked already
        object.__setattr__(part, "geometry", some_views(self.geometry, indices))
        return part

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        turn = [0.0, 0.4, math.pi / 4, 1.3, math.pi / 2, 2.0, -2.5, 9.0]
        yield cls((5, 8), ParallelBeam(turn, 11))
        yield cls((8, 5), ParallelBeam(turn, 7, spacing=0.7, axis=2.3), pixel_size=1.0)
        yield cls((8, 5), ParallelBeam(turn, 7, 0.7, axis=[3.0, 2.5, 3.1, 2.9, 3.0, 3.3, 2.7, 3.0]), origin=(3.0, 2.5))
        yield cls((6, 7), ParallelBeam(turn, 4, spacing=2.6), pixel_size=1.1)
        yield cls((2, 5, 4), ParallelBeam(turn[:3], 6))
        yield cls((1, 1), ParallelBeam(turn[:2], 3))
        yield cls((7, 6), FanBeam(turn, 9, 1.5, 12.0, 6.0, axis=3.6))
        yield cls((7, 6), FanBeam(turn[:3], 9, 1.5, 12.0, 6.0, axis=[3.6, 4.1, 4.4], curved=True), 0.9, (2.0, 4.0))
        yield cls((2, 4, 9), FanBeam(turn[3:], 5, 4.0, 15.0, 0.0), pixel_size=1.2)
        yield from volumes(cls)
        half_turn = [math.pi * k / 180 for k in range(180)]
        yield cls((512, 512), ParallelBeam(half_turn, 725))
        yield cls((256, 200), FanBeam(half_turn[::3], 400, 1.2, 500.0, 250.0, axis=203.25))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain}, {self.geometry}{grid_repr(self)})"


class ImageScan:
    """How `Radon` works through images, and stacks of them."""

    views = -2

    def __init__(
        self, shape: Shape, geometry: ParallelBeam | FanBeam, pixel_size: float, origin: tuple[float, float] | None
    ) -> None:
        self.domain, self.codomain, self.given = shape, (*shape[:-2], *geometry.shape), (geometry, pixel_size, origin)

    @functools.cached_property
    def rays(self) -> Rays:
        return Rays(self.domain[-2:], *self.given)

    def forward(self, x: Array) -> Array:
        return _per_slice(project, x, self.rays, self.codomain)

    def adjoint(self, y: Array) -> Array:
        return _per_slice(adjoint, y, self.rays, self.domain)

    def norm(self, A: Any) -> float:
        """Of one slice: all have the same."""
        return collatz_wielandt(A) if len(self.domain) == 2 else float(type(A)(self.domain[1:], *self.given).norm())


def check_scan(A: Any) -> None:
    """Check and normalise the four fields every projector of an image has."""
    who, set_ = type(A).__name__, object.__setattr__
    set_(A, "shape", check.shape(who, A.domain, ndim=(2, 3)))
    g = A.geometry
    if not isinstance(g, (ParallelBeam, FanBeam)):
        raise TypeError(
            f"{who}: geometry must be a ParallelBeam or a FanBeam, or one of volumes "
            f"(ConeBeam, Laminography, Views), got {check.describe(g)}"
        )
    given = g.spacing_at_axis if A.pixel_size is None else A.pixel_size
    set_(A, "pixel_size", check.number(who, "pixel_size", given, low=0, strict=True))
    if A.origin is not None:
        place = tuple(A.origin) if hasattr(A.origin, "__iter__") else ()
        if len(place) != 2:
            raise TypeError(f"{who}: origin must be (row, column) of the axis in the image, got {A.origin!r}")
        set_(A, "origin", tuple(check.number(who, f"origin[{k}]", place[k]) for k in range(2)))
    if isinstance(g, FanBeam):
        far = A.pixel_size * farthest(A.domain[-2:], A.origin)
        if g.source_to_axis <= far + A.pixel_size:
            raise ValueError(
                f"{who}: the source is inside the image: source_to_axis={g.source_to_axis:g} must exceed the half "
                f"diagonal {far:g} of {A.domain[-2:]} pixels of {A.pixel_size:g} plus one pixel; are source_to_axis, "
                "spacing and pixel_size in the same unit?"
            )


def edge(A: Any) -> float:
    """The pixel size of a projector, which is a number from its construction on."""
    return float(A.pixel_size)


def middle(shape: Shape, origin: tuple[float, float] | None) -> tuple[float, float]:
    """(row, column) of the rotation axis in an image."""
    return ((shape[0] - 1) / 2, (shape[1] - 1) / 2) if origin is None else origin


def farthest(shape: Shape, origin: tuple[float, float] | None) -> float:
    """From the rotation axis to the farthest corner of the image, in pixels."""
    row, column = middle(shape, origin)
    return math.hypot(max(row, shape[0] - 1 - row) + 0.5, max(column, shape[1] - 1 - column) + 0.5)


def grid_repr(A: Any) -> str:
    """What a projector's grid has beside its shape, in words; nothing where it is what None gives."""
    h = A.pixel_size
    size = f"({', '.join(f'{e:g}' for e in h)})" if isinstance(h, tuple) else f"{h:g}"
    words = "" if h == A.geometry.spacing_at_axis else f", pixel_size={size}"
    return words + ("" if A.origin is None else f", origin=({A.origin[0]:g}, {A.origin[1]:g})")


class Rays:
    """The rays of a scan as lines across the pixel grid, in float64.

    On row n (on column n where not `by_row`) a ray passes the column (row) index ``start + n·slope``; `length` is its
    path from one row to the next.  Arrays are (angles, rays), or (angles, 1) where all rays of an angle agree.
    There are `parts` rays to a bin.  `pitch`, (angles, 1), is the distance of neighbouring rays in `start` where it is
    constant (parallel rays); None for a fan.
    """

    def __init__(
        self,
        shape: Shape,
        geometry: ParallelBeam | FanBeam,
        pixel_size: float,
        origin: tuple[float, float] | None = None,
    ) -> None:
        self.shape, self.geometry, self.pixel_size = shape, geometry, pixel_size
        self.origin = middle(shape, origin)
        fan = isinstance(geometry, FanBeam)
        self.parts = max(1, math.ceil(geometry.spacing_at_axis / pixel_size - WIDER))
        self.count = geometry.detectors * self.parts
        self.spacing = geometry.spacing / self.parts
        self.axes = geometry.axes * self.parts + (self.parts - 1) / 2

        xp = namespace(geometry.angles)
        angle = geometry.angles[:, None]
        c, s = xp.cos(angle), xp.sin(angle)
        u = (xp.arange(self.count, dtype=xp.float64)[None, :] - self.axes[:, None]) * self.spacing
        # a point (x, y) of each ray and its direction (dx, dy)
        if isinstance(geometry, FanBeam):
            R, D = geometry.source_to_axis, geometry.source_to_axis + geometry.axis_to_detector
            u = D * xp.tan(geometry.fan_angles(u)) if geometry.curved else u
            x, y, dx, dy = R * s, -R * c, u * c - D * s, u * s + D * c
        else:
            x, y, dx, dy = u * c, u * s, -s, c

        h, (row, column) = pixel_size, self.origin
        self.by_row = xp.abs(dy) >= xp.abs(dx)
        across, along = xp.where(self.by_row, dx, dy), xp.where(self.by_row, dy, dx)
        tangent = across / along
        top, left = row * h, -column * h  # y of row 0, x of column 0
        meets_row_0 = (x + (top - y) * tangent - left) / h
        meets_column_0 = (top - y - (left - x) * tangent) / h
        self.start = xp.where(self.by_row, meets_row_0, meets_column_0)
        self.slope = -tangent
        self.length = h * xp.hypot(xp.ones_like(tangent), tangent)
        self.pitch = None if fan else self.spacing / (h * along)  # parallel rays: moving u by `spacing` moves start so

    def shadow(self, view: int) -> Array:
        """The ray index (fractional) on which the centre of each pixel falls in a view, (rows, cols)."""
        xp, h, (rows, cols), g = namespace(self.start), self.pixel_size, self.shape, self.geometry
        cos, sin = math.cos(g.angles[view]), math.sin(g.angles[view])
        x = (xp.arange(cols, dtype=xp.float64)[None, :] - self.origin[1]) * h
        y = (self.origin[0] - xp.arange(rows, dtype=xp.float64)[:, None]) * h
        u = x * cos + y * sin
        if isinstance(g, FanBeam):
            R, D = g.source_to_axis, g.source_to_axis + g.axis_to_detector
            u = u / (R - x * sin + y * cos)  # the tangent of the fan angle
            u = D * (xp.atan(u) if g.curved else u)
        return u / self.spacing + self.axes[view]

    @functools.cached_property
    def reach(self) -> int:
        """Rays farther than this from a pixel's shadow pass it by: a bound of how far one pixel's step casts it.

        A step of h moves u = D v/w (v sideways, w ≥ R − r away from the source, r the half diagonal) by at most
        h·D·√(v² + w²)/w², and D atan(v/w) by less.
        """
        h, g = self.pixel_size, self.geometry
        stretch = 1.0
        if isinstance(g, FanBeam):
            r = h * (farthest(self.shape, self.origin) + 0.5)  # a step away from the centre of a corner pixel
            w = g.source_to_axis - r
            stretch = (g.source_to_axis + g.axis_to_detector) * math.hypot(w, r) / w**2
        return math.ceil(stretch * h / self.spacing)


def _per_slice(kernel: Any, a: Array, rays: Rays, shape: Shape) -> Array:
    """Apply a kernel of stacks to a stack or to one image (a stack of one)."""
    xp = namespace(a)
    return xp.reshape(kernel(xp.reshape(a, (-1, *a.shape[-2:])), rays), shape)


@kernel
def project(x: Array, rays: Rays) -> Array:
    """Line integrals of a stack of images, (slices, rows, cols) → (slices, angles, bins)."""
    xp = namespace(x)
    start, slope, length = (like(a, double(x)) for a in (rays.start, rays.slope, rays.length))
    by_row = like(rays.by_row, x)
    angles, count = start.shape
    total = xp.zeros_like(start, dtype=x.dtype)
    for image, chosen in ((x, by_row), (xp.matrix_transpose(x), 1 - by_row)):
        slices, steps, width = image.shape
        zero = xp.zeros_like(image[:, :, :1])
        image = xp.concat([zero, image, zero, zero], axis=2)  # column −1, 0 … width, width + 1
        weight = chosen * xp.astype(length, x.dtype)
        for n in range(steps):
            t = xp.clip(start + n * slope, -1.0, float(width))
            j = xp.floor(t)
            w = xp.astype(t - j, x.dtype)
            left = xp.reshape(xp.astype(j, xp.int64), (-1,)) + 1
            a, b = (xp.reshape(xp.take(image[:, n, :], k, axis=1), (-1, angles, count)) for k in (left, left + 1))
            total = total + weight * ((1 - w) * a + w * b)
    return xp.mean(xp.reshape(total, (slices, angles, -1, rays.parts)), axis=3)


@kernel
def adjoint(y: Array, rays: Rays) -> Array:
    """The transpose of `project`, (slices, angles, bins) → (slices, rows, cols).

    A gather: each pixel asks the rays near its shadow how far they pass it, |start + n·slope − j|, and weights them
    by one minus that, which are Joseph's (1 − w) and w.
    """
    xp = namespace(y)
    hp = namespace(rays.start)  # indices and distances are the geometry's: computed where it lives
    rows, cols = rays.shape
    i, j = hp.arange(rows)[:, None], hp.arange(cols)[None, :]
    ones = hp.ones_like(rays.start)
    slope, length, by_row = rays.slope * ones, rays.length * ones, (rays.by_row * ones) > 0
    total: Any = 0.0
    for a in range(len(rays.geometry.angles)):
        nearest = hp.floor(rays.shadow(a))
        for m in range(-rays.reach, rays.reach + 1):
            k = hp.clip(nearest + m, 0, rays.count - 1)
            valid = k == nearest + m
            k = hp.astype(k, hp.int64)
            n, minor = hp.where(by_row[a, :][k], i, j), hp.where(by_row[a, :][k], j, i)
            distance = hp.abs(rays.start[a, :][k] + n * slope[a, :][k] - minor)
            weight = hp.where(valid, length[a, :][k] * hp.clip(1 - distance, 0.0, None), 0.0) / rays.parts
            bins = indices_like(hp.reshape(k // rays.parts, (-1,)), y)
            value = xp.reshape(xp.take(y[:, a, :], bins, axis=1), (-1, rows, cols))
            total = total + like(weight, y) * value
    return total
