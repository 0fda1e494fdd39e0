"""Reconstruction maps: composed with a stabilising pre-step, and measured for accuracy and stability."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy as xnp

from varinv import check
from varinv.backend import Array, is_array, like
from varinv.functionals.data import L2Squared
from varinv.linalg import norm
from varinv.operators.base import LinearOperator

Map = Callable[[Array], Array]


@dataclass(frozen=True)
class Stabilised:
    r"""Make a reconstruction less sensitive to noise by a stable step before it.

    y ↦ ψ(φ(y)): a reconstruction map after a stable pre-step; Evangelista, Nagy, Morotti, Loli Piccolomini (2023).

    φ may be a filter of the data (then ψ takes data), or a coarse but stable reconstruction that ψ, e.g. a network,
    refines: a few steps of conjugate gradients, ``cgls_steps(A, 3, 1e-4)``, or a variational solve.  The error that ψ
    makes of noise is at most its amplification on what φ leaves of it.

    Parameters
    ----------
    phi, psi : callables of one array.

    Raises
    ------
    TypeError
        What is not callable.

    Examples
    --------
    >>> Stabilised(lambda y: y / 2, lambda z: z + 1)(4.0)
    3.0
    """

    phi: Map
    psi: Map

    def __post_init__(self) -> None:
        for name in ("phi", "psi"):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"Stabilised: {name} must be callable, array ↦ array, got {check.describe(getattr(self, name))}"
                )

    def __call__(self, y: Array) -> Array:
        return self.psi(self.phi(y))


def cgls_steps(A: LinearOperator, steps: int, lam: float = 0.0) -> Map:
    r"""A stable first reconstruction: a few steps of conjugate gradients.

    The map y ↦ x_k, k steps of conjugate gradients from zero on ½‖A x − y‖² + ½λ‖x‖².

    Few steps recover what A transmits well and leave the rest: stable, and cheap.  λ here is the square of the
    parameter in papers that write λ²‖x‖²; their "3 iterations" may be 2 updates, as here counted.

    Raises
    ------
    TypeError, ValueError
        steps < 1, λ < 0.
    """
    steps = check.integer("cgls_steps", "steps", steps, low=1)
    lam = check.number("cgls_steps", "lam", lam, low=0.0)

    def first(y: Array) -> Array:
        from varinv.solvers.cg import CG
        from varinv.solvers.rules import iterations
        from varinv.solvers.solve import solve

        data: Any = L2Squared(y) @ A
        return solve(data + L2Squared(0.0, lam) if lam else data, CG(), stop=iterations(steps)).x

    return first


@dataclass(frozen=True)
class Stability:
    """What `stability` measured.

    accuracy : η, the largest error without noise, ‖ψ(A x) − x‖.
    constant : C, the largest (‖ψ(A x + e) − x‖ − η)/‖e‖; below 1, noise is damped.
    errors, clean : the error of each image with and without noise.
    noise : ‖e‖ of each image.
    """

    accuracy: float
    constant: float
    errors: tuple[float, ...]
    clean: tuple[float, ...]
    noise: tuple[float, ...]

    def __repr__(self) -> str:
        return f"Stability(accuracy={self.accuracy:.4g}, constant={self.constant:.3g}, {len(self.errors)} images)"


def stability(psi: Map, A: LinearOperator, images: Iterable[Array], noise: float, *, seed: int = 0) -> Stability:
    r"""Measure how accurate a reconstruction is, and how much it amplifies noise.

    Accuracy η = max ‖ψ(A x) − x‖ and stability constant C = max (‖ψ(A x + e) − x‖ − η)/‖e‖ of a reconstruction map.

    The definitions of Evangelista et al. (2023), over given images and one noise draw each: lower bounds of the
    suprema.  C may be negative: noise then does not add to the error of the least accurate image.

    Parameters
    ----------
    psi : y ↦ image: a network, `Stabilised`, ``lambda y: vi.fbp(A, y)``, anything callable.
    A : operator that makes the data.
    images : true images x of A's domain.
    noise : standard deviation of e in each measurement, > 0.
    seed : of the noise.

    Returns
    -------
    Stability : accuracy, constant, and the figures of each image.

    Raises
    ------
    TypeError, ValueError
        A ψ that is not callable, no images, images of another shape or with NaN, noise ≤ 0, a ψ that returns another
        shape or NaN.
    """
    who = "stability"
    if not callable(psi):
        raise TypeError(f"{who}: psi must be callable, array ↦ array, got {check.describe(psi)}")
    noise = check.number(who, "noise", noise, low=0.0, strict=True)
    rng = xnp.random.default_rng(seed)
    rows = []
    for x in images:
        x = check.real_array(who, "an image", x)
        y = A(x)
        e = like(noise * rng.standard_normal(tuple(y.shape)), y)
        errors = []
        for given in (y, y + e):
            found = psi(given)
            if not is_array(found) or tuple(found.shape) != tuple(x.shape):
                raise ValueError(
                    f"{who}: psi must return an image of shape {tuple(x.shape)}, got {check.describe(found)}"
                )
            errors.append(norm(check.real_array(who, "psi(y)", found) - x))
        rows.append((*errors, norm(e)))
    if not rows:
        raise ValueError(f"{who}: images is empty; give at least one true image")
    eta = max(clean for clean, _, _ in rows)
    constant = max((error - eta) / size for _, error, size in rows)
    clean, noisy, sizes = (tuple(column) for column in zip(*rows, strict=True))
    return Stability(eta, constant, noisy, clean, sizes)
