"""Norms of matrices and maxima, transmission counts, ℓ1 data, simplex, known pixels: each against other software."""

from __future__ import annotations

import math
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from scipy.optimize import brentq
from scipy.stats import poisson

import varinv as vi
from varinv.functionals.transmission import TransmissionBackground
from varinv.joint import Joint

pytestmark = pytest.mark.usefixtures("one_thread")

INF, NAN = math.inf, math.nan


def solved(objective: Any, constraints: Any = ()) -> float:
    return float(cp.Problem(cp.Minimize(objective), list(constraints)).solve(solver=cp.CLARABEL))


# ------------------------------------------------------------------------------------------ simplex, ℓ1 ball, maximum


def by_sorting(u: np.ndarray, total: float) -> np.ndarray:
    """Projection on the simplex as in Duchi et al. (2008): by sorting, which the package does not."""
    s = np.sort(u)[::-1]
    sums = np.cumsum(s) - total
    k = np.nonzero(s - sums / np.arange(1, u.size + 1) > 0)[0][-1]
    return np.maximum(u - sums[k] / (k + 1), 0)


def test_simplex_and_l1_ball_are_the_sorted_projections() -> None:
    for seed in range(30):
        u = 10.0 ** (seed % 5 - 2) * rand(np, (3, 7), seed)
        for total in (0.1, 1.0, 30.0):
            close = {"rtol": 1e-12, "atol": 1e-13 * np.abs(u).max()}
            assert np.allclose(vi.Simplex(1, total).prox(u, 9.0), [by_sorting(r, total) for r in u], **close)
            assert np.allclose(vi.Simplex(None, total).prox(u, 9.0).ravel(), by_sorting(u.ravel(), total), **close)
            inside = np.abs(u).sum() <= total
            expected = u if inside else np.sign(u) * by_sorting(np.abs(u).ravel(), total).reshape(u.shape)
            assert np.allclose(vi.L1Ball(total).prox(u, 9.0), expected, **close)
            t = 0.4 * total
            gone = np.abs(u).sum() <= t
            expected = 0 * u if gone else u - np.sign(u) * by_sorting(np.abs(u).ravel(), t).reshape(u.shape)
            assert np.allclose(vi.Linf(total).prox(u, 0.4), expected, **close)


def test_a_small_total_beside_large_entries_keeps_its_digits() -> None:
    u = np.array([1e6, 1e6 - 0.25, -3e5])
    assert np.allclose(vi.Simplex().prox(u, 1.0), [0.625, 0.375, 0.0], atol=1e-9)
    assert np.allclose(vi.Simplex().prox(u.astype("f4"), 1.0), [0.625, 0.375, 0.0], atol=1e-6)
    assert vi.Simplex()(vi.Simplex(0).prox(rand(np, (1000,), 0, "float32"), 1.0)) == 0.0  # float32 rounds to 6e-8
    f = vi.Simplex(0)
    assert f(np.array([[0.5, 1.0], [0.5, 0.1]])) == INF
    assert f(np.array([[1.1], [-0.1]])) == INF
    assert f.conj(np.array([[1.0, 2.0], [3.0, -1.0]])) == 5.0


def test_fractions_of_materials() -> None:
    """Two pixels, three materials, channels mixed by a matrix; certified, as the conjugate of the simplex is finite."""
    shape, rng = (3, 1, 2), np.random.default_rng(0)
    y = rng.uniform(size=shape)
    problem = vi.L2Squared(y) + 0.1 * vi.TV(shape) + vi.Simplex(0)
    result = vi.solve(problem, stop=vi.gap(1e-7) | vi.iterations(4000))
    assert "gap" in result.why
    x = cp.Variable(6)
    d = (dense(vi.Gradient(shape)) @ x).reshape((3, 6), order="C")
    sums = [cp.sum(x[p::2]) == 1 for p in range(2)]
    best = solved(0.5 * cp.sum_squares(x - y.ravel()) + 0.1 * cp.sum(cp.norm(d, axis=0)), [x >= 0, *sums])
    assert abs(problem(result.x) - best) <= 1e-6 * best


# ------------------------------------------------------------------------------------------------------ nuclear norms


