"""A network as a denoiser (x, sigma) -> x."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from varinv import check
from varinv.backend import Array, device, is_array, namespace, same_place
from varinv.priors.denoiser import NetworkError, PlacementError, returned
from varinv.priors.diagnosis import diagnose
from varinv.priors.tiles import averaged, in_tiles, padded

SIGMAS = ("map", "argument", "none")


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    r"""Use any network as a denoiser: value range, axes and noise level are converted for it.

    A network as a denoiser (x, sigma) -> x, in the units and the layout of the image.

    The network maps batches (n, channels, rows, columns) with values in `range`; the image may be anything.  With
    (a, b) = `image` and (lo, hi) = `range`, fixed once and for all (rescaling each iterate by its own extremes would
    change the map in every step),

    .. math::
        D(x, σ) = a + s\,(N(lo + (x − a)/s,\; σ/s) − lo),\qquad s = (b − a)/(hi − lo)

    Parameters
    ----------
    function : batch (n, c, rows, columns) -> the same shape; called with a second argument, the noise level, where
        sigma="argument".  `from_torch`, `from_onnx` and `from_jax` make one.
    sigma : how the network learns the noise level, in its own range: "map", one more input channel that holds it;
        "argument", a second argument; "none", not at all (a blind network: sigma has no effect); or a number s0, the
        one level it was trained for.  Then D_σ(x) = c + r (N(c + (x − c)/r) − c) with r = σ/s0 and c the middle of the
        range: right as far as image statistics do not depend on contrast; a warning says where r leaves [1/2, 2].
    range : the values (lo, hi) the network was trained on.
    image : the image values (a, b) that stand for them; None: the same.
    channels : 1: every axis before the last two counts as a batch (slices of a volume, colours one by one);
        c > 1: images are (…, c, rows, columns).
    multiple : rows and columns are padded to a multiple of this by reflection, and cropped afterwards.
    tile, overlap : larger images are cut into tiles of this side that overlap, blended linearly; None: in one piece.
        The overlap should reach as far as the network sees, else seams remain faintly visible.
    average : mean over the eight rotations and reflections (eight times the work, an equivariant map).
    clip : cut what comes back to `image`, for images whose values are known to lie there: networks overshoot where
        noise is strong, and iterations then leave the range for good.
    batch : at most so many images in one call.

    Raises
    ------
    TypeError, ValueError
        On construction: options without meaning.  On a call: an image that does not fit `channels`, a noise level that
        is negative or a map where the network takes none, and a network that raises an error of its own, changes the
        shape or the device, returns NaN or no real floating values.  Another precision is converted back.

    Examples
    --------
    >>> import numpy as np
    >>> halve = Network(lambda batch: 0.5 * batch, sigma="none", range=(0, 1), image=(0, 100))
    >>> halve(np.array([[80.0, 20.0]]), 5.0)
    array([[40., 10.]])
    """

    function: Callable[..., Array]
    sigma: Any = "map"
    range: tuple[float, float] = (0.0, 1.0)
    image: tuple[float, float] | None = None
    channels: int = 1
    multiple: int = 1
    tile: int | None = None
    overlap: int = 32
    average: bool = False
    clip: bool = False
    batch: int = 16
    name: str = "Network"

    def __post_init__(self) -> None:
        set_, who = object.__setattr__, self.name
        if not callable(self.function):
            raise TypeError(f"{who}: function must be callable, got {check.describe(self.function)}")
        if isinstance(self.sigma, str):
            if self.sigma not in SIGMAS:
                raise ValueError(f"{who}: sigma must be {', '.join(SIGMAS)} or a number, got {self.sigma!r}")
        else:
            set_(self, "sigma", check.number(who, "sigma", self.sigma, low=0.0, strict=True))
        set_(self, "range", _interval(who, "range", self.range))
        set_(self, "image", self.range if self.image is None else _interval(who, "image", self.image))
        for name, low in (("channels", 1), ("multiple", 1), ("overlap", 0), ("batch", 1)):
            set_(self, name, check.integer(who, name, getattr(self, name), low=low))
        if self.tile is not None:
            set_(self, "tile", check.integer(who, "tile", self.tile, low=1))
            if self.overlap >= self.tile:
                raise ValueError(f"{who}: overlap must be less than tile={self.tile}, got {self.overlap}")

    def __call__(self, x: Array, sigma: Any) -> Array:
        x = check.real_array(self.name, "x", x, finite=False)
        if x.ndim < 2 or (self.channels > 1 and (x.ndim < 3 or x.shape[-3] != self.channels)):
            form = "(…, rows, columns)" if self.channels == 1 else f"(…, {self.channels}, rows, columns)"
            raise ValueError(f"{self.name}: images must have shape {form}, got {tuple(x.shape)}")
        xp = namespace(x)
        (lo, _), (a, b), s = self.range, self.image or self.range, self.unit
        level = self._level(x, sigma)
        shape = (-1, self.channels, *x.shape[-2:])
        u = xp.reshape(lo + (x - a) / s, shape)
        if is_array(level):
            level = xp.reshape(level, shape)[:, :1, ...]
        parts = []
        for k in range(0, u.shape[0], self.batch):
            some = slice(k, min(k + self.batch, u.shape[0]))
            parts.append(self._images(u[some, ...], level[some, ...] if is_array(level) else level))
        v = parts[0] if len(parts) == 1 else xp.concat(parts)
        v = xp.reshape(a + (v - lo) * s, x.shape)
        return xp.clip(v, a, b) if self.clip else v

    @property
    def unit(self) -> float:
        """Image units per unit of the network's range."""
        (lo, hi), (a, b) = self.range, self.image or self.range
        return (b - a) / (hi - lo)

    def _level(self, x: Array, sigma: Any) -> Any:
        """The noise level in the network's units, a number or an image-sized map."""
        if is_array(sigma) and math.prod(sigma.shape) != 1:
            if not isinstance(self.sigma, str) or self.sigma == "none":
                raise TypeError(f"{self.name} takes one noise level, not a map: it has no input for one")
            check.same_shape(self.name, "sigma", sigma, tuple(x.shape))
            sigma = check.weight(self.name, same_place(self.name, "sigma", sigma, x), name="sigma")
            return sigma / self.unit
        level = check.number(self.name, "sigma", sigma, low=0.0) / self.unit
        if not isinstance(self.sigma, str) and level > 0 and not 0.5 <= level / self.sigma <= 2:
            warnings.warn(
                f"{self.name} was trained for noise {self.sigma:g} and is used at {level:.3g} by rescaling contrast; "
                "results degrade where the ratio leaves 1/2 … 2",
                stacklevel=check.outside(),
            )
        return level

    def _images(self, u: Array, level: Any) -> Array:
        """A batch of images in the network's units."""
        if not isinstance(self.sigma, str):  # trained for one level: stretch the contrast to that of its training
            if level == 0:
                return u
            middle, ratio = sum(self.range) / 2, level / self.sigma
            return middle + ratio * (self._spread(middle + (u - middle) / ratio, level) - middle)
        return self._spread(u, level)

    def _spread(self, u: Array, level: Any) -> Array:
        """Rotations, tiles and padding around the network."""
        levels = (level,) if is_array(level) else ()

        def run(batch: Array, *maps: Array) -> Array:
            return padded(lambda *b: self._raw(b[0], b[1] if maps else level), (batch, *maps), self.multiple)

        def pieces(batch: Array, *maps: Array) -> Array:
            return run(batch, *maps) if self.tile is None else in_tiles(run, (batch, *maps), self.tile, self.overlap)

        return averaged(pieces, (u, *levels)) if self.average else pieces(u, *levels)

    def _raw(self, u: Array, level: Any) -> Array:
        """The network itself, with the checks of what comes back."""
        xp, inputs = namespace(u), [u]
        if self.sigma == "map":
            shape = (u.shape[0], 1, *u.shape[2:])
            extra = level if is_array(level) else xp.full(shape, level, dtype=u.dtype, device=device(u))
            inputs = [xp.concat([u, extra], axis=1)]
        elif self.sigma == "argument":
            inputs = [u, level]
        try:
            v = self.function(*inputs)
        except (NetworkError, PlacementError):
            raise
        except Exception as error:  # every framework has its own
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            raise NetworkError(
                f"{self.name} refused a batch of shape {tuple(inputs[0].shape)} and dtype {u.dtype}: {reason}; "
                "networks that need sizes divisible by 8, say, take multiple=8, those with a map of the noise "
                'as a channel sigma="map", others sigma="none"'
            ) from error
        return returned(self.name, v, u)

    def check(self, like: Array, sigma: float | None = None, probes: int = 20, seed: int = 0) -> Any:
        """What this denoiser keeps, how it stretches distances, and what follows; see `varinv.priors.diagnosis`."""
        return diagnose(self, like, sigma, probes, seed)

    def __repr__(self) -> str:
        scaled = "" if self.image == self.range else f", image={self.image}"
        return f"{self.name}(sigma={self.sigma!r}, range={self.range}{scaled})"


def _interval(who: str, name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{who}: {name} must be two numbers (low, high), got {check.describe(value)}")
    low, high = (check.number(who, name, v) for v in value)
    if not low < high:
        raise ValueError(f"{who}: {name} must be (low, high) with low < high, got {(low, high)}")
    return low, high
