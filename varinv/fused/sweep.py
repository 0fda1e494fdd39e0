"""Iterations of a relaxed primal–dual method; several in one sweep over memory where only total variation couples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varinv.backend import Array, kernel
from varinv.fused.steps import ascend, descend, relaxed, square_of, tv_descent
from varinv.fused.variation import Variation, tv_dual_ascent

MOST = 16  # iterations at once: more share the cost of memory and threads no further, and nobody can stop them


def primal_dual_steps(
    g: Any,
    terms: Sequence[Any],
    y: Sequence[Array],
    u: Array,
    tau: float,
    sigma: Sequence[Any],
    relaxation: float,
    count: int = 1,
    spare: bool = False,
) -> tuple[Array, Array, tuple[Array, ...], int]:
    """x, and (u, y) relaxed towards (x, z), after as many iterations as can be made at once; how many (up to `count`).

    x = prox_{τg}(u − τ Σ K_iᵀ y_i),  z_i = prox_{σ_i f_i*}(y_i + σ_i K_i(2x − u)),
    (u, y) + ρ((x, z) − (u, y)).  Up to MOST in one sweep where g is a square in a box and the only term an isotropic
    total variation of images, else one.  What comes out may be written over a `spare` y.
    """
    square = square_of(g, u)
    if square is not None and len(terms) == 1 and isinstance(terms[0].f, Variation):
        found = terms[0].f.along(terms[0].K, u)
        if found is not None and found[-1]:
            weight, smoothing, spacing, axes, _ = found
            count = max(1, min(count, MOST if len(axes) == 2 else 1))
            x, u, p = tv_sweep(u, y[0], tau, *square, sigma[0], weight, smoothing, spacing, axes, relaxation, count)
            return x, u, (p,), count
    x, x_bar = descend(g, [t.K for t in terms], y, u, tau, 1.0)
    y = tuple(ascend(t.f, t.K, a, x_bar, s, relaxation, spare) for t, a, s in zip(terms, y, sigma, strict=True))
    del x_bar  # u' takes its place
    return x, relaxed(u, x, relaxation), y, 1


@kernel
def tv_sweep(
    u: Array,
    p: Array,
    tau: float,
    y: Any,
    w: float,
    lo: float,
    hi: float,
    step: float,
    weight: Any,
    smoothing: float,
    spacing: tuple[float, ...],
    axes: tuple[int, ...],
    relaxation: float,
    count: int,
) -> tuple[Array, Array, Array]:
    """x, u' and p' after `count` ≥ 1 iterations for ½ w (x − y)² on lo ≤ x ≤ hi and isotropic total variation."""
    for _ in range(count):
        x, x_bar = tv_descent(u, tau, None, p, spacing, axes, y, w, lo, hi, 1.0)
        p = tv_dual_ascent(p, x_bar, step, weight, smoothing, spacing, axes, True, relaxation)
        u = relaxed(u, x, relaxation)
    return x, u, p
