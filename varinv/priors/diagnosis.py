"""What a denoiser keeps, how it stretches distances, and what that means for each algorithm."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, namespace, normal
from varinv.linalg import dot, norm
from varinv.priors.denoiser import returned


@dataclass(frozen=True)
class Diagnosis:
    """Figures of a denoiser D at one image and noise level; `print` shows them with what follows.

    lipschitz, residual_lipschitz : lower bounds of the Lipschitz constants of D and of I − D near the image: the
        largest stretch ‖D(x + v) − D(x)‖/‖v‖ met in a power iteration of small v.
    asymmetry : ‖J − Jᵀ‖/‖J‖ of the Jacobian J of D, in the Frobenius norm, from random pairs ⟨u, Jv⟩ − ⟨v, Ju⟩.
    homogeneity : ‖D((1 + ε)x) − (1 + ε)D(x)‖/(ε‖D(x)‖).
    deterministic : two calls gave the same bits.
    input, output : the extremes of image and result.
    """

    sigma: float
    lipschitz: float
    residual_lipschitz: float
    asymmetry: float
    homogeneity: float
    deterministic: bool
    input: tuple[float, float]
    output: tuple[float, float]

    @property
    def advice(self) -> dict[str, str]:
        """One sentence for each family of algorithms."""
        D, R = self.lipschitz, self.residual_lipschitz
        found = {}
        (low, high), (least, most) = self.input, self.output
        wide = max(high - low, 3 * self.sigma)
        if least < low - wide or most > high + wide:
            found["range"] = (
                f"values {least:.4g} … {most:.4g} for an image of {low:.4g} … {high:.4g}: is range= that of the "
                "training data, and image= what stands for it?  clip=True cuts what overshoots"
            )
        elif most - least < 0.1 * (high - low) and self.sigma < 0.3 * (high - low):
            found["range"] = (
                f"values {least:.4g} … {most:.4g} for an image of {low:.4g} … {high:.4g}: does the network return the "
                "noise rather than the image (subtract it from its input), or is range= not that of the training data?"
            )
        if not self.deterministic:
            found["all"] = "random output: no iteration converges; call eval(), fix the seed, or average"
        found["PnP (proximal gradient, ADMM, HQS, Chambolle–Pock)"] = (
            f"nothing found against a non-expansive D (stretch {D:.2f} ≤ 1): fixed points are expected"
            if D <= 1
            else f"D stretches by {D:.2f} > 1: no convergence is promised; a falling noise schedule (HQS), a data "
            "residual at the noise level and the best iterate are the safeguards"
        )
        found["PnP with a strongly convex data term"] = (
            f"I − D stretches by {R:.2f} < 1: converges for suitable steps (Ryu et al. 2019), if that holds everywhere"
            if R < 1
            else f"I − D stretches by {R:.2f} ≥ 1: the theorem of Ryu et al. (2019) does not apply"
        )
        symmetric, homogeneous = self.asymmetry <= 0.05, self.homogeneity <= 0.05
        found["RED"] = (
            "x − D(x) is close to the gradient of ½⟨x, x − D(x)⟩: an objective is meaningful"
            if symmetric and homogeneous
            else f"x − D(x) is no gradient of ½⟨x, x − D(x)⟩ (asymmetry {self.asymmetry:.2f}, homogeneity defect "
            f"{self.homogeneity:.2f}): RED solves an equation, not a minimisation (Reehorst & Schniter 2019)"
        )
        return found

    def __str__(self) -> str:
        lines = [
            f"noise level          {self.sigma:.4g}",
            "values               {:.4g} … {:.4g} → {:.4g} … {:.4g}".format(*self.input, *self.output),
            f"deterministic        {'yes' if self.deterministic else 'no'}",
            f"Lipschitz of D       ≥ {self.lipschitz:.3f}",
            f"Lipschitz of I − D   ≥ {self.residual_lipschitz:.3f}",
            f"Jacobian asymmetry   {self.asymmetry:.3f}",
            f"homogeneity defect   {self.homogeneity:.3f}",
        ]
        return "\n".join(lines + [f"{name}: {text}" for name, text in self.advice.items()])


def diagnose(denoiser: Any, x: Array, sigma: float | None = None, probes: int = 20, seed: int = 0) -> Diagnosis:
    """Measure a denoiser (x, sigma) -> x near the image x.

    `sigma` None: a tenth of the range of x.  `probes` steps of each power iteration; about 4·probes calls.

    Raises
    ------
    TypeError, ValueError
        An image that is no real array, and every fault of the denoiser itself: another shape, library, device or NaN.
    """
    who = getattr(denoiser, "name", "the denoiser")
    x = check.real_array("check", "like", x)
    probes = check.integer("check", "probes", probes, low=1)
    xp = namespace(x)
    low, high = float(xp.min(x)), float(xp.max(x))
    spread = high - low or abs(high) or 1.0
    sigma = 0.1 * spread if sigma is None else check.number("check", "sigma", sigma, low=0.0)
    D0 = returned(who, denoiser(x, sigma), x)
    deterministic = bool(xp.all(returned(who, denoiser(x, sigma), x) == D0))
    step = 1e-3 * spread * math.sqrt(math.prod(x.shape))  # a typical change of a thousandth of the range a pixel
    random = (normal(x, seed, k) for k in itertools.count())

    def J(v: Array) -> Array:
        """J v by a difference; v of any length."""
        length = norm(v)
        if length == 0:
            return v
        return (returned(who, denoiser(x + (step / length) * v, sigma), x) - D0) * (length / step)

    stretch = {"D": 0.0, "I − D": 0.0}
    for name in stretch:
        v = next(random)
        for _ in range(probes):
            w = J(v) if name == "D" else v - J(v)
            stretch[name] = max(stretch[name], norm(w) / norm(v))
            if norm(w) == 0:
                break
            v = w / norm(w)
    odd = even = 0.0
    for _ in range(max(probes // 4, 2)):
        u, v = next(random), next(random)
        a, b = dot(u, J(v)), dot(v, J(u))
        odd, even = odd + (a - b) ** 2, even + (a * a + b * b) / 2
    small = 1e-3
    larger = returned(who, denoiser((1 + small) * x, sigma), x)
    size = norm(D0) * small
    return Diagnosis(
        sigma,
        stretch["D"],
        stretch["I − D"],
        math.sqrt(odd / even) if even > 0 else 0.0,
        norm(larger - (1 + small) * D0) / size if size > 0 else 0.0,
        deterministic,
        (low, high),
        (float(xp.min(D0)), float(xp.max(D0))),
    )
