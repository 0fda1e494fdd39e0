r"""Which fused steps there are, by what a functional and an operator are: the open table.

A fused step does in one pass over memory what `prox`, `prox_conj`, `forward` and `adjoint` do in several.  It is looked
up by the types of ``f.form()`` and ``K.form()`` (see `varinv.forms`), so that a functional or operator of your own with
a form gets it too.  For a form of your own, register a step under your pair of forms:

    @ascent(Magnitudes, MyDifferences)
    def _(f, K, y, x, step, relaxation, spare):
        return my_kernel(...)

============================================================ ==========================================================
``@ascent(F, D)``  (f, K, y, x, step, relaxation, spare)     (1 − ρ) y + ρ prox_conj(y + step·Kx); may write over a
                                                             `spare` y
``@descent(G, D)`` (g, K, x, tau, slope, p, theta, spare)    x' = prox_τg(x − τ(slope + Kᵀp)) and x' + θ(x' − x);
                                                             slope None: 0; may write over a `spare` slope
``@value(F, D)``   (f, K, x)                                 f(Kx) in float64
``@pull(F, D)``    (f, K, q)                                 (Kᵀq', f*(q')) in float64, q' = feasible(q); for
                                                             f with minimum f(0) = 0
``@moved(F, D)``   (f, K, y, x, step)                        (‖y − prox_conj(y + step·Kx)‖², ‖Kx‖²) in float64
``@several(G, F, D)`` (g, f, K, u, p, tau, sigma, relaxation, count)   x, u', p', how many: iterations at once
============================================================ ==========================================================

f, g and K are the forms; where an entry names None in place of D, K is the operator itself.  An entry that returns None
declines, and the general formulas are used.  Every entry must equal them up to rounding: `vi.testing.check_functional`
compares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from varinv.backend import Array
from varinv.forms import form_of

Entry = Callable[..., Any]
TABLE: dict[tuple[Any, ...], Entry] = {}


def _role(name: str) -> Callable[..., Callable[[Entry], Entry]]:
    def register(*forms: type | None) -> Callable[[Entry], Entry]:
        def keep(entry: Entry) -> Entry:
            TABLE[(name, *forms)] = entry
            return entry

        return keep

    register.__name__ = name
    register.__doc__ = f"Register a fused `{name}` for these types of forms; see the table of this module."
    return register


ascent, descent, value, pull, moved, several = map(_role, ("ascent", "descent", "value", "pull", "moved", "several"))


def find(role: str, f: Any, K: Any) -> tuple[Entry, Any, Any] | None:
    """(entry, form of f, form of K or K) for a functional f and an operator K; None: there is no entry."""
    form = form_of(f)
    if form is None:
        return None
    place = form_of(K)
    if place is not None and (entry := TABLE.get((role, type(form), type(place)))) is not None:
        return entry, form, place
    entry = TABLE.get((role, type(form), None))
    return None if entry is None else (entry, form, K)


def value_of(f: Any, K: Any, x: Array) -> float | None:
    """f(Kx) in float64 without Kx; None: no entry does it."""
    found = find("value", f, K)
    return None if found is None else found[0](found[1], found[2], x)


def pull_of(f: Any, K: Any, q: Array) -> tuple[Array, float] | None:
    """(Kᵀq', f*(q')) in float64 with q' = feasible(q), without q'; None: no entry does it."""
    found = find("pull", f, K)
    return None if found is None else found[0](found[1], found[2], q)


def moved_of(f: Any, K: Any, y: Array, x: Array, step: Any) -> tuple[float, float] | None:
    """(‖y − prox_conj(y + step·Kx)‖², ‖Kx‖²) in float64, without Kx; None: no entry does it."""
    found = find("moved", f, K)
    return None if found is None else found[0](found[1], found[2], y, x, step)
