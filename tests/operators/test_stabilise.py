"""Stabilising pre-steps and the constants that measure them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import models_stabilisers as study

pytestmark = pytest.mark.usefixtures("one_thread")


def test_constants_of_linear_maps_are_their_formulas():
    """ψ = M: the clean error is ‖(M A − I) x‖, the noisy one ‖(M A − I) x + M e‖."""
    A = vi.Blur((4, 5), np.ones((3, 3)) / 9)
    M = np.linalg.inv(dense(A).T @ dense(A) + 0.1 * np.eye(20)) @ dense(A).T
    images = [rand(np, (4, 5), k) for k in range(3)]
    found = vi.stability(lambda y: (M @ y.reshape(-1)).reshape(y.shape), A, images, 0.2, seed=3)
    rng = np.random.default_rng(3)
    clean, noisy, sizes = [], [], []
    for x in images:
        e = 0.2 * rng.standard_normal((4, 5)).reshape(-1)
        bias = M @ dense(A) @ x.reshape(-1) - x.reshape(-1)
        clean.append(np.linalg.norm(bias))
        noisy.append(np.linalg.norm(bias + M @ e))
        sizes.append(np.linalg.norm(e))
    assert found.accuracy == pytest.approx(max(clean), rel=1e-12)
    assert found.constant == pytest.approx(max((n - max(clean)) / s for n, s in zip(noisy, sizes, strict=True)))
    assert found.errors == pytest.approx(noisy)
    assert found.clean == pytest.approx(clean)
    assert "3 images" in repr(found)


def test_exact_inverses_have_the_gain_of_their_worst_direction():
    A = vi.Diagonal(np.array([1.0, 0.01]))
    found = vi.stability(lambda y: y / np.array([1.0, 0.01]), A, [np.ones(2)] * 20, 0.1)
    assert found.accuracy <= 1e-12
    assert 30 <= found.constant <= 100 * (1 + 1e-9)  # 1/0.01, unless all draws miss that direction


def test_cgls_steps_are_krylov_projections():
    A, y = vi.Blur((5, 6), rand(np, (3, 3), 0, kind="non-negative")), rand(np, (5, 6), 1)
    a, lam = dense(A), 0.3
    H, b = a.T @ a + lam * np.eye(30), a.T @ y.reshape(-1)
    K = np.stack([np.linalg.matrix_power(H, k) @ b for k in range(3)], axis=1)  # the Krylov space of three steps
    best = K @ np.linalg.lstsq(K.T @ H @ K, K.T @ b, rcond=None)[0]
    assert np.allclose(vi.cgls_steps(A, 3, lam)(y).reshape(-1), best, atol=1e-6)
    assert vi.cgls_steps(A, 1)(y.astype("f4")).dtype == np.float32


def test_photographs_behind_a_blur():
    """E15 on five photographs: few steps are stable, a hundred are not, and a filter in front of them helps."""
    found = study.table(
        study.photographs(5), ("2 updates", "3 updates", "100 updates", "100 after Gauss"), (0.01, 0.05)
    )
    for name, row in found.items():
        print(f"E15 {name:<16} {row}")
    assert found["2 updates"][0.05].constant <= 0.15
    assert found["100 updates"][0.01].constant >= 5
    assert found["100 after Gauss"][0.01].constant <= found["100 updates"][0.01].constant / 5
    assert found["3 updates"][0.01].accuracy < found["2 updates"][0.01].accuracy


def test_bad_input():
    A, x = vi.Identity((3, 4)), np.ones((3, 4))
    for arguments, text in (
        ({"psi": 3.0}, "stability: psi must be callable"),
        ({"noise": 0.0}, "noise must be greater than 0, got 0"),
        ({"images": []}, "images is empty"),
        ({"images": [x.T]}, r"got an array of shape \(4, 3\): it looks transposed"),
        ({"images": [x * np.nan]}, "an image has 12 NaN"),
        ({"psi": lambda y: y.T}, r"psi must return an image of shape \(3, 4\), got an array of shape \(4, 3\)"),
        ({"psi": lambda y: y * np.nan}, r"psi\(y\) has 12 NaN or infinite"),
    ):
        with pytest.raises((TypeError, ValueError), match=text):
            vi.stability(**({"psi": lambda y: y, "A": A, "images": [x], "noise": 0.1} | arguments))
    with pytest.raises(TypeError, match="Stabilised: psi must be callable"):
        vi.Stabilised(lambda y: y, None)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        vi.cgls_steps(A, 0)
    with pytest.raises(ValueError, match="lam must be at least 0, got -1"):
        vi.cgls_steps(A, 2, -1.0)
