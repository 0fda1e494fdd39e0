"""Promises that a user relies on without thinking of them, each broken once in review."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import rand

import varinv as vi
from varinv.operators.base import LinearOperator

Y = rand(np, (6, 5), 1, kind="non-negative")
SMOOTH = vi.L2Squared(Y) + 0.1 * vi.TV(Y.shape, smoothing=0.1)


def test_a_rule_used_twice_believes_no_certificate_of_another_problem() -> None:
    rule, solver = vi.gap(1e-3), vi.ChambollePock()
    for scale in (30.0, 1.0):
        problem = vi.L2Squared(scale * Y) + 0.1 * vi.TV(Y.shape)
        state = vi.last(vi.until(problem, solver.states(problem), rule))
        assert problem.gap(state.x, state.y).relative <= 1.1e-3  # the best bound seen may be a little above the last


def test_a_wrong_adjoint_is_found_by_the_certificate() -> None:
    class Wrong(vi.Diagonal, same_map=True):
        def adjoint(self, y):
            return 0 * super().adjoint(y)

    LinearOperator.kinds.remove(Wrong)
    problem = vi.L2Squared(Y) @ Wrong(1 + Y) + 0.01 * vi.TV(Y.shape) + vi.Box(0, 2)
    # the adjoint's fault makes the dual value of this point larger than any primal one
    state = vi.ChambollePock().init(problem, Y / (1 + Y))._replace(y=(-Y, np.zeros((2, 6, 5))))
    with pytest.raises(ValueError, match="is not the transpose of its forward"):
        vi.gap(1e-3)(problem, None, state)


def test_integer_images_count_as_float64_and_are_refused_inside_functionals() -> None:
    x = np.arange(30).reshape(6, 5)
    for f in (SMOOTH, SMOOTH.grad, lambda a: SMOOTH.hvp(a, a)):
        assert np.array_equal(f(x), f(x.astype(float)))
    for call in (
        lambda: vi.NonNegative().prox(x, 1.0),
        lambda: vi.L2Squared(Y).grad(x),
        lambda: vi.KullbackLeibler(Y).grad(x),
    ):
        with pytest.raises(TypeError, match="real floating arrays, got dtype int64"):
            call()


def test_the_start_image_is_copied_and_takes_the_dtype_of_the_data() -> None:
    x0 = np.ones((6, 5), np.float32)
    result = vi.solve(SMOOTH, x0=x0, stop=vi.iterations(0))
    x0[:] = 9
    assert result.x.dtype == np.float64
    assert result.x.max() == 1
    identity = vi.Identity((6, 5))
    assert identity(Y) is not Y


@pytest.mark.parametrize("make", [vi.Gradient, vi.Identity, lambda shape: vi.Blur(shape=shape, kernel=np.ones((3, 3))),
                                  lambda shape: vi.Subsampling(shape=shape, mask=np.ones(shape, bool)),
                                  lambda shape: vi.Downsampling(shape=shape, factor=2),
                                  lambda shape: vi.Radon(shape=shape, geometry=vi.ParallelBeam([0.0], 4))])  # fmt: skip
def test_operators_take_shape_by_name(make) -> None:
    assert make(shape=(4, 6)).domain == (4, 6)


@pytest.mark.study
def test_default_steps_suit_more_than_tomography() -> None:
    """Iterations to 1 % of the optimum: 3000 were not enough with a constant made for tomography."""
    rng = np.random.default_rng(0)
    truth = np.kron(rng.random((6, 6)), np.ones((8, 8)))
    psf = np.outer(*2 * [np.exp(-0.5 * (np.arange(-3, 4) / 1.2) ** 2)])
    for A in (vi.Identity(truth.shape), vi.Subsampling(truth.shape, rng.random(truth.shape) < 0.5),
              vi.Downsampling(truth.shape, 2), vi.Blur(truth.shape, psf / psf.sum())):  # fmt: skip
        problem = vi.L2Squared(A(truth) + 0.01) @ A + 0.02 * vi.TV(truth.shape) + vi.NonNegative()
        best = problem(vi.solve(problem, stop=vi.iterations(6000)).x)
        states = vi.ChambollePock().states(problem)
        needed = next(s.k for s in states if s.k % 20 == 0 and (problem(s.x) <= 1.01 * best or s.k > 1000))
        print(f"{A}: {needed} iterations to 1 %")
        assert needed <= 600, A  # measured 40, 260, 80, 80; twice the largest, and a little


def test_an_axis_far_outside_the_detector_is_named(tmp_path) -> None:
    np.save(tmp_path / "lines.npy", np.ones((12, 20), np.float32))
    with pytest.raises(ValueError, match="axis=9999 lies more than a detector width outside columns 0 to 19"):
        vi.read(tmp_path / "lines.npy", angles=np.linspace(0, 3, 12), axis=9999)
