"""What is asked of a reconstruction: prior, solver, weight, size, when to stop."""

from __future__ import annotations

from dataclasses import dataclass

from varinv import check

PRIORS = ("tv", "svtv", "tgv", "wavelet", "none")
WITH_PRIOR = {
    "chambolle-pock": "ChambollePock",
    "adaptive-chambolle-pock": "AdaptiveChambollePock",
    "restarted-chambolle-pock": "RestartedChambollePock",
    "preconditioned-chambolle-pock": "PreconditionedChambollePock",
    "condat-vu": "CondatVu",
    "pd3o": "PD3O",
    "admm": "ADMM",
    "linearised-admm": "LinearisedADMM",
    "spdhg": "SPDHG",
}
WITHOUT_PRIOR = {
    "sirt": "SIRT",
    "sart": "SART",
    "os-sart": "OSSART",
    "cgls": "CGLS",
    "lsqr": "LSQR",
    "landweber": "Landweber",
    "nu-method": "NuMethod",
}
SOLVERS = ("auto", "fbp", *WITHOUT_PRIOR, *WITH_PRIOR)
# iterations where none are asked for: without a prior the number of iterations is what holds the noise down, and these
# stand within 0.5 dB of the best of 3, 10, 20, 30, 60, 100 and 200 on the embedded scan (every sixth view, binned by 4)
STEPS = {"sirt": 100, "sart": 30, "os-sart": 10, "cgls": 15, "lsqr": 15, "landweber": 100, "nu-method": 20}


@dataclass(frozen=True)
class Settings:
    """How to reconstruct.

    prior : "tv": total variation; "svtv": the same with weights per pixel from a first image, for sharper edges; "tgv":
        total generalised variation, for slopes; "wavelet": few wavelet coefficients.  Each with ½‖A x − y‖² and x ≥ 0.
        "none": filtered back-projection, or an iterative method that is stopped early.
    weight : relative weight, λ = weight × unit (see varinv.tomography.reconstruct); None: chosen on held-out views.
    size, pixel_size : of the image, see varinv.tomography.reconstruct.grid.
    counts : weight measurements by their counts.
    volume : one problem for the whole stack, coupled across slices; False: slice by slice.
    gap, iterations : when to stop, see varinv.tomography.reconstruct.stop; iterations None: 2000 with a prior, STEPS
        without.
    solver : "auto", or one of SOLVERS that goes with the prior.
    margin : pixels on each side that are reconstructed and cut off again: room for what the columns do not cover.
    """

    prior: str = "tv"
    weight: float | None = None
    size: int | None = None
    pixel_size: float | None = None
    counts: bool = False
    volume: bool = False
    gap: float = 1e-3
    iterations: int | None = None
    solver: str = "auto"
    margin: int = 0

    def __post_init__(self) -> None:
        if self.prior not in PRIORS:
            raise ValueError(f"reconstruct: prior must be one of {', '.join(PRIORS)}, got {self.prior!r}")
        if self.weight is not None:
            check.number("reconstruct", "weight", self.weight, low=0.0)
        check.number("reconstruct", "gap", self.gap, low=0.0, strict=True)
        if self.iterations is not None:
            check.integer("reconstruct", "iterations", self.iterations, low=1)
        fitting = ("auto", *(("fbp", *WITHOUT_PRIOR) if self.prior == "none" else WITH_PRIOR))
        if self.solver not in fitting:
            raise ValueError(
                f"reconstruct: the solvers for prior {self.prior} are {', '.join(fitting)}, got {self.solver!r}"
            )
        if self.prior == "none" and (self.weight is not None or (self.counts and self.direct)):
            raise ValueError("reconstruct: weight= and counts= have no meaning with prior none, which has no objective")

    @property
    def direct(self) -> bool:
        """Whether it is filtered back-projection."""
        return self.prior == "none" and self.solver in ("auto", "fbp")

    @property
    def most(self) -> int:
        """Iterations at the most."""
        return self.iterations if self.iterations is not None else STEPS.get(self.solver, 2000)
