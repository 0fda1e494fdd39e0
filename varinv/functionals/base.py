"""Functionals: what an image costs, and what a solver may ask; a functional behind an operator is a term."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from varinv import check
from varinv.backend import Array, Shape, double, indices_like, is_array, namespace
from varinv.capabilities import guard, lost
from varinv.domains import bounds_of
from varinv.fused import table
from varinv.operators.base import LinearOperator
from varinv.problem import Summand
from varinv.returned import checked
from varinv.views import on_views

# what defines a functional, and what describes the functional so defined: a subclass that overrides one of the former
# keeps none of its parent's others (varinv.capabilities)
DEFINING = ("__call__", "prox", "prox_conj", "conj", "grad")
DERIVED = (
    *("form", "total", "lifted", "grows", "feasible", "hvp", "quadratic_weight", "conj_within", "violation", "misfit"),
    *("bounds", "beyond"),
    *("smoothness", "convexity", "curvature", "separable", "scale"),
)
LIKE_THE_INPUT = ("prox", "prox_conj", "grad", "hvp", "feasible", "quadratic_weight")  # what returns arrays like that


class Functional(Summand, ABC):
    r"""A cost, a penalty or a constraint: a number for every image, which a problem adds up and a solver minimises.

    A function f of an array with values in (−∞, ∞].

    A capability is a method that exists; there are no flags.  **The mathematics**: a class defines `__call__` and
    any of

    ============================ ==============================================================================
    ``prox(x, step)``            argmin_z f(z) + ‖z − x‖²/(2 step); `step` a number, or an array if `separable`
    ``prox_conj(y, step)``       the same for the conjugate f*; where only one of the two is written, the other
                                 follows from Moreau's identity
    ``conj(y)``                  f*(y) = sup_z ⟨y, z⟩ − f(z)
    ``feasible(y)``              a point of the domain of f* near y
    ``grad(x)``, ``hvp(x, p)``   gradient, and Hessian at x times p
    ``quadratic_weight(x)``      ω with f(u) ≤ f(x) + ½⟨ω, u² − x²⟩ for all u, equal at u = ±x: majorises by a square
    ``violation(z)``             of an indicator: the distance from z to the set, over the size of the set
    ``misfit(z)``                of a data term without a form: ‖z − y‖/‖y‖, what z leaves of the data y
    ============================ ==============================================================================

    **What it is**, for certificates, default steps, least-squares solvers and fused steps:

    ============================ ==============================================================================
    ``form()``                   f as data, one of `varinv.forms`; None where it is none of these
    ``total(value)``             of a data term: T ≥ Σ z wherever f(z) ≤ value
    ``lifted(q, price, need)``   of a data term: the best of −f*(a q + b·1) − price(a, b) over points a q + b·1 of
                                 the domain of f*, a in [0, 1], b ≥ 0; nothing is gained beyond b = a·need
    ``conj_within(q, lo, hi)``   sup_z ⟨q, z⟩ − f(z) over lo ≤ z ≤ hi
    ``bounds()``                 (lo, hi): f(z) = ∞ unless lo ≤ z ≤ hi; not where a form says it already
    ``beyond(lo, hi, shape)``    by how much every z between these bounds lies outside the domain of f, over its size
    ``grows``                    True where f never falls as any \|z_i\| grows
    ============================ ==============================================================================

    Constants: `smoothness` (Lipschitz constant of the gradient, ∞ where there is none), `convexity` (strong convexity;
    negative for a weakly convex f, −∞ where there is no such bound), `convex` (False: Moreau's identity does not hold,
    no prox_conj is derived, f stays primal), `separable` (a sum over entries), `curvature` (of a data term: a typical
    second derivative, which only scales default steps).

    A subclass that overrides one of `__call__`, `prox`, `prox_conj`, `conj`, `grad` keeps of its parent what it writes
    anew, and nothing else: the parent's conjugate is not the subclass's.
    """

    kinds: ClassVar[list[type[Functional]]] = []

    separable: ClassVar[bool] = False
    convex: ClassVar[bool] = True
    grows: Any = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Functional.kinds.append(cls)
        guard(cls, Functional, DEFINING, DERIVED)
        checked(cls, dict.fromkeys(LIKE_THE_INPUT, lambda f, x: x.shape), ("__call__", "conj"))
        if not cls.convex:
            return
        if hasattr(cls, "prox") and not hasattr(cls, "prox_conj"):
            cls.prox_conj = _prox_conj_from_prox  # type: ignore[method-assign]
        elif hasattr(cls, "prox_conj") and not hasattr(cls, "prox"):
            cls.prox = _prox_from_prox_conj  # type: ignore[method-assign]

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        return (Term(self),)

    def form(self) -> Any:
        """What f is, in a form that solvers can read (varinv.forms), or None where no form applies."""
        return None

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
        """The value f(x), summed in float64."""

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
        """The array whose library, device and dtype the solution takes, or None where f holds no array."""
        return None

    def scale(self, lam: float) -> Functional:
        """The functional times a number: lam · f."""
        return Scaled(lam, self)

    def part(self, shape: Shape, axis: int, indices: Sequence[int]) -> Functional:
        """The part of a sum over pixels that belongs to some of them.

        They are the entries `indices` along an axis of the argument of f, which has this `shape`.  Arrays of that shape
        inside f are indexed, everything else stays.  Raises TypeError where f is no such sum.
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
        return Term(self, composable(self, K))

    def __rmul__(self, lam: Any) -> Functional:
        if is_array(lam) and math.prod(lam.shape) != 1:
            raise TypeError(f"array * {self}: an array of weights goes into the constructor, e.g. L21(weight=array)")
        return self.scale(check.number(repr(self), "lam", lam, low=0.0))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _prox_conj_from_prox(self: Any, y: Array, step: Any) -> Array:
    """Moreau: prox_{step f*}(y) = y − step · prox_{f/step}(y/step)."""
    return y - step * self.prox(y / step, 1 / step)


