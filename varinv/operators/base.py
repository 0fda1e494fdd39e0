"""Linear operators: what one maps, how to go back, and a proved bound of its norm."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from varinv import check
from varinv.backend import Array, Shape, is_array, namespace
from varinv.operators.norms import collatz_wielandt as collatz_wielandt

_T = TypeVar("_T")


def once(method: Callable[[Any], _T]) -> Callable[[Any], _T]:
    """Remember the result of a method without arguments on the (frozen) instance."""

    @functools.wraps(method)
    def remembered(self: Any) -> _T:
        if (key := f"_{method.__name__}") not in self.__dict__:
            self.__dict__[key] = method(self)
        result: _T = self.__dict__[key]
        return result

    return remembered


class LinearOperator(ABC):
    """A linear map K of real arrays, domain → codomain, with its exact adjoint.

    A new operator gives `domain`, `codomain`, `forward`, `adjoint`, `norm` and `examples`, and, where the magnitudes
    of its entries are known, `absolute`.  The base adds ``K(x)`` (checks the shape), ``K.T`` (the adjoint of the plain
    inner product Σ a b; ``K.T.T is K``) and the algebra ``@ + - *``.
    """

    kinds: ClassVar[list[type[LinearOperator]]] = []
    __array_ufunc__ = None  # array * K is ours to refuse, not NumPy's to broadcast
    domain: Shape
    codomain: Shape

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LinearOperator.kinds.append(cls)

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """K x, of shape `codomain`."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """Kᵀ y, of shape `domain`, with the very weights of `forward`."""

    @abstractmethod
    def norm(self) -> float:
        """An upper bound of the largest singular value, proved or certified (never a power iteration)."""

    def absolute(self) -> LinearOperator | None:
        """The operator of the magnitudes |K_ij| (`self` where no entry is negative); None: not known."""
        return None

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        """Instances on which every contract is tested: tiny ones, non-square ones, one of production size."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")

    # ------------------------------------------------------------------------------------------------ what users call

    def __call__(self, x: Array) -> Array:
        x = check_input(self, x, self.domain)
        result = self.forward(x)
        return namespace(x).asarray(x, copy=True) if result is x else result

    @functools.cached_property
    def T(self) -> LinearOperator:
        return Adjoint(self)

    def __matmul__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return Composition(self, other)

    def __add__(self, other: Any) -> LinearOperator:
        return Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: Any) -> LinearOperator:
        return Sum(self, -1.0 * other) if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return Scaled(-1.0, self)

    def __mul__(self, scalar: Any) -> LinearOperator:
        if is_array(scalar) and math.prod(scalar.shape) != 1:
            raise TypeError(
                f"{self} * array of shape {tuple(scalar.shape)}: an operator is multiplied by numbers; "
                "apply it as K(x), or compose with Diagonal(array)"
            )
        return Scaled(check.number(repr(self), "factor", scalar), self)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain})"


def check_input(K: LinearOperator, x: Array, expected: Shape) -> Array:
    """`x` as a real floating array of the expected shape, or an error with both shapes."""
    x = check.real_array(repr(K), "the input", x, finite=False)
    if tuple(x.shape) != tuple(expected):
        target = K.codomain if tuple(expected) == tuple(K.domain) else K.domain
        hint = ""
        if tuple(x.shape) == tuple(expected)[::-1]:
            hint = ": it looks transposed"
        elif tuple(x.shape) == tuple(target):
            hint = f": to go the other way use {'K.T(y)' if not isinstance(K, Adjoint) else 'K(x)'}"
        raise ValueError(
            f"{K} maps shape {tuple(expected)} to {tuple(target)}, got an array of shape {tuple(x.shape)}{hint}"
        )
    return x


@dataclass(frozen=True, eq=False, repr=False)
class Adjoint(LinearOperator):
    """Kᵀ as an operator of its own; its `.T` is K itself."""

    K: LinearOperator

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return self.K.codomain

    @property
    def codomain(self) -> Shape:  # type: ignore[override]
        return self.K.domain

    @property
    def T(self) -> LinearOperator:
        return self.K

    def forward(self, x: Array) -> Array:
        return self.K.adjoint(x)

    def adjoint(self, y: Array) -> Array:
        return self.K.forward(y)

    def norm(self) -> float:
        return self.K.norm()

    def absolute(self) -> LinearOperator | None:
        inner = self.K.absolute()
        return self if inner is self.K else None if inner is None else inner.T

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.gradient import Gradient

        yield Gradient((5, 8)).T

    def __repr__(self) -> str:
        return f"{self.K}.T"


