"""The dual and the primal step of a primal–dual method, in one pass over memory where the terms allow it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from varinv.backend import Array, kernel, namespace
from varinv.linalg import add_scaled
from varinv.operators.base import LinearOperator
from varinv.operators.gradient import Gradient, minus_divergence


def ascend(
    f: Any, K: LinearOperator, y: Array, x: Array, step: Any, relaxation: float = 1.0, spare: bool = False
) -> Array:
    """y + ρ(prox_conj(y + step·Kx, step) − y) of f, fused where f knows how for this K; step a number or a filter.

    It may be written over a `spare` y.
    """
    fused = getattr(f, "ascend_over", None) if spare else None
    fused = fused or getattr(f, "ascend", None)
    fast = fused(K, y, x, step, relaxation) if fused else None
    if fast is not None:
        return fast
    new = f.prox_conj(add_scaled(y, step, K.forward(x)), step)
    return new if relaxation == 1 else relaxed(y, new, relaxation)


@kernel
def relaxed(old: Array, new: Array, relaxation: float) -> Array:
    """(1 − ρ) old + ρ new."""
    return (1 - relaxation) * old + relaxation * new


def descend(
    f: Any, operators: Sequence[LinearOperator], y: Sequence[Array], x: Array, tau: float, theta: float
) -> tuple[Array, Array]:
    """x' = prox(x − τ Σ K_iᵀ y_i, τ) of f and its extrapolation x' + θ(x' − x); f None: no prox.

    One pass where f is a square in a box, ½ w (x − y)² on lo ≤ x ≤ hi, with the divergence of one gradient inside it.
    """
    square = square_of(f, x)
    inside = None if square is None else next((i for i, K in enumerate(operators) if _divergence(K)), None)
    K: Any
    g: Any = None
    spare = False
    for i, (K, a) in enumerate(zip(operators, y, strict=True)):
        if i != inside:
            spare = K.fresh if g is None else True
            g = K.adjoint(a) if g is None else add_scaled(g, 1.0, K.adjoint(a))
    y0, w, lo, hi = square or (0.0, 0.0, 0.0, 0.0)
    if inside is not None:
        K = operators[inside]
        return tv_descent(x, tau, g, y[inside], K.spacing, K.axes, y0, w, lo, hi, theta, spare)
    g = namespace(x).zeros_like(x) if g is None else g
    if square is not None:
        return square_descent(x, tau, g, y0, w, lo, hi, theta)
    new = f.prox(add_scaled(x, -tau, g), tau)
    return new, new + theta * (new - x)


def square_of(f: Any, x: Array) -> tuple[Any, float, float, float] | None:
    """(y, w, lo, hi) where f is ½ w (x − y)² on lo ≤ x ≤ hi with numbers w, lo, hi; f None: 0."""
    if f is None:
        return 0.0, 0.0, -math.inf, math.inf
    found: tuple[Any, float, float, float] | None = f.square_in_box(x) if hasattr(f, "square_in_box") else None
    return found


def _divergence(K: LinearOperator) -> bool:
    return isinstance(K, Gradient) and K.boundary == "neumann"


@kernel
def square_descent(
    x: Array, tau: float, g: Array, y: Any, w: float, lo: float, hi: float, theta: float
) -> tuple[Array, Array]:
    """x' = clip((x − τ(g − w y))/(1 + τ w), lo, hi) and x' + θ(x' − x)."""
    xp = namespace(x, g)
    new = (x - tau * (g - w * y)) / (1 + tau * w)
    new = xp.where(new < lo, xp.full_like(new, lo), new)
    new = xp.where(new > hi, xp.full_like(new, hi), new)
    return new, new + theta * (new - x)


@kernel
def tv_descent(
    x: Array,
    tau: float,
    g: Any,
    p: Array,
    spacing: tuple[float, ...],
    axes: tuple[int, ...],
    y: Any,
    w: float,
    lo: float,
    hi: float,
    theta: float,
    spare: bool = False,
) -> tuple[Array, Array]:
    """`square_descent` along g + ∇ᵀp (g None: 0), neumann boundary; a twin may write x' over a `spare` g."""
    slope = minus_divergence(p, spacing, axes, "neumann")
    return square_descent(x, tau, slope if g is None else add_scaled(slope, 1.0, g), y, w, lo, hi, theta)
