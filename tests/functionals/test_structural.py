"""Total generalised, directional and nonlocal variation: against loops, dense matrices, and what each is for."""

from __future__ import annotations

import itertools
import math
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.operators.patches import similar_pixels

pytestmark = pytest.mark.usefixtures("one_thread")


def test_symmetrised_gradient_is_the_matrix_of_backward_differences() -> None:
    """Entry by entry in plain loops: ½(∂_l v_k + ∂_k v_l), twice in the Frobenius norm off the diagonal."""
    n, h = (4, 3, 5), (0.5, 2.0, 3.0)
    E, v = vi.SymmetrisedGradient(n, h), rand(np, (3, *n), 0)

    def difference(k: int, l: int, i: tuple[int, ...]) -> float:
        """∂_l v_k at i: 0 where it leaves the image, or where v_k has no forward difference to stand for."""
        before = tuple(c - (a == l) for a, c in enumerate(i))
        return 0.0 if before[l] < 0 or i[k] == n[k] - 1 else (v[(k, *i)] - v[(k, *before)]) / h[l]

    found = E(v)
    assert found.shape == (6, *n)
    squares = 0.0
    for i in itertools.product(*map(range, n)):
        J = np.array([[difference(k, l, i) for l in range(3)] for k in range(3)])
        S = (J + J.T) / 2
        expected = [S[0, 0], S[1, 1], S[2, 2], *(math.sqrt(2) * np.array([S[0, 1], S[0, 2], S[1, 2]]))]
        assert np.allclose(found[(slice(None), *i)], expected, atol=1e-14)
        squares += float((S**2).sum())
    assert np.isclose(squares, float((found**2).sum()), rtol=1e-13)


def test_the_norm_of_the_symmetrised_gradient_is_near_and_below_root_eight() -> None:
    for shape in ((12, 13), (9, 14)):
        K = vi.SymmetrisedGradient(shape)
        assert np.linalg.norm(dense(K), 2) <= K.norm() <= 1.005 * np.linalg.norm(dense(K), 2)
    line = vi.SymmetrisedGradient((7,), 0.5)  # one axis: the closed form is exact
    assert np.isclose(line.norm(), np.linalg.norm(dense(line), 2), rtol=1e-11)
    assert vi.SymmetrisedGradient((512, 512)).norm() < math.sqrt(8)
    assert vi.SymmetrisedGradient((1, 1)).norm() == 0.0


def lifted(u: np.ndarray) -> np.ndarray:
    """The image with its own gradient as field."""
    return np.concatenate([u[None], vi.Gradient(u.shape)(u)])


def test_tgv_of_affine_images_is_zero_and_tv_is_not() -> None:
    for shape in ((6, 5), (3, 4, 5), (7,)):
        ramp = sum((0.7 - 0.4 * k) * x for k, x in enumerate(np.indices(shape)))
        tgv = vi.TGV(shape)
        assert tgv(lifted(ramp)) <= 1e-12  # differences of a few roundings
        assert vi.TV(shape)(ramp) > 1
    step = np.zeros((6, 5))
    step[:, 2:] = 1.0
    assert vi.TGV((6, 5), (1.5, 2.0))(np.concatenate([step[None], np.zeros((2, 6, 5))])) == 1.5 * 6  # v = 0: TV


def test_tgv_denoising_is_the_optimum_of_cvxpy() -> None:
    shape, rng = (4, 5), np.random.default_rng(3)
    y, w = rng.standard_normal(shape), rng.uniform(0.3, 2, shape)
    tgv = vi.TGV(shape, (0.8, 1.7), weight=w)
    problem = vi.L2Squared(y) @ vi.Part(tgv.domain, 0) + 0.3 * tgv
    D, E = dense(vi.Gradient(shape)), dense(vi.SymmetrisedGradient(shape))
    u, v = cp.Variable(20), cp.Variable(40)
    first = cp.norm((D @ u - v).reshape((2, 20), order="C"), axis=0)
    second = cp.norm((E @ v).reshape((3, 20), order="C"), axis=0)
    objective = 0.5 * cp.sum_squares(u - y.reshape(-1)) + 0.3 * w.reshape(-1) @ (0.8 * first + 1.7 * second)
    best = cp.Problem(cp.Minimize(objective)).solve(solver=cp.CLARABEL)
    result = vi.solve(problem, stop=vi.residual(1e-8) | vi.iterations(4000))
    assert abs(problem(result.x) - best) <= 1e-6 * best
    assert np.abs(result.x[0] - u.value.reshape(shape)).max() <= 1e-3  # ½|u − u*|² ≤ 1e-6 × the optimum of order 1


