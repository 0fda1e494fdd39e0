"""A Gaussian posterior of latent codes, fitted to the data: images with uncertainty maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, is_array, namespace, normal, same_place
from varinv.functionals.data import L2Squared
from varinv.operators.base import LinearOperator
from varinv.priors.common import adam, data_term
from varinv.priors.decoder import Decoder, checked_decoder
from varinv.problem import Problem
from varinv.result import Result
from varinv.solvers.base import Solver

LOG_A = (math.log(1.5e-5), math.log(20.0))
LOG_B = (math.log(1e-4), math.log(3.0))


class VBLEState(NamedTuple):
    """The image x = G(z) of the mean code z, the logarithms of the deviations a (codes) and b (pixels), Adam, k."""

    x: Array
    z: Array
    log_a: Array
    log_b: Array | None
    moments: tuple[tuple[Array, Array], ...]
    k: int = 0


@dataclass(frozen=True, eq=False)
class VBLE(Solver):
    r"""Find a whole distribution of codes that explain the data, not one code alone, for uncertainty maps.

    The Gaussian q(z) = N(z̄, diag a²) nearest to the posterior of a latent code; Biquard et al. (2024).

    .. math::
        \min_{\bar z, a}\; E_q \frac{‖A\,G(z) − y‖²}{2 s²} + λ\,\mathrm{KL}(q ‖ p)

    by Adam on reparametrised draws z̄ ± a ζ in pairs (the noise of the gradient cancels to first order); the rate falls
    by a factor 1000 in the second half.  With `spread` the image is uncertain given its code as well (VBLE-xz):
    x = G(z) + b σ(z) ε, and KL(N(0, b²) ‖ N(0, 1)) is added for every pixel.  For a linear decoder without spread and
    M = GᵀAᵀA G/s²: z̄ = (M + λ)⁻¹ GᵀAᵀy/s², a_i² = 1/(1 + M_ii/λ).  A Gaussian without correlations is narrower than
    the posterior where codes can make up for each other: the map is then a lower bound.

    Parameters
    ----------
    decoder : G.
    noise : s > 0, the standard deviation of the noise in y.
    weight : λ; 1 is the Bayesian value.
    score : z ↦ −∇ log p(z); None: standard normal codes.
    spread : σ(z), the standard deviation of pixels given the code: a number, an image, or a `Decoder`; None: none.
    steps, rate : length of the schedule, step of Adam.
    start : first mean code; None: zero.
    seed : of the draws.

    The problem is ``L2Squared(y) @ A`` and nothing else.
    """

    decoder: Decoder
    noise: float
    weight: float = 1.0
    score: Callable[[Array], Array] | None = None
    spread: Any = None
    steps: int = 300
    rate: float = 0.1
    start: Array | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checked_decoder("VBLE", self.decoder, self.start)
        for name in ("noise", "weight", "rate"):
            object.__setattr__(self, name, check.number("VBLE", name, getattr(self, name), low=0.0, strict=True))
        check.integer("VBLE", "steps", self.steps, low=1)
        check.integer("VBLE", "seed", self.seed, low=0)
        if self.score is not None and not callable(self.score):
            raise TypeError(f"VBLE: score must be callable, z ↦ −∇ log p(z), got {check.describe(self.score)}")
        if self.spread is not None and not isinstance(self.spread, Decoder):
            object.__setattr__(self, "spread", check.weight("VBLE", self.spread, name="spread"))

    def init(self, problem: Problem, x: Array) -> VBLEState:
        data_term("VBLE", problem, alone=True)
        xp = namespace(x)
        z = 0.0 * self.decoder.code(x, 0) if self.start is None else same_place("VBLE", "start", self.start, x)
        image = self.decoder(z)
        log_b = None if self.spread is None else xp.zeros_like(image)
        fitted = (z, xp.full_like(z, -3.0), *(() if log_b is None else (log_b,)))
        return VBLEState(image, z, fitted[1], log_b, tuple((xp.zeros_like(p), xp.zeros_like(p)) for p in fitted))

    def step(self, problem: Problem, s: VBLEState) -> VBLEState:
        f, A = data_term("VBLE", problem, alone=True)
        xp, k, lam = namespace(s.z), s.k + 1, self.weight
        zeta, a = normal(s.z, self.seed, s.k), xp.exp(s.log_a)
        epsilon, b = (normal(s.x, self.seed, s.k, 1), xp.exp(s.log_b)) if s.log_b is not None else (None, None)
        g_z, g_a, g_b = (0.0 * s.z, 0.0 * s.z, 0.0 * s.x)
        for sign in (1.0, -1.0):
            z = s.z + sign * a * zeta
            x = self.decoder(z)
            if b is not None:
                noise = sign * b * epsilon
                x = x + sigma(self.spread, z) * noise
            r = A.adjoint(A.forward(x) - f.y) / self.noise**2
            g = self.decoder.back(z, r)
            if b is not None:
                g = g + (self.spread.back(z, r * noise) if isinstance(self.spread, Decoder) else 0.0)
                g_b = g_b + 0.5 * r * sigma(self.spread, z) * noise
            if self.score is not None:
                g = g + lam * self.score(z)
            g_z, g_a = g_z + 0.5 * g, g_a + 0.5 * sign * g * zeta * a
        if self.score is None:
            g_z, g_a = g_z + lam * s.z, g_a + lam * a * a
        gradients = [g_z, g_a - lam] + ([] if b is None else [g_b + lam * (b * b - 1)])
        rate = self.rate * 1e-3 ** min(max(2 * s.k / self.steps - 1, 0.0), 1.0)
        old = (s.z, s.log_a) if s.log_b is None else (s.z, s.log_a, s.log_b)
        new, moments = [], []
        for p, gradient, (m, v) in zip(old, gradients, s.moments, strict=True):
            move, m, v = adam(gradient, m, v, k)
            new.append(p - rate * move)
            moments.append((m, v))
        log_b = None if s.log_b is None else xp.clip(new[2], *LOG_B)
        return VBLEState(self.decoder(new[0]), new[0], xp.clip(new[1], *LOG_A), log_b, tuple(moments), k)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.operators.elementary import Diagonal

        twice = Decoder(lambda z: 2 * z, lambda z, v: 2 * v, (1, 3))
        problem = Problem((L2Squared([[0.1, 1.2, 0.9]]) @ Diagonal([[1.0, 2.0, 0.5]]),))
        yield cls(twice, 0.3, steps=10), problem
        yield cls(twice, 0.3, spread=0.1, steps=10), problem


@dataclass(frozen=True, eq=False, repr=False)
class LatentPosterior:
    """What the data say about the image: a mean, an uncertainty map and random draws.

    Draws are x = G(z) (+ b σ(z) ε), z ~ N(z̄, diag a²).

    x : the image of the mean code, G(z̄).
    mean, std : mean of the posterior and its standard deviation in every pixel, from `samples` draws.
    z, a, b : mean and deviations of the code, deviation of the pixels in units of `spread` (None without).
    result : of the fit.
    """

    x: Array
    mean: Array
    std: Array
    z: Array
    a: Array
    b: Array | None
    solver: VBLE
    result: Result

    def draw(self, *seeds: int) -> Array:
        """One image of the posterior."""
        return _draw(self.solver, self.result.state, *seeds)

    def __repr__(self) -> str:
        return f"LatentPosterior({tuple(self.x.shape)}, code {tuple(self.z.shape)}: {self.result.why})"


def latent_posterior(
    A: LinearOperator,
    y: Array,
    decoder: Decoder,
    noise: float,
    weight: float = 1.0,
    *,
    score: Callable[[Array], Array] | None = None,
    spread: Any = None,
    steps: int = 300,
    rate: float = 0.1,
    start: Array | None = None,
    samples: int = 100,
    seed: int = 0,
) -> LatentPosterior:
    """Reconstruct an image and its uncertainty map with a decoder.

    The posterior of the image for y = A x + noise and a decoder of standard normal codes; arguments as in `VBLE`.

    Uncertainty is that of the code: what the decoder cannot draw counts as impossible, so that the map is too small
    where the truth lies outside of its range.

    Raises TypeError, ValueError for arguments without meaning, and a decoder whose images A does not take.
    """
    from varinv.solvers.rules import iterations
    from varinv.solvers.solve import solve

    if not isinstance(A, LinearOperator):
        raise TypeError(f"latent_posterior: A must be a LinearOperator, got {check.describe(A)}")
    samples = check.integer("latent_posterior", "samples", samples, low=2)
    solver = VBLE(decoder, noise, weight, score, spread, steps, rate, start, seed)
    result = solve(Problem((L2Squared(y) @ A,)), solver, stop=iterations(steps))
    state, xp = result.state, namespace(result.x)
    mean, spreads = 0.0 * state.x, 0.0 * state.x
    for k in range(samples):  # Welford: nothing cancels
        x = _draw(solver, state, seed, k)
        before = x - mean
        mean = mean + before / (k + 1)
        spreads = spreads + before * (x - mean)
    b = None if state.log_b is None else xp.exp(state.log_b)
    std = xp.sqrt(spreads / (samples - 1))
    return LatentPosterior(state.x, mean, std, state.z, xp.exp(state.log_a), b, solver, result)


def _draw(solver: VBLE, s: VBLEState, *seeds: int) -> Array:
    xp = namespace(s.z)
    z = s.z + xp.exp(s.log_a) * normal(s.z, *seeds, 2)
    x = solver.decoder(z)
    return x if s.log_b is None else x + xp.exp(s.log_b) * sigma(solver.spread, z) * normal(x, *seeds, 3)


def sigma(spread: Any, z: Array) -> Any:
    """The standard deviation of the pixels given the code."""
    if isinstance(spread, Decoder):
        return spread(z)
    return same_place("VBLE", "spread", spread, z) if is_array(spread) else spread
