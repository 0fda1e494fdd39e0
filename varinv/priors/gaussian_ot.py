"""Gaussian optimal transport of patches: the statistics of natural images for a restored one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, device, double, like, namespace, normal, to_numpy


@dataclass(frozen=True, eq=False, repr=False)
class GaussianOT:
    r"""Make restored images look more natural: their patches get the statistics of natural ones.

    A post-processor: patches of restored images, N(m_s, C_s), are moved to those of natural ones, N(m_t, C_t).

    .. math::
        T = C_t^{1/2} M^+ C_t^{1/2},\quad M = (C_t^{1/2} C_s C_t^{1/2})^{1/2},\qquad
        x' = (1 − p)\,\bigl(m_t + T (x − m_s) + w\bigr) + p\,x,\quad w ∼ N(0,\; C_t^{1/2}(I − M^+M) C_t^{1/2})

    the optimal transport between the two (Gelbrich 1990) on every patch, patches folded back by averaging: Adrai,
    Ohayon, Michaeli & Elad (2023), in pixel space.  w is there only where C_s is singular: details the restorer never
    makes are drawn at random, from `seed`.  p = 0 corrects for perception, p = 1 leaves the image as it is, between
    them a mean error is traded for looks.  Exact on patches that do not overlap (stride = patch); the average over
    overlapping ones has less variance than each.

    Made by `GaussianOT.fit`.

    Parameters
    ----------
    patch, stride : side of the patches, distance of neighbouring ones.
    mean_restored, mean_natural : m_s, m_t of shape (d,), d = patch², or channels·patch².
    covariance_restored, covariance_natural : C_s, C_t of shape (d, d).
    distance : computed: the 2-Wasserstein distance of the two Gaussians, in grey values of a patch.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> flat, lively = rng.normal(0.5, 0.1, (32, 32)), rng.normal(0.4, 0.2, (64, 48))
    >>> x = GaussianOT.fit([flat], [lively], patch=1).apply(flat)
    >>> bool(abs(x.mean() - lively.mean()) < 1e-12), bool(abs(x.std() - lively.std()) < 1e-12)
    (True, True)
    """

    patch: int
    stride: int
    mean_restored: Array
    mean_natural: Array
    covariance_restored: Array
    covariance_natural: Array
    T: Array = field(init=False)
    W: Array = field(init=False)  # w = W ζ, ζ standard normal
    distance: float = field(init=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        root = _function(self.covariance_natural, xnp.sqrt)
        squared = root @ self.covariance_restored @ root
        eigenvalues, vectors = xnp.linalg.eigh((squared + squared.T) / 2)
        seen = eigenvalues > 1e-13 * max(float(eigenvalues[-1]), 0.0)  # below, rounding: no variance to stretch
        inverse = xnp.where(seen, 1 / xnp.sqrt(xnp.where(seen, eigenvalues, 1.0)), 0.0)
        set_(self, "T", root @ (vectors * inverse) @ vectors.T @ root)
        unseen = vectors[:, ~seen]
        set_(self, "W", root @ unseen)
        gained = float(xnp.sum(xnp.sqrt(xnp.where(seen, eigenvalues, 0.0))))
        shift = float(xnp.sum((self.mean_restored - self.mean_natural) ** 2))
        spread = float(xnp.trace(self.covariance_restored) + xnp.trace(self.covariance_natural)) - 2 * gained
        set_(self, "distance", (shift + max(spread, 0.0)) ** 0.5)

    @classmethod
    def fit(cls, restored: Iterable[Array], natural: Iterable[Array], patch: int = 3, stride: int = 1) -> GaussianOT:
        """Means and covariances of all patches, in float64, of two unpaired sets of images of any sizes.

        Images (rows, columns) or (channels, rows, columns); a dozen are enough for 3 × 3.

        Raises
        ------
        TypeError, ValueError
            No images, images smaller than a patch, with NaN, or of different numbers of channels; stride > patch, which
            would leave pixels out.
        """
        patch = check.integer("GaussianOT", "patch", patch, low=1)
        stride = check.integer("GaussianOT", "stride", stride, low=1)
        if stride > patch:
            raise ValueError(f"GaussianOT: stride must be at most patch={patch}, got {stride}: pixels between are lost")
        (m_s, C_s), (m_t, C_t) = (
            _statistics(name, images, patch, stride) for name, images in (("restored", restored), ("natural", natural))
        )
        if m_s.shape != m_t.shape:
            raise ValueError(
                f"GaussianOT: restored and natural images must have the same channels, got patches of {m_s.shape[0]} "
                f"and {m_t.shape[0]} values"
            )
        return cls(patch, stride, m_s, m_t, C_s, C_t)

    def apply(self, x: Array, p: float = 0.0, seed: int = 0) -> Array:
        """x with its patches transported; p in [0, 1] is the share of x itself in the result."""
        p = check.number("GaussianOT", "p", p, low=0.0, high=1.0)
        x = check.real_array("GaussianOT", "x", x)
        u = double(x)
        v = _patches("x", u, self.patch, self.stride)
        if v.shape[0] != self.mean_restored.shape[0]:
            raise ValueError(
                f"GaussianOT: x must have patches of {self.mean_restored.shape[0]} values as those it was fitted to, "
                f"got {v.shape[0]}"
            )
        m_s, m_t, T, W = (like(a, u) for a in (self.mean_restored, self.mean_natural, self.T, self.W))
        moved = m_t[:, None] + T @ (v - m_s[:, None])
        if self.W.shape[1]:
            zeros = namespace(u).zeros((self.W.shape[1], v.shape[1]), dtype=u.dtype, device=device(u))
            moved = moved + W @ normal(zeros, seed)
        return namespace(x).astype(_fold(moved, u, self.patch, self.stride) * (1 - p) + p * u, x.dtype)

    def __repr__(self) -> str:
        return f"GaussianOT(patch={self.patch}, stride={self.stride}, distance={self.distance:.3g})"


def _offsets(x: Array, patch: int, stride: int) -> list[tuple[slice, slice]]:
    """For each pixel of a patch, where those pixels of all patches lie in the image."""
    rows, columns = x.shape[-2:]
    down, across = ((n - patch) // stride * stride for n in (rows, columns))
    return [
        (slice(i, i + down + 1, stride), slice(j, j + across + 1, stride)) for i in range(patch) for j in range(patch)
    ]


def _patches(name: str, x: Array, patch: int, stride: int) -> Array:
    """The patches of an image as columns, shape (patch² · channels, number)."""
    if x.ndim not in (2, 3) or min(x.shape[-2:]) < patch:
        raise ValueError(
            f"GaussianOT: {name} must be (rows, columns) or (channels, rows, columns) with sides of at least {patch}, "
            f"got shape {tuple(x.shape)}"
        )
    xp = namespace(x)
    channels = x[None, ...] if x.ndim == 2 else x
    parts = xp.stack([channels[:, r, c] for r, c in _offsets(x, patch, stride)])
    return xp.reshape(parts, (parts.shape[0] * parts.shape[1], -1))


def _fold(v: Array, x: Array, patch: int, stride: int) -> Array:
    """The image with the mean of all patches over each pixel; x where there is none."""
    xp = namespace(x)
    channels = x[None, ...] if x.ndim == 2 else x
    total, count = xp.zeros_like(channels), xp.zeros_like(channels)
    where = _offsets(x, patch, stride)
    parts = xp.reshape(v, (len(where), *channels[:, where[0][0], where[0][1]].shape))
    for k, (r, c) in enumerate(where):
        total[:, r, c] += parts[k, ...]
        count[:, r, c] += 1
    return xp.reshape(xp.where(count > 0, total / xp.where(count > 0, count, 1.0), channels), x.shape)


def _statistics(name: str, images: Iterable[Array], patch: int, stride: int) -> tuple[Array, Array]:
    """Mean and covariance of the patches of all images, as NumPy arrays: two passes, so that nothing cancels."""
    name = f"an image of {name}"
    checked = [check.real_array("GaussianOT", name, x) for x in images]
    if not checked:
        raise ValueError(f"GaussianOT: {name[12:]} is empty; give at least one image")
    sets = [to_numpy(_patches(name, double(x), patch, stride)) for x in checked]
    if len({v.shape[0] for v in sets}) > 1:
        raise ValueError(f"GaussianOT: {name[12:]} must hold images of the same number of channels")
    number = sum(v.shape[1] for v in sets)
    mean = sum(v.sum(axis=1) for v in sets) / number
    return mean, sum((v - mean[:, None]) @ (v - mean[:, None]).T for v in sets) / number


def _function(C: Array, f: Any) -> Array:
    """f of a symmetric positive semi-definite matrix."""
    eigenvalues, vectors = xnp.linalg.eigh((C + C.T) / 2)
    return (vectors * f(xnp.maximum(eigenvalues, 0.0))) @ vectors.T
