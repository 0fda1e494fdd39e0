"""CUDA twin of graph: every neighbour of a pixel in one pass."""

# mypy: ignore-errors
from __future__ import annotations

import numpy as np

from varinv import cuda_tools
from varinv.backend import empty
from varinv.operators.gradient_cuda import volume


def laplacian(x, W, D, offsets, radius, memory):
    x, W, D = cuda_tools.plain(x, W, D)
    out, size = empty(x.shape, x.dtype, x), volume(x.shape)
    moves = np.zeros((len(offsets), 3), np.int64)
    moves[:, 3 - x.ndim :] = offsets
    moves = cuda_tools.table(moves, np.int64, x)
    cuda_tools.launch(__name__, "laplacian", size, x, W, D, moves, len(offsets), *size, out, like=x)
    return out
