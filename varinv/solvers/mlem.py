"""MLEM and OSEM: expectation maximisation for Poisson counts, multiplicative corrections."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.forms import Counts, beside, quadratic
from varinv.functionals.base import Term
from varinv.functionals.constraints import Box
from varinv.functionals.data import KullbackLeibler
from varinv.linalg import dot
from varinv.operators.geometry import ParallelBeam
from varinv.operators.radon import Radon
from varinv.problem import Problem
from varinv.solvers.base import Solver, Unsuited
from varinv.solvers.sirt import inverse, largest, split, sums


class MLEMState(NamedTuple):
    """Image x, the dual (1 − counts/(A x + b),) that belongs to it, the iteration number."""

    x: Array
    y: tuple[Array, ...]
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """√(Σ x (Aᵀq)²/c / Σ c x), q the dual and c = Aᵀ1: how far EM moves the image.

        0 at an optimum and nowhere else: a pixel that wants to grow, Aᵀq < 0, counts with the mean image Σ c x/Σ c
        where x is less.
        """
        return restlessness(parts("MLEM", problem), self.y[0], self.x)


class OSEMState(NamedTuple):
    """Image x and the number of sweeps over all data."""

    x: Array
    k: int = 0

    def residual(self, problem: Problem, previous: Any) -> float:
        """That of MLEM at x: 0 at an optimum."""
        term = parts("OSEM", problem)
        return restlessness(term, dual(term, self.x), self.x)


@dataclass(frozen=True)
class MLEM(Solver):
    r"""The classical solver of emission tomography: images of counts that stay non-negative.

    min over x ≥ 0 of KL(y, A x + b); Shepp & Vardi (1982), equation 2.13; Richardson (1972) and Lucy (1974).

    .. math::
        x ← \frac{x}{A^T 1} A^T \frac{y}{A x + b}

    Converges for every A ≥ 0, and the objective never rises.  Pixels that no measurement sees (Aᵀ1 = 0) keep their
    start; measurements that see no pixel count for nothing.

    The problem must be ``KullbackLeibler(y, background) @ A``, with NonNegative() or without: x ≥ 0 is implied.  With
    it, the rule `gap` proves how near the optimum is.

    Start: everything positive.  A zero image (the default of `solve`) stands for the uniform one whose counts have the
    right sum, 0 where no measurement sees; an image with some zeros is refused, as they would stay.

    Raises
    ------
    ValueError
        In `init`: other terms, an A with negative entries, counts where A has no entries and b = 0 (the objective is
        infinite), a start that is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Diagonal(np.array([1.0, 2.0, 4.0]))
    >>> vi.solve(vi.KullbackLeibler(np.array([3.0, 4.0, 0.0])) @ A, vi.MLEM(), stop=vi.iterations(1)).x
    array([3., 2., 0.])
    """

    def init(self, problem: Problem, x: Array) -> MLEMState:
        term = parts("MLEM", problem)
        x = positive("MLEM", term, x)
        return MLEMState(x, (dual(term, x),))

    def step(self, problem: Problem, s: MLEMState) -> MLEMState:
        term = parts("MLEM", problem)
        x = corrected(term, s.y[0], sums(term, s.x)[1], s.x)
        return MLEMState(x, (dual(term, x),), s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for A, x in _small():
            noisy = A.forward(x) * (1 + 0.1 * A.forward(x - 0.5))
            yield cls(), KullbackLeibler(noisy, background=0.2) @ A + _non_negative()
            yield cls(), Problem((KullbackLeibler(noisy) @ A,))


@dataclass(frozen=True)
class OSEM(Solver):
    r"""MLEM made faster: one subset of the views after the other.

    One step is a sweep over all subsets.

    .. math::
        x ← x − \frac{x}{c} A_s^T \Bigl(1 − \frac{y_s}{A_s x + b_s}\Bigr),\quad s = 1 … n,\quad
        c = \max_s A_s^T 1

    For balanced subsets (all A_sᵀ1 equal) this is Hudson & Larkin (1994).  Where they are not, their iteration divides
    by the subset's own A_sᵀ1 and need not find the solution even of consistent data; one c for all, as in Byrne (1998),
    does: by concavity of the logarithm Σ c x* log(x*/x) + c (x − x*) falls with every subset for every x* ≥ 0 with
    A x* + b = y.  **On noisy data** it ends in a cycle near the optimum: stop early, or end with MLEM.

    The problem and the start are those of `MLEM`, with an A that has views (``A.subset``), unless `subsets` is 1.

    Parameters
    ----------
    subsets : number n of interleaved subsets (the number of views, if there are fewer).

    Raises
    ------
    TypeError, ValueError
        As `MLEM`; an A without views.
    """

    subsets: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "subsets", check.integer("OSEM", "subsets", self.subsets, low=1))

    def init(self, problem: Problem, x: Array) -> OSEMState:
        term = parts("OSEM", problem)
        split(term, self.subsets)
        return OSEMState(positive("OSEM", term, x))

    def step(self, problem: Problem, s: OSEMState) -> OSEMState:
        pieces = split(parts("OSEM", problem), self.subsets)
        c = largest([sums(piece, s.x)[1] for piece in pieces])
        x = s.x
        for piece in pieces:
            x = corrected(piece, dual(piece, x), c, x)
        return OSEMState(x, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        for A, x in _small():
            yield cls(2), KullbackLeibler(A.forward(x) + 0.2, background=0.2) @ A + _non_negative()
            yield cls(3), Problem((KullbackLeibler(A.forward(x)) @ A,))


# --------------------------------------------------------------------------------------------------------- the pieces


def dual(term: Term, x: Array) -> Array:
    """q = 1 − y/(A x + b): the derivative of the data term; 1 where nothing was counted."""
    f: Any = term.f
    z = term.K.forward(x)  # type: ignore[union-attr]
    xp = namespace(z)
    y, b = measured(f, z)
    u = z + b
    counted = (y > 0) & ~(u <= 0)  # NaN counts: it must be seen
    return 1 - xp.where(counted, y / xp.where(counted, u, xp.ones_like(u)), xp.zeros_like(u))


def corrected(term: Term, q: Array, c: Array, x: Array) -> Array:
    """x − (x/c) Aᵀq = (x/c)(c − Aᵀ1 + Aᵀ(1 − q)), a sum of numbers ≥ 0; x where c = 0."""
    xp = namespace(x)
    kept = c - sums(term, x)[1] + term.K.adjoint(1 - q)  # type: ignore[union-attr]
    return xp.where(c > 0, x * inverse(c) * xp.maximum(kept, xp.zeros_like(kept)), x)


def restlessness(term: Term, q: Array, x: Array) -> float:
    c, xp = sums(term, x)[1], namespace(x)
    slope = term.K.adjoint(q)  # type: ignore[union-attr]
    size = dot(c, x)
    mean = size / (dot(c, xp.ones_like(c)) or 1.0)
    reach = xp.where(slope < 0, xp.maximum(x, xp.full_like(x, mean)), x)
    moved = dot(reach * slope, inverse(c) * slope)
    return math.sqrt(moved / size) if size > 0 else 0.0


def positive(who: str, term: Term, x: Array) -> Array:
    """The start: x if it is positive; for a zero image, the uniform one with the right sum of counts."""
    f: Any = term.f
    xp = namespace(x)
    rows = term.K.forward(xp.ones_like(x))  # type: ignore[union-attr]
    y, b = measured(f, rows)
    lost = xp.sum(xp.astype((y > 0) & (b + 0 * y == 0) & (rows <= 0), xp.int64))
    if int(lost):
        raise ValueError(
            f"{who}: {int(lost)} measurements count something where {term.K} has no entries and no background is set: "
            "the objective is infinite everywhere; give a background, or these counts to 0"
        )
    c = sums(term, x)[1]
    if dot(x, x) == 0:
        counts, expected = dot(y, xp.ones_like(y)), dot(b + 0 * y, xp.ones_like(y))
        level = (counts - expected if counts > expected else counts) / (dot(c, xp.ones_like(c)) or 1.0)
        return xp.where(c > 0, xp.full_like(x, level if level > 0 else 1.0), xp.zeros_like(x))
    stuck = int(xp.sum(xp.astype((x < 0) | ((x == 0) & (c > 0)), xp.int64)))
    if stuck:
        raise ValueError(
            f"{who}: the start must be positive, {stuck} of {math.prod(x.shape)} pixels are not: a zero stays zero; "
            "leave x0 out for a uniform start, or raise those pixels to a small positive value"
        )
    return x


def measured(f: Any, z: Array) -> tuple[Any, Any]:
    """Counts and background beside z."""
    form: Counts = f.form()
    return tuple(beside(repr(f), name, a, z, z.shape) for name, a in zip(form._fields, form, strict=True))


def parts(who: str, problem: Problem) -> Term:
    """The data term of a problem that EM solves, or an error naming what it does not."""
    data = problem.coupled
    if len(data) != 1 or data[0].K is None or not isinstance(data[0].f.form(), Counts):
        raise Unsuited(
            f"{who}: the problem must be KullbackLeibler(y, background) @ A, with NonNegative() or without; got "
            f"{problem}: use ChambollePock()"
        )
    g = problem.simple
    form = quadratic(g)
    if g is not None and (form is None or not form.cone):
        raise Unsuited(f"{who} takes NonNegative() beside the counts, which it implies, got {g}; use ChambollePock()")
    term: Term = data[0]
    A: Any = term.K
    if A.absolute() is not A:
        raise Unsuited(f"{who}: {A} must have no negative entry (or its signs are not known); use ChambollePock()")
    return term


def _non_negative() -> Box:
    return Box(0.0, math.inf)


def _small() -> Iterator[tuple[Any, Any]]:
    import array_api_compat.numpy as xp

    x = xp.reshape(xp.asarray([0.4, 1.2, 0.9, 0.7, 0.3, 1.1]), (2, 3))
    yield Radon((2, 3), ParallelBeam(xp.asarray([0.1, 0.8, 1.6, 2.5]), 5)), x
