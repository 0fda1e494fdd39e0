"""Functionals: what one costs, and what a solver may ask of it."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from varinv import check
from varinv.backend import Array, Shape, indices_like, is_array, namespace

if TYPE_CHECKING:
    from varinv.problem import Problem, Term


class Functional(ABC):
    """A function f of an array with values in (−∞, ∞].

    A capability is a method that exists; there are no flags.  A class defines `__call__` and any of

    ============================ ==============================================================================
    ``prox(x, step)``            argmin_z f(z) + ‖z − x‖²/(2 step); `step` a number, or an array if `separable`
    ``prox_conj(y, step)``       the same for the conjugate f*; where only one of the two is written, the other
                                 follows from Moreau's identity
    ``conj(y)``                  f*(y) = sup_z ⟨y, z⟩ − f(z)
    ``feasible(y)``              a point of the domain of f* near y
    ``grad(x)``, ``hvp(x, p)``   gradient, and Hessian at x times p
    ``quadratic_weight(x)``      ω with f(u) ≤ f(x) + ½⟨ω, u² − x²⟩ for all u, equal at u = ±x: majorises by a square
    ``ascend(K, y, x, step, ρ)`` a fused (1 − ρ) y + ρ prox_conj(y + step·Kx); all four: None where it has no
    ``value_along(K, x)``        fast way for this K; f(Kx) in float64, without Kx;
    ``ascend_over(…)``           `ascend` that may write its result over y
    ``metric()``                 v > 0, or None: not here; with it the step of `ascend` may be a filter S: v^½ S v^½
    ``pull(K, q)``               (Kᵀq', f*(q')) in float64, q' = feasible(q), without q', for f with minimum f(0) = 0
    ``violation(z)``             of an indicator: the distance from z to the set, over the size of the set
    ``square_in_box(x)``         (y, w, lo, hi) where f is ½ w (x − y)² on lo ≤ x ≤ hi with numbers w, lo, hi; else None
    ============================ ==============================================================================

    Constants: `smoothness` (Lipschitz constant of the gradient, ∞ where there is none), `convexity` (strong convexity;
    negative for a weakly convex f, −∞ where there is no such bound), `convex` (False: Moreau's identity does not hold,
    no prox_conj is derived, f stays primal), `separable` (a sum over entries), `curvature` (of a data term: a typical
    second derivative, which only scales default steps).
    """

    kinds: ClassVar[list[type[Functional]]] = []
    __array_ufunc__ = None

    separable: ClassVar[bool] = False
    convex: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Functional.kinds.append(cls)
        if not cls.convex:
            return
        if hasattr(cls, "prox") and not hasattr(cls, "prox_conj"):
            cls.prox_conj = _prox_conj_from_prox  # type: ignore[method-assign]
        elif hasattr(cls, "prox_conj") and not hasattr(cls, "prox"):
            cls.prox = _prox_from_prox_conj  # type: ignore[method-assign]

    if TYPE_CHECKING:  # the optional capabilities, for the type checker only

        def prox(self, x: Array, step: Any) -> Array: ...
        def prox_conj(self, y: Array, step: Any) -> Array: ...
        def conj(self, y: Array) -> float: ...
        def feasible(self, y: Array) -> Array: ...
        def grad(self, x: Array) -> Array: ...
        def hvp(self, x: Array, p: Array) -> Array: ...
        def quadratic_weight(self, x: Array) -> Array: ...

    @abstractmethod
    def __call__(self, x: Array) -> float:
        """f(x), accumulated in float64."""

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        """Pairs (instance, shape of its argument) on which every contract is tested."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")

    @property
    def smoothness(self) -> float:
        return math.inf

    @property
    def convexity(self) -> float:
        return 0.0

    @property
    def curvature(self) -> float:
        return math.inf  # data terms say

    def fits(self, shape: Shape) -> None:
        """Raise a ValueError where an argument of this shape does not fit the data or weights inside."""

    def data(self) -> Array | None:
        """The array whose library, device and dtype the solution takes; None: there is none inside."""
        return None

    def scale(self, lam: float) -> Functional:
        """lam · f."""
        return Scaled(lam, self)

    def part(self, shape: Shape, axis: int, indices: Sequence[int]) -> Functional:
        """The summands of a separable f that belong to some entries along an axis of its argument, of this `shape`.

        Arrays of that shape inside f are indexed, everything else stays.  Raises TypeError where f is no such sum.
        """
        if not self.separable or not dataclasses.is_dataclass(self):
            raise TypeError(f"{self} is not a sum over entries: it has no part for some of them")
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Functional):
                changes[field.name] = value.part(shape, axis, indices)
            elif is_array(value) and tuple(value.shape) == tuple(shape):
                changes[field.name] = namespace(value).take(value, indices_like(indices, value), axis=axis)
        return dataclasses.replace(self, **changes) if changes else self

    # ---------------------------------------------------------------------------------------------------- the algebra

    def __matmul__(self, K: Any) -> Term:
        from varinv.operators.base import LinearOperator
        from varinv.problem import Term

        return Term(self, K) if isinstance(K, LinearOperator) else NotImplemented

    def __rmul__(self, lam: Any) -> Functional:
        if is_array(lam) and math.prod(lam.shape) != 1:
            raise TypeError(f"array * {self}: an array of weights goes into the constructor, e.g. L21(weight=array)")
        return self.scale(check.number(repr(self), "lam", lam, low=0.0))

    def __add__(self, other: Any) -> Problem:
        from varinv.problem import as_problem

        result: Problem = as_problem(self) + other
        return result

    def __radd__(self, other: Any) -> Problem:
        return self + other if not (isinstance(other, int) and other == 0) else self + _nothing()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _nothing() -> Problem:
    from varinv.problem import Problem

    return Problem(())


