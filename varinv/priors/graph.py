"""graphLa+Ψ: a second reconstruction, regularised by the graph of a first one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from varinv import check
from varinv.backend import Array, is_array, same_place
from varinv.functionals.data import L2Squared
from varinv.functionals.smoothed_lq import SmoothedLq
from varinv.functionals.sparsity import L1
from varinv.learning.discrepancy import discrepancy
from varinv.operators.base import LinearOperator
from varinv.operators.graph import GraphLaplacian
from varinv.problem import Problem
from varinv.solvers.base import Solver
from varinv.solvers.least_squares import data_misfit


def graph_la(
    A: LinearOperator,
    y: Array,
    psi: Callable[[Array], Array] | Array,
    *,
    noise: float | None = None,
    lam: float | None = None,
    q: float = 2.0,
    smoothing: float | None = None,
    radius: int = 4,
    scale: float = 1e-3,
    normalise: str = "fro",
    tau: float = 1.01,
    tol: float = 1e-3,
    extra: Any = None,
    solver: Solver | None = None,
    stop: Callable[..., str | None] | None = None,
) -> Any:
    r"""Reconstruct twice: the first image says which pixels are alike, and so regularises the second.

    min over x of ½‖A x − y‖² + (λ/q) ‖L x‖_q^q, L the graph Laplacian of Ψ(y); Bianchi et al. (2023).

    Ψ is any first reconstruction: ``lambda y: vi.fbp(A, y)``, a Tikhonov or TV solve, a network, or the image itself.
    Only its grey-value differences within a window matter, so a poor but sharp Ψ is good enough; a well solved TV
    image, on the other hand, need not be improved.  λ by the discrepancy principle (`noise`), or given (`lam`).

    The published code has q = 1, smoothed below 0.1, but its L (divided by ‖W‖_F) makes |L x| of some 1e-2: there the
    penalty is a square, and q = 2 gives the same image.  The default is that square, solved by conjugate gradients
    and `discrepancy`.  q = 1 with `lam` alone is the exact ℓ1 norm (ChambollePock); any other q, or with `noise` or
    `smoothing`, is Σ (t² + s²)^{q/2}/q, solved by majorisation on Krylov subspaces (MMGKS).

    Parameters
    ----------
    A, y : operator and data.
    psi : y ↦ image, or an image, of A's domain.
    noise, lam : δ = ‖noise‖ of the whole data, or λ > 0: exactly one of the two.
    q : 0 < q ≤ 2.
    smoothing : s > 0, in units of L x; None: a tenth of the largest |L Ψ(y)|.
    radius, scale, normalise : of the graph, see `GraphLaplacian`.
    tau, tol : the residual aimed at is τ·δ, within the relative distance `tol`.
    extra : more terms, e.g. NonNegative(), for solvers that take them.
    solver, stop : as in `solve`; None: as above, to a residual of 1e-4 or 300 iterations (2000 of ChambollePock).

    Returns
    -------
    Result : `notes` has lam and residual (‖A x − y‖); `why` says whether the discrepancy was reached.

    Raises
    ------
    TypeError, ValueError
        A guide of another shape, with NaN or elsewhere; both or none of noise and lam; q outside its range; what
        `GraphLaplacian` and `discrepancy` refuse.
    """
    from varinv.solvers.cg import CG
    from varinv.solvers.chambolle_pock import ChambollePock
    from varinv.solvers.mmgks import MMGKS
    from varinv.solvers.rules import iterations, residual
    from varinv.solvers.solve import solve

    who = "graph_la"
    if (noise is None) == (lam is None):
        raise ValueError(f"{who}: give either noise=‖noise‖ (λ by the discrepancy principle) or lam=λ")
    q = check.number(who, "q", q)
    if not 0 < q <= 2:
        raise ValueError(f"{who}: q must lie in (0, 2], got {q:g}")
    data: Any = L2Squared(y) @ A if extra is None else L2Squared(y) @ A + extra
    guide = check.real_array(who, "the image of psi", psi if is_array(psi) else psi(y))
    check.same_shape(who, "the image of psi", guide, A.domain)
    guide = same_place(who, "the image of psi", guide, data.data() if isinstance(data, Problem) else data.f.data())
    L = GraphLaplacian(guide, radius, scale, normalise)

    exact = q == 1 and smoothing is None and noise is None
    if q == 2:
        penalty: Any = L2Squared() @ L
    elif exact:
        penalty = L1() @ L
    else:
        size = 0.1 * float(abs(L.forward(guide)).max()) if smoothing is None else smoothing
        penalty = SmoothedLq(q, check.number(who, "smoothing", size, low=0.0, strict=True)) @ L
    stop = residual(1e-4) | iterations(300 if solver is None and not exact else 2000) if stop is None else stop
    default: Any = CG() if q == 2 else ChambollePock() if exact else MMGKS(noise=noise, factor=tau)
    solver = default if solver is None else solver
    if noise is not None and getattr(solver, "noise", None) is None:  # the solver does not find the weight itself
        begin = (A.norm() / L.norm()) ** 2  # where both terms are of one size
        found = discrepancy(
            lambda weight: data + weight * penalty,
            noise,
            tau=tau,
            tol=tol,
            start=begin,
            bounds=(1e-12 * begin, 1e12 * begin),
            solver=solver,
            stop=stop,
            x0=guide,
        )
        notes = {"lam": found.lam, "residual": found.residual, "solves": found.solves}
        return dataclasses.replace(found.result, why=f"{found.result.why}; {found.why}", notes=notes)
    weight = 1.0 if lam is None else check.number(who, "lam", lam, low=0.0)
    result = solve(data + weight * penalty, solver, stop=stop, x0=guide)
    notes = {"lam": weight * getattr(result.state, "lam", 1.0)}
    return dataclasses.replace(result, notes={**notes, "residual": data_misfit("graph_la", result.problem, result.x)})
