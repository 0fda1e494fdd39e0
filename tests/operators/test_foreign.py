"""Operators to and from SciPy and PyLops: the same numbers, certified norms, no shared memory, wrong ones refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse.linalg as spla
from conftest import dense, rand
from scipy import sparse

import varinv as vi

G = vi.Gradient((4, 5))


def random_matrix(seed=0, density=0.3):
    M = sparse.random_array((12, 20), density=density, rng=np.random.default_rng(seed), format="csr")
    M.data -= 0.5
    return M


# --------------------------------------------------------------------------------------------------------- as_scipy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_as_scipy_is_the_matrix(dtype):
    L, M = vi.as_scipy(G, dtype), dense(G)
    assert L.shape == (40, 20)
    assert L.dtype == dtype
    X, Y = rand(np, (20, 3), 0), rand(np, (40, 3), 1)
    rtol = 1e-6 if dtype == "float32" else 1e-14  # rounding of differences
    for found, expected in ((L.matvec(X[:, 0]), M @ X[:, 0]), (L.rmatvec(Y[:, 0]), M.T @ Y[:, 0]), (L @ X, M @ X),
                            (L.matmat(X), M @ X), (L.T @ Y, M.T @ Y), (L.H @ Y[:, 0], M.T @ Y[:, 0]),
                            (L @ X[:, :1], M @ X[:, :1])):  # fmt: skip
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, atol=rtol * 10)
    spla.aslinearoperator(L)
    assert pickle.loads(pickle.dumps(L)).matvec(X[:, 0]).tobytes() == L.matvec(X[:, 0]).tobytes()


def test_scipys_solvers_run_on_it():
    A = vi.Radon((5, 4), vi.ParallelBeam([0.0, 0.5, 1.1, 1.7, 2.3, 2.9], 8))
    x = rand(np, A.domain, 2)
    found = spla.lsqr(vi.as_scipy(A), A(x).ravel(), atol=1e-12, btol=1e-12, iter_lim=200)[0]
    np.testing.assert_allclose(found, x.ravel(), atol=1e-8)
    largest = spla.svds(vi.as_scipy(A), k=1, return_singular_vectors=False)[0]
    assert largest <= A.norm() <= 1.01 * largest


def test_as_scipy_never_returns_the_callers_array():
    for A in (vi.Identity((2, 3)), vi.Identity((2, 3)) @ vi.Identity((2, 3)), vi.Restriction((2, 3), slice(None))):
        L, x = vi.as_scipy(A), np.ones(6)
        for y in (L.matvec(x), L.rmatvec(x), L @ x[:, None]):
            assert not np.shares_memory(y, x)


def test_as_scipy_refuses():
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got 'complex128'"):
        vi.as_scipy(G, "complex128")
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got 'double precision'"):
        vi.as_scipy(G, "double precision")
    with pytest.raises(TypeError, match="A must be an operator of varinv, got an array of shape"):
        vi.as_scipy(np.eye(3))
    with pytest.raises(TypeError, match="works on real arrays"):
        vi.as_scipy(G).matvec(np.ones(20) * 1j)


# ------------------------------------------------------------------------------------------------------- from_scipy


@pytest.mark.parametrize("kind", ["csr", "coo", "dense", "integers"])
def test_matrices(kind):
    M = random_matrix()
    given = {"csr": M, "coo": sparse.coo_matrix(M), "dense": M.toarray(),
             "integers": sparse.csr_array(np.round(4 * M.toarray()).astype(int))}[kind]  # fmt: skip
    D = given.toarray() if sparse.issparse(given) else given
    A = vi.from_scipy(given, (4, 5), (3, 4))
    assert (A.domain, A.codomain) == ((4, 5), (3, 4))
    np.testing.assert_allclose(dense(A), D, atol=1e-15)
    np.testing.assert_allclose(dense(A, adjoint=True), D, atol=1e-15)
    true = np.linalg.norm(D, 2)
    assert true <= A.norm() <= np.sqrt(np.abs(D).sum(0).max() * np.abs(D).sum(1).max()) * (1 + 1e-11)
    assert A.norm() <= np.linalg.norm(np.abs(D), 2) * 1.01  # Collatz–Wielandt on |M|
    np.testing.assert_array_equal(dense(A.absolute()), np.abs(D))
    positive = vi.from_scipy(abs(given))
    assert positive.absolute() is positive
    x = rand(np, (4, 5), 3, "float32")
    assert A(x).dtype == np.float32
    np.testing.assert_allclose(A(x).ravel(), D @ x.ravel(), rtol=1e-5, atol=1e-6)
    D0 = D.copy()
    if kind == "dense":
        given[:] = 0
        np.testing.assert_allclose(dense(A), D0)  # a copy: nobody else can change it


def test_empty_rows_and_zero_matrices():
    Z = vi.from_scipy(sparse.csr_array((3, 4)))
    assert Z.norm() == 0
    assert not Z(np.ones(4)).any()
    signs = vi.from_scipy(sparse.csr_array([[1.0, -1.0], [-1.0, 1.0]]))  # sums of columns vanish, the norm is 2
    assert signs.norm() == pytest.approx(2, rel=1e-5)


def test_problems_with_a_sparse_matrix():
    M = abs(random_matrix(4, 0.6))
    x = np.abs(rand(np, (20,), 5))
    A = vi.from_scipy(M)
    problem = vi.L2Squared(M @ x) @ A + 0.01 * vi.TV((20,)) + vi.NonNegative()
    result = vi.solve(problem, stop=vi.gap(1e-4) | vi.iterations(20000))
    assert result.why.startswith("relative gap")


def test_black_boxes():
    D = random_matrix(1).toarray()
    L = spla.LinearOperator(D.shape, matvec=lambda x: D @ x, rmatvec=lambda y: D.T @ y, dtype=float)
    A = vi.from_scipy(L, (4, 5), norm=np.linalg.norm(D, 2))
    assert (A.domain, A.codomain, A.absolute()) == ((4, 5), (12,), None)
    np.testing.assert_allclose(dense(A), D, atol=1e-15)
    np.testing.assert_allclose(dense(A, adjoint=True), D, atol=1e-15)
    P = vi.from_scipy(spla.aslinearoperator(np.abs(D)), nonnegative=True)
    assert np.linalg.norm(np.abs(D), 2) <= P.norm() <= 1.01 * np.linalg.norm(np.abs(D), 2)
    assert P.absolute() is P
    assert A(rand(np, (4, 5), 0, "float32")).dtype == np.float32


def test_ours_comes_back():
    assert vi.from_scipy(vi.as_scipy(G)) is G
    other = vi.from_scipy(vi.as_scipy(G), (20,), norm=G.norm())
    np.testing.assert_array_equal(dense(other), dense(G))


def test_a_black_box_sees_copies_and_shares_nothing():
    """An operator that returns its input, one that writes into it, one that returns the same buffer each time."""
    buffer = np.zeros(3)

    def into_buffer(x):
        buffer[:] = 2 * x
        return buffer

    def writes(x):
        x *= 2
        return x

    for f in (lambda x: x, writes, into_buffer):
        A = vi.from_scipy(spla.LinearOperator((3, 3), matvec=f, rmatvec=f, dtype=float), norm=2.0)
        x = np.ones(3)
        x.flags.writeable = False
        first = A(x)
        before = first.copy()
        A(3 * x)
        np.testing.assert_array_equal(first, before)
        np.testing.assert_array_equal(x, 1)
        assert not np.shares_memory(first, x)


def wrong(matvec=lambda x: x, rmatvec=lambda y: y):
    return spla.LinearOperator((3, 3), matvec=matvec, rmatvec=rmatvec, dtype=float)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vi.from_scipy("L"), TypeError, "L must be a SciPy LinearOperator, a sparse .* got 'L'"),
        (lambda: vi.from_scipy(np.ones(3)), ValueError, r"L must have two axes, got shape \(3,\)"),
        (lambda: vi.from_scipy(np.eye(3) * 1j), TypeError, r"L is complex \(complex128\); take real and imaginary"),
        (lambda: vi.from_scipy(np.eye(3), (2, 2)), ValueError, r"shape_in \(2, 2\) has 4 .* \(3, 3\) needs 3"),
        (lambda: vi.from_scipy(np.eye(4), (2, 2), (5,)), ValueError, r"shape_out \(5,\) has 5 pixels, .* needs 4"),
        (lambda: vi.from_scipy(np.full((2, 2), np.nan)), ValueError, "L has 4 NaN or infinite of 4"),
        (lambda: vi.from_scipy(sparse.csr_array([[np.inf, 0.0]])), ValueError, "L has 1 NaN or infinite of 1"),
        (lambda: vi.from_scipy(wrong()), ValueError, "the norm of _CustomLinearOperator is not known, .* pass norm="),
        (lambda: vi.from_scipy(wrong(), norm=-1), ValueError, "norm must be at least 0, got -1"),
        (lambda: vi.from_scipy(wrong(), norm=0.9), ValueError, r"norm=0.9 is no upper bound .* ‖L x‖ = 1 ‖x‖"),
        (lambda: vi.from_scipy(wrong(rmatvec=None), norm=1), ValueError, r"has no adjoint \(rmatvec\)"),
        (lambda: vi.from_scipy(wrong(rmatvec=lambda y: 1.001 * y), norm=2), ValueError, "not the adj.* = 1.0e-03 ‖"),
        (lambda: vi.from_scipy(wrong(matvec=lambda x: np.roll(x, 1)), norm=2), ValueError, "is not the adjoint"),
        (lambda: vi.from_scipy(wrong(lambda x: -x, lambda y: -y), nonnegative=True), ValueError, "gives -.* non-neg"),
        (lambda: vi.from_scipy(wrong(matvec=lambda x: x * np.nan), norm=2), ValueError, "is not the adjoint"),
    ],
)  # fmt: skip
def test_from_scipy_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_other_libraries_are_refused():
    strict = pytest.importorskip("array_api_strict")
    for A in (vi.from_scipy(np.eye(3)), vi.from_scipy(wrong(), norm=1)):
        with pytest.raises(TypeError, match=r"works on NumPy arrays, got a array_api_strict array; convert it first"):
            A(strict.asarray(np.ones(3)))


# ----------------------------------------------------------------------------------------------------------- PyLops


@pytest.fixture
def pylops():
    return pytest.importorskip("pylops", reason="PyLops is not installed")


def test_pylops_both_ways(pylops):
    L = vi.as_pylops(G)
    assert (tuple(L.dims), tuple(L.dimsd)) == (G.domain, G.codomain)
    x = rand(np, G.domain, 0)
    np.testing.assert_allclose((L @ x).reshape(G.codomain), G(x))
    pylops.utils.dottest(L, 40, 20, rtol=1e-12)
    assert vi.from_pylops(L) is G
    D = pylops.FirstDerivative((4, 5), axis=0, kind="forward")
    A = vi.from_pylops(D, norm=2.0)
    assert (A.domain, A.codomain) == ((4, 5), (4, 5))
    np.testing.assert_allclose(A(x), vi.Gradient((4, 5), axes=0)(x)[0], atol=1e-15)
    R = vi.from_pylops(pylops.Restriction((6,), [0, 2, 5]), nonnegative=True)
    assert 1 <= R.norm() <= 1.01


def test_pylops_identity_in_place_does_not_bite(pylops):
    """Its matvec returns its input (inplace=True is the default): `ATy += z` then writes into the dual.

    min ½|x − b|² + |x|₁ has the solution of soft thresholding; the trap gives −1/3 where it is 0.
    """
    for inplace in (True, False):
        A = vi.from_pylops(pylops.Identity(4, inplace=inplace), norm=1.0)
        b = np.array([2.7, -2.3, 0.4, -0.6])
        found = vi.solve(vi.L2Squared(b) @ A + vi.L1() @ A, stop=vi.residual(1e-10) | vi.iterations(5000)).x
        np.testing.assert_allclose(found, [1.7, -1.3, 0, 0], atol=1e-8)
        y = np.ones(4)
        assert not np.shares_memory(A(y), y)
    L, y = vi.as_pylops(vi.Identity((4,))), np.ones(4)
    z = L.rmatvec(y)
    z += 1
    np.testing.assert_array_equal(y, 1)


def test_pylops_refuses(pylops, monkeypatch):
    with pytest.raises(TypeError, match=r"L is complex \(complex128\)"):
        vi.from_pylops(pylops.signalprocessing.FFT(8), norm=1.0)
    with pytest.raises(TypeError, match=r"L must be a pylops.LinearOperator, got .*_CustomLinearOperator"):
        vi.from_pylops(wrong())
    with pytest.raises(ValueError, match="norm of FirstDerivative is not known"):
        vi.from_pylops(pylops.FirstDerivative(5))
    monkeypatch.setitem(__import__("sys").modules, "pylops", None)
    with pytest.raises(ImportError, match="as_pylops needs PyLops: pip install pylops"):
        vi.as_pylops(G)
