"""One call around a denoiser: restore an image from y = A x + noise, with the safeguards such methods need."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from varinv import check
from varinv.backend import Array, namespace
from varinv.functionals.data import L2Squared
from varinv.operators.base import LinearOperator
from varinv.priors.common import data_residual, image_noise, smooth_start, span
from varinv.priors.ddnm import DDNM
from varinv.priors.denoiser import NetworkError
from varinv.priors.drp import DRP
from varinv.priors.hqs import HQS
from varinv.priors.network import Network
from varinv.priors.plug_and_play import RED, PnP
from varinv.priors.red_diff import REDDiff
from varinv.problem import Problem
from varinv.result import Result
from varinv.solvers.admm import ADMM
from varinv.solvers.base import Solver, start
from varinv.solvers.chambolle_pock import ChambollePock
from varinv.solvers.fista import FISTA
from varinv.solvers.proximal_gradient import ProximalGradient
from varinv.solvers.rules import iterations
from varinv.solvers.solve import solve

METHODS = ("hqs", "pnp", "pnp-fista", "pnp-admm", "pnp-chambolle-pock", "red", "red-diff", "ddnm", "drp")
_SCHEDULED = ("hqs", "red-diff", "ddnm")  # with a list of noise levels; the first two have a weight


def restore(
    A: LinearOperator,
    y: Array,
    denoiser: Any,
    noise: float,
    method: str = "hqs",
    steps: int | None = None,
    x0: Array | None = None,
    seed: int = 0,
    *,
    sigmas: Sequence[float] | None = None,
    weight: float | None = None,
    H: LinearOperator | None = None,
    image: tuple[float, float] | None = None,
    tile: int | None = None,
    overlap: int = 32,
    average: bool = False,
    clip: bool = False,
    observe: Callable[[Any], Any] | None = None,
    progress: bool = False,
) -> Result:
    """Restore an image from noisy data with a denoiser, or a restoration network, as the prior.

    The data are y = A x + noise.

    ==================== ===================================================================================
    hqs                  half-quadratic splitting with falling noise levels: the one to try first (`HQS`)
    pnp, pnp-fista,      the denoiser in the place of the prox of λ = noise², in the solvers as they are, at
    pnp-admm,            the noise level √(step·λ) that their steps imply; 100 iterations (ADMM 30)
    pnp-chambolle-pock
    red                  regularisation by denoising at 2.5 noise/‖A‖, with λ = noise²/5 (`RED`); 200 iterations
    red-diff             stochastic variational fit (`REDDiff`)
    ddnm                 one draw of an image that fits the data (`DDNM`); exact data, or A with equal singular values
    drp                  `denoiser` restores H x to x, called as denoiser(s); needs `H` (`DRP`); 35 iterations
    ==================== ===================================================================================

    For other parameters construct these solvers and call `solve`.

    **Safeguards.**  The data residual ‖A x − y‖/(√m·noise), or over ‖y‖ where noise is 0, is recorded at every
    iteration.  The last iterate is returned, unless its residual is above 1.2 (without noise above 0.01) and more than
    twice that of the best one, the nearest to 1 (to 0): then that one is.  A network that breaks down, or an iterate
    that is not finite, ends the run with the best iterate so far.  `result.notes` holds the residual and which iterate
    it is; so does `result.why`.

    Parameters
    ----------
    A, y : operator and data.
    denoiser : (x, sigma) -> x in the units of x, e.g. from `from_torch`.
    noise : standard deviation of the noise in y; 0: exact data.
    method : see above.
    steps : iterations; None: as above.
    x0 : first image; None: a smooth one that fits the data.
    seed : of the methods that draw random numbers.
    sigmas : noise levels in the units of the image, for the methods that have a list of them ("hqs", "red-diff",
        "ddnm"), one iteration each; None: theirs.
    weight : the weight λ of the denoiser ("hqs", "red-diff"); None: theirs.
    H : the operator a restoration network was trained for ("drp").
    image, tile, overlap, average, clip : as in `Network`, for a plain denoiser made for images in 0…1, or in place of
        those a `Network` has.
    observe, progress : as in `solve`.

    Raises
    ------
    TypeError, ValueError
        An unknown method, noise 0 where the method needs noise, `sigmas` or `weight` where it has none, data of another
        shape, and what a denoiser does wrong in the first step.
    """
    if not isinstance(A, LinearOperator):
        raise TypeError(f"restore: A must be a LinearOperator, got {check.describe(A)}")
    y = check.real_array("restore", "y", y)
    check.same_shape("restore", "y", y, tuple(A.codomain))
    noise = check.number("restore", "noise", noise, low=0.0)
    if method not in METHODS:
        raise ValueError(f"restore: method must be one of {', '.join(METHODS)}, got {method!r}")
    if not callable(denoiser):
        raise TypeError(f"restore: denoiser must be callable as denoiser(x, sigma), got {check.describe(denoiser)}")
    steps = None if steps is None else check.integer("restore", "steps", steps, low=1)
    if image is not None or tile is not None or average or clip:
        denoiser = dressed(denoiser, image, tile, overlap, average, clip)
    solver, problem, usual = _choose(A, y, denoiser, noise, method, seed, sigmas, weight, H)
    x = smooth_start(A, y, noise / span(denoiser)) if x0 is None else start(problem, x0)
    best = _Best(L2Squared(y) @ A + PnP(denoiser), noise, x)

    def watch(state: Any) -> dict[str, Any]:
        seen = observe(state) if observe is not None else None
        more = {} if seen is None else dict(seen) if isinstance(seen, dict) else {"observed": seen}
        return {"data_residual": best.offer(state), **more}

    try:
        result = solve(
            problem, solver, x0=x, stop=iterations(usual if steps is None else steps), observe=watch, progress=progress
        )
    except NetworkError as error:
        if best.last < 1:
            raise
        result = Result(
            best.x,
            best.state,
            f"the network broke down after iteration {best.last}: {error}",
            problem=problem,
            solver=solver,
        )
        return best.finish(result, broken=True)
    return best.finish(result, broken=result.why.startswith("not finite"))


class _Best:
    """The iterate with the smallest data residual so far, and the choice at the end."""

    def __init__(self, problem: Problem, noise: float, x: Array) -> None:
        self.problem, self.noise, self.x = problem, noise, x
        self.state: Any = None
        self.residual, self.k, self.last, self.now = float("inf"), 0, -1, float("inf")

    def offer(self, state: Any) -> float:
        self.last, self.now = state.k, data_residual(self.problem, state.x, self.noise)
        if state.k > 0 and self._worse(self.residual) > self._worse(self.now):  # the start is no result of the method
            self.residual, self.k, self.x, self.state = self.now, state.k, state.x, state
        return self.now

    def _worse(self, residual: float) -> float:
        """How far a data residual is from what it should be: 1 in units of the noise, 0 without noise."""
        return abs(math.log(max(residual, 1e-300))) if self.noise > 0 else residual

    def finish(self, result: Result, broken: bool) -> Result:
        allowed = 1.2 if self.noise > 0 else 1e-2
        back = self.state is not None and (broken or (self.now > allowed and self.now > 2 * self.residual))
        k, value = (self.k, self.residual) if back else (self.last, self.now)
        unit = "of the noise level" if self.noise > 0 else "of the data"
        why = f"{result.why}; data residual {value:.3g} {unit}"
        if back:
            why += f"; the best iterate, {k} of {self.last}, is returned"
        notes = {**result.notes, "data_residual": value, "returned_iterate": k}
        return dataclasses.replace(result, x=self.x if back else result.x, why=why, notes=notes)


def _choose(
    A: LinearOperator,
    y: Array,
    denoiser: Any,
    noise: float,
    method: str,
    seed: int,
    sigmas: Sequence[float] | None,
    weight: float | None,
    H: LinearOperator | None,
) -> tuple[Solver, Problem, int]:
    """(solver, problem, iterations) of a method."""
    for name, value, having in (("sigmas", sigmas, _SCHEDULED), ("weight", weight, _SCHEDULED[:2])):
        if value is not None and method not in having:
            raise ValueError(f"restore: method {method!r} takes no {name}; those that do: {', '.join(having)}")
    data = L2Squared(y) @ A
    if method == "drp":
        if H is None:
            raise ValueError("restore: method 'drp' needs H, the operator the network was trained to undo")
        return DRP(denoiser, H), Problem((data,)), 35
    if method in ("pnp", "pnp-fista", "pnp-admm", "pnp-chambolle-pock", "red") and noise == 0:
        raise ValueError(f"restore: method {method!r} takes its strength from the noise, got 0; use hqs or ddnm")
    if method == "red":
        return FISTA(), data + RED(denoiser, 2.5 * image_noise(A, noise), noise**2 / 5), 200
    if method.startswith("pnp"):
        solver: Solver = {
            "pnp": ProximalGradient(),
            "pnp-fista": FISTA(),
            "pnp-admm": ADMM(adapt=0, rho=A.norm() ** 2, relaxation=1.0),
            "pnp-chambolle-pock": ChambollePock(),
        }[method]
        return solver, data + PnP(denoiser, lam=noise**2), 30 if method == "pnp-admm" else 100
    plugged = data + PnP(denoiser)
    if method == "hqs":
        hqs = HQS(noise, sigmas, HQS.weight if weight is None else weight)
        return hqs, plugged, len(hqs.levels(denoiser, A))
    if method == "ddnm":
        ddnm = DDNM(noise, sigmas, seed=seed)
        return ddnm, plugged, len(ddnm.levels(denoiser))
    red_diff = REDDiff(sigmas, REDDiff.weight if weight is None else weight, seed=seed)
    return red_diff, plugged, len(red_diff.levels(denoiser))


def dressed(denoiser: Any, image: Any, tile: int | None, overlap: int, average: bool, clip: bool) -> Network:
    """A denoiser with another value range, in tiles, averaged: a `Network` with these options, or one made of it."""
    if isinstance(denoiser, Network):
        return dataclasses.replace(
            denoiser,
            image=denoiser.image if image is None else image,
            tile=denoiser.tile if tile is None else tile,
            overlap=denoiser.overlap if tile is None else overlap,
            average=average or denoiser.average,
            clip=clip or denoiser.clip,
        )

    def one_by_one(batch: Array, level: Any) -> Array:
        return namespace(batch).stack([denoiser(batch[k, 0, ...], level)[None, ...] for k in range(batch.shape[0])])

    name = getattr(denoiser, "__name__", type(denoiser).__name__)
    return Network(
        one_by_one, "argument", image=image, tile=tile, overlap=overlap, average=average, clip=clip, name=name
    )
