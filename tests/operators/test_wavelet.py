"""Wavelet transforms: PyWavelets' numbers, orthonormal for every shape, proved norms, denoising in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
from conftest import dense, rand

import varinv as vi
from varinv.backend import to_numpy

ORTHONORMAL = ["haar", "db2", "db5", "sym4", "coif2"]
BIORTHOGONAL = ["bior1.3", "bior2.2", "bior4.4", "rbio3.1", "bior3.9"]


@pytest.mark.filterwarnings("ignore:Level value")  # PyWavelets' opinion of filters longer than the block
@pytest.mark.parametrize("wavelet", [*ORTHONORMAL, *BIORTHOGONAL])
@pytest.mark.parametrize(("shape", "levels"), [((32,), 3), ((16, 24), 3), ((8, 4, 16), 2)])
def test_is_pywavelets_where_that_is_square(wavelet, shape, levels):
    x = rand(np, shape, 0)
    coefficients = pywt.wavedecn(x, wavelet, "periodization", level=levels)
    expected, _ = pywt.coeffs_to_array(coefficients)
    W = vi.Wavelet(shape, wavelet, levels)
    np.testing.assert_allclose(W(x), expected, atol=1e-12)
    np.testing.assert_allclose(W.pinv(expected), x, atol=1e-10)


@pytest.mark.parametrize("wavelet", [*ORTHONORMAL, *BIORTHOGONAL])
def test_own_filter_bank_is_pywavelets(wavelet, xp):
    """On other libraries the filter bank is ours; odd sides, filters longer than the block, several levels."""
    for shape, levels in (((7,), 2), ((6, 9), 3), ((3, 1, 4), 1)):
        W, x = vi.Wavelet(shape, wavelet, levels), rand(xp, shape, 1)
        y = W(np.array(to_numpy(x)))
        np.testing.assert_allclose(to_numpy(W(x)), y, atol=1e-12)
        np.testing.assert_allclose(to_numpy(W.T(x)), W.T(np.array(to_numpy(x))), atol=1e-12)
        # cond(bior3.9) is some hundreds a level
        np.testing.assert_allclose(to_numpy(W.pinv(xp.asarray(y))), to_numpy(x), atol=1e-9)


@pytest.mark.parametrize("wavelet", ORTHONORMAL)
@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (9, 4), (7, 7), (3, 5, 2)])
def test_orthonormal_for_every_shape(wavelet, shape):
    for levels in (None, 1, 2):
        if levels == 2 and max(shape) < 3:
            continue
        W = vi.Wavelet(shape, wavelet, levels)
        M = dense(W)
        np.testing.assert_allclose(M.T @ M, np.eye(len(M)), atol=1e-10)  # filter tables have 11 digits
        assert W.isometry() == W.coisometry() == 1
        assert np.linalg.norm(M, 2) * (1 - 1e-14) <= W.norm() <= 1 + 1e-9


def test_constants_meet_no_detail():
    """The mean of an even image is in the approximation alone: vanishing moments, in every detail band."""
    W = vi.Wavelet((16, 8), "db4", 2)
    y = W(np.ones((16, 8)))
    approximation = vi.Restriction((16, 8), (slice(4), slice(2)))
    np.testing.assert_allclose(approximation(y), 4, atol=1e-11)  # 2 a level
    assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(approximation(y)), rel=1e-12)


@pytest.mark.parametrize("wavelet", BIORTHOGONAL)
@pytest.mark.parametrize("shape", [(8,), (7,), (6, 10), (2, 4, 3)])
def test_biorthogonal_norms_are_bounds(wavelet, shape):
    for levels in (1, 2):
        W = vi.Wavelet(shape, wavelet, levels)
        true = np.linalg.norm(dense(W), 2)
        assert true * (1 - 1e-13) <= W.norm()
        if levels == 1:
            assert W.norm() <= true * (1 + 1e-9)  # exact: the axes are a tensor product, frequencies are on the grid
        assert W.isometry() is None


def test_bior33_norm_on_an_even_line_is_exact():
    """Largest singular value of one level, here from the spectra of the filters at ω and ω + π."""
    low, high = (np.array(f) for f in pywt.Wavelet("bior3.3").filter_bank[:2])
    spectra = [np.fft.fft(np.pad(f, (0, 32 - len(f)))) for f in (low, high)]
    both = np.array([[s, np.roll(s, 16)] for s in spectra]) / np.sqrt(2)  # modulation matrix at ω and ω + π
    expected = np.linalg.svd(both.transpose(2, 0, 1), compute_uv=False).max()
    assert vi.Wavelet((32,), "bior3.3", 1).norm() == pytest.approx(expected, rel=1e-10)


def test_default_levels():
    assert vi.Wavelet((512, 300)).levels == 8  # 2^8 ≤ 300
    assert vi.Wavelet((512, 300), "db4").levels == pywt.dwt_max_level(300, "db4") == 5
    assert vi.Wavelet((4, 4), "db4").levels == 1
    assert vi.Wavelet((1, 64), axes=1).levels == 6


def test_denoising_is_soft_thresholding():
    """min ½|x − y|² + λ|Wx|₁ = Wᵀ soft(Wy, λ), with the gap as a certificate."""
    y = rand(np, (9, 12), 2)
    W = vi.Wavelet(y.shape, "db2", 2)
    c = W(y)
    expected = W.T(np.sign(c) * np.maximum(np.abs(c) - 0.4, 0))
    problem = vi.L2Squared(y) + 0.4 * vi.L1() @ W
    result = vi.solve(problem, stop=vi.gap(1e-5) | vi.iterations(5000))
    assert result.why.startswith("relative gap")
    assert np.sum((result.x - expected) ** 2) <= 2e-5 * problem(expected)  # strong convexity: |x − x*|² ≤ 2·gap


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
@pytest.mark.parametrize(("shape", "axes"), [((7,), None), ((6, 9), None), ((3, 4, 5), (1, 2)), ((3, 8), 1)])
def test_stationary_is_a_parseval_frame(wavelet, shape, axes):
    K = vi.StationaryWavelet(shape, wavelet, 2, axes)
    x = rand(np, shape, 3)
    d = len(shape) if axes is None else np.size(axes)
    assert K.codomain == (1 + 2 * (2**d - 1), *shape)
    np.testing.assert_allclose(K.T(K(x)), x, atol=1e-10)
    assert K.isometry() == pytest.approx(1, abs=1e-10)
    assert K.norm() == pytest.approx(1, abs=1e-10)
    shifted = np.roll(x, 3, axis=-1)
    np.testing.assert_allclose(K(shifted), np.roll(K(x), 3, axis=-1), atol=1e-12)


def test_stationary_is_pywavelets():
    """Up to one shift of each band, the numbers of pywt.swtn(norm=True): compared by their sorted magnitudes."""
    x = rand(np, (8, 16), 4)
    K = vi.StationaryWavelet(x.shape, "db2", 2)
    bands = pywt.swtn(x, "db2", 2, norm=True, trim_approx=True)
    theirs = [bands[0], *(level[name] for level in bands[1:] for name in sorted(level))]
    assert len(theirs) == K.codomain[0]
    for ours, other in zip(K(x), theirs, strict=True):
        np.testing.assert_allclose(np.sort(abs(ours).ravel()), np.sort(abs(other).ravel()), atol=1e-10)


def test_weighted_l1_is_the_mean_over_shifts():
    """Weights 2^(−dl/2) on the details: the mean of the orthonormal transform's ℓ1 over all 4² shifts, two levels."""
    x = rand(np, (8, 12), 5)
    K, W = vi.StationaryWavelet(x.shape, "db2", 2), vi.Wavelet(x.shape, "db2", 2)
    weights = np.array([0.0, 1 / 4, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1 / 2])[:, None, None]
    spun = []
    for i in range(4):
        for j in range(4):
            c = np.abs(W(np.roll(x, (i, j), axis=(0, 1))))
            spun.append(c.sum() - c[:2, :3].sum())
    assert np.sum(weights * np.abs(K(x))) == pytest.approx(np.mean(spun), rel=1e-10)


