"""Total variation as a term: the norm of a gradient, with everything users vary."""

from __future__ import annotations

from typing import Any

from varinv import check
from varinv.backend import is_array, namespace
from varinv.functionals.base import Functional, Term
from varinv.functionals.charbonnier import Charbonnier
from varinv.functionals.sparsity import L1, L21, Huber
from varinv.operators.gradient import Gradient


def TV(
    shape: Any,
    weight: Any = None,
    spacing: Any = 1.0,
    axes: Any = None,
    isotropic: bool = True,
    smoothing: float = 0.0,
    kind: str = "huber",
) -> Term:
    r"""Total variation: removes noise and artefacts while it keeps edges; for images with nearly flat regions.

    Σ_i w_i |∇x|_i as a Term, Neumann boundary.

    Isotropic: |·| is the Euclidean length (Rudin, Osher, Fatemi 1992); anisotropic: the sum of magnitudes.
    `weight` w is an image ≥ 0: space-variant TV.  `smoothing` s > 0: a smooth form of the magnitude n, by `kind`

    =========== ========================================= ========================================================
    huber       n²/(2s) for n ≤ s, n − s/2 beyond          closed dual step, ≤ n
    charbonnier √(n² + s²)                                 infinitely smooth, ≥ n (each flat pixel counts λ w s)
    =========== ========================================= ========================================================

    Parameters
    ----------
    shape : image shape (*n); volumes (slices, rows, columns) couple all axes.
    weight : an image of shape (*n), a number, or None for 1.
    spacing : pixel distance, a number or one per axis; the default 1 measures in grey values per pixel, so that an
        image in other length units (pixel size h, λh) is the image divided by h.
    axes : the axes to differentiate along; None: all (pass (1, 2) for a stack of independent slices).
    isotropic : Euclidean length (True) or sum of magnitudes.
    smoothing : s ≥ 0, grey values per unit of `spacing`.
    kind : "huber" or "charbonnier"; without smoothing both are the norm itself.

    Returns
    -------
    Term : multiply by λ and add it to a data term.

    Raises
    ------
    TypeError, ValueError
        A weight of another shape, negative, NaN or infinite; negative smoothing; another kind; what Gradient refuses.

    Examples
    --------
    >>> import numpy as np
    >>> step = np.array([[0.0, 0.0, 1.0, 1.0]] * 3)
    >>> TV(step.shape)(step)
    3.0
    """
    K = Gradient(shape, spacing, axes)
    smoothing = check.number("TV", "smoothing", smoothing, low=0.0)
    w = check.weight("TV", 1.0 if weight is None else weight)
    if is_array(w):
        check.same_shape("TV", "weight", w, K.domain)
    if kind not in ("huber", "charbonnier"):
        raise ValueError(f"TV: kind must be 'huber' or 'charbonnier', got {kind!r}")
    if not isotropic and is_array(w):  # one weight image for every direction
        w = namespace(w).stack([w] * K.codomain[0])
    f: Functional
    if smoothing:
        f = (Huber if kind == "huber" else Charbonnier)(smoothing, w, groups=isotropic)
    else:
        f = L21(w) if isotropic else L1(w)
    return Term(f, K)
