"""CUDA twins of gradient: one pass over memory; images of one to three axes, any axes, all boundaries."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda_tools
from varinv.backend import empty
from varinv.operators import gradient


def volume(shape):
    """The shape as (slices, rows, columns)."""
    return (1, 1, *shape)[-3:]


def fields(ndim, axes, spacing):
    """For slices, rows and columns: the field that belongs to the axis (−1: none), and its 1/h."""
    places, rates = [-1] * 3, [0.0] * 3
    for field, (axis, h) in enumerate(zip(axes, spacing, strict=True)):
        places[axis + 3 - ndim], rates[axis + 3 - ndim] = field, 1 / h
    return *places, *rates


def differences(u, spacing, axes, boundary):
    if u.ndim > 3:
        return gradient.differences.reference(u, spacing, axes, boundary)
    (u,) = cuda_tools.plain(u)
    out, size = empty((len(axes), *u.shape), u.dtype, u), volume(u.shape)
    settings = (*fields(u.ndim, axes, spacing), gradient.BOUNDARIES.index(boundary))
    cuda_tools.launch(__name__, "differences", size, u, out, *size, *settings, like=u)
    return out


def minus_divergence(p, spacing, axes, boundary):
    if p.ndim > 4:
        return gradient.minus_divergence.reference(p, spacing, axes, boundary)
    (p,) = cuda_tools.plain(p)
    out, size = empty(p.shape[1:], p.dtype, p), volume(p.shape[1:])
    settings = (*fields(p.ndim - 1, axes, spacing), gradient.BOUNDARIES.index(boundary))
    cuda_tools.launch(__name__, "minus_divergence", size, p, out, *size, *settings, like=p)
    return out
