"""One contract for every denoiser, (x, sigma) -> x: what it is, what it may raise, what it may give back."""

from __future__ import annotations

import math
from typing import Any, Protocol

from varinv import check
from varinv.backend import Array, device, double, is_array, library, namespace


class NetworkError(ValueError):
    """A network refused an image, or what came back is no image like the one it was given."""


class PlacementError(TypeError):
    """An image on a device, or of a dtype, that a network does not take."""


class Denoiser(Protocol):
    """What counts as a denoiser: a function that removes noise of a given level from an image.

    (x, sigma) -> x: a cleaner image of the same shape, library, device and dtype.

    `sigma` is the standard deviation of the noise in the units of x (never a variance, never 255 times something).
    Any callable of this form is a denoiser; `Network` makes one of a network.
    """

    def __call__(self, x: Array, sigma: Any) -> Array: ...


def denoised(denoiser: Any, x: Array, sigma: Any) -> Array:
    """``denoiser(x, sigma)``, an image like x; an error where it is none.

    Whether it is finite is not asked here: a run ends with the last image that was.
    """
    v = denoiser(x, sigma)
    if type(v) is type(x) and v.shape == x.shape and v.dtype == x.dtype:
        return v
    name = getattr(denoiser, "name", None) or getattr(denoiser, "__name__", type(denoiser).__name__)
    return an_image(f"denoiser {name}", v, x)


def returned(who: str, v: Any, u: Array) -> Array:
    """What a network gave back, in the dtype of what went in; an error where it is no finite image like that."""
    v = an_image(who, v, u)
    if not math.isfinite(float(namespace(v).sum(double(v)))) and math.isfinite(float(namespace(u).sum(double(u)))):
        raise NetworkError(
            f"{who} returned NaN or infinite values for a finite image; check its value range {who}.range"
        )
    return v


def an_image(who: str, v: Any, u: Array) -> Array:
    """What a network gave back, in the dtype of what went in; an error where it is no image like that."""
    v = check.taken(who, "what it returned", v)
    if not is_array(v):
        hint = "; is a return missing?" if v is None else ""
        raise TypeError(f"{who} must return an array of shape {tuple(u.shape)}, got {check.describe(v)}{hint}")
    if tuple(v.shape) != tuple(u.shape):
        raise NetworkError(
            f"{who} maps shape {tuple(u.shape)} to {tuple(v.shape)}, a denoiser keeps the shape; networks that need "
            "sizes divisible by 8, say, take multiple=8"
        )
    if library(v) != library(u) or device(v) != device(u):
        raise TypeError(
            f"{who} took a {library(u)} array on {device(u)} and returned a {library(v)} array on {device(v)}"
        )
    if not namespace(v).isdtype(v.dtype, "real floating"):
        raise TypeError(
            f"{who} returned dtype {v.dtype}, a denoiser gives real floating values in the range of the image; convert "
            "its output, e.g. from 0 … 255 by v / 255"
        )
    return v if v.dtype == u.dtype else namespace(u).astype(v, u.dtype)
