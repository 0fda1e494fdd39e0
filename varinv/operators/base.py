"""Linear operators: what one maps, how to go back, and a proved bound of its norm."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from varinv import check
from varinv.backend import Array, Shape, is_array, unshared
from varinv.operators.norms import collatz_wielandt as collatz_wielandt
from varinv.views import on_views

if TYPE_CHECKING:
    from varinv.operators.spectrum import Spectrum

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
    of its entries are known, `absolute`; where it applies, `isometry` and `coisometry`, what it leaves out (`reads`
    and `writes`, which sharpen the norm of sums), and a `preconditioner`.  One with a pseudo-inverse in closed form,
    other than Kᵀ times a number, has a method ``pseudoinverse(y, tol)``.  The base adds ``K(x)`` (checks the shape),
    ``K.T`` (the adjoint of the plain inner product Σ a b; ``K.T.T is K``), the algebra ``@ + - *``, and `pinv`,
    `project`, `nullspace`.
    """

    kinds: ClassVar[list[type[LinearOperator]]] = []
    __array_ufunc__ = None  # array * K is ours to refuse, not NumPy's to broadcast
    domain: Shape
    codomain: Shape
    fresh: ClassVar[bool] = False  # forward and adjoint return arrays that nobody else holds: they may be written over

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

    def form(self) -> Any:
        """What K is, as data (varinv.forms); None: none of these."""
        return None

    def absolute(self) -> LinearOperator | None:
        """The operator of the magnitudes |K_ij| (`self` where no entry is negative); None: not known."""
        return None

    def isometry(self) -> float | None:
        """c > 0 where Kᵀ K = c · identity (c = 1: K keeps lengths); None: not so, or not known."""
        return None

    def coisometry(self) -> float | None:
        """c > 0 where K Kᵀ = c · identity (K.T is an isometry up to √c); None: not so, or not known."""
        return None

    def preconditioner(self) -> Spectrum | None:
        """A filter S of the codomain that makes the spectrum of Kᵀ S K flatter than that of Kᵀ K; None: not known."""
        return None

    def reads(self) -> Array | None:
        """A NumPy mask of the entries of x outside of which K is zero; None: perhaps all are read."""
        return None

    def writes(self) -> Array | None:
        """A NumPy mask of the entries of K x that may differ from zero; None: perhaps all."""
        return None

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        """Instances on which every contract is tested: tiny ones, non-square ones, one of production size."""
        raise NotImplementedError(f"{cls.__name__} needs examples(): the contract tests run on them")

    # ------------------------------------------------------------------------------------------------ what users call

    @on_views
    def __call__(self, x: Array) -> Array:
        x = check_input(self, x, self.domain)
        return unshared(self.forward(x), x)

    @functools.cached_property
    def T(self) -> LinearOperator:
        from varinv.operators.algebra import Adjoint

        return Adjoint(self)

    def pinv(self, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """K⁺ y, the least-squares solution of K x = y of least norm; see varinv.operators.pinv."""
        from varinv.operators.pinv import pinv

        return pinv(self, y, method, tol)

    def project(self, x: Array, y: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """x + K⁺(y − K x): the image nearest to x of those that fit y best (K x = y, where y is in the range of K)."""
        y = check_input(self.T, y, self.codomain)
        return x + self.pinv(y - self(x), method, tol)

    def nullspace(self, x: Array, method: str | None = None, tol: float = 1e-10) -> Array:
        """x − K⁺ K x: the part of x that K does not see."""
        return x - self.pinv(self(x), method, tol)

    def __matmul__(self, other: Any) -> LinearOperator:
        if is_array(other):
            raise TypeError(f"{self} @ array of shape {tuple(other.shape)}: apply an operator as K(x); @ composes two")
        if not isinstance(other, LinearOperator):
            return NotImplemented
        from varinv.operators.algebra import Composition

        return Composition(self, other)

    def __add__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        from varinv.operators.algebra import Sum

        return Sum(self, other)

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
        from varinv.operators.algebra import Scaled

        return Scaled(check.number(repr(self), "factor", scalar), self)

    __rmul__ = __mul__

    def __truediv__(self, scalar: Any) -> LinearOperator:
        value = check.number(repr(self), "divisor", scalar)
        if value == 0:
            raise ZeroDivisionError(f"{self} / 0")
        return self * (1 / value)

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
            hint = f": to go the other way use {'K(x)' if type(K).__name__ == 'Adjoint' else 'K.T(y)'}"
        raise ValueError(
            f"{K} maps shape {tuple(expected)} to {tuple(target)}, got an array of shape {tuple(x.shape)}{hint}"
        )
    return x
