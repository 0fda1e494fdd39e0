"""Large volumes: `solve` holds one state and no other image, with the same result, and says what that costs."""

from __future__ import annotations

import math
import os
import signal
import tracemalloc

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.backend import POOL
from varinv.solvers import watch

SHAPE = (16, 32, 48)


@pytest.fixture
def large(monkeypatch):
    """Volumes of this test count as large."""
    monkeypatch.setattr(watch, "VOXELS", 1)


def problem(name, shape=SHAPE):
    if name == "denoising":
        return vi.L2Squared(rand(np, shape, 1).astype(np.float32)) + 0.1 * vi.TV(shape)
    A = vi.Radon(SHAPE, vi.ParallelBeam(np.arange(6) * np.pi / 6, 60))
    data = vi.L2Squared(A(rand(np, SHAPE, 1, kind="non-negative").astype(np.float32))) @ A
    return data if name == "least squares" else data + vi.TV(SHAPE) + vi.NonNegative()


SOLVERS = [("ct", None), ("ct", vi.ChambollePock()), ("least squares", vi.CGLS()), ("least squares", vi.SIRT())]


@pytest.mark.parametrize(("name", "solver"), SOLVERS)
def test_the_result_is_the_same_to_the_bit(name, solver, monkeypatch):
    p = problem(name)
    usual = vi.solve(p, solver, stop=vi.iterations(25))
    monkeypatch.setattr(watch, "VOXELS", 1)
    lean = vi.solve(p, solver, stop=vi.iterations(25))
    assert np.array_equal(usual.x, lean.x)
    assert usual.why == lean.why
    assert [r["objective"] for r in usual.history] == [r["objective"] for r in lean.history]


def test_denoising_is_the_same_but_for_rounding(monkeypatch):
    p = problem("denoising")
    usual = vi.solve(p, stop=vi.gap(1e-3))
    monkeypatch.setattr(watch, "VOXELS", 1)
    lean = vi.solve(p, stop=vi.gap(1e-3))
    assert lean.state.k == usual.state.k
    # three passes in the place of one sweep: sums in another order, a few float32 roundings of values up to 4
    assert np.max(abs(lean.x - usual.x)) < 4e-6


def traced(p, solver):
    vi.solve(p, solver, stop=vi.iterations(12))
    POOL.drop(0)
    tracemalloc.start()
    try:
        vi.solve(p, solver, stop=vi.iterations(12))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_one_state_and_one_image_are_held(large):
    # x, u, p (3) and the extrapolated image; a quarter of one for what does not grow with the volume; 11 without
    assert traced(problem("denoising", (32, 64, 64)), None) < 6.25 * 4 * 32 * 64 * 64


def test_the_users_start_is_not_written_over(large):
    x0 = rand(np, SHAPE, 2).astype(np.float32)
    kept = x0.copy()
    vi.solve(problem("denoising"), x0=x0, stop=vi.iterations(5))
    assert np.array_equal(x0, kept)


def test_states_that_are_seen_stay_as_they_are(large):
    seen = []
    vi.solve(problem("denoising"), stop=vi.iterations(6), observe=lambda s: seen.append((s.u, s.u.copy())))
    assert all(np.array_equal(u, kept) for u, kept in seen)


def test_a_rule_of_the_user_sees_the_state_before(large):
    seen = []

    def rule(problem, previous, state):
        if previous is not None:
            seen.append((previous.x is not None, previous.k + 1 == state.k))
        return "enough" if state.k == 5 else None

    vi.solve(problem("denoising"), stop=rule)
    assert seen == [(True, True)] * 5


def test_small_change_still_works(large):
    assert "change" in vi.solve(problem("denoising"), stop=vi.small_change(1e-2) | vi.iterations(500)).why


class Breaks(vi.LinearOperator):
    """The identity, NaN from the third application on; or a Ctrl-C while it is applied."""

    def __init__(self, shape, press=False):
        self.domain = self.codomain = shape
        self.calls, self.press = 0, press

    def forward(self, x):
        self.calls += 1
        if self.press and self.calls == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return x * (math.nan if not self.press and self.calls > 3 else 1.0)

    def adjoint(self, y):
        return y * 1.0

    def norm(self):
        return 1.0

    @classmethod
    def examples(cls):
        yield cls((2, 3, 4))


def test_nan_says_that_no_finite_image_is_held(large):
    y = rand(np, SHAPE, 3).astype(np.float32)
    result = vi.solve(vi.L2Squared(y) @ Breaks(SHAPE) + vi.TV(SHAPE), vi.AdaptiveChambollePock(), stop=vi.iterations(9))
    assert "no finite image is held" in result.why


def test_ctrl_c_returns_the_image_of_a_whole_iteration(large):
    y = rand(np, SHAPE, 3).astype(np.float32)

    def made(press):
        return vi.L2Squared(y) @ Breaks(SHAPE, press=press) + vi.TV(SHAPE)

    ended = vi.solve(made(True), vi.AdaptiveChambollePock(), stop=vi.residual(1e-12) | vi.iterations(50))
    assert ended.interrupted
    k = ended.state.k
    assert 0 < k < 50
    again = made(True)
    again.terms[0].K.calls = 100  # past the key and everything
    assert np.array_equal(ended.x, vi.solve(again, vi.AdaptiveChambollePock(), stop=vi.iterations(k)).x)
