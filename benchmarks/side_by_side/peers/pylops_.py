"""PyLops and PyProximal: PrimalDual (its steps are mandatory: peers/plain.py says which) and the prox of TV."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pylops
import pyproximal

from side_by_side.harness import Counted, Iterative
from side_by_side.peers import plain

FOREVER = 10**6  # it allocates its steps for all iterations beforehand


def solve(A: Any, norm: float, y: Any, shape: tuple[int, int], lam: float, mu: float, watch: Any) -> None:
    """½‖Ax − y‖² + λ TV(x), x ≥ 0, the gradient scaled by ν = ‖A‖/‖∇‖, τ = 0.99/(2μ‖A‖²)."""
    D = pylops.Gradient(shape, edge=False, kind="forward", dtype="float32")
    nu = np.float32(norm / 8**0.5)
    g = pyproximal.VStack(
        [pyproximal.L2(b=y.ravel()), pyproximal.L21(ndim=2, sigma=float(lam / nu))], nn=[y.size, 2 * math.prod(shape)]
    )
    pyproximal.optimization.primaldual.PrimalDual(
        pyproximal.Box(lower=0), g, pylops.VStack([A, nu * D]), np.zeros(math.prod(shape), np.float32),
        tau=0.99 / (mu * 2 * norm**2), mu=mu, niter=FOREVER, gfirst=True, callback=watch,
    )  # fmt: skip


def ct_tv(case: Any) -> Iterative:
    """ASTRA's CPU projector as a FunctionOperator; the balance of peers/plain.py."""

    def work(watch: Any) -> None:
        from side_by_side.peers.astra_toolbox import projector

        shape, y = case.judge.domain, case.y
        pair = projector(case.extra, shape)
        norm = plain.power(pair.forward, pair.adjoint, shape)
        A = pylops.FunctionOperator(
            lambda x: pair.forward(x.reshape(shape)).ravel().copy(),
            lambda q: pair.adjoint(q.reshape(y.shape)).ravel().copy(),
            y.size,
            math.prod(shape),
            dtype="float32",
        )
        solve(A, norm, y, shape, case.lam, plain.SIGMA["ct"], watch)

    return Iterative(work)


def deblurring(case: Any) -> Iterative:
    """The FFT blur as a FunctionOperator, steps as for `ct_tv`."""

    def work(watch: Any) -> None:
        y, shape = case.y, case.y.shape
        forward, adjoint = plain.blur(case.extra, shape)
        B = pylops.FunctionOperator(
            lambda x: forward(x.reshape(shape)).ravel(), lambda q: adjoint(q.reshape(shape)).ravel(), y.size, y.size,
            dtype="float32",
        )  # fmt: skip
        solve(B, 1.0, y, shape, case.lam, plain.SIGMA["deblurring"], watch)

    return Iterative(work)


def denoising(case: Any) -> Iterative:
    """PrimalDual with τ = μ = 0.95/‖∇‖, as in its tutorial on denoising."""

    def work(watch: Any) -> None:
        y = case.y
        D = pylops.Gradient(y.shape, edge=False, kind="forward", dtype="float32")
        step = 0.95 / (4.0 * y.ndim) ** 0.5
        l21 = pyproximal.L21(ndim=y.ndim, sigma=case.lam)
        pyproximal.optimization.primaldual.PrimalDual(
            pyproximal.L2(b=y.ravel()), l21, D, np.zeros(y.size, np.float32), tau=step, mu=step, niter=FOREVER,
            callback=watch,
        )  # fmt: skip

    return Iterative(work)


def tv_prox(case: Any) -> Counted:
    """The prox of pyproximal.TV: Beck and Teboulle's fast gradient projection, a stated number of iterations."""

    def work(n: int) -> Any:
        tv = pyproximal.TV(case.y.shape, sigma=case.lam, niter=n, rtol=0.0)
        return tv.prox(case.y.ravel(), 1.0)

    return Counted(work)
