"""Scan geometries of volumes, view by view: a source or a direction, and where the detector's pixels are.

Conventions (docs/conventions.md): x to the right, y up in a slice seen from above, z up; arrays of points are (n, 3),
one row a view.  Slice 0 and detector row 0 are at the top.  All lengths share one unit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, namespace, to_numpy

TINY = 1e-9  # relative: vectors that are parallel, or that stand upright


@dataclass(frozen=True, eq=False, repr=False)
class Views:
    """Any scan of a volume, one view after another, each with its own source and detector.

    Pixel (l, k), row l and column k, is at  detector + (k − (columns − 1)/2)·u + (l − (rows − 1)/2)·v.  It measures the
    line through it from `source`, or along `direction`.

    Parameters
    ----------
    detector : array of shape (n, 3); the centre of the detector in each view.
    u, v : (n, 3); the steps from one column, and from one row, to the next.
    shape : (rows, columns) of the detector.
    source, direction : (n, 3); exactly one of them: where the rays start, or where they all run.
    curved : True: the columns stand at equal angles |u|/r about the source, r its distance from the detector's middle
        column; u is the tangent there.

    Raises
    ------
    TypeError, ValueError
        Arrays of other shapes, values that are not finite, u and v that are parallel, rays that run along the
        detector; errors name the view.

    Examples
    --------
    >>> up, right = [[0.0, 0.0, -1.0]], [[1.0, 0.0, 0.0]]
    >>> Views([[0.0, 0.0, 0.0]], right, up, (3, 5), direction=[[0.0, 1.0, 0.0]])
    Views(1 view, 3 rows, 5 columns, parallel rays)
    """

    detector: Array
    u: Array
    v: Array
    shape: tuple[int, int]
    source: Array | None = None
    direction: Array | None = None
    curved: bool = False

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        rows, columns = check.shape("Views", self.shape, ndim=(2,))
        set_(self, "shape", (rows, columns))
        if (self.source is None) == (self.direction is None):
            raise TypeError("Views: give exactly one of source and direction")
        if not isinstance(self.curved, bool):
            raise TypeError(f"Views: curved must be True or False, got {self.curved!r}")
        for name in ("detector", "u", "v", "source", "direction"):
            if getattr(self, name) is not None:
                set_(self, name, points("Views", name, getattr(self, name)))
        for name in ("u", "v", "source", "direction"):
            if (a := getattr(self, name)) is not None and len(a) != len(self):
                raise ValueError(f"Views: {name} must have one row for each of {len(self)} views, got {len(a)}")
        normal, xp = self.normal, namespace(self.u)
        size = length(self.u) * length(self.v)
        refuse("u and v are parallel, or zero", length(normal) <= TINY * size)
        ray = self.middle
        across = xp.abs(xp.sum(normal * ray, axis=1)) <= TINY * size * length(ray)
        refuse("the rays run along the detector, or the direction is zero", across)
        if self.curved:
            self._check_arc()

    def _check_arc(self) -> None:
        if self.source is None:
            raise ValueError("Views: a curved detector needs a source, got a direction; curved=False is flat")
        xp, w = namespace(self.u), self._arm
        size = length(self.u) * length(w)
        refuse("a curved detector needs u perpendicular to v and to the ray at its middle", xp.logical_or(
            xp.abs(xp.sum(self.u * w, axis=1)) > 1e-6 * size,
            xp.abs(xp.sum(self.u * self.v, axis=1)) > 1e-6 * length(self.u) * length(self.v),
        ))  # fmt: skip
        half = self.shape[1] / 2 * length(self.u) / length(w)
        refuse("the edge of the curved detector is a quarter of a turn or more from its middle", half >= math.pi / 2)

    def __len__(self) -> int:
        return len(self.detector)

    @property
    def projections(self) -> tuple[int, int, int]:
        """Shape of the data, (views, rows, columns)."""
        return (len(self), *self.shape)

    @property
    def normal(self) -> Array:
        """u × v in each view, (n, 3)."""
        xp = namespace(self.u)
        return xp.linalg.cross(self.u, self.v, axis=1)

    @property
    def middle(self) -> Array:
        """The direction of the ray to the middle of the detector, (n, 3); not of length 1."""
        return self.direction if self.source is None else self.detector - self.source

    @property
    def _arm(self) -> Array:
        """From the source to the middle column, perpendicular to v."""
        xp, w = namespace(self.v), self.middle
        return w - xp.sum(w * self.v, axis=1)[:, None] / (length(self.v) ** 2)[:, None] * self.v

    def feet(self) -> Array:
        """The middle of each column of pixels (halfway between the first and the last row), (n, columns, 3)."""
        xp = namespace(self.u)
        k = xp.arange(self.shape[1], dtype=xp.float64)[None, :, None] - (self.shape[1] - 1) / 2
        u, c = self.u[:, None, :], self.detector[:, None, :]
        if not self.curved:
            return c + k * u
        w = self._arm[:, None, :]
        r, pitch = length(w), length(u)
        angle = k * (pitch / r)[..., None]
        return c + (xp.cos(angle) - 1) * w + xp.sin(angle) * u * (r / pitch)[..., None]

    def pixels(self) -> Array:
        """The centre of every pixel, (n, rows, columns, 3)."""
        xp = namespace(self.u)
        row = xp.arange(self.shape[0], dtype=xp.float64)[None, :, None, None] - (self.shape[0] - 1) / 2
        return self.feet()[:, None, :, :] + row * self.v[:, None, None, :]

    def rays(self) -> tuple[Array, Array]:
        """A point and the direction of every ray, broadcastable to (n, rows, columns, 3); directions of any length."""
        pixels = self.pixels()
        if self.source is None:
            return pixels, self.middle[:, None, None, :]
        return self.source[:, None, None, :], pixels - self.source[:, None, None, :]

    @property
    def shrink(self) -> Array:
        """How much smaller lengths on the detector are at the origin, (n,): 1 for parallel rays."""
        xp, n = namespace(self.u), self.normal
        if self.source is None:
            return xp.ones(len(self))
        if self.curved:
            across = self.source - xp.sum(self.source * self.v, axis=1)[:, None] * self.v / length(self.v)[:, None] ** 2
            return length(across) / length(self._arm)
        return xp.abs(xp.sum(self.source * n, axis=1) / xp.sum(self.middle * n, axis=1))

    def steps_at_axis(self) -> tuple[Array, Array]:
        """u and v as the distances of neighbouring rays at the origin, (n, 3) each."""
        if self.source is not None:
            return self.u * self.shrink[:, None], self.v * self.shrink[:, None]
        xp, d = namespace(self.u), self.middle / length(self.middle)[:, None]
        u, v = (a - xp.sum(a * d, axis=1)[:, None] * d for a in (self.u, self.v))
        return u, v

    @property
    def spacing_at_axis(self) -> float:
        """Distance of neighbouring columns of rays at the origin, the least of all views: the natural voxel."""
        return float(length(self.steps_at_axis()[0]).min())

    def finer(self, rows: int, columns: int) -> Views:
        """Each pixel divided into rows × columns equal ones."""
        made = copy.copy(self)
        for name, value in (("u", self.u / columns), ("v", self.v / rows)):
            object.__setattr__(made, name, value)
        object.__setattr__(made, "shape", (self.shape[0] * rows, self.shape[1] * columns))
        return made

    def views(self) -> Views:
        """Itself: every geometry has this method."""
        return self

    def __getitem__(self, indices: slice | Sequence[int]) -> Views:
        made: Views = some(self, indices)
        return made

    def shifted(self, d: Sequence[float]) -> Views:
        """Source and detector moved by d = (x, y, z), the same for all views."""
        by = points("Views.shifted", "d", [d])
        source = None if self.source is None else self.source + by
        return Views(self.detector + by, self.u, self.v, self.shape, source, self.direction, self.curved)

    def rotated(self, matrix: Array) -> Views:
        """Source and detector turned about the origin by an orthogonal 3 × 3 matrix."""
        M = check.real_array("Views.rotated", "matrix", matrix)
        xp = namespace(M := to_numpy(M).astype("float64"))
        if M.shape != (3, 3) or float(xp.max(xp.abs(M @ M.T - xp.eye(3)))) > 1e-6:
            raise ValueError("Views.rotated: matrix must be an orthogonal 3 × 3 matrix, M Mᵀ = 1")
        turned = [None if a is None else a @ M.T for a in (self.detector, self.u, self.v, self.source, self.direction)]
        return Views(turned[0], turned[1], turned[2], self.shape, turned[3], turned[4], self.curved)

    def turned(self, about: str | Sequence[float], angle: float) -> Views:
        """Source and detector turned by `angle` (radians, right-handed) about "x", "y", "z" or a vector."""
        if isinstance(about, str) and about not in ("x", "y", "z"):
            raise ValueError(f'Views.turned: about must be "x", "y", "z" or three numbers, got {about!r}')
        given = [float(about == a) for a in "xyz"] if isinstance(about, str) else about
        a = points("Views.turned", "about", [given])[0]
        if not (size := math.hypot(*a)):
            raise ValueError("Views.turned: about must not be zero")
        t = check.number("Views.turned", "angle", angle)
        x, y, z = (float(c) / size for c in a)
        xp = namespace(a)
        K = xp.asarray([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        return self.rotated(xp.eye(3) + math.sin(t) * K + (1 - math.cos(t)) * (K @ K))  # Rodrigues

    def concat(self, other: Views) -> Views:
        """These views and then those of another scan with the same detector."""
        other, xp = other.views(), namespace(self.u)
        mine, theirs = ((a.shape, a.source is None, a.curved) for a in (self, other))
        if mine != theirs:
            raise ValueError(f"Views.concat: {self!r} and {other!r} differ in detector or kind of rays")
        joined = [
            None if a is None else xp.concat([a, b])
            for a, b in ((getattr(self, n), getattr(other, n)) for n in ("detector", "u", "v", "source", "direction"))
        ]
        return Views(joined[0], joined[1], joined[2], self.shape, joined[3], joined[4], self.curved)

    def describe(self) -> str:
        """The first view in words: where its source is, which way rows and columns run."""
        rays = self.middle[0]
        start = f"rays along {_words(rays)}" if self.source is None else f"source at {_words(self.source[0])}"
        return (
            f"{self!r}; first view: {start}, middle of the detector at {_words(self.detector[0])}, "
            f"columns rise along {_words(self.u[0])}, rows along {_words(self.v[0])} (x right, y up, z up)"
        )

    def to_astra(self) -> dict[str, Any]:
        """As `astra.create_proj_geom` returns it, "cone_vec" or "parallel3d_vec".

        ASTRA orders data (rows, views, columns) and volumes with z and y upwards: give it ``volume[::-1, ::-1]``.
        """
        if self.curved:
            raise ValueError("Views: ASTRA has no curved detector in these types; use a flat one")
        start = self.direction if self.source is None else self.source
        vectors = namespace(self.u).concat([start, self.detector, self.u, self.v], axis=1)
        kind = "parallel3d_vec" if self.source is None else "cone_vec"
        return {
            "type": kind, "DetectorRowCount": self.shape[0], "DetectorColCount": self.shape[1], "Vectors": vectors
        }  # fmt: skip

    @classmethod
    def from_astra(cls, given: Any, shape: tuple[int, int] | None = None, kind: str = "cone_vec") -> Views:
        """From ASTRA's dictionary, or from its vectors, (n, 12), with the detector's (rows, columns) and `kind`."""
        if isinstance(given, dict):
            kind, vectors = given.get("type", ""), given.get("Vectors")
            shape = (given.get("DetectorRowCount", 0), given.get("DetectorColCount", 0))
        else:
            vectors = given
        if kind not in ("cone_vec", "parallel3d_vec"):
            raise ValueError(f'Views.from_astra: type must be "cone_vec" or "parallel3d_vec", got {kind!r}')
        if shape is None:
            raise TypeError("Views.from_astra: vectors alone need shape=(rows, columns)")
        a = points("Views.from_astra", "vectors", vectors, 12)
        start = {"source" if kind == "cone_vec" else "direction": a[:, :3]}
        return cls(a[:, 3:6], a[:, 6:9], a[:, 9:], shape, **start)

    def to_matrices(self) -> Array:
        """Camera matrices (n, 3, 4): (x, y, z, 1) → w·(column, row, 1), indices from 0; parallel rays: w = 1."""
        if self.curved:
            raise ValueError("Views: a curved detector has no camera matrix; use a flat one")
        xp = namespace(self.u)
        corner = self.detector - (self.shape[1] - 1) / 2 * self.u - (self.shape[0] - 1) / 2 * self.v
        last = self.direction if self.source is None else corner - self.source
        M = xp.linalg.inv(xp.stack([self.u, self.v, last], axis=2))
        if self.source is not None:
            return xp.concat([M, -(M @ self.source[:, :, None])], axis=2)
        P = xp.concat([M, -(M @ corner[:, :, None])], axis=2)
        P[:, 2, :] = xp.asarray([0.0, 0.0, 0.0, 1.0])
        return P

    @classmethod
    def from_matrices(cls, P: Array, shape: tuple[int, int], spacing: float = 1.0) -> Views:
        """From camera matrices (n, 3, 4), (x, y, z, 1) → w·(column, row, 1), with indices counted from 0.

        A matrix fixes the rays and not how far the detector is: it is put where columns have the pitch `spacing`, on
        the origin's side of the source.  A third row (0, 0, 0, w) means parallel rays, for all views or none; their
        detector is put through the origin, across the rays, and `spacing` is not used.
        """
        P = check.real_array("Views.from_matrices", "P", P)
        if P.ndim != 3 or tuple(P.shape[1:]) != (3, 4):
            raise ValueError(f"Views.from_matrices: P must have shape (views, 3, 4), got {tuple(P.shape)}")
        rows, columns = check.shape("Views.from_matrices", shape, ndim=(2,))
        pitch = check.number("Views.from_matrices", "spacing", spacing, low=0, strict=True)
        P = to_numpy(P).astype("float64")
        xp, M, p = namespace(P), P[:, :, :3], P[:, :, 3:]
        flat = xp.max(xp.abs(M[:, 2, :]), axis=1) <= TINY * xp.max(xp.abs(M), axis=(1, 2))
        mid = xp.asarray([(columns - 1) / 2, (rows - 1) / 2])
        if bool(xp.all(flat)):
            A = M[:, :2, :] / P[:, 2:, 3:]
            back = xp.linalg.pinv(A)
            centre = (back @ (mid[:, None] - p[:, :2] / P[:, 2:, 3:]))[:, :, 0]
            direction = xp.linalg.cross(A[:, 0, :], A[:, 1, :], axis=1)
            return cls(centre, back[:, :, 0], back[:, :, 1], (rows, columns), direction=direction)
        refuse("P has no single source: its left 3 × 3 part is singular", xp.abs(xp.linalg.det(M)) <= 1e-300)
        M = xp.linalg.inv(M)
        source = -(M @ p)[:, :, 0]
        ahead = M @ xp.concat([mid, xp.ones(1)])
        sign = xp.where(xp.sum(ahead * source, axis=1) > 0, -1.0, 1.0)  # towards the origin
        scale = (sign * pitch / length(M[:, :, 0]))[:, None]
        return cls(source + scale * ahead, scale * M[:, :, 0], scale * M[:, :, 1], (rows, columns), source=source)

    def __repr__(self) -> str:
        rays = "parallel rays" if self.source is None else "curved detector" if self.curved else "flat detector"
        count = "1 view" if len(self) == 1 else f"{len(self)} views"
        return f"Views({count}, {self.shape[0]} rows, {self.shape[1]} columns, {rays})"


def points(who: str, name: str, value: Any, width: int = 3) -> Array:
    """A read-only float64 array (n, width) of the host; a value that is not finite is named with its view."""
    a = check.real_array(who, name, value, finite=False)
    if a.ndim != 2 or a.shape[1] != width:
        raise ValueError(f"{who}: {name} must have shape (views, {width}), got {tuple(a.shape)}")
    a = to_numpy(a).astype("float64")
    refuse(f"{name} has NaN or infinite values", ~namespace(a).all(namespace(a).isfinite(a), axis=1), who)
    a.flags.writeable = False
    return a


def refuse(what: str, views: Array, who: str = "Views") -> None:
    """An error that names the first view where something is wrong."""
    bad = namespace(views).nonzero(views)[0]
    if len(bad):
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise ValueError(f"{who}: {what}: view {int(bad[0])}{more}; correct these views or leave them out")


def length(a: Array) -> Array:
    """Euclidean length along the last axis."""
    return namespace(a).linalg.vector_norm(a, axis=-1)


def some(geometry: Any, indices: Any) -> Any:
    """Some views of a geometry of volumes, in the order of the indices: arrays are taken apart, the rest is kept."""
    made = copy.copy(geometry)  # not through __init__: a part of an accepted scan may look like degrees
    for name in ("angles", "axis", "rise", "detector", "u", "v", "source", "direction"):
        value = getattr(geometry, name, None)
        if value is not None and not isinstance(value, float):
            value = value[indices if isinstance(indices, slice) else list(indices)]
            value.flags.writeable = False
            object.__setattr__(made, name, value)
    return made


def _words(p: Array) -> str:
    return "(" + ", ".join(f"{round(float(c), 6) + 0.0:g}" for c in p) + ")"
