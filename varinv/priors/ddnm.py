"""Denoising null-space sampling: images that fit exact data, drawn with a denoiser."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, normal
from varinv.priors.common import data_and_denoiser, span
from varinv.priors.denoiser import denoised
from varinv.priors.hqs import given_levels, noise_levels
from varinv.problem import Problem
from varinv.solvers.base import Solver


class DDNMState(NamedTuple):
    """The estimate x, which fits the data; the noisy image u; the iteration number."""

    x: Array
    u: Array
    k: int = 0


@dataclass(frozen=True)
class DDNM(Solver):
    r"""Draw an image that fits exact data, by diffusion with a denoiser.

    Denoising diffusion null-space model (Wang, Yu & Zhang 2023), in the variance-exploding form.

    .. math::
        d = D(u, σ_k),\quad x = d − Λ\,A^+(A d − y),\quad
        u ← x + σ_{k+1}\bigl(η ζ + \sqrt{1−η²}\,(u − d)/σ_k\bigr)

    with ζ standard normal numbers from the seed.  Exact data: Λ = 1, so that A x = y at every step, in the last of
    `sigmas` up to rounding.  Noisy data (DDNM+, for co-isometries A Aᵀ = c·I such as masks, block means, identity):
    what A sees is corrected by Λ = 1 while σ_{k+1} ≥ s/√c, and by Λ = √(1−η²) σ_{k+1}√c/s below, so that the noise the
    data bring in never exceeds that of the step; the fresh noise there is what is missing to σ_{k+1}.  After the last
    level the next one counts as 0 and x is the result: one draw from an approximate posterior, not its mean.

    Parameters
    ----------
    noise : s ≥ 0, the standard deviation of the noise in y.
    sigmas : falling noise levels in the units of x; None: 25 from 0.2 to 0.005 of the range of the denoiser.
    eta : η in [0, 1], the share of fresh noise.
    seed : of the noise.

    The problem is ``L2Squared(y) @ A + PnP(denoiser)``.

    Raises
    ------
    TypeError, ValueError
        In `init`, another problem, or noise with an operator that is no multiple of a co-isometry.
    """

    noise: float = 0.0
    sigmas: Sequence[float] | None = None
    eta: float = 0.85
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "noise", check.number("DDNM", "noise", self.noise, low=0.0))
        object.__setattr__(self, "eta", check.number("DDNM", "eta", self.eta, low=0.0, high=1.0))
        check.integer("DDNM", "seed", self.seed, low=0)
        object.__setattr__(self, "sigmas", given_levels("DDNM", self.sigmas))

    def levels(self, denoiser: Any) -> tuple[float, ...]:
        """The noise levels σ_k."""
        size = span(denoiser)
        return noise_levels(0.2 * size, 0.005 * size, 25) if self.sigmas is None else tuple(self.sigmas)

    def init(self, problem: Problem, x: Array) -> DDNMState:
        _, A, prior = data_and_denoiser("DDNM", problem)
        if self.noise > 0 and A.coisometry() is None:
            raise ValueError(
                "DDNM: with noise > 0 the singular values of A must all be equal (masks, block means, identity), "
                f"got {A}; use HQS(noise)"
            )
        return DDNMState(x, x + self.levels(prior.denoiser)[0] * normal(x, self.seed, 0))

    def step(self, problem: Problem, s: DDNMState) -> DDNMState:
        f, A, prior = data_and_denoiser("DDNM", problem)
        levels = (*self.levels(prior.denoiser), 0.0)
        if s.k >= len(levels) - 1:  # the schedule is over
            return s._replace(k=s.k + 1)
        sigma, after = levels[s.k], levels[s.k + 1]
        d = denoised(prior.denoiser, s.u, sigma)
        fresh, kept = self.eta * after, math.sqrt(1 - self.eta**2) * after / sigma
        zeta = normal(s.u, self.seed, s.k + 1)
        if self.noise == 0:
            x = A.project(d, f.y)
            return DDNMState(x, x + fresh * zeta + kept * (s.u - d), s.k + 1)
        brought = self.noise / math.sqrt(A.coisometry())  # standard deviation of A⁺ of the noise, where A sees
        share = 1.0 if after >= brought else math.sqrt(1 - self.eta**2) * after / brought
        x = d - share * (d - A.project(d, f.y))
        seen_noise = math.sqrt(max(after**2 - (share * brought) ** 2, 0.0))
        unseen = A.nullspace(fresh * zeta + kept * (s.u - d))
        return DDNMState(x, x + unseen + seen_noise * (zeta - A.nullspace(zeta)), s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.functionals.data import L2Squared
        from varinv.operators.elementary import Identity
        from varinv.operators.sampling import Subsampling
        from varinv.priors.plug_and_play import PnP

        prior = PnP(lambda x, sigma: x / (1 + sigma**2))
        yield cls(sigmas=(0.5, 0.2)), L2Squared([0.1, 1.2]) @ Subsampling((1, 3), [[True, False, True]]) + prior
        yield cls(0.1, sigmas=(0.5, 0.2)), L2Squared([[0.1, 1.2]]) @ Identity((1, 2)) + prior
