"""The problem that a prior poses, and what solves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import varinv
from varinv.backend import Array
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import L2Squared
from varinv.functionals.sparsity import L1
from varinv.functionals.tgv import TGV
from varinv.functionals.tv import TV
from varinv.operators.restriction import Part
from varinv.operators.wavelet import StationaryWavelet
from varinv.problem import Problem
from varinv.solvers.rules import Rule, gap, iterations, residual
from varinv.tomography.settings import WITH_PRIOR, WITHOUT_PRIOR, Settings


class Model(NamedTuple):
    """A problem, and which part of its unknown is the image."""

    problem: Problem
    image: Callable[[Array], Array]


def model(prior: str, A: Any, y: Array, lam: float, weight: Any = 1.0, edges: Any = None) -> Model:
    """½‖A x − y‖²_W + λ R(x) over x ≥ 0, or the data term alone (prior "none").

    R: total variation ("tv"), with an image of weights `edges` ("svtv"; plain before there is one); second-order total
    generalised variation with α = (1, 2) ("tgv", an unknown with a vector field beside the image); the sum of the
    magnitudes of the details of a Haar wavelet transform that shifts with the image, within slices ("wavelet").
    """
    if prior == "none":
        return Model(Problem((L2Squared(y, weight) @ A,)), lambda x: x)
    if prior == "tgv":
        field = TGV(A.domain)
        image = Part(field.domain, 0)
        posed = L2Squared(y, weight) @ (A @ image) + lam * field + NonNegative() @ image
        return Model(posed, lambda x: x[0, ...])
    if prior == "wavelet":
        W = StationaryWavelet(A.domain, "haar", axes=(len(A.domain) - 2, len(A.domain) - 1))
        details = Part(W.codomain, slice(1, None)) @ W
        posed = L2Squared(y, weight) @ A + lam * (L1() @ details) + NonNegative()
        return Model(posed, lambda x: x)
    return Model(L2Squared(y, weight) @ A + lam * TV(A.domain, weight=edges) + NonNegative(), lambda x: x)


def solver(settings: Settings) -> Any:
    """The solver that the settings name; None where `solve` is to choose."""
    name = (WITH_PRIOR | WITHOUT_PRIOR).get(settings.solver)
    if name is None:
        return None
    return getattr(varinv, name)()


def stop(settings: Settings) -> Rule:
    """When a solve ends; problems without a certificate by their residual alone, those without a prior by number."""
    if settings.prior == "none":
        return iterations(settings.most)
    tol = settings.gap
    if settings.prior == "tgv":
        return residual(tol / 10) | iterations(settings.most)
    return gap(tol) | (residual(tol / 10) & gap(10 * tol)) | iterations(settings.most)
