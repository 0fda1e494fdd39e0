"""Bounds of losses and hypergradients, term by term: each is attained somewhere, so that none can be left out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from learning_cases import bilevel
from scipy.optimize import brentq

import varinv as vi

pytestmark = pytest.mark.usefixtures("one_thread")


class Scalar:
    """½(x − y − kθ)² + e^{cθ} λ √(x² + ν²) of one pixel, x̃ given: θ shifts the data (k) or weighs the prior (c)."""

    def __init__(self, k: float, c: float, weight: float, nu: float, x: float) -> None:
        self.k, self.c, self.weight, self.nu, self.x = k, c, weight, nu, x

    def __call__(self, theta: Any, y: Any) -> Any:
        return vi.L2Squared(y + self.k * theta[0]) + vi.Charbonnier(self.nu, self.weight * math.exp(self.c * theta[0]))

    def start(self, y: Any) -> Any:
        return np.array([self.x])

    def slope(self, x: float, y: float) -> float:
        return x - y + self.weight * x / math.hypot(x, self.nu)

    def mixed(self, x: float) -> float:
        return -self.k + self.c * self.weight * x / math.hypot(x, self.nu)

    def bounds(self, theta: Any, y: Any, x: Any) -> tuple[float, float, float]:
        L_J = self.c * self.weight / self.nu
        return abs(self.mixed(float(x[0]))), L_J, 48 / (25 * math.sqrt(5)) * self.weight / self.nu**2

    def truth(self, y: float, target: float) -> tuple[float, float]:
        """Loss and its derivative at θ = 0, from the root of the optimality condition."""
        x = brentq(self.slope, -1e3, 1e3, args=(y,), xtol=1e-15, rtol=1e-15)
        hessian = 1 + self.weight * self.nu**2 / math.hypot(x, self.nu) ** 3
        return 0.5 * (x - target) ** 2, -self.mixed(x) * (x - target) / hessian


def evaluate(family: Scalar, error: float, target: float, solved: bool) -> tuple[Any, float, float]:
    """At x̃ with h'(x̃) = error, where μ = 1 claims |x̃ − x̂| ≤ |error|; `solved`: the adjoint as well."""
    y = family.x + family.weight * family.x / math.hypot(family.x, family.nu) - error
    problem = bilevel(family, [(np.array([y]), np.array([target]))], np.zeros(1))
    delta = 1e-14 if solved else 1e9
    return problem.evaluate(np.zeros(1), math.inf, delta), *family.truth(y, target)


SHIFT, WEIGHT = (1.0, 0.0), (0.0, 1.0)  # J = −1 everywhere; J = λφ'(x)


@pytest.mark.parametrize(
    ("kind", "weight", "nu", "x", "error", "target", "solved"),
    [
        pytest.param(SHIFT, 0.0, 1.0, 2.0, 0.1, 2.0, True, id="L_g J e/μ"),
        pytest.param(SHIFT, 0.0, 1.0, 2.0, 0.0, 1.5, False, id="J r/μ"),
        pytest.param(SHIFT, 1e-6, 1e-3, 5e-4, 1e-6, -1e3, True, id="L_H g J e/μ²"),
        pytest.param(WEIGHT, 1e-6, 1e-3, 0.0, 1e-6, -1e3, True, id="L_J g e/μ"),
        pytest.param(WEIGHT, 1e-6, 1e-3, 0.0, 1e-5, 0.0, True, id="L_J L_g e²/μ"),
    ],
)
def test_omega_is_attained(
    kind: Any, weight: float, nu: float, x: float, error: float, target: float, solved: bool
) -> None:
    """‖z − ∇f‖ is within 25 % of ω where one of its five terms stands alone, λ/ν so small that the Hessian is nearly μ.

    (The second derivative of φ at ν/2 varies by some percent over e: that is what the 25 % are for.)
    """
    found, _, slope = evaluate(Scalar(*kind, weight, nu, x), error, target, solved)
    off = abs(float(found.slope[0]) - slope)
    assert 0.75 * found.omega <= off <= found.omega * (1 + 1e-6) + 1e-15


@pytest.mark.parametrize(
    ("weight", "nu", "x", "error", "target", "solved"),
    [
        pytest.param(0.0, 1.0, 2.0, 0.1, 1.5, True, id="L_g e²/2"),
        pytest.param(0.0, 1.0, 2.0, 1e-6, 1.5, False, id="r e"),
        pytest.param(1e-6, 1e-3, 5e-4, 1e-5, -1e3, True, id="L_H q e²/2"),
    ],
)
def test_the_corrected_loss_is_off_by_its_bound(
    weight: float, nu: float, x: float, error: float, target: float, solved: bool
) -> None:
    """|f − f̂| against slack + bend, each of whose three terms stands alone once."""
    found, loss, _ = evaluate(Scalar(*SHIFT, weight, nu, x), error, target, solved)
    off, bound = abs(found.corrected - loss), found.slack + found.bend
    rounding = 4e-16 * loss
    assert 0.75 * bound - rounding <= off <= bound * (1 + 1e-6) + rounding


def test_the_loss_reaches_both_ends() -> None:
    """f is at the upper bound on one side, and on the other within ½e² of the lower one (as ½(x − x*)² is convex)."""
    for sign in (1.0, -1.0):
        found, loss, _ = evaluate(Scalar(*SHIFT, 0.0, 1.0, 2.0), sign * 0.1, 1.5, True)
        end = found.upper if sign < 0 else found.lower + 0.5 * 0.1**2
        assert loss == pytest.approx(end, rel=1e-12)
