"""Work, not seconds: what an iteration and an evaluation of the gap cost in operator applications, kernels and memory.

A projection costs a hundred passes over an image, so one too many doubles the price of every solver; a temporary the
size of an image costs page faults, a buffer that is not reused as well.
"""

from __future__ import annotations

import collections
import gc
import itertools
import math
import tracemalloc
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

import varinv as vi
from varinv import threads
from varinv.backend import POOL, Kernel, release
from varinv.operators.base import LinearOperator

N, VIEWS = 96, 30
IMAGE = 4 * N * N  # bytes
STEPS = 8


class Counted(vi.Radon, same_map=True):
    """Radon that counts what is asked of it; subsets of views as their share."""

    work: ClassVar[collections.Counter[str]] = collections.Counter()

    def forward(self, x):
        Counted.work["forward"] += self.codomain[-2] / VIEWS
        return super().forward(x)

    def adjoint(self, y):
        Counted.work["adjoint"] += self.codomain[-2] / VIEWS
        return super().adjoint(y)


LinearOperator.kinds.remove(Counted)


@pytest.fixture
def work(monkeypatch) -> collections.Counter[str]:
    call = Kernel.__call__

    def counted(self: Any, *args: Any) -> Any:
        Counted.work["kernels"] += 1
        return call(self, *args)

    monkeypatch.setattr(Kernel, "__call__", counted)
    return Counted.work


