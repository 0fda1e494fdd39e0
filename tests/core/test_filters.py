"""Spectral filters against solves, loops, exponentials, pseudo-inverses and Jacobi polynomials; saturation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from conftest import dense, rand
from scipy.linalg import expm
from scipy.special import eval_jacobi

import varinv as vi
from varinv import filters
from varinv.backend import to_numpy

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (6, 5)
BLUR = vi.Blur(SHAPE, np.arange(1.0, 10).reshape(3, 3) / 45)
OPERATORS = [
    BLUR,
    vi.Diagonal(rand(np, SHAPE, 1)),
    vi.Gradient(SHAPE, boundary="periodic") @ BLUR,  # has a null space
    vi.Radon(SHAPE, vi.ParallelBeam(np.arange(4) / 1.3, 8)),  # by singular values
    vi.Blur(SHAPE, np.ones((3, 3)) / 9, boundary="zero"),
]


@pytest.mark.parametrize("A", OPERATORS, ids=["blur", "diagonal", "gradient", "radon", "zero"])
def test_every_filter_is_what_its_formula_says(A: Any) -> None:
    M, y = dense(A), rand(np, A.codomain, 2)
    b, n, alpha, eta = M.T @ y.ravel(), 30, 0.03, 1 / A.norm() ** 2
    gram = M.T @ M
    iterated = np.zeros(n)
    for _ in range(3):
        iterated = np.linalg.solve(gram + alpha * np.eye(n), b + alpha * iterated)
    stepped = np.zeros(n)
    for _ in range(25):
        stepped = stepped + 1.7 * eta * (b - gram @ stepped)
    U, s, Vt = np.linalg.svd(M, full_matrices=False)
    middle = (s[8] * s[9]) if s[9] < 0.999 * s[8] else s[8] ** 2 * 0.9  # between two squares
    kept = s**2 >= middle
    # gradient flow: the last column of the exponential of [[−AᵀA, Aᵀy], [0, 0]] t
    t = 4 * eta
    flow = expm(t * np.block([[-gram, b[:, None]], [np.zeros((1, n + 1))]]))[:n, -1]
    for phi, expected in (
        (filters.tikhonov(alpha), np.linalg.solve(gram + alpha * np.eye(n), b)),
        (filters.tikhonov(alpha, times=3), iterated),
        (filters.landweber(25, 1.7 * eta), stepped),
        (filters.landweber(0, eta), 0 * b),
        (filters.cutoff(middle), Vt[kept].T @ (U.T @ y.ravel() / s)[kept]),
        (filters.flow(t), flow),
        (lambda lam: 1 / (lam + alpha), np.linalg.solve(gram + alpha * np.eye(n), b)),
    ):
        x = vi.spectral(A, y, phi)
        assert x.shape == SHAPE
        assert np.abs(x.ravel() - expected).max() <= 1e-10 * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize("A", OPERATORS, ids=["blur", "diagonal", "gradient", "radon", "zero"])
@pytest.mark.parametrize("nu", [0.5, 1.0, 3.0])
def test_the_iterations_are_their_filters(A: Any, nu: float) -> None:
    y, eta = rand(np, A.codomain, 2), 1 / A.norm() ** 2
    problem = vi.Problem((vi.L2Squared(y) @ A,))
    for k, s in enumerate(itertools.islice(vi.NuMethod(nu).states(problem), 41)):
        expected = vi.spectral(A, y, filters.nu_method(k, eta, nu))
        assert np.abs(s.x - expected).max() <= 1e-10 * max(np.abs(expected).max(), 1e-3)
    for size in (None, 1.9 * eta):
        states = vi.Landweber(size).states(problem)
        for k, s in enumerate(itertools.islice(states, 41)):
            expected = vi.spectral(A, y, filters.landweber(k, size or eta))
            assert np.abs(s.x - expected).max() <= 1e-10 * max(np.abs(expected).max(), 1e-3)


def test_the_nu_method_is_a_jacobi_polynomial() -> None:
    """1 − λφ(λ) = P_k(1 − 2λ)/P_k(1) with the exponents (2ν − 1/2, −1/2): Hanke (1991), from SciPy's polynomials."""
    lam = np.linspace(0, 1, 41)
    for nu in (0.5, 1.0, 2.5):
        for k in (0, 1, 2, 7, 30):
            exact = eval_jacobi(k, 2 * nu - 0.5, -0.5, 1 - 2 * lam) / eval_jacobi(k, 2 * nu - 0.5, -0.5, 1.0)
            assert np.abs(1 - lam * filters.nu_method(k, 1.0, nu)(lam) - exact).max() <= 1e-11


