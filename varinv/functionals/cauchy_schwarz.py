"""Cauchy–Schwarz regularisers: smooth, zero exactly where two fields of an image are parallel."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, Shape, device, double, namespace
from varinv.functionals.base import Functional
from varinv.linalg import dot
from varinv.operators.base import LinearOperator

Pair = tuple[Any, Any]


class _Parts(NamedTuple):
    """G = ‖g‖², H = ‖h‖², p = ⟨g, h⟩, and the parts d = h − (p/G) g, e = g − (p/H) h orthogonal to the other field."""

    G: float
    H: float
    p: float
    d: Any
    e: Any


class CauchySchwarz(Functional):
    r"""‖g(x)‖²‖h(x)‖² − ⟨g(x), h(x)⟩² ≥ 0, zero where the fields g and h are parallel; Taner & Studer (2025).

    The scale of x is free: no grey level has to be known.  `invariant` divides by ‖g‖²‖h‖², which gives
    1 − cos² of the angle, in [0, 1] for images of any size; without, it is a polynomial of degree 4 to 8.  Not convex:
    start from a good image, and for images add it to total variation, which it does not replace.

    A structure gives `fields`, their derivative along v (`push`), the adjoint of that (`pull`), and the derivative of
    the adjoint along v (`bend`).  Differences are taken before squares, so that nothing cancels near the zero set.
    """

    convex = False
    invariant: bool

    @abstractmethod
    def fields(self, x: Array) -> Pair:
        """g(x), h(x)."""

    @abstractmethod
    def push(self, x: Array, v: Array) -> Pair:
        """∂g v, ∂h v."""

    @abstractmethod
    def pull(self, x: Array, a: Array, b: Array) -> Array:
        """∂gᵀ a + ∂hᵀ b."""

    @abstractmethod
    def bend(self, x: Array, v: Array, a: Array, b: Array) -> Array:
        """The derivative of pull(x, a, b) in x along v."""

    @property
    def convexity(self) -> float:
        return -float("inf")

    def _parts(self, g: Array, h: Array) -> _Parts | None:
        """None where a field vanishes."""
        G, H, p = dot(g, g), dot(h, h), dot(g, h)
        return _Parts(G, H, p, h - (p / G) * g, g - (p / H) * h) if G > 0 and H > 0 else None

    def __call__(self, x: Array) -> float:
        parts = self._parts(*self.fields(double(x)))
        if parts is None:
            return 0.0
        d = dot(parts.d, parts.d)
        return d / parts.H if self.invariant else parts.G * d

    def _slopes(self, parts: _Parts) -> Pair:
        """The derivatives in g and in h."""
        G, H, p, d, e = parts
        if self.invariant:
            return -2 * p / (G * H) * d, -2 * p / (G * H) * e
        return 2 * H * e, 2 * G * d

    def grad(self, x: Array) -> Array:
        parts = self._parts(*self.fields(x))
        return 0 * x if parts is None else self.pull(x, *self._slopes(parts))

    def hvp(self, x: Array, v: Array) -> Array:
        g, h = self.fields(x)
        parts = self._parts(g, h)
        if parts is None:
            return 0 * x
        dg, dh = self.push(x, v)
        G, H, p, d, e = parts
        dG, dH, dp = 2 * dot(g, dg), 2 * dot(h, dh), dot(dg, h) + dot(g, dh)
        turned_d = dh - (p / G) * dg - (dp / G - p * dG / G**2) * g
        turned_e = dg - (p / H) * dh - (dp / H - p * dH / H**2) * h
        if self.invariant:
            c = -2 * p / (G * H)
            dc = -2 * dp / (G * H) - c * (dG / G + dH / H)
            slopes = dc * d + c * turned_d, dc * e + c * turned_e
        else:
            slopes = 2 * (dH * e + H * turned_e), 2 * (dG * d + G * turned_d)
        return self.pull(x, *slopes) + self.bend(x, v, *self._slopes(parts))


class _Powers(CauchySchwarz):
    """g = x^m and h = x^n entrywise."""

    @property
    @abstractmethod
    def exponents(self) -> tuple[int, int]:
        """(m, n)."""

    def fields(self, x: Array) -> Pair:
        m, n = self.exponents
        return _derivative(x, m, 0), _derivative(x, n, 0)

    def push(self, x: Array, v: Array) -> Pair:
        m, n = self.exponents
        return _derivative(x, m, 1) * v, _derivative(x, n, 1) * v

    def pull(self, x: Array, a: Array, b: Array) -> Array:
        m, n = self.exponents
        return _derivative(x, m, 1) * a + _derivative(x, n, 1) * b

    def bend(self, x: Array, v: Array, a: Array, b: Array) -> Array:
        m, n = self.exponents
        return (_derivative(x, m, 2) * a + _derivative(x, n, 2) * b) * v


def _derivative(x: Array, n: int, order: int) -> Array:
    """The derivative of x^n of some order."""
    factor = 1
    for k in range(order):
        factor *= n - k
    return factor * x ** (n - order) if factor else 0 * x


@dataclass(frozen=True, eq=False, repr=False)
class Binary(_Powers):
    """A penalty for images of two grey levels, opposite in sign and not known beforehand.

    Zero on images with values ±a, a free: N Σx⁴ − (Σx²)², fields x² and 1.
    """

    invariant: bool = True
    exponents = (2, 0)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (3, 4)
        yield cls(invariant=False), (5,)


@dataclass(frozen=True, eq=False, repr=False)
class OneSidedBinary(_Powers):
    """A penalty for images of two grey levels, zero and another one that is not known beforehand.

    Zero on images with values 0 and a, a free: Σx² Σx⁴ − (Σx³)², fields x and x².
    """

    invariant: bool = True
    exponents = (1, 2)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (3, 4)
        yield cls(invariant=False), (5,)


@dataclass(frozen=True, eq=False, repr=False)
class Ternary(_Powers):
    """A penalty for images of three grey levels, zero and two opposite ones that are not known beforehand.

    Zero on images with values −a, 0, a, a free: Σx² Σx⁶ − (Σx⁴)², fields x and x³.
    """

    invariant: bool = True
    exponents = (1, 3)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (3, 4)
        yield cls(invariant=False), (5,)


@dataclass(frozen=True, eq=False, repr=False)
class Eigenvector(CauchySchwarz):
    """A penalty that is zero on the eigenvectors of an operator.

    Zero on eigenvectors of an operator C: ‖x‖²‖Cx‖² − ⟨x, Cx⟩², fields x and Cx.

    Raises TypeError where C is no operator, ValueError where it changes the shape.
    """

    C: LinearOperator
    invariant: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.C, LinearOperator):
            raise TypeError(f"Eigenvector: C must be a LinearOperator, got {check.describe(self.C)}")
        if tuple(self.C.domain) != tuple(self.C.codomain):
            raise ValueError(
                f"Eigenvector: C must keep the shape, got {self.C} from {self.C.domain} to {self.C.codomain}"
            )

    def fields(self, x: Array) -> Pair:
        return x, self.C(x)

    def push(self, x: Array, v: Array) -> Pair:
        return v, self.C(v)

    def pull(self, x: Array, a: Array, b: Array) -> Array:
        return a + self.C.T(b)

    def bend(self, x: Array, v: Array, a: Array, b: Array) -> Array:
        return 0 * x

    def fits(self, shape: Shape) -> None:
        if tuple(shape) != tuple(self.C.domain):
            raise ValueError(f"Eigenvector: the image must have shape {tuple(self.C.domain)}, got {tuple(shape)}")

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        from varinv.operators.blur import Blur

        yield cls(Blur((3, 4), [[0.1, 0.5], [0.3, -0.2]])), (3, 4)
        yield cls(Blur((5,), [0.1, 0.5, -0.3]), invariant=False), (5,)


@dataclass(frozen=True, eq=False, repr=False)
class Orthogonal(CauchySchwarz):
    """A penalty for matrices whose columns are orthogonal and of equal length, which is not known beforehand.

    Zero on matrices X of n columns with XᵀX = a·identity, a free: n‖XᵀX‖² − ‖X‖⁴, fields XᵀX and identity.

    Raises ValueError for arrays that are no matrices.
    """

    invariant: bool = True

    def fields(self, x: Array) -> Pair:
        self.fits(tuple(x.shape))
        xp = namespace(x)
        return x.T @ x, xp.eye(x.shape[1], dtype=x.dtype, device=device(x))

    def push(self, x: Array, v: Array) -> Pair:
        half = v.T @ x
        return half + half.T, 0 * half

    def pull(self, x: Array, a: Array, b: Array) -> Array:
        return x @ (a + a.T)

    def bend(self, x: Array, v: Array, a: Array, b: Array) -> Array:
        return v @ (a + a.T)

    def fits(self, shape: Shape) -> None:
        if len(shape) != 2:
            raise ValueError(f"Orthogonal: a matrix is expected, got shape {tuple(shape)}")

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(), (5, 3)
        yield cls(invariant=False), (3, 2)
