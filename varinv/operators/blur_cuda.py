"""CUDA twin of blur: direct convolution in one to three dimensions."""

# mypy: ignore-errors
from __future__ import annotations

import math

from varinv import cuda_tools
from varinv.backend import empty
from varinv.operators import blur


def convolve(x, psf):
    d = psf.ndim
    if d > 3:
        return blur.convolve.reference(x, psf)
    (x,) = cuda_tools.plain(x)
    lead, ones = x.shape[: x.ndim - d], (1,) * (3 - d)
    inner = tuple(n - s + 1 for n, s in zip(x.shape[x.ndim - d :], psf.shape, strict=True))
    out, batch = empty((*lead, *inner), x.dtype, x), math.prod(lead)
    slices, rows, columns = (*ones, *inner)
    weights, size = cuda_tools.table(psf, x.dtype, x), (batch * slices, rows, columns)
    settings = (batch, slices, rows, columns, *ones, *psf.shape)
    cuda_tools.launch(__name__, "convolve", size, x, weights, *settings, out, like=x)
    return out