RNG = np.random.default_rng(0)
TRUTH = np.kron(RNG.random((6, 6)), np.ones((N // 6, N // 6)))
A = Counted((N, N), vi.ParallelBeam(np.arange(VIEWS) * np.pi / VIEWS, N + N // 2))
Y = (A.forward(TRUTH) + 0.3 * RNG.standard_normal(A.codomain)).astype(np.float32)
NOISY = (TRUTH + 0.1 * RNG.standard_normal(TRUTH.shape)).astype(np.float32)
DATA = vi.L2Squared(Y) @ A
CT = DATA + 0.5 * vi.TV((N, N)) + vi.NonNegative()
SMOOTH = DATA + 0.5 * vi.TV((N, N), smoothing=0.1) + vi.NonNegative()
DENOISE = vi.L2Squared(NOISY) + 0.1 * vi.TV((N, N))
CUBE = vi.L2Squared(np.stack([NOISY[:32]] * 3)) + 0.1 * vi.TV((3, 32, N), axes=(1, 2), isotropic=False)

WEIGHTED = vi.L2Squared(NOISY, 2.0) + vi.TV((N, N), weight=0.1 + NOISY**2, smoothing=0.1) + vi.NonNegative()
VOLUME = vi.L2Squared(np.stack([NOISY[:32]] * 3)) + 0.1 * vi.TV((3, 32, N))

# solver, problem: pairs of A and Aᵀ per step, kernels per step, images of temporaries per step; each has its reason:
CASES = {
    # A x̄ and Aᵀq; projections, two fused dual steps, one fused primal step; memory: sums and strips of a projection
    "ChambollePock ct": (vi.ChambollePock(), CT, 1, 5, 2),
    # and one for the relaxed image; the data's dual step is a filter between three sums
    "Adaptive ct": (vi.AdaptiveChambollePock(), CT, 1, 8, 2),
    # the dual step and the primal step, nothing else
    "ChambollePock tv": (vi.ChambollePock(), DENOISE, 0, 2, 0.5),
    # one sweep, with the relaxed image; weights, smoothing and boxes change nothing
    "Adaptive tv": (vi.AdaptiveChambollePock(), DENOISE, 0, 1, 0.5),
    "Adaptive tv weighted": (vi.AdaptiveChambollePock(), WEIGHTED, 0, 1, 0.5),
    # beside the sweep x̄ of two slices, 17 rows of 97 each: 0.36 images; and 12 kB of Python's own objects, 0.33 images
    "Adaptive tv volume": (vi.AdaptiveChambollePock(), VOLUME, 0, 1, 0.7),
    # three kernels: the primal step, the relaxed image, the dual step
    "Adaptive tv anisotropic, by slice": (vi.AdaptiveChambollePock(), CUBE, 0, 3, 0.5),
    # A z and Aᵀ(A z − y), ∇ and its adjoint, two for z, the sum, the inner product of the restart
    "FISTA ct": (vi.FISTA(), SMOOTH, 1, 7, 12),
    # A p and Aᵀr; x, r, p; four inner products (two of them tell rounding)
    "CGLS": (vi.CGLS(), vi.Problem((DATA,)), 1, 9, 3),
    "CG": (vi.CG(), vi.Problem((DATA,)), 1, 8, 3),
    # of 24 draws half go to 12 subsets: one pair on average; 15 of 24 is 4 standard deviations away
    "SPDHG": (vi.SPDHG(), CT, 15 / 12, 170, 7),
    # conjugate gradients: as many pairs as the residual asks, 11 measured; about 11 kernels a pair.  What is not fused
    # (hvp, the prox of fields) makes temporaries, up to four fields of two images and their lengths
    "ADMM ct": (vi.ADMM(), CT, 14, 160, 18),
    "ADMM tv": (vi.ADMM(), DENOISE, 0, 40, 14),
}


def per_step(solver: Any, problem: Any, work: collections.Counter[str]) -> tuple[float, float, float, int]:
    """(the larger of A and Aᵀ, kernels, largest traced memory above the start in images, new buffers) per step."""
    states: Iterator[Any] = solver.states(problem)
    collections.deque(itertools.islice(states, 49), maxlen=1).pop()  # between two balances of the steps
    gc.collect()
    work.clear()
    made = POOL.made
    if threads._watch is not None:  # what reading the load of the machine takes, 5 kB now and then, is none of a step's
        threads._watch.due = math.inf
    tracemalloc.start()
    try:
        for _ in itertools.islice(states, STEPS):
            pass
        peak = tracemalloc.get_traced_memory()[1] / IMAGE
    finally:
        tracemalloc.stop()
    pairs = max(work["forward"], work["adjoint"]) / STEPS
    return pairs, work["kernels"] / STEPS, peak, POOL.made - made


@pytest.mark.usefixtures("one_thread")  # how much two of them hold at once is a matter of luck
@pytest.mark.parametrize("name", CASES)
def test_what_a_step_costs(name: str, work) -> None:
    solver, problem, pairs, kernels, temporaries = CASES[name]
    measured = per_step(solver, problem, work)
    print(name, measured)
    assert measured[0] <= pairs + 1e-9
    assert measured[1] <= kernels
    assert measured[2] <= temporaries
    assert measured[3] == 0


# A for the objective, Aᵀ for the dual; the objective's two terms, the dual's TV, sums of the shift, v
# over x ≥ 0, thirty steps of three kernels for the dual of TV
@pytest.mark.parametrize(("problem", "pairs", "kernels"), [(CT, 1, 100), (DENOISE, 0, 5)], ids=["ct", "tv"])
def test_what_a_look_at_the_gap_costs(problem: Any, pairs: int, kernels: int, work) -> None:
    state = next(itertools.islice(vi.AdaptiveChambollePock().states(problem), 5, None))
    problem.gap(state.x, state.y)  # Aᵀ1 is found once
    work.clear()
    problem.gap(state.x, state.y)
    assert (work["forward"], work["adjoint"]) == (pairs, pairs)
    assert work["kernels"] <= kernels


@pytest.mark.parametrize(("solver", "pairs"), [(vi.ChambollePock(), (2, 1)), (vi.AdaptiveChambollePock(), (1, 1))])
def test_what_a_look_at_the_residual_costs(solver: Any, pairs: tuple[int, int], work) -> None:
    """Adaptive: Kx and Kᵀy.  ChambollePock: Kx and Kᵀy for the sizes, K(x̄ − x) for d."""
    previous, state = itertools.islice(solver.states(CT), 5, 7)
    work.clear()
    state.residual(CT, previous)
    assert (work["forward"], work["adjoint"]) == pairs


def test_evaluations_are_a_small_part_of_a_run(work) -> None:
    """Two pairs an evaluation, in float64 at twice the price: at most 30 % of the applications of 200 steps."""
    vi.solve(CT, vi.AdaptiveChambollePock(), stop=vi.iterations(1))
    work.clear()
    vi.solve(CT, stop=vi.gap(1e-9) | vi.residual(1e-9, every=40) | vi.iterations(200))
    spent = work["forward"] - 200
    assert 0 < spent <= 1 + 10 + 5 + 7  # start, every 10 to 100, every 20 to 200; the residual; one more at the end


def test_memory_of_a_run_on_ct() -> None:
    """Peak of `solve` with its default stop above what the caller holds, after a warm-up, in images.

    The last two states 8 and an image known to be finite; a step's own buffers 5; a residual in float64 (twice as
    wide): two images each of x, Kᵀy and p, framed images 4.5, and four fields of 4: 9 + 5 + 8 + 4.5 + 16 = 42, and
    sinograms.
    """
    n = 256
    data = vi.L2Squared(np.ones((VIEWS, n), np.float32)) @ vi.Radon((n, n), vi.ParallelBeam(A.geometry.angles, n))
    problem = data + 0.5 * vi.TV((n, n)) + vi.NonNegative()
    vi.solve(problem, stop=vi.iterations(2))
    gc.collect()
    tracemalloc.start()
    try:
        vi.solve(problem, stop=vi.gap(1e-12) | vi.residual(1e-12, every=10) | vi.iterations(25))
        peak = tracemalloc.get_traced_memory()[1] / (4 * n * n)
    finally:
        tracemalloc.stop()
    print(f"{peak:.1f} images")
    assert peak <= 48


def test_memory_of_the_steps_on_ct() -> None:
    """Peak of the default solver's steps, two states held, in images of 256².

    Two states of x, u and two of p: 8; x̄ lies where u' will be, the slope where x' will be, tables where x̄ will be.
    Sinograms: q, q', the residual, its spectrum and what comes back. Samples of x, p and q in both states, 3856,
    3972 and 7680 entries: 0.48. Of a projection: sums of CACHE bytes, 1, and strips of 32 rows of 288: 0.14.
    """
    n = 256
    A = vi.Radon((n, n), vi.ParallelBeam(np.arange(VIEWS) * np.pi / VIEWS, n))
    problem = vi.L2Squared(np.ones(A.codomain, np.float32)) @ A + 0.5 * vi.TV((n, n)) + vi.NonNegative()
    solver = vi.AdaptiveChambollePock()
    collections.deque(itertools.islice(solver.states(problem), 3), maxlen=0)
    gc.collect()
    release()
    tracemalloc.start()
    try:
        state = solver.init(problem, problem.zeros())
        for _ in range(40):
            state = solver.step(problem, state)
        peak = tracemalloc.get_traced_memory()[1] / (4 * n * n)
    finally:
        tracemalloc.stop()
    print(f"{peak:.2f} images")
    assert peak <= 8 + 5 * VIEWS / n + 0.48 + 1.14


def test_memory_of_a_run_of_fixed_length() -> None:
    """Peak of `solve` that nobody looks into, set-up and evaluations of the objective included, in images of 256².

    x, u and two of p, the next x and x̄: 6, as p is written over; an image known to be finite, where it is not the last:
    1.  Sinograms q, what comes of x̄ and its spectrum: 3; samples of a state 0.24; sums and strips of a projection 1.14.
    Setting up holds less: the start, v, the vector before it, two terms' shares, ∇v and its adjoint: 7.
    """
    n, views = 256, 60
    A = vi.Radon((n, n), vi.ParallelBeam(np.arange(views) * np.pi / views, n))
    problem = vi.L2Squared(np.ones(A.codomain, np.float32)) @ A + 0.5 * vi.TV((n, n)) + vi.NonNegative()
    vi.solve(problem, stop=vi.iterations(2))
    problem = vi.Problem(problem.terms)  # one that remembers nothing
    gc.collect()
    release()
    tracemalloc.start()
    try:
        vi.solve(problem, stop=vi.iterations(40))
        peak = tracemalloc.get_traced_memory()[1] / (4 * n * n)
    finally:
        tracemalloc.stop()
    print(f"{peak:.2f} images, of which sinograms {3 * views / n:.2f}")
    assert peak <= 7 + 3 * views / n + 0.24 + 1.14


class Careless(vi.AdaptiveChambollePock):
    """Faults that the guards are made for."""

    fault: str = ""

    def step(self, problem, s):
        new = super().step(problem, s)
        if self.fault == "application":
            A.forward(new.x)
        if self.fault == "temporary":
            return new._replace(x=new.x + 4 * (0 * new.x), u=(new.u + 0.0) * 1.0)
        if self.fault == "buffer":
            return new._replace(x=np.array(new.x), u=np.array(new.u), y=tuple(map(np.array, new.y)))
        return new


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("fault", "which"), [("application", 0), ("temporary", 2), ("buffer", 2)])
def test_the_guards_see_a_fault(fault: str, which: int, work) -> None:
    solver = Careless()
    object.__setattr__(solver, "fault", fault)
    measured = per_step(solver, CT, work)
    assert measured[which] > CASES["Adaptive ct"][2 + which]


vi.AdaptiveChambollePock.kinds.remove(Careless)
