"""The grey value that gives relative weights their scale."""

from __future__ import annotations

import numpy as np
import pytest

import varinv as vi
from varinv.phantom import disc
from varinv.scan.first_problem import typical_grey_value


def test_it_is_the_grey_value_of_bright_parts() -> None:
    geometry = vi.ParallelBeam(np.arange(40) * np.pi / 40, 64)
    y = disc(20.0, 0.3).line_integrals(geometry)
    A = vi.Radon((64, 64), geometry)
    assert typical_grey_value(A, y) == pytest.approx(0.3, rel=0.15)  # overshoot at the edge of the disc: 10 % is usual
    # a power of two: rounding is the same in both, which else grows tenfold a step
    assert typical_grey_value(A, 8 * y) == pytest.approx(8 * typical_grey_value(A, y), rel=1e-6)
