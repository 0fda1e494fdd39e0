"""Total variation with the Huber function: weight, smoothing and ridge of a saddle problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from varinv.backend import Array, namespace
from varinv.functionals.sparsity import Huber
from varinv.learning.families.base import Family, data_term
from varinv.learning.families.tv import TV
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.problem import Problem


@dataclass(frozen=True, eq=False, repr=False)
class HuberTV(Family):
    r"""½‖A x − y‖² + λ Σ φ(|∇x|) + ½ ξ‖x‖², φ(t) = t²/(2ν) for t ≤ ν, else t − ν/2; θ = (ln λ, ln ν, ln ξ) as in TV.

    .. math::
        ∂_{\ln λ}∇h = λ D^T(Dx/\max(|Dx|, ν)),\quad ∂_{\ln ν}∇h = −λ D^T(1_{|Dx|<ν} Dx/ν),\quad ∂_{\ln ξ}∇h = ξ x

    The conjugate of λφ is strongly convex with modulus ν/λ: a lower level for `Piggyback`.  φ is differentiable once:
    the hypergradient exists where no |Dx| equals ν, which is almost everywhere, and ω has no bound.

    Parameters
    ----------
    gradient, A, smoothing, ridge, isotropic : as in TV, with the same errors.
    """

    gradient: Any
    A: LinearOperator | None = None
    smoothing: float | None = None
    ridge: float | None = 0.0
    isotropic: bool = True

    def __post_init__(self) -> None:
        alike = TV(self.gradient, self.A, self.smoothing, self.ridge, self.isotropic)
        object.__setattr__(self, "gradient", alike.gradient)

    @property
    def names(self) -> tuple[str, ...]:
        return ("weight", *(n for n in ("smoothing", "ridge") if getattr(self, n) is None))

    def _parameters(self, theta: Array) -> tuple[float, float, float]:
        v = self.values(theta)
        return v["weight"], v.get("smoothing", self.smoothing), v.get("ridge", self.ridge)  # type: ignore[return-value]

    def __call__(self, theta: Array, y: Array) -> Problem:
        weight, nu, ridge = self._parameters(theta)
        problem: Problem = data_term(y, self.A, ridge) + Huber(nu, weight, self.isotropic) @ self.gradient
        return problem

    def mu(self, theta: Array) -> float:
        return (1.0 if self.A is None else 0.0) + self._parameters(theta)[2]

    def sensitivity(self, theta: Array, y: Array, x: Array, q: Array) -> list[float]:
        weight, nu, ridge = self._parameters(theta)
        z, Dq = self.gradient.forward(x), self.gradient.forward(q)
        xp = namespace(z)
        n = xp.sqrt(xp.sum(z * z, axis=0, keepdims=True)) if self.isotropic else abs(z)
        along = dot(z / xp.where(n < nu, nu + 0 * n, n), Dq)
        inside = dot(xp.where(n < nu, z, 0 * z) / nu, Dq)
        by = {"smoothing": -weight * inside, "ridge": ridge * dot(x, q)}
        return [weight * along, *(by[name] for name in self.names[1:])]

    def __repr__(self) -> str:
        fixed = "".join(f", {n}={getattr(self, n):g}" for n in ("smoothing", "ridge") if getattr(self, n))
        return f"HuberTV({self.gradient}{f', A={self.A}' if self.A is not None else ''}{fixed})"
