"""A problem is a sum of terms f_i(K_i x): its value, gradient and certified gap."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, Shape, device, is_array, namespace
from varinv.certificate import lower_bound
from varinv.domains import contradiction
from varinv.forms import quadratic
from varinv.joint import combine
from varinv.memory import own_state
from varinv.operators.base import LinearOperator
from varinv.operators.elementary import Identity
from varinv.views import on_views


class Summand:
    """What can stand in a sum that is to be minimised: it has `terms`, each f(K x) with `f` and `K` (None: the image).

    ``a + b`` of two summands is a Problem, and so is ``sum([a, b, c])``.
    """

    __array_ufunc__ = None
    terms: tuple[Any, ...]

    def __add__(self, other: Any) -> Problem:
        return Problem(self.terms + other.terms) if isinstance(other, Summand) else NotImplemented

    def __radd__(self, other: Any) -> Problem:
        return Problem(self.terms) if isinstance(other, int) and other == 0 else NotImplemented

    def __getstate__(self) -> Any:
        return own_state(self)


class Gap(NamedTuple):
    """Objective, a proved lower bound of the optimum, and their relative distance."""

    primal: float
    dual: float
    relative: float


@dataclass(frozen=True, eq=False, repr=False)
class Problem(Summand):
    """What is minimised: a sum of data terms, regularisers and constraints.

    min over x of Σ f_i(K_i x).

    Written as ``L2Squared(y) @ A + 0.02 * TV(A.domain) + NonNegative()``.  Terms of the image itself stay primal
    together in one exact prox (`simple`); the others are `coupled` to the dual, one array per term.

    Raises ValueError where terms speak of images of different shapes, and where bounds tell that no image satisfies two
    of them (`varinv.domains`).
    """

    terms: tuple[Any, ...]

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
        if len(self.terms) > 1 and (words := contradiction(self.terms, shapes[0] if shapes else None)):
            raise ValueError(words)

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
    def _parts(self) -> tuple[Any, tuple[Any, ...]]:
        simple, left = combine(t for t in self.terms if t.K is None)
        coupled = [t for t in self.terms if t.K is not None]
        coupled += [dataclasses.replace(t, K=Identity(self.domain)) for t in left]
        return simple, tuple(coupled)

    @property
    def simple(self) -> Any:
        """The terms of the image itself as one functional with an exact prox, or None where there are none."""
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
        """The gradient of the objective, Σ Kᵀ ∇f(K x); a TypeError names the term without a gradient."""
        return functools.reduce(lambda a, b: a + b, (t.grad(x) for t in self.terms))

    @on_views
    def hvp(self, x: Array, p: Array) -> Array:
        """The Hessian (second derivative) times a direction p: Σ Kᵀ ∇²f(K x) K p."""
        return functools.reduce(lambda a, b: a + b, (t.hvp(x, p) for t in self.terms))

    @on_views
    def gap(self, x: Array, duals: tuple[Array, ...], bound: float | None = None) -> Gap:
        """How far an image is from the optimum, proved: its objective and a lower bound.

        The bound is what the dual arrays prove, made feasible first.

        `bound` M is an assumption, |x| ≤ M at the solution, for problems that offer no proved one.
        Raises ValueError naming the missing bound, or a dual array of the wrong shape.  See varinv.certificate.
        """
        if len(duals) != len(self.coupled):
            raise ValueError(f"gap: one dual array a term behind an operator, {len(self.coupled)}, got {len(duals)}")
        for t, y in zip(self.coupled, duals, strict=True):
            check.same_shape("gap", f"the dual of {t}", y, t.K.codomain)
        primal = self(x)
        dual = lower_bound(self, x, duals, primal, bound)
        return Gap(primal, dual, relative_gap(primal, dual))

    def data(self) -> Array | None:
        """The first array of data among the terms, else the first array that bounds a box, or None."""
        data = next((d for t in self.terms if (d := t.f.data()) is not None), None)
        ends = (end for t in self.terms if (form := quadratic(t.f)) is not None for end in (form.lo, form.hi))
        return next((end for end in ends if is_array(end)), None) if data is None else data

    def zeros(self) -> Array:
        """The zero image with the library, device and dtype of the data (NumPy float64 where there are none)."""
        data = self.data()
        if data is None:
            return xnp.zeros(self.domain)
        return namespace(data).zeros(self.domain, dtype=data.dtype, device=device(data))

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
    if not isinstance(part, Summand):
        return None
    return part if isinstance(part, Problem) else Problem(part.terms)
