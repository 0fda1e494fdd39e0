"""The least-squares terms of a problem, as data: what CG, CGLS, LSQR, SIRT, … ask of it.

A term counts by its form (`varinv.forms.Quadratic` without a box), so that a least-squares term of your own is one too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from varinv.backend import Array, double, is_array
from varinv.capabilities import lost
from varinv.forms import Quadratic, quadratic
from varinv.linalg import add_scaled
from varinv.solvers.base import Unsuited


class Square(NamedTuple):
    """½ Σ weight (K x − y)²; K None: of the image itself; `term` is where it comes from."""

    y: Any
    weight: Any
    K: Any
    term: Any

    def __call__(self, x: Array) -> float:
        return float(self.term(x))

    @property
    def data(self) -> bool:
        """Whether y is an array."""
        return is_array(self.y)

    def beside(self, z: Array) -> tuple[Any, Any]:
        """y and weight in library, device and dtype of z."""
        form = Quadratic(self.y, self.weight).beside(repr(self.term.f), z)
        return form.y, form.weight

    def image(self, x: Array) -> Array:
        """K x."""
        return x if self.K is None else self.K.forward(x)

    def pull(self, q: Array) -> Array:
        """Kᵀ q."""
        return q if self.K is None else self.K.adjoint(q)

    def weighted(self, r: Array) -> Array:
        """W r."""
        w = self.beside(r)[1]
        return w * r if is_array(w) or w != 1 else r

    def slope(self, z: Array) -> Array:
        """W (z − y), the derivative in z = K x."""
        y, w = self.beside(z)
        return w * (z - y)

    def gradient(self, x: Array) -> Array:
        """Kᵀ W (K x − y)."""
        return self.pull(self.slope(self.image(x)))

    @property
    def curvature(self) -> float:
        """max w · ‖K‖²: a proved bound of the curvature."""
        largest = self.term.f.smoothness  # remembered where it is known; looking for it takes time on a device
        largest = largest if math.isfinite(largest) else Quadratic(weight=self.weight).largest
        return float(largest * (1.0 if self.K is None else self.K.norm() ** 2))


def square_of(term: Any) -> Square | None:
    """The term as a least-squares term; None where it is none."""
    form = quadratic(term.f)
    if form is None or form.boxed:
        return None
    return Square(form.y, form.weight, term.K, term)


def split(terms: Iterable[Any]) -> tuple[tuple[Square, ...], tuple[Any, ...]]:
    """(the least-squares terms, the others)."""
    pairs = [(t, square_of(t)) for t in terms]
    return tuple(s for _, s in pairs if s is not None), tuple(t for t, s in pairs if s is None)


def all_squares(who: str, problem: Any) -> tuple[Square, ...]:
    """The terms of a problem of squares only; Unsuited names the first that is none."""
    squares, others = split(problem.terms)
    if others:
        raise Unsuited(
            f"{who} takes squares only, got the term {others[0]}{unknown(others[0].f)}; use ChambollePock() or, where "
            "it is smooth, LBFGS()"
        )
    return squares


def the_square(who: str, problem: Any, operator: bool = True, advice: str = "") -> Square:
    """The one term of a problem that is L2Squared(y) @ A and nothing else, with an `operator` or perhaps none."""
    squares, others = split(problem.terms)
    if len(squares) != 1 or others or (operator and squares[0].K is None):
        why = unknown(others[0].f) if others and not squares else ""
        raise Unsuited(f"{who}: the problem must be L2Squared(y) @ A and nothing else, got {problem}{why}{advice}")
    return squares[0]


def unknown(f: Any) -> str:
    """What to add where f is perhaps a square that does not say so."""
    if lost(f, "form") or (hasattr(f, "grad") and f.data() is not None and f.form() is None):
        return f" (if {type(f).__name__} is least squares, say so by a method form() that returns forms.Quadratic)"
    return ""


def gradient(squares: Iterable[Square], x: Array) -> Array:
    """Σ Kᵀ W (K x − y)."""
    return functools.reduce(lambda a, b: a + b, (s.gradient(x) for s in squares))


def normal(squares: Iterable[Square], p: Array) -> Array:
    """Σ Kᵀ W K p, the second derivative, the same at every image."""
    images = ((s, s.image(p)) for s in squares)
    parts = (s.pull(s.weighted(z)) for s, z in images)
    return functools.reduce(lambda a, b: add_scaled(a, 1.0, b), parts)


def data_misfit(who: str, problem: Any, x: Array) -> float:
    """√Σ ‖K_i x − y_i‖²_{W_i} over the squares with an array of data, in float64."""
    found = [s for s in split(problem.terms)[0] if s.data]
    if not found:
        raise ValueError(f"{who}: {problem} has no L2Squared(y) with data")
    return math.sqrt(2 * sum(s.term(double(x)) for s in found))
