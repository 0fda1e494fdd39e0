"""Inner products and updates refuse arrays that do not belong together, instead of reading beyond one of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import varinv as vi
from varinv.linalg import add_scaled, distance, dot
from varinv.operators.norms import krylov_bound


@pytest.mark.parametrize("function", [dot, distance, lambda a, b: add_scaled(a, 1.0, b)])
def test_arrays_of_two_shapes_are_refused(function: Any) -> None:
    for one, two in (((400,), (10,)), ((3,), (300,)), ((4, 3), (3, 4)), ((4, 3), (12,))):
        with pytest.raises(ValueError, match="do not belong together"):
            function(np.ones(one), np.ones(two))


def test_an_adjoint_of_another_shape_is_an_error() -> None:
    class Cut(vi.LinearOperator):
        domain = codomain = (6, 6)

        def forward(self, x: Any) -> Any:
            return x

        def adjoint(self, y: Any) -> Any:
            return y[:5, :5].copy()

        def norm(self) -> float:
            return 1.0

    vi.LinearOperator.kinds.remove(Cut)
    y = np.ones((6, 6))
    data, smooth = vi.L2Squared(y) @ Cut(), 0.1 * vi.TV((6, 6), smoothing=0.1)
    for solver, problem in ((None, data + 0.1 * vi.TV((6, 6))), (vi.CGLS(), data), (vi.ADMM(), data + smooth),
                            (vi.LBFGS(), data + smooth)):  # fmt: skip
        with pytest.raises(ValueError, match="shape"):
            vi.solve(problem, solver)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bound_of_a_map_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite values for a finite image"):
        krylov_bound(lambda x: bad * x, np.zeros(20))
