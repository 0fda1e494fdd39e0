"""Smoothed total variation, everywhere or by the Huber function: weight, smoothing and ridge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, namespace
from varinv.functionals.charbonnier import Charbonnier
from varinv.functionals.sparsity import Huber
from varinv.learning.families.base import Family, data_term, operator
from varinv.linalg import dot, norm
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class _SmoothedTV(Family):
    """What both smoothings share: θ = (ln λ, ln ν, ln ξ), those that are learned."""

    gradient: Any
    A: LinearOperator | None = None
    smoothing: float | None = None
    ridge: float | None = 0.0
    isotropic: bool = True

    def __post_init__(self) -> None:
        who = type(self).__name__
        if not isinstance(self.gradient, LinearOperator):
            object.__setattr__(self, "gradient", Gradient(self.gradient))
        operator(who, self.A)
        if self.A is not None and tuple(self.A.domain) != tuple(self.gradient.domain):
            raise ValueError(
                f"{who}: A takes images {tuple(self.A.domain)}, the gradient {tuple(self.gradient.domain)}"
            )
        if self.smoothing is not None:
            check.number(who, "smoothing", self.smoothing, low=0.0, strict=True)
        if self.ridge is not None:
            check.number(who, "ridge", self.ridge, low=0.0)

    @property
    def names(self) -> tuple[str, ...]:
        learned = [n for n in ("smoothing", "ridge") if getattr(self, n) is None]
        return ("weight", *learned)

    def _parameters(self, theta: Array) -> tuple[float, float, float]:
        v = self.values(theta)
        return v["weight"], v.get("smoothing", self.smoothing), v.get("ridge", self.ridge)  # type: ignore[return-value]

    def mu(self, theta: Array) -> float:
        return (1.0 if self.A is None else 0.0) + self._parameters(theta)[2]

    def __repr__(self) -> str:
        fixed = "".join(f", {n}={getattr(self, n):g}" for n in ("smoothing", "ridge") if getattr(self, n))
        return f"{type(self).__name__}({self.gradient}{f', A={self.A}' if self.A is not None else ''}{fixed})"


@dataclass(frozen=True, eq=False, repr=False)
class TV(_SmoothedTV):
    r"""Least squares with smoothed total variation, whose weight and smoothing are learned.

    ½‖A x − y‖² + λ Σ √(|∇x|² + ν²) + ½ ξ‖x‖² with θ = (ln λ, ln ν, ln ξ), those that are learned.

    .. math::
        ∂_{\ln λ}∇h = λ D^Tφ'(Dx),\quad ∂_{\ln ν}∇h = −λ D^T(ν² Dx/φ³),\quad ∂_{\ln ξ}∇h = ξ x,\quad
        φ = \sqrt{|Dx|² + ν²}

    Strong convexity: 1 + ξ for denoising (A None), ξ for other A, which need a ridge.

    Parameters
    ----------
    gradient : image shape, or the operator D (fields (d, *n), e.g. ``Gradient(shape, axes=(1, 2))`` for stacks).
    A : forward operator; None: denoising.
    smoothing : ν, or None: learned.
    ridge : ξ, or None: learned.
    isotropic : |·| the Euclidean length over the leading axis of D x (True) or each entry's magnitude.

    Raises
    ------
    TypeError, ValueError
        smoothing or ridge out of range, operators of different images.

    Examples
    --------
    >>> family = TV((32, 32), ridge=1e-3)
    >>> round(family.values(family.theta(weight=0.1, smoothing=0.01))["weight"], 12)
    0.1
    """

    def __call__(self, theta: Array, y: Array) -> Problem:
        weight, smoothing, ridge = self._parameters(theta)
        problem: Problem = data_term(y, self.A, ridge) + Charbonnier(smoothing, weight, self.isotropic) @ self.gradient
        return problem

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> list[float]:
        weight, nu, ridge = self._parameters(theta)
        z, Dq = self.gradient.forward(x), self.gradient.forward(q)
        phi = self._lengths(z, nu)
        along = z * Dq / phi
        by = {"smoothing": lambda: -weight * nu**2 * _sum(along / phi**2), "ridge": lambda: ridge * dot(x, q)}
        return [weight * _sum(along), *(by[n]() for n in self.names[1:])]

    def bounds(self, theta: Array, y: Array, x: Array) -> tuple[float, float, float]:
        """(‖J‖, L_J, L_H): the Frobenius norm of J, whose columns change by λ‖D‖²/ν, λ‖D‖²/ν, ξ per unit of x at most.

        L_H = 48/(25√5) λ‖D‖³/ν²: the third derivative of φ is largest at |Dx| = ν/2, along Dx, for lengths as for
        numbers (a symmetric trilinear form is largest on one vector: Banach).
        """
        weight, nu, ridge = self._parameters(theta)
        D, z = self.gradient, self.gradient.forward(x)
        phi, d = self._lengths(z, nu), self.gradient.norm()
        column = weight * d**2 / nu
        sizes, lipschitz = [norm(weight * D.adjoint(z / phi))], [column]
        if self.smoothing is None:
            sizes.append(norm(weight * nu**2 * D.adjoint(z / phi**3)))
            lipschitz.append(column)
        if self.ridge is None:
            sizes.append(ridge * norm(x))
            lipschitz.append(ridge)
        return math.hypot(*sizes), math.hypot(*lipschitz), 48 / (25 * math.sqrt(5)) * weight * d**3 / nu**2

    def _lengths(self, z: Array, nu: float) -> Array:
        xp = namespace(z)
        n2 = xp.sum(z * z, axis=0) if self.isotropic else z * z
        return xp.sqrt(n2 + nu**2)


@dataclass(frozen=True, eq=False, repr=False)
class HuberTV(_SmoothedTV):
    r"""Least squares with the Huber form of total variation, whose weight and smoothing are learned.

    ½‖A x − y‖² + λ Σ φ(|∇x|) + ½ ξ‖x‖², φ(t) = t²/(2ν) for t ≤ ν, else t − ν/2; θ and parameters as in TV.

    .. math::
        ∂_{\ln λ}∇h = λ D^T(Dx/\max(|Dx|, ν)),\quad ∂_{\ln ν}∇h = −λ D^T(1_{|Dx|<ν} Dx/ν),\quad ∂_{\ln ξ}∇h = ξ x

    The conjugate of λφ is strongly convex with modulus ν/λ: a lower level for `Piggyback`.  φ is differentiable once:
    the hypergradient exists where no |Dx| equals ν, which is almost everywhere, and its error has no bound ω.
    """

    def __call__(self, theta: Array, y: Array) -> Problem:
        weight, nu, ridge = self._parameters(theta)
        problem: Problem = data_term(y, self.A, ridge) + Huber(nu, weight, self.isotropic) @ self.gradient
        return problem

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> list[float]:
        weight, nu, ridge = self._parameters(theta)
        z, Dq = self.gradient.forward(x), self.gradient.forward(q)
        xp = namespace(z)
        n = xp.sqrt(xp.sum(z * z, axis=0, keepdims=True)) if self.isotropic else abs(z)
        along = z * Dq / xp.where(n < nu, nu + 0 * n, n)
        by = {
            "smoothing": lambda: -weight * _sum(xp.where(n < nu, along, 0 * along)),
            "ridge": lambda: ridge * dot(x, q),
        }
        return [weight * _sum(along), *(by[name]() for name in self.names[1:])]


def _sum(z: Array) -> float:
    xp = namespace(z)
    return float(xp.sum(z, dtype=xp.float64))
