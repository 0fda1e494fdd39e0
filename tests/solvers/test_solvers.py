"""Chambolle–Pock: closed forms, independent optima, steps, bits, buffers, scales."""

from __future__ import annotations

import importlib
import itertools
import math
import pickle
import pkgutil
import warnings
from collections.abc import Iterator
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from conftest import dense, rand
from skimage.data import camera
from skimage.restoration import denoise_tv_chambolle

import varinv as vi
import varinv.solvers
from varinv.backend import POOL
from varinv.functionals.base import Scaled
from varinv.linalg import norm
from varinv.operators.gradient import Gradient
from varinv.problem import as_problem
from varinv.solvers.base import Solver

SHAPE = (4, 5)


pytestmark = pytest.mark.usefixtures("one_thread")


def state_at(problem: Any, k: int, solver: Any = None, **start: Any) -> Any:
    return next(itertools.islice((solver or vi.ChambollePock()).states(problem, **start), k, None))


def small(seed: int) -> tuple[Any, np.ndarray]:
    """A small operator with positive and zero entries, and data of it."""
    rng = np.random.default_rng(seed)
    A = vi.Diagonal(rng.uniform(0.2, 2, SHAPE)) @ vi.Blur(SHAPE, rng.uniform(size=(3, 3)), boundary="zero")
    return A, A.forward(rng.uniform(size=SHAPE)) + 0.1 * rng.standard_normal(SHAPE)


def test_every_solver_has_examples_that_it_solves() -> None:
    for _, name, _ in pkgutil.iter_modules(varinv.solvers.__path__):
        importlib.import_module(f"varinv.solvers.{name}")  # registers what is in it
    kinds = [cls for cls in Solver.kinds if cls.__module__.startswith("varinv.solvers.")]
    assert vi.ChambollePock in kinds
    for cls in kinds:
        cls()  # every solver constructs without arguments
        for solver, problem in cls.examples():
            x = vi.solve(problem, solver, stop=vi.residual(1e-11) | vi.iterations(3000)).x
            assert np.isfinite(problem(x))
            rng = np.random.default_rng(0)
            for scale in np.logspace(-4, 0, 20):  # nothing nearby is better
                assert problem(x) <= problem(x + scale * rng.standard_normal(x.shape)) + 1e-9 * abs(problem(x)) + 1e-12


def test_closed_forms() -> None:
    y, w = rand(np, SHAPE, 1), rand(np, SHAPE, 2, kind="non-negative") + 0.7
    D = vi.Diagonal(w)
    far = vi.residual(1e-10) | vi.iterations(5000)
    for problem, exact in (
        (vi.L2Squared(y) @ D + vi.L2Squared(0.0, 0.5), w * y / (w**2 + 0.5)),
        (vi.L2Squared(y) @ D, y / w),
        (vi.L2Squared(y) + vi.L1(0.4), np.sign(y) * np.maximum(abs(y) - 0.4, 0)),
        (vi.L2Squared(y) + vi.L1(0.4) @ vi.Identity(SHAPE), np.sign(y) * np.maximum(abs(y) - 0.4, 0)),
        (vi.L2Squared(y) + vi.Box(-0.2, 0.5), np.clip(y, -0.2, 0.5)),
        (vi.L2Squared(y, 1e-4) + vi.NonNegative(), np.maximum(y, 0)),
        (vi.L2Squared(y) + vi.NonNegative() @ vi.Identity(SHAPE), np.maximum(y, 0)),
        (vi.L2Squared(3 * y) + vi.L2Ball(y, 0.5), y + 0.5 * y / norm(y)),
        (vi.L2Squared(y) + 1e3 * vi.TV(SHAPE), np.full(SHAPE, y.mean())),
        (vi.L2Squared(y) @ vi.Diagonal(np.zeros(SHAPE)) + vi.L2Squared(y), y),
    ):
        problem = as_problem(problem)
        result = vi.solve(problem, stop=far)
        accelerated = problem.simple is not None and problem.simple.convexity > 0 and problem.coupled
        # Algorithm 2 has a rate of 1/k; the others are linear here: a residual of 1e-10 and conditions below 100
        assert np.abs(result.x - exact).max() <= (1e-4 if accelerated else 1e-8), problem


