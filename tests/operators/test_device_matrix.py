"""Matrices of cupyx and CuPy as operators on CuPy arrays, on stand-ins for both."""

from __future__ import annotations

import cuda_shim
import numpy as np
import pytest
import standin
from conftest import rand
from scipy import sparse
from test_foreign import random_matrix, wrong

import varinv as vi
from varinv import cuda_tools


@pytest.fixture(autouse=True)
def on_the_host(monkeypatch):
    if cuda_shim.COMPILER is None:
        pytest.skip("no C++ compiler (g++, clang++ or c++): the CUDA sources cannot run on the host")
    monkeypatch.setattr(cuda_tools, "run", cuda_shim.run)


class Sparse:
    """What is used of cupyx.scipy.sparse.csr_matrix, which takes CuPy vectors only, on the stand-in for CuPy."""

    __module__ = "cupyx.scipy.sparse._csr"

    def __init__(self, M):
        self.M, self.shape, self.dtype = M, M.shape, M.dtype

    data = property(lambda self: standin.ndarray(self.M.data))
    T = property(lambda self: Sparse(self.M.T))

    def tocsr(self):
        return self if self.M.format == "csr" else Sparse(self.M.tocsr())  # as cupyx: no copy

    def astype(self, dtype):
        return Sparse(self.M.astype(dtype))

    def copy(self):
        return Sparse(self.M.copy())

    def __abs__(self):
        return Sparse(abs(self.M))

    def __matmul__(self, x):
        assert type(x) is standin.ndarray, "cupyx multiplies CuPy arrays"
        assert self.M.format == "csr", "the transposed product of cuSPARSE may depend on the order of atomics"
        return standin.ndarray(self.M @ x.values)


@pytest.mark.parametrize("kind", ["csr", "coo", "dense"])
def test_matrices_of_a_device(kind):
    M = random_matrix()
    D = M.toarray()
    L = {"csr": Sparse(M), "coo": Sparse(sparse.coo_array(M)), "dense": standin.xp.asarray(D)}[kind]
    A, B = vi.from_scipy(L, (4, 5), (3, 4)), vi.from_scipy(M, (4, 5), (3, 4))
    M.data[:] = 0  # a copy: nobody else can change it
    assert A.norm() == pytest.approx(B.norm(), rel=1e-6)  # the same bounds
    for dtype, limit in (("float64", 1e-14), ("float32", 1e-6)):
        for apply, other, shape in ((A, D, (4, 5)), (A.T, D.T, (3, 4))):
            x = rand(np, shape, 2, dtype)
            there = standin.xp.asarray(x, copy=True)
            standin.reads.clear()
            got = apply(there)
            assert not standin.reads, "an application waits for the device"
            assert (type(got), got.dtype, got.shape) == (standin.ndarray, x.dtype, (3, 4) if apply is A else (4, 5))
            np.testing.assert_allclose(got.values.ravel(), other @ x.ravel(), rtol=0, atol=limit * 20)
    absolute = A.absolute()(standin.xp.asarray(np.ones((4, 5))))
    np.testing.assert_allclose(absolute.values.ravel(), np.abs(D).sum(1), atol=1e-14)
    assert vi.from_scipy(abs(L)).absolute().absolute().domain == (20,)
    with pytest.raises(TypeError, match=r"works on cupy arrays, got a numpy array; pass cupy.asarray\(x\)"):
        A(np.ones((4, 5)))


def test_matrices_of_a_device_are_checked_and_hosts_refuse_by_name():
    there = standin.xp.asarray(np.ones(20))
    for L, remedy in ((random_matrix(), "cupyx.scipy.sparse.csr_matrix"), (np.eye(20), "cupy.asarray")):
        with pytest.raises(TypeError, match=rf"got a cupy array; from_scipy\({remedy}\(M\)\) works there"):
            vi.from_scipy(L)(there)
    with pytest.raises(TypeError, match=r"got a cupy array; pass cupy.asnumpy\(x\)"):
        vi.from_scipy(wrong(), norm=1)(standin.xp.asarray(np.ones(3)))
    with pytest.raises(ValueError, match="L has 1 NaN or infinite of 1"):
        vi.from_scipy(Sparse(sparse.csr_array([[np.inf, 0.0]])))
    with pytest.raises(TypeError, match=r"L is complex"):
        vi.from_scipy(Sparse(sparse.csr_array([[1j, 0.0]])))
    assert vi.from_scipy(Sparse(sparse.csr_array((3, 4)))).norm() == 0
    A, elsewhere = vi.from_scipy(standin.xp.asarray(np.eye(20))), standin.xp.asarray(np.ones(20))
    elsewhere.device = standin.Device()
    with pytest.raises(TypeError, match=r"is on <CUDA Device 0> but the image is on .*; move one of them"):
        A(elsewhere)
