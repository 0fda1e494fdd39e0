"""ADMM and linearised ADMM: scale, bits after a restart, array libraries, starts at a solution, refusals."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import rand
from test_admm import BOTH, PERIODIC, SHAPE, A, Y, after, periodic_tv

import varinv as vi
from varinv.backend import to_numpy
from varinv.functionals.sparsity import L21
from varinv.linalg import norm

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("solver", BOTH, ids=["admm", "linearised"])
def test_the_iteration_is_free_of_scale(solver: Any) -> None:
    for build, power in (
        (lambda c: vi.L2Squared(c * Y) @ A + 0.1 * c * vi.TV(SHAPE) + vi.NonNegative(), 1),
        (lambda c: vi.L2Squared(c * Y) + 0.1 * c * vi.TV(SHAPE), 1),
        (lambda c: vi.KullbackLeibler(c * abs(Y), 0.1 * c) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative(), 1),
        (lambda c: vi.L2Ball(c * Y, 0.9 * c) @ A + 0.3 * vi.TV(SHAPE) + vi.NonNegative(), 1),
        (lambda c: vi.L2Squared(Y) @ (c * A) + 0.1 * c * vi.TV(SHAPE), -1),  # the operator in other units
        (lambda c: c * (vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()), 0),  # only the objective
    ):
        reference = after(solver, build(1.0), 40).x
        for c in (1e-3, 1e3):
            # ADMM stops its inner solves by comparing: 1e-8 where rounding decides one of them otherwise
            assert norm(after(solver, build(c), 40).x / c**power - reference) <= 1e-8 * norm(reference)


@pytest.mark.parametrize("solver", BOTH, ids=["admm", "linearised"])
def test_resumed_is_uninterrupted_bit_for_bit(solver: Any) -> None:
    y = rand(np, (11, 7), 1, "float32")
    blur = vi.Blur((11, 7), np.ones((3, 3)) / 9)
    smooth = L21(0.1) @ vi.Gradient((11, 7), boundary="periodic")
    for problem in (vi.L2Squared(y) @ blur + 0.1 * vi.TV((11, 7)) + vi.NonNegative(), vi.L2Squared(y) @ blur + smooth):
        straight = after(solver, problem, 30)
        halfway = pickle.loads(pickle.dumps(after(solver, problem, 13)))
        fresh = pickle.loads(pickle.dumps(problem))
        resumed = after(solver, fresh, 17, resume=halfway)
        assert resumed.k == straight.k == 30
        assert straight.x.dtype == np.float32
        assert resumed.x.tobytes() == straight.x.tobytes()
        assert [a.tobytes() for a in resumed.y] == [a.tobytes() for a in straight.y]


@pytest.mark.parametrize("solver", BOTH, ids=["admm", "linearised"])
def test_every_library_gives_the_numbers_of_numpy(solver: Any, xp: Any) -> None:
    for K, tv in ((vi.Blur(SHAPE, np.ones((3, 2)), "reflect"), 0.1 * vi.TV(SHAPE)), (PERIODIC, periodic_tv(0.1))):
        expected = after(solver, vi.L2Squared(Y) @ K + tv + vi.NonNegative(), 12).x
        for dtype, tol in (("float64", 1e-9), ("float32", 1e-3)):
            y = xp.asarray(Y.astype(dtype), dtype=getattr(xp, dtype))
            problem = vi.L2Squared(y) @ K + tv + vi.NonNegative()
            previous, state = itertools.islice(solver.states(problem), 11, 13)
            assert state.x.dtype == y.dtype
            assert np.abs(to_numpy(state.x) - expected).max() <= tol * np.abs(expected).max()
            assert isinstance(state.residual(problem, previous), float)


def test_a_solution_as_start_stays() -> None:
    problem = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    solved = after(vi.ADMM(), problem, 400)
    again = after(vi.ADMM(), problem, 3, resume=solved)
    assert norm(again.x - solved.x) <= 1e-9 * norm(solved.x)
    zero = vi.solve(vi.L2Squared(0 * Y) @ A + vi.NonNegative(), vi.ADMM(), stop=vi.iterations(5)).x
    assert not zero.any()


def test_what_they_cannot_take_is_refused() -> None:
    class Smooth(vi.Functional):
        def __call__(self, x: Any) -> float:
            return 0.0

    vi.Functional.kinds.remove(Smooth)
    problem = vi.L2Squared(Y) @ A + Smooth() @ vi.Identity(SHAPE)
    for solver, words in zip(BOTH, ("ADMM needs a prox", "needs a prox of every term"), strict=True):
        with pytest.raises(TypeError, match=words):
            solver.init(problem, 0 * Y)
    good = vi.L2Squared(Y) @ A + 0.1 * vi.TV(SHAPE) + vi.NonNegative()
    with pytest.raises(ValueError, match="rho needs 2 numbers, one for each split term, got 3"):
        vi.ADMM(rho=(1.0, 2.0, 3.0)).init(good, 0 * Y)
    for options, words in (
        ({"rho": 0.0}, "rho must be greater than 0"),
        ({"rho": (1.0, -1.0)}, "rho must be"),
        ({"adapt": -1}, "adapt must be at least 0"),
        ({"accuracy": 1.0}, "accuracy must be between 0 and 0.9"),
        ({"relaxation": 2.0}, "relaxation must be below 2"),
    ):
        with pytest.raises(ValueError, match=words):
            vi.ADMM(**options)
    with pytest.raises(ValueError, match="may diverge"):
        vi.LinearisedADMM(tau=10.0, rho=10.0).init(good, 0 * Y)
