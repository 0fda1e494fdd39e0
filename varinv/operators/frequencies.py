"""Filters along some axes of an array: the frequencies of a transform, and multiplication by weights of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import array_api_compat.numpy as xnp

from varinv.backend import Array, Shape, library, like, namespace, on_cpu, through_numpy


def frequencies(shape: Shape, axes: tuple[int, ...], boundary: str) -> Iterator[tuple[int, Array, Array]]:
    """(axis, ξ in radians per pixel, how often each occurs) in the layout of `filtered`."""
    for k in axes:
        n = shape[k]
        j = xnp.arange(n, dtype=xnp.float64)
        if boundary == "reflect":
            yield k, math.pi * j / n, xnp.ones(n)
        elif k != axes[-1]:
            yield k, 2 * math.pi * xnp.minimum(j, n - j) / n, xnp.ones(n)
        else:  # the half spectrum of a real transform stands for both halves
            j = j[: n // 2 + 1]
            yield k, 2 * math.pi * j / n, xnp.where((j == 0) | (2 * j == n), 1.0, 2.0)


def filtered(x: Array, weights: Array, axes: tuple[int, ...], boundary: str) -> Array:
    """The inverse transform of weights × transform(x) along `axes`: Fourier if periodic, cosines if reflect."""
    if library(x) != "numpy" and on_cpu(x) is not None:
        return through_numpy(filtered, x, weights, axes, boundary)
    xp = namespace(x)
    if boundary == "reflect" and library(x) == "numpy":
        from scipy.fft import dctn, idctn

        spectrum = dctn(x, axes=axes, norm="ortho")
        return xp.astype(idctn(spectrum * like(weights, x), axes=axes, norm="ortho"), x.dtype, copy=False)
    whole = tuple(x.shape)
    sizes = [whole[k] for k in axes]
    if boundary == "reflect":  # cosines are the Fourier transform of the image beside its mirror image
        for k in axes:
            x = xp.concat([x, xp.flip(x, axis=k)], axis=k)
        sizes = [2 * n for n in sizes]
        weights = _mirrored(weights, axes)
    fft: Any = xp.fft
    if library(x) == "numpy":
        import scipy.fft

        fft = scipy.fft  # twice as fast as NumPy's
    spectrum = fft.rfftn(x, axes=axes)
    spectrum *= like(weights, x)
    result = fft.irfftn(spectrum, s=sizes, axes=axes)
    return xp.astype(result[tuple(slice(0, n) for n in whole)], x.dtype, copy=False)


def _mirrored(weights: Array, axes: tuple[int, ...]) -> Array:
    """Weights of cosines 0 … n−1 as those of frequencies 0 … 2n−1 (on the last axis 0 … n).

    Frequency n is not among the cosines: even images have none of it.
    """
    for k in axes:
        zero = 0 * xnp.take(weights, xnp.asarray([0]), axis=k)
        back = xnp.flip(weights, axis=k)[(slice(None),) * k + (slice(0, -1), ...)]
        weights = xnp.concat([weights, zero] if k == axes[-1] else [weights, zero, back], axis=k)
    return weights
