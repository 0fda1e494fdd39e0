"""The graph Laplacian against matrices built pixel by pixel, and what it is for."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


def matrix(guide, radius, scale, spatial=None, patch=0, neighbours=None, channels=False):
    """W by two loops over pixels: the definition, sharing nothing with the package."""
    g = guide if channels else guide[None]
    shape = g.shape[1:]
    padded = np.pad(g, [(0, 0)] + [(patch, patch)] * len(shape), mode="edge")

    def around(i):
        return padded[(slice(None), *(slice(a, a + 2 * patch + 1) for a in i))]

    pixels = list(np.ndindex(*shape))
    W = np.zeros((len(pixels),) * 2)
    for (m, i), (n, j) in itertools.product(enumerate(pixels), repeat=2):
        if 0 < max(abs(a - b) for a, b in zip(i, j, strict=True)) <= radius:
            d = ((around(i) - around(j)) ** 2).sum() / (2 * patch + 1) ** len(shape)
            far = sum((a - b) ** 2 for a, b in zip(i, j, strict=True))
            W[m, n] = math.exp(-d / scale) * (1 if spatial is None else math.exp(-far / spatial**2))
    if neighbours is not None:
        kept = np.sort(W, axis=1)[:, -neighbours][:, None] <= W
        W = W * (kept | kept.T)
    return W


def expected(W, normalise):
    D = W.sum(1)
    return (np.diag(D) - W) / {"fro": np.linalg.norm(W), "maxdeg": D.max(), "none": 1.0}[normalise]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-14), ("float32", 1e-5)])
@pytest.mark.parametrize("shape", [(9, 12), (17,), (4, 5, 6), (61, 41), (7, 14, 15)], ids=str)
def test_few_weights_left(shape, dtype, bound, monkeypatch):
    """The twin keeps lists of edges where weights are few; bounds: some 50 products of the size of D, rounded."""
    from varinv.operators import graph, graph_cpu

    guide = rand(np, shape, 3, dtype)
    for radius, neighbours, listed in ((3, 1, True), (1, None, False)):
        K = vi.GraphLaplacian(guide, radius=radius, scale=0.5, neighbours=neighbours)
        x = rand(np, shape, 4, dtype)
        got, (W, D, memory) = K(x), K._beside(x)
        assert (memory[x.dtype] is not None) == listed
        assert got.dtype == dtype
        expected = graph.laplacian.reference(x, W, D, K._half, K.radius, {})
        assert np.abs(got - expected).max() <= bound * D.max() * np.abs(x).max()
        assert np.array_equal(got, K(x))  # the second time from memory
        assert np.array_equal(got, graph_cpu.laplacian(x, W, D, K._half, K.radius, {}))
        monkeypatch.setattr(graph_cpu, "ALONE", 0)  # as with many edges: strip by strip
        assert np.abs(K(x) - expected).max() <= bound * D.max() * np.abs(x).max()
        monkeypatch.undo()


@pytest.mark.parametrize("alone", [0, 2**18])
def test_lists_of_edges_are_symmetric_and_keep_infinities_apart(alone, monkeypatch):
    from varinv.operators import graph_cpu

    monkeypatch.setattr(graph_cpu, "ALONE", alone)
    K = vi.GraphLaplacian(rand(np, (29, 31), 5), radius=2, scale=0.5, neighbours=2)  # 899 pixels: two strips
    L = dense(K)
    assert K._beside(np.zeros(K.domain))[2][L.dtype] is not None
    assert np.array_equal(L, L.T)  # an edge is stored once
    x = np.zeros(K.domain)
    x[7, 9] = np.inf
    touched = np.argwhere(~np.isfinite(K(x)))
    assert len(touched) > 1
    assert np.abs(touched - (7, 9)).max() <= K.radius


def test_lists_of_edges_have_the_bits_of_one_thread(monkeypatch):
    import numba

    from varinv.operators import graph_cpu

    monkeypatch.setattr(graph_cpu, "ALONE", 0)
    K = vi.GraphLaplacian(rand(np, (61, 41), 6), radius=3, scale=0.5, neighbours=3)
    x = rand(np, K.domain, 7)
    one = K(x)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all(np.array_equal(one, K(x)) for _ in range(5))


@pytest.mark.parametrize("normalise", ["fro", "maxdeg", "none"])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((6, 9), {"radius": 2}),
        ((5, 4), {"radius": 7}),  # wider than the image
        ((6, 7), {"radius": 1, "spatial": 0.8}),
        ((6, 7), {"radius": 2, "patch": 1}),
        ((6, 7), {"radius": 2, "patch": 2, "spatial": 2.0, "neighbours": 3}),
        ((3, 5, 4), {"radius": 1, "channels": True}),
        ((3, 4, 5), {"radius": 1}),
        ((20,), {"radius": 3, "neighbours": 2}),
    ],
)
def test_against_the_definition(shape, options, normalise):
    guide = rand(np, shape, 0, kind="non-negative")
    K = vi.GraphLaplacian(guide, scale=0.2, normalise=normalise, **options)
    L = expected(matrix(guide, scale=0.2, **options), normalise)
    if options.get("channels"):
        L = np.kron(np.eye(shape[0]), L)
    np.testing.assert_allclose(dense(K), L, rtol=0, atol=1e-13 * abs(L).max())  # sums of up to 80 terms


def test_published_properties():
    """E5, on a 24² image and a non-square one: symmetric, L 1 = 0, semidefinite, ‖W‖_F = 1, edges counted."""
    K = vi.GraphLaplacian(rand(np, (24, 24), 1, kind="non-negative"))
    L = dense(K)
    smallest = np.linalg.eigvalsh(L)[0]
    print(f"E5: asymmetry {abs(L - L.T).max():.1e}, |L1| {abs(L.sum(1)).max():.1e}, smallest eigenvalue {smallest:.1e}")
    assert abs(L - L.T).max() <= 1e-12
    assert abs(L.sum(1)).max() <= 1e-12
    assert smallest >= -1e-10
    W = np.diag(np.diag(L)) - L
    assert np.linalg.norm(W) == pytest.approx(1, abs=1e-12)
    assert np.linalg.norm(L, 2) <= K.norm() == pytest.approx(2 * np.diag(L).max())
    guide = rand(np, (96, 128), 2, kind="non-negative")
    K = vi.GraphLaplacian(guide, radius=4)
    W, _, _ = K.weights()
    pairs = [(a, b) for a in range(-4, 5) for b in range(-4, 5) if (a, b) != (0, 0)]
    assert len(W) == len(pairs) == 80
    # smooth weights never vanish here: exp(−1/1e-3) = e^-1000 does, so count with a guide of small differences
    W, _, _ = vi.GraphLaplacian(0.01 * guide, radius=4).weights()
    assert np.count_nonzero(W) == sum((96 - abs(a)) * (128 - abs(b)) for a, b in pairs)
    assert abs(K(np.ones((96, 128)))).max() <= 1e-12


def test_images_like_the_guide_cost_nothing():
    guide = np.zeros((12, 14))
    guide[3:8, 4:9] = 1.0
    L = vi.GraphLaplacian(guide, radius=2)
    assert abs(L(7 * guide - 2)).max() <= 1e-13  # piecewise constant with the guide's edges
    assert abs(L(np.roll(guide, 1, 0))).max() > 1e-3
    noisy = guide + 0.3 * rand(np, guide.shape, 4)
    for problem in (
        vi.L2Squared(noisy) + 1e6 * vi.L2Squared() @ L,
        vi.L2Squared(noisy) + 10.0 * vi.L1() @ vi.GraphLaplacian(guide, radius=2, normalise="maxdeg"),
    ):
        solver = vi.CG() if "L1" not in repr(problem) else None
        x = vi.solve(problem, solver, stop=vi.residual(1e-6) | vi.iterations(2000)).x
        means = np.where(guide > 0, noisy[guide > 0].mean(), noisy[guide == 0].mean())
        assert np.abs(x - means).max() <= 0.02  # 1/√8 of the noise would be 0.1: it is averaged over whole regions


def test_float32_guides_and_bits():
    guide = rand(np, (9, 7), 3, "float32", "non-negative")
    single, wide = vi.GraphLaplacian(guide, radius=2), vi.GraphLaplacian(guide.astype("f8"), radius=2)
    x = rand(np, (9, 7), 5, "float32")
    assert single(x).dtype == np.float32
    assert np.abs(single(x) - wide(x.astype("f8"))).max() <= 1e-6 * abs(x).max() * wide.norm()
    assert single.norm() >= np.linalg.norm(dense(wide), 2)


def test_bad_input():
    g = rand(np, (5, 6), 0)
    for arguments, text in (
        ({"radius": 0}, "GraphLaplacian: radius must be at least 1, got 0"),
        ({"radius": 1.5}, "radius must be an integer, got 1.5"),
        ({"scale": 0.0}, "scale must be greater than 0, got 0"),
        ({"scale": -1e-3}, "scale must be greater than 0, got -0.001"),
        ({"spatial": 0.0}, "spatial must be greater than 0, got 0"),
        ({"patch": -1}, "patch must be at least 0, got -1"),
        ({"neighbours": 0}, "neighbours must be at least 1, got 0"),
        ({"normalise": "l2"}, "normalise must be one of fro, maxdeg, none, got 'l2'"),
        ({"guide": np.where(g > 0, np.nan, g)}, "guide has .* NaN or infinite of 30 values"),
        ({"guide": g + 1j}, "guide must be a real array"),
        ({"guide": g[None, None]}, r"guide must have one to three image axes, got shape \(1, 1, 5, 6\)"),
        ({"guide": g[0], "channels": True}, r"guide \(channels, \*n\) must have one to three image axes"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.GraphLaplacian(**({"guide": g} | arguments))
    with pytest.raises(ValueError, match=r"every weight vanishes: scale=1e-09 is far below"):
        vi.GraphLaplacian(g, scale=1e-9)(g)
    with pytest.raises(ValueError, match=r"maps shape \(5, 6\) to \(5, 6\), got an array of shape \(6, 5\)"):
        vi.GraphLaplacian(g)(g.T)
    strict = pytest.importorskip("array_api_strict")
    words = "guide is a numpy array but the image is a array_api_strict array; convert guide first"
    with pytest.raises(TypeError, match=words):
        vi.GraphLaplacian(g, scale=1.0)(strict.zeros((5, 6)))