def _prox_from_prox_conj(self: Any, x: Array, step: Any) -> Array:
    """Moreau: prox_{step f}(x) = x − step · prox_{f*/step}(x/step)."""
    return x - step * self.prox_conj(x / step, 1 / step)


_prox_conj_from_prox.follows = _prox_from_prox_conj.follows = True  # type: ignore[attr-defined]  # nobody wrote them


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(Functional):
    """lam · f, with those capabilities that f has; for classes without a weight of their own."""

    lam: float
    f: Any

    def __post_init__(self) -> None:
        methods = ("prox", "prox_conj", "conj", "feasible", "grad", "hvp", "quadratic_weight", "violation", "misfit")
        for name in (*methods, *(("total", "lifted", "beyond") if self.lam else ())):
            if hasattr(self.f, name):
                object.__setattr__(self, name, getattr(self, f"_{name}"))
        if self.lam and bounds_of(self.f) is not None:
            object.__setattr__(self, "bounds", self._bounds)

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

    def _violation(self, z: Array) -> float:
        return float(self.f.violation(z))

    def _bounds(self) -> Any:
        return bounds_of(self.f)

    def _beyond(self, lo: Any, hi: Any, shape: Shape) -> float:
        return float(self.f.beyond(lo, hi, shape))

    def _misfit(self, z: Array) -> float:
        return float(self.f.misfit(z))

    def _total(self, value: float) -> float:
        return float(self.f.total(value / self.lam))

    def _lifted(self, q: Array, price: Callable[[float, float], float], need: float) -> float:
        """(λf)*(q) = λ f*(q/λ): raised duals of f are those of λf over λ."""
        lam = self.lam
        return lam * float(self.f.lifted(q / lam, lambda a, b: price(a, lam * b) / lam, need / lam))

    def form(self) -> Any:
        """λ times the form of f: its weight grows."""
        form = self.f.form() if self.lam else None
        weight = getattr(form, "weight", None)
        return None if form is None or weight is None else form._replace(weight=self.lam * weight)

    @property
    def weight(self) -> Any:
        """λ times the weight of f, where it has one."""
        return self.lam * getattr(self.f, "weight", 1.0)

    @property
    def grows(self) -> bool:
        return bool(self.f.grows)

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
        """None of its own: those that it scales give some among theirs."""
        return iter(())

    def __repr__(self) -> str:
        return f"{self.lam:g} * {self.f}"