def test_nuclear_norm_and_its_prox_against_cvxpy() -> None:
    z = rand(np, (3, 4), 0)
    assert math.isclose(vi.Nuclear(0.7)(z), 0.7 * np.linalg.norm(z, "nuc"), rel_tol=1e-13)
    stack = z.reshape(3, 2, 2)  # channels as rows
    assert math.isclose(vi.Nuclear(0.7)(stack), vi.Nuclear(0.7)(z), rel_tol=1e-13)
    v = cp.Variable((3, 4))
    best = solved(0.5 * cp.sum_squares(v - z) + 0.5 * cp.normNuc(v))
    p = vi.Nuclear().prox(stack, 0.5).reshape(3, 4)
    assert 0.5 * np.sum((p - z) ** 2) + 0.5 * np.linalg.norm(p, "nuc") <= best + 1e-7
    assert np.linalg.matrix_rank(vi.Nuclear().prox(z, np.linalg.svd(z)[1][1]), tol=1e-10) == 1


def test_tensor_nuclear_norm_is_that_of_the_block_circulant_matrix() -> None:
    """Kilmer & Martin: the Fourier slices are the blocks that diagonalise bcirc(Z)."""
    for m in (1, 2, 4, 5):
        z = rand(np, (m, 3, 2), m)
        circulant = np.block([[z[(i - j) % m] for j in range(m)] for i in range(m)])
        assert math.isclose(vi.TensorNuclear()(z), np.linalg.norm(circulant, "nuc") / m, rel_tol=1e-12)
        assert np.linalg.norm(circulant, 2) * (1 - 1e-12) <= vi.TensorNuclear()._largest(z)
        assert vi.TensorNuclear(np.linalg.norm(circulant, 2)).conj(z) == 0.0
        assert vi.TensorNuclear(0.99 * np.linalg.norm(circulant, 2)).conj(z) == INF
    still = np.broadcast_to(rand(np, (3, 4), 0), (6, 3, 4)).copy()  # a scene at rest: one Fourier slice only
    assert math.isclose(vi.TensorNuclear()(still), np.linalg.norm(still[0], "nuc"), rel_tol=1e-12)


def test_low_rank_denoising_gains_on_low_rank_sequences() -> None:
    rng = np.random.default_rng(1)
    clean = np.einsum("fk,kp->fp", rng.standard_normal((8, 2)), rng.standard_normal((2, 36))).reshape(8, 6, 6)
    noisy = clean + 0.3 * rng.standard_normal(clean.shape)
    x = vi.solve(vi.L2Squared(noisy) + 1.8 * vi.Nuclear()).x  # 1.8 ≈ 0.3 (√8 + √36)·⅔: below the noise's own norm
    assert np.linalg.norm(x - clean) < 0.7 * np.linalg.norm(noisy - clean)


# ------------------------------------------------------------------------------------------------- transmission counts


def test_transmission_is_the_poisson_likelihood() -> None:
    y, z = np.array([3.0, 0.0, 12.0]), np.array([0.7, 1.9, -0.2])
    for b in (0.0, 0.8, np.array([0.0, 1.0, 2.5])):
        f = vi.TransmissionPoisson(y, 10.0, b)
        log = poisson.logpmf(y, y).sum() - poisson.logpmf(y, 10 * np.exp(-z) + b).sum()
        assert math.isclose(f(z), log, rel_tol=1e-12)
        assert f(z) >= 0
    assert vi.TransmissionPoisson(y, 10.0).smoothness == INF
    assert vi.TransmissionPoisson(y, 10.0)(np.array([-800.0, 0.0, 0.0])) == INF
    assert np.isfinite(vi.TransmissionPoisson(y, 10.0, 0.1)(np.array([900.0, 900.0, 900.0])))


def test_transmission_prox_against_brentq_over_many_sizes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        y = 0.0 if rng.uniform() < 0.2 else 10 ** rng.uniform(-3, 5)
        blank, t, x = 10 ** rng.uniform(-2, 6), 10 ** rng.uniform(-5, 3), rng.uniform(-5, 12)

        def slope(z: float, x: float = x, t: float = t, y: float = y, blank: float = blank) -> float:
            return (z - x) / t + y - blank * math.exp(-z)

        lo, hi = min(x - t * y, -60.0) if t * y < 600 else -60.0, max(x, 0.0) + t * blank * math.exp(-min(x, 0.0)) + 60
        exact = brentq(slope, lo, hi, xtol=1e-14, rtol=1e-14, maxiter=500)
        f = vi.TransmissionPoisson([y], blank)
        p = float(f.prox(np.array([x]), t)[0])
        assert abs(p - exact) <= 1e-12 * max(1.0, abs(exact), abs(x))
        single = f.prox(np.array([x], "f4"), t)
        assert single.dtype == np.float32
        # as good as float32 holds x, log(I₀/y) and the answer
        assert abs(float(single[0]) - exact) <= 2e-6 * max(1.0, abs(x), abs(exact), abs(math.log(blank / (y or blank))))
        q = float(f.prox_conj(np.array([x]), t)[0])
        assert q <= y


