"""What norms, transmission counts, ℓ1 data, simplex and masks refuse, and the words they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import varinv as vi

NAN = math.nan
ONE = np.ones((3, 4))
T, V = TypeError, ValueError


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: vi.Simplex(total=0), V, "Simplex: total must be greater than 0, got 0"),
        (lambda: vi.Simplex(0.5), T, "Simplex: axis must be an integer, got 0.5"),
        (lambda: vi.Simplex(2)(ONE), V, r"Simplex: axis 2 does not exist in an array of shape \(3, 4\)"),
        (lambda: vi.Simplex(-3) @ vi.Identity((3, 4)), V, "Simplex: axis -3 does not exist"),
        (lambda: vi.L1Ball(-1), V, "L1Ball: radius must be at least 0, got -1"),
        (lambda: vi.L1Ball(NAN), V, "L1Ball: radius must be finite"),
        (lambda: vi.Linf(-1), V, "Linf: weight must be at least 0, got -1"),
        (lambda: vi.Linf(ONE), T, r"Linf: weight must be a real number, got an array of shape \(3, 4\)"),
        (lambda: vi.Nuclear(-0.1), V, "Nuclear: weight must be at least 0, got -0.1"),
        (lambda: vi.Nuclear()(np.ones(3)), V, r"Nuclear: a matrix or a stack .* got shape \(3,\)"),
        (lambda: vi.TensorNuclear()(ONE), V, r"TensorNuclear: a sequence .* got shape \(3, 4\)"),
        (lambda: vi.TensorNuclear() @ vi.Identity((3, 4)), V, "TensorNuclear: a sequence"),
        (lambda: vi.TransmissionPoisson(-ONE, 1.0), V, "TransmissionPoisson: y must not be negative"),
        (lambda: vi.TransmissionPoisson(ONE * NAN, 1.0), V, "TransmissionPoisson: y has 12 NaN"),
        (lambda: vi.TransmissionPoisson(ONE, 0.0), V, "blank must be greater than 0, got 0; mask dead detectors"),
        (
            lambda: vi.TransmissionPoisson(ONE, ONE.T),
            V,
            r"blank must have shape \(3, 4\), got \(4, 3\); it looks trans",
        ),
        (lambda: vi.TransmissionPoisson(ONE, 1.0, -1), V, "background must be at least 0, got -1"),
        (lambda: vi.TransmissionPoisson(ONE, 1.0, np.ones(3)), V, r"background must have shape \(3, 4\), got \(3,\)"),
        (lambda: vi.TransmissionPoisson(ONE, 1.0)(ONE.T), V, r"y must have shape \(4, 3\), got \(3, 4\)"),
        (lambda: vi.L1(y=ONE * NAN), V, "L1: y has 12 NaN"),
        (lambda: vi.L1(ONE, ONE.T), V, r"L1: weight must have shape \(4, 3\), got \(3, 4\); it looks transposed"),
        (lambda: vi.L1(y=ONE)(ONE.T), V, r"L1: y must have shape \(4, 3\), got \(3, 4\)"),
        (lambda: vi.L1(y="image"), T, "L1: y must be a real number, got 'image'"),
        (lambda: vi.Known(ONE, ONE), T, "Known: mask must be a boolean array, got an array of shape .* write e.g."),
        (lambda: vi.Known(ONE, ONE.T > 0), V, r"Known: mask must have shape \(3, 4\), got \(4, 3\)"),
        (lambda: vi.Known(ONE * NAN, ONE > 0), V, "Known: values on the mask has 12 NaN"),
        (lambda: vi.Known(ONE, ONE < 0), V, r"Known: mask of shape \(3, 4\) has no True entry"),
        (lambda: vi.Support(ONE < 0), V, r"Support: mask of shape \(3, 4\) has no True entry"),
        (lambda: vi.Support(3), T, "Support: mask must be a boolean array"),
        (lambda: vi.Support(ONE > 0)(ONE.T), V, r"lo must have shape \(4, 3\), got \(3, 4\)"),
    ],
)
def test_what_they_refuse(make: Any, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        make()