def _prox_conj_from_prox(self: Any, y: Array, step: Any) -> Array:
    """Moreau: prox_{step f*}(y) = y − step · prox_{f/step}(y/step)."""
    return y - step * self.prox(y / step, 1 / step)


def _prox_from_prox_conj(self: Any, x: Array, step: Any) -> Array:
    """Moreau: prox_{step f}(x) = x − step · prox_{f*/step}(x/step)."""
    return x - step * self.prox_conj(x / step, 1 / step)


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(Functional):
    """lam · f, with those capabilities that f has; for classes without a weight of their own."""

    lam: float
    f: Any

    def __post_init__(self) -> None:
        for name in ("prox", "prox_conj", "conj", "feasible", "grad", "hvp", "quadratic_weight"):
            if hasattr(self.f, name):
                object.__setattr__(self, name, getattr(self, f"_{name}"))

    def __call__(self, x: Array) -> float:
        return self.lam * float(self.f(x)) if self.lam else 0.0

    def _prox(self, x: Array, step: Any) -> Array:
        return self.f.prox(x, step * self.lam) if self.lam else x

    def _prox_conj(self, y: Array, step: Any) -> Array:
        return self.lam * self.f.prox_conj(y / self.lam, step / self.lam) if self.lam else 0 * y

    def _conj(self, y: Array) -> float:
        if not self.lam:
            return 0.0 if float(abs(y).max()) == 0 else math.inf
        return self.lam * float(self.f.conj(y / self.lam))

    def _feasible(self, y: Array) -> Array:
        return self.lam * self.f.feasible(y / self.lam) if self.lam else 0 * y

    def _grad(self, x: Array) -> Array:
        return self.lam * self.f.grad(x)

    def _hvp(self, x: Array, p: Array) -> Array:
        return self.lam * self.f.hvp(x, p)

    def _quadratic_weight(self, x: Array) -> Array:
        return self.lam * self.f.quadratic_weight(x)

    @property
    def separable(self) -> bool:  # type: ignore[override]
        return bool(self.f.separable)

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return bool(self.f.convex)

    @property
    def smoothness(self) -> float:
        return self.lam * self.f.smoothness if self.lam else 0.0

    @property
    def convexity(self) -> float:
        return self.lam * self.f.convexity if self.lam else 0.0

    @property
    def curvature(self) -> float:
        return self.lam * self.f.curvature if self.lam else 0.0

    def fits(self, shape: Shape) -> None:
        self.f.fits(shape)

    def data(self) -> Array | None:
        result: Array | None = self.f.data()
        return result

    def scale(self, lam: float) -> Functional:
        return Scaled(lam * self.lam, self.f)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        from varinv.functionals.data import KullbackLeibler

        yield cls(0.3, KullbackLeibler([1.0, 0.0, 3.0], background=0.5)), (3,)

    def __repr__(self) -> str:
        return f"{self.lam:g} * {self.f}"
