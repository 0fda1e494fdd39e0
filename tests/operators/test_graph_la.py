"""graphLa+Ψ: minimiser, discrepancy, the forms of its penalty and of its guide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import dense

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


def blurred():
    """Two squares behind a blur, with 2 % noise."""
    truth = np.zeros((14, 16))
    truth[3:9, 2:8], truth[6:12, 9:14] = 1.0, 0.5
    A = vi.Blur(truth.shape, np.ones((3, 3)) / 9)
    clean = A(truth)
    noise = np.random.default_rng(0).standard_normal(truth.shape)
    noise *= 0.02 * np.linalg.norm(clean) / np.linalg.norm(noise)
    return truth, A, clean + noise, float(np.linalg.norm(noise))


def first(y):
    """A weak total variation solution."""
    A = blurred()[1]
    return vi.solve(vi.L2Squared(y) @ A + 0.02 * vi.TV(y.shape) + vi.Box(0, 1), stop=vi.gap(1e-4)).x


def normal_equations(A, y, guide, lam):
    """(AᵀA + λ LᵀL)⁻¹ Aᵀ y by dense matrices."""
    a, L = dense(A), dense(vi.GraphLaplacian(guide))
    return np.linalg.solve(a.T @ a + lam * L.T @ L, a.T @ y.reshape(-1)).reshape(guide.shape)


def test_square_form_reaches_its_discrepancy_and_its_normal_equations():
    truth, A, y, noise = blurred()
    for guide in (y, first):
        result = vi.graph_la(A, y, guide, noise=noise, stop=vi.residual(1e-7) | vi.iterations(500))
        image = y if guide is y else first(y)
        assert result.notes["residual"] == pytest.approx(1.01 * noise, rel=1e-3)
        assert np.linalg.norm(A(result.x) - y) == pytest.approx(result.notes["residual"], rel=1e-9)
        assert "the residual is the target within 0.001" in result.why
        exact = normal_equations(A, y, image, result.notes["lam"])
        assert vi.relative_error(result.x, exact) <= 1e-3  # a gradient of 1e-7 through a condition below 1e4
    assert vi.relative_error(result.x, truth) < vi.relative_error(first(y), truth)
    fixed = vi.graph_la(A, y, truth, lam=1e3, stop=vi.residual(1e-8) | vi.iterations(1000))
    assert vi.relative_error(fixed.x, normal_equations(A, y, truth, 1e3)) <= 1e-4
    assert fixed.notes["lam"] == 1e3


def test_smoothed_l1_is_a_square_in_disguise():
    """E6: |L x| of some 1e-2 is far below the published smoothing of 0.1; and CG agrees with Krylov majorisation."""
    _, A, y, noise = blurred()
    far = vi.residual(1e-5) | vi.iterations(50)
    one, two = (
        vi.graph_la(A, y, first, noise=noise, q=q, smoothing=0.1, stop=far, solver=vi.MMGKS(False, 60, noise))
        for q in (1.0, 1.9999999)
    )
    square = vi.graph_la(A, y, first, noise=noise, stop=vi.residual(1e-6) | vi.iterations(500))
    print(f"E6: q=1 against q=2 {vi.relative_error(one.x, two.x):.1e}, CG {vi.relative_error(square.x, two.x):.1e}")
    assert vi.relative_error(one.x, two.x) <= 1e-2
    assert vi.relative_error(square.x, two.x) <= 1e-2
    for result in (one, two):
        assert result.notes["residual"] == pytest.approx(1.01 * noise, rel=1e-3)


def test_exact_l1_and_below():
    """q = 1 against its optimality: 0 in Aᵀ(Ax − y) + λ Lᵀ sign(Lx), by the certified gap; q = ½ by stationarity."""
    truth, A, y, noise = blurred()
    stop = vi.gap(1e-2) | vi.iterations(1000)
    one = vi.graph_la(A, y, truth, lam=0.01, q=1.0, normalise="maxdeg", radius=2, extra=vi.Box(0, 1), stop=stop)
    assert one.gap <= 1e-2
    half = vi.graph_la(A, y, truth, lam=0.01, q=0.5, smoothing=0.05, radius=2, normalise="maxdeg")
    L = vi.GraphLaplacian(truth, radius=2, normalise="maxdeg")
    u = L(half.x)
    slope = A.T(A(half.x) - y) + 0.01 * L.T(u * (u**2 + 0.05**2) ** -0.75)
    assert np.linalg.norm(slope) <= 1e-3 * np.linalg.norm(A.T(y))
    for result in (one, half):
        assert vi.relative_error(result.x, truth) < vi.relative_error(y, truth)
    found = vi.graph_la(A, y, first, noise=noise, q=0.8, radius=2)
    assert found.notes["residual"] == pytest.approx(1.01 * noise, rel=5e-3)  # λ belongs to the last majorant
    assert found.notes["lam"] > 0


def test_a_noise_level_that_nothing_reaches_is_said():
    """The graph of the truth leaves constants on its parts free: they fit the data to the noise and no worse."""
    truth, A, y, noise = blurred()
    free = vi.graph_la(A, y, truth, noise=noise, stop=vi.residual(1e-4) | vi.iterations(60))
    assert "stays below the target" in free.why
    assert free.notes["residual"] <= noise
    assert vi.relative_error(free.x, truth) <= 0.02
    result = vi.graph_la(A, y, truth, noise=100 * noise, stop=vi.iterations(60))
    assert "no root: the residual stays below the target" in result.why
    assert np.isfinite(result.x).all()


def test_bad_input():
    truth, A, y, _ = blurred()
    for arguments, text in (
        ({}, "give either noise=.* or lam=λ"),
        ({"noise": 1.0, "lam": 1.0}, "give either noise="),
        ({"noise": 0.0}, "noise must be greater than 0, got 0"),
        ({"lam": -1.0}, "lam must be at least 0, got -1"),
        ({"lam": 1.0, "q": 0.0}, r"graph_la: q must lie in \(0, 2\], got 0"),
        ({"lam": 1.0, "q": 2.5}, r"q must lie in \(0, 2\], got 2.5"),
        ({"lam": 1.0, "radius": 0}, "radius must be at least 1, got 0"),
        ({"lam": 1.0, "scale": -1.0}, "scale must be greater than 0, got -1"),
        ({"lam": 1.0, "q": 0.5, "smoothing": 0.0}, "smoothing must be greater than 0, got 0"),
        ({"lam": 1.0, "psi": truth.T}, r"the image of psi must have shape \(14, 16\), got \(16, 14\); it looks transp"),
        ({"lam": 1.0, "psi": lambda y: truth * math.nan}, "the image of psi has 224 NaN or infinite of 224 values"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.graph_la(A, y, **({"psi": truth} | arguments))


def test_default_smoothing_is_a_tenth_of_the_largest_difference():
    _, A, y, _ = blurred()
    size = 0.1 * float(np.abs(vi.GraphLaplacian(y)(y)).max())
    few = vi.iterations(5)
    default, given = (vi.graph_la(A, y, y, lam=0.1, q=1.5, smoothing=s, stop=few) for s in (None, size))
    assert np.array_equal(default.x, given.x)
