"""SCICO: PDHG on TV as its examples write it (steps by its own estimate), and its X-ray transform."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from scico import functional, linop, loss, optimize
from scico.linop.xray import XRayTransform2D

from side_by_side.harness import Iterative, Pair


def denoising(case: Any) -> Iterative:
    """½‖x − y‖² as the primal functional, L21 of finite differences; τ, σ from PDHG.estimate_parameters."""

    def work(watch: Any) -> None:
        y = jax.device_put(case.y)
        D = linop.FiniteDifference(input_shape=y.shape, append=0, input_dtype=np.float32)
        tau, sigma = optimize.PDHG.estimate_parameters(D)
        solver = optimize.PDHG(
            f=loss.SquaredL2Loss(y=y), g=case.lam * functional.L21Norm(), C=D, tau=tau, sigma=sigma,
            x0=jax.numpy.zeros_like(y), maxiter=10**9,
        )  # fmt: skip
        while True:
            solver.step()
            solver.x.block_until_ready()
            watch(solver.x)

    return Iterative(work)


def projector(geometry: Any, shape: tuple[int, ...]) -> Pair:
    """Pixel-driven with two bins a pixel, its own adjoint; compiled beforehand, arrays already JAX's."""
    if type(geometry).__name__ != "ParallelBeam":
        raise ValueError("parallel beam only")
    A = XRayTransform2D(shape[-2:], geometry.angles + np.pi / 2, dx=1.0, det_count=geometry.detectors)
    forward, adjoint = jax.jit(A.project), jax.jit(A.back_project)
    if len(shape) == 3:
        forward, adjoint = jax.jit(jax.vmap(A.project)), jax.jit(jax.vmap(A.back_project))
    return Pair(
        lambda x: forward(x).block_until_ready(),
        lambda y: adjoint(y).block_until_ready(),
        jax.device_put,
        jax.device_put,
    )
