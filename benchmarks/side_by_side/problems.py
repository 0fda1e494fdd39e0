"""The problems of the comparison: data in float32, and the one float64 function that judges every package's iterate."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import varinv as vi
from side_by_side.harness import NOBODY, Row, Run, seconds
from varinv.phantom import shepp_logan

OPTIMA = Path(__file__).with_name("optima.json")


@dataclass(frozen=True, eq=False)
class Case:
    """Data and weight of one problem, and how to write it down for varinv in a dtype.

    `build(dtype)` makes the problem anew, operators included, so that their set-up and norms count.  `project` makes an
    iterate feasible before it is judged.
    """

    name: str
    y: Any
    lam: float
    build: Callable[[str], Any]
    project: Callable[[Any], Any] = np.asarray
    extra: Any = None

    @functools.cached_property
    def judge(self) -> Any:
        return self.build("float64")

    @functools.cached_property
    def optimum(self) -> tuple[float, float]:
        """P* and the relative gap proved for it; from the file where the data are the same, else by a long run."""
        found = json.loads(OPTIMA.read_text()) if OPTIMA.exists() else {}
        known = found.get(self.name)
        key = hashlib.sha256(np.ascontiguousarray(self.y).round(3).tobytes() + str(self.lam).encode()).hexdigest()[:16]
        if known is None or known["data"] != key:
            value, proved = solve_far(self.judge)
            known = {"data": key, "value": value, "proved": proved}
            if OPTIMA.exists() and self.y.size > 10_000:
                OPTIMA.write_text(json.dumps(json.loads(OPTIMA.read_text()) | {self.name: known}, indent=1) + "\n")
        return known["value"], known["proved"]

    def gap(self, x: Any) -> float:
        """(P − P*)/P* of the feasible iterate, in float64."""
        x = self.project(np.asarray(x, dtype=np.float64).reshape(self.judge.domain))
        best = self.optimum[0]
        return (self.judge(x) - best) / best


def solve_far(problem: Any, most: int = 6000) -> tuple[float, float]:
    """The best objective found on the way to a certified relative gap of 1e-6, and the gap that is proved."""
    result = vi.solve(problem, vi.AdaptiveChambollePock(), stop=vi.gap(1e-6, every=200) | vi.iterations(most))
    found = problem.gap(result.x, result.state.y)
    return found.primal, found.relative


def own(run: Run, title: str, case: Case, targets: Sequence[float], limit: float) -> Iterator[Row]:
    """P*, and varinv's time until `solve` has proved a relative gap, set-up, norms and the proof included; warm.

    It needs no optimum, which no iterate of a peer can say of itself.  Stops at the first target that is not proved in
    `limit` seconds.
    """

    if run.only not in ("", NOBODY):
        return  # in the process of one peer
    best, known = case.optimum
    yield Row(title, f"P* = {best:.8g}", None, note=f"proved to a relative {known:.0e}")

    def work(target: float, most: float) -> Any:
        return vi.solve(case.build("float32"), stop=vi.gap(target) | vi.seconds(most))

    work(max(targets), min(limit, 1.0))  # unseen
    for target in sorted(targets, reverse=True):
        found: list[Any] = []
        spent = seconds(lambda: found.append(work(target, limit)))  # noqa: B023
        result = found[0]
        note = f"proved {result.gap:.1e}, true {max(case.gap(result.x), 0.0):.1e}, {result.state.k} iterations"
        if result.gap > target:
            yield Row(title, f"gap of {target:g} proved", None, note=f"not in {limit:g} s: {note}")
            return
        yield Row(title, f"gap of {target:g} proved", spent, note=note)


def nonnegative(x: Any) -> Any:
    return np.maximum(x, 0.0)


def ct_tv(n: int, views: int, lam: float = 0.5) -> Case:
    """min over x ≥ 0 of ½‖A x − y‖² + λ TV(x); Shepp–Logan, exact line integrals plus noise of 1 % of their peak."""
    geometry = vi.ParallelBeam(np.arange(views) * np.pi / views, int(1.5 * n))
    clean = shepp_logan(n / 2).line_integrals(geometry, rays_per_bin=4)
    y = clean + 0.01 * clean.max() * np.random.default_rng(0).standard_normal(clean.shape)

    def build(dtype: str) -> Any:
        A = vi.Radon((n, n), geometry)
        return vi.L2Squared(y.astype(dtype)) @ A + lam * vi.TV(A.domain) + vi.NonNegative()

    return Case(f"ct-tv {n}² {views}", y.astype("float32"), lam, build, nonnegative, geometry)


def pieces(shape: tuple[int, ...], noise: float = 0.1) -> Any:
    """Random grey levels in blocks, 8 along each axis, plus noise; float32."""
    rng = np.random.default_rng(0)
    y = np.kron(rng.random((8,) * len(shape)), np.ones(tuple(n // 8 for n in shape)))
    return (y + noise * rng.standard_normal(y.shape)).astype(np.float32)


def denoising(shape: tuple[int, ...], lam: float = 0.1, weight: bool = False) -> Case:
    """½‖x − y‖² + λ TV(x), isotropic, forward differences; `weight`: each pixel has its own."""
    y = pieces(shape)
    w = np.random.default_rng(1).random(shape).astype(np.float32) + np.float32(0.5) if weight else None
    name = f"{'weighted ' if weight else ''}denoising {'×'.join(map(str, shape))}"

    def build(dtype: str) -> Any:
        tv = vi.TV(shape, weight=None if w is None else w.astype(dtype))
        return vi.L2Squared(y.astype(dtype)) + lam * tv

    return Case(name, y, lam, build, extra=w)


def deblurring(n: int, lam: float = 0.003) -> Case:
    """½‖B x − y‖² + λ TV(x), x ≥ 0: a periodic Gaussian blur of 9 × 9 pixels, noise 1 %."""
    t = np.arange(9) - 4.0
    kernel = np.exp(-(t[:, None] ** 2 + t[None, :] ** 2) / (2 * 2.0**2))
    kernel /= kernel.sum()
    image = pieces((n, n), 0.0).astype(float)
    clean = vi.Blur((n, n), kernel)(image)
    y = (clean + 0.01 * np.random.default_rng(0).standard_normal(clean.shape)).astype(np.float32)

    def build(dtype: str) -> Any:
        B = vi.Blur((n, n), kernel.astype(dtype))
        return vi.L2Squared(y.astype(dtype)) @ B + lam * vi.TV(B.domain) + vi.NonNegative()

    return Case(f"deblurring {n}²", y, lam, build, nonnegative, kernel)


def default(case: Case) -> Any:
    """The solver that varinv's `solve` picks, from zero, in float32; where nobody looks, it leaps."""
    from varinv.solvers.default_solver import choose

    def work(watch: Any) -> None:
        problem = case.build("float32")
        chosen = choose(problem, problem.zeros())
        state = chosen.state
        while True:
            k = state.k
            state = chosen.solver.advance(problem, state, watch.most)
            watch(state.x, state.k - k)

    return work


def titled(what: str, case: Case) -> str:
    """With the name of the solver that `solve` picks."""
    from varinv.solvers.default_solver import choose

    problem = case.build("float32")
    solver = type(choose(problem, problem.zeros()).solver).__name__
    return f"{what}, float32, varinv's default solver ({solver})"
