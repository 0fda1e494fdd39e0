"""CUDA twin of fbp's back-projection; the filter runs on the device through ``xp.fft``."""

# mypy: ignore-errors
from __future__ import annotations

from varinv import cuda_tools
from varinv.backend import empty

DEEP = 4  # pixels of a column that one thread owns, R in fbp.cu


def interpolate_back(q, cosines, sines, axes, grid):
    q, cosines, sines, axes = cuda_tools.plain(q, cosines, sines, axes)
    rows, columns, row, column, bins_per_pixel, source = grid
    out = empty((rows, columns), q.dtype, q)
    name, more = ("interpolate_back_fan", (1 / source,)) if source > 0 else ("interpolate_back", ())
    settings = (rows, columns, *q.shape, float(row), float(column), float(bins_per_pixel), *more)
    cuda_tools.launch(__name__, name, (-(-rows // DEEP), columns), q, cosines, sines, axes, out, *settings, like=q)
    return out