def cases() -> Iterator[Any]:
    for seed in range(3):
        A, y = small(seed)
        a, x = dense(A), cp.Variable(20)
        tv = cp.sum(cp.norm((dense(Gradient(SHAPE)) @ x).reshape((2, 20), order="C"), axis=0))
        r, b = a @ x - y.reshape(-1), y.reshape(-1)
        counts = np.round(4 * np.maximum(y, 0))
        yield f"squares-{seed}", vi.L2Squared(y) @ A + 0.1 * vi.TV(SHAPE), 0.5 * cp.sum_squares(r) + 0.1 * tv, []
        yield f"ball-{seed}", vi.L2Ball(y, 0.4) @ A + vi.TV(SHAPE), tv, [cp.norm(r) <= 0.4]
        yield f"l1-{seed}", vi.L1() @ A + 0.3 * vi.TV(SHAPE) + vi.L2Squared(y, 0.2), (
            cp.norm1(a @ x) + 0.3 * tv + 0.1 * cp.sum_squares(x - b)), []  # fmt: skip
        kl = cp.sum(cp.kl_div(counts.reshape(-1), a @ x + 0.1))
        yield f"counts-{seed}", vi.KullbackLeibler(counts, 0.1) @ A + 0.2 * vi.TV(SHAPE) + vi.NonNegative(), (
            kl + 0.2 * tv), [x >= 0]  # fmt: skip


