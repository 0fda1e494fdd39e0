"""Least-squares terms as data: what counts as one, and what solvers read off it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import dense, rand

import varinv as vi
from varinv.forms import Quadratic
from varinv.solvers.base import Unsuited
from varinv.solvers.least_squares import data_misfit, gradient, normal, split, square_of

SHAPE = (4, 3)
A = 3.0 * vi.Blur(SHAPE, np.arange(1.0, 4.0).reshape(3, 1))
Y, W = rand(np, SHAPE, 1), rand(np, SHAPE, 2, kind="non-negative") + 0.1
X = rand(np, SHAPE, 3)
TERMS = [vi.L2Squared(Y) @ A, vi.L2Squared(Y, W) @ A, vi.L2Squared(0.3, 2.0) @ A, 0.5 * vi.L2Squared(Y, W)]


class Inside(vi.Functional):
    """½ ‖z − 1‖² where z ≥ 0."""

    def __call__(self, z: Any) -> float:
        return float(np.sum((z - 1) ** 2)) / 2 if np.all(z >= 0) else np.inf

    def form(self) -> Quadratic:
        return Quadratic(1.0, 1.0, lo=0.0)


vi.Functional.kinds.remove(Inside)  # it is of this file only


@pytest.mark.parametrize("solver", [vi.CG(), vi.CGLS(), vi.LSQR()], ids=repr)
@pytest.mark.parametrize("box", [vi.NonNegative(), vi.Box(-1, 2)], ids=repr)
def test_a_square_in_a_box_is_no_square(solver: Any, box: Any) -> None:
    """Its form is a Quadratic all the same: solved as a square, the box would be gone without a word."""
    inside = Inside() @ A
    assert square_of(inside.terms[0]) is None
    assert square_of(vi.Term(box)) is None
    for problem in (vi.L2Squared(Y) @ A + box, vi.L2Squared(Y) @ A + inside):
        with pytest.raises(Unsuited, match=type(solver).__name__):
            vi.solve(problem, solver, stop=vi.iterations(1))


@pytest.mark.parametrize("term", [t if isinstance(t, vi.Term) else t.terms[0] for t in TERMS], ids=repr)
def test_a_square_has_gradient_and_curvature_of_its_matrix(term: Any) -> None:
    square = square_of(term)
    assert square is not None
    K = np.eye(12) if term.K is None else dense(term.K)
    y, w = (np.broadcast_to(v, SHAPE).reshape(-1) for v in (term.f.y, term.f.weight))
    H = K.T @ (w[:, None] * K)
    slope = K.T @ (w * (K @ X.reshape(-1) - y))
    assert np.allclose(gradient([square, square], X).reshape(-1), 2 * slope, rtol=1e-12)
    assert np.allclose(normal([square, square], X).reshape(-1), 2 * H @ X.reshape(-1), rtol=1e-12)
    exact = np.linalg.norm(K, 2) ** 2 * np.max(w)
    assert np.linalg.norm(H, 2) <= square.curvature * (1 + 1e-12)
    assert square.curvature == pytest.approx(exact, rel=0.3)  # norms are bounds: sharp to some percent


def test_the_misfit_of_data_is_the_length_of_the_residual() -> None:
    problem = vi.L2Squared(Y, W) @ A + vi.L2Squared(Y) @ A + 0.1 * vi.L2Squared()
    assert len(split(problem.terms)[0]) == 3
    r = A(X) - Y
    assert data_misfit("test", problem, X) == pytest.approx(np.sqrt(np.sum((1 + W) * r**2)), rel=1e-13)
