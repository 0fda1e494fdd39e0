"""Half-quadratic splitting with a falling noise level: plug-and-play with a denoiser that knows its noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array
from varinv.linalg import add_scaled
from varinv.priors.common import data_and_denoiser, image_noise, span
from varinv.priors.denoiser import denoised
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.cg import conjugate_gradients


def noise_levels(first: float, last: float, steps: int) -> tuple[float, ...]:
    """`steps` noise levels from first to last, equal ratios apart.

    >>> noise_levels(0.4, 0.1, 3)
    (0.4, 0.2, 0.1)
    """
    first = check.number("noise_levels", "first", first, low=0.0, strict=True)
    last = check.number("noise_levels", "last", last, low=0.0, strict=True)
    steps = check.integer("noise_levels", "steps", steps, low=1)
    ratio = (last / first) ** (1 / max(steps - 1, 1))
    return tuple(round(first * ratio**k, 15) for k in range(steps))


def given_levels(who: str, sigmas: Sequence[float] | None) -> tuple[float, ...] | None:
    """Noise levels that a caller gave, checked; None stays None."""
    if sigmas is None:
        return None
    sequence = sigmas if hasattr(sigmas, "__iter__") and not isinstance(sigmas, str) else (sigmas,)
    levels = tuple(check.number(who, "sigmas", s, low=0.0, strict=True) for s in sequence)
    if not levels:
        raise ValueError(f"{who}: sigmas must hold at least one noise level")
    return levels


class HQSState(NamedTuple):
    """The denoised image x, the image u that fits the data, the iteration number."""

    x: Array
    u: Array
    k: int = 0


@dataclass(frozen=True)
class HQS(Solver):
    r"""Restore images with a denoiser by half-quadratic splitting, from strong noise levels to weak ones.

    min ½‖A x − y‖²/s² + λ g(x) with g given by a denoiser, by splitting x from u (Geman & Yang 1995).

    .. math::
        u ← \arg\min_u ½‖A u − y‖² + \frac{ρ_k}{2}‖u − x‖²,\qquad x ← D(u, σ_k),\qquad ρ_k = λ s²/σ_k²

    s is the noise of the data, σ_k falls from step to step and stays at its last value (Zhang, Li, Zuo, Zhang, Van Gool
    & Timofte 2021).  Without noise the first step is the nearest image that fits the data, u = x − A⁺(A x − y).
    The image returned is the denoised one; without noise the fitted one.

    Parameters
    ----------
    noise : s ≥ 0, the standard deviation of the noise in y; 0: the data are exact.
    sigmas : the noise levels σ_k in the units of x; None: 8 from 49/255 of the range of the denoiser down to the noise
        in those units, s/‖A‖, but not below 0.01 of the range; without noise 15 from 0.2 to 0.01 of it.
    weight : λ; 0.23 is what Zhang et al. use for every task.

    In exact arithmetic the levels do not enter what is minimised, they are a continuation: where they end is a question
    of accuracy.  ‖A‖ carries the unit of the data (line integrals are image values times lengths): with (cA, cy, cs)
    for (A, y, s) the iterates stay the same.

    The problem is ``L2Squared(y) @ A + PnP(denoiser)``; the strength of `PnP` multiplies λ.

    Raises
    ------
    TypeError, ValueError
        In `init`, another problem; noise levels that are not positive.
    """

    noise: float = 0.0
    sigmas: Sequence[float] | None = None
    weight: float = 0.23

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", check.number("HQS", "noise", self.noise, low=0.0))
        object.__setattr__(self, "weight", check.number("HQS", "weight", self.weight, low=0.0, strict=True))
        object.__setattr__(self, "sigmas", given_levels("HQS", self.sigmas))

    def levels(self, denoiser: Any, A: Any) -> tuple[float, ...]:
        """The noise levels σ_k for the operator A."""
        if self.sigmas is not None:
            return tuple(self.sigmas)
        size = span(denoiser)
        if self.noise == 0:
            return noise_levels(0.2 * size, 0.01 * size, 15)
        last = max(image_noise(A, self.noise), 0.01 * size)
        return noise_levels(max(49 / 255 * size, last), last, 8)

    def init(self, problem: Problem, x: Array) -> HQSState:
        data_and_denoiser("HQS", problem)
        return HQSState(x, x)

    def step(self, problem: Problem, s: HQSState) -> HQSState:
        f, A, prior = data_and_denoiser("HQS", problem)
        levels = self.levels(prior.denoiser, A)
        sigma = levels[min(s.k, len(levels) - 1)]
        if self.noise == 0:  # the order of the two steps is turned round: what is returned fits the data
            z = denoised(prior.denoiser, s.u, sigma)
            u = A.project(z, f.y)
            return HQSState(u, u, s.k + 1)
        rho = self.weight * prior.lam * self.noise**2 / sigma**2
        b = add_scaled(A.adjoint(f.y), rho, s.x)
        u = conjugate_gradients(lambda p: add_scaled(A.adjoint(A.forward(p)), rho, p), b, s.u, tol=1e-6, most=200)[0]
        return HQSState(denoised(prior.denoiser, u, sigma), u, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.functionals.data import L2Squared
        from varinv.operators.elementary import Diagonal
        from varinv.priors.plug_and_play import PnP

        prior = PnP(lambda x, sigma: x / (1 + sigma**2))
        yield cls(0.1, (0.5, 0.2)), L2Squared([[0.1, 1.2, 0.9]]) @ Diagonal([[1.0, 2.0, 0.5]]) + prior
