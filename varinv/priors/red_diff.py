"""RED-diff: a variational fit of one image by stochastic gradients, regularised by a denoiser at many noise levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace, normal
from varinv.priors.common import adam, data_and_denoiser, span
from varinv.priors.denoiser import denoised
from varinv.priors.hqs import given_levels, noise_levels
from varinv.problem import Problem
from varinv.solvers.base import Solver


class REDDiffState(NamedTuple):
    """The image x, the running means of gradient m and of its square v, the iteration number."""

    x: Array
    m: Array
    v: Array
    k: int = 0


@dataclass(frozen=True)
class REDDiff(Solver):
    r"""Restore an image by gradient steps with a denoiser, from strong noise levels to weak ones.

    Mardani, Song, Kautz & Vahdat (2023), in the variance-exploding form for any denoiser.

    .. math::
        u = x + σ_k ε,\quad \hat ε = (u − D(u, σ_k))/σ_k,\quad
        g = λ σ_k (\hat ε − ε) + A^T(A x − y),\quad x ← \mathrm{Adam}(x, g)

    ε are standard normal numbers from the seed; λ σ_k is the paper's inverse signal-to-noise weight.  Both parts of g
    are sums, not means, so that λ keeps its meaning when the number of measurements changes.  Adam of Kingma & Ba
    (2015) with β = (0.9, 0.99).  Sensitive to λ and to the rate; there is no convergence proof.

    Parameters
    ----------
    sigmas : falling noise levels in the units of x; None: 40 from 0.2 to 0.01 of the range of the denoiser.
    weight : λ; the strength of `PnP` multiplies it.
    rate : the step of Adam as a share of the range of the denoiser.
    seed : of the noise.

    The problem is ``L2Squared(y) @ A + PnP(denoiser)``.  Start from an image that fits the data.

    Raises
    ------
    TypeError, ValueError
        In `init`, another problem; parameters that are not positive.
    """

    sigmas: Sequence[float] | None = None
    weight: float = 0.25
    rate: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weight", "rate"):
            object.__setattr__(self, name, check.number("REDDiff", name, getattr(self, name), low=0.0, strict=True))
        check.integer("REDDiff", "seed", self.seed, low=0)
        object.__setattr__(self, "sigmas", given_levels("REDDiff", self.sigmas))

    def levels(self, denoiser: Any) -> tuple[float, ...]:
        """The noise levels σ_k."""
        size = span(denoiser)
        return noise_levels(0.2 * size, 0.01 * size, 40) if self.sigmas is None else tuple(self.sigmas)

    def init(self, problem: Problem, x: Array) -> REDDiffState:
        data_and_denoiser("REDDiff", problem)
        zero = namespace(x).zeros_like(x)
        return REDDiffState(x, zero, zero)

    def step(self, problem: Problem, s: REDDiffState) -> REDDiffState:
        f, A, prior = data_and_denoiser("REDDiff", problem)
        levels = self.levels(prior.denoiser)
        sigma = levels[min(s.k, len(levels) - 1)]
        epsilon = normal(s.x, self.seed, s.k)
        u = s.x + sigma * epsilon
        guess = (u - denoised(prior.denoiser, u, sigma)) / sigma
        g = self.weight * prior.lam * sigma * (guess - epsilon) + A.adjoint(A.forward(s.x) - f.y)
        move, m, v = adam(g, s.m, s.v, s.k + 1)
        return REDDiffState(s.x - self.rate * span(prior.denoiser) * move, m, v, s.k + 1)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.functionals.data import L2Squared
        from varinv.operators.elementary import Diagonal
        from varinv.priors.plug_and_play import PnP

        prior = PnP(lambda x, sigma: x / (1 + sigma**2))
        yield cls((0.5, 0.2)), L2Squared([[0.1, 1.2, 0.9]]) @ Diagonal([[1.0, 2.0, 0.5]]) + prior