def test_weights_and_other_starts() -> None:
    """Weighted Landweber and ν-method are the plain ones of √W A and √W y; from x₀ they act on y − A x₀."""
    A, w = OPERATORS[3], 0.5 + rand(np, OPERATORS[3].codomain, 4, kind="non-negative")
    y, x0 = rand(np, A.codomain, 2), rand(np, SHAPE, 3)
    B = vi.Diagonal(np.sqrt(w)) @ A
    eta = 1 / (w.max() * A.norm() ** 2)
    problem = vi.Problem((vi.L2Squared(y, w) @ A,))
    for solver, phi in (
        (vi.Landweber(), filters.landweber(20, eta)),
        (vi.NuMethod(1.0), filters.nu_method(20, eta, 1.0)),
    ):
        found = next(itertools.islice(solver.states(problem, x0), 20, None)).x
        expected = x0 + vi.spectral(B, np.sqrt(w) * (y - A(x0)), phi)
        assert np.abs(found - expected).max() <= 1e-10


def slope(errors: Any, ratio: float) -> float:
    return float(np.log(errors[1] / errors[0]) / np.log(ratio))


def test_tikhonov_saturates_and_others_do_not() -> None:
    """Exact data of x = (AᵀA)^μ w, |w| = 1 everywhere on a dense spectrum: the error falls like α^min(μ, m).

    Qualification: Engl, Hanke & Neubauer (1996), Regularization of Inverse Problems, sections 4.2 and 5.1 (Tikhonov 1,
    iterated m, Landweber and TSVD none) and 6.3 (ν-method ν).  The slope between two α is exact but for constants.
    """
    lam = np.logspace(-7, 0, 3000)
    A = vi.Diagonal(np.sqrt(lam))
    alphas = (1e-3, 1e-4)
    methods = {
        "tikhonov": [filters.tikhonov(a) for a in alphas],
        "twice": [filters.tikhonov(a, 2) for a in alphas],
        "landweber": [filters.landweber(round(1 / a), 1.0) for a in alphas],
        "flow": [filters.flow(1 / a) for a in alphas],
        "cutoff": [filters.cutoff(a) for a in alphas],
        "nu": [filters.nu_method(round(a**-0.5), 1.0, 1.0) for a in alphas],
    }
    limits = {"tikhonov": 1, "twice": 2, "landweber": 9, "flow": 9, "cutoff": 9, "nu": 1}
    for mu in (0.5, 1.5, 3.0):
        x = lam**mu
        for name, pair in methods.items():
            errors = [np.abs(vi.spectral(A, A(x), phi) - x).max() for phi in pair]
            # 0.1: α + λ against α at these α, rounded k, and a grid of λ of 0.5 %
            assert abs(slope(errors, 0.1) - min(mu, limits[name])) <= 0.1, (name, mu)


def test_every_library(xp: Any) -> None:
    for A in OPERATORS:
        y = rand(np, A.codomain, 2)
        expected = vi.spectral(A, y, filters.tikhonov(0.1))
        K = vi.Diagonal(xp.asarray(np.array(A.values))) if isinstance(A, vi.Diagonal) else A
        for dtype, tol in (("float64", 1e-11), ("float32", 1e-4)):
            x = vi.spectral(K, xp.asarray(y.astype(dtype), dtype=getattr(xp, dtype)), filters.tikhonov(0.1))
            assert x.dtype == getattr(xp, dtype)
            assert np.abs(to_numpy(x) - expected).max() <= tol


def test_errors_name_what_to_do() -> None:
    large = vi.Radon((64, 64), vi.ParallelBeam(np.arange(40) / 20, 64))
    with pytest.raises(ValueError, match=r"2560 × 4096 entries.*use Landweber\(\), NuMethod\(\) or CGLS\(\)"):
        vi.spectral(large, np.ones(large.codomain), filters.tikhonov(1.0))
    with pytest.raises(ValueError, match=r"got an array of shape \(5, 6\): it looks transposed"):
        vi.spectral(BLUR, np.ones((5, 6)), filters.tikhonov(1.0))
    for make, words in (
        (lambda: filters.tikhonov(0.0), "alpha must be greater than 0"),
        (lambda: filters.tikhonov(1.0, 0), "times must be at least 1"),
        (lambda: filters.landweber(-1, 1.0), "k must be at least 0"),
        (lambda: filters.nu_method(3, 1.0, 0.0), "nu must be greater than 0"),
        (lambda: filters.flow(-1.0), "time must be at least 0"),
        (lambda: filters.cutoff(0.0), "alpha must be greater than 0"),
        (lambda: vi.Landweber(0.0), "step_size must be greater than 0"),
        (lambda: vi.NuMethod(-1.0), "nu must be greater than 0"),
    ):
        with pytest.raises(ValueError, match=words):
            make()
    problem = vi.Problem((vi.L2Squared(np.ones(SHAPE)) @ BLUR,))
    with pytest.raises(ValueError, match=r"step_size=2.1 must be below 2/\(max w ‖A‖²\) = 2"):
        vi.Landweber(2.1).init(problem, np.ones(SHAPE))
    for solver in (vi.Landweber(), vi.NuMethod()):
        with pytest.raises(ValueError, match=f"{type(solver).__name__}: the problem must be L2Squared"):
            solver.init(problem + vi.NonNegative(), np.ones(SHAPE))
