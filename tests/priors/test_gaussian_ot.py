"""Gaussian optimal transport of patches: exact on patches that do not overlap, and optimal."""

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.backend import to_numpy

SHAPE = (18, 24)


def smooth(x):
    return (x + np.roll(x, 1, 0) + np.roll(x, 1, 1)) / 3


def columns(images, p):
    """All non-overlapping p × p patches, by reshaping; shape (p², number)."""
    parts = [x.reshape(x.shape[0] // p, p, x.shape[1] // p, p).transpose(1, 3, 0, 2).reshape(p * p, -1) for x in images]
    return np.concatenate(parts, axis=1)


def moments(v):
    return v.mean(axis=1), np.cov(v, bias=True)


SOURCE = [0.3 * smooth(rand(np, SHAPE, k)) + 0.5 for k in range(3)]
TARGET = [rand(np, (24, 30), 10 + k) @ np.diag(np.linspace(0.2, 1, 30)) for k in range(2)]


@pytest.mark.parametrize("p", [2, 3])
def test_patches_of_the_result_have_the_target_mean_and_covariance(p, xp):
    ot = vi.GaussianOT.fit([xp.asarray(x) for x in SOURCE], [xp.asarray(x) for x in TARGET], patch=p, stride=p)
    moved = [ot.apply(xp.asarray(x)) for x in SOURCE]
    assert moved[0].dtype == xp.float64
    found, wanted = moments(columns(map(to_numpy, moved), p)), moments(columns(TARGET, p))
    for a, b in zip(found, wanted, strict=True):
        assert np.abs(a - b).max() <= 1e-10  # condition of C_s up to 1e3, times rounding


def test_one_pixel_patches_stretch_the_standard_deviation():
    x, target = SOURCE[0], 3 * TARGET[0] + 1
    ot = vi.GaussianOT.fit([x], [target], patch=1)
    assert np.allclose(ot.apply(x), target.mean() + target.std() / x.std() * (x - x.mean()), rtol=1e-12)
    assert ot.distance == pytest.approx(np.hypot(x.mean() - target.mean(), x.std() - target.std()))


def test_equal_statistics_and_full_share_change_nothing():
    ot = vi.GaussianOT.fit(SOURCE, SOURCE[::-1])
    assert np.abs(ot.T - np.eye(9)).max() <= 1e-9
    assert ot.distance <= 1e-6  # the root of rounding
    assert np.abs(ot.apply(SOURCE[0]) - SOURCE[0]).max() <= 1e-9
    ot = vi.GaussianOT.fit(SOURCE, TARGET)
    x = rand(np, (17, 11), 4)
    assert np.array_equal(ot.apply(x, p=1.0), x)
    assert np.allclose(ot.apply(x, p=0.3), 0.7 * ot.apply(x) + 0.3 * x)


def test_a_singular_source_gets_the_missing_details_at_random():
    """Flat 2 × 2 patches: rank 1 in, four dimensions out; T C_s Tᵀ + W Wᵀ = C_t exactly, and drawn so."""
    flat = [np.kron(rand(np, (60, 60), k), np.ones((2, 2))) for k in range(4)]
    target = [smooth(rand(np, (120, 120), 20 + k)) for k in range(4)]
    ot = vi.GaussianOT.fit(flat, target, patch=2, stride=2)
    C_s, C_t = (moments(columns(images, 2))[1] for images in (flat, target))
    assert np.linalg.matrix_rank(C_s) == 1
    assert ot.W.shape == (4, 3)
    assert np.abs(ot.T @ C_s @ ot.T.T + ot.W @ ot.W.T - C_t).max() <= 1e-12
    moved = [ot.apply(x, seed=k) for k, x in enumerate(flat)]
    C = moments(columns(moved, 2))[1]
    n = 4 * 3600  # each entry of a covariance of n draws is off by at most C_t √(2/n); six of these
    assert np.abs(C - C_t).max() <= 6 * C_t.max() * np.sqrt(2 / n)
    assert np.array_equal(ot.apply(flat[0], seed=3), ot.apply(flat[0], seed=3))
    assert not np.array_equal(ot.apply(flat[0], seed=3), ot.apply(flat[0], seed=4))


def test_the_transport_is_optimal():
    """Gelbrich: E‖x′ − x‖² = |m_s − m_t|² + tr(C_s + C_t − 2 (C_s C_t)^½), here by the eigenvalues of C_s C_t."""
    ot = vi.GaussianOT.fit(SOURCE, TARGET, patch=2, stride=2)
    (m_s, C_s), (m_t, C_t) = moments(columns(SOURCE, 2)), moments(columns(TARGET, 2))
    root = np.sqrt(np.linalg.eigvals(C_s @ C_t).real).sum()
    distance2 = ((m_s - m_t) ** 2).sum() + np.trace(C_s) + np.trace(C_t) - 2 * root
    cost = np.mean(((columns([ot.apply(x) for x in SOURCE], 2) - columns(SOURCE, 2)) ** 2).sum(axis=0))
    assert cost == pytest.approx(distance2, rel=1e-9)
    assert ot.distance**2 == pytest.approx(distance2, rel=1e-9)


def test_colour_sizes_and_dtype():
    colour = [rand(np, (3, 9, 10), k, "float32") for k in range(2)]
    ot = vi.GaussianOT.fit(colour, [2 * rand(np, (3, 12, 9), 5)], patch=3, stride=3)
    x = rand(np, (3, 10, 11), 6, "float32")  # the last row, the last two columns belong to no patch
    found = ot.apply(x)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, 9:, :], x[:, 9:, :])
    assert np.array_equal(found[:, :, 9:], x[:, :, 9:])
    assert not np.array_equal(found[:, :9, :9], x[:, :9, :9])


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vi.GaussianOT.fit([], TARGET), ValueError, "restored is empty; give at least one image"),
        (lambda: vi.GaussianOT.fit(SOURCE, [np.ones((2, 9))]), ValueError, r"sides of at least 3, got shape \(2, 9\)"),
        (lambda: vi.GaussianOT.fit(SOURCE, TARGET, 2, 3), ValueError, "stride must be at most patch=2, got 3"),
        (lambda: vi.GaussianOT.fit(SOURCE, [np.ones((3, 9, 9))]), ValueError, "same channels, got patches of 9 and 27"),
        (lambda: vi.GaussianOT.fit(SOURCE, [np.full((9, 9), np.nan)]), ValueError, "has 81 NaN or infinite"),
        (lambda: vi.GaussianOT.fit(SOURCE, TARGET).apply(SOURCE[0], 2), ValueError, "p must be between 0 and 1, got 2"),
        (lambda: vi.GaussianOT.fit(SOURCE, TARGET).apply(np.ones((2, 9, 9))), ValueError, "9 values .* got 18"),
    ],
)
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
