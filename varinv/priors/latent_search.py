"""The latent code whose image fits the data: a search on spheres."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace, same_place
from varinv.functionals.data import L2Squared
from varinv.linalg import dot
from varinv.operators.base import LinearOperator
from varinv.priors.common import adam, data_term, relative_residual
from varinv.priors.decoder import Decoder, checked_decoder
from varinv.problem import Problem
from varinv.result import Result
from varinv.solvers.base import Solver


class LatentSearchState(NamedTuple):
    """The image x of the best code so far, that code, its ½‖A x − y‖²; the current code z, its image; Adam; k."""

    x: Array
    best: Array
    misfit: float
    z: Array
    image: Array
    m: Array
    v: Array
    k: int = 0


@dataclass(frozen=True, eq=False)
class LatentSearch(Solver):
    r"""Search the images that a decoder can draw for the one that fits the data.

    min ½‖A G(z) − y‖² over codes z whose rows keep their length; Menon, Damian, Hu, Ravi & Rudin (2020).

    Standard normal codes of n entries have lengths near √n, so that the sphere is where a generator was trained: every
    row (last axis) of z stays on the sphere of its start.  Adam on the tangential gradient, each step projected back;
    the rate rises to `rate` and falls again over `steps`, as published.  Image and code returned are those of the best
    iterate.

    Parameters
    ----------
    decoder : G.
    steps, rate : length of the schedule, largest step of Adam.
    sphere : False: codes are free.
    start : first code; None: drawn from `seed`, rows of length √n.

    The problem is ``L2Squared(y) @ A`` and nothing else.
    """

    decoder: Decoder
    steps: int = 100
    rate: float = 0.4
    sphere: bool = True
    start: Array | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checked_decoder("LatentSearch", self.decoder, self.start)
        check.integer("LatentSearch", "steps", self.steps, low=1)
        check.integer("LatentSearch", "seed", self.seed, low=0)
        object.__setattr__(self, "rate", check.number("LatentSearch", "rate", self.rate, low=0.0, strict=True))

    def init(self, problem: Problem, x: Array) -> LatentSearchState:
        data_term("LatentSearch", problem, alone=True)
        xp = namespace(x)
        if self.start is None:
            z = self.decoder.code(x, self.seed)
            z = z * (self.decoder.latent[-1] ** 0.5 / _lengths(z)) if self.sphere else z
        else:
            z = same_place("LatentSearch", "start", self.start, x)
        image, misfit = self._judged(problem, z)
        return LatentSearchState(image, z, misfit, z, image, xp.zeros_like(z), xp.zeros_like(z))

    def _judged(self, problem: Problem, z: Array) -> tuple[Array, float]:
        f, A = data_term("LatentSearch", problem, alone=True)
        image = self.decoder(z)
        r = A(image) - f.y
        return image, 0.5 * dot(r, r)

    def step(self, problem: Problem, s: LatentSearchState) -> LatentSearchState:
        f, A = data_term("LatentSearch", problem, alone=True)
        xp, k = namespace(s.z), s.k + 1
        g = self.decoder.back(s.z, A.adjoint(A.forward(s.image) - f.y))
        if self.sphere:
            g = g - xp.sum(g * s.z, axis=-1, keepdims=True) / _lengths(s.z) ** 2 * s.z
        move, m, v = adam(g, s.m, s.v, k)
        z = s.z - self.rate * tent(s.k / self.steps) * move
        if self.sphere:
            z = z * (_lengths(s.z) / _lengths(z))
        image, misfit = self._judged(problem, z)
        if misfit < s.misfit:
            return LatentSearchState(image, z, misfit, z, image, m, v, k)
        return LatentSearchState(s.x, s.best, s.misfit, z, image, m, v, k)

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Problem]]:
        from varinv.operators.elementary import Diagonal

        twice = Decoder(lambda z: 2 * z, lambda z, v: 2 * v, (1, 3))
        yield cls(twice, steps=10), Problem((L2Squared([[0.1, 1.2, 0.9]]) @ Diagonal([[1.0, 2.0, 0.5]]),))


def latent_search(
    A: LinearOperator,
    y: Array,
    decoder: Decoder,
    noise: float = 0.0,
    *,
    steps: int = 100,
    restarts: int = 1,
    rate: float = 0.4,
    sphere: bool = True,
    start: Array | None = None,
    tolerance: float | None = None,
    seed: int = 0,
) -> Result:
    """Reconstruct an image as one that a decoder can draw.

    An image G(z) that fits y = A x + noise, of `restarts` searches (`LatentSearch`) the one that fits best.

    Such images look like what the decoder was trained on whether or not the truth does: details that the data do not
    fix are inventions, and they inherit every bias of the training set.

    `result.notes` holds the code "z", the "data_residual" ‖A x − y‖/(√m·noise), or over ‖y‖ where noise is 0, and
    "fits": whether that is at most `tolerance` (None: 1.2, without noise 0.05); `result.why` says so in words.

    Raises
    ------
    TypeError, ValueError
        Arguments without meaning; a decoder whose images A does not take.
    """
    from varinv.solvers.rules import iterations
    from varinv.solvers.solve import solve

    if not isinstance(A, LinearOperator):
        raise TypeError(f"latent_search: A must be a LinearOperator, got {check.describe(A)}")
    noise = check.number("latent_search", "noise", noise, low=0.0)
    most = (1.2 if noise else 0.05) if tolerance is None else tolerance
    most = check.number("latent_search", "tolerance", most, low=0.0)
    problem = Problem((L2Squared(y) @ A,))
    found: Any = None
    for k in range(check.integer("latent_search", "restarts", restarts, low=1)):
        first = start if k == 0 else None
        solver = LatentSearch(decoder, steps, rate, sphere, first, seed + k)
        result = solve(problem, solver, stop=iterations(steps))
        found = result if found is None or result.state.misfit < found.state.misfit else found
    value = relative_residual(A, y, found.x, noise)
    fits = value <= most
    words = "fits" if fits else "no code found fits"
    why = f"{found.why}; {words}: data residual {value:.3g} of the {'noise level' if noise else 'data'}"
    notes = {"z": found.state.best, "data_residual": value, "fits": fits}
    best: Result = dataclasses.replace(found, why=why, notes={**found.notes, **notes})
    return best


def tent(t: float) -> float:
    """The rate over the run, 0 ≤ t: from 0.1 to 1 and back within 0.9, then down to 1e-3."""
    if t < 0.9:
        return 1 - abs(t - 0.45) * 2
    return max(0.1 - (t - 0.9) * 0.99, 1e-3)


def _lengths(z: Array) -> Array:
    xp = namespace(z)
    return xp.sqrt(xp.sum(z * z, axis=-1, keepdims=True))
