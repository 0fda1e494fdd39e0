"""Differences between pixels whose surroundings look alike in a guide image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, Shape, device, namespace
from varinv.memory import once
from varinv.operators.base import LinearOperator


@dataclass(frozen=True, eq=False, repr=False)
class NonlocalGradient(LinearOperator):
    r"""Differences between pixels with similar surroundings, near or far.

    (∇_w x)_k[i] = √w_k[i] (x[j_k(i)] − x[i]) over the neighbours j_k(i) of pixel i; shape (*n) → (K, *n).

    i and j are neighbours where each has the other's patch among its `neighbours` most similar ones in a window, or
    where they touch; w_ij = exp(−d_ij/h²), d the mean squared difference of two patches (Buades, Coll & Morel 2005;
    Gilboa & Osher 2008).  So the graph is symmetric, K is at most `neighbours` + 2d, and the adjoint gathers too.
    Unused places hold 0.

    Norm: ‖∇_w x‖² = 2⟨x, (D − W)x⟩ and the largest eigenvalue of D − W is at most max over edges of d_i + d_j
    (Anderson & Morley 1985), so ‖∇_w‖² ≤ 2 max (d_i + d_j) ≤ 4 max degree.

    Parameters
    ----------
    guide : a real image; the operator works in its library and on its device.
    neighbours : similar pixels to keep for each, ≥ 1.
    window, patch : radii in pixels: neighbours are sought in (2·window + 1)ᵈ, patches have (2·patch + 1)ᵈ pixels.
    scale : h in grey values; None: the root of the mean d over all edges (1 for a constant guide).

    Raises
    ------
    TypeError, ValueError
        A guide that is complex, NaN or infinite; radii or `neighbours` that are not integers in range; scale ≤ 0.

    Examples
    --------
    >>> import numpy as np
    >>> stripes = np.tile([0.0, 1.0], (6, 4))
    >>> K = NonlocalGradient(stripes, neighbours=8, window=2, patch=1, scale=0.1)
    >>> bool(abs(K(stripes)).max() < 1e-3)  # pixels are compared with those of their own kind
    True
    """

    guide: Array
    neighbours: int = 10
    window: int = 5
    patch: int = 2
    scale: float | None = None

    def __post_init__(self) -> None:
        who = type(self).__name__
        set_ = object.__setattr__
        set_(self, "guide", check.real_array(who, "guide", self.guide))
        if self.guide.ndim == 0:
            raise ValueError(f"{who}: guide must be an image, got a number")
        for name, low in (("neighbours", 1), ("window", 1), ("patch", 0)):
            set_(self, name, check.integer(who, name, getattr(self, name), low=low))
        if self.scale is not None:
            set_(self, "scale", check.number(who, "scale", self.scale, low=0.0, strict=True))

    @property
    def domain(self) -> Shape:
        return tuple(self.guide.shape)

    @property
    def codomain(self) -> Shape:
        return (int(self._graph()[0].shape[0]), *self.domain)

    @once
    def _graph(self) -> tuple[Array, Array, Array]:
        """Flat index of each neighbour, flat index of the same edge seen from there, and √w, all of shape (K, n)."""
        to, back, d = similar_pixels(self.guide, self.neighbours, self.window, self.patch)
        xp = namespace(d)
        used = d < math.inf
        d = xp.where(used, d, xp.zeros_like(d))
        edges = float(xp.sum(xp.astype(used, d.dtype)))
        h2 = self.scale**2 if self.scale is not None else float(xp.sum(d)) / max(edges, 1.0)
        return to, back, xp.where(used, xp.exp(-d / (2 * (h2 or 1.0))), xp.zeros_like(d))

    def _beside(self, x: Array) -> tuple[Any, Array, Array, Array]:
        to, back, root = self._graph()
        xp = namespace(x, root)
        return xp, to, back, root if root.dtype == x.dtype else xp.astype(root, x.dtype)

    def forward(self, x: Array) -> Array:
        xp, to, _, root = self._beside(x)
        flat = xp.reshape(x, (-1,))
        around = xp.reshape(xp.take(flat, xp.reshape(to, (-1,))), to.shape)
        return xp.reshape(root * (around - flat), self.codomain)

    def adjoint(self, y: Array) -> Array:
        xp, _, back, root = self._beside(y)
        flow = root * xp.reshape(y, root.shape)
        arriving = xp.reshape(xp.take(xp.reshape(flow, (-1,)), xp.reshape(back, (-1,))), back.shape)
        return xp.reshape(xp.sum(arriving - flow, axis=0), self.domain)

    @once
    def norm(self) -> float:
        to, _, root = self._graph()
        xp = namespace(root)
        degree = xp.sum(root * root, axis=0)
        there = xp.reshape(xp.take(degree, xp.reshape(to, (-1,))), to.shape)
        return math.sqrt(2 * float(xp.max(xp.where(root > 0, degree + there, 0 * root)))) * (1 + 1e-12)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        ramp = xnp.reshape(xnp.sin(xnp.arange(20.0)), (4, 5))
        yield cls(ramp, 3, 2, 1)
        yield cls(ramp[0, :], 2, 3, 0, 0.5)
        yield cls(xnp.ones((1, 4)), 1, 1, 0)
        yield cls(xnp.reshape(xnp.sin(xnp.arange(12.0)), (2, 3, 2)), 2, 1, 1)

    def __repr__(self) -> str:
        return f"NonlocalGradient({self.domain}, neighbours={self.neighbours})"


def similar_pixels(guide: Array, neighbours: int, window: int, patch: int) -> tuple[Array, Array, Array]:
    """A symmetric graph of similar pixels: (to, back, d), each of shape (K, number of pixels).

    Flat indices of the neighbours, flat positions of the reversed edges, mean squared patch differences (float64; ∞ and
    the pixel itself in unused places).  One slice difference and one box mean per offset of the window.
    """
    xp = namespace(guide)
    u = xp.astype(guide, xp.float64)
    shape, n, ndim = tuple(u.shape), math.prod(u.shape), u.ndim
    offsets = [o for o in itertools.product(range(-window, window + 1), repeat=ndim) if any(o)]  # o and −o: reversed
    index = xp.reshape(xp.arange(n, device=device(u)), shape)
    padded = _edges(xp, u, window + patch)
    distances = xp.stack([_distance(xp, padded, shape, o, window, patch) for o in offsets])
    target = xp.stack([_shifted(xp, index, o, -1) for o in offsets])
    inside = target >= 0
    distances = xp.reshape(xp.where(inside, distances, xp.full_like(distances, math.inf)), (len(offsets), n))
    target = xp.reshape(xp.where(inside, target, index), (len(offsets), n))
    place = xp.arange(n, device=device(u))

    rank = xp.argsort(xp.argsort(distances, axis=0, stable=True), axis=0, stable=True)
    chosen = rank < neighbours
    mirrored = xp.take(xp.reshape(xp.flip(chosen, axis=0), (-1,)), xp.reshape(_flat(xp, target, n), (-1,)))
    touching = xp.asarray([[sum(map(abs, o)) == 1] for o in offsets], device=device(u))
    edge = ((chosen & xp.reshape(mirrored, chosen.shape)) | touching) & (distances < math.inf)

    order = xp.argsort(xp.astype(~edge, xp.int8), axis=0, stable=True)  # the edges of each pixel first
    slot = xp.argsort(order, axis=0, stable=True)
    most = int(xp.max(xp.sum(xp.astype(edge, xp.int64), axis=0))) if n > 1 else 1
    order = order[:most, :]
    at = xp.reshape(order * n + place, (-1,))
    kept = xp.reshape(xp.take(xp.reshape(edge, (-1,)), at), order.shape)
    to = xp.reshape(xp.take(xp.reshape(target, (-1,)), at), order.shape)
    to = xp.where(kept, to, place + 0 * to)
    reverse = xp.take(xp.reshape(slot, (-1,)), xp.reshape((len(offsets) - 1 - order) * n + to, (-1,)))
    here = xp.reshape(xp.arange(most, device=device(u)), (most, 1)) * n + place  # an unused place is its own reverse
    back = xp.where(kept, xp.reshape(reverse, order.shape) * n + to, here)
    d = xp.reshape(xp.take(xp.reshape(distances, (-1,)), at), order.shape)
    return to, back, xp.where(kept, d, xp.full_like(d, math.inf))


def _flat(xp: Any, target: Array, n: int) -> Array:
    """Flat positions (row, target) in an array of shape (offsets, n)."""
    rows = xp.reshape(xp.arange(target.shape[0], device=device(target)), (-1, 1))
    return rows * n + target


def _edges(xp: Any, u: Array, r: int) -> Array:
    """The image continued by its border values."""
    for k in range(u.ndim):
        first, last = (
            u[(slice(None),) * k + (slice(0, 1), Ellipsis)],
            u[(slice(None),) * k + (slice(-1, None), Ellipsis)],
        )
        u = xp.concat([first] * r + [u] + [last] * r, axis=k)
    return u


def _distance(xp: Any, padded: Array, shape: Shape, offset: Any, window: int, patch: int) -> Array:
    """Mean over the patch of (u[i] − u[i + offset])²."""
    near = tuple(slice(window, window + n + 2 * patch) for n in shape)
    far = tuple(slice(window + o, window + o + n + 2 * patch) for o, n in zip(offset, shape, strict=True))
    d = (padded[near] - padded[far]) ** 2
    for k, n in enumerate(shape):
        parts = [d[(slice(None),) * k + (slice(e, e + n), Ellipsis)] for e in range(2 * patch + 1)]
        d = sum(parts[1:], start=parts[0]) / len(parts)
    return d


def _shifted(xp: Any, u: Array, offset: Any, outside: int) -> Array:
    """u[i + offset], and `outside` where that leaves the image."""
    for k, o in enumerate(offset):
        n, m = u.shape[k], min(abs(o), u.shape[k])
        if o:
            keep = u[(slice(None),) * k + (slice(m, None) if o > 0 else slice(0, n - m), Ellipsis)]
            rest = xp.full_like(u[(slice(None),) * k + (slice(0, m), Ellipsis)], outside)
            u = xp.concat([keep, rest] if o > 0 else [rest, keep], axis=k)
    return u
