"""Decoders: maps from a small latent code to an image, with the transpose of their derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, Shape, device, double, namespace, normal
from varinv.linalg import dot, norm


@dataclass(frozen=True, eq=False, repr=False)
class Decoder:
    """A generator of images from codes, with its derivative, for searches among the images it can draw.

    x = G(z) from a latent code, with its vector–Jacobian product (z, v) ↦ J_G(z)ᵀ v: what latent searches need.

    Parameters
    ----------
    function : z of shape `latent` -> image.
    vjp : (z, v) -> J(z)ᵀ v of shape `latent`, v like the image.  `torch_decoder` makes both of a module.
    latent : shape of the code.

    Raises
    ------
    TypeError, ValueError
        What is not callable; on a call, codes or results of another shape, NaN.

    Examples
    --------
    >>> import numpy as np
    >>> G = Decoder(lambda z: z[0] * np.ones((2, 2)), lambda z, v: np.array([v.sum()]), (1,))
    >>> G(np.array([3.0])), G.back(np.array([3.0]), np.ones((2, 2)))
    (array([[3., 3.], [3., 3.]]), array([4.]))
    """

    function: Callable[[Array], Array]
    vjp: Callable[[Array, Array], Array]
    latent: Shape

    def __post_init__(self) -> None:
        for name, form in (("function", "function(z)"), ("vjp", "vjp(z, v)")):
            if not callable(getattr(self, name)):
                raise TypeError(
                    f"Decoder: {name} must be callable as {form}, got {check.describe(getattr(self, name))}"
                )
        object.__setattr__(self, "latent", check.shape("Decoder", self.latent, name="latent"))

    def __call__(self, z: Array) -> Array:
        check.same_shape("Decoder", "z", z, self.latent)
        return check.real_array("Decoder", "the decoded image", self.function(z))

    def back(self, z: Array, v: Array) -> Array:
        """J(z)ᵀ v, in the dtype of z."""
        g = check.real_array("Decoder", "the result of vjp", self.vjp(z, v))
        check.same_shape("Decoder", "the result of vjp", g, self.latent)
        return namespace(z).astype(g, z.dtype, copy=False)

    def code(self, like: Array, *seeds: int) -> Array:
        """A standard normal code in library, device and dtype of `like`."""
        xp = namespace(like)
        return normal(xp.zeros(self.latent, dtype=like.dtype, device=device(like)), *seeds)

    def check(self, z: Array, seed: int = 0, step: float = 1e-4) -> float:
        """The relative mismatch of ⟨J d, v⟩ (central differences of `step`) and ⟨d, Jᵀ v⟩ for random d and v.

        About step² in float64; above 1e-2, `vjp` is not the transpose of the derivative.
        """
        z = double(z)
        d = self.code(z, seed)
        ahead, behind = self(z + step * d), self(z - step * d)
        v = normal(ahead, seed, 1)
        left, right = dot(ahead - behind, v) / (2 * step), dot(d, self.back(z, v))
        return abs(left - right) / max(norm(ahead - behind) / (2 * step) * norm(v), 1e-300)

    def __repr__(self) -> str:
        return f"Decoder(latent={self.latent})"


def checked_decoder(who: str, decoder: Any, start: Any) -> None:
    """Errors for what is no decoder, and for a start code that does not fit it."""
    if not isinstance(decoder, Decoder):
        raise TypeError(f"{who}: decoder must be a Decoder (function, vjp, latent), got {check.describe(decoder)}")
    if start is not None:
        check.same_shape(who, "start", check.real_array(who, "start", start), decoder.latent)