@dataclass(frozen=True, eq=False, repr=False)
class Term(Summand):
    """One summand of a problem: a functional of an image, or of the image behind an operator.

    f(K x), or f(x) where K is None.

    Raises ValueError where the data or weights inside f do not fit the shapes that K maps between.
    """

    f: Functional
    K: LinearOperator | None = None

    @property
    def terms(self) -> tuple[Term, ...]:  # type: ignore[override]
        return (self,)

    def __post_init__(self) -> None:
        if not isinstance(self.f, Functional):
            raise TypeError(f"a term needs a Functional, got {check.describe(self.f)}")
        if self.K is not None:
            try:
                self.f.fits(self.K.codomain)
            except ValueError as error:
                raise ValueError(f"{error}; {self.K} maps {tuple(self.K.domain)} to {tuple(self.K.codomain)}") from None

    @on_views
    def __call__(self, x: Array) -> float:
        """The value f(K x) in float64, with K x in the dtype of x."""
        x = _image(x)
        return float(self.f(x if self.K is None else self.K(x)))

    def exactly(self, x: Array) -> float:
        """The value f(K x) with K x in float64 as well, or, where f can, without forming K x."""
        if self.K is None:
            return float(self.f(x))
        fast = table.value_of(self.f, self.K, x)
        return float(self.f(self.K(double(x)))) if fast is None else fast

    @on_views
    def grad(self, x: Array) -> Array:
        """The gradient with respect to the image: Kᵀ ∇f(K x)."""
        if not hasattr(self.f, "grad"):
            raise TypeError(
                f"{self.f} has no gradient{lost(self.f, 'grad')}; smooth it (Huber, TV(smoothing=…)) or use a proximal "
                "solver"
            )
        x = _image(x)
        return self.f.grad(x) if self.K is None else self.K.T(self.f.grad(self.K(x)))

    @on_views
    def hvp(self, x: Array, p: Array) -> Array:
        """The Hessian (second derivative) times a direction p: Kᵀ ∇²f(K x) K p."""
        if not hasattr(self.f, "hvp"):
            raise TypeError(f"{self.f} has no second derivative{lost(self.f, 'hvp')}")
        x, p = _image(x), _image(p)
        return self.f.hvp(x, p) if self.K is None else self.K.T(self.f.hvp(self.K(x), self.K(p)))

    def __rmul__(self, lam: Any) -> Term:
        if is_array(lam) and math.prod(lam.shape) != 1:
            raise TypeError(f"array * {self}: weights go into the constructor, e.g. TV(shape, weight=array)")
        return Term(lam * self.f, self.K)

    __mul__ = __rmul__

    def __matmul__(self, K: Any) -> Term:
        K = composable(self, K)
        return Term(self.f, K if self.K is None else self.K @ K)

    def __repr__(self) -> str:
        return f"{self.f}" if self.K is None else f"{self.f} @ {self.K}"


def composable(f: Any, K: Any) -> LinearOperator:
    """K, or a TypeError that says what can stand behind @."""
    if isinstance(K, LinearOperator):
        return K
    remedy = f"; of a matrix, {f} @ Matrix(array)" if is_array(K) and K.ndim == 2 else ""
    raise TypeError(
        f"{f} @ {check.describe(K)}: @ composes with an operator, such as {f} @ Radon(shape, geometry){remedy}"
    )


def _image(x: Array) -> Array:
    """`x` as a real floating array: integers count as float64."""
    return check.real_array("Term", "x", x, finite=False)
