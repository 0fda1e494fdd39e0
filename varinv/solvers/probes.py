"""A last look at somebody's own classes: which part gives NaN, and whether a claim to have converged can hold.

A wrong adjoint, gradient or prox makes a run converge to another image, and its residuals and gaps are computed with
the very methods that are wrong.  What each method must fulfil alone is asked once, where a run says it has converged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from varinv.backend import Array, device, double, namespace
from varinv.functionals.base import Functional
from varinv.linalg import dot, norm
from varinv.operators.base import LinearOperator
from varinv.solvers.doubt import foreign

OFF = 1e-3  # of ‖K u‖‖v‖: float32 sums are right to 1e-5 of it, adjoints of another model are off by 1e-2
BENT = 0.1  # of the slope: a difference in float64 over 1e-4 of the image is right to 1e-3 of it where f is smooth

SHORT = 0.1  # of what a prox wins: those of iterations inside may be as far from the least


def culprit(problem: Any, x: Array) -> str:
    """Which part of a problem gives NaN or infinities for a finite image: what to add to the reason of a run."""
    for t in problem.terms:
        for name, value in _answers(t, x):
            if not math.isfinite(dot(value, value)):
                return f"; {name} gives NaN or infinite values for a finite image"
    return ""


def refuted(problem: Any, x: Array) -> str:
    """What to add to the reason of a run that has converged, where a class of somebody's own is not what it must be."""
    for t in problem.terms:
        own_K, own_f = foreign(t.K, LinearOperator), foreign(t.f, Functional)
        if not own_K and not own_f:
            continue
        try:
            words = (_adjoint(t.K, x) if own_K else "") or (_slope(t, x) or _prox(t, x) if own_f else "")
        except Exception:  # of a class that is not ours: a last look ends no run
            continue
        if words or (words := culprit(problem, x).removeprefix("; ")):
            return f", but {words}: this may be another image than asked for"
    return ""


def _adjoint(K: Any, x: Array) -> str:
    """⟨K u, v⟩ = ⟨u, Kᵀ v⟩ for two images without any symmetry."""
    u, v = _pattern(x, tuple(K.domain)), _pattern(x, tuple(K.codomain))
    Ku, Kv = K.forward(u), K.adjoint(v)
    error, size = abs(dot(Ku, v) - dot(u, Kv)), max(norm(Ku) * norm(v), norm(u) * norm(Kv))
    if not math.isfinite(size):
        return f"{K} gives values that overflow"
    if not error <= OFF * size:
        return f"{K}.adjoint is not the adjoint of its forward: |⟨K u, v⟩ − ⟨u, Kᵀ v⟩| is {error / size:.1g} ‖K u‖‖v‖"
    return ""


def _slope(t: Any, x: Array) -> str:
    """The gradient against the value, along itself."""
    if not hasattr(t.f, "grad"):
        return ""
    z = double(x if t.K is None else t.K.forward(x))
    z = z + 0.1 * _pattern(z, tuple(z.shape)) * (norm(z) / math.sqrt(math.prod(z.shape)) or 1.0)  # where it is not 0
    g = t.f.grad(z)
    length = norm(g)
    way = g / length if length > 0 else _pattern(z, tuple(z.shape)) / math.sqrt(math.prod(z.shape))
    h = 1e-4 * (norm(z) or 1.0)
    rise = (float(t.f(z + h * way)) - float(t.f(z - h * way))) / (2 * h)
    value = max(abs(float(t.f(z))), abs(float(t.f(0 * z))))
    if (
        math.isfinite(rise)
        and abs(rise - (length if length > 0 else 0.0)) > BENT * max(abs(rise), length) + 1e-9 * value / h
    ):
        return f"{t.f}.grad is not the gradient of its value: {length:.3g} along itself, the value rises by {rise:.3g}"
    return ""


def _prox(t: Any, x: Array) -> str:
    """f(p) + ‖p − z‖²/2 for p = prox(z, 1) is below that of z, of 0 and of points between."""
    if not hasattr(t.f, "prox") or not t.f.convex or t.f.convexity < 0:
        return ""
    z = double(x if t.K is None else t.K.forward(x))
    z = z + _pattern(z, tuple(z.shape)) * (norm(z) / math.sqrt(math.prod(z.shape)) or 1.0)
    d = t.f.prox(z, 1.0) - z
    at = [float(t.f(z + share * d)) + 0.5 * share**2 * dot(d, d) for share in (1.0, 0.0, 0.5, 0.9, 1.1)]
    least = min(*at, float(t.f(0 * z)) + 0.5 * dot(z, z))
    if math.isfinite(at[0]) and at[0] > least + SHORT * min(abs(at[1] - least), abs(at[0])) + 1e-9 * abs(at[0]):
        return f"{t.f}.prox is not that of its value: f(p) + ‖p − z‖²/2 is {at[0]:.3g}, and {least:.3g} nearby"
    return ""


def _pattern(like: Array, shape: tuple[int, ...]) -> Array:
    """Numbers between −1 and 1 without period or symmetry, in the library, device and dtype of `like`."""
    xp = namespace(like)
    numbers = xp.arange(math.prod(shape), dtype=like.dtype, device=device(like))
    return xp.reshape(xp.cos(2.399963 * numbers + 0.7 * xp.sin(0.013 * numbers)), shape)


def _answers(t: Any, x: Array) -> Iterator[tuple[str, Any]]:
    """(name, what it returns) of the methods of a term that a solver may call; those that fail give nothing."""
    try:
        z = x
        if t.K is not None:
            z = t.K.forward(x)
            yield f"{t.K}.forward", z
            yield f"{t.K}.adjoint", t.K.adjoint(z)
        if hasattr(t.f, "grad"):
            yield f"{t.f}.grad", t.f.grad(z)
        if hasattr(t.f, "prox"):
            yield f"{t.f}.prox", t.f.prox(z, 1.0)
    except Exception:  # of a class that is not ours: a last look ends no run
        return