@pytest.mark.parametrize(("problem", "objective", "limits"), [pytest.param(*c[1:], id=c[0]) for c in cases()])
def test_agreement_with_an_independent_optimum(problem: Any, objective: Any, limits: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = cp.Problem(cp.Minimize(objective), limits).solve(solver=cp.CLARABEL)
    result = vi.solve(problem, stop=vi.residual(1e-7) | vi.iterations(5000))
    value = sum(t(result.x) for t in problem.terms if not isinstance(t.f, vi.L2Ball))
    assert value == pytest.approx(best, rel=1e-4)  # a residual of 1e-7 times conditions of some 100
    for t in problem.terms:
        if isinstance(t.f, vi.L2Ball):
            assert norm(t.K(result.x) - t.f.y) <= t.f.radius * (1 + 1e-4)


def test_default_steps_satisfy_their_condition_against_the_dense_norm() -> None:
    for _, problem, _, _ in cases():
        for solver in (vi.ChambollePock(), vi.ChambollePock(tau=0.3), vi.ChambollePock(sigma=0.2)):
            tau, sigma = solver.steps(problem)
            K = np.vstack([math.sqrt(s) * dense(t.K) for s, t in zip(sigma, problem.coupled, strict=True)])
            product = tau * np.linalg.norm(K, 2) ** 2
            assert 0.05 < product <= 1  # and not by tiny steps
    problem = vi.L2Squared(np.ones(SHAPE)) @ vi.Identity(SHAPE) + vi.TV(SHAPE)
    for bad in (vi.ChambollePock(tau=1.0, sigma=0.2), vi.ChambollePock(tau=0.5, sigma=(1.5, 0.2))):
        with pytest.raises(ValueError, match=r"tau=.* give τ Σσ‖K‖² = [\d.]+ > 1"):
            vi.solve(problem, bad)
    with pytest.raises(ValueError, match="sigma needs 2 numbers, one for each coupled term, got 3"):
        vi.solve(problem, vi.ChambollePock(sigma=(1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match=r"gamma=2 exceeds the strong convexity 1"):
        vi.solve(vi.L2Squared(np.ones(SHAPE)) + vi.TV(SHAPE), vi.ChambollePock(gamma=2))


def test_singleton_axes_and_zero_operators() -> None:
    for shape in ((1, 1), (1, 7), (5,), (3, 4, 2)):
        y = rand(np, shape, 1)
        for data in (vi.L2Squared(y) @ vi.Identity(shape), vi.L2Squared(y)):
            result = vi.solve(data + 0.2 * vi.TV(shape), stop=vi.residual(1e-3) | vi.iterations(3000))
            assert result.why.startswith("residual")
            assert (data + 0.2 * vi.TV(shape))(result.x) <= (data + 0.2 * vi.TV(shape))(np.full(shape, y.mean())) + 1e-3
    zero = vi.Diagonal(np.zeros(SHAPE))
    result = vi.solve(vi.L2Squared(np.ones(SHAPE)) @ zero + vi.TV(SHAPE), vi.ChambollePock(), x0=rand(np, SHAPE, 3))
    assert result.why.startswith("residual")
    assert np.ptp(result.x) <= 1e-3


def two_problems(y: np.ndarray) -> list[vi.Problem]:
    tv = 0.1 * vi.TV(y.shape)
    return [vi.L2Squared(y) + tv, vi.L2Squared(y) @ vi.Blur(y.shape, np.ones((3, 3)) / 9) + tv + vi.NonNegative()]


@pytest.mark.parametrize("gamma", [0, None])
def test_resumed_is_uninterrupted_bit_for_bit(gamma: Any) -> None:
    y = rand(np, (31, 17), 1, "float32")
    for problem in two_problems(y):
        solver = vi.ChambollePock(gamma=gamma)
        straight = state_at(problem, 40, solver)
        halfway = pickle.loads(pickle.dumps(state_at(problem, 17, solver)))
        resumed = state_at(problem, 23, solver, resume=halfway)
        assert resumed.k == straight.k == 40
        flat = [np.asarray(a).tobytes() for s in (straight, resumed) for a in (s.x, s.x_bar, *s.y, s.tau, s.sigma)]
        assert flat[: len(flat) // 2] == flat[len(flat) // 2 :]
        assert straight.x.dtype == np.float32
        assert (straight.tau < solver.steps(problem)[0]) == (gamma is None and problem.simple.convexity > 0)


def test_states_never_change_and_a_long_run_allocates_nothing() -> None:
    y = rand(np, (256, 256), 1, "float32")
    for problem in two_problems(y):
        kept: list[Any] = []
        for state in itertools.islice(vi.ChambollePock().states(problem), 50):
            if state.k % 3 == 0:
                views = (state.x[3::7, ::5], state.y[-1][:, 1::2, ::3])
                kept.append((state, views, [a.tobytes() for a in (state.x, state.x_bar, *state.y, *views)]))
        for state, views, before in kept:
            assert [a.tobytes() for a in (state.x, state.x_bar, *state.y, *views)] == before
        del kept, state, views, before
        made = {}
        for state in itertools.islice(vi.ChambollePock().states(problem), 50):
            made[state.k] = POOL.made
        assert made[49] == made[3]


def iterate_50(problem: Any, solver: Any = None) -> np.ndarray:
    return np.asarray(next(itertools.islice((solver or vi.ChambollePock()).states(as_problem(problem)), 50, None)).x)


def test_the_iteration_is_free_of_scale() -> None:
    shape, y = (16, 12), rand(np, (16, 12), 1)
    A = vi.Diagonal(rand(np, shape, 2, kind="non-negative") + 0.1)
    for build, power in (
        (lambda c: vi.L2Squared(c * y) @ A + 0.1 * c * vi.TV(shape) + vi.NonNegative(), 1),
        (lambda c: vi.L2Squared(c * y) @ A + 0.1 * c * vi.TV(shape), 1),
        (lambda c: vi.L2Squared(c * y) + 0.1 * c * vi.TV(shape), 1),
        (lambda c: vi.KullbackLeibler(c * abs(y), 0.1 * c) @ A + 0.1 * vi.TV(shape) + vi.NonNegative(), 1),
        (lambda c: vi.L2Ball(c * y, 2 * c) @ A + 0.3 * vi.TV(shape) + vi.NonNegative(), 1),
        (lambda c: vi.L2Squared(y) @ (c * A) + 0.1 * c * vi.TV(shape), -1),  # the operator in other units
        (lambda c: c * (vi.L2Squared(y) @ A + 0.1 * vi.TV(shape) + vi.NonNegative()), 0),  # only the objective
    ):
        reference = iterate_50(build(1.0))
        for c in (1e-3, 1e3):
            assert norm(iterate_50(build(c)) / c**power - reference) <= 1e-10 * norm(reference)
    known = rand(np, shape, 4) > 0
    for build, power, solver in (
        (lambda c: vi.L2Squared(c * y) + 0.1 * c * vi.TV(shape), 1, vi.ChambollePock(gamma=0)),
        (lambda c: c * (vi.L2Squared(y) + 0.1 * vi.TV(shape)), 0, vi.ChambollePock(gamma=0)),
        (lambda c: vi.Known(c * y, known) + vi.TV(shape), 1, vi.ChambollePock()),
        (lambda c: vi.Known(y, known) + c * vi.TV(shape), 0, vi.ChambollePock()),
        (lambda c: vi.Known(y, known) + vi.Problem((vi.Term(Scaled(c, vi.L21()), vi.Gradient(shape)),)), 0,
         vi.ChambollePock()),
        (lambda c: c * vi.L1(y=y) @ A, 0, vi.ChambollePock()),
        (lambda c: c * (0.1 * vi.TV(shape) + vi.L1(y=y) @ A), 0, vi.ChambollePock()),
    ):  # fmt: skip
        reference = iterate_50(build(1.0), solver)
        for c in (1e-6, 1e6):
            assert norm(iterate_50(build(c), solver) / c**power - reference) <= 1e-10 * norm(reference)
    for data in (vi.L1(y=y), vi.L2Ball(y, 2.0)):  # nor does the order of the terms matter
        one, other = (iterate_50(p) for p in (data @ A + 0.3 * vi.TV(shape), 0.3 * vi.TV(shape) + data @ A))
        assert norm(one - other) <= 1e-10 * norm(one)
    angles = np.linspace(0, math.pi, 12, endpoint=False)
    image = rand(np, (24, 20), 3, kind="non-negative")
    found = {}
    for h in (1.0, 1e-3, 1e3):
        R = vi.Radon((24, 20), vi.ParallelBeam(angles, 37, spacing=h), pixel_size=h)
        sinogram = R.forward(image / h)
        found[h] = h * iterate_50(vi.L2Squared(sinogram) @ R + 0.05 * h * vi.TV((24, 20)) + vi.NonNegative())
    for h in (1e-3, 1e3):
        assert norm(found[h] - found[1.0]) <= 1e-10 * norm(found[1.0])


def test_algorithm_2_has_its_rate() -> None:
    """The gap falls like 1/k²: a tenth or less at four times the iterations (1/16 in theory)."""
    y = camera()[100:164, 100:164] / 255 + 0.1 * rand(np, (64, 64), 1)
    problem = vi.L2Squared(y) + 0.1 * vi.TV(y.shape)
    gaps = {k: problem.gap(s.x, s.y).relative for k in (40, 160, 640) for s in [state_at(problem, k)]}
    assert gaps[160] <= gaps[40] / 10
    assert gaps[640] <= gaps[160] / 10


def test_the_residual_is_the_distance_of_zero_from_the_optimality_conditions() -> None:
    y, w = rand(np, SHAPE, 1), 0.5 + rand(np, SHAPE, 2, kind="non-negative")
    A = vi.Diagonal(w)
    problem = vi.L2Squared(y) @ A + vi.L2Squared(0.2 * y, 0.3)
    previous, state = itertools.islice(vi.ChambollePock().states(problem), 30, 32)
    # both parts are smooth here, so the subgradients are unique: ∇g(x) + Aᵀq and ∇f*(q) − Ax with f*(q) = q²/2 + qy
    assert state.sigma != previous.sigma  # Algorithm 2
    p = 0.3 * (state.x - 0.2 * y) + w * state.y[0]
    d = state.y[0] + y - w * state.x
    expected = max(norm(p) / norm(w * state.y[0]), norm(d) / norm(w * state.x))
    assert state.residual(problem, previous) == pytest.approx(expected, rel=1e-9)


def test_the_residual_falls_where_the_pulled_duals_cancel() -> None:
    """Kᵀy = 0 at the solution: without g, or where x > 0 everywhere."""
    y = 2 + rand(np, (9, 8), 1)
    data, tv = vi.L2Squared(y) @ vi.Identity(y.shape), 0.2 * vi.TV(y.shape)
    for problem in (data + tv, data + tv + vi.NonNegative(), data + vi.NonNegative()):
        result = vi.solve(problem, stop=vi.residual(1e-5) | vi.iterations(5000))
        assert result.why.startswith("residual"), problem
        fine = vi.solve(problem, x0=result.x, stop=vi.iterations(4000)).x
        assert norm(result.x - fine) <= 1e-3 * norm(fine)


def test_tv_denoising_reaches_scikit_image_and_proves_it() -> None:
    """scikit-image minimises ‖u − y‖²/2 + (weight/2)·2… in its own scaling: weight is λ of ½‖u − y‖² + λ TV(u)."""
    y = camera()[200:264, 200:264] / 255 + 0.1 * rand(np, (64, 64), 1)
    lam = 0.12
    problem = vi.L2Squared(y) + lam * vi.TV(y.shape)
    result = vi.solve(problem, stop=vi.gap(1e-6) | vi.iterations(20000))
    theirs = denoise_tv_chambolle(y, weight=lam, eps=1e-12, max_num_iter=5000)
    found = problem.gap(result.x, result.state.y)
    assert result.gap <= 1e-6
    assert found.dual <= problem(theirs)  # the proof holds for their image too
    assert problem(result.x) <= problem(theirs) + (found.primal - found.dual)
    assert problem(theirs) <= problem(result.x) * (1 + 2e-3)  # so λ means the same
    assert np.abs(result.x - theirs).max() <= 0.03
