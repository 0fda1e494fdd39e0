"""Iterations of a relaxed primal–dual method; several in one sweep over memory where only total variation couples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varinv.backend import Array, kernel
from varinv.forms import Differences, Magnitudes, Quadratic
from varinv.fused.steps import dual_step, primal_step, relaxed, tv_descent
from varinv.fused.table import TABLE, several
from varinv.fused.variation import tv_dual_ascent

MOST = 16  # iterations at once: beyond there is no gain, and a run cannot be interrupted inside a sweep


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
    alone: bool = False,
) -> tuple[Array, Array, tuple[Array, ...], int]:
    """x, and (u, y) relaxed towards (x, z), after as many iterations as can be made at once; how many (up to `count`).

    x = prox_{τg}(u − τ Σ K_iᵀ y_i),  z_i = prox_{σ_i f_i*}(y_i + σ_i K_i(2x − u)),
    (u, y) + ρ((x, z) − (u, y)).  Several where the table has them for g and the only term, else one.  What comes out
    may be written over a `spare` y.  `alone`: over u as well, and no second set of arrays is made: one iteration.
    """
    if len(terms) == 1 and not alone:
        forms = Quadratic() if g is None else g.form(), terms[0].f.form(), terms[0].K.form()
        entry = TABLE.get(("several", *map(type, forms)))
        found = None if entry is None else entry(*forms, u, y[0], tau, sigma[0], relaxation, count)
        if found is not None:
            x, u, p, made = found
            return x, u, (p,), made
    x, x_bar = primal_step(g, [t.K for t in terms], y, u, tau, 1.0)
    y = tuple(dual_step(t.f, t.K, a, x_bar, s, relaxation, spare) for t, a, s in zip(terms, y, sigma, strict=True))
    del x_bar  # u' takes its place
    return x, relaxed(u, x, relaxation, alone), y, 1


@several(Quadratic, Magnitudes, Differences)
def _(
    g: Quadratic,
    f: Magnitudes,
    K: Differences,
    u: Array,
    p: Array,
    tau: float,
    sigma: float,
    relaxation: float,
    count: int,
) -> tuple[Array, Array, Array, int] | None:
    if not (g.numbers and f.groups):
        return None
    count = max(1, min(count, MOST if len(K.axes) == 2 else 1))
    g, f = g.beside("primal step", u), f.beside("dual step", u, p.shape)
    return (*tv_sweep(u, p, tau, g, sigma, f, K, relaxation, count), count)


@kernel
def tv_sweep(
    u: Array,
    p: Array,
    tau: float,
    g: Quadratic,
    sigma: float,
    f: Magnitudes,
    K: Differences,
    relaxation: float,
    count: int,
) -> tuple[Array, Array, Array]:
    """x, u' and p' after `count` ≥ 1 iterations for a square in a box (numbers) and isotropic total variation."""
    for _ in range(count):
        x, x_bar = tv_descent(u, tau, None, p, K, g, 1.0)
        p = tv_dual_ascent(p, x_bar, sigma, f, K, relaxation)
        u = relaxed(u, x, relaxation)
    return x, u, p
