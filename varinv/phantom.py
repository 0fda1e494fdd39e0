"""Phantoms made of ellipses and ellipsoids: images and volumes of them, and their exact line integrals."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.backend import like as match
from varinv.operators.geometry import FanBeam, ParallelBeam

xnp = namespace()  # phantoms are made on the host, in float64


class Ellipse(NamedTuple):
    """A uniform ellipse of `value`, semi-axes `a` and `b`, centre (`x`, `y`), turned by `angle` counter-clockwise.

    Lengths in the unit of the geometry, x to the right, y up, the rotation axis at (0, 0); the angle in radians.
    """

    value: float
    a: float
    b: float
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True, eq=False, repr=False)
class Phantom:
    """A sum of uniform ellipses: f(x, y) = Σ value_i · [(x, y) in ellipse i].

    ``p + q`` unites two phantoms, ``c * p`` scales the values.

    Parameters
    ----------
    ellipses : sequence of Ellipse (or tuples of its fields).

    Raises
    ------
    TypeError, ValueError
        Entries that are no finite numbers; semi-axes that are not positive.

    Examples
    --------
    >>> Phantom([Ellipse(2.0, a=1.6, b=1.6)]).image((4, 4), supersampling=1)
    array([[0., 2., 2., 0.],
           [2., 2., 2., 2.],
           [2., 2., 2., 2.],
           [0., 2., 2., 0.]])
    """

    ellipses: tuple[Ellipse, ...]

    def __post_init__(self) -> None:
        checked = []
        for k, given in enumerate(self.ellipses):
            e = Ellipse(*given)
            for name, number in zip(Ellipse._fields, e, strict=True):
                is_axis = name in ("a", "b")
                check.number(
                    "Phantom", f"ellipses[{k}].{name}", number, low=0 if is_axis else -math.inf, strict=is_axis
                )
            checked.append(Ellipse(*map(float, e)))
        object.__setattr__(self, "ellipses", tuple(checked))

    def image(
        self,
        shape: tuple[int, int],
        pixel_size: float = 1.0,
        *,
        supersampling: int = 4,
        origin: tuple[float, float] | None = None,
        like: Array | None = None,
    ) -> Array:
        """The image of shape (rows, columns): each pixel the mean of f over `supersampling`² points inside it.

        Row 0 is at the top; the rotation axis is at `origin`, None: ((rows−1)/2, (columns−1)/2).  float64 on NumPy,
        or in the library, device and dtype of `like`.
        """
        rows, columns = check.shape("Phantom.image", shape, ndim=(2,))
        h = check.number("Phantom.image", "pixel_size", pixel_size, low=0, strict=True)
        n = check.integer("Phantom.image", "supersampling", supersampling, low=1)
        row, column = ((rows - 1) / 2, (columns - 1) / 2) if origin is None else origin
        x = (xnp.arange(columns, dtype=xnp.float64) - column)[None, :] * h
        y = (row - xnp.arange(rows, dtype=xnp.float64))[:, None] * h
        offsets = [((k + 0.5) / n - 0.5) * h for k in range(n)]
        total = xnp.zeros((rows, columns))
        for e in self.ellipses:
            c, s = math.cos(e.angle), math.sin(e.angle)
            inside = xnp.zeros((rows, columns))
            for dx in offsets:
                for dy in offsets:
                    along = (x + (dx - e.x)) * (c / e.a) + (y + (dy - e.y)) * (s / e.a)
                    across = (y + (dy - e.y)) * (c / e.b) - (x + (dx - e.x)) * (s / e.b)
                    inside += along * along + across * across <= 1.0
            total += e.value / n**2 * inside
        return total if like is None else match(total, like)

    def line_integrals(
        self, geometry: ParallelBeam | FanBeam, *, rays_per_bin: int = 1, like: Array | None = None
    ) -> Array:
        """Exact integrals of f along the rays of `geometry`, shape (angles, detectors), in value × length.

        A line at distance u with normal direction θ cuts the ellipse in the chord 2ab √(s² − t²)/s², where
        s² = a² cos²(θ−φ) + b² sin²(θ−φ) and t = u − x₀ cos θ − y₀ sin θ (Kak & Slaney 1988, section 3.1).  With
        `rays_per_bin` = n a bin is the mean of n rays at the centres of its n equal parts; 1: the ray through its
        centre.  Source and detector must lie outside the ellipses.
        """
        n = check.integer("Phantom.line_integrals", "rays_per_bin", rays_per_bin, low=1)
        total = xnp.zeros(geometry.shape)
        for k in range(n):
            theta, u = lines(geometry, (k + 0.5) / n - 0.5)
            for e in self.ellipses:
                s2 = (e.a * xnp.cos(theta - e.angle)) ** 2 + (e.b * xnp.sin(theta - e.angle)) ** 2
                t = u - e.x * xnp.cos(theta) - e.y * xnp.sin(theta)
                total += 2 * e.value * e.a * e.b / n * xnp.sqrt(xnp.maximum(s2 - t * t, 0.0)) / s2
        return total if like is None else match(total, like)

    def __add__(self, other: Any) -> Phantom:
        return Phantom(self.ellipses + other.ellipses) if isinstance(other, Phantom) else NotImplemented

    def __mul__(self, factor: float) -> Phantom:
        c = check.number("Phantom", "factor", factor)
        return Phantom(tuple(e._replace(value=c * e.value) for e in self.ellipses))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Phantom({len(self.ellipses)} ellipses)"


def lines(geometry: ParallelBeam | FanBeam, fraction: float = 0.0) -> tuple[Array, Array]:
    """The rays as lines x cos θ + y sin θ = u: (θ, u), each broadcastable to (angles, detectors).

    `fraction` moves every ray by that part of a bin.  The fan's ray at view β and fan angle γ is the line with
    θ = β − γ and u = R sin γ.
    """
    angles = geometry.angles[:, None]
    bins = xnp.arange(geometry.detectors, dtype=xnp.float64)[None, :] + fraction
    v = (bins - geometry.axes[:, None]) * geometry.spacing
    if isinstance(geometry, ParallelBeam):
        return angles, v
    gamma = geometry.fan_angles(v)
    return angles - gamma, geometry.source_to_axis * xnp.sin(gamma)


def disc(radius: float, value: float = 1.0, x: float = 0.0, y: float = 0.0) -> Phantom:
    """One uniform disc of `radius` centred at (x, y)."""
    return Phantom((Ellipse(value, radius, radius, x, y),))


# value, a, b, x, y, degrees: Toft (1996), "The Radon transform", appendix B.2: the contrasts of the Shepp–Logan head
# raised so that they can be seen; values in [0, 1]
_HEAD = (
    (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
    (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
    (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
    (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
    (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
    (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
    (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
    (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
    (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
    (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
)


def shepp_logan(radius: float = 1.0) -> Phantom:
    """The modified Shepp–Logan head in the square [−radius, radius]², values from 0 to 1.

    For an image of n² pixels of size h take radius = n h / 2.
    """
    r = check.number("shepp_logan", "radius", radius, low=0, strict=True)
    return Phantom(tuple(Ellipse(v, a * r, b * r, x * r, y * r, math.radians(d)) for v, a, b, x, y, d in _HEAD))


def random_ellipses(seed: int, radius: float = 1.0, count: int = 12) -> Phantom:
    """A body of value 0.5 in the disc of `radius`, with `count` non-overlapping ellipses of total value 0.1 to 1.

    The same seed gives the same phantom on every platform.  Fewer ellipses where no more fit.
    """
    r = check.number("random_ellipses", "radius", radius, low=0, strict=True)
    check.integer("random_ellipses", "count", count, low=0)
    draw = random.Random(check.integer("random_ellipses", "seed", seed)).uniform
    body = Ellipse(0.5, 0.95 * r, draw(0.75, 0.9) * r, 0.0, 0.0, draw(0.0, math.pi))
    placed: list[Ellipse] = []
    for _ in range(200 * count):
        if len(placed) == count:
            break
        a = draw(0.04, 0.22)
        b, distance, turn = a * draw(0.5, 1.0), draw(0.0, 0.62), draw(0.0, 2 * math.pi)
        value, angle = draw(-0.4, 0.5), draw(0.0, math.pi)
        e = Ellipse(value, a * r, b * r, distance * r * math.cos(turn), distance * r * math.sin(turn), angle)
        apart = all(math.hypot(e.x - o.x, e.y - o.y) > e.a + o.a + 0.01 * r for o in placed)
        if abs(value) >= 0.12 and apart and math.hypot(e.x, e.y) + e.a < 0.72 * r:
            placed.append(e)
    return Phantom((body, *placed))


class Ellipsoid(NamedTuple):
    """A uniform ellipsoid of `value`, semi-axes `a`, `b`, `c`, centre (`x`, `y`, `z`), turned by `angle` about z.

    x to the right, y up in a slice, z up; the middle of the volume at (0, 0, 0).
    """

    value: float
    a: float
    b: float
    c: float
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    angle: float = 0.0


@dataclass(frozen=True, eq=False)
class Ellipsoids:
    """A sum of uniform ellipsoids: volumes of it, and exact line integrals along the rays of any scan of volumes.

    Examples
    --------
    >>> from varinv.operators.cone import ConeBeam
    >>> ball = Ellipsoids((Ellipsoid(2.0, 3.0, 3.0, 3.0),))
    >>> print(f"{ball.line_integrals(ConeBeam([0.0], (1, 1), 1.0, 20.0, 10.0))[0, 0, 0]:g}")
    12
    """

    parts: tuple[Ellipsoid, ...]

    def volume(self, shape: tuple[int, int, int], pixel_size: float = 1.0, supersampling: int = 4) -> Array:
        """The volume (slices, rows, columns), float64: each voxel the mean over `supersampling`³ points inside it."""
        shape = check.shape("Ellipsoids.volume", shape, ndim=(3,))  # type: ignore[assignment]
        h = check.number("Ellipsoids.volume", "pixel_size", pixel_size, low=0, strict=True)
        n = check.integer("Ellipsoids.volume", "supersampling", supersampling, low=1)
        offsets = [((k + 0.5) / n - 0.5) * h for k in range(n)]
        places = [(xnp.arange(m, dtype=xnp.float64) - (m - 1) / 2) * h for m in shape]
        z, y, x = -places[0][:, None, None], -places[1][None, :, None], places[2][None, None, :]
        total = xnp.zeros(shape)
        for e in self.parts:
            c, s = math.cos(e.angle), math.sin(e.angle)
            inside = xnp.zeros(shape)
            for dx, dy, dz in itertools.product(offsets, repeat=3):
                px, py, pz = x + (dx - e.x), y + (dy - e.y), z + (dz - e.z)
                square = ((px * c + py * s) / e.a) ** 2 + ((py * c - px * s) / e.b) ** 2 + (pz / e.c) ** 2
                inside += square <= 1.0
            total += e.value / n**3 * inside
        return total

    def line_integrals(self, geometry: Any) -> Array:
        """Exact integrals along the rays of a geometry, (views, rows, columns), in value × length.

        In the frame where an ellipsoid is the unit ball, the line p + λd meets it for λ² d² + 2 λ p·d + p² = 1.
        """
        views = geometry.views()
        found = []
        for q in range(len(views)):
            points, along = views[[q]].rays()
            total = xnp.zeros((1, *views.shape))
            for e in self.parts:
                c, s = math.cos(e.angle), math.sin(e.angle)
                turn = xnp.asarray([[c / e.a, -s / e.b, 0.0], [s / e.a, c / e.b, 0.0], [0.0, 0.0, 1 / e.c]])
                p, d = (points - xnp.asarray([e.x, e.y, e.z])) @ turn, along @ turn
                dd, pd = xnp.sum(d * d, axis=-1), xnp.sum(p * d, axis=-1)
                root = xnp.sqrt(xnp.clip(pd * pd - dd * (xnp.sum(p * p, axis=-1) - 1), 0.0, None))
                total = total + 2 * e.value * root / dd * xnp.sqrt(xnp.sum(along * along, axis=-1))
            found.append(total)
        return xnp.concat(found)


def ellipsoids(parts: Any) -> Ellipsoids:
    """A phantom of ellipsoids: (value, a, b, c, x, y, z, angle) each, the last four 0 where left out."""
    made = []
    for k, part in enumerate(parts):
        e = Ellipsoid(*(check.number("ellipsoids", f"parts[{k}][{m}]", number) for m, number in enumerate(part)))
        if min(e.a, e.b, e.c) <= 0:
            raise ValueError(f"ellipsoids: parts[{k}] has semi-axes {e.a:g}, {e.b:g}, {e.c:g}; they must be positive")
        made.append(e)
    return Ellipsoids(tuple(made))
