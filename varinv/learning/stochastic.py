"""Inexact stochastic hypergradient descent: a few examples at a time, for training sets that are large."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from varinv import check
from varinv.backend import Array, namespace
from varinv.learning.maid import first, first_step
from varinv.learning.oracle import Evaluation, Work
from varinv.linalg import norm
from varinv.solvers.base import Solver


class ISGDState(NamedTuple):
    """θ, α₀, ε₀, what each example was solved to last, the mean evaluation of the last batch, work so far."""

    x: Array
    alpha: float | None
    epsilon: float
    samples: tuple[Any, ...]
    now: Evaluation
    work: Work = Work()
    slope: float = math.nan
    why: str | None = None
    k: int = 0

    @property
    def best(self) -> Evaluation:
        """The last batch: its loss is that of the batch, at the θ before the last step."""
        return self.now._replace(theta=self.x)

    def row(self) -> dict[str, float]:
        """The figures of this iteration, for the history."""
        return {
            "loss": self.now.value,
            "slope": self.slope,
            "error": self.now.error,
            "lower_iterations": self.work.lower,
            "adjoint_iterations": self.work.adjoint,
            "work": self.work.total,
        }


@dataclass(frozen=True)
class ISGD(Solver):
    r"""A rule for `learn` with many examples: each step uses a random batch of them.

    θ ← θ − α_k z_k, z_k the inexact hypergradient of a random batch; Salehi et al. (2024, arXiv 2412.12049).

    .. math::
        ε_k = δ_k/L_g = ε_0 (k + 1)^{-p},\quad α_k = α_0 (k + 1)^{-q}

    Every pass draws the examples in a new order (from `seed` and the pass: a resumed run draws the same), and each
    warm-starts from its own last solution.  No step is tested: it is cheap at first and noisy at the end; take its
    θ as the start of `MAID`, which descends on the whole loss.

    Parameters
    ----------
    batch : examples per step.
    epsilon : ε₀; None: 0.02 of the proved distance of the start images from the solutions.
    alpha : α₀; None: as in MAID, from the first batch.
    decay : (p, q).
    cap : no step changes an entry of θ by more than this; None: no cap.
    passes : how often each example is drawn; None: until `budget` or the caller's rule.
    budget : most lower-level and CG iterations; None: no limit.

    Raises
    ------
    TypeError, ValueError
        Parameters out of range; a first loss that is NaN or infinite.
    """

    batch: int = 8
    epsilon: float | None = None
    alpha: float | None = None
    decay: tuple[float, float] = (0.5, 0.5)
    cap: float | None = 1.0
    passes: int | None = 30
    budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epsilon", "alpha", "cap"):
            if getattr(self, name) is not None:
                check.number("ISGD", name, getattr(self, name), low=0.0, strict=True)
        for name in ("batch", "passes", "budget"):
            if getattr(self, name) is not None:
                check.integer("ISGD", name, getattr(self, name), low=1)
        for power in self.decay:
            check.number("ISGD", "decay", power, low=0.0)

    def init(self, problem: Any, x: Array) -> ISGDState:
        now = first(problem, x)
        epsilon = self.epsilon if self.epsilon is not None else 0.02 * now.error or 1e-3
        return ISGDState(x, self.alpha, epsilon, now.samples, now, now.work)

    def step(self, problem: Any, s: ISGDState) -> ISGDState:
        if s.why is not None:
            return s._replace(k=s.k + 1)
        m = len(problem.cases)
        per_pass = math.ceil(m / self.batch)
        order = list(range(m))
        random.Random(f"{self.seed} {s.k // per_pass}").shuffle(order)
        chosen = order[(s.k % per_pass) * self.batch :][: self.batch]
        part = dataclasses.replace(problem, cases=[problem.cases[i] for i in chosen])
        # the samples were solved at other θ: none may pass as solved here
        warm = s.now._replace(theta=math.inf + 0 * s.x, samples=tuple(s.samples[i] for i in chosen))
        epsilon = s.epsilon * (s.k + 1.0) ** -self.decay[0]
        now = part.evaluate(s.x, epsilon, epsilon * max(loss.smoothness for _, loss in part.cases), warm)
        size, z = norm(now.slope), now.slope
        s = s._replace(work=s.work.plus(now.work), now=now, slope=size, k=s.k + 1)
        if not math.isfinite(size):
            return s._replace(why=f"not finite: the loss of a batch is {now.value}")
        samples = list(s.samples)
        for i, sample in zip(chosen, now.samples, strict=True):
            samples[i] = sample
        x, alpha = s.x, s.alpha
        if size > 0:
            alpha = first_step(s.x, z) if alpha is None else alpha
            a = alpha * float(s.k) ** -self.decay[1]
            a = a if self.cap is None else min(a, self.cap / float(namespace(z).max(abs(z))))
            x = s.x - a * z
        s = s._replace(x=x, alpha=alpha, samples=tuple(samples))
        if self.passes is not None and s.k >= self.passes * per_pass:
            return s._replace(why=f"{self.passes} passes over {m} examples")
        if self.budget is not None and s.work.total >= self.budget:
            return s._replace(why=f"budget: {s.work.total} iterations spent")
        return s

    @classmethod
    def examples(cls) -> Iterator[tuple[Solver, Any]]:
        from varinv.learning.reference import small_quadratic

        yield cls(batch=2, alpha=2.0, decay=(2.0, 0.0), cap=None, passes=400), small_quadratic()
