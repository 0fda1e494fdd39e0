"""Total generalised variation of second order: images that are piecewise affine."""

from __future__ import annotations

from typing import Any

from varinv import check
from varinv.backend import is_array
from varinv.functionals.base import Term
from varinv.functionals.sparsity import L21
from varinv.operators.gradient import Gradient
from varinv.operators.restriction import Part
from varinv.operators.symmetrised import SymmetrisedGradient
from varinv.problem import Problem


def TGV(
    shape: Any,
    alpha: tuple[float, float] = (1.0, 2.0),
    weight: Any = None,
    spacing: Any = 1.0,
    axes: Any = None,
) -> Problem:
    r"""Total generalised variation: keeps edges like total variation, without turning slopes into steps.

    α₁ Σ_i w_i |∇u − v|_i + α₂ Σ_i w_i |E v|_i, a problem over the stack (u, v) of the image and a vector field.

    Minimised over v it is TGV² of u (Bredies, Kunisch & Pock 2010): 0 for affine images, where total variation makes
    stairs.  E is `SymmetrisedGradient`.  The unknown has shape (1 + d, *n): ``x[0]`` is the image, ``x[1:]`` the field.
    Other terms reach the image through ``Part(problem.domain, 0)``.

    Parameters
    ----------
    shape : image shape (*n).
    alpha : weights of first and second order, > 0; α₂/α₁ is a length in units of `spacing`, 2 pixels usually.
    weight : an image w ≥ 0 of shape (*n), a number, or None for 1.
    spacing, axes : as in TV; d is the number of axes.

    Returns
    -------
    Problem : multiply by λ and add a data term.

    Raises
    ------
    TypeError, ValueError
        Weights that are not positive numbers; an image of weights as in TV; what Gradient refuses.

    Examples
    --------
    Denoising, and the image out of it:

    >>> import numpy as np
    >>> import varinv as vi
    >>> noisy = np.add.outer(np.arange(6.0), np.arange(5.0))
    >>> tgv = vi.TGV(noisy.shape)
    >>> result = vi.solve(vi.L2Squared(noisy) @ vi.Part(tgv.domain, 0) + 0.3 * tgv)
    >>> bool(abs(result.x[0] - noisy).max() < 1e-3)  # affine: nothing to remove
    True

    Tomography: ``vi.L2Squared(sinogram) @ A @ image + 0.1 * tgv`` with ``image = vi.Part(tgv.domain, 0)``.
    """
    D = Gradient(shape, spacing, axes)
    if not isinstance(alpha, (tuple, list)) or len(alpha) != 2:
        raise TypeError(f"TGV: alpha must be two numbers, (first order, second order), got {check.describe(alpha)}")
    first, second = (check.number("TGV", f"alpha[{k}]", a, low=0.0, strict=True) for k, a in enumerate(alpha))
    w = check.weight("TGV", 1.0 if weight is None else weight)
    if is_array(w):
        check.same_shape("TGV", "weight", w, D.domain)
    stack = (1 + D.codomain[0], *D.domain)
    field = Part(stack, slice(1, None))
    E = SymmetrisedGradient(D.domain, D.spacing, D.axes)
    row = D @ Part(stack, 0) - field
    return Problem((Term(L21(first * w), row), Term(L21(second * w), E @ field)))
