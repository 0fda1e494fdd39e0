"""Total variations that take their structure from a guide image: its edge directions, its similar patches."""

from __future__ import annotations

from typing import Any

from varinv import check
from varinv.backend import Array, is_array, namespace
from varinv.functionals.base import Term
from varinv.functionals.sparsity import L21
from varinv.operators.directional import Damping
from varinv.operators.gradient import Gradient
from varinv.operators.patches import NonlocalGradient


def DirectionalTV(
    guide: Array,
    gamma: float = 0.95,
    eta: float | None = None,
    weight: Any = None,
    spacing: Any = 1.0,
    axes: Any = None,
) -> Term:
    r"""Total variation that favours the edges of a second image of the same object, the guide.

    Σ_i w_i |P_i ∇x|_i, P_i = I − γ ξ_i ξ_iᵀ, ξ = ∇v/√(|∇v|² + η²) of a guide image v.

    Gradients along those of the guide cost 1 − γ of what others cost: edges where the guide has them, in its direction
    (parallel level sets; Ehrhardt & Betcke 2016).  The guide's contrast does not matter, nor its sign.

    Parameters
    ----------
    guide : a real image v of the shape of x, on its device.
    gamma : 0 ≤ γ ≤ 1; 0 is TV.
    eta : η > 0, grey values of v per unit of `spacing`: steeper slopes have a direction.  None: 1 % of its range.
    weight, spacing, axes : as in TV.

    Returns
    -------
    Term : multiply by λ and add it to a data term.

    Raises
    ------
    TypeError, ValueError
        A guide that is complex, NaN or infinite; γ, η or weights out of range; what Gradient refuses.

    Examples
    --------
    >>> import numpy as np
    >>> edge = np.outer(np.ones(4), [0.0, 0.0, 1.0, 1.0])
    >>> along, across = DirectionalTV(edge)(3 * edge), DirectionalTV(edge)(3 * edge.T)
    >>> round(along, 2), round(across, 1)
    (0.6, 12.0)
    """
    guide = check.real_array("DirectionalTV", "guide", guide)
    xp = namespace(guide)
    if eta is None:
        eta = 0.01 * float(xp.max(guide) - xp.min(guide)) or 1.0
    eta = check.number("DirectionalTV", "eta", eta, low=0.0, strict=True)
    gamma = check.number("DirectionalTV", "gamma", gamma, low=0.0, high=1.0)
    D = Gradient(tuple(guide.shape), spacing, axes)
    slopes = D.forward(guide)
    xi = slopes / xp.sqrt(xp.sum(slopes * slopes, axis=0) + eta * eta)
    return Term(L21(_weight("DirectionalTV", weight, D.domain)), Damping(xi, gamma) @ D)


def NonlocalTV(
    guide: Array,
    weight: Any = None,
    neighbours: int = 10,
    window: int = 5,
    patch: int = 2,
    scale: float | None = None,
) -> Term:
    r"""Total variation between pixels with similar surroundings, for textures and repeated details.

    Σ_i w_i √(Σ_j w_ij (x_j − x_i)²) over pixels j whose patches look like that of i in the guide.

    See `NonlocalGradient` for the graph and its parameters (Gilboa & Osher 2008).  The guide may be the noisy image, a
    first reconstruction, or another modality; it fixes the shape, the library and the device.

    Returns
    -------
    Term : multiply by λ and add it to a data term.

    Raises
    ------
    TypeError, ValueError
        What NonlocalGradient refuses; weights as in TV.
    """
    K = NonlocalGradient(guide, neighbours, window, patch, scale)
    return Term(L21(_weight("NonlocalTV", weight, K.domain)), K)


def _weight(who: str, weight: Any, shape: Any) -> Any:
    w = check.weight(who, 1.0 if weight is None else weight)
    if is_array(w):
        check.same_shape(who, "weight", w, shape)
    return w
