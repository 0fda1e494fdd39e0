"""A matrix of CuPy or cupyx as an operator on CuPy arrays; imports neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as host

from varinv import check
from varinv.backend import Array, Shape, device, double, is_array, library, namespace, on_cpu, through_numpy
from varinv.memory import once
from varinv.operators.base import LinearOperator
from varinv.operators.norms import collatz_wielandt


@dataclass(frozen=True, eq=False, repr=False)
class DeviceMatrix(LinearOperator):
    """A dense or sparse matrix (m, n) on a device, as `SciPyMatrix` on images there; `rows` and `columns` are M and Mᵀ.

    Mᵀ of a sparse matrix is kept by its rows too: sums in one order, none by atomics.  `place`: the entries of M.
    Norm: the lesser of √(‖M‖₁‖M‖_∞) and Collatz–Wielandt on |M|.  Made by `from_scipy`.
    """

    rows: Any
    columns: Any
    place: Array
    shape_in: Shape
    shape_out: Shape

    @property
    def domain(self) -> Shape:
        return self.shape_in

    @property
    def codomain(self) -> Shape:
        return self.shape_out

    def forward(self, x: Array) -> Array:
        return self._times(self.rows, x, self.codomain)

    def adjoint(self, y: Array) -> Array:
        return self._times(self.columns, y, self.domain)

    def _times(self, M: Any, x: Array, shape: Shape) -> Array:
        if library(x) != library(self.place):
            ours = library(self.place)
            raise TypeError(f"{self} works on {ours} arrays, got a {library(x)} array; pass {ours}.asarray(x)")
        if device(x) != device(self.place):
            raise TypeError(f"{self} is on {device(self.place)} but the image is on {device(x)}; move one of them")
        xp = namespace(x)
        return xp.astype(xp.reshape(M @ xp.reshape(double(x), (-1,)), shape), x.dtype, copy=False)

    @once
    def norm(self) -> float:
        xp = namespace(self.place)
        most = [
            float(xp.max(abs(M) @ xp.ones(M.shape[1], dtype=xp.float64, device=device(self.place))))
            for M in (self.rows, self.columns)
        ]
        bound = math.sqrt(most[0] * most[1]) * (1 + 1e-12)
        return min(bound, collatz_wielandt(self.absolute()))

    def absolute(self) -> LinearOperator:
        if not bool(namespace(self.place).any(self.place < 0)):
            return self
        return DeviceMatrix(abs(self.rows), abs(self.columns), abs(self.place), self.domain, self.codomain)

    @classmethod
    def examples(cls) -> Iterator[LinearOperator]:
        M = host.asarray([[1.0, -2.0, 0.0, 0.0], [0.0, 0.5, 3.0, 1.0]])
        yield cls(M, M.T, M, (2, 2), (2,))

    def __repr__(self) -> str:
        kind = "dense" if is_array(self.rows) else "sparse"
        return f"DeviceMatrix({self.domain} → {self.codomain}, {kind})"


def of_a_device(L: Any) -> bool:
    """A CuPy array or a sparse matrix of cupyx."""
    return (library(L) == "cupy" and is_array(L)) or (library(L) == "cupyx" and hasattr(L, "tocsr"))


def device_matrix(who: str, L: Any, domain: Shape, codomain: Shape) -> LinearOperator:
    """A copy of L in float64, where it is."""
    if is_array(L):
        M = namespace(L).astype(check.real_array(who, "L", L), namespace(L).float64, copy=True)
        return DeviceMatrix(M, M.T, M, domain, codomain)
    M = L.tocsr().astype("float64").copy()
    if M.data.size:
        check.real_array(who, "L", M.data)
    return DeviceMatrix(M, M.T.tocsr(), M.data, domain, codomain)


def on_the_host(A: LinearOperator, function: Callable[[Any], Any], x: Array) -> Any:
    """A function of NumPy arrays on x, in the memory of the processor; else a TypeError that says what to do."""
    if on_cpu(x) is not None:
        return through_numpy(function, x)
    remedy = "convert it first, e.g. numpy.asarray(x)"
    if library(x) == "cupy":
        M = getattr(A, "M", None)
        remedy = "pass cupy.asnumpy(x)"
        if M is not None:
            remedy = f"from_scipy({'cupy.asarray' if is_array(M) else 'cupyx.scipy.sparse.csr_matrix'}(M)) works there"
    raise TypeError(f"{A} works on NumPy arrays, got a {library(x)} array; {remedy}")
