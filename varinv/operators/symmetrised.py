"""The symmetrised derivative of a vector field: the second-order part of total generalised variation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, Shape, namespace
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient


@dataclass(frozen=True, eq=False, repr=False)
class SymmetrisedGradient(LinearOperator):
    r"""The symmetric part of the derivative of a vector field, as total generalised variation needs it.

    E v = ½(J + Jᵀ), J_kl = ∂_l v_k by backward differences; shape (d, *n) → (d(d+1)/2, *n).

    Components: ∂_k v_k for every axis, then (∂_l v_k + ∂_k v_l)/√2 for k < l, so that the plain inner product is
    Frobenius', where off-diagonal entries count twice (Bredies, Kunisch & Pock 2010).

    v is a field like `Gradient(shape)(u)`: v_k sits between i and i + e_k.  Its last entry along axis k, where that
    gradient is 0 by definition, is not read, and differences that leave the image are 0: E ∇u vanishes for affine u.

    Norm: by (a + b)²/2 ≤ a² + b², ‖E v‖² ≤ Σ_kl ‖∂_l v_k‖², a sum of commuting path differences: at most
    max_k Σ_l λ(n_l − [k = l])/h_l² with λ(m) = 4 cos²(π/2m); never above √(Σ 4/h²).

    Parameters
    ----------
    shape : image shape (*n).
    spacing, axes : as in Gradient; the field has one component per axis.

    Raises
    ------
    TypeError, ValueError
        What Gradient refuses.

    Examples
    --------
    >>> import numpy as np
    >>> SymmetrisedGradient((5,))(np.array([[1.0, 2.0, 4.0, 4.0, 9.0]]))  # the 9 is not read
    array([[0., 1., 2., 0., 0.]])
    """

    shape: Shape
    spacing: Any = 1.0
    axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        same = Gradient(self.shape, self.spacing, self.axes)
        for name in ("shape", "spacing", "axes"):
            object.__setattr__(self, name, getattr(same, name))

    @property
    def domain(self) -> Shape:
        return (len(self.spacing), *self.shape)

    @property
    def codomain(self) -> Shape:
        d = len(self.spacing)
        return (d * (d + 1) // 2, *self.shape)

    def _pairs(self) -> list[tuple[int, int]]:
        d = len(self.spacing)
        return [(k, k) for k in range(d)] + [(k, l) for k in range(d) for l in range(k + 1, d)]

    def _along(self, difference: Callable[..., Array], v: Array, k: int, l: int) -> Array:
        """∂_l (or its adjoint) of component k, whose last entry along its own axis is left out."""
        xp, own, other = namespace(v), (self.axes or ())[k], (self.axes or ())[l]
        if v.shape[own] == 1:
            return xp.zeros_like(v)
        inner, last = _cut(v, own, slice(0, -1)), _cut(v, own, slice(-1, None))
        return xp.concat([difference(xp, inner, other) / self.spacing[l], xp.zeros_like(last)], axis=own)

    def forward(self, x: Array) -> Array:
        def entry(k: int, l: int) -> Array:
            if k == l:
                return self._along(_backward, x[k, ...], k, k)
            both = self._along(_backward, x[k, ...], k, l) + self._along(_backward, x[l, ...], l, k)
            return both * math.sqrt(0.5)

        return namespace(x).stack([entry(k, l) for k, l in self._pairs()])

    def adjoint(self, y: Array) -> Array:
        total: list[Any] = [0.0] * len(self.spacing)
        for j, (k, l) in enumerate(self._pairs()):
            if k == l:
                total[k] = total[k] + self._along(_backward_adjoint, y[j, ...], k, k)
            else:
                half = y[j, ...] * math.sqrt(0.5)
                total[k] = total[k] + self._along(_backward_adjoint, half, k, l)
                total[l] = total[l] + self._along(_backward_adjoint, half, l, k)
        return namespace(y).stack(total)

    def norm(self) -> float:
        axes, spacing = self.axes or (), self.spacing
        sizes = [self.shape[k] for k in axes]

        def squared(k: int) -> float:
            if sizes[k] == 1:
                return 0.0
            lengths = (n - (l == k) for l, n in enumerate(sizes))
            path = [4 * math.cos(math.pi / (2 * m)) ** 2 / h**2 for m, h in zip(lengths, spacing, strict=True)]
            return float(sum(path))

        return math.sqrt(max(squared(k) for k in range(len(axes)))) * (1 + 1e-12)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls((7,), 0.5)
        yield cls((5, 8), (0.5, 2.0))
        yield cls((4, 3, 2))
        yield cls((4, 1))
        yield cls((4, 3, 5), axes=(2, 0))
        yield cls((512, 300))

    def __repr__(self) -> str:
        return f"SymmetrisedGradient({self.shape})"


def _backward(xp: Any, u: Array, k: int) -> Array:
    """u[i] − u[i − 1], and 0 at i = 0."""
    inner = _cut(u, k, slice(1, None)) - _cut(u, k, slice(0, -1))
    return xp.concat([xp.zeros_like(_cut(u, k, slice(0, 1))), inner], axis=k)


def _backward_adjoint(xp: Any, p: Array, k: int) -> Array:
    inner, zero = _cut(p, k, slice(1, None)), xp.zeros_like(_cut(p, k, slice(0, 1)))
    return xp.concat([zero, inner], axis=k) - xp.concat([inner, zero], axis=k)


def _cut(u: Array, k: int, part: slice) -> Array:
    return u[(slice(None),) * k + (part, Ellipsis)]