def noisy(kind: str) -> tuple[np.ndarray, np.ndarray]:
    i, j = np.mgrid[:24, :24] / 24
    clean = np.where(j + 0.3 * i < 0.6, i + 0.5 * j, 1.4 - i + 0.3 * j)
    if kind == "texture":
        i, j = np.mgrid[:24, :24]
        clean = ((i // 2 + j // 2) % 4 < 2).astype(float)
    return clean, clean + (0.1 if kind == "affine" else 0.3) * rand(np, clean.shape, 1)


def best_psnr(clean: np.ndarray, y: np.ndarray, prior: Any, weights: Any) -> float:
    image = vi.Part(prior.domain, 0) if isinstance(prior, vi.Problem) else vi.Identity(y.shape)
    runs = (vi.solve(vi.L2Squared(y) @ image + lam * prior, stop=vi.iterations(300)).x for lam in weights)
    return max(vi.psnr(x[0] if x.ndim > 2 else x, clean) for x in runs)


def test_each_prior_beats_tv_on_the_images_it_is_for() -> None:
    """Best of a coarse grid of weights for each; a decibel is far beyond what finer grids change."""
    clean, y = noisy("affine")
    tv = best_psnr(clean, y, vi.TV(y.shape), (0.05, 0.1, 0.2))
    assert best_psnr(clean, y, vi.TGV(y.shape), (0.05, 0.1, 0.2)) >= tv + 1
    clean, y = noisy("texture")
    tv = best_psnr(clean, y, vi.TV(y.shape), (0.1, 0.15, 0.2))
    assert best_psnr(clean, y, vi.NonlocalTV(y), (0.1, 0.15, 0.2)) >= tv + 1
    other = 5 - 3 * clean  # another contrast: the edges count
    assert best_psnr(clean, y, vi.DirectionalTV(other), (0.2, 0.4, 0.8)) >= tv + 3


def test_directional_tv_against_its_formula() -> None:
    v, x, w = rand(np, (5, 6), 0), rand(np, (5, 6), 1), rand(np, (5, 6), 2, kind="non-negative")
    D = vi.Gradient((5, 6))
    g, p = D(v), D(x)
    total = 0.0
    for i, j in np.ndindex(5, 6):
        xi = g[:, i, j] / math.sqrt(g[0, i, j] ** 2 + g[1, i, j] ** 2 + 0.3**2)
        total += w[i, j] * float(np.linalg.norm((np.eye(2) - 0.8 * np.outer(xi, xi)) @ p[:, i, j]))
    assert np.isclose(vi.DirectionalTV(v, 0.8, 0.3, weight=w)(x), total, rtol=1e-13)
    assert np.isclose(vi.DirectionalTV(v, 0.0)(x), vi.TV((5, 6))(x), rtol=1e-13)
    assert np.isclose(vi.DirectionalTV(np.ones((5, 6)))(x), vi.TV((5, 6))(x), rtol=1e-13)  # no edges in the guide
    term = vi.DirectionalTV(v.astype("f4"), 0.9)
    assert term.grad is not None
    assert term.K is not None
    assert term.K(x.astype("f4")).dtype == np.float32


def test_the_graph_of_similar_pixels_in_plain_loops() -> None:
    u, few, r, p = rand(np, (5, 6), 4), 3, 2, 1
    padded = np.pad(u, p, mode="edge")

    def distance(a: Any, b: Any) -> float:
        cut = [padded[i : i + 3, j : j + 3] for i, j in (a, b)]
        return float(((cut[0] - cut[1]) ** 2).mean())

    pixels = list(np.ndindex(5, 6))
    near = {a: [b for b in pixels if a != b and max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= r] for a in pixels}
    best = {a: sorted(near[a], key=lambda b, a=a: distance(a, b))[:few] for a in pixels}
    expected = {
        (a, b): distance(a, b)
        for a in pixels
        for b in near[a]
        if (b in best[a] and a in best[b]) or abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1
    }
    to, back, d = similar_pixels(u, few, r, p)
    found = {}
    for k, i in np.ndindex(*to.shape):
        if d[k, i] < math.inf:
            a, b = pixels[i], pixels[to[k, i]]
            found[a, b] = d[k, i]
            assert pixels[to.reshape(-1)[back[k, i]]] == a  # the reversed edge
        else:
            assert to[k, i] == i
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[e], expected[e], rel_tol=1e-12, abs_tol=1e-14) for e in found)
    assert to.shape[0] <= few + 4

    K, x = vi.NonlocalGradient(u, few, r, p, 0.7), rand(np, (5, 6), 5)
    total = 0.0
    for a in pixels:
        total += math.sqrt(
            sum(math.exp(-c / 0.49) * (x[b] - x[a]) ** 2 for (first, b), c in expected.items() if first == a)
        )
    assert np.isclose(vi.NonlocalTV(u, None, few, r, p, 0.7)(x), total, rtol=1e-12)
    degree = {a: sum(math.exp(-c / 0.49) for (first, _), c in expected.items() if first == a) for a in pixels}
    assert math.isclose(K.norm(), math.sqrt(2 * max(degree[a] + degree[b] for a, b in expected)), rel_tol=1e-11)
    assert K.norm() <= 2 * math.sqrt(max(degree.values())) * (1 + 1e-11)