def test_details_alone():
    """Part takes the approximation out: a constant costs nothing."""
    K = vi.StationaryWavelet((6, 7), "haar", 2)
    details = vi.Part(K.codomain, slice(1, None)) @ K
    assert np.abs(details(np.full((6, 7), 3.0))).max() <= 1e-13
    assert details.norm() <= 1 + 1e-10


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: vi.Wavelet((8,), "mexh"), ValueError, "Wavelet: wavelet must be one of haar, db1 .* got 'mexh'"),
        (lambda: vi.Wavelet((8,), "dmey"), ValueError, "got 'dmey'; it reconstructs only to 6e-3"),
        (lambda: vi.Wavelet((8,), 4), ValueError, "wavelet must be one of haar, .* got 4"),
        (lambda: vi.Wavelet((8, 6), levels=4), ValueError, r"at most 3 for the axes of lengths \(8, 6\), got 4"),
        (lambda: vi.Wavelet((8,), levels=0), ValueError, "levels must be at least 1, got 0"),
        (lambda: vi.Wavelet((8,), levels=1.5), TypeError, "levels must be an integer, got 1.5"),
        (lambda: vi.Wavelet((8,), axes=1), ValueError, r"axes must lie in -1..0 for shape \(8,\), got \(1,\)"),
        (lambda: vi.StationaryWavelet((8,), "gaus1"), ValueError, "StationaryWavelet: wavelet must be one of"),
        (lambda: vi.StationaryWavelet((8,), levels=0), ValueError, "StationaryWavelet: levels must be at least 1"),
        (lambda: vi.StationaryWavelet((8, 8), "db4", 12), ValueError, "levels=12 make kernels of more than 2"),
    ],
)  # fmt: skip
def test_refuses(call, error, text):
    with pytest.raises(error, match=text):
        call()
