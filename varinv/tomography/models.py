"""The problem that a prior poses, and what solves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import varinv
from varinv.backend import Array, namespace
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import L2Squared
from varinv.functionals.sparsity import L1
from varinv.functionals.tgv import TGV
from varinv.functionals.tv import TV
from varinv.operators.restriction import Part
from varinv.operators.wavelet import Wavelet
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
    magnitudes of the wavelet coefficients, db2, without those of the coarsest level ("wavelet").
    """
    if prior == "none":
        return Model(Problem((L2Squared(y, weight) @ A,)), lambda x: x)
    if prior == "tgv":
        field = TGV(A.domain)
        image = Part(field.domain, 0)
        posed = L2Squared(y, weight) @ (A @ image) + lam * field + NonNegative() @ image
        return Model(posed, lambda x: x[0, ...])
    if prior == "wavelet":
        W = Wavelet(A.domain, "db2", axes=tuple(range(-2, 0)))
        posed = L2Squared(y, weight) @ A + lam * (L1(weight=_details(W, y)) @ W) + NonNegative()
        return Model(posed, lambda x: x)
    return Model(L2Squared(y, weight) @ A + lam * TV(A.domain, weight=edges) + NonNegative(), lambda x: x)


def _details(W: Wavelet, like: Array) -> Array:
    """1 for the details of a wavelet transform, 0 for the coarsest block: means are not to be shrunk."""
    xp = namespace(like)
    rows, columns = W.domain[-2:]
    for _ in range(W.levels or 1):
        rows, columns = (n // 2 + n % 2 for n in (rows, columns))
    inner = xp.reshape(xp.arange(W.domain[-2]) < rows, (-1, 1)) & xp.reshape(xp.arange(W.domain[-1]) < columns, (1, -1))
    weight = xp.astype(~inner, like.dtype)
    return weight if len(W.domain) == 2 else xp.broadcast_to(weight, W.domain) + xp.zeros(W.domain, dtype=like.dtype)


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
