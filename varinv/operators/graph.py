"""The Laplacian of a graph whose edges a guide image weighs."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, device, double, kernel, namespace, same_place
from varinv.linalg import dot
from varinv.memory import once, remembered
from varinv.operators.base import LinearOperator

NORMALISATIONS = ("fro", "maxdeg", "none")


@dataclass(frozen=True, eq=False, repr=False)
class GraphLaplacian(LinearOperator):
    r"""Compare every pixel with those that a guide image says are alike, for regularisation on a graph.

    L = (D − W)/c: pixels are nodes, edges join those within a window, and a guide image says how alike they are.

    .. math::
        W_{ij} = \exp(−|g_i − g_j|²/\mathrm{scale}),\quad 0 < ‖i − j‖_∞ ≤ r,\qquad D = \mathrm{diag}(W 1)

    Shape (*n) → (*n).  Symmetric, positive semidefinite, L 1 = 0: images that are constant where the guide is cost
    nothing.  With the defaults it is the operator of graphLa+Ψ (Bianchi, Evangelista, Aleotti, Donatelli, Loli
    Piccolomini, Li 2023), whose R = 5 is radius 4: c = ‖W‖_F, hence entries of some 1e-3 and a large weight in front.

    The general form has three more factors: closeness in space, W_ij·exp(−|i − j|²/spatial²); patches, |g_i − g_j|²
    being the mean over patches around both pixels; and `neighbours`, which keeps the k largest weights of each pixel
    (an edge stays where either end keeps it; among equal weights the nearer pixel comes first).

    Norm: 2 max D/c, from Gershgorin's discs.

    Parameters
    ----------
    guide : image g of one to three axes; with `channels`, axis 0 holds colours whose squared differences add up, and
        the one graph serves every channel of the image.  It stays on its device, the image must be there too.
    radius : r ≥ 1, the window is (2r + 1)² pixels ((2r + 1)³ in volumes).  Of its
        (2r + 1)² − 1 weights the half is stored, as many images (W is symmetric).
    scale : of squared differences, in squared grey values of the guide.
    normalise : c = "fro": ‖W‖_F, "maxdeg": max D, "none": 1.
    spatial : in pixels; None: no such factor.
    patch : radius of the patches, 0: single pixels.  Beyond the border the guide continues with its border value.
    neighbours : k ≥ 1; None: all of the window.
    channels : whether axis 0 of the guide is colour.

    Raises
    ------
    TypeError, ValueError
        A guide with NaN, complex, empty, of more axes; radius < 1; scale or spatial ≤ 0; an unknown normalisation; a
        scale so small that every weight vanishes.

    Examples
    --------
    >>> import numpy as np
    >>> L = GraphLaplacian(np.array([0.0, 0.0, 1.0, 1.0]), radius=1, normalise="none")
    >>> L(np.array([1.0, 2.0, 5.0, 5.0]))  # the edge of the guide is no edge of the graph
    array([-1.,  1.,  0.,  0.])
    """

    guide: Array
    radius: int = 4
    scale: float = 1e-3
    normalise: str = "fro"
    spatial: float | None = None
    patch: int = 0
    neighbours: int | None = None
    channels: bool = False

    def __post_init__(self) -> None:
        who, put = "GraphLaplacian", object.__setattr__
        put(self, "guide", check.real_array(who, "guide", self.guide))
        put(self, "radius", check.integer(who, "radius", self.radius, low=1))
        put(self, "scale", check.number(who, "scale", self.scale, low=0.0, strict=True))
        put(self, "patch", check.integer(who, "patch", self.patch, low=0))
        if self.spatial is not None:
            put(self, "spatial", check.number(who, "spatial", self.spatial, low=0.0, strict=True))
        if self.neighbours is not None:
            put(self, "neighbours", check.integer(who, "neighbours", self.neighbours, low=1))
        if self.normalise not in NORMALISATIONS:
            raise ValueError(f"{who}: normalise must be one of {', '.join(NORMALISATIONS)}, got {self.normalise!r}")
        if not 1 <= len(self._image) <= 3:
            words = " (channels, *n)" if self.channels else ""
            raise ValueError(
                f"{who}: guide{words} must have one to three image axes, got shape {tuple(self.guide.shape)}"
            )

    @property
    def domain(self) -> Shape:
        return tuple(self.guide.shape)

    codomain = domain

    @property
    def _image(self) -> Shape:
        """The image axes of the domain."""
        return self.domain[1:] if self.channels else self.domain

    @functools.cached_property
    def _offsets(self) -> tuple[tuple[int, ...], ...]:
        """Every j − i of the window, nearest first, each beside its opposite."""
        window = itertools.product(*(range(-self.radius, self.radius + 1) for _ in self._image))
        return tuple(sorted(filter(any, window), key=lambda o: (sum(k * k for k in o), max(o, tuple(-k for k in o)))))

    @functools.cached_property
    def _half(self) -> tuple[tuple[int, ...], ...]:
        """One of each two opposite offsets."""
        return self._offsets[1::2]

    def weights(self) -> tuple[Array, Array, float]:
        """W as one image per offset (0 where it leads out of the image), D, and c; in the precision of the guide."""
        W, D, c = self._edges()
        return self._both([W[..., k, :] for k in range(W.shape[-2])]), D, c

    @once
    def _edges(self) -> tuple[Array, Array, float]:
        """W of half the offsets, which stand before the last axis, D and c."""
        guide = self.guide if self.channels else self.guide[None, ...]
        xp = namespace(guide)
        inside = _padded(xp.ones_like(guide[0, ...]), self.radius)
        W = []
        for o, distance in zip(self._half, self._distances(guide), strict=True):
            near = 1.0 if self.spatial is None else math.exp(-sum(k * k for k in o) / self.spatial**2)
            W.append(near * xp.exp(-distance / self.scale) * _shifted(inside, o, self.radius, self._image))
        if self.neighbours is not None and self.neighbours < 2 * len(W):
            kept = self._nearest(self._both(W))
            W = [kept[k, ...] for k in range(1, kept.shape[0], 2)]
        D = xp.zeros_like(W[0])
        for o, w in zip(self._half, W, strict=True):
            D = D + w + self._opposite(w, o)
        W = xp.stack(W, axis=-2)
        c = {"fro": math.sqrt(2 * dot(W, W)), "maxdeg": float(xp.max(D)), "none": 1.0}[self.normalise]
        if not float(xp.max(D)) > 0:
            raise ValueError(
                f"GraphLaplacian: every weight vanishes: scale={self.scale:g} is far below the squared differences of "
                "neighbours in the guide, or the image is a single pixel"
            )
        return W / c, D / c, c

    def _opposite(self, w: Array, o: tuple[int, ...]) -> Array:
        """The weights of −o from those of o: entry i is w[i − o]."""
        return _shifted(_padded(w, self.radius), tuple(-k for k in o), self.radius, self._image)

    def _both(self, W: list[Array]) -> Array:
        """The weights of all offsets from those of the half."""
        pairs = ((self._opposite(w, o), w) for o, w in zip(self._half, W, strict=True))
        return namespace(W[0]).stack(list(itertools.chain.from_iterable(pairs)))

    def _distances(self, guide: Array) -> Iterator[Array]:
        """|g_i − g_{i+o}|² for each offset of the half, the mean over patches."""
        xp = namespace(guide)
        for axis in range(1, guide.ndim):
            before = (slice(None),) * axis
            first, last = guide[(*before, slice(0, 1), ...)], guide[(*before, slice(-1, None), ...)]
            guide = xp.concat([first] * self.patch + [guide] + [last] * self.patch, axis=axis)
        reach = self.radius + self.patch
        around = [_padded(g, self.radius) for g in (guide[k, ...] for k in range(guide.shape[0]))]
        patches = list(itertools.product(*(range(-self.patch, self.patch + 1) for _ in self._image)))
        for o in self._half:
            total: Any = 0.0
            for q, g in itertools.product(patches, around):
                d = _shifted(g, q, reach, self._image) - _shifted(
                    g, tuple(a + b for a, b in zip(o, q, strict=True)), reach, self._image
                )
                total = total + d * d
            yield total / len(patches)

    def _nearest(self, W: Array) -> Array:
        """W with the `neighbours` largest weights of each pixel, and those of which it is a neighbour."""
        xp = namespace(W)
        order = xp.argsort(W, axis=0, descending=True, stable=True)
        kept = xp.astype(xp.argsort(order, axis=0, stable=True) < self.neighbours, W.dtype)
        place = {o: k for k, o in enumerate(self._offsets)}
        back = [
            _shifted(_padded(kept[place[tuple(-k for k in o)], ...], self.radius), o, self.radius, self._image)
            for o in place
        ]
        return W * xp.maximum(kept, xp.stack(back))

    def forward(self, x: Array) -> Array:
        W, D, memory = self._beside(x)
        if not self.channels:
            return laplacian(x, W, D, self._half, self.radius, memory)
        images = [laplacian(x[k, ...], W, D, self._half, self.radius, memory) for k in range(x.shape[0])]
        return namespace(x).stack(images)

    adjoint = forward

    def _beside(self, x: Array) -> tuple[Array, Array, dict[str, Any]]:
        """W and D in the dtype of x, remembered, and what a fast version remembers of them."""

        def found() -> tuple[Array, Array, dict[str, Any]]:
            same_place("GraphLaplacian", "guide", self.guide, x)
            W, D, _ = self._edges()
            return same_place("GraphLaplacian", "guide", W, x), same_place("GraphLaplacian", "guide", D, x), {}

        W, D, memory = remembered(self, ("edges", str(x.dtype)), found)
        return same_place("GraphLaplacian", "guide", W, x), D, memory

    @once
    def norm(self) -> float:
        _, D, _ = self._edges()
        single = D.dtype == namespace(D).float32
        return 2 * float(namespace(D).max(double(D))) * (1 + (1e-5 if single else 1e-12))  # the sums that make D round

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        import array_api_compat.numpy as xp

        g = xp.reshape(xp.sin(xp.arange(30.0) ** 2), (5, 6))
        yield cls(g, radius=1, scale=0.5)
        yield cls(g, radius=2, scale=0.3, normalise="maxdeg", spatial=1.5, patch=1, neighbours=5)
        yield cls(xp.reshape(g, (2, 5, 3)), radius=1, scale=1.0, normalise="none", channels=True)
        yield cls(xp.reshape(g, (3, 5, 2)), radius=2, scale=1.0)
        yield cls(g[0, ...], radius=2, scale=0.4, normalise="none")

    def __repr__(self) -> str:
        return f"GraphLaplacian({self.domain} guide, radius={self.radius}, scale={self.scale:g}, {self.normalise})"


@kernel
def laplacian(
    x: Array, W: Array, D: Array, offsets: tuple[tuple[int, ...], ...], radius: int, memory: dict[str, Any]
) -> Array:
    """D x − Σ_o [W_o·(x moved by o) + (W_o x) moved by −o], zero beyond the border; W is (*n[:-1], offsets, n[-1]).

    `memory` lives as long as W and D: a fast version may keep there what it makes of them.
    """
    around, total, shape = _padded(x, radius), D * x, tuple(x.shape)
    for k, o in enumerate(offsets):
        w, back = W[..., k, :], tuple(-m for m in o)
        total = total - w * _shifted(around, o, radius, shape) - _shifted(_padded(w * x, radius), back, radius, shape)
    return total


def _padded(x: Array, r: int) -> Array:
    """x with r zeros on every side."""
    xp = namespace(x)
    for axis in range(x.ndim):
        shape = tuple(r if k == axis else n for k, n in enumerate(x.shape))
        zeros = xp.zeros(shape, dtype=x.dtype, device=device(x))
        x = xp.concat([zeros, x, zeros], axis=axis)
    return x


def _shifted(x: Array, o: tuple[int, ...], r: int, shape: Shape) -> Array:
    """The part of a padded image that is the image moved by o: entry i is x[i + o]."""
    return x[tuple(slice(r + k, r + k + n) for k, n in zip(o, shape, strict=True))]
