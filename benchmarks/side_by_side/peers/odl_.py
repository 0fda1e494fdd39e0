"""ODL: its PDHG, with the steps of its own examples and with the balance of peers/plain.py; ASTRA underneath (CPU)."""

from __future__ import annotations

from typing import Any

import numpy as np
import odl

from side_by_side.harness import Iterative
from side_by_side.peers.plain import SIGMA

FOREVER = 10**9


def ray_transform(geometry: Any, shape: tuple[int, int]) -> Any:
    """The same grid, angles and bins.  ODL's axes are (x, y): its image is ours turned by `turned`."""
    n, views, bins = shape[0], len(geometry.angles), geometry.detectors
    space = odl.uniform_discr([-n / 2] * 2, [n / 2] * 2, shape, dtype="float32")
    step = np.pi / views
    angles = odl.uniform_partition(-step / 2, np.pi - step / 2, views)
    detector = odl.uniform_partition(-bins / 2, bins / 2, bins)
    return odl.applications.tomo.RayTransform(
        space, odl.applications.tomo.Parallel2dGeometry(angles, detector), impl="astra_cpu"
    )


def turned(image: Any) -> Any:
    return np.rot90(image, -1)


def back(element: Any) -> Any:
    return np.rot90(np.asarray(element.asarray()), 1)


def gradient(space: Any) -> Any:
    """ODL's y points up, against our rows: backward differences along it are our forward ones."""
    along = ((0, "forward"), (1, "backward"))
    return odl.BroadcastOperator(*(odl.PartialDerivative(space, a, method=m, pad_mode="symmetric") for a, m in along))


def ct_tv(case: Any, balanced: bool = False) -> Iterative:
    """½‖Ax − y‖² + λ‖|∇x|‖₁, the inner products of its spaces being plain sums here (pixels and bins of size 1).

    Steps of examples/solvers/pdhg_tomography.py: τ = σ = 1/(1.1 ‖K‖), the norm by power iteration.
    Balanced: the gradient scaled by ν = ‖A‖/‖∇‖ and σ as in peers/plain.py.
    """

    def work(watch: Any) -> None:
        A = ray_transform(case.extra, case.judge.domain)
        D = gradient(A.domain)
        y = A.range.element(case.y)
        data = 0.5 * odl.functionals.L2NormSquared(A.range).translated(y)
        nu = 1.0
        if balanced:
            norm = 1.02 * float(odl.power_method_opnorm(A, maxiter=20))
            nu = norm / 8**0.5
        K = odl.BroadcastOperator(A, nu * D)
        tv = (case.lam / nu) * odl.functionals.GroupL1Norm(D.range)
        g = odl.functionals.SeparableSum(data, tv)
        f = odl.functionals.IndicatorNonnegativity(K.domain)
        if balanced:
            sigma = SIGMA["ct"]
            tau = 0.99 / (sigma * 2 * norm**2)
        else:
            tau = sigma = 1.0 / (1.1 * float(odl.power_method_opnorm(K)))
        x = K.domain.zero()
        odl.solvers.pdhg(x, f, g, K, niter=FOREVER, tau=tau, sigma=sigma, callback=lambda z: watch(back(z)))

    return Iterative(work)


def denoising(case: Any, accelerated: bool = True) -> Iterative:
    """½‖x − y‖² as the primal functional; accelerated (gamma_primal = 1, from the τ of peers/plain.py), or plain.

    Plain: τ = σ = 1/(1.1‖∇‖).
    """

    def work(watch: Any) -> None:
        shape = case.y.shape
        space = odl.uniform_discr([0] * len(shape), list(shape), shape, dtype="float32")
        D = odl.Gradient(space, method="forward", pad_mode="symmetric")
        f = 0.5 * odl.functionals.L2NormSquared(space).translated(space.element(case.y))
        g = case.lam * odl.functionals.GroupL1Norm(D.range)
        x = space.zero()
        show = lambda z: watch(z.asarray())  # noqa: E731
        if accelerated:
            tau = 10.0
            sigma = 0.99 / (tau * 4 * len(shape))
            odl.solvers.pdhg(x, f, g, D, niter=FOREVER, tau=tau, sigma=sigma, gamma_primal=1.0, callback=show)
        else:
            tau = sigma = 1.0 / (1.1 * float(odl.power_method_opnorm(D, xstart=space.element(case.y))))
            odl.solvers.pdhg(x, f, g, D, niter=FOREVER, tau=tau, sigma=sigma, callback=show)

    return Iterative(work)
