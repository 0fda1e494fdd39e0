"""The usual problem of a scan, least squares with total variation, and what gives its weight a scale."""

from __future__ import annotations

from typing import Any

from varinv import check
from varinv.backend import Array, namespace
from varinv.fit import BESIDE, beside
from varinv.functionals.constraints import NonNegative
from varinv.functionals.data import L2Squared
from varinv.functionals.tv import TV
from varinv.problem import Problem
from varinv.scan.errors import warn
from varinv.solvers.cgls import CGLS
from varinv.solvers.rules import iterations
from varinv.solvers.solve import solve

PRIORS = ("tv", "none")


def typical_grey_value(A: Any, y: Array, steps: int = 12) -> float:
    """The 99.5 percentile of the image after `steps` CGLS steps from zero: a grey value typical of bright parts."""
    check.integer("typical_grey_value", "steps", steps, low=1)
    x = solve(Problem((L2Squared(y) @ A,)), CGLS(), stop=iterations(steps)).x
    xp = namespace(x)
    flat = xp.sort(xp.reshape(x, (-1,)))
    return float(flat[round(0.995 * (flat.shape[0] - 1))])


def unit_weight(A: Any, y: Array) -> float:
    """λ of the relative weight 1: the 99.5 percentile of a 12-step CGLS image × pixel_size².

    Raises ValueError where that image is not positive: data without contrast, or of the wrong sign.
    """
    value = typical_grey_value(A, y)
    if value <= 0:
        raise ValueError(
            f"reconstruct: the 99.5 percentile of a first image is {value:g}, not positive; are the data line "
            "integrals (−log of the transmission), and not counts or transmissions?"
        )
    return value * float(A.pixel_size) ** 2


def problem(A: Any, y: Array, lam: float, weight: Any = 1.0) -> Problem:
    """½‖A x − y‖²_W + λ TV(x) over x ≥ 0."""
    result: Problem = L2Squared(y, weight) @ A + lam * TV(A.domain) + NonNegative()
    return result


def of_scan(scan: Any, A: Any, row: int, lam: float | None, weight: float, prior: str, counts: bool) -> Problem:
    """What `Scan.problem` returns, with the operator made."""
    if prior not in PRIORS:
        raise ValueError(f"problem: prior must be one of {', '.join(PRIORS)}, got {prior!r}")
    weight = check.number("problem", "weight", weight, low=0.0)
    y, valid = scan.sinogram(row), scan.valid(row)
    w: Any = scan.weight(row) if counts else 1.0 if valid.all() else valid.astype(y.dtype)
    share = beside(A, y, valid.astype(y.dtype))
    if share > BESIDE:
        text = (
            f"{share:.0%} of the data of row {row} lie on rays that miss the image of {A.domain} pixels of "
            f"{A.pixel_size:g}: leave size and pixel_size out, so that it covers what the detector sees"
        )
        warn(scan.raw.path, text, [])
    if prior == "none":
        found: Problem = L2Squared(y, w) @ A + NonNegative()
        return found
    lam = weight * unit_weight(A, y) if lam is None else check.number("problem", "lam", lam, low=0.0)
    return problem(A, y, lam, w)
