"""Operators of SciPy and PyLops as ours, and ours as theirs; NumPy arrays only, but for matrices of cupyx."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator as SciPyOperator

from varinv import check
from varinv.backend import Array, Shape, is_array, library
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.device_matrix import device_matrix, of_a_device, on_the_host
from varinv.operators.norms import collatz_wielandt

MISMATCH = 1e-6  # of an adjoint: float32 rounding of sums is below it, a projector of another model above


@dataclass(frozen=True, eq=False, repr=False)
class SciPyMatrix(LinearOperator):
    """A dense or sparse matrix (m, n) acting on images of n pixels in C order; shape `shape_in` → `shape_out`.

    Norm: the lesser of √(‖M‖₁‖M‖_∞) and Collatz–Wielandt on |M|.  Made by `from_scipy`.
    """

    M: Any
    shape_in: Shape
    shape_out: Shape

    @property
    def domain(self) -> Shape:
        return self.shape_in

    @property
    def codomain(self) -> Shape:
        return self.shape_out

    def forward(self, x: Array) -> Array:
        return self._times(self.M, x, self.codomain)

    def adjoint(self, y: Array) -> Array:
        return self._times(self.M.T, y, self.domain)

    def _times(self, M: Any, x: Array, shape: Shape) -> Array:
        def times(x: Any) -> Any:
            return (M @ x.reshape(-1)).reshape(shape).astype(x.dtype, copy=False)

        return on_the_host(self, times, x)

    @once
    def norm(self) -> float:
        magnitudes = abs(self.M)
        sums = magnitudes.sum(axis=0).max(), magnitudes.sum(axis=1).max()
        bound = math.sqrt(float(sums[0]) * float(sums[1])) * (1 + 1e-12)
        return min(bound, collatz_wielandt(self.absolute()))

    def absolute(self) -> LinearOperator:
        return SciPyMatrix(abs(self.M), self.domain, self.codomain) if self.M.min() < 0 else self

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        M = np.asarray([[1.0, -2.0, 0.0, 0.0], [0.0, 0.5, 3.0, 1.0]])
        yield cls(M, (2, 2), (2,))
        yield cls(sparse.csr_array(M), (4,), (2, 1))

    def __repr__(self) -> str:
        kind = "sparse" if sparse.issparse(self.M) else "dense"
        return f"SciPyMatrix({self.domain} → {self.codomain}, {kind})"


@dataclass(frozen=True, eq=False, repr=False)
class Foreign(LinearOperator):
    """An object with `matvec` and `rmatvec` (SciPy, PyLops) as an operator; shape `shape_in` → `shape_out`.

    It gets copies and its results are copied: some return their input, or write into what they are given.  Made by
    `from_scipy` and `from_pylops`, which say what is checked.
    """

    L: Any
    shape_in: Shape
    shape_out: Shape
    bound: float | None
    nonnegative: bool = False

    @property
    def domain(self) -> Shape:
        return self.shape_in

    @property
    def codomain(self) -> Shape:
        return self.shape_out

    def forward(self, x: Array) -> Array:
        return self._apply(self.L.matvec, x, self.codomain)

    def adjoint(self, y: Array) -> Array:
        return self._apply(self.L.rmatvec, y, self.domain)

    def _apply(self, function: Any, x: Array, shape: Shape) -> Array:
        def apply(x: Any) -> Any:
            return np.array(np.asarray(function(np.array(x).reshape(-1))).real, dtype=x.dtype).reshape(shape)

        return on_the_host(self, apply, x)

    @once
    def norm(self) -> float:
        return collatz_wielandt(self) if self.bound is None else self.bound

    def absolute(self) -> LinearOperator | None:
        return self if self.nonnegative else None

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        from varinv.operators.gradient import Gradient

        K = Gradient((3, 4))
        yield cls(as_scipy(K), K.domain, K.codomain, K.norm())

    def __repr__(self) -> str:
        return f"Foreign({type(self.L).__name__}, {self.domain} → {self.codomain})"


def from_scipy(
    L: Any,
    shape_in: Shape | None = None,
    shape_out: Shape | None = None,
    *,
    norm: float | None = None,
    nonnegative: bool = False,
) -> LinearOperator:
    """Use a matrix or an operator of SciPy as an operator on images.

    A SciPy LinearOperator, a sparse matrix or a 2-D NumPy array as an operator on images (pixels in C order).

    Of a matrix the norm is certified.  Of anything else it is not known: give a proved upper bound as `norm`, or
    `nonnegative=True` where no entry is negative (then Collatz–Wielandt certifies it, and `gap` knows that A ≥ 0).  An
    adjoint that is none and a norm that is too small are found by a few applications to random vectors, and refused.
    Complex operators are refused: take real and imaginary parts as separate channels.

    Parameters
    ----------
    L : object with `shape`, `matvec` and `rmatvec`, sparse matrix (of cupyx: it acts on CuPy arrays), or 2-D array.
    shape_in, shape_out : shapes of x and of L x; None: (n,) and (m,).
    norm : an upper bound of the largest singular value.
    nonnegative : whether no entry is negative.

    Raises
    ------
    TypeError, ValueError
        What is no linear operator or complex; shapes of another size; no adjoint, or a wrong one; no norm, or one that
        is too small; a negative entry despite `nonnegative`; NaN or infinite entries.

    Examples
    --------
    >>> import numpy as np
    >>> from_scipy(np.array([[1.0, 0.0, 2.0, 0.0]]), (2, 2))(np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([7.])
    """
    who = "from_scipy"
    if isinstance(L, _Ours) and norm is None and _same(shape_in, L.A.domain) and _same(shape_out, L.A.codomain):
        return L.A
    L = check.taken(who, "L", L)
    matrix = sparse.issparse(L) or (is_array(L) and library(L) == "numpy") or of_a_device(L)
    if not matrix and not all(hasattr(L, name) for name in ("shape", "matvec", "rmatvec")):
        raise TypeError(
            f"{who}: L must be a SciPy LinearOperator, a sparse matrix or a 2-D NumPy array, got {check.describe(L)}"
        )
    if len(L.shape) != 2:
        raise ValueError(f"{who}: L must have two axes, got shape {tuple(L.shape)}")
    if np.issubdtype(getattr(L, "dtype", None) or np.float64, np.complexfloating):
        raise TypeError(f"{who}: L is complex ({L.dtype}); take real and imaginary parts as separate channels")
    domain, codomain = _shape("shape_in", shape_in, L, 1), _shape("shape_out", shape_out, L, 0)
    if norm is not None:
        norm = check.number(who, "norm", norm, low=0.0)
    if of_a_device(L):
        return device_matrix(who, L, domain, codomain)
    if matrix:
        values: Any = L.tocoo().data if sparse.issparse(L) else L
        if values.size:
            check.real_array(who, "L", values)
        M = sparse.csr_array(L, dtype=np.float64, copy=True) if sparse.issparse(L) else np.array(L, dtype=np.float64)
        return SciPyMatrix(M, domain, codomain)
    if norm is None and not nonnegative:
        raise ValueError(
            f"{who}: the norm of {type(L).__name__} is not known, and power iteration would give too little: pass "
            "norm= an upper bound, or nonnegative=True where no entry is negative, or the matrix itself"
        )
    A = Foreign(L, domain, codomain, norm, nonnegative)
    _examine(who, A)
    return A


def _shape(name: str, given: Any, L: Any, axis: int) -> Shape:
    size = int(L.shape[axis])
    shape = check.shape("from_scipy", (size,) if given is None else given, name=name)
    if math.prod(shape) != size:
        raise ValueError(
            f"from_scipy: {name} {shape} has {math.prod(shape)} pixels, but L of shape {tuple(L.shape)} needs {size}"
        )
    return shape


def _same(given: Any, shape: Shape) -> bool:
    return given is None or tuple(given) == tuple(shape)


def _examine(who: str, A: Foreign) -> None:
    """The adjoint against the forward, the norm against what it must exceed."""
    x = np.random.default_rng(0).standard_normal(A.domain)
    y = A.forward(x)
    try:
        back = A.adjoint(y)
    except (NotImplementedError, AttributeError) as found:
        raise ValueError(f"{who}: {type(A.L).__name__} has no adjoint (rmatvec): {found}") from found
    again = A.forward(back)
    if A.nonnegative and (low := float(A.forward(abs(x)).min())) < -MISMATCH * abs(y).max():
        raise ValueError(f"{who}: nonnegative=True, but {type(A.L).__name__} gives {low:g} for a non-negative x")
    norm = np.linalg.norm
    for u, Lu, v, Lv in ((x, y, y, back), (back, again, y, back)):
        error, size = abs(np.vdot(Lu, v) - np.vdot(u, Lv)), max(norm(Lu) * norm(v), norm(u) * norm(Lv))
        if not error <= MISMATCH * size:
            raise ValueError(
                f"{who}: rmatvec of {type(A.L).__name__} is not the adjoint of its matvec: "
                f"|⟨L x, y⟩ − ⟨x, Lᵀ y⟩| = {error / size:.1e} ‖L x‖‖y‖ for a random x; solvers would end elsewhere"
            )
        if A.bound is not None and norm(Lu) > A.bound * norm(u) * (1 + MISMATCH):
            raise ValueError(
                f"{who}: norm={A.bound:g} is no upper bound of {type(A.L).__name__}: "
                f"‖L x‖ = {norm(Lu) / norm(u):g} ‖x‖ for a random x"
            )


class _Ours(SciPyOperator):  # type: ignore[misc]
    """A on flat vectors."""

    def __init__(self, A: LinearOperator, dtype: Any) -> None:
        super().__init__(dtype, (math.prod(A.codomain), math.prod(A.domain)))
        self.A = A

    def _matvec(self, x: Any) -> Any:
        return self._flat(self.A, x)

    def _rmatvec(self, y: Any) -> Any:
        return self._flat(self.A.T, y)

    def _flat(self, A: LinearOperator, x: Any) -> Any:
        if np.iscomplexobj(x):
            raise TypeError(f"{A} works on real arrays; apply it to real and imaginary parts")
        x = np.array(x, dtype=self.dtype).reshape(A.domain)  # a copy: what comes back is never the caller's array
        return np.asarray(A(x), dtype=self.dtype).reshape(-1)


def as_scipy(A: LinearOperator, dtype: Any = "float64") -> Any:
    """Hand an operator to SciPy, for its solvers and eigenvalue routines.

    A as a scipy.sparse.linalg.LinearOperator (m, n) of flat NumPy vectors, with matvec, rmatvec and matmat.

    Vectors come back in `dtype`, "float32" or "float64".

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import lsqr
    >>> from varinv.operators.elementary import Diagonal
    >>> lsqr(as_scipy(Diagonal([[1.0, 2.0], [4.0, 5.0]])), np.ones(4))[0].round(6)
    array([1.  , 0.5 , 0.25, 0.2 ])
    """
    if not isinstance(A, LinearOperator):
        raise TypeError(f"as_scipy: A must be an operator of varinv, got {check.describe(A)}")
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = np.dtype(object)
    if wanted not in (np.float32, np.float64):
        raise ValueError(f"as_scipy: dtype must be float32 or float64, got {dtype!r}")
    return _Ours(A, wanted)


def as_pylops(A: LinearOperator, dtype: Any = "float64") -> Any:
    """Hand an operator to PyLops.

    A as a pylops.LinearOperator with `dims` and `dimsd`; ImportError without PyLops.
    """
    L = as_scipy(A, dtype)
    return _pylops("as_pylops").LinearOperator(Op=L, dtype=L.dtype, dims=A.domain, dimsd=A.codomain)


def from_pylops(L: Any, *, norm: float | None = None, nonnegative: bool = False) -> LinearOperator:
    """Use an operator of PyLops here.

    A PyLops operator as ours, shape `dims` → `dimsd`; norm, checks and errors as for `from_scipy`.
    """
    if not isinstance(L, _pylops("from_pylops").LinearOperator):
        raise TypeError(f"from_pylops: L must be a pylops.LinearOperator, got {check.describe(L)}")
    given = getattr(L, "Op", None)
    if isinstance(given, _Ours) and norm is None:
        return given.A
    shapes = (tuple(int(n) for n in dims) for dims in (L.dims, L.dimsd))
    return from_scipy(L, *shapes, norm=norm, nonnegative=nonnegative)


def _pylops(who: str) -> Any:
    try:
        import pylops
    except ImportError as error:
        raise ImportError(f"{who} needs PyLops: pip install pylops") from error
    return pylops
