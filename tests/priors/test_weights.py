"""Space-variant total variation: the weights, what they do to a solve, and the reweighting that recomputes them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from conftest import rand
from scipy.integrate import quad

import varinv as vi
from varinv.backend import library, to_numpy

pytestmark = pytest.mark.usefixtures("one_thread")


def step_image(noise=0.0, seed=0):
    """A bright rectangle on a dark ground."""
    x = np.zeros((16, 18))
    x[4:12, 5:13] = 1.0
    return x + noise * np.random.default_rng(seed).standard_normal(x.shape)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_are_the_formula_pixel_by_pixel(xp, dtype):
    u = rand(xp, (5, 6), 3, dtype)
    w = vi.tv_weights(u, 0.3, 0.25)
    assert (library(w), w.dtype, tuple(w.shape)) == (library(u), u.dtype, (5, 6))
    a = np.array(to_numpy(u), dtype="f8")
    for i in range(5):
        for j in range(6):
            down = a[i + 1, j] - a[i, j] if i < 4 else 0.0
            right = a[i, j + 1] - a[i, j] if j < 5 else 0.0
            expected = (0.3 / math.sqrt(0.3**2 + down**2 + right**2)) ** 0.75
            assert float(w[i, j]) == pytest.approx(expected, rel=1e-12 if dtype == "float64" else 1e-5)


def test_weights_of_known_images():
    # the figures of a unit jump at eta = 2e-3: 0.0447 for p = 0.5, 0.0037 for p = 0.1
    edge = np.array([0.0, 0.0, 1.0])
    assert vi.tv_weights(edge, 2e-3, 0.5) == pytest.approx([1, 0.0447, 1], abs=5e-5)
    assert vi.tv_weights(edge, 2e-3, 0.1) == pytest.approx([1, 0.0037, 1], abs=5e-5)
    assert np.array_equal(vi.tv_weights(step_image(0.1), p=1.0), np.ones((16, 18)))
    assert np.array_equal(vi.tv_weights(np.full((3, 4), 7.0)), np.ones((3, 4)))
    x = step_image()
    n = np.sqrt((vi.Gradient(x.shape)(x) ** 2).sum(0))
    assert np.array_equal(vi.tv_weights(n, 0.1, magnitude=True), vi.tv_weights(x, 0.1))
    assert np.allclose(vi.tv_weights(1000 * x), vi.tv_weights(x))  # the default eta is in grey values
    ramp = np.arange(1001.0)  # percentiles 5 and 995
    assert vi.tv_weights(ramp) == pytest.approx(vi.tv_weights(ramp, 2e-3 * 990))
    volume = rand(np, (3, 4, 5), 0)
    assert np.array_equal(vi.tv_weights(volume, 0.2, axes=(1, 2))[1], vi.tv_weights(volume[1], 0.2))


def test_p_of_one_is_total_variation_bit_for_bit():
    y = step_image(0.2)
    A = vi.Blur(y.shape, np.ones((3, 3)) / 9)
    w = vi.tv_weights(y, p=1.0)
    for data in (vi.L2Squared(y), vi.L2Squared(y) @ A, vi.L2Ball(y, 4.0) @ A):
        plain, weighted = (
            vi.solve(data + 0.1 * vi.TV(y.shape, weight=v) + vi.NonNegative(), stop=vi.iterations(50)).x
            for v in (None, w)
        )
        assert plain.tobytes() == weighted.tobytes()


def test_true_edges_keep_the_jump_that_total_variation_shrinks():
    """Denoising a rectangle: TV lowers its contrast by λ·perimeter/area; with weights of the truth hardly anything."""
    y, truth = step_image(0.1), step_image()
    errors = [
        vi.relative_error(vi.solve(vi.L2Squared(y) + 0.3 * vi.TV(y.shape, weight=w), stop=vi.gap(1e-6)).x, truth)
        for w in (None, vi.tv_weights(truth), vi.tv_weights(y))
    ]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] > errors[1]  # edges of the noise are not those of the truth
    w = vi.tv_weights(truth)
    exact = vi.solve(vi.L2Ball(y, 1.5) + vi.TV(y.shape, weight=w), stop=vi.iterations(2000)).x
    assert np.linalg.norm(exact - y) <= 1.5 * (1 + 1e-6)  # the constrained form takes the same weights


def penalty(x, eta, p):
    """Σ Φ(|∇x|), by numerical integration: shares nothing with the package."""
    n = np.hypot(np.diff(x, axis=0, append=x[-1:]), np.diff(x, axis=1, append=x[:, -1:]))
    values, back = np.unique(n.round(9), return_inverse=True)
    phi = [quad(lambda s: (eta / math.hypot(eta, s)) ** (1 - p), 0, t, points=[min(eta, t)])[0] for t in values]
    return float(np.array(phi)[back].sum())


def test_reweighting_lowers_its_objective_every_time():
    y = step_image(0.15, seed=1)
    data, eta, lam = vi.L2Squared(y), 0.05, 0.4
    values, results = [], []
    for outer in range(1, 5):
        result = vi.reweighted_tv(data, lam, eta=eta, outer=outer, stop=vi.gap(1e-7) | vi.iterations(3000))
        values.append(data(result.x) + lam * penalty(result.x, eta, 0.5))
        results.append(result)
    assert all(b <= a * (1 + 1e-4) for a, b in itertools.pairwise(values))  # a gap of 1e-7 of each tangent
    assert values[-1] < 0.9 * values[0]
    assert [set(row) for row in results[-1].history] == [{"k", "change", "why"}] * 4
    assert results[-1].history[-1]["change"] < results[-1].history[1]["change"]
    truth = step_image()
    assert vi.relative_error(results[-1].x, truth) < vi.relative_error(results[0].x, truth)
    plain = vi.solve(data + lam * vi.TV(y.shape), stop=vi.gap(1e-7) | vi.iterations(3000)).x
    assert np.array_equal(results[0].x, plain)
    once = vi.reweighted_tv(data, lam, x0=truth, outer=1, stop=vi.gap(1e-5)).x  # weights of x0
    assert vi.relative_error(once, truth) < vi.relative_error(plain, truth)


def test_bad_input():
    x = step_image()
    for arguments, text in (
        ({"p": 0.0}, r"tv_weights: p must lie in \(0, 1\], got 0"),
        ({"p": 1.5}, r"p must lie in \(0, 1\], got 1.5"),
        ({"eta": 0.0}, "eta must be greater than 0, got 0"),
        ({"eta": -1.0}, "eta must be greater than 0, got -1"),
        ({"guide": np.where(x > 0, np.nan, x)}, "guide has 64 NaN or infinite of 288 values"),
        ({"guide": x + 1j}, "guide must be a real array"),
        ({"guide": -x, "eta": 0.1, "magnitude": True}, "guide must not be negative, its minimum is -1"),
        ({"magnitude": True}, "eta must be given with magnitude=True"),
        ({"axes": (0, 0)}, "axes must differ"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.tv_weights(**({"guide": x} | arguments))
    with pytest.raises(ValueError, match=r"weight must have shape \(18, 16\), got \(16, 18\); it looks transposed"):
        vi.TV((18, 16), weight=vi.tv_weights(x))
    for arguments, text in (
        ({"fidelity": 3.0}, "fidelity must be a Problem"),
        ({"lam": -1.0}, "lam must be at least 0, got -1"),
        ({"p": 2.0}, r"reweighted_tv: p must lie in \(0, 1\], got 2"),
        ({"eta": 0.0}, "eta must be greater than 0, got 0"),
        ({"outer": 0}, "outer must be at least 1, got 0"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.reweighted_tv(**({"fidelity": vi.L2Squared(x), "lam": 1.0} | arguments))
