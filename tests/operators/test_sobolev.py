"""Sobolev filters and data terms against NumPy's transforms and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import dense, rand
from scipy.fft import dct

import varinv as vi
from varinv.problem import as_problem

pytestmark = pytest.mark.usefixtures("one_thread")


def weights(shape, s, scale=1.0):
    """Periodic weights over the full spectrum, by numpy.fft.fftfreq."""
    xi = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n) for n in shape), indexing="ij")
    w = (1 + scale**2 * sum(x * x for x in xi)) ** (s / 2)
    return w / np.sqrt((w**2).mean())


@pytest.mark.parametrize("s", [-2.0, -0.5, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(8,), (7,), (5, 6), (6, 5), (1, 4), (3, 4, 5)])
def test_periodic_is_the_fourier_filter(shape, s):
    x = rand(np, shape, 0)
    exact = np.fft.ifftn(weights(shape, s, 1.7) * np.fft.fftn(x)).real
    K = vi.Sobolev(shape, s, scale=1.7)
    assert np.allclose(K(x), exact, rtol=0, atol=1e-12 * K.norm() * np.linalg.norm(x))
    assert K.norm() == pytest.approx(np.linalg.norm(dense(K), 2), rel=1e-10)


def test_reflect_is_the_cosine_filter():
    n, s = 9, -1.0
    C = dct(np.eye(n), axis=0, norm="ortho")
    w = (1 + (np.pi * np.arange(n) / n) ** 2) ** (s / 2)
    exact = C.T @ np.diag(w / np.sqrt((w**2).mean())) @ C
    assert np.allclose(dense(vi.Sobolev((n,), s, boundary="reflect")), exact, atol=1e-13)


def test_axes_are_a_stack_of_rows():
    y = rand(np, (4, 10), 1)
    rows = np.stack([vi.Sobolev((10,), 0.5)(row) for row in y])
    assert np.allclose(vi.Sobolev((4, 10), 0.5, axes=-1)(y), rows, atol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_inverse(boundary):
    x = rand(np, (6, 7), 2)
    S, back = vi.Sobolev((6, 7), 1.5, boundary=boundary), vi.Sobolev((6, 7), -1.5, boundary=boundary)
    assert np.allclose(S.pinv(S(x)), x, atol=1e-12)
    ratio = back(S(x)) / x  # Sobolev(−s) inverts up to one number
    assert np.ptp(ratio) <= 1e-10 * ratio.mean()
    assert np.array_equal(vi.Sobolev((6, 7), 0.0, boundary=boundary).weights, np.ones_like(S.weights))


def test_order_zero_is_least_squares():
    A = vi.Blur((6, 7), rand(np, (3, 3), 0, kind="non-negative"))
    b, x = rand(np, (6, 7), 1), rand(np, (6, 7), 2)
    S = vi.Sobolev((6, 7), 0.0)
    term, plain, own = (vi.L2Squared(S(b)) @ S @ A, vi.L2Squared(b) @ A, vi.SobolevSquared(b, S) @ A)
    for t in (term, own):
        assert t(x) == pytest.approx(plain(x), rel=1e-13)
        assert np.allclose(t.grad(x), plain.grad(x), atol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("s", [-1.5, 0.5])
def test_data_term_algebra(s, boundary):
    """E12: value, gradient, prox and dual step of ½‖S(z − b)‖² against the dense matrix."""
    shape = (4, 5)
    S = vi.Sobolev(shape, s, scale=1.3, boundary=boundary)
    b, z, q = rand(np, shape, 1), rand(np, shape, 2), rand(np, shape, 3)
    f, M = vi.SobolevSquared(b, S), dense(S)
    H = M.T @ M
    assert f(z) == pytest.approx((vi.L2Squared(S(b)) @ S)(z), rel=1e-12)
    assert np.allclose(f.grad(z).reshape(-1), H @ (z - b).reshape(-1), atol=1e-12)
    for t in (0.1, 3.0):
        solved = np.linalg.solve(np.eye(20) + t * H, (z + t * (H @ b.reshape(-1)).reshape(shape)).reshape(-1))
        assert np.allclose(f.prox(z, t).reshape(-1), solved, atol=1e-12)
        # the dual step min_p f*(p) + |p − q|²/2t, f*(p) = ½ pᵀH⁻¹p + ⟨p, b⟩
        dual = np.linalg.solve(np.eye(20) + t * np.linalg.inv(H), (q - t * b).reshape(-1))
        assert np.allclose(f.prox_conj(q, t).reshape(-1), dual, atol=1e-10)
        moreau = q - t * f.prox(q / t, 1 / t)
        assert abs(f.prox_conj(q, t) - moreau).max() <= 1e-10
    h = 1e-5
    assert (f(z + h * q) - f(z - h * q)) / (2 * h) == pytest.approx((f.grad(z) * q).sum(), rel=1e-6)
    assert f.smoothness == pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-10)
    assert f.convexity == pytest.approx(np.linalg.eigvalsh(H)[0], rel=1e-10)


def test_both_forms_of_the_data_term_have_one_minimiser():
    shape = (8, 9)
    b, S = rand(np, shape, 1), vi.Sobolev(shape, -1.0)
    tv, stop = 0.1 * vi.TV(shape), vi.gap(1e-7) | vi.iterations(4000)
    one = vi.solve(vi.L2Squared(S(b)) @ S + tv + vi.Box(-9, 9), stop=stop)
    two = vi.solve(vi.SobolevSquared(b, S) + tv, stop=stop)
    assert (one.gap, two.gap) < (1e-6, 1e-6)
    assert one.problem(one.x) == pytest.approx(two.problem(two.x), rel=1e-5)  # both gaps are certified


def test_whitened_noise_is_white():
    """Noise with spectrum ∝ 1/w² is white after S: its mean power in ten bands is 1 within 5 %."""
    shape, rng = (256, 256), np.random.default_rng(0)
    w = weights(shape, -1.0, 2.0)
    noise = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) / w).real
    spectrum = abs(np.fft.fftn(vi.Sobolev(shape, -1.0, scale=2.0)(noise), norm="ortho")) ** 2
    order = np.argsort(w, axis=None)
    bands = [spectrum.reshape(-1)[part].mean() for part in np.array_split(order, 10)]
    print("E12: mean power in ten bands", np.round(bands, 3))
    assert np.allclose(bands, 1, atol=0.05)  # 6500 exponential variables a band: standard error 1.2 %


def test_it_preconditions_gradients():
    """A blur of symbol (1 + 25|ξ|²)^-½: with the image S z, S of order 1, every direction is equally steep."""
    shape = (32, 32)
    A, truth = vi.Sobolev(shape, -1.0, scale=5.0), rand(np, shape, 0)
    problem = as_problem(vi.L2Squared(A(truth)) @ A)
    S = vi.Sobolev(shape, 1.0, scale=5.0)
    plain = vi.solve(problem, vi.CG(), stop=vi.iterations(5)).x
    better = S(vi.solve(problem @ S, vi.CG(), stop=vi.iterations(1)).x)
    assert vi.relative_error(better, truth) <= 1e-10 < vi.relative_error(plain, truth)


def test_bad_input():
    for arguments, text in (
        ({"scale": 0.0}, "Sobolev: scale must be greater than 0, got 0"),
        ({"scale": -1.0}, "scale must be greater than 0, got -1"),
        ({"s": np.inf}, "s must be finite, got inf"),
        ({"s": 60.0}, "s=60 with scale=1 makes the squared weights overflow: they span 1e79.*take .s. below 22.8"),
        ({"s": -60.0}, "s=-60 .* overflow"),
        ({"axes": 2}, "axes"),
        ({"boundary": "zero"}, "boundary must be periodic or reflect, got 'zero'"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.Sobolev(**({"shape": (4, 5), "s": 1.0} | arguments))
    S = vi.Sobolev((4, 5), 1.0)
    with pytest.raises(ValueError, match=r"y must have shape \(4, 5\), got \(5, 4\); it looks transposed"):
        vi.SobolevSquared(np.ones((5, 4)), S)
    with pytest.raises(TypeError, match="S must be a Sobolev"):
        vi.SobolevSquared(np.ones((5, 4)), vi.Identity((5, 4)))
