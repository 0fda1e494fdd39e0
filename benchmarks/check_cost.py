"""What the checks of somebody's results cost, timed alone, as a share of an iteration of CT with TV and of denoising.

python benchmarks/check_cost.py
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import varinv as vi
from varinv.solvers.rules import reason

N = 256


class Mine(vi.LinearOperator):
    """A projector of one's own."""

    def __init__(self, K: Any) -> None:
        self.K, self.domain, self.codomain = K, K.domain, K.codomain

    def forward(self, x: Any) -> Any:
        return self.K.forward(x)

    def adjoint(self, y: Any) -> Any:
        return self.K.adjoint(y)

    def norm(self) -> float:
        return float(self.K.norm())


class Nothing(vi.LinearOperator):
    """What is left of an operator without its work: the check alone."""

    def __init__(self, y: Any) -> None:
        self.y, self.domain, self.codomain = y, y.shape, y.shape

    def forward(self, x: Any) -> Any:
        return self.y

    def adjoint(self, y: Any) -> Any:
        return self.y


vi.LinearOperator.kinds.remove(Mine)
vi.LinearOperator.kinds.remove(Nothing)


def seconds(call: Any, times: int, best: int = 7) -> float:
    """The least of some means."""
    found = []
    for _ in range(best):
        began = time.perf_counter()
        for _ in range(times):
            call()
        found.append((time.perf_counter() - began) / times)
    return min(found)


def iteration(problem: Any, n: int = 40) -> float:
    vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(3))
    return min(vi.solve(problem, vi.ChambollePock(), stop=vi.iterations(n)).seconds / n for _ in range(3))


def share() -> dict[str, float]:
    """Each check's share of an iteration, two calls of an operator and one of a rule each."""
    y = np.ones((N, N))
    empty = Nothing(y)
    bare = Nothing.forward.__wrapped__  # type: ignore[attr-defined]
    operator = max(seconds(lambda: empty.forward(y), 20000) - seconds(lambda: bare(empty, y), 20000), 0.0)
    state, rule = vi.ChambollePock().init(vi.L2Squared(y) + vi.TV(y.shape), y), vi.iterations(10**9)
    judged = max(
        seconds(lambda: reason(rule, None, None, state), 20000) - seconds(lambda: rule(None, None, state), 20000), 0.0
    )  # type: ignore[arg-type]
    check = 2 * operator + judged
    A = vi.Radon((N, N), vi.ParallelBeam(np.linspace(0, np.pi, 90, endpoint=False), 363))
    ct = vi.L2Squared(np.ones(A.codomain)) @ Mine(A) + 0.1 * vi.TV((N, N)) + vi.NonNegative()
    denoising = vi.L2Squared(np.random.default_rng(0).random((N, N))) + 0.1 * vi.TV((N, N))
    return {"one call": operator, "CT with TV": check / iteration(ct), "denoising": check / iteration(denoising)}


def main() -> None:
    found = share()
    print(f"a checked call of an operator takes {found.pop('one call') * 1e6:.2f} µs longer")
    for name, part in found.items():
        print(f"{name:12} {100 * part:.3f} % of an iteration")


if __name__ == "__main__":
    main()
