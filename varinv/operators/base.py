"""Linear operators: what one maps, how to go back, and what `.T @ + - *` make of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from varinv import check
from varinv.backend import Array, Shape, is_array, unshared
from varinv.memory import once, own_state
from varinv.operators.norms import collatz_wielandt
from varinv.operators.pinv import pinv
from varinv.operators.spectrum import Spectrum
from varinv.operators.traits import Traits
from varinv.views import on_views

_T = TypeVar("_T")


class LinearOperator(Traits):
    """A linear map from images to data, such as a blur or a projection, together with its exact adjoint.

    K: domain → codomain, both of real arrays.

    A new operator gives `domain`, `codomain`, `forward` and `adjoint`.  The base adds ``K(x)`` (checks the shape),
    ``K.T`` (the adjoint of the plain inner product Σ a b; ``K.T.T is K``), the algebra ``@ + - *``, `pinv`, `project`,
    `nullspace`, and a bound of the norm.  Everything else that an operator may say of itself is optional: see `Traits`.

    A subclass that overrides `forward` or `adjoint` keeps of its parent what it writes anew, and nothing else: the
    parent's norm is not the subclass's.  One that computes the very same map (it counts calls, it is faster) says so:
    ``class Counted(Radon, same_map=True)``.
    """

    kinds: ClassVar[list[type[LinearOperator]]] = []
    __array_ufunc__ = None  # array * K is ours to refuse, not NumPy's to broadcast

    if TYPE_CHECKING:

        def absolute(self) -> LinearOperator | None: ...
        def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator: ...
        def subset(self, indices: Sequence[int]) -> LinearOperator: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        LinearOperator.kinds.append(cls)

    @on_views
    def __call__(self, x: Array) -> Array:
        x = check_input(self, x, self.domain)
        return unshared(self.forward(x), x)

    @functools.cached_property
    def T(self) -> LinearOperator:
        return Adjoint(self)

    def pinv(self, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """The image that explains the data best in the sense of least squares (pseudo-inverse).

        K⁺ y, the least-squares solution of K x = y of least norm; see varinv.operators.pinv.
        """
        return pinv(self, y, method, tol)

    def project(self, x: Array, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """The image nearest to a given one among those that fit the data best.

        x + K⁺(y − K x); K x = y afterwards where y is in the range of K.
        """
        y = check_input(self.T, y, self.codomain)
        return x + self.pinv(y - self(x), method, tol)

    def nullspace(self, x: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """The part of an image that leaves no trace in the data.

        x − K⁺ K x.
        """
        return x - self.pinv(self(x), method, tol)

    def __matmul__(self, other: Any) -> LinearOperator:
        if is_array(other):
            raise TypeError(f"{self} @ array of shape {tuple(other.shape)}: apply an operator as K(x); @ composes two")
        return Composition(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __add__(self, other: Any) -> LinearOperator:
        return Sum(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __radd__(self, other: Any) -> LinearOperator:
        return self if isinstance(other, int) and other == 0 else NotImplemented  # sum([K1, K2])

    def __sub__(self, other: Any) -> LinearOperator:
        return self + -1.0 * other if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return -1.0 * self

    def __mul__(self, scalar: Any) -> LinearOperator:
        if is_array(scalar) and math.prod(scalar.shape) != 1:
            raise TypeError(
                f"{self} * array of shape {tuple(scalar.shape)}: an operator is multiplied by numbers; "
                "apply it as K(x), or compose with Diagonal(array)"
            )
        if isinstance(scalar, LinearOperator):
            raise TypeError(f"{self} * {scalar}: operators are composed with @")
        return Scaled(check.number(repr(self), "factor", scalar), self)

    __rmul__ = __mul__

    def __truediv__(self, scalar: Any) -> LinearOperator:
        value = check.number(repr(self), "divisor", scalar)
        if value == 0:
            raise ZeroDivisionError(f"{self} / 0")
        return self * (1 / value)

    def __getstate__(self) -> Any:
        return own_state(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain})"


def check_input(K: LinearOperator, x: Array, expected: Shape) -> Array:
    """`x` as a real floating array of the expected shape, or an error with both shapes."""
    x = check.real_array(K, "the input", x, finite=False)
    if tuple(x.shape) != tuple(expected):
        target = K.codomain if tuple(expected) == tuple(K.domain) else K.domain
        hint = ""
        if tuple(x.shape) == tuple(expected)[::-1]:
            hint = ": it looks transposed"
        elif tuple(x.shape) == tuple(target):
            hint = f": to go the other way use {'K(x)' if isinstance(K, Adjoint) else 'K.T(y)'}"
        raise ValueError(
            f"{K} maps shape {tuple(expected)} to {tuple(target)}, got an array of shape {tuple(x.shape)}{hint}"
        )
    return x


# ---------------------------------------------------------------------------------------------------------- the algebra


class _Algebra(LinearOperator):
    """What has no examples of its own: those of other operators hold some."""

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        return iter(())


@dataclass(frozen=True, eq=False, repr=False)
class Adjoint(_Algebra):
    """Kᵀ as an operator of its own; its `.T` is K itself."""

    K: LinearOperator

    @property
    def domain(self) -> Shape:
        return self.K.codomain

    @property
    def codomain(self) -> Shape:
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

    def isometry(self) -> float | None:
        return self.K.coisometry()

    def coisometry(self) -> float | None:
        return self.K.isometry()

    def diagonal(self) -> Any:
        return self.K.diagonal()

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        return self.K.restricted(axis, indices).T

    def shift_invariant(self) -> bool:
        return self.K.shift_invariant() and tuple(self.domain) == tuple(self.codomain)

    def reads(self) -> Array | None:
        return self.K.writes()

    def writes(self) -> Array | None:
        return self.K.reads()

    def __repr__(self) -> str:
        return f"{self.K}.T"


@dataclass(frozen=True, eq=False, repr=False)
class Composition(_Algebra):
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
    def domain(self) -> Shape:
        return self.B.domain

    @property
    def codomain(self) -> Shape:
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

    def isometry(self) -> float | None:
        return _both(self.A.isometry(), self.B.isometry(), lambda a, b: a * b)

    def coisometry(self) -> float | None:
        return _both(self.A.coisometry(), self.B.coisometry(), lambda a, b: a * b)

    def diagonal(self) -> Any:
        return _both(self.A.diagonal(), self.B.diagonal(), lambda a, b: a * b)

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        return Composition(self.A.restricted(axis, indices), self.B.restricted(axis, indices))

    def shift_invariant(self) -> bool:
        return self.A.shift_invariant() and self.B.shift_invariant()

    def pseudoinverse(self, y: Array, tol: float) -> Array | None:
        """B⁺A⁺ y where A is an isometry or B a co-isometry, up to factors (Greville 1966)."""
        x = super().pseudoinverse(y, tol)
        if x is None and (self.A.isometry() or self.B.coisometry()):
            z = self.A.pseudoinverse(y, tol)
            x = None if z is None else self.B.pseudoinverse(z, tol)
        return x

    def _weighs(self) -> bool:
        """Whether A only multiplies the views of B."""
        return self.A.views() is None and self.A.diagonal() is not None

    def views(self) -> int | None:
        return self.B.views() if self._weighs() else self.A.views()

    def subset(self, indices: Sequence[int]) -> LinearOperator:
        axis = self.B.views()
        if axis is not None and self._weighs():
            return Composition(self.A.restricted(axis, indices), self.B.subset(indices))
        return Composition(self.A.subset(indices), self.B)

    def reads(self) -> Array | None:
        return self.B.reads()

    def writes(self) -> Array | None:
        return self.A.writes()

    def __repr__(self) -> str:
        return f"{self.A} @ {self.B}"


@dataclass(frozen=True, eq=False, repr=False)
class Sum(_Algebra):
    """(A + B) x = A x + B x.

    Norm bound ‖A‖ + ‖B‖.  Where A and B read different entries of x (a row ``K1 x1 + K2 x2`` of parts of one unknown)
    or write different entries of the result (a stack), ‖(A + B) x‖² ≤ ‖A‖²‖x₁‖² + … gives √(‖A‖² + ‖B‖²); where both
    hold, the larger of the two.  Sharpened by Collatz–Wielandt where no entry is negative.
    """

    A: LinearOperator
    B: LinearOperator

    def __post_init__(self) -> None:
        if (tuple(self.A.domain), tuple(self.A.codomain)) != (tuple(self.B.domain), tuple(self.B.codomain)):
            raise ValueError(
                f"{self.A} + {self.B}: shapes {tuple(self.A.domain)} → {tuple(self.A.codomain)} and "
                f"{tuple(self.B.domain)} → {tuple(self.B.codomain)} differ"
            )

    @property
    def domain(self) -> Shape:
        return self.A.domain

    @property
    def codomain(self) -> Shape:
        return self.A.codomain

    def forward(self, x: Array) -> Array:
        return self.A.forward(x) + self.B.forward(x)

    def adjoint(self, y: Array) -> Array:
        return self.A.adjoint(y) + self.B.adjoint(y)

    @once
    def norm(self) -> float:
        a, b = self.A.norm(), self.B.norm()
        apart = _apart(self.A.reads(), self.B.reads()) + _apart(self.A.writes(), self.B.writes())
        bound = (a + b, math.hypot(a, b) * (1 + 1e-15), max(a, b))[apart]
        return min(bound, collatz_wielandt(self)) if self.absolute() is self else bound

    def absolute(self) -> LinearOperator | None:
        a, b = self.A.absolute(), self.B.absolute()
        return self if a is self.A and b is self.B else None

    @once
    def isometry(self) -> float | None:
        a, b = self.A.isometry(), self.B.isometry()
        return a + b if a and b and _apart(self.A.writes(), self.B.writes()) else None

    @once
    def coisometry(self) -> float | None:
        a, b = self.A.coisometry(), self.B.coisometry()
        return a + b if a and b and _apart(self.A.reads(), self.B.reads()) else None

    def diagonal(self) -> Any:
        return _both(self.A.diagonal(), self.B.diagonal(), lambda a, b: a + b)

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        return Sum(self.A.restricted(axis, indices), self.B.restricted(axis, indices))

    def shift_invariant(self) -> bool:
        return self.A.shift_invariant() and self.B.shift_invariant()

    def views(self) -> int | None:
        axis = self.A.views()
        return axis if axis == self.B.views() else None

    def subset(self, indices: Sequence[int]) -> LinearOperator:
        return Sum(self.A.subset(indices), self.B.subset(indices))

    def reads(self) -> Array | None:
        return _both(self.A.reads(), self.B.reads(), lambda a, b: a | b)

    def writes(self) -> Array | None:
        return _both(self.A.writes(), self.B.writes(), lambda a, b: a | b)

    def __repr__(self) -> str:
        return f"({self.A} + {self.B})"


@dataclass(frozen=True, eq=False, repr=False)
class Scaled(_Algebra):
    """(c K) x = c · K x."""

    factor: float
    K: LinearOperator

    @property
    def domain(self) -> Shape:
        return self.K.domain

    @property
    def codomain(self) -> Shape:
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

    def isometry(self) -> float | None:
        return c * self.factor**2 if self.factor and (c := self.K.isometry()) else None

    def coisometry(self) -> float | None:
        return c * self.factor**2 if self.factor and (c := self.K.coisometry()) else None

    def diagonal(self) -> Any:
        return _both(self.factor, self.K.diagonal(), lambda a, b: a * b)

    def restricted(self, axis: int, indices: Sequence[int]) -> LinearOperator:
        return Scaled(self.factor, self.K.restricted(axis, indices))

    def shift_invariant(self) -> bool:
        return self.K.shift_invariant()

    def pseudoinverse(self, y: Array, tol: float) -> Array | None:
        x = super().pseudoinverse(y, tol)
        if x is None and self.factor:
            inner = self.K.pseudoinverse(y, tol)
            x = None if inner is None else inner / self.factor
        return x

    def preconditioner(self) -> Spectrum | None:
        return self.K.preconditioner() if self.factor else None

    def views(self) -> int | None:
        return self.K.views()

    def subset(self, indices: Sequence[int]) -> LinearOperator:
        return Scaled(self.factor, self.K.subset(indices))

    def reads(self) -> Array | None:
        return self.K.reads()

    def writes(self) -> Array | None:
        return self.K.writes()

    def __repr__(self) -> str:
        return f"{self.factor:g} * {self.K}"


def _apart(a: Array | None, b: Array | None) -> bool:
    """Whether two masks are known to have no entry in common."""
    return a is not None and b is not None and not (a & b).any()


def _both(a: _T | None, b: _T | None, of: Callable[[_T, _T], _T]) -> _T | None:
    """of(a, b) where both are known, else None."""
    return None if a is None or b is None else of(a, b)
