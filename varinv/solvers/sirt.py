"""SIRT, SART and OS-SART: additive corrections scaled by the sums of rows and columns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace, place
from varinv.forms import quadratic
from varinv.functionals.base import Term
from varinv.functionals.data import L2Squared
from varinv.linalg import dot
from varinv.memory import remembered
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import Square, square_of, unknown
from varinv.solvers.subsets import subsets, views


class SIRTState(NamedTuple):
    """Image x and the iteration number (for subsets: of sweeps over all data)."""

    x: Array
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """‖P(x + C Aᵀ R (y − A x)) − x‖ over ‖C Aᵀ R y‖ in the metric C⁻¹: 0 exactly where SIRT rests."""
        term, box = parts("SIRT", problem)
        r, c = sums(term, self.x)
        moved = corrected(term, r, inverse(c), box, self.x, 1.0) - self.x
        pulled = term.K.adjoint(r * square(term).beside(r)[0])  # type: ignore[union-attr]
        size, distance = dot(pulled, inverse(c) * pulled), dot(moved, c * moved)
        return math.sqrt(distance / size) if size > 0 else (0.0 if distance == 0 else math.inf)


@dataclass(frozen=True)
class SIRT(Solver):
    r"""A classical solver of tomography: weighted least squares, each ray and each pixel scaled.

    Simultaneous iterative reconstruction; Gilbert (1972), in the form of Gregor & Benson (2008), equation 6.

    .. math::
        x ← P(x + λ C A^T R (y − A x)),\quad R = \mathrm{diag}\Bigl(\frac{w_i}{\sum_j |a_{ij}|}\Bigr),\quad
        C = \mathrm{diag}\Bigl(\frac{1}{\sum_i w_i |a_{ij}|}\Bigr)

    **What it minimises** is ½ Σ R_i (A x − y)_i² in the box, not ½ Σ w_i (A x − y)_i²: short rays count more.  For
    consistent data, or where all rows have one sum, the two share their minimisers; otherwise ``minimises(problem)``
    is the problem whose solution SIRT finds.  Started from zero it tends to the minimiser of least Σ x²/C.

    By Cauchy–Schwarz R_i (Σ_j a_ij d_j)² ≤ w_i Σ_j |a_ij| d_j², so that AᵀRA ≤ C⁻¹: a projected gradient method in the
    metric C⁻¹, convergent for 0 < λ < 2 for every A.  Rows and columns without entries (below 1e-12 of the largest sum,
    1e-6 in float32) are left out: their pixels keep their start value.

    The problem must be ``L2Squared(y, weight) @ A``, and a Box or NonNegative() if wanted.

    Parameters
    ----------
    relaxation : λ, between 0 and 2.

    Raises
    ------
    TypeError, ValueError
        A relaxation outside; in `init`, other terms, or an A whose magnitudes are not known.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Blur((3,), [1.0, 2.0, 1.0])
    >>> problem = vi.L2Squared(A(np.array([1.0, 3.0, 2.0]))) @ A
    >>> vi.solve(problem, vi.SIRT(), stop=vi.residual(1e-12) | vi.iterations(1000)).x.round(6)
    array([1., 3., 2.])
    """

    relaxation: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "relaxation", relaxed("SIRT", self.relaxation))

    def init(self, problem: Problem, x: Array) -> SIRTState:
        parts("SIRT", problem)
        return SIRTState(x)

    def step(self, problem: Problem, s: SIRTState) -> SIRTState:
        term, box = parts("SIRT", problem)
        r, c = sums(term, s.x)
        return SIRTState(corrected(term, r, inverse(c), box, s.x, self.relaxation), s.k + 1)

    def minimises(self, problem: Problem) -> Problem:
        """The problem whose solution SIRT finds: the weights R in place of those given."""
        term, box = parts("SIRT", problem)
        f = L2Squared(square(term).y, sums(term, problem.zeros())[0])
        return f @ term.K + box if box is not None else Problem((f @ term.K,))

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield cls(), _consistent(1.0)
        yield cls(1.9), _consistent(1.0)


@dataclass(frozen=True)
class OSSART(Solver):
    r"""SIRT made faster: one subset of the views after the other (OS-SART).

    One step is a sweep over all subsets.

    .. math::
        x ← P(x + λ C A_s^T R_s (y_s − A_s x)),\quad s = 1 … n,\quad
        C = \mathrm{diag}\Bigl(\min_s \frac{1}{\sum_{i ∈ s} w_i |a_{ij}|}\Bigr)

    One C for all subsets, on purpose.  Andersen & Kak (1984) and Wang & Jiang (2004) scale each subset by its own
    column sums; that need not find a solution even of consistent data: the rays (1, 2) and (2, 1) then both move the
    image along (1, 1) only.  With one C every correction is non-expansive in one metric, and the sweeps converge for
    0 < λ < 2 to a solution of A x = y in the box, **where there is one**.  On noisy data they end in a cycle near the
    least-squares solution, the nearer the smaller λ: stop early, or end with SIRT.

    The problem must be ``L2Squared(y, weight) @ A``, and a Box or NonNegative() if wanted, with an A that has views
    (``A.subset``), unless `subsets` is 1.

    Parameters
    ----------
    subsets : number n of interleaved subsets (the number of views, if there are fewer).
    relaxation : λ, between 0 and 2.

    Raises
    ------
    TypeError, ValueError
        Parameters outside; in `init`, other terms, an A without views or whose magnitudes are not known.
    """

    subsets: int = 10
    relaxation: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "subsets", check.integer("OSSART", "subsets", self.subsets, low=1))
        object.__setattr__(self, "relaxation", relaxed("OSSART", self.relaxation))

    def init(self, problem: Problem, x: Array) -> SIRTState:
        split(parts("OSSART", problem)[0], self.subsets)
        return SIRTState(x)

    def step(self, problem: Problem, s: SIRTState) -> SIRTState:
        return SIRTState(sweep("OSSART", problem, self.subsets, self.relaxation, s.x), s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield cls(3), _consistent(1.0)
        yield cls(2, relaxation=1.5), _consistent(2.0)


@dataclass(frozen=True)
class SART(Solver):
    r"""SIRT made faster: one view after the other.

    OS-SART with every view a subset of its own; Andersen & Kak (1984), with the C of `OSSART`.

    Parameters
    ----------
    relaxation : λ, between 0 and 2; on noisy data below 1.

    Raises
    ------
    TypeError, ValueError
        As `OSSART`.
    """

    relaxation: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "relaxation", relaxed("SART", self.relaxation))

    def init(self, problem: Problem, x: Array) -> SIRTState:
        split(parts("SART", problem)[0], None)
        return SIRTState(x)

    def step(self, problem: Problem, s: SIRTState) -> SIRTState:
        return SIRTState(sweep("SART", problem, None, self.relaxation, s.x), s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        yield cls(), _consistent(1.0)
        yield cls(0.5), _consistent(2.0)


# --------------------------------------------------------------------------------------------------------- the pieces


def corrected(term: Term, r: Array, C: Array, box: Any, x: Array, relaxation: float) -> Array:
    """P(x + λ C Aᵀ R (y − A x)); the projection onto a box is the same in every diagonal metric."""
    K: Any = term.K
    z = K.forward(x)
    new = x + relaxation * C * K.adjoint(r * (square(term).beside(z)[0] - z))
    return new if box is None else box.prox(new, 1.0)


def sweep(who: str, problem: Problem, n: int | None, relaxation: float, x: Array) -> Array:
    """One correction for each subset, in golden order, with one C for all."""
    term, box = parts(who, problem)
    pieces = split(term, n)
    C = inverse(largest([sums(piece, x)[1] for piece in pieces]))
    for piece in pieces:
        x = corrected(piece, sums(piece, x)[0], C, box, x, relaxation)
    return x


def split(term: Term, n: int | None) -> tuple[Term, ...]:
    """The term by subsets of views: n of them, or as many as there are views (n None, or fewer views than n)."""
    if n == 1:
        return (term,)
    axis = views(term.K)
    count = 1 if axis is None else term.K.codomain[axis]  # type: ignore[union-attr]
    return subsets(term, count if n is None else min(n, count))


def largest(arrays: list[Array]) -> Array:
    """The entrywise maximum."""
    result = arrays[0]
    for a in arrays[1:]:
        result = namespace(a).maximum(result, a)
    return result


def sums(term: Term, x: Array) -> tuple[Array, Array]:
    """(w_i / Σ_j |a_ij|, Σ_i w_i |a_ij|), 0 for empty rows and columns; in the place of x, remembered on the term."""

    def found() -> tuple[Array, Array]:
        xp, A = namespace(x), term.K.absolute()  # type: ignore[union-attr]
        rows = without_noise(A.forward(xp.ones_like(x)))  # type: ignore[union-attr]
        used = xp.where(rows > 0, xp.ones_like(rows), xp.zeros_like(rows))
        if (least := square_of(term)) is not None:
            used = used * least.beside(rows)[1]
        columns = without_noise(A.adjoint(used))  # type: ignore[union-attr]
        return used * inverse(rows), columns

    return remembered(term, ("sums", place(x)), found)


def without_noise(s: Array) -> Array:
    """Sums of entries ≥ 0 with 0 in place of those that are rounding: FFTs leave some, and none is missed."""
    xp = namespace(s)
    floor = (1e-6 if s.dtype == xp.float32 else 1e-12) * float(xp.max(s))
    return xp.where(s > floor, s, xp.zeros_like(s))


def inverse(s: Array) -> Array:
    """1/s, and 0 where s is 0."""
    xp = namespace(s)
    return xp.where(s > 0, 1 / xp.where(s > 0, s, xp.ones_like(s)), xp.zeros_like(s))


def relaxed(who: str, value: Any) -> float:
    result = check.number(who, "relaxation", value, low=0.0, strict=True)
    if result >= 2:
        raise ValueError(f"{who}: relaxation must be below 2, got {result:g}: larger steps diverge")
    return result


def square(term: Term) -> Square:
    found = square_of(term)
    assert found is not None
    return found


def parts(who: str, problem: Problem) -> tuple[Term, Any]:
    """The data term and the box of a problem that these iterations solve, or an error naming what they do not."""
    data = [t for t in problem.terms if t.K is not None]
    if len(data) != 1 or square_of(data[0]) is None:
        why = unknown(data[0].f) if data else ""
        raise ValueError(f"{who}: the problem must be L2Squared(y) @ A, and a Box if wanted, got {problem}{why}")
    box, form = problem.simple, quadratic(problem.simple)
    if (box is not None and (form is None or not form.flat)) or len(problem.coupled) != 1:
        raise ValueError(f"{who} takes Box or NonNegative() beside the data, got {problem}; use ChambollePock()")
    term = data[0]
    if term.K is None or term.K.absolute() is None:
        raise ValueError(f"{who}: the sums of |entries| of {term.K} are not known; use CGLS() or Landweber()")
    return term, box


def _consistent(weight: float) -> Problem:
    import array_api_compat.numpy as xp

    from varinv.functionals.constraints import NonNegative
    from varinv.operators.geometry import ParallelBeam
    from varinv.operators.radon import Radon

    A = Radon((2, 3), ParallelBeam(xp.asarray([0.1, 0.8, 1.6, 2.5]), 5))
    x = xp.reshape(xp.asarray([0.1, 1.2, 0.9, 0.0, 0.3, 1.1]), (2, 3))
    return L2Squared(A.forward(x), weight) @ A + NonNegative()
