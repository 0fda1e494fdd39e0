"""What the upper level minimises for one training example: the distance to a truth, or an estimate of it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, device, is_array, namespace
from varinv.functionals.data import L2Squared
from varinv.learning.lower import gradient, smoothness
from varinv.linalg import dot
from varinv.operators.elementary import Diagonal
from varinv.problem import as_problem

Loss = Any


@dataclass(frozen=True, eq=False)
class Supervised:
    """g(x̂) for one solution: a functional of it, ½‖x̂ − x*‖² by default."""

    g: Any

    def __post_init__(self) -> None:
        problem = as_problem(self.g)
        if problem is None or not problem.terms:
            raise TypeError(
                f"learn: loss(x_true) must return a functional such as L2Squared(x_true), got {check.describe(self.g)}"
            )
        object.__setattr__(self, "g", problem)

    @property
    def smoothness(self) -> float:
        """L_g: the Lipschitz constant of the gradient."""
        return smoothness(self.g)

    @property
    def convex(self) -> bool:
        return all(t.f.convexity >= 0 for t in self.g.terms)

    def __call__(self, xs: Sequence[Array]) -> float:
        return float(self.g(xs[0]))

    def slopes(self, xs: Sequence[Array]) -> tuple[Array, ...]:
        return (gradient(self.g, xs[0]),)


@dataclass(frozen=True, eq=False)
class Risk:
    r"""SURE by one finite difference: ‖A x₁ − y‖² + (2σ²/t) bᵀA(x₂ − x₁) − mσ² for x₁ = x̂(y), x₂ = x̂(y + t b).

    An unbiased estimate (t → 0) of ‖A x₁ − A x*‖² for y = A x* + n with n of standard deviation σ (Stein 1981; Ramani,
    Blu & Unser 2008); m is how many measurements count.  Its derivative in the parameters is that of any loss of two
    solutions (Deledalle et al. 2014).
    """

    A: Any
    y: Array
    probe: Array
    noise: float
    step: float
    m: int

    @property
    def smoothness(self) -> float:
        return 2.0 * (1.0 if self.A is None else float(self.A.norm()) ** 2)

    @property
    def convex(self) -> bool:
        return True

    @property
    def _factor(self) -> float:
        return 2 * self.noise**2 / self.step

    def __call__(self, xs: Sequence[Array]) -> float:
        first, second = xs if self.A is None else map(self.A.forward, xs)
        r = first - self.y
        return float(dot(r, r) + self._factor * dot(self.probe, second - first) - self.m * self.noise**2)

    def slopes(self, xs: Sequence[Array]) -> tuple[Array, ...]:
        back = (lambda v: v) if self.A is None else self.A.adjoint
        first = xs[0] if self.A is None else self.A.forward(xs[0])
        b = self._factor * back(self.probe)
        return 2 * back(first - self.y) - b, b


def supervised(pairs: Any, loss: Callable[[Array], Any] | None) -> list[tuple[tuple[Array, ...], Loss]]:
    """(data, loss) for pairs (y, x_true); `loss(x_true)` is a functional, None: L2Squared."""
    who = "learn"
    if isinstance(pairs, (str, bytes)) or not hasattr(pairs, "__iter__") or is_array(pairs):
        raise TypeError(f"{who}: pairs must be a list of pairs (y, x_true), got {check.describe(pairs)}")
    cases, shapes = [], set()
    for i, pair in enumerate(pairs):
        if is_array(pair) or not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"{who}: pairs[{i}] must be a pair (y, x_true), got {check.describe(pair)}")
        y = check.real_array(who, f"the data of pairs[{i}]", pair[0])
        truth = check.real_array(who, f"the truth of pairs[{i}]", pair[1])
        shapes.add((tuple(y.shape), tuple(truth.shape)))
        if len(shapes) > 1:
            words = " and ".join(f"{a} → {b}" for a, b in sorted(shapes))
            raise ValueError(f"{who}: all pairs must have the shapes of the first, got data → truth {words}")
        cases.append(((y,), Supervised((loss or L2Squared)(truth))))
    if not cases:
        raise ValueError(f"{who}: pairs is empty; pass at least one pair (y, x_true)")
    return cases


def signs(y: Array, source: random.Random) -> Array:
    """Random signs b in the shape of y."""
    m = math.prod(y.shape)
    bits = source.getrandbits(m)
    xp = namespace(y)
    flat = [1.0 if bits >> k & 1 else -1.0 for k in range(m)]
    return xp.reshape(xp.asarray(flat, dtype=y.dtype, device=device(y)), y.shape)


def difference(noise: float, m: int) -> float:
    """t = 2σ/m^0.3 of finite differences along a probe (Deledalle, Vaiter, Fadili & Peyré 2014)."""
    return float(2 * noise / m**0.3)


def whitening(weight: Any, b: Array) -> tuple[Any, Array]:
    """(√w, b/√w), 0 where w = 0: what moves whitened data √w y by b; (1, b) for a number as weight."""
    if not is_array(weight):
        return 1.0, b
    xp = namespace(weight)
    root = xp.sqrt(weight)
    return root, xp.where(weight > 0, b / xp.where(weight > 0, root, 1.0 + 0 * root), 0 * root)


def stein(y: Array, A: Any, noise: float, source: random.Random, weight: Any = 1.0) -> tuple[tuple[Array, Array], Risk]:
    """(data, loss) for one y without truth: SURE of whitened data, with one probe of signs."""
    root, along = whitening(weight, b := signs(y, source))
    m = math.prod(y.shape)
    if is_array(weight):
        m = int(namespace(weight).sum(weight > 0))
        A = Diagonal(root) if A is None else Diagonal(root) @ A
    t = difference(noise, m)
    return (y, y + t * along), Risk(A, root * y, b, noise, t, m)


def unsupervised(
    data: Any, noise: float, A: Any, seed: int, term: Callable[[Array], Any] | None = None
) -> list[tuple[tuple[Array, ...], Loss]]:
    """(data, loss) for noisy data without truths, by SURE with probes of signs and t = 2σ/m^0.3 (Deledalle 2014).

    term : y ↦ its data term, which then says A and the weights.
    """
    who = "learn"
    noise = check.number(who, "noise", noise, low=0.0, strict=True)
    cases: list[tuple[tuple[Array, ...], Loss]] = []
    source = random.Random(seed)
    for i, y in enumerate(data):
        if isinstance(y, (tuple, list)):
            raise TypeError(f"{who}: with noise={noise:g} the examples are data alone, got a pair at [{i}]")
        y = check.real_array(who, f"data[{i}]", y)
        if A is not None:
            check.same_shape(who, f"data[{i}]", y, A.codomain)
        t = None if term is None else term(y)
        cases.append(stein(y, A, noise, source) if t is None else stein(y, t.K, noise, source, t.weight))
    if not cases:
        raise ValueError(f"{who}: no data")
    return cases
