"""Several functionals of one and the same image, taken together in one exact prox."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

from varinv.backend import Array, Shape, double, is_array
from varinv.forms import Quadratic, quadratic
from varinv.linalg import dot


class Joint:
    r"""f(z) = Σ_k ½ w_k (z − y_k)² + r(z) + box constraints, with one exact prox.

    The squares complete to one (Σ w = W, Σ w y = C): argmin of f(z) + |z − v|²/2t is that of
    r(z) + |z − v'|²/2t', t' = t/(1 + tW), v' = (v + tC)/(1 + tW), and for a convex sum over entries, clipping its
    minimiser to the box gives the constrained one; so it does for z ≥ 0 and an r that grows with |z|.  Conjugate where
    W > 0: the supremum is taken at clip(prox_{r/W}((v + C)/W)).

    Parameters
    ----------
    quadratics : functionals whose `form()` is a Quadratic.
    rest : one further functional with a prox, or None.
    """

    def __init__(self, quadratics: Iterable[Any], rest: Any = None) -> None:
        self.quadratics, self.rest = tuple(quadratics), rest
        self.parts = (*self.quadratics, *(() if rest is None else (rest,)))
        forms = (form for f in self.quadratics if (form := quadratic(f)) is not None)
        self.square = functools.reduce(lambda a, b: a & b, forms, Quadratic())  # the quadratics as one

    def __call__(self, z: Array) -> float:
        return sum((f(z) for f in self.parts), start=0.0)

    @property
    def separable(self) -> bool:
        return all(f.separable for f in self.parts)

    @property
    def convex(self) -> bool:
        return all(f.convex for f in self.parts)

    def form(self) -> Quadratic | None:
        return self.square if self.rest is None else None

    def prox(self, z: Array, step: Any) -> Array:
        g = self.square.beside(repr(self), z)
        if self.rest is None:
            return g.prox(z, step)
        shrunk = 1 + step * g.weight
        return g.clip(self.rest.prox((z + step * (g.weight * g.y)) / shrunk, step / shrunk))

    def prox_conj(self, q: Array, step: Any) -> Array:
        return q - step * self.prox(q / step, 1 / step)

    def conj(self, q: Array) -> float:
        q = double(q)
        g = self.square.beside(repr(self), q)
        if g.flat:
            if self.rest is None:
                return g.conj_box(q)
            return float(self.rest.conj_within(q, *g.bounds(q))) if hasattr(self.rest, "conj_within") else math.inf
        if g.smallest <= 0 and (self.rest is not None or not g.boxed or not is_array(g.weight)):
            return math.inf
        z = g.highest(q)
        if z is None:
            return math.inf
        z = g.clip(z if self.rest is None else self.rest.prox(z, 1 / g.weight))
        return dot(q, z) - self(z)

    @functools.cached_property
    def convexity(self) -> float:
        return float(sum(f.convexity for f in self.parts))

    def fits(self, shape: Shape) -> None:
        for f in self.parts:
            f.fits(shape)

    def data(self) -> Array | None:
        return next((f.data() for f in self.parts if f.data() is not None), None)

    def __repr__(self) -> str:
        return " + ".join(map(repr, self.parts))


def combine(terms: Iterable[Any]) -> tuple[Any, tuple[Any, ...]]:
    """(one functional with an exact prox, or None; the terms left over) for terms f of the same image.

    All squares and boxes and at most one further term share a prox.  A term that is not convex has priority, because
    it cannot be dualised.  One that is not a sum over entries does not share its place with arrays of weights or with
    boxes, and one that is not convex only with z ≥ 0, where it must grow with |z|.  Those left over are dualised with
    the identity.
    """
    terms = tuple(terms)
    known = {id(t): form for t in terms if (form := quadratic(t.f)) is not None}
    others = sorted((t for t in terms if id(t) not in known), key=lambda t: t.f.convex)
    images = any(form.boxed or is_array(form.weight) for form in known.values())
    rest = next((t for t in others if hasattr(t.f, "prox") and (t.f.separable or not images)), None)
    left = tuple(t for t in terms if id(t) not in known and t is not rest)
    quadratics = [t for t in terms if id(t) in known]
    if rest is not None and not rest.f.convex:
        boxes = [t for t in quadratics if known[id(t)].boxed]
        box = functools.reduce(lambda a, b: a & b, (known[id(t)] for t in boxes), Quadratic())
        if boxes and not (rest.f.grows and box._replace(y=0.0, weight=0.0).cone):
            left, quadratics = (*left, *boxes), [t for t in quadratics if not known[id(t)].boxed]
    # squares before the rest before the boxes: the order in which values are added up
    quadratics.sort(key=lambda t: known[id(t)].flat)
    if rest is None and len(quadratics) == 1:
        return quadratics[0].f, left
    if not quadratics:
        return (None if rest is None else rest.f), left
    return Joint((t.f for t in quadratics), None if rest is None else rest.f), left
