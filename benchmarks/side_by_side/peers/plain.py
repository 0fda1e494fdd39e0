"""What a user writes in NumPy: forward differences and Chambolle–Pock, without a temporary more than they need."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

# σ of PDHG with the gradient scaled by ν = ‖A‖/‖∇‖: the fewest iterations to 1e-3, whose number stands behind each,
# at 256²; ν was not searched.
# ct (60 views): 0.003: 511, 0.01: 386, 0.02: 303, 0.03: 288, 0.05: 456, 0.1: 924, 0.3: 2801
# deblurring: 0.03: 1210, 0.1: 416, 0.3: 321, 1: 792, 3: 2304, 10: above 4000
SIGMA = {"ct": 0.03, "deblurring": 0.3}


def gradient(x: Any, p: Any) -> None:
    """Forward differences into p of shape (d, *x.shape), Neumann boundary."""
    for axis in range(x.ndim):
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(x.ndim))
        last = tuple(slice(-1, None) if a == axis else slice(None) for a in range(x.ndim))
        later = tuple(slice(1, None) if a == axis else slice(None) for a in range(x.ndim))
        np.subtract(x[later], x[first], out=p[axis][first])
        p[axis][last] = 0


def transpose(p: Any, x: Any) -> None:
    """Minus the divergence of p into x."""
    x[...] = 0
    for axis in range(x.ndim):
        first = tuple(slice(None, -1) if a == axis else slice(None) for a in range(x.ndim))
        later = tuple(slice(1, None) if a == axis else slice(None) for a in range(x.ndim))
        x[first] -= p[axis][first]
        x[later] += p[axis][first]


def shorten(p: Any, radius: Any) -> None:
    """Project the vectors of p on balls of `radius`, in place."""
    length = np.sqrt(np.sum(p * p, axis=0))
    p /= np.maximum(1, length / radius)


def ct_tv(
    forward: Callable, adjoint: Callable, norm: float, y: Any, shape: tuple, lam: float, sigma: float, watch: Any
) -> None:
    """½‖Ax − y‖² + λ TV(x), x ≥ 0: Chambolle–Pock, the gradient scaled by ν = ‖A‖/‖∇‖, τ = 0.99/(2σ‖A‖²).

    `sigma` is the balance between primal and dual: see SIGMA.
    """
    nu2 = norm**2 / 8.0
    tau = 0.99 / (sigma * (norm**2 + nu2 * 8.0))
    x, x_bar = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    q, p, g = np.zeros_like(y), np.zeros((2, *shape), np.float32), np.zeros(shape, np.float32)
    d = np.zeros_like(p)
    while True:
        q += sigma * (forward(x_bar) - y)
        q /= 1 + sigma
        gradient(x_bar, d)
        p += (sigma * nu2) * d
        shorten(p, lam)
        transpose(p, g)
        g += adjoint(q)
        new = np.maximum(x - tau * g, 0)
        x_bar = 2 * new - x
        x = new
        watch(x)


def denoising(y: Any, lam: float, weight: Any, watch: Any) -> None:
    """½‖x − y‖² + λ Σ w |∇x|: Chambolle–Pock, Algorithm 2 (γ = 1), from τ = 10.

    Of τ = 0.3, 1, 2, 5, 10, 20, 50 on 512², with and without weight, all from 5 on are within 4 % of the fewest
    iterations to 1e-3 (65 and 63) and to 1e-4 (153 and 148).
    """
    norm2 = 4.0 * y.ndim
    tau = 10.0
    sigma = 0.99 / (tau * norm2)
    radius = lam if weight is None else lam * weight
    x, x_bar = np.zeros_like(y), np.zeros_like(y)
    p, d, g = np.zeros((y.ndim, *y.shape), y.dtype), np.zeros((y.ndim, *y.shape), y.dtype), np.zeros_like(y)
    while True:
        gradient(x_bar, d)
        p += sigma * d
        shorten(p, radius)
        transpose(p, g)
        new = (x - tau * (g - y)) / (1 + tau)
        theta = 1 / math.sqrt(1 + 2 * tau)
        x_bar = new + theta * (new - x)
        tau, sigma = tau * theta, sigma / theta
        x = new
        watch(x)


def power(forward: Callable, adjoint: Callable, shape: tuple, steps: int = 20) -> float:
    """‖A‖ by power iteration, as everybody does it."""
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    for _ in range(steps):
        x = adjoint(forward(x))
        size = float(np.linalg.norm(x))
        x = x / np.float32(size)
    return math.sqrt(size)


def blur(kernel: Any, shape: tuple[int, int]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Periodic convolution with a kernel about its middle, and its transpose, by real FFTs of two threads."""
    import scipy.fft

    padded = np.zeros(shape, np.float32)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    padded = np.roll(padded, [-(k // 2) for k in kernel.shape], axis=(0, 1))
    hat = scipy.fft.rfft2(padded)

    def times(x: Any, factor: Any) -> Any:
        return scipy.fft.irfft2(factor * scipy.fft.rfft2(x, workers=2), s=shape, workers=2)

    return lambda x: times(x, hat), lambda y: times(y, hat.conj())


def deblurring(case: Any) -> Any:
    """`ct_tv` with the blur in the place of the projector: ‖B‖ = 1."""
    from side_by_side.harness import Iterative

    def work(watch: Any) -> None:
        forward, adjoint = blur(case.extra, case.y.shape)
        ct_tv(forward, adjoint, 1.0, case.y, case.y.shape, case.lam, SIGMA["deblurring"], watch)

    return Iterative(work)