def test_background_makes_it_nonconvex_and_says_so() -> None:
    f = vi.TransmissionPoisson([9.0, 0.5], 20.0, 1.0)
    assert isinstance(f, TransmissionBackground)
    assert not f.convex
    assert not hasattr(f, "prox_conj")
    z = np.linspace(-2, 12, 4001)
    h = z[1] - z[0]
    value = np.array([vi.TransmissionPoisson([9.0], 20.0, 1.0)(np.array([c])) for c in z])
    bend = np.diff(value, 2) / h**2
    assert -9 / 4 <= bend.min() < -1  # the bound −y/4 holds and is not idle
    assert f.convexity == -9 / 4
    assert vi.TransmissionPoisson([0.5], 20.0, 1.0).convexity == 0.0  # y ≤ b: convex


def test_background_prox_is_the_global_minimiser() -> None:
    """Against 4000 points, over sizes where f has one minimum or two beside (z − x)²/2t."""
    rng, two = np.random.default_rng(0), 0
    for _ in range(300):
        y = 0.0 if rng.uniform() < 0.1 else 10 ** rng.uniform(-2, 4)
        b = y * 10 ** rng.uniform(-4, 0.5) if y else 1.0
        blank, t, x = 10 ** rng.uniform(0, 5), 10 ** rng.uniform(-5, 2), rng.uniform(-3, 14)
        fit = math.log(blank / max(y - b, 1e-3))
        z = np.linspace(max(x - t * y, -30), min(max(x, fit) + t + 1, 60), 4000)

        def cost(z: Any, x: float = x, t: float = t, y: float = y, b: float = b, blank: float = blank) -> Any:
            m = blank * np.exp(-z) + b
            return (z - x) ** 2 / (2 * t) + m - y * np.log(m)

        found = float(vi.TransmissionPoisson([y], blank, b).prox(np.array([x]), t)[0])
        values = cost(z)
        assert cost(found) <= values.min() + 1e-12 * np.abs(values).max()
        two += np.count_nonzero(np.diff(np.sign(np.diff(values))) > 0) > 1
    assert two >= 10  # the hard case occurs


def test_counts_reconstruct_without_a_logarithm() -> None:
    """Few counts, some zero: the Poisson model beats least squares on clipped logarithms."""
    truth = np.zeros((12, 12))
    truth[3:9, 4:8] = 0.35
    A = vi.Radon((12, 12), vi.ParallelBeam(np.linspace(0, np.pi, 24, endpoint=False), 17))
    counts = np.random.default_rng(0).poisson(12 * np.exp(-A(truth))).astype(float)
    assert (counts == 0).any()
    box, tv = vi.Box(0, 1), vi.TV((12, 12))
    errors = []
    for data in (vi.TransmissionPoisson(counts, 12.0), vi.L2Squared(-np.log(np.maximum(counts, 0.5) / 12), counts)):
        runs = (vi.solve(data @ A + lam * tv + box, stop=vi.gap(1e-3) | vi.iterations(600)) for lam in (1.0, 3.0, 6.0))
        errors.append(min(vi.relative_error(r.x, truth) for r in runs))
    assert errors[0] < errors[1]


# ------------------------------------------------------------------------------------------------------------- ℓ1 data


def test_l1_data_and_tv_against_cvxpy_with_a_certificate() -> None:
    rng = np.random.default_rng(2)
    y = np.where(rng.uniform(size=(4, 5)) < 0.2, rng.integers(0, 2, (4, 5)), 0.5 * np.ones((4, 5)))
    w = rng.uniform(0.5, 2, (4, 5))
    x = cp.Variable(20)
    d = (dense(vi.Gradient((4, 5))) @ x).reshape((2, 20), order="C")
    tv = cp.sum(cp.norm(d, axis=0))
    for extra, limits in ((None, []), (vi.Box(0.2, 0.8), [x >= 0.2, x <= 0.8]), (vi.NonNegative(), [x >= 0])):
        problem = vi.L1(w, y) + 0.4 * vi.TV((4, 5))
        problem = problem if extra is None else problem + extra
        result = vi.solve(problem, stop=vi.gap(1e-4) | vi.iterations(20000))
        best = solved(w.ravel() @ cp.abs(x - y.ravel()) + 0.4 * tv, limits)
        assert "gap" in result.why
        assert best * (1 - 1e-7) <= problem(result.x) <= best * (1 + 1.1e-4)
        assert max(row["lower_bound"] for row in result.history) <= best * (1 + 1e-7)


