"""Damping a vector field along given directions: what makes total variation follow the edges of a guide image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, namespace, same_place
from varinv.operators.base import LinearOperator


@dataclass(frozen=True, eq=False, repr=False)
class Damping(LinearOperator):
    r"""Shrink a vector field along given directions, as directional total variation needs it.

    p_i ↦ p_i − γ ξ_i ⟨ξ_i, p_i⟩, symmetric; shape (d, *n) → (d, *n).

    Norm: the eigenvalues at a pixel are 1 (d − 1 times) and 1 − γ|ξ_i|².

    Parameters
    ----------
    directions : a real array ξ of shape (d, *n) with |ξ_i| ≤ 1.
    gamma : 0 ≤ γ ≤ 1; 1 removes the part along unit directions.

    Raises
    ------
    TypeError, ValueError
        Directions that are complex, NaN, infinite or longer than 1; γ out of range.
    """

    directions: Array
    gamma: float = 1.0

    def __post_init__(self) -> None:
        xi = check.real_array("Damping", "directions", self.directions)
        if xi.ndim < 2:
            raise ValueError(f"Damping: directions must have shape (d, *n), got {tuple(xi.shape)}")
        longest = float(namespace(xi).max(_squares(xi)))
        if longest > 1 + 1e-6:  # float32 directions are unit vectors up to that
            raise ValueError(f"Damping: directions must not be longer than 1, got length {longest**0.5:.4g}")
        object.__setattr__(self, "directions", xi)
        object.__setattr__(self, "gamma", check.number("Damping", "gamma", self.gamma, low=0.0, high=1.0))

    @property
    def domain(self) -> Shape:
        return tuple(self.directions.shape)

    codomain = domain

    def forward(self, x: Array) -> Array:
        xi = same_place("Damping", "directions", self.directions, x)
        return x - self.gamma * namespace(x).sum(xi * x, axis=0) * xi

    adjoint = forward

    def norm(self) -> float:
        least = 1 - self.gamma * _squares(self.directions)
        largest = float(namespace(least).max(abs(least)))
        return (max(largest, 1.0) if self.domain[0] > 1 else largest) * (1 + 1e-6)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        yield cls([[[0.6, 0.0, 1.0]], [[0.8, 0.5, 0.0]]], 0.9)
        yield cls([[1.0, 0.5, 0.0]], 0.7)

    def __repr__(self) -> str:
        return f"Damping({self.domain}, gamma={self.gamma:g})"


def _squares(xi: Any) -> Array:
    return namespace(xi).sum(xi * xi, axis=0)
