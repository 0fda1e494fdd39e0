"""Penalties that become constant: MCP, the continuous exact ℓ0 (CEL0), SCAD.  Convention as in nonconvex.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, is_array, namespace
from varinv.functionals.base import Functional
from varinv.functionals.nonconvex import Penalty


@dataclass(frozen=True, eq=False, repr=False)
class MCP(Penalty):
    r"""A sparsity penalty that does not shrink large values: the minimax concave penalty, not convex.

    Σ w φ, φ = λ|z| − z²/(2γ) up to |z| = γλ, then γλ²/2 (minimax concave, Zhang 2010).  μ = −1/γ.

    prox for t < γ: 0 up to tλ, (|u| − tλ)/(1 − t/γ) up to γλ, then u; for t ≥ γ hard at λ√(tγ) (tie: 0).
    """

    threshold: Any = 1.0
    gamma: Any = 3.0
    weight: Any = 1.0
    bounds = {"threshold": 0.0, "gamma": 0.0}  # noqa: RUF012

    def _phi(self, n: Array) -> Array:
        lam, gamma = self._of("threshold", n), self._of("gamma", n)
        m = namespace(n).minimum(n, gamma * lam + 0 * n)
        return m * (lam - m / (2 * gamma))

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp, lam, gamma = namespace(n), self._of("threshold", n), self._of("gamma", n)
        slope = 1 - t / gamma
        firm = xp.maximum(n - t * lam, 0 * n) / xp.where(slope > 0, slope, xp.ones_like(n))
        edge = xp.where(slope > 0, gamma * lam + 0 * n, lam * xp.sqrt(t * gamma))
        return xp.where(n > edge, n, xp.where(slope > 0, xp.minimum(firm, n), 0 * n))

    def _modulus(self) -> Any:
        return -1 / self.gamma

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls([0.2, 1.0, 3.0], 0.6, [0.5, 0.0, 2.0]), (3,)
        yield CEL0(0.3, [0.5, 1.0, 2.0, 4.0]), (4,)


def CEL0(weight: Any = 1.0, norms: Any = 1.0) -> MCP:
    r"""A sparsity penalty that, beside least squares, replaces the count of non-zeros by a continuous function.

    Σ λ − (a²/2)(|z| − √(2λ)/a)² [|z| ≤ √(2λ)/a]: the continuous exact relaxation of λ‖z‖₀ beside ½‖Az − y‖².

    λ = `weight` > 0, a = `norms`, the norms of the columns of A, numbers or one per entry.  It has the minimisers of
    the ℓ0 problem and fewer local ones (Soubies, Blanc-Féraud & Aubert 2015).  This is MCP(a√(2λ), 1/a²).
    """
    weight, norms = check.weight("CEL0", weight), check.weight("CEL0", norms, name="norms")
    for name, value in (("weight", weight), ("norms", norms)):
        least = float(namespace(value).min(value)) if is_array(value) else value
        if least <= 0:
            raise ValueError(f"CEL0: {name} must be greater than 0, got {least:g}")
    return MCP(norms * (2 * weight) ** 0.5, 1 / norms**2)


@dataclass(frozen=True, eq=False, repr=False)
class SCAD(Penalty):
    r"""A sparsity penalty that does not shrink large values: smoothly clipped absolute deviation, not convex.

    Σ w φ, φ = λ|z| up to λ, (2aλ|z| − z² − λ²)/(2(a − 1)) up to aλ, then λ²(a + 1)/2; a > 1.  μ = −1/(a − 1).

    (Fan & Li 2001: a = 3.7.)  prox for t < a − 1: soft by tλ up to (1 + t)λ, ((a − 1)|u| − taλ)/(a − 1 − t) up to aλ,
    then u; for t ≥ a − 1: u above λ(t + a + 1)/2, or λ√(t(a + 1)) where t ≥ a + 1, and soft by tλ below (tie: soft).
    """

    threshold: Any = 1.0
    a: Any = 3.7
    weight: Any = 1.0
    bounds = {"threshold": 0.0, "a": 1.0}  # noqa: RUF012

    def _phi(self, n: Array) -> Array:
        xp, lam, a = namespace(n), self._of("threshold", n), self._of("a", n)
        m = xp.minimum(n, a * lam + 0 * n)
        return xp.where(m <= lam, lam * m, (2 * a * lam * m - m * m - lam * lam) / (2 * (a - 1)))

    def _shrunk(self, n: Array, t: Array) -> Array:
        xp, lam, a = namespace(n), self._of("threshold", n), self._of("a", n)
        soft = xp.maximum(n - t * lam, 0 * n)
        room = a - 1 - t
        middle = ((a - 1) * n - t * a * lam) / xp.where(room > 0, room, xp.ones_like(n))
        jump = xp.where(t >= a + 1, lam * xp.sqrt(t * (a + 1)), lam * (t + a + 1) / 2)
        edge = xp.where(room > 0, a * lam + 0 * n, jump)
        inner = xp.where((room > 0) & (n > (1 + t) * lam), xp.minimum(middle, n), soft)
        return xp.where(n > edge, n, inner)

    def _modulus(self) -> Any:
        return -1 / (self.a - 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (2, 3)
        yield cls([0.2, 1.0, 3.0], 2.5, [0.5, 0.0, 2.0]), (3,)
