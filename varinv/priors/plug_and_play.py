"""Denoisers and explicit regularisers as functionals, for the solvers as they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, namespace
from varinv.functionals.base import Functional
from varinv.priors.denoiser import denoised
from varinv.returned import number, returned


@dataclass(frozen=True, eq=False, repr=False)
class PnP(Functional):
    r"""Plug-and-play: a denoiser takes the place of the regulariser's step in a solver.

    D in the place of a proximal map (Venkatakrishnan, Bouman & Wohlberg 2013).

    .. math::  \mathrm{prox}_{t g}(x) := D(x, σ),\qquad σ = \sqrt{t λ}

    The prox of t λ g is the maximum-a-posteriori denoiser for noise of variance t λ when g = −log p, hence σ; the
    strength is then tied to the step of the solver.  With `sigma` given it is the same for every step.  There is no
    value: a run stops on its residual, on small changes or after iterations, never on an objective.

    Parameters
    ----------
    denoiser : (x, sigma) -> x, sigma the standard deviation in the units of x; see `Denoiser` and `Network`.
    sigma : a fixed noise level; None: √(step·lam).
    lam : the weight λ.
    convexity : what is assumed of g: 0, that D is the proximal map of a convex function (nothing checks it; `check`
        measures); −∞: solvers that need convexity refuse.

    Raises
    ------
    TypeError, ValueError
        A denoiser that is not callable, negative numbers; on a call, NotImplementedError as it has no value.
    """

    denoiser: Any
    sigma: float | None = None
    lam: float = 1.0
    convexity: float = 0.0

    def __post_init__(self) -> None:
        _checked(self, "PnP")

    def __call__(self, x: Array) -> float:
        raise NotImplementedError(f"{self} has no value, a denoiser defines none; stop with residual or small_change")

    def prox(self, x: Array, step: Any) -> Array:
        sigma = (
            self.sigma if self.sigma is not None else math.sqrt(check.number("PnP", "step", step, low=0.0) * self.lam)
        )
        return denoised(self.denoiser, x, sigma)

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.convexity >= 0

    def scale(self, lam: float) -> Functional:
        return PnP(self.denoiser, self.sigma, lam * self.lam, self.convexity)

    def check(self, like: Array, sigma: float | None = None, probes: int = 20, seed: int = 0) -> Any:
        """What the denoiser keeps, how it stretches distances, and what follows."""
        return _diagnose(self, like, sigma, probes, seed)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        from varinv.functionals.sparsity import L1

        yield cls(lambda x, sigma: L1().prox(x, sigma**2), lam=0.3), (2, 3)

    def __repr__(self) -> str:
        level = f"sigma={self.sigma:g}" if self.sigma is not None else f"lam={self.lam:g}"
        return f"PnP({_name(self.denoiser)}, {level})"


@dataclass(frozen=True, eq=False, repr=False)
class RED(Functional):
    r"""Regularisation by denoising: the difference between an image and its denoised version acts as a gradient.

    A score (Romano, Elad & Milanfar 2017): ∇g(x) = λ (x − D(x, σ))/σ².

    (x − D_σ(x))/σ² estimates −∇log p of the density of images blurred by noise of level σ (Tweedie), so that λ = 1 is
    the Bayesian weight beside a data term −log p(y|x); the paper's own λ is this λ/σ².  In general this is no gradient
    (Reehorst & Schniter 2019): solvers find zeros of the sum of gradients, and there is no value to watch.

    Parameters
    ----------
    denoiser : (x, sigma) -> x.
    sigma : its noise level σ > 0, in the units of x.
    lam : the weight λ.
    lipschitz : a Lipschitz constant of x − D(x, σ); 2 holds for every non-expansive D.  ``check(like=x)`` measures it;
        it scales the default steps.
    convexity : what is assumed, as in `PnP`.
    """

    denoiser: Any
    sigma: float
    lam: float = 1.0
    lipschitz: float = 2.0
    convexity: float = 0.0

    def __post_init__(self) -> None:
        _checked(self, "RED")
        if self.sigma == 0:
            raise ValueError("RED: sigma must be greater than 0, got 0")
        object.__setattr__(self, "lipschitz", check.number("RED", "lipschitz", self.lipschitz, low=0.0, strict=True))

    def __call__(self, x: Array) -> float:
        raise NotImplementedError(f"{self} has no value; stop with residual(tol), small_change(tol) or iterations(n)")

    def grad(self, x: Array) -> Array:
        return (self.lam / self.sigma**2) * (x - denoised(self.denoiser, x, self.sigma))

    @property
    def smoothness(self) -> float:
        return self.lam * self.lipschitz / self.sigma**2

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.convexity >= 0

    def scale(self, lam: float) -> Functional:
        return RED(self.denoiser, self.sigma, lam * self.lam, self.lipschitz, self.convexity)

    def check(self, like: Array, sigma: float | None = None, probes: int = 20, seed: int = 0) -> Any:
        """What the denoiser keeps, how it stretches distances, and what follows."""
        return _diagnose(self, like, sigma, probes, seed)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(lambda x, sigma: x / (1 + sigma**2), sigma=0.5), (2, 3)

    def __repr__(self) -> str:
        return f"RED({_name(self.denoiser)}, sigma={self.sigma:g}, lam={self.lam:g})"


@dataclass(frozen=True, eq=False, repr=False)
class Potential(Functional):
    """A regulariser made of two functions of your own, its value and its gradient; learned ones included.

    λ g from callables.

    Gradient-step denoisers x − ∇g(x), total deep variation, ridge regularisers: wherever a value exists, line searches,
    monotone steps and objective-based stops work.

    Parameters
    ----------
    value : x -> number.
    gradient : x -> array like x.
    smoothness : a Lipschitz constant of the gradient; ∞ where it is not known: solvers then search their step.
    convexity : strong convexity, 0 for convex; −∞, the default, claims nothing.
    lam : the weight λ.
    """

    value: Callable[[Array], Any]
    gradient: Callable[[Array], Array]
    smoothness: float = math.inf
    convexity: float = -math.inf
    lam: float = 1.0

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.convexity >= 0

    def __post_init__(self) -> None:
        for name in ("value", "gradient"):
            if not callable(getattr(self, name)):
                raise TypeError(f"Potential: {name} must be callable, got {check.describe(getattr(self, name))}")
        object.__setattr__(self, "lam", check.number("Potential", "lam", self.lam, low=0.0))
        if not self.smoothness > 0:
            raise ValueError(f"Potential: smoothness must be greater than 0, got {self.smoothness!r}")

    def __call__(self, x: Array) -> float:
        return self.lam * number("Potential: value", self.value(x))

    def grad(self, x: Array) -> Array:
        return self.lam * returned("Potential: gradient", self.gradient(x), x, tuple(x.shape))

    def scale(self, lam: float) -> Functional:
        smooth = lam * self.smoothness if lam else math.inf
        return Potential(self.value, self.gradient, smooth, lam * self.convexity if lam else 0.0, lam * self.lam)

    @classmethod
    def examples(cls) -> Iterator[tuple[Functional, Shape]]:
        yield cls(lambda x: 0.5 * float(namespace(x).sum(x * x)), lambda x: x, 1.0, 1.0), (2, 3)


def _checked(prior: Any, who: str) -> None:
    if not callable(prior.denoiser):
        raise TypeError(f"{who}: denoiser must be callable as denoiser(x, sigma), got {check.describe(prior.denoiser)}")
    for name in ("sigma", "lam"):
        if name == "lam" or getattr(prior, name) is not None:
            object.__setattr__(prior, name, check.number(who, name, getattr(prior, name), low=0.0))


def _diagnose(prior: Any, like: Array, sigma: float | None, probes: int, seed: int) -> Any:
    from varinv.priors.diagnosis import diagnose

    return diagnose(prior.denoiser, like, prior.sigma if sigma is None else sigma, probes, seed)


def _name(denoiser: Any) -> str:
    return str(getattr(denoiser, "name", None) or getattr(denoiser, "__name__", type(denoiser).__name__))
