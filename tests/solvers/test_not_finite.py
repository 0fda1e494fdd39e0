"""An operator that begins to return NaN in the middle of a run: the run ends, says so, and returns an image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from conftest import solver_kinds

import varinv as vi
from varinv.operators.base import LinearOperator


class Flaky(LinearOperator):
    """K, but for NaN from the n-th application on."""

    def __init__(self, K: Any, n: int) -> None:
        self.K, self.n, self.calls = K, n, 0
        self.domain, self.codomain = K.domain, K.codomain

    def forward(self, x: Any) -> Any:
        self.calls += 1
        y = self.K.forward(x)
        return y * np.nan if self.calls > self.n else y

    def adjoint(self, y: Any) -> Any:
        return self.K.adjoint(y)

    def norm(self) -> float:
        return float(self.K.norm())

    def absolute(self) -> Any:
        return self if self.K.absolute() is self.K else None


LinearOperator.kinds.remove(Flaky)


@pytest.mark.parametrize("kind", solver_kinds(), ids=lambda c: c.__name__)
def test_nan_in_the_middle_of_a_run_is_said_and_an_image_is_returned(kind: Any) -> None:
    seen = 0
    for solver, problem in kind.examples():
        place = next((i for i, t in enumerate(problem.terms) if t.K is not None), None)
        if place is None or "PnP" in repr(problem) or "denoise" in repr(problem):
            continue
        flaky = Flaky(problem.terms[place].K, 25)
        terms = list(problem.terms)
        terms[place] = dataclasses.replace(terms[place], K=flaky)
        try:
            result = vi.solve(vi.Problem(tuple(terms)), solver, stop=vi.iterations(400))
        except (TypeError, ValueError):  # it cannot be split by views, or says itself that something is not finite
            continue
        if flaky.calls <= flaky.n:  # solved before
            continue
        seen += 1
        if result.finite:  # what is solved exactly does not move any more: the NaN never met the image
            straight = vi.solve(problem, solver, stop=vi.iterations(400)).x
            assert np.array_equal(result.x, straight), f"{result.why}: NaN was taken for numbers"
            continue
        assert result.why.startswith("not finite at iteration"), result.why
        assert np.isfinite(result.x).all()
        assert not result.finite
    if not seen:
        pytest.skip("no example of this solver runs on an operator of one's own for so long")
