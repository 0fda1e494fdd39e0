"""A problem is a sum of terms f_i(K_i x): its value, gradient and certified gap."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, Shape, device, double, is_array, namespace
from varinv.functionals.base import Functional
from varinv.functionals.constraints import Box
from varinv.joint import together
from varinv.operators.base import LinearOperator
from varinv.operators.elementary import Identity
from varinv.views import on_views


@dataclass(frozen=True, eq=False, repr=False)
class Term:
    """f(K x); K None: f of the image itself.

    Raises ValueError where the data or weights inside f do not fit the shapes that K maps between.
    """

    f: Functional
    K: LinearOperator | None = None

    __array_ufunc__ = None

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
        """f(K x) in float64, K x in the dtype of x."""
        x = _image(x)
        return float(self.f(x if self.K is None else self.K(x)))

    def exactly(self, x: Array) -> float:
        """f(K x) with K x in float64 as well, or, where f can, without K x."""
        if self.K is None:
            return float(self.f(x))
        fast = self.f.value_along(self.K, x) if hasattr(self.f, "value_along") else None
        return float(self.f(self.K(double(x)))) if fast is None else float(fast)

    @on_views
    def grad(self, x: Array) -> Array:
        """Kᵀ ∇f(K x)."""
        if not hasattr(self.f, "grad"):
            raise TypeError(f"{self.f} has no gradient; smooth it (Huber, TV(smoothing=…)) or use a proximal solver")
        x = _image(x)
        return self.f.grad(x) if self.K is None else self.K.T(self.f.grad(self.K(x)))

    @on_views
    def hvp(self, x: Array, p: Array) -> Array:
        """Kᵀ ∇²f(K x) K p."""
        if not hasattr(self.f, "hvp"):
            raise TypeError(f"{self.f} has no second derivative")
        x, p = _image(x), _image(p)
        return self.f.hvp(x, p) if self.K is None else self.K.T(self.f.hvp(self.K(x), self.K(p)))

    def __rmul__(self, lam: Any) -> Term:
        if is_array(lam) and math.prod(lam.shape) != 1:
            raise TypeError(f"array * {self}: weights go into the constructor, e.g. TV(shape, weight=array)")
        return Term(lam * self.f, self.K)

    __mul__ = __rmul__

    def __matmul__(self, K: Any) -> Term:
        if not isinstance(K, LinearOperator):
            return NotImplemented
        return Term(self.f, K if self.K is None else self.K @ K)

    def __add__(self, other: Any) -> Problem:
        result: Problem = as_problem(self) + other
        return result

    def __radd__(self, other: Any) -> Problem:
        return as_problem(self).__radd__(other)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"{self.f}" if self.K is None else f"{self.f} @ {self.K}"


def _image(x: Array) -> Array:
    """`x` as a real floating array: integers count as float64."""
    return check.real_array("Term", "x", x, finite=False)


class Gap(NamedTuple):
    """Objective, a proved lower bound of the optimum, and their relative distance."""

    primal: float
    dual: float
    relative: float


@dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """min over x of Σ f_i(K_i x).

    Written as ``L2Squared(y) @ A + 0.02 * TV(A.domain) + NonNegative()``.  Terms of the image itself stay primal
    together in one exact prox (`simple`); the others are `coupled` to the dual, one array per term.

    Raises ValueError where terms speak of images of different shapes.
    """

    terms: tuple[Term, ...]

    __array_ufunc__ = None

    def __post_init__(self) -> None:
        domains = {tuple(t.K.domain): t for t in self.terms if t.K is not None}
        if len(domains) > 1:
            words = " and ".join(f"{shape} ({term})" for shape, term in domains.items())
            raise ValueError(f"the terms of a problem share one image, got shapes {words}")
        shapes = [*domains, *(tuple(d.shape) for t in self.terms if t.K is None and (d := t.f.data()) is not None)]
        if shapes:
            for t in self.terms:
                if t.K is None:
                    t.f.fits(shapes[0])

    @functools.cached_property
    def domain(self) -> Shape:
        """Shape of the image."""
        for t in self.terms:
            if t.K is not None:
                return tuple(t.K.domain)
        for t in self.terms:
            data = t.f.data()
            if data is not None:
                return tuple(data.shape)
        raise ValueError(f"{self}: no term fixes the shape of the image; compose one with an operator")

    @functools.cached_property
    def _parts(self) -> tuple[Functional | None, tuple[Term, ...]]:
        simple, left = together(t.f for t in self.terms if t.K is None)
        coupled = [t for t in self.terms if t.K is not None]
        coupled += [Term(f, Identity(self.domain)) for f in left]
        return simple, tuple(coupled)

    @property
    def simple(self) -> Functional | None:
        """The terms of the image itself, with one exact prox; None: there are none."""
        return self._parts[0]

    @property
    def coupled(self) -> tuple[Any, ...]:
        """The terms with an operator; the dual is a tuple of arrays, one per coupled term."""
        return self._parts[1]

    @on_views
    def __call__(self, x: Array) -> float:
        """The objective at x, in float64."""
        x = check.real_array("Problem", "x", x, finite=False)
        check.same_shape("Problem", "x", x, self.domain)
        return sum((t.exactly(x) for t in self.terms), start=0.0)

    @on_views
    def grad(self, x: Array) -> Array:
        """Σ Kᵀ ∇f(K x); a TypeError names the term without a gradient."""
        return functools.reduce(lambda a, b: a + b, (t.grad(x) for t in self.terms))

    @on_views
    def hvp(self, x: Array, p: Array) -> Array:
        """Σ Kᵀ ∇²f(K x) K p."""
        return functools.reduce(lambda a, b: a + b, (t.hvp(x, p) for t in self.terms))

    @on_views
    def gap(self, x: Array, duals: tuple[Array, ...], bound: float | None = None) -> Gap:
        """Objective at x and the lower bound that the dual arrays prove, made feasible first.

        `bound` M is an assumption, |x| ≤ M at the solution, for problems that offer no proved one.
        Raises ValueError naming the missing bound, or a dual array of the wrong shape.  See varinv.certificate.
        """
        from varinv.certificate import lower_bound

        if len(duals) != len(self.coupled):
            raise ValueError(f"gap: one dual array a term behind an operator, {len(self.coupled)}, got {len(duals)}")
        for t, y in zip(self.coupled, duals, strict=True):
            check.same_shape("gap", f"the dual of {t}", y, t.K.codomain)
        primal = self(x)
        dual = lower_bound(self, x, duals, primal, bound)
        return Gap(primal, dual, relative_gap(primal, dual))

    def data(self) -> Array | None:
        """The first array of data among the terms, else the first bound of a box that is one; None: there is none."""
        data = next((d for t in self.terms if (d := t.f.data()) is not None), None)
        ends = (end for t in self.terms if isinstance(t.f, Box) for end in (t.f.lo, t.f.hi))
        return next((end for end in ends if is_array(end)), None) if data is None else data

    def zeros(self) -> Array:
        """The zero image with the library, device and dtype of the data (NumPy float64 where there are none)."""
        import array_api_compat.numpy as xp

        data = self.data()
        if data is None:
            return xp.zeros(self.domain)
        return namespace(data).zeros(self.domain, dtype=data.dtype, device=device(data))

    def __add__(self, other: Any) -> Problem:
        other = as_problem(other)
        return NotImplemented if other is None else Problem(self.terms + other.terms)

    def __radd__(self, other: Any) -> Problem:
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __rmul__(self, lam: Any) -> Problem:
        return Problem(tuple(lam * t for t in self.terms))

    def __matmul__(self, K: Any) -> Problem:
        return Problem(tuple(t @ K for t in self.terms)) if isinstance(K, LinearOperator) else NotImplemented

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.terms)) or "0"


def relative_gap(primal: float, dual: float) -> float:
    """(P − D)/max(|P|, |D|); 0 where both vanish, ∞ where one is infinite."""
    if not (math.isfinite(primal) and math.isfinite(dual)):
        return math.inf
    largest = max(abs(primal), abs(dual))
    return (primal - dual) / largest if largest else 0.0


def as_problem(part: Any) -> Any:
    """A functional, a term or a problem as a problem; None for anything else."""
    if isinstance(part, Functional):
        return Problem((Term(part),))
    if isinstance(part, Term):
        return Problem((part,))
    return part if isinstance(part, Problem) else None
