"""How much of the data an image leaves unexplained, and what a summary says to look at."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv import phantom
from varinv.fit import beside

N, ANGLES = 48, np.arange(40) * np.pi / 40
G = vi.ParallelBeam(ANGLES, 72)
A = vi.Radon((N, N), G)
BODY = phantom.random_ellipses(1, 20.0)
Y = BODY.line_integrals(G)


def solved(problem: Any, n: int = 60) -> vi.Result:
    return vi.solve(problem, stop=vi.iterations(n))


def by_hand(z: Any, y: Any) -> float:
    return float(np.linalg.norm(z - y) / np.linalg.norm(y))


def test_the_figure_of_each_term_with_data() -> None:
    rng = np.random.default_rng(0)
    w = (rng.random(Y.shape) > 0.2) * 1.0
    wild = np.where(w > 0, Y, 1e3)
    S = vi.Sobolev(Y.shape, s=-0.5)
    result = solved(
        vi.L2Squared(wild, w) @ A + 0.1 * vi.L2Squared(S(Y)) @ S @ A + 0.05 * vi.TV((N, N)) + vi.NonNegative()
    )
    x = np.asarray(result.x, float)
    assert result.misfit == pytest.approx((by_hand(w * A(x), w * Y), by_hand(S(A(x)), S(Y))), rel=1e-9)
    assert f"misfit      ‖A x − y‖ = {result.misfit[0]:.4g} ‖y‖ in L2Squared((40, 72) data, weight" in result.summary()
    assert "look at" not in result.summary()


def test_other_data_terms() -> None:
    counts = np.random.default_rng(1).poisson(50 * Y + 3.0).astype(float)
    kl = solved(vi.KullbackLeibler(counts, background=3.0) @ (50 * A) + 0.5 * vi.TV((N, N)))
    assert kl.misfit == pytest.approx((by_hand(50 * A(kl.x) + 3, counts),), rel=1e-9)
    ball = solved(vi.L2Ball(Y, 1.0) @ A + vi.TV((N, N)))
    assert ball.misfit == pytest.approx((by_hand(A(ball.x), Y),), rel=1e-9)
    assert solved(vi.L2Squared(Y)).misfit == pytest.approx((0.0,), abs=1e-12)  # denoising has data as well
    assert solved(vi.L2Squared() @ A + vi.L2Squared(np.ones((N, N)))).misfit[0] > 0
    assert len(solved(vi.TV((4, 5)) + vi.Box(0, 1), 3).misfit) == 0
    assert solved(vi.L2Squared(np.zeros_like(Y)) @ A, 3).misfit == (0.0,)


class Own(vi.Functional):
    """A data term of somebody else, without a form."""

    def __init__(self, y: Any) -> None:
        self.y = y

    def __call__(self, z: Any) -> float:
        return float(((z - self.y) ** 4).sum())

    def grad(self, z: Any) -> Any:
        return 4 * (z - self.y) ** 3

    def misfit(self, z: Any) -> float:
        return 0.125

    @classmethod
    def examples(cls) -> Any:
        yield cls(np.ones(3)), (3,)


def test_a_class_of_ones_own_says_it_itself() -> None:
    y = np.linspace(0, 1, 6)
    problem = Own(y) + vi.L2Squared(y)
    assert vi.Result(y, None, "", problem=problem).misfit == (0.125, 0.0)
    assert vi.Result(y, None, "", problem=vi.Problem((3.0 * Own(y)).terms)).misfit == (0.125,)


TWO = phantom.disc(6.0, x=13.0) + phantom.disc(4.0, 0.7, x=-9.0, y=8.0)
WRONG = {
    "another axis": lambda: TWO.line_integrals(dataclasses.replace(G, axis=44.0)),
    "angles of half the step": lambda: TWO.line_integrals(dataclasses.replace(G, angles=2 * ANGLES)),
    "transmissions": lambda: np.exp(-0.05 * TWO.line_integrals(G)),
    "views shuffled": lambda: np.random.default_rng(0).permutation(TWO.line_integrals(G)),
    "another pixel size": lambda: TWO.line_integrals(vi.ParallelBeam(ANGLES, 72, 0.5)),
}


@pytest.mark.parametrize("name", WRONG)
def test_data_that_no_image_explains(name: str) -> None:
    result = solved(vi.L2Squared(WRONG[name]()) @ A + 0.05 * vi.TV((N, N)) + vi.NonNegative(), 150)
    assert result.misfit[0] > 0.2
    assert "look at     more than 20 % of the data are explained by no image here: look at the axis" in result.summary()


def test_a_grid_that_is_too_small() -> None:
    small = vi.Radon((24, 24), G)
    result = solved(vi.L2Squared(Y) @ small + 0.05 * vi.TV((24, 24)) + vi.NonNegative())
    share = beside(small, Y)
    assert 0.1 < share < 0.3
    assert (
        f"look at     {share:.0%} of the data lie on rays that miss the image: its grid is smaller" in result.summary()
    )
    assert beside(A, Y) == 0.0  # the body ends inside
    assert beside(small, Y, np.zeros_like(Y)) == 0.0  # nothing counts


def test_noise_of_counts_is_no_mistake() -> None:
    """At 4 counts a bin the noise is a third of the data: nothing to look at."""
    counts = np.random.default_rng(2).poisson(0.3 * Y).astype(float)
    result = solved(vi.KullbackLeibler(counts) @ (0.3 * A) + 0.1 * vi.TV((N, N)), 100)
    assert result.misfit[0] > 0.2
    assert "look at" not in result.summary()
