"""Space-variant total variation: weights from a guide image, and the reweighting that recomputes them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from varinv import check
from varinv.backend import Array, double, namespace
from varinv.functionals.tv import TV
from varinv.linalg import norm
from varinv.operators.gradient import differences
from varinv.problem import as_problem
from varinv.solvers.base import Solver
from varinv.views import on_views


@on_views
def tv_weights(
    guide: Array, eta: float | None = None, p: float = 0.5, *, axes: Any = None, magnitude: bool = False
) -> Array:
    r"""Weights of total variation from a guide image: 1 where it is flat, small along its edges.

    .. math::
        w_i = (η / \sqrt{η² + |∇\tilde x|_i²})^{1−p}

    Use them as ``TV(shape, weight=w)`` in any solver.  Only the edges of the guide matter, not its grey values.  A
    first TV solution or a trained network halves the error of TV on images of flat parts with sharp edges; where edges
    lie inside pixels it gains little, on a real scan nothing.  A filtered back-projection of few views, whose edges
    are streaks, may make things worse.  Edges become nearly free, so the best λ is about 10 times that of TV.
    The rule is one step of TpV reweighting (Σ|∇x|^p) at the guide; Morotti, Evangelista, Piccolomini (2024).

    Parameters
    ----------
    guide : image (*n) of any floating library; an FBP, a TV solution, a network's output.
    eta : η > 0, jump below which an edge is not taken seriously, in grey values; None: 2e-3 times the distance of the
        0.5 and 99.5 percentiles.
    p : 0 < p ≤ 1; 1 gives weights of exactly 1, that is TV.
    axes : axes of the gradient, as in `TV`; None: all.
    magnitude : the guide is |∇x̃| itself (eta must then be given).

    Returns
    -------
    Array : of the guide's shape, library, device and dtype, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        A guide with NaN, complex or empty; eta ≤ 0; p outside (0, 1]; a negative magnitude, or one without eta.

    Examples
    --------
    >>> import numpy as np
    >>> tv_weights(np.array([[0.0, 0.0, 1.0, 1.0]]), eta=0.01).round(2)
    array([[1. , 0.1, 1. , 1. ]])
    """
    who = "tv_weights"
    guide = check.real_array(who, "guide", guide)
    p = exponent(who, p)
    xp = namespace(guide)
    if magnitude:
        if eta is None:
            raise ValueError(f"{who}: eta must be given with magnitude=True, in the units of the magnitudes")
        n = check.weight(who, guide, name="guide")
    else:
        n = _length(guide, axes)
    eta = default_eta(guide) if eta is None else check.number(who, "eta", eta, low=0.0, strict=True)
    if eta == 0:  # a constant guide has no edges
        return xp.ones_like(guide)
    relative = n / eta
    return (1 + relative * relative) ** (-(1 - p) / 2)


def exponent(who: str, p: Any) -> float:
    """p in (0, 1]."""
    value = check.number(who, "p", p)
    if not 0 < value <= 1:
        raise ValueError(f"{who}: p must lie in (0, 1], got {value:g}; 1 is plain total variation")
    return value


def default_eta(guide: Array) -> float:
    """2e-3 times the distance of the 0.5 and 99.5 percentiles: 2e-3 for an image in [0, 1]."""
    xp = namespace(guide)
    flat = xp.sort(xp.reshape(double(guide), (-1,)))
    last = flat.shape[0] - 1
    return 2e-3 * (float(flat[math.ceil(0.995 * last)]) - float(flat[math.floor(0.005 * last)]))


def _length(u: Array, axes: Any) -> Array:
    """|∇u| with the differences of TV: forward, Neumann."""
    K = TV(tuple(u.shape), axes=axes).K
    d = differences(u, K.spacing, K.axes, "neumann")  # type: ignore[union-attr]
    return namespace(d).sqrt(namespace(d).sum(d * d, axis=0))


def reweighted_tv(
    fidelity: Any,
    lam: float,
    *,
    p: float = 0.5,
    eta: float | None = None,
    outer: int = 5,
    x0: Array | None = None,
    solver: Solver | None = None,
    stop: Callable[..., str | None] | None = None,
) -> Any:
    r"""Total variation solved several times, each with weights from the last image, for sharper edges.

    TpV by reweighting: min over x of fidelity(x) + λ Σ Φ(|∇x|_i), Φ(t) = ∫₀ᵗ (η/√(η² + s²))^{1−p} ds.

    Φ grows like t below η and like t^p beyond.  As Φ is concave, its tangent at the last image is a weighted TV above
    it: each solve, ``fidelity + λ TV(weight=tv_weights(x))``, lowers the objective (as far as it is solved), and
    starts from the last image.  The first one is plain TV, or uses the weights of `x0`.

    Parameters
    ----------
    fidelity : the other terms, e.g. ``L2Squared(y) @ A + NonNegative()``, or ``L2Ball(y, radius) @ A``.
    lam, p, eta : λ, exponent in (0, 1] and η in grey values (None: from the first image, see `tv_weights`).
    outer : number of solves ≥ 1.
    x0, solver, stop : as in `solve`, for each solve.

    Returns
    -------
    Result : of the last solve; its history has one row for each: k (iterations), change ‖x' − x‖/‖x'‖, why.

    Raises
    ------
    TypeError, ValueError
        No problem, or one without a shape; lam < 0; p outside (0, 1]; eta ≤ 0; outer < 1.
    """
    from varinv.solvers.solve import solve

    who = "reweighted_tv"
    problem = as_problem(fidelity)
    if problem is None:
        raise TypeError(f"{who}: fidelity must be a Problem such as L2Squared(y) @ A, got {check.describe(fidelity)}")
    lam = check.number(who, "lam", lam, low=0.0)
    p = exponent(who, p)
    if eta is not None:
        eta = check.number(who, "eta", eta, low=0.0, strict=True)
    x, rows = x0, []
    result: Any = None
    for _ in range(check.integer(who, "outer", outer, low=1)):
        w = None if x is None else tv_weights(x, eta, p)
        result = solve(problem + lam * TV(problem.domain, weight=w), solver, x0=x, stop=stop)
        change = math.nan if x is None else norm(result.x - x) / max(norm(result.x), 1e-300)
        rows.append({"k": result.state.k, "change": change, "why": result.why})
        x = result.x
        eta = (default_eta(x) or None) if eta is None else eta
    return dataclasses.replace(result, history=tuple(rows))
