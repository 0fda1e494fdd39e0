"""What `.T @ + - *` make of operators, with the norm bounds of the results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from varinv.backend import Array, Shape
from varinv.operators.base import LinearOperator, collatz_wielandt, once
from varinv.operators.spectrum import Spectrum


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

    def isometry(self) -> float | None:
        return self.K.coisometry()

    def coisometry(self) -> float | None:
        return self.K.isometry()

    def reads(self) -> Array | None:
        return self.K.writes()

    def writes(self) -> Array | None:
        return self.K.reads()

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.gradient import Gradient
        from varinv.operators.restriction import Restriction

        yield Gradient((5, 8)).T
        yield Restriction((3, 4), (slice(1, 3), 2)).T

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

    def isometry(self) -> float | None:
        a, b = self.A.isometry(), self.B.isometry()
        return None if a is None or b is None else a * b

    def coisometry(self) -> float | None:
        a, b = self.A.coisometry(), self.B.coisometry()
        return None if a is None or b is None else a * b

    def reads(self) -> Array | None:
        return self.B.reads()

    def writes(self) -> Array | None:
        return self.A.writes()

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
        a, b = self.A.norm(), self.B.norm()
        apart = _apart(self.A.reads(), self.B.reads()) + _apart(self.A.writes(), self.B.writes())
        bound = (a + b, math.hypot(a, b) * (1 + 1e-15), max(a, b))[apart]
        return min(bound, collatz_wielandt(self)) if self.absolute() is self else bound

    def absolute(self) -> LinearOperator | None:
        a, b = self.A.absolute(), self.B.absolute()
        return self if a is self.A and b is self.B else None

    def isometry(self) -> float | None:
        a, b = self.A.isometry(), self.B.isometry()
        return a + b if a and b and _apart(self.A.writes(), self.B.writes()) else None

    def coisometry(self) -> float | None:
        a, b = self.A.coisometry(), self.B.coisometry()
        return a + b if a and b and _apart(self.A.reads(), self.B.reads()) else None

    def reads(self) -> Array | None:
        return _either(self.A.reads(), self.B.reads())

    def writes(self) -> Array | None:
        return _either(self.A.writes(), self.B.writes())

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.elementary import Diagonal, Identity
        from varinv.operators.gradient import Gradient
        from varinv.operators.restriction import Part

        yield Identity((3,)) + Diagonal([1.0, 2.0, 3.0])
        yield Identity((3,)) + 2 * Identity((3,))  # two isometries that meet
        yield Identity((3,)) - Diagonal([1.0, 2.0, 3.0])
        yield Gradient((2, 4)) @ Part((3, 2, 4), 0) - Part((3, 2, 4), slice(1, None))  # ∇x − v, the row of TGV
        yield Part((2, 4), 0).T @ Identity((4,)) + Part((2, 4), 1).T @ Diagonal([1.0, -2.0, 0.5, 3.0])  # a stack

    def __repr__(self) -> str:
        return f"({self.A} + {self.B})"


def _apart(a: Array | None, b: Array | None) -> bool:
    """Whether two masks are known to have no entry in common."""
    return a is not None and b is not None and not (a & b).any()


def _either(a: Array | None, b: Array | None) -> Array | None:
    return None if a is None or b is None else a | b


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

    def isometry(self) -> float | None:
        return c * self.factor**2 if self.factor and (c := self.K.isometry()) else None

    def coisometry(self) -> float | None:
        return c * self.factor**2 if self.factor and (c := self.K.coisometry()) else None

    def preconditioner(self) -> Spectrum | None:
        return self.K.preconditioner() if self.factor else None

    def reads(self) -> Array | None:
        return self.K.reads()

    def writes(self) -> Array | None:
        return self.K.writes()

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.gradient import Gradient

        yield -0.5 * Gradient((3, 4))

    def __repr__(self) -> str:
        return f"{self.factor:g} * {self.K}"