@dataclass(frozen=True, eq=False, repr=False)
class Composition(LinearOperator):
    """(A B) x = A(B x); the norm bound is ‖A‖‖B‖."""

    A: LinearOperator
    B: LinearOperator

    def __post_init__(self) -> None:
        if tuple(self.A.domain) != tuple(self.B.codomain):
            raise ValueError(
                f"{self.A} @ {self.B}: the left operator takes shape {tuple(self.A.domain)}, "
                f"the right one gives {tuple(self.B.codomain)}"
            )

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return self.B.domain

    @property
    def codomain(self) -> Shape:  # type: ignore[override]
        return self.A.codomain

    def forward(self, x: Array) -> Array:
        return self.A.forward(self.B.forward(x))

    def adjoint(self, y: Array) -> Array:
        return self.B.adjoint(self.A.adjoint(y))

    def norm(self) -> float:
        return self.A.norm() * self.B.norm()

    def absolute(self) -> LinearOperator | None:
        a, b = self.A.absolute(), self.B.absolute()
        if a is self.A and b is self.B:
            return self
        return None if a is None or b is None else Composition(a, b)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.elementary import Diagonal
        from varinv.operators.gradient import Gradient

        yield Gradient((3, 4)).T @ Gradient((3, 4))
        yield Gradient((4,)) @ Diagonal([1.0, -2.0, 0.5, 3.0])

    def __repr__(self) -> str:
        return f"{self.A} @ {self.B}"


@dataclass(frozen=True, eq=False, repr=False)
class Sum(LinearOperator):
    """(A + B) x = A x + B x; norm bound ‖A‖ + ‖B‖, sharpened by Collatz–Wielandt where no entry is negative."""

    A: LinearOperator
    B: LinearOperator

    def __post_init__(self) -> None:
        if (tuple(self.A.domain), tuple(self.A.codomain)) != (tuple(self.B.domain), tuple(self.B.codomain)):
            raise ValueError(
                f"{self.A} + {self.B}: shapes {tuple(self.A.domain)} → {tuple(self.A.codomain)} and "
                f"{tuple(self.B.domain)} → {tuple(self.B.codomain)} differ"
            )

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return self.A.domain

    @property
    def codomain(self) -> Shape:  # type: ignore[override]
        return self.A.codomain

    def forward(self, x: Array) -> Array:
        return self.A.forward(x) + self.B.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self.A.adjoint(y) + self.B.adjoint(y)

    @once
    def norm(self) -> float:
        total = self.A.norm() + self.B.norm()
        return min(total, collatz_wielandt(self)) if self.absolute() is self else total

    def absolute(self) -> LinearOperator | None:
        a, b = self.A.absolute(), self.B.absolute()
        return self if a is self.A and b is self.B else None

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.elementary import Diagonal, Identity

        yield Identity((3,)) + Diagonal([1.0, 2.0, 3.0])
        yield Identity((3,)) - Diagonal([1.0, 2.0, 3.0])

    def __repr__(self) -> str:
        return f"({self.A} + {self.B})"


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(LinearOperator):
    """(c K) x = c · K x."""

    factor: float
    K: LinearOperator

    @property
    def domain(self) -> Shape:  # type: ignore[override]
        return self.K.domain

    @property
    def codomain(self) -> Shape:  # type: ignore[override]
        return self.K.codomain

    def forward(self, x: Array) -> Array:
        return self.factor * self.K.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self.factor * self.K.adjoint(y)

    def norm(self) -> float:
        return abs(self.factor) * self.K.norm()

    def absolute(self) -> LinearOperator | None:
        inner = self.K.absolute()
        if inner is self.K and self.factor >= 0:
            return self
        return None if inner is None else Scaled(abs(self.factor), inner)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.gradient import Gradient

        yield -0.5 * Gradient((3, 4))

    def __repr__(self) -> str:
        return f"{self.factor:g} * {self.K}"
