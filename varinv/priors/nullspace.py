"""Networks that may only add what the data cannot tell: data-consistent restoration and denoising."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array
from varinv.operators.base import LinearOperator
from varinv.priors.denoiser import returned


@dataclass(frozen=True, eq=False)
class NullspaceNetwork:
    r"""Let a network add only what the data cannot show, so that exact data stay fitted.

    y ↦ A⁺y + (I − A⁺A) N(A⁺y): a network changes only what A does not see; Schwab, Antholzer & Haltmeier (2019).

    For data in the range of A the result satisfies A x = y exactly, whatever the network does; noise in y is kept as
    well: regularise, or `restore`, where there is much.

    Parameters
    ----------
    A : the operator.
    network : image -> image of the same shape: a restorer, or ``lambda x: denoiser(x, sigma)``.
    method, tol : of `A.pinv`; without a closed form A⁺ costs some conjugate gradients, twice a call.

    Raises
    ------
    TypeError, ValueError
        An A that is no operator, a network that is not callable; on a call, data of another shape, or a network that
        changes the shape or returns NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import varinv as vi
    >>> A = vi.Downsampling((4,), 2)
    >>> vi.NullspaceNetwork(A, lambda x: np.array([0.0, 1.0, 2.0, 3.0]))(np.array([1.0, 3.0]))
    array([0.5, 1.5, 2.5, 3.5])
    """

    A: LinearOperator
    network: Callable[[Array], Array]
    method: str | None = None
    tol: float = 1e-10

    def __post_init__(self) -> None:
        _checked("NullspaceNetwork", self.A, self.network, "network(x)")

    def __call__(self, y: Array) -> Array:
        y = check.real_array("NullspaceNetwork", "y", y)
        x = self.A.pinv(y, self.method, self.tol)
        return self.A.project(returned("network", self.network(x), x), y, self.method, self.tol)


@dataclass(frozen=True, eq=False)
class DataConsistent:
    """Correct the output of a denoiser so that it fits exact data.

    (x, sigma) ↦ the image nearest to D(x, sigma) that fits the exact data y: a denoiser made consistent.

    For iterations whose every step should satisfy A x = y, and for the last step of any method.

    Parameters
    ----------
    A, y : the operator and exact data in its range.
    denoiser : (x, sigma) -> x.
    method, tol : of `A.pinv`.
    """

    A: LinearOperator
    y: Array
    denoiser: Any
    method: str | None = None
    tol: float = 1e-10

    def __post_init__(self) -> None:
        _checked("DataConsistent", self.A, self.denoiser, "denoiser(x, sigma)")
        y = check.real_array("DataConsistent", "y", self.y)
        check.same_shape("DataConsistent", "y", y, tuple(self.A.codomain))
        object.__setattr__(self, "y", y)

    def __call__(self, x: Array, sigma: Any) -> Array:
        return self.A.project(returned("denoiser", self.denoiser(x, sigma), x), self.y, self.method, self.tol)


def _checked(who: str, A: Any, network: Any, form: str) -> None:
    if not isinstance(A, LinearOperator):
        raise TypeError(f"{who}: A must be a LinearOperator, got {check.describe(A)}")
    if not callable(network):
        name = form.partition("(")[0]
        raise TypeError(f"{who}: {name} must be callable as {form}, got {check.describe(network)}")