def test_nonlocal_gradient_of_flat_and_tiny_guides() -> None:
    one = vi.NonlocalGradient(np.ones((1, 1)))
    assert (one.codomain, one.norm()) == ((1, 1, 1), 0.0)
    flat = vi.NonlocalGradient(np.ones((3, 3)), 2, 1, 0)
    assert np.abs(flat(np.ones((3, 3)))).max() == 0.0
    assert flat(rand(np, (3, 3), 0).astype("f4")).dtype == np.float32


ONE = np.ones((3, 4))
T, V = TypeError, ValueError


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: vi.TGV((3, 4), 1.0), T, r"TGV: alpha must be two numbers, \(first order, second order\), got 1"),
        (lambda: vi.TGV((3, 4), (1.0, 0.0)), V, r"TGV: alpha\[1\] must be greater than 0, got 0"),
        (lambda: vi.TGV((3, 4), weight=ONE.T), V, r"TGV: weight must have shape \(3, 4\), got \(4, 3\)"),
        (lambda: vi.TGV((3, 4), weight=-1), V, "TGV: weight must be at least 0, got -1"),
        (lambda: vi.SymmetrisedGradient((3, 4), 0), V, "spacing must be greater than 0"),
        (lambda: vi.SymmetrisedGradient((3, 4))(ONE), V, r"maps shape \(2, 3, 4\) to \(3, 3, 4\)"),
        (lambda: vi.DirectionalTV(ONE * np.nan), V, "DirectionalTV: guide has 12 NaN"),
        (lambda: vi.DirectionalTV(ONE, 1.5), V, "DirectionalTV: gamma must be between 0 and 1, got 1.5"),
        (lambda: vi.DirectionalTV(ONE, eta=0), V, "DirectionalTV: eta must be greater than 0, got 0"),
        (lambda: vi.DirectionalTV(ONE, weight=np.ones(4)), V, "DirectionalTV: weight must have shape"),
        (lambda: vi.Damping(ONE), V, "Damping: directions must not be longer than 1, got length 1.732"),
        (lambda: vi.Damping(np.ones(3)), V, r"Damping: directions must have shape \(d, \*n\), got \(3,\)"),
        (lambda: vi.NonlocalGradient(ONE, 0), V, "NonlocalGradient: neighbours must be at least 1, got 0"),
        (lambda: vi.NonlocalGradient(ONE, window=1.5), T, "NonlocalGradient: window must be an integer"),
        (lambda: vi.NonlocalGradient(ONE, patch=-1), V, "NonlocalGradient: patch must be at least 0"),
        (lambda: vi.NonlocalTV(ONE, scale=0), V, "NonlocalGradient: scale must be greater than 0, got 0"),
        (lambda: vi.NonlocalTV(ONE * 1j), T, "NonlocalGradient: guide must be a real array"),
        (lambda: vi.NonlocalTV(np.array(3.0)), V, "NonlocalGradient: guide must be an image, got a number"),
    ],
)
def test_what_they_refuse(make: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        make()
