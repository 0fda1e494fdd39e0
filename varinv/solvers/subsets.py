"""Ordered subsets: a data term as a sum of terms on interleaved views, each at its share of the price."""

from __future__ import annotations

import math
from typing import Any

from varinv import check
from varinv.backend import Array, indices_like, namespace
from varinv.functionals.base import Term
from varinv.memory import remembered
from varinv.operators.base import LinearOperator

ORDERS = ("interleaved", "consecutive")


def subsets(term: Term, n: int, order: str = "interleaved") -> tuple[Term, ...]:
    r"""n terms whose sum is `term`, in the order to visit them: f(Kx) = Σ_s f_s(K_s x).

    K_s holds the views s, s + n, s + 2n, … of K (angles of a Radon: its method `subset(indices)`), f_s
    the summands of f that belong to them.  One K_s costs about 1/n of K; its norm is certified like that of K.

    order "interleaved": the k-th visit goes to the subset of rank k among frac(k/φ), φ the golden section, so that
    successive subsets are far apart in angle (after Köhler 2004, "A projection access scheme for iterative
    reconstruction based on the golden section", IEEE NSS-MIC); "consecutive": s = 0, 1, 2, …

    Remembered on the term: the same subsets come back, with their norms.

    Raises
    ------
    TypeError
        An operator without `subset` (its views cannot be had at their share of the price), an f that is not a sum
        over entries.
    ValueError
        n below 1 or above the number of views; an unknown order.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Radon((4, 4), vi.ParallelBeam(np.arange(6) / 2, 5))
    >>> [t.K.codomain for t in subsets(vi.L2Squared(np.ones((6, 5))) @ A, 3)]
    [(2, 5), (2, 5), (2, 5)]
    """
    n = check.integer("subsets", "n", n, low=1)
    if order not in ORDERS:
        raise ValueError(f"subsets: order must be one of {', '.join(ORDERS)}, got {order!r}")

    def found() -> tuple[Term, ...]:
        axis = views(term.K)
        if axis is None or term.K is None:
            raise TypeError(
                f"subsets: {term} cannot be split by views: its operator has no subset(indices) with views(); use "
                "one with views such as Radon, or one subset"
            )
        shape = tuple(term.K.codomain)
        chosen = indices(shape[axis], n)
        turn = visits(n) if order == "interleaved" else range(n)
        return tuple(Term(term.f.part(shape, axis, chosen[s]), term.K.subset(chosen[s])) for s in turn)

    return remembered(term, ("subsets", n, order), found)


def indices(count: int, n: int) -> list[list[int]]:
    """The views of each of n interleaved subsets of `count` views."""
    if n > count:
        raise ValueError(f"subsets: n must be at most the number of views {count}, got {n}")
    return [list(range(s, count, n)) for s in range(n)]


def visits(n: int) -> list[int]:
    """The subsets 0 … n − 1 in golden order: the rank of frac(k/φ) among all, k = 0 … n − 1."""
    places = [(k * (math.sqrt(5) - 1) / 2) % 1.0 for k in range(n)]
    ranks = sorted(range(n), key=places.__getitem__)
    return sorted(range(n), key=ranks.__getitem__)


def views(K: LinearOperator | None) -> int | None:
    """The axis of K's codomain (from the end) that counts its views; None: they cannot be had one by one."""
    return None if K is None else K.views()


def split(term: Any, y: Array, n: int) -> list[Array]:
    """The parts of a dual array that belong to the subsets of a term, in their order."""
    if n == 1:
        return [y]
    axis = views(term.K)
    chosen = indices(y.shape[axis], n)
    return [namespace(y).take(y, indices_like(chosen[s], y), axis=axis) for s in visits(n)]


def join(term: Any, parts: list[Array]) -> Array:
    """The dual array that `split` took apart."""
    if len(parts) == 1:
        return parts[0]
    xp, axis = namespace(*parts), views(term.K)
    chosen = indices(sum(part.shape[axis] for part in parts), len(parts))
    order = [i for s in visits(len(parts)) for i in chosen[s]]
    back = sorted(range(len(order)), key=order.__getitem__)
    return xp.take(xp.concat(parts, axis=axis), indices_like(back, parts[0]), axis=axis)