def test_conjugate_of_l1_data_within_a_box_on_a_grid() -> None:
    grid = np.arange(-6, 6, 1e-3)
    for y, lo, hi in ((0.7, -1.0, 2.0), (3.0, -1.0, 2.0), (-2.0, 0.5, 0.5), (0.0, 0.3, 4.0)):
        f = Joint((vi.Box(lo, hi),), vi.L1(0.8, y))
        cost = np.where((grid >= lo - 1e-9) & (grid <= hi + 1e-9), 0.8 * np.abs(grid - y), INF)
        for q in (-2.0, -0.5, 0.0, 0.3, 0.8, 1.7):
            assert abs(f.conj(np.array([q])) - np.max(q * grid - cost)) <= 3e-3  # slope × spacing
    cone = Joint((vi.NonNegative(),), vi.L1(0.8, 0.7))
    assert cone.conj(np.array([0.9])) == INF
    assert math.isclose(cone.conj(np.array([-3.0])), -0.8 * 0.7)


def test_salt_and_pepper() -> None:
    rng = np.random.default_rng(0)
    clean = np.zeros((16, 16))
    clean[4:12, 5:11] = 1.0
    y = np.where(rng.uniform(size=clean.shape) < 0.15, rng.integers(0, 2, clean.shape), clean)
    x = vi.solve(vi.L1(y=y) + 0.6 * vi.TV(y.shape), stop=vi.iterations(500)).x
    squares = min(
        (vi.solve(vi.L2Squared(y) + lam * vi.TV(y.shape), stop=vi.iterations(300)).x for lam in (0.2, 0.4, 0.7)),
        key=lambda z: vi.relative_error(z, clean),
    )
    assert vi.relative_error(x, clean) < 0.5 * vi.relative_error(squares, clean)


# -------------------------------------------------------------------------------------------- known pixels and support


def test_known_pixels_and_support() -> None:
    values, mask = rand(np, (4, 5), 0), rand(np, (4, 5), 1) > 0
    broken = np.where(mask, values, NAN)  # what is not known is not read
    problem = vi.TV((4, 5)) + vi.Known(broken, mask) + vi.Box(-3, 3)
    result = vi.solve(problem, stop=vi.gap(1e-4) | vi.iterations(20000))
    assert np.array_equal(result.x[mask], values[mask])
    x = cp.Variable(20)
    d = (dense(vi.Gradient((4, 5))) @ x).reshape((2, 20), order="C")
    best = solved(cp.sum(cp.norm(d, axis=0)), [x[mask.ravel()] == values[mask]])
    assert "gap" in result.why
    assert abs(problem(result.x) - best) <= 1.1e-4 * best
    assert problem(values + 1e-6) == INF
    assert np.array_equal(vi.Known(broken, mask).prox(5 * values, 1.0), np.where(mask, values, 5 * values))

    f = vi.Support(mask)
    assert np.array_equal(f.prox(values, 1.0), np.where(mask, values, 0))
    assert f.conj(np.where(mask, 0, values)) == 0.0
    assert f.conj(values) == INF
    both = vi.solve(vi.L2Squared(values) + vi.Support(mask) + vi.NonNegative())
    assert np.allclose(both.x, np.where(mask, np.maximum(values, 0), 0))


def test_a_discrepancy_ball_with_weights_is_a_composition() -> None:
    y, s = rand(np, (6,), 0), np.array([0.1, 0.2, 0.5, 1.0, 2.0, 0.3])
    f = vi.L2Ball(y / s, math.sqrt(6)) @ vi.Diagonal(1 / s)
    x = vi.solve(vi.L2Squared() + f, stop=vi.residual(1e-9) | vi.iterations(20000)).x
    u = cp.Variable(6)
    best = solved(0.5 * cp.sum_squares(u), [cp.norm(cp.multiply(1 / s, u - y)) <= math.sqrt(6)])
    assert abs(0.5 * np.sum(x**2) - best) <= 1e-6 * best


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_image_takes_the_library_and_dtype_of_known_values(xp: Any, dtype: str) -> None:
    """Between known ends a rising curve is best, whatever library holds the ends; data terms come first."""
    values, mask = np.array([0.0, 9.0, 9.0, 1.0]), np.array([True, False, False, True])
    known = vi.Known(xp.asarray(values, dtype=getattr(xp, dtype)), xp.asarray(mask))
    result = vi.solve(vi.TV((4,)) + known, stop=vi.residual(1e-3) | vi.iterations(500))
    assert result.x.dtype == getattr(xp, dtype)
    assert type(result.x) is type(known.lo)
    assert result.problem(result.x) == pytest.approx(1.0, abs=1e-2)
    both = vi.Problem((vi.Term(known), vi.Term(vi.L2Squared(xp.zeros(4, dtype=xp.float32)))))
    assert both.zeros().dtype == xp.float32
