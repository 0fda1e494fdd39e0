"""varinv: variational inverse problems in imaging — certified operators, solvers and regularisers on any array library.

>>> import varinv as vi
>>> import numpy as np
>>> noisy = np.array([[0.0, 0.1, 1.0], [0.1, 0.0, 0.9]])
>>> vi.solve(vi.L2Squared(noisy) + 0.05 * vi.TV(noisy.shape), stop=vi.gap(1e-6)).why
'relative gap ... ≤ 1e-06'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name → module; each module is imported when one of its names is first used
_HOME = {
    "read": "scan",
    "Scan": "scan",
    "ScanError": "scan",
    "ScanWarning": "scan",
    "ParallelBeam": "operators.geometry",
    "FanBeam": "operators.geometry",
    "LinearOperator": "operators.base",
    "Identity": "operators.elementary",
    "Diagonal": "operators.elementary",
    "Subsampling": "operators.sampling",
    "Downsampling": "operators.sampling",
    "Gradient": "operators.gradient",
    "Blur": "operators.blur",
    "Radon": "operators.radon",
    "AstraRadon": "operators.radon_astra",
    "fbp": "operators.fbp",
    "MissingArcWarning": "operators.fbp_weights",
    "Functional": "functionals.base",
    "L2Squared": "functionals.data",
    "KullbackLeibler": "functionals.data",
    "L2Ball": "functionals.constraints",
    "Box": "functionals.constraints",
    "NonNegative": "functionals.constraints",
    "L1": "functionals.sparsity",
    "L21": "functionals.sparsity",
    "Huber": "functionals.sparsity",
    "TV": "functionals.tv",
    "Term": "problem",
    "Problem": "problem",
    "Solver": "solvers.base",
    "solve": "solvers.solve",
    "until": "solvers.base",
    "last": "solvers.base",
    "iterations": "solvers.rules",
    "seconds": "solvers.rules",
    "small_change": "solvers.rules",
    "gap": "solvers.rules",
    "residual": "solvers.rules",
    "ChambollePock": "solvers.chambolle_pock",
    "CGLS": "solvers.cgls",
    "Result": "result",
    "psnr": "metrics",
    "ssim": "metrics",
    "relative_error": "metrics",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        value = getattr(import_module(f"varinv.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'varinv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


if TYPE_CHECKING:
    from varinv.functionals.base import Functional
    from varinv.functionals.constraints import Box, L2Ball, NonNegative
    from varinv.functionals.data import KullbackLeibler, L2Squared
    from varinv.functionals.sparsity import L1, L21, Huber
    from varinv.functionals.tv import TV
    from varinv.metrics import psnr, relative_error, ssim
    from varinv.operators.base import LinearOperator
    from varinv.operators.blur import Blur
    from varinv.operators.elementary import Diagonal, Identity
    from varinv.operators.fbp import fbp
    from varinv.operators.fbp_weights import MissingArcWarning
    from varinv.operators.geometry import FanBeam, ParallelBeam
    from varinv.operators.gradient import Gradient
    from varinv.operators.radon import Radon
    from varinv.operators.radon_astra import AstraRadon
    from varinv.operators.sampling import Downsampling, Subsampling
    from varinv.problem import Problem, Term
    from varinv.result import Result
    from varinv.scan import Scan, ScanError, ScanWarning, read
    from varinv.solvers.base import Solver, last, until
    from varinv.solvers.cgls import CGLS
    from varinv.solvers.chambolle_pock import ChambollePock
    from varinv.solvers.rules import gap, iterations, residual, seconds, small_change
    from varinv.solvers.solve import solve
