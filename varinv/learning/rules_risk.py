"""Rules from the degrees of freedom: Stein's unbiased risk estimate and generalised cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.learning.noise import noise_level
from varinv.learning.path import Sweep
from varinv.learning.rules_base import ChoiceRule, Point, positive
from varinv.linalg import dot


@dataclass(frozen=True, eq=False, repr=False)
class SURE(ChoiceRule):
    r"""Choose parameters by an unbiased estimate of the error, from the data and the noise level.

    Minimise Stein's unbiased estimate of the predictive risk ‖A x_θ − A x*‖² for noise of standard deviation σ.

    .. math::
        ‖A x_θ − y‖² − m σ² + 2 σ² df(θ),\qquad df ≈ b^T A (x_θ(y + t b) − x_θ(y))/t,\quad t = 2σ/m^{0.3}

    One probe b of random signs, the same for every θ, so that the curve is smooth (Stein 1981; Ramani, Blu & Unser
    2008; Deledalle, Vaiter, Fadili & Peyré 2014).  Where A loses information it says nothing about what is lost:
    prefer HoldOut there.  The one rule for several parameters: its gradient is a hypergradient.

    Parameters
    ----------
    noise : σ; None: estimated, from images only (A = I).

    Raises
    ------
    ValueError
        A noise level that is not positive, or that cannot be estimated.
    """

    noise: float | None = None

    criterion = "SURE: estimate of ‖A x − A x*‖²"

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", positive("SURE", "noise", self.noise))

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        sweep.at(theta)
        return noise_level("SURE", self.noise, sweep.y, sweep.term)

    def level(self, prepared: Any) -> float | None:
        return float(prepared)

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        change, reached = sweep.response(theta, prepared)
        r = sweep.at(theta).r
        df, square = dot(sweep.probe, change), dot(r, r)
        return Point(theta, square - sweep.m * prepared**2 + 2 * prepared**2 * df, square**0.5, df, reached)


@dataclass(frozen=True, eq=False, repr=False)
class GCV(ChoiceRule):
    r"""Choose parameters by generalised cross-validation, without knowing the noise level.

    Minimise the generalised cross-validation score m ‖r‖²/(m − df)² (Golub, Heath & Wahba 1979); no σ needed.

    Robust form (Lukas 2006): times γ + (1 − γ) tr(S²)/m, which keeps it from under-smoothing.
    Made for linear reconstructions.

    Parameters
    ----------
    robust : γ in (0, 1], 0.1 to 0.3 as a rule; 1: the plain score.
    """

    robust: float = 1.0

    criterion = "GCV score"

    def __post_init__(self) -> None:
        gamma = check.number("GCV", "robust", self.robust, low=0.0, high=1.0, strict=True)
        object.__setattr__(self, "robust", gamma)

    def prepare(self, sweep: Sweep, theta: float) -> Any:
        return sweep.size()

    def point(self, sweep: Sweep, theta: float, prepared: Any) -> Point:
        change, reached = sweep.response(theta, prepared)
        r, m = sweep.at(theta).r, sweep.m
        df, square = dot(sweep.probe, change), dot(r, r)
        left = max(m - df, 1e-6 * m)
        score = m * square / left**2 * (self.robust + (1 - self.robust) * dot(change, change) / m)
        return Point(theta, score, square**0.5, df, reached)
