"""PyLops and PyProximal: PrimalDual (its steps are mandatory, so they are balanced by hand) and the prox of TV."""

from __future__ import annotations

from typing import Any

import numpy as np
import pylops
import pyproximal

from side_by_side.harness import Counted, Iterative
from side_by_side.peers import plain

FOREVER = 10**6  # it allocates its steps for all iterations beforehand


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
            int(np.prod(shape)),
            dtype="float32",
        )
        D = pylops.Gradient(shape, edge=False, kind="forward", dtype="float32")
        nu = np.float32(norm / 8**0.5)
        K = pylops.VStack([A, nu * D])
        l2 = pyproximal.L2(b=y.ravel())
        l21 = pyproximal.L21(ndim=2, sigma=float(case.lam / nu))
        g = pyproximal.VStack([l2, l21], nn=[y.size, 2 * int(np.prod(shape))])
        f = pyproximal.Box(lower=0)
        mu = 0.03
        tau = 0.99 / (mu * 2 * norm**2)
        x0 = np.zeros(int(np.prod(shape)), np.float32)
        pyproximal.optimization.primaldual.PrimalDual(
            f, g, K, x0, tau=tau, mu=mu, niter=FOREVER, gfirst=True, callback=watch
        )

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
