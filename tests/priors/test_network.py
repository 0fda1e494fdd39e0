"""A network as a denoiser: ranges, noise levels, tiles, rotations; and the functionals it becomes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import rand
from networks import conv, dncnn, layers
from skimage.data import camera

import varinv as vi
from varinv.backend import library, to_numpy
from varinv.priors.tiles import in_tiles, padded

BLUR = np.outer([1, 2, 1], [1, 2, 1])[None, None] / 16


def smooth(batch):
    return conv(batch, BLUR, 0.0)


def soft(x, sigma):
    """The exact prox of σ²|·|: a denoiser whose algorithms have known answers."""
    return vi.L1().prox(x, sigma**2)


def test_any_value_range_gives_the_same_image(xp):
    """An affine change of units: the image in kHU, the network in 0…1 or −1…1."""
    x = rand(xp, (6, 7), 1)

    def network(batch, level):
        return batch / (1 + level)  # a linear shrinkage towards lo = 0

    plain = vi.Network(network, sigma="argument")
    scaled = vi.Network(network, sigma="argument", image=(-1000.0, 3000.0))
    found = scaled(4000 * x - 1000, 4000 * 0.5)
    assert library(found) == library(x)
    assert found.dtype == x.dtype
    assert np.allclose(to_numpy(found), 4000 * to_numpy(plain(x, 0.5)) - 1000, rtol=1e-12)
    symmetric = vi.Network(lambda batch: 0.5 * batch, sigma="none", range=(-1, 1), image=(0, 1))
    assert np.allclose(to_numpy(symmetric(x, 0.1)), 0.5 * to_numpy(x) + 0.25)


def test_noise_levels_reach_the_network_in_its_own_units():
    seen = []

    def record(batch, *level):
        seen.append((batch.shape, float(batch[0, -1, 0, 0]), level))
        return batch[:, :1]

    x = np.zeros((2, 5, 4))
    vi.Network(record, sigma="map", image=(0, 10))(x, 2.0)
    assert seen[-1] == ((2, 2, 5, 4), 0.2, ())
    vi.Network(record, sigma="argument", image=(0, 10))(x, 2.0)
    assert seen[-1] == ((2, 1, 5, 4), 0.0, (0.2,))
    vi.Network(record, sigma="none")(x, 2.0)
    assert seen[-1] == ((2, 1, 5, 4), 0.0, ())
    levels = np.full((2, 5, 4), 3.0)
    levels[0, 0, 0] = 7.0
    vi.Network(record, sigma="map", image=(0, 10))(x, levels)
    assert seen[-1][1] == 0.7
    with pytest.raises(TypeError, match="takes one noise level, not a map"):
        vi.Network(record, sigma=0.1)(x, levels)


def test_one_trained_level_serves_others_by_contrast():
    """The exact denoiser of a family closed under contrast about the middle: soft thresholds of x − 1/2."""

    def trained(batch):  # for noise 0.1
        return 0.5 + vi.L1().prox(batch - 0.5, 0.3 * 0.1)

    x = rand(np, (4, 5), 2) + 0.5
    D = vi.Network(trained, sigma=0.1)
    for sigma in (0.05, 0.1, 0.2):
        assert np.allclose(D(x, sigma), 0.5 + vi.L1().prox(x - 0.5, 0.3 * sigma), rtol=1e-12)
    assert np.array_equal(D(x, 0.0), x)
    with pytest.warns(UserWarning, match="trained for noise 0.1 and is used at 0.3"):
        D(x, 0.3)


@pytest.mark.parametrize("shape", [(9, 13), (1, 1), (16, 5), (3, 7, 9)])
def test_padding_and_tiles_change_nothing_but_the_border(shape, xp):
    x = rand(xp, shape, 3)
    image = to_numpy(x).reshape(-1, 1, *shape[-2:])

    def needs_eight(batch):
        assert batch.shape[-1] % 8 == batch.shape[-2] % 8 == 0
        return 2 * batch

    assert np.allclose(to_numpy(vi.Network(needs_eight, sigma="none", multiple=8)(x, 0.1)), 2 * to_numpy(x))
    pointwise = vi.Network(lambda b: b * b, sigma="none", tile=4, overlap=2)
    assert np.allclose(to_numpy(pointwise(x, 0.1)), to_numpy(x) ** 2, rtol=1e-13)  # the blend's weights sum to 1
    # away from seams: with an overlap beyond the network's reach the blend differs from the whole by little
    whole = smooth(image)
    tiled = in_tiles(smooth, (image,), 8, 4)
    assert tiled.shape == whole.shape
    if shape == (16, 5):
        assert np.allclose(tiled[..., :4, :], whole[..., :4, :])


def test_padding_mirrors():
    seen = []
    padded(lambda a: seen.append(a) or a, (np.array([[1.0, 2.0, 3.0]]),), 4)
    assert np.array_equal(seen[0][0], [1, 2, 3, 3])
    assert seen[0].shape == (4, 4)


def test_the_average_over_rotations_and_reflections_is_equivariant(xp):
    kernel = rand(np, (1, 1, 3, 3), 4)

    def network(batch):
        return xp.asarray(conv(to_numpy(batch), kernel, 0.1))

    x = rand(xp, (6, 6), 5)
    D = vi.Network(network, sigma="none", average=True)
    y = to_numpy(D(x, 0.1))
    image = to_numpy(x)
    for k in range(4):
        for turn in (lambda a, k=k: np.rot90(a, k), lambda a, k=k: np.rot90(a, k).T):
            assert np.allclose(to_numpy(D(xp.asarray(turn(image).copy()), 0.1)), turn(y), atol=1e-12)
    tall = rand(xp, (6, 9), 6)  # not square: transposed images have another shape on the way
    assert D(tall, 0.1).shape == (6, 9)


def test_volumes_batches_and_colours():
    calls = []

    def record(batch):
        calls.append(batch.shape)
        return batch

    x = rand(np, (5, 4, 6), 7)
    assert np.array_equal(vi.Network(record, sigma="none", batch=2)(x, 0.1), x)
    assert calls == [(2, 1, 4, 6), (2, 1, 4, 6), (1, 1, 4, 6)]
    colour = vi.Network(record, sigma="none", channels=3)
    assert colour(rand(np, (2, 3, 4, 6), 8), 0.1).shape == (2, 3, 4, 6)
    assert calls[-1] == (2, 3, 4, 6)
    with pytest.raises(ValueError, match=r"images must have shape \(…, 3, rows, columns\), got \(4, 6\)"):
        colour(np.zeros((4, 6)), 0.1)


@pytest.mark.parametrize(
    ("function", "error", "text"),
    [
        (lambda b: b[..., :-1], ValueError, r"maps shape \(1, 1, 4, 6\) to \(1, 1, 4, 5\).*multiple=8"),
        (lambda b: b / 0 * 0, ValueError, "returned NaN or infinite values for a finite image; check its value range"),
        (lambda b: "no", TypeError, r"must return an array of shape .*, got 'no'"),
    ],
)
def test_what_a_network_may_not_return(function, error, text):
    with np.errstate(all="ignore"), pytest.raises(error, match=text):
        vi.Network(function, sigma="none")(np.ones((4, 6)), 0.1)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"sigma": "level"}, ValueError, "sigma must be map, argument, none or a number, got 'level'"),
        ({"sigma": -0.1}, ValueError, "sigma must be greater than 0, got -0.1"),
        ({"range": (1, 0)}, ValueError, r"range must be \(low, high\) with low < high, got \(1.0, 0.0\)"),
        ({"image": 3}, TypeError, r"image must be two numbers \(low, high\), got 3"),
        ({"multiple": 0}, ValueError, "multiple must be at least 1, got 0"),
        ({"tile": 8, "overlap": 8}, ValueError, "overlap must be less than tile=8, got 8"),
        ({"function": 3}, TypeError, "function must be callable, got 3"),
    ],
)
def test_options_without_meaning(options, error, text):
    with pytest.raises(error, match=text):
        vi.Network(**{"function": smooth, **options})


def test_a_negative_noise_level_is_refused():
    with pytest.raises(ValueError, match="sigma must be at least 0, got -1"):
        vi.Network(smooth, sigma="none")(np.ones((4, 6)), -1)
    with pytest.raises(ValueError, match=r"shape \(…, rows, columns\), got \(4,\)"):
        vi.Network(smooth, sigma="none")(np.ones(4), 1)


def test_diagnosis_of_linear_denoisers():
    """D = diag(d): ‖D‖ = max d, ‖I − D‖ = max |1 − d|, symmetric, homogeneous; a shear is not."""
    d = np.linspace(0.2, 0.9, 12).reshape(3, 4)
    x = rand(np, (3, 4), 9)
    report = vi.PnP(lambda x, sigma: d * x).check(like=x, sigma=0.1, probes=200)
    assert report.lipschitz == pytest.approx(0.9, rel=1e-3)  # a power iteration from below, ratio 0.93 a step
    assert report.lipschitz <= 0.9 * (1 + 1e-9)
    assert report.residual_lipschitz == pytest.approx(0.8, rel=1e-3)
    assert report.asymmetry <= 1e-9
    assert report.homogeneity <= 1e-9
    assert report.deterministic
    assert "an objective is meaningful" in str(report)
    shear = np.eye(12) + np.diag(np.ones(11), 1)
    twisted = vi.PnP(lambda x, sigma: (shear @ x.reshape(-1)).reshape(x.shape)).check(like=x, probes=40)
    truth = np.linalg.norm(shear - shear.T) / np.linalg.norm(shear)
    assert truth / 2 <= twisted.asymmetry <= 2 * truth  # ten random pairs: a factor of two
    assert 1 < twisted.lipschitz <= np.linalg.norm(shear, 2) * (1 + 1e-9)
    assert "no gradient" in twisted.advice["RED"]
    noise = np.random.default_rng(0)
    assert not vi.PnP(lambda x, sigma: x + noise.standard_normal(x.shape)).check(like=x, probes=1).deterministic
    with pytest.raises(ValueError, match="maps shape"):
        vi.PnP(lambda x, sigma: x[1:]).check(like=x)


def test_pnp_with_an_exact_prox_is_the_classical_solver():
    """The denoiser that is the prox of σ²|·|: PnP and L1 give the same iterates."""
    A = vi.Diagonal(np.linspace(0.5, 2, 12).reshape(3, 4))
    y = rand(np, (3, 4), 10)
    for lam in (0.3, 1.0):
        plugged = vi.L2Squared(y) @ A + vi.PnP(soft, lam=lam)
        classical = vi.L2Squared(y) @ A + lam * vi.L1()
        found = vi.solve(plugged, vi.ChambollePock(), stop=vi.iterations(400)).x
        expected = vi.solve(classical, vi.ChambollePock(), stop=vi.iterations(400)).x
        assert np.allclose(found, expected, rtol=0, atol=1e-12)  # the same arithmetic up to σ² = (√tλ)²
        assert np.allclose((0.5 * vi.PnP(soft, lam=2 * lam)).prox(y, 0.7), (lam * vi.L1()).prox(y, 0.7))
    fixed = vi.PnP(soft, sigma=0.4)
    assert np.array_equal(fixed.prox(y, 3.0), fixed.prox(y, 0.1))
    with pytest.raises(NotImplementedError, match="has no value, a denoiser defines none"):
        plugged(y)
    result = vi.solve(plugged, vi.ChambollePock())  # the default stop needs no objective
    assert result.why.startswith("residual")


def test_red_of_a_linear_denoiser_is_a_quadratic():
    """D = C(C + σ²)⁻¹: (x − D(x))/σ² = (C + σ²)⁻¹ x, the gradient of ½⟨x, (C + σ²)⁻¹x⟩."""
    C, sigma = np.linspace(0.5, 2, 12).reshape(3, 4), 0.3
    red = 1.5 * vi.RED(lambda x, s: C / (C + s**2) * x, sigma, lam=2.0)
    x = rand(np, (3, 4), 11)
    assert np.allclose(red.grad(x), 3.0 * x / (C + sigma**2), rtol=1e-12)
    assert red.smoothness == pytest.approx(3.0 * 2 / sigma**2)
    assert vi.RED(soft, 0.5, lipschitz=1.0).smoothness == pytest.approx(4.0)
    for bad, text in (((soft, 0.0), "sigma must be greater than 0"), ((soft, -1.0), "sigma must be at least 0")):
        with pytest.raises(ValueError, match=text):
            vi.RED(*bad)
    with pytest.raises(TypeError, match="denoiser must be callable as denoiser"):
        vi.RED(3, 0.1)


def test_an_explicit_regulariser_from_callables():
    f = 2 * vi.Potential(lambda x: float(np.sum(np.cosh(x))), np.sinh, smoothness=math.inf, convexity=1.0)
    x = rand(np, (3, 4), 12)
    h, d = 1e-6, rand(np, (3, 4), 13)
    assert (f(x + h * d) - f(x - h * d)) / (2 * h) == pytest.approx(float(np.sum(f.grad(x) * d)), rel=1e-7)
    assert f.convexity == 2.0
    with pytest.raises(
        ValueError, match=r"gradient returned an array of shape \(3,\), expected an array of shape \(3, 4\)"
    ):
        vi.Potential(np.sum, lambda x: x[:, 0]).grad(x)
    with pytest.raises(TypeError, match="value must be callable"):
        vi.Potential(1.0, np.sinh)


def test_the_stored_networks_denoise_as_their_page_says(data):
    """28.38 and 29.60 dB on this crop (one draw of noise): within 0.3 dB of another draw."""
    folder = data / "network_weights"
    x = camera()[100:228, 200:328] / 255
    rng = np.random.default_rng(0)
    for file, wrap, option, sigma, promised in (
        ("dncnn6_sigma_gray.npz", True, "map", 0.1, 28.38),
        ("dncnn17_sigma25_gray.npz", False, 25 / 255, 25 / 255, 29.60),
    ):
        D = vi.Network(dncnn(layers(folder / file), wrap), sigma=option)
        noisy = x + sigma * rng.standard_normal(x.shape)
        assert abs(vi.psnr(x, D(noisy, sigma), data_range=1.0) - promised) <= 0.3
