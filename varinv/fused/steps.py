"""The dual and the primal step of a primal–dual method, in one pass over memory where the table has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varinv.backend import Array, kernel, namespace
from varinv.forms import Differences, Quadratic
from varinv.fused.table import TABLE, descent, find
from varinv.linalg import add_scaled
from varinv.operators.gradient import minus_divergence


def dual_step(f: Any, K: Any, y: Array, x: Array, step: Any, relaxation: float = 1.0, spare: bool = False) -> Array:
    """y + ρ(prox_conj(y + step·Kx, step) − y) of f, fused where the table has it; step a number or a filter.

    It may be written over a `spare` y.
    """
    found = find("ascent", f, K)
    if found is not None:
        entry, form, place = found
        fast: Array | None = entry(form, place, y, x, step, relaxation, spare)
        if fast is not None:
            return fast
    new = f.prox_conj(add_scaled(y, step, K.forward(x)), step)
    return new if relaxation == 1 else relaxed(y, new, relaxation, spare)


@kernel
def relaxed(old: Array, new: Array, relaxation: float, spare: bool = False) -> Array:
    """(1 − ρ) old + ρ new; a twin may write over a `spare` old."""
    return (1 - relaxation) * old + relaxation * new


def primal_step(
    g: Any, operators: Sequence[Any], y: Sequence[Array], x: Array, tau: float, theta: float
) -> tuple[Array, Array]:
    """x' = prox(x − τ Σ K_iᵀ y_i, τ) of g and its extrapolation x' + θ(x' − x); g None: no prox.

    One pass where the table has a step for g and one of the operators, whose adjoint then is no image of its own.
    """
    form = Quadratic() if g is None else g.form()
    places = [K.form() for K in operators]
    inside = next((i for i, p in enumerate(places) if p is not None and _entry(form, p) is not None), None)
    if inside is not None:
        slope, spare = _slope(operators, y, skip=inside)
        fast: Any = _entry(form, places[inside])(form, places[inside], x, tau, slope, y[inside], theta, spare)
        if fast is not None:
            return fast  # type: ignore[no-any-return]
        last = operators[inside].adjoint(y[inside])
        slope, spare = (last, operators[inside].fresh) if slope is None else (add_scaled(slope, 1.0, last), True)
    else:
        slope, spare = _slope(operators, y)
        slope = namespace(x).zeros_like(x) if slope is None else slope
    alone = _entry(form, None)
    fast = None if alone is None else alone(form, None, x, tau, slope, None, theta, spare)
    if fast is not None:
        return fast  # type: ignore[no-any-return]
    back = add_scaled(x, -tau, slope)
    new = back if g is None else g.prox(back, tau)
    return new, new + theta * (new - x)


def _entry(form: Any, place: Any) -> Any:
    return TABLE.get(("descent", type(form), None if place is None else type(place)))


def _slope(operators: Sequence[Any], y: Sequence[Array], skip: int | None = None) -> tuple[Any, bool]:
    """Σ K_iᵀ y_i but for one, and whether it may be written over; None where nothing is left."""
    total: Any = None
    spare = False
    for i, (K, a) in enumerate(zip(operators, y, strict=True)):
        if i != skip:
            spare = K.fresh if total is None else True
            total = K.adjoint(a) if total is None else add_scaled(total, 1.0, K.adjoint(a))
    return total, spare


@descent(Quadratic, Differences)
def _(
    g: Quadratic, K: Differences, x: Array, tau: float, slope: Any, p: Array, theta: float, spare: bool
) -> tuple[Array, Array] | None:
    return tv_descent(x, tau, slope, p, K, g.beside("primal step", x), theta, spare) if g.numbers else None


@descent(Quadratic, None)
def _(
    g: Quadratic, K: None, x: Array, tau: float, slope: Array, p: None, theta: float, spare: bool
) -> tuple[Array, Array] | None:
    return square_descent(x, tau, slope, g.beside("primal step", x), theta) if g.numbers else None


@kernel
def square_descent(x: Array, tau: float, slope: Array, g: Quadratic, theta: float) -> tuple[Array, Array]:
    """x' = clip((x − τ(slope − w y))/(1 + τ w), lo, hi) and x' + θ(x' − x); w, lo, hi numbers."""
    xp = namespace(x, slope)
    new = (x - tau * (slope - g.weight * g.y)) / (1 + tau * g.weight)
    new = xp.where(new < g.lo, xp.full_like(new, g.lo), new)
    new = xp.where(new > g.hi, xp.full_like(new, g.hi), new)
    return new, new + theta * (new - x)


@kernel
def tv_descent(
    x: Array, tau: float, slope: Any, p: Array, K: Differences, g: Quadratic, theta: float, spare: bool = False
) -> tuple[Array, Array]:
    """`square_descent` along slope + ∇ᵀp (slope None: 0); a twin may write x' over a `spare` slope."""
    down = minus_divergence(p, *K, "neumann")
    return square_descent(x, tau, down if slope is None else add_scaled(down, 1.0, slope), g, theta)
